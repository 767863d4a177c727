//! A session with `haus-remote` over any road: puts the program there when it is not, and then asks and
//! waits, each with an end. It does not know what is asked.

use crate::channel::Channel;
use crate::host::{Blob, Host, HostError, RoadFault};
use crate::obstacle::{cut_short, failed, fault, nobody, other_version, out_of_turn, talks_too_much};
use crate::opening::Opening;
use crate::patience::Patience;
use crate::programs::Programs;
use crate::shown::shown;
use crate::transport::{Obstacle, Purpose, Transport};
use haus_acts::frame::{CHUNK_BYTES_MAX, FrameError, read_message, skip_noise, write_chunk, write_message};
use haus_acts::wire::{Ending, Hello, PROGRESS_LINES_MAX, Progress, Reply, Request, VERSION, Welcome};
use haus_model::HouseName;
use haus_model::host::Elevation;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// What a session needs besides the road.
#[derive(Clone, Debug)]
pub struct Session {
    /// The programs that can be put there.
    pub programs: Programs,
    /// How root's rights are reached.
    pub elevation: Elevation,
    /// The house whose folder on the host is meant.
    pub house: HouseName,
    /// What the session is for.
    pub purpose: Purpose,
    /// How long things may take.
    pub patience: Patience,
}

/// A host over a road.
#[derive(Debug)]
pub struct RemoteHost {
    road: String,
    channel: Option<Channel>,
    welcome: Welcome,
    patience: Patience,
    dead: Option<RoadFault>,
}

impl RemoteHost {
    /// Opens a session. A host that has the program already needs one connection and no question more.
    pub fn open(transport: &dyn Transport, session: &Session) -> Result<RemoteHost, HostError> {
        let opening = Opening { transport, session };
        let mut channel = opening.program_runs().map_err(road)?;
        let deadline = Instant::now() + session.patience.answer;
        let hello = Request::Hello(Hello { version: VERSION, house: session.house.clone() });
        let answer = skip_noise(&mut channel.until(deadline))
            .and_then(|_| heard(write_message(&mut channel.until(deadline), &hello)))
            .and_then(|()| read_message::<Reply>(&mut channel.until(deadline)));
        match answer {
            Ok(Reply::Welcome(welcome)) if welcome.version == VERSION => Ok(RemoteHost {
                road: transport.road(),
                channel: Some(channel),
                welcome,
                patience: session.patience,
                dead: None,
            }),
            Ok(Reply::Welcome(welcome)) => {
                Err(road(opening.fault("greet the program on the host", other_version(&welcome))))
            }
            Ok(Reply::Refused(refusal)) => Err(HostError::Refused(Box::new(refusal))),
            Ok(_) => Err(road(opening.fault("greet the program on the host", out_of_turn()))),
            Err(error) => {
                let obstacle = failed(error, session.patience.answer, || channel.stop());
                Err(road(opening.fault("greet the program on the host", obstacle)))
            }
        }
    }

    /// Ends the session in order: the host hears that nothing more comes, and its process is waited for.
    pub fn close(mut self) {
        if let Some(channel) = self.channel.take() {
            // Whether it ended well changes nothing any more: every request has its answer.
            let _ = channel.finish(Instant::now() + self.patience.close);
        }
    }

    /// The process id of the road's local process, while it lives.
    pub fn process(&self) -> Option<u32> {
        self.channel.as_ref().map(Channel::id)
    }

    fn dies(&mut self, what: &str, obstacle: Obstacle) -> HostError {
        let fault = fault(what, &self.road, obstacle);
        self.channel = None;
        self.dead = Some(fault.clone());
        road(fault)
    }

    fn live(&mut self) -> Result<&mut Channel, HostError> {
        match (&mut self.channel, &self.dead) {
            (Some(channel), _) => Ok(channel),
            (None, Some(dead)) => Err(road(dead.clone())),
            (None, None) => Err(road(fault("use a session", &self.road, out_of_turn()))),
        }
    }

    fn breaks(&mut self, what: &str, error: FrameError, waited: Duration) -> HostError {
        let channel = self.channel.take();
        let obstacle = failed(error, waited, || channel.map_or_else(nobody, Channel::stop));
        self.dies(what, obstacle)
    }

    /// Reads until the reply: each sign of life starts the waiting anew, and their number is bounded.
    fn reply(
        &mut self,
        what: &str,
        waiting: Duration,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Reply, HostError> {
        // An act runs several commands, each of which may say so and have lines of its own.
        for _ in 0..PROGRESS_LINES_MAX.saturating_mul(4) {
            let channel = self.live()?;
            match read_message::<Reply>(&mut channel.until(Instant::now() + waiting)) {
                Ok(Reply::Progress(step)) => progress(made_fit(step)),
                Ok(Reply::Refused(refusal)) => return Err(HostError::Refused(Box::new(refusal))),
                Ok(reply) => return Ok(reply),
                Err(error) => return Err(self.breaks(what, error, waiting)),
            }
        }
        Err(self.dies(what, talks_too_much()))
    }
}

impl Host for RemoteHost {
    fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    fn ask(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Reply, HostError> {
        let what = attempt(request);
        let waiting = self.patience.of(request);
        let answer = self.patience.answer;
        let channel = self.live()?;
        let written = heard(write_message(&mut channel.until(Instant::now() + answer), request));
        if let Err(error) = written {
            return Err(self.breaks(&what, error, answer));
        }
        self.reply(&what, waiting, progress)
    }

    fn put(&mut self, blob: Blob<'_>) -> Result<(), HostError> {
        let what = format!("send the blob {}", blob.hash.short());
        let waiting = self.patience.answer;
        let request = Request::Put { hash: blob.hash, bytes: blob.bytes };
        let channel = self.live()?;
        let written = heard(write_message(&mut channel.until(Instant::now() + waiting), &request));
        if let Err(error) = written {
            return Err(self.breaks(&what, error, waiting));
        }
        let mut left = blob.bytes;
        let mut buffer = vec![0; CHUNK_BYTES_MAX as usize];
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            if let Err(source) = blob.from.read_exact(&mut buffer[..step]) {
                // The host waits for bytes that do not come; only a new session can go on.
                self.dies(&what, cut_short());
                return Err(HostError::Blob { hash: blob.hash, source });
            }
            let channel = self.live()?;
            let written = heard(write_chunk(&mut channel.until(Instant::now() + waiting), &buffer[..step]));
            if let Err(error) = written {
                return Err(self.breaks(&what, error, waiting));
            }
            left -= step as u64;
        }
        let reply = self.reply(&what, waiting, &mut |_| {})?;
        let Reply::Stored = reply else { return Err(self.stranger(&what)) };
        Ok(())
    }

    fn stranger(&self, what: &str) -> HostError {
        road(fault(what, &self.road, out_of_turn()))
    }
}

/// A side that has closed its ears may have said why before, and that is better than the broken pipe.
fn heard(written: Result<(), FrameError>) -> Result<(), FrameError> {
    match written {
        Err(FrameError::Broken(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn road(fault: RoadFault) -> HostError {
    HostError::Road(Box::new(fault))
}

/// What a request attempts, for a fault.
fn attempt(request: &Request) -> String {
    match request {
        Request::Hello(_) => "greet the program on the host".to_owned(),
        Request::Observe { .. } => "observe".to_owned(),
        Request::Missing { .. } => "compare blobs".to_owned(),
        Request::Put { hash, .. } => format!("send the blob {}", hash.short()),
        Request::Recover { .. } => "bring an interrupted apply into order".to_owned(),
        Request::Begin(begin) => format!("begin the apply {}", begin.apply),
        Request::Act { number, .. } => format!("carry out change {number}"),
        Request::Confirm { apply } => format!("confirm the apply {apply}"),
        Request::Finish { ending } => match ending {
            Ending::Commit => "commit the apply".to_owned(),
            Ending::Stop => "end the apply early".to_owned(),
            Ending::RollBack => "take the apply back".to_owned(),
        },
        Request::RollBack { .. } => "take the last apply back".to_owned(),
        Request::History { .. } => "read the history".to_owned(),
    }
}

/// Lines of a host reach a terminal, so they are made fit for it here, once for everybody.
fn made_fit(progress: Progress) -> Progress {
    match progress {
        Progress::Run(argv) => Progress::Run(argv.iter().map(|word| shown(word)).collect()),
        Progress::Step(text) => Progress::Step(shown(&text)),
        Progress::Line(text) => Progress::Line(shown(&text)),
    }
}
