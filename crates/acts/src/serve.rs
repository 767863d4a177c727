//! One session: requests come in, replies go out, one after the other.
//!
//! It holds the lock and the journal of an apply that it began. When the stream ends or a signal comes, the
//! act that is under way is completed first; what is open then stays open, and the next session brings it
//! into order. A cable that was cut ends no stream, so whoever holds the lock and hears nothing for long
//! leaves as well.

mod apply;
mod blobs;

use crate::account::Accounts;
use crate::frame::{FrameError, MAGIC, parse, read_frame, write_message};
use crate::journal::history::{history, open_apply};
use crate::journal::lock::Lock;
use crate::journal::recover::{LEFT_OVER_WITHIN, recover};
use crate::journal::undo::Undo;
use crate::journal::{Writer, manifest, open};
use crate::machine::{Layout, Machine};
use crate::observe::{Observer, facts};
use crate::refusal::Result;
use crate::run::GONE;
use crate::wire::{Claim, Hello, Progress, Recovered, Refusal, Reply, Request, VERSION, Welcome};
use haus_model::HouseName;
use haus_model::host_code::HostCode;
use haus_model::inventory::{Inventory, Manifest};
use haus_model::resource::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a session that holds the lock waits for the next request. The longest honest pause is the proof
/// after a guarded change; a session behind a cut cable would keep everybody else out for hours.
pub const SILENCE: Duration = Duration::from_secs(120);

/// Talks until the other side ends, a signal comes, or it is silent for so long. An error is a talk that
/// broke.
pub fn serve(
    machine: &Machine,
    silence: Duration,
    mut input: File,
    mut output: File,
) -> std::result::Result<(), FrameError> {
    output.write_all(MAGIC).and_then(|()| output.flush()).map_err(FrameError::Broken)?;
    let ended = Ended::watch(&input).map_err(FrameError::Broken)?;
    let Some(hello) = greet(&ended, &mut input, &mut output)? else { return Ok(()) };
    let mut session = Session::new(machine, hello.house);
    while ended.wait(&input, session.lock.is_some().then_some(silence)) {
        let request = match read_request(&mut input) {
            Ok(request) => request,
            Err(FrameError::Ended) => return Ok(()),
            Err(error) => {
                let _ = write_message(&mut output, &Reply::Refused(damaged(&error)));
                return Err(error);
            }
        };
        let reply = {
            // Who does not listen any longer hears nothing; the act goes on to its end.
            let mut sink = |progress: Progress| drop(write_message(&mut output, &Reply::Progress(progress)));
            if let Request::Put { hash, bytes } = request {
                blobs::take(&session.layout, hash, bytes, &mut input)?
            } else {
                session.handle(request, &mut sink).unwrap_or_else(Reply::Refused)
            }
        };
        write_message(&mut output, &reply)?;
    }
    Ok(())
}

fn read_request(input: &mut File) -> std::result::Result<Request, FrameError> {
    crate::frame::read_message(input)
}

fn damaged(error: &FrameError) -> Refusal {
    let remedy = "use the haus that put this program here; when it was that one, report it";
    Refusal::new(HostCode::Protocol, "read a message", error.to_string(), remedy)
}

/// The first message. None when the other side leaves, or speaks otherwise and was told so.
fn greet(
    ended: &Ended,
    input: &mut File,
    output: &mut File,
) -> std::result::Result<Option<Hello>, FrameError> {
    if !ended.wait(input, None) {
        return Ok(None);
    }
    let first = match read_frame(input) {
        Ok(crate::frame::Frame::Message(bytes)) => parse::<Request>(&bytes),
        Ok(crate::frame::Frame::Chunk(_)) => Err(FrameError::Message("a blob came first".to_owned())),
        Err(FrameError::Ended) => return Ok(None),
        Err(error) => Err(error),
    };
    let refusal = match first {
        Ok(Request::Hello(hello)) if hello.version == VERSION => {
            let uname = rustix::system::uname();
            let welcome = Welcome {
                version: VERSION,
                program: env!("CARGO_PKG_VERSION").to_owned(),
                machine: uname.machine().to_string_lossy().into_owned(),
                is_root: rustix::process::geteuid().is_root(),
            };
            write_message(output, &Reply::Welcome(welcome))?;
            return Ok(Some(hello));
        }
        Ok(Request::Hello(hello)) => {
            let why =
                format!("it speaks version {}, and haus-remote on the host speaks {VERSION}", hello.version);
            let remedy = "use haus and haus-remote of one release";
            Refusal::new(HostCode::Protocol, "begin to talk with haus", why, remedy)
        }
        Ok(_) => damaged(&FrameError::Message("the first message must say hello".to_owned())),
        Err(error) => damaged(&error),
    };
    write_message(output, &Reply::Refused(refusal))?;
    Ok(None)
}

/// Knows when it is time to go.
struct Ended {
    signals: UnixStream,
}

impl Ended {
    /// Signals become readable, and a thread notes when nobody listens any longer while an act is under way.
    fn watch(input: &File) -> std::io::Result<Ended> {
        let (signals, pipe) = UnixStream::pair()?;
        let (watched, other) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, pipe.try_clone()?)?;
            signal_hook::low_level::pipe::register(signal, other.try_clone()?)?;
        }
        let input = input.try_clone()?;
        std::thread::spawn(move || {
            let mut both = [PollFd::new(&input, PollFlags::RDHUP), PollFd::new(&watched, PollFlags::IN)];
            while poll(&mut both, None).is_err() {}
            GONE.store(true, Ordering::Relaxed);
        });
        Ok(Ended { signals })
    }

    /// Waits for something to read; false when a signal came instead, or nothing within the limit.
    fn wait(&self, input: &impl AsFd, limit: Option<Duration>) -> bool {
        let limit = limit.map(|limit| Timespec::try_from(limit).expect("minutes fit"));
        let mut both = [PollFd::new(input, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        loop {
            match poll(&mut both, limit.as_ref()) {
                Ok(0) => return false,
                Ok(_) => return both[1].revents().is_empty(),
                Err(_) => {}
            }
        }
    }
}

/// What a session knows and holds.
pub(crate) struct Session<'m> {
    machine: &'m Machine,
    house: HouseName,
    layout: Layout,
    lock: Option<Lock>,
    writer: Option<Writer>,
}

impl<'m> Session<'m> {
    pub(crate) fn new(machine: &'m Machine, house: HouseName) -> Session<'m> {
        let layout = Layout::of(machine, &house);
        Session { machine, house, layout, lock: None, writer: None }
    }

    /// Everything but blobs, which need the stream.
    pub(crate) fn handle(&mut self, request: Request, sink: &mut dyn FnMut(Progress)) -> Result<Reply> {
        match request {
            Request::Hello(_) | Request::Put { .. } => {
                Err(damaged(&FrameError::Message("it has no place here".to_owned())))
            }
            Request::Observe { specs } => {
                self.observe(&specs).map(|inventory| Reply::Inventory(Box::new(inventory)))
            }
            Request::Missing { blobs } => Ok(Reply::Missing { blobs: blobs::missing(&self.layout, blobs) }),
            Request::Recover { claim, deserted } => {
                self.recover(&claim, deserted.as_deref(), sink).map(Reply::Recovered)
            }
            Request::Begin(begin) => self.begin(*begin).map(|()| Reply::Begun),
            Request::Act { number, secrets } => self.act(number, secrets, sink).map(Reply::Done),
            Request::Confirm { apply } => self.confirm(&apply).map(|()| Reply::Confirmed),
            Request::Finish { ending } => self.finish(ending, sink).map(Reply::Finished),
            Request::RollBack { claim, apply } => self.roll_back(&claim, apply, sink).map(Reply::Finished),
            Request::History { last } => Ok(Reply::History(history(&self.layout, last))),
        }
    }

    /// What we made, with what an open apply did.
    fn manifest(&self) -> Result<Manifest> {
        let noted = manifest::read(&self.layout)?;
        let journal = match &self.writer {
            Some(writer) => Some(writer.journal.clone()),
            None => open(&self.layout),
        };
        Ok(journal.map_or(noted.clone(), |journal| manifest::with(noted, &journal)))
    }

    fn observe(&self, specs: &[Spec]) -> Result<Inventory> {
        let manifest = self.manifest()?;
        let wanted: BTreeMap<_, &Spec> = manifest
            .entries
            .iter()
            .map(|(id, entry)| (id.clone(), &entry.spec))
            .chain(specs.iter().map(|spec| (spec.id(), spec)))
            .collect();
        let salt = manifest::salt(&self.layout);
        let observer =
            Observer { machine: self.machine, mark: self.layout.mark(), manifest: &manifest, salt: &salt };
        // Both ask programs of the host and wait for them.
        let (states, facts) = std::thread::scope(|scope| {
            let facts = scope.spawn(|| facts(self.machine, wanted.values().copied()));
            let states = observer.states(wanted.values().copied());
            (states, facts.join().expect("nothing that looks panics"))
        });
        let open = open_apply(&self.layout);
        Ok(Inventory { facts, states, manifest, open })
    }

    fn claim(&mut self, claim: &Claim) -> Result<()> {
        if self.lock.is_none() {
            self.lock = Some(Lock::take(&self.layout, claim)?);
        }
        Ok(())
    }

    /// Like [`Self::claim`], also when a session of the same owner holds it that has this apply open: who
    /// names it there knows that nobody listens to that session any longer.
    fn claim_from(&mut self, claim: &Claim, deserted: Option<&str>, within: Duration) -> Result<()> {
        let is_open = |apply: &str| open(&self.layout).is_some_and(|open| open.apply() == apply);
        if self.lock.is_none() && deserted.is_some_and(is_open) {
            self.lock = Some(Lock::take_from_lost(&self.layout, claim, within)?);
        }
        self.claim(claim)
    }

    fn undo<'a>(&'a self, sink: &'a mut dyn FnMut(Progress)) -> Undo<'a> {
        let (machine, layout, house) = (self.machine, &self.layout, self.house.as_str());
        Undo { machine, layout, house, booting: false, sink }
    }

    fn recover(
        &mut self,
        claim: &Claim,
        deserted: Option<&str>,
        sink: &mut dyn FnMut(Progress),
    ) -> Result<Recovered> {
        self.claim_from(claim, deserted, LEFT_OVER_WITHIN)?;
        self.writer = None;
        recover(&mut self.undo(sink))
    }

    fn accounts(&self) -> Accounts {
        Accounts::read(self.machine)
    }
}
