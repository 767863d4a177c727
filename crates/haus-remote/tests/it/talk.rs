//! The asking side of the protocol, as small as tests need it.
#![allow(clippy::wildcard_enum_match_arm, reason = "any other reply fails the test")]

use haus_acts::frame::{FrameError, read_message, skip_noise, write_chunk, write_message};
use haus_acts::wire::{
    Begin, Claim, Done, Ending, Finished, Hello, Progress, Recovered, Refusal, Reply, Request, SecretValue,
    VERSION,
};
use haus_model::Fingerprint;
use haus_model::change::{ActKind, Change, Outcome, Undo};
use haus_model::inventory::{Inventory, State};
use haus_model::resource::Spec;
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A session with the program.
pub(crate) struct Talk {
    /// The program, or what leads to it.
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Everything that was told while something was done.
    pub(crate) progress: Vec<Progress>,
}

/// Who asks.
pub(crate) fn claim() -> Claim {
    Claim { owner: "anna@desk".to_owned(), reason: Some("a test".to_owned()) }
}

/// One change.
pub(crate) fn change(number: u32, act: ActKind, spec: Spec, before: State) -> Change {
    Change {
        number,
        resource: spec.id(),
        act,
        spec,
        before,
        service: None,
        why: "a test wants it".to_owned(),
        diff: Vec::new(),
        operations: Vec::new(),
        outcome: Outcome::Known,
        undo: Undo::Exact,
        guarded: false,
    }
}

/// Changes to make these true, as a planner would make them: none for what is as in `wanted`.
pub(crate) fn changes(
    specs: &[Spec],
    is: &Inventory,
    wanted: Option<&BTreeMap<haus_model::resource::ResourceId, State>>,
) -> Vec<Change> {
    let mut list = Vec::new();
    for spec in specs {
        let state = is.states.get(&spec.id()).cloned().unwrap_or(State::Absent);
        if wanted.is_some_and(|wanted| wanted.get(&spec.id()) == Some(&state)) {
            continue;
        }
        let act = if state == State::Absent { ActKind::Create } else { ActKind::Update };
        let number = u32::try_from(list.len()).expect("few") + 1;
        list.push(change(number, act, spec.clone(), state));
    }
    list
}

/// What ends a request early.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It was refused.
    Refused(Box<Refusal>),
    /// The program is gone.
    Gone,
}

impl Fault {
    /// The refusal that it has to be.
    #[track_caller]
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Fault::Refused(refusal) => *refusal,
            Fault::Gone => panic!("the program is gone instead of refusing"),
        }
    }
}

impl Talk {
    /// Starts a program and says hello.
    pub(crate) fn start(command: &mut Command) -> Talk {
        Talk::try_start(command).expect("the program answers")
    }

    /// Starts a program that may be killed at once.
    pub(crate) fn try_start(command: &mut Command) -> Result<Talk, Fault> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut talk = Talk { child, input, output, progress: Vec::new() };
        skip_noise(&mut talk.output).map_err(|_| Fault::Gone)?;
        let hello = Hello { version: VERSION, house: "zimmer".parse().expect("a name") };
        match talk.ask(&Request::Hello(hello))? {
            Reply::Welcome(_) => Ok(talk),
            other => panic!("{other:?}"),
        }
    }

    /// One request and its reply.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply, Fault> {
        self.send(request)?;
        self.reply()
    }

    /// Only the request.
    pub(crate) fn send(&mut self, request: &Request) -> Result<(), Fault> {
        let input = self.input.as_mut().expect("not closed");
        write_message(input, request).map_err(|_| Fault::Gone)
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> Result<Reply, Fault> {
        loop {
            match read_message::<Reply>(&mut self.output) {
                Ok(Reply::Progress(progress)) => self.progress.push(progress),
                Ok(Reply::Refused(refusal)) => return Err(Fault::Refused(Box::new(refusal))),
                Ok(reply) => return Ok(reply),
                Err(FrameError::Ended | FrameError::Broken(_)) => return Err(Fault::Gone),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Raw bytes, for faults.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.input.as_mut().expect("not closed").write_all(bytes).expect("writes");
    }

    /// Ends the talk in order and waits.
    pub(crate) fn close(mut self) {
        self.input = None;
        assert!(self.child.wait().expect("waits").success());
    }

    /// Ends the talk however it is, and waits.
    pub(crate) fn end(mut self) {
        self.input = None;
        self.child.wait().expect("waits");
    }

    /// Everything about these.
    pub(crate) fn observe(&mut self, specs: &[Spec]) -> Result<Inventory, Fault> {
        match self.ask(&Request::Observe { specs: specs.to_vec() })? {
            Reply::Inventory(inventory) => Ok(*inventory),
            other => panic!("{other:?}"),
        }
    }

    /// Begins an apply.
    pub(crate) fn begin(&mut self, apply: &str, changes: Vec<Change>) -> Result<(), Fault> {
        self.begin_guarded(apply, changes, 20)
    }

    /// Begins an apply with this time for a confirmation.
    pub(crate) fn begin_guarded(
        &mut self,
        apply: &str,
        changes: Vec<Change>,
        guard_s: u32,
    ) -> Result<(), Fault> {
        let plan = Fingerprint::of(apply.as_bytes());
        let ports = BTreeMap::from([("api/1/http".to_owned(), 8001)]);
        let begin = Begin { apply: apply.to_owned(), claim: claim(), plan, changes, ports, guard_s };
        match self.ask(&Request::Begin(Box::new(begin)))? {
            Reply::Begun => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    /// Carries out one change.
    pub(crate) fn act(&mut self, number: u32, secrets: Vec<SecretValue>) -> Result<Done, Fault> {
        match self.ask(&Request::Act { number, secrets })? {
            Reply::Done(done) => Ok(done),
            other => panic!("{other:?}"),
        }
    }

    /// Ends the apply.
    pub(crate) fn finish(&mut self, ending: Ending) -> Result<Finished, Fault> {
        self.finished(&Request::Finish { ending })
    }

    /// Takes the last apply back.
    pub(crate) fn roll_back(&mut self) -> Result<Finished, Fault> {
        self.finished(&Request::RollBack { claim: claim(), apply: None })
    }

    fn finished(&mut self, request: &Request) -> Result<Finished, Fault> {
        match self.ask(request)? {
            Reply::Finished(finished) => Ok(finished),
            other => panic!("{other:?}"),
        }
    }

    /// Brings an apply into order that did not end.
    pub(crate) fn recover(&mut self) -> Result<Recovered, Fault> {
        match self.ask(&Request::Recover { claim: claim(), deserted: None })? {
            Reply::Recovered(recovered) => Ok(recovered),
            other => panic!("{other:?}"),
        }
    }

    /// Brings a blob.
    pub(crate) fn put(&mut self, content: &[u8]) -> Result<(), Fault> {
        let hash = Fingerprint::of(content);
        self.send(&Request::Put { hash, bytes: content.len() as u64 })?;
        let input = self.input.as_mut().expect("not closed");
        for chunk in content.chunks(50_000) {
            write_chunk(input, chunk).map_err(|_| Fault::Gone)?;
        }
        input.flush().map_err(|_| Fault::Gone)?;
        match self.reply()? {
            Reply::Stored => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    /// Begins, carries everything out and commits.
    pub(crate) fn apply(&mut self, apply: &str, changes: Vec<Change>) -> Result<Vec<Done>, Fault> {
        let numbers: Vec<u32> = changes.iter().map(|change| change.number).collect();
        self.begin(apply, changes)?;
        let done: Result<Vec<Done>, Fault> =
            numbers.into_iter().map(|number| self.act(number, secrets())).collect();
        let done = done?;
        self.finish(Ending::Commit)?;
        Ok(done)
    }
}

/// The value of the one credential of the tests.
pub(crate) const SECRET: &str = "correct-horse-battery";

/// The one credential of the tests, in its first version.
pub(crate) fn secrets() -> Vec<SecretValue> {
    let of = secret_version();
    vec![SecretValue { of, value: haus_model::Secret::from(SECRET.to_owned()) }]
}

/// Its name and version.
pub(crate) fn secret_version() -> haus_model::resource::SecretVersion {
    haus_model::resource::SecretVersion { credential: "db-password".parse().expect("a name"), version: 1 }
}
