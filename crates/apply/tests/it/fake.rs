//! A house of machines in memory, with the faults that real ones have: links that break at any request,
//! somebody else's lock, a host that cannot be reached after a change, a dead-man that takes back what nobody
//! confirms.

use haus_acts::wire::{
    Claim, Done, Ending, Finished, Outcome, PastApply, Progress, Recovered, Refusal, Reply, Request, VERSION,
    Welcome,
};
use haus_apply::clock::Clock;
use haus_apply::host::{Blob, Host, HostError, RoadFault};
use haus_apply::sessions::{Sessions, Target};
use haus_apply::transport::Purpose;
use haus_model::change::{ActKind, Change};
use haus_model::host_code::HostCode;
use haus_model::inventory::{Facts, Inventory, Manifest, OpenApply, State};
use haus_model::resource::{ResourceId, Spec};
use haus_model::{Fingerprint, HostName, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A clock that moves when somebody waits.
#[derive(Debug, Default)]
pub(crate) struct FakeClock(AtomicU64);

impl Clock for FakeClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn pause(&self, duration: Duration) {
        let ms = u64::try_from(duration.as_millis()).expect("short");
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// What happens at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The link breaks before the host has heard it.
    LostBefore,
    /// The link breaks when the host has done it.
    LostAfter,
    /// The host does not do it.
    Refused,
}

#[derive(Debug)]
pub(crate) struct FakeApply {
    pub(crate) id: String,
    claim: Claim,
    plan: Fingerprint,
    changes: Vec<Change>,
    /// What was there before each change that was carried out.
    before: Vec<State>,
    pub(crate) outcome: Outcome,
    confirmed: bool,
}

/// One machine.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) states: BTreeMap<ResourceId, State>,
    pub(crate) applies: Vec<FakeApply>,
    pub(crate) blobs: BTreeSet<Fingerprint>,
    /// Every request by name, so that a test can say what was asked.
    pub(crate) asked: Vec<String>,
    /// At the request with this number (from 0, over all sessions), this happens.
    pub(crate) fault: Option<(usize, Fault)>,
    /// Sessions that cannot be opened, from now on.
    pub(crate) unreachable: u32,
    /// While this resource is not as it was at first, nobody gets in.
    pub(crate) locks_out: Option<ResourceId>,
    /// The process of a lost session keeps the lock for so many requests of others.
    pub(crate) lingers: u32,
    pub(crate) opened: u32,
    pub(crate) secrets_seen: Vec<String>,
    lock: Option<u32>,
    /// The session that holds the lock is lost, and its process still lives.
    zombie: bool,
    armed_until: Option<Duration>,
    initial: BTreeMap<ResourceId, State>,
}

/// All machines.
#[derive(Default)]
pub(crate) struct FakeHouse {
    pub(crate) clock: Arc<FakeClock>,
    machines: Mutex<BTreeMap<HostName, Arc<Mutex<Machine>>>>,
}

impl FakeHouse {
    pub(crate) fn machine(&self, host: &HostName) -> Arc<Mutex<Machine>> {
        Arc::clone(self.machines.lock().expect("no test panicked").entry(host.clone()).or_default())
    }
}

impl Sessions for FakeHouse {
    fn open(&self, target: &Target, _purpose: Purpose) -> Result<Box<dyn Host>, HostError> {
        let shared = self.machine(&target.host);
        let mut machine = shared.lock().expect("no test panicked");
        machine.dead_man(self.clock.now());
        machine.opened += 1;
        let changed = |id: &ResourceId| machine.states.get(id) != machine.initial.get(id);
        if machine.unreachable > 0 || machine.locks_out.as_ref().is_some_and(changed) {
            machine.unreachable = machine.unreachable.saturating_sub(1);
            return Err(lost(HostCode::Unreachable, "open a connection"));
        }
        let number = machine.opened;
        drop(machine);
        let welcome = Welcome {
            version: VERSION,
            program: "fake".to_owned(),
            machine: "x86_64".to_owned(),
            is_root: true,
        };
        Ok(Box::new(FakeHost {
            number,
            machine: shared,
            clock: Arc::clone(&self.clock),
            welcome,
            dead: false,
        }))
    }
}

pub(crate) struct FakeHost {
    number: u32,
    machine: Arc<Mutex<Machine>>,
    clock: Arc<FakeClock>,
    welcome: Welcome,
    dead: bool,
}

impl FakeHost {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().expect("no test panicked")
    }

    fn around(
        &mut self,
        name: String,
        work: impl FnOnce(&mut Machine, u32, Duration) -> Result<Reply, HostError>,
    ) -> Result<Reply, HostError> {
        if self.dead {
            return Err(lost(HostCode::LinkLost, &name));
        }
        let (number, now) = (self.number, self.clock.now());
        let mut machine = self.machine();
        machine.dead_man(now);
        let at = machine.asked.len();
        machine.asked.push(name.clone());
        let fault = machine.fault.filter(|(place, _)| *place == at).map(|(_, fault)| fault);
        let answer = match fault {
            Some(Fault::LostBefore) => Err(lost(HostCode::LinkLost, &name)),
            Some(Fault::Refused) => Err(refused(HostCode::ActFailed, &name)),
            Some(Fault::LostAfter) => {
                let _ = work(&mut machine, number, now);
                Err(lost(HostCode::LinkLost, &name))
            }
            None => work(&mut machine, number, now),
        };
        drop(machine);
        if matches!(answer, Err(HostError::Road(_))) {
            self.dead = true;
        }
        answer
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        let number = self.number;
        let mut machine = self.machine();
        if machine.lock == Some(number) {
            machine.zombie = machine.lingers > 0;
            machine.lock = machine.lock.filter(|_| machine.lingers > 0);
        }
    }
}

impl Host for FakeHost {
    fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    fn ask(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Reply, HostError> {
        let text = format!("{request:?}");
        let name = text.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
        if matches!(request, Request::Act { .. }) {
            progress(Progress::Step("acting".to_owned()));
        }
        self.around(name, |machine, number, now| machine.answer(request, number, now))
    }

    fn put(&mut self, blob: Blob<'_>) -> Result<(), HostError> {
        let mut bytes = Vec::new();
        blob.from.read_to_end(&mut bytes).map_err(|source| HostError::Blob { hash: blob.hash, source })?;
        let stored = self.around("Put".to_owned(), |machine, _, _| {
            if Fingerprint::of(&bytes) != blob.hash || bytes.len() as u64 != blob.bytes {
                return Err(refused(HostCode::CopyFailed, "Put"));
            }
            machine.blobs.insert(blob.hash);
            Ok(Reply::Stored)
        });
        stored.map(|_| ())
    }

    fn stranger(&self, what: &str) -> HostError {
        lost(HostCode::Protocol, what)
    }
}

impl Machine {
    /// What is there before the test begins.
    pub(crate) fn has(&mut self, id: ResourceId, state: State) {
        self.initial.insert(id.clone(), state.clone());
        self.states.insert(id, state);
    }

    /// Whether everything is as it was before the test began.
    pub(crate) fn is_as_before(&self) -> bool {
        self.states == self.initial
    }

    fn answer(&mut self, request: &Request, session: u32, now: Duration) -> Result<Reply, HostError> {
        match request {
            Request::Hello(_) | Request::Put { .. } => Err(refused(HostCode::Protocol, "out of turn")),
            Request::Observe { specs } => Ok(Reply::Inventory(Box::new(self.inventory(specs)))),
            Request::Missing { blobs } => {
                Ok(Reply::Missing { blobs: blobs.difference(&self.blobs).copied().collect() })
            }
            Request::Recover { .. } => {
                self.take_lock(session)?;
                self.recover()
            }
            Request::Begin(begin) => {
                self.take_lock(session)?;
                self.moved(&begin.changes)?;
                self.applies.push(FakeApply {
                    id: begin.apply.clone(),
                    claim: begin.claim.clone(),
                    plan: begin.plan,
                    changes: begin.changes.clone(),
                    before: Vec::new(),
                    outcome: Outcome::Open,
                    confirmed: true,
                });
                Ok(Reply::Begun)
            }
            Request::Act { number, secrets } => {
                self.secrets_seen.extend(
                    secrets
                        .iter()
                        .map(|secret| String::from_utf8_lossy(secret.value.expose_bytes()).into_owned()),
                );
                self.act(*number, now)
            }
            Request::Confirm { apply } => self.confirm(apply, session),
            Request::Finish { ending } => {
                let at = self.open_apply()?;
                if *ending == Ending::Commit && !self.applies[at].confirmed {
                    return Err(refused(HostCode::NotConfirmed, "commit"));
                }
                let outcome = match ending {
                    Ending::Commit => Outcome::Committed,
                    Ending::Stop => Outcome::Stopped,
                    Ending::RollBack => self.undo(at, Outcome::RolledBack),
                };
                self.lock = None;
                Ok(Reply::Finished(self.end(at, outcome)))
            }
            Request::RollBack { apply, .. } => {
                self.take_lock(session)?;
                let at =
                    self.applies.len().checked_sub(1).ok_or_else(|| refused(HostCode::ActFailed, "none"))?;
                if apply.as_ref().is_some_and(|apply| *apply != self.applies[at].id) {
                    return Err(refused(HostCode::Moved, "roll back"));
                }
                let outcome = self.undo(at, Outcome::RolledBack);
                Ok(Reply::Finished(self.end(at, outcome)))
            }
            Request::History { last } => {
                Ok(Reply::History(self.applies.iter().rev().take(*last as usize).map(past).collect()))
            }
        }
    }

    fn inventory(&self, specs: &[Spec]) -> Inventory {
        let state = |spec: &Spec| {
            let id = spec.id();
            let state = self.states.get(&id).cloned().unwrap_or(State::Absent);
            (id, state)
        };
        let open = self.applies.iter().find(|apply| apply.outcome == Outcome::Open).map(|apply| OpenApply {
            id: apply.id.clone(),
            owner: apply.claim.owner.clone(),
            reason: apply.claim.reason.clone(),
            plan: apply.plan,
            began: moment(),
            done: u32::try_from(apply.before.len()).expect("few"),
            of: u32::try_from(apply.changes.len()).expect("few"),
            under_way: None,
            alive: self.lock.is_some(),
        });
        let facts = Facts { clock: moment(), ..Facts::default() };
        Inventory { facts, states: specs.iter().map(state).collect(), manifest: Manifest::default(), open }
    }

    fn moved(&self, changes: &[Change]) -> Result<(), HostError> {
        let differs =
            |change: &&Change| self.states.get(&change.resource).unwrap_or(&State::Absent) != &change.before;
        changes.iter().find(differs).map_or(Ok(()), |_| Err(refused(HostCode::Moved, "begin")))
    }

    fn take_lock(&mut self, session: u32) -> Result<(), HostError> {
        if self.lock.is_some_and(|owner| owner != session) {
            if !self.zombie || self.lingers > 0 {
                self.lingers = self.lingers.saturating_sub(1);
                return Err(refused(HostCode::Locked, "take the lock"));
            }
            self.zombie = false;
        }
        self.lock = Some(session);
        Ok(())
    }

    fn recover(&mut self) -> Result<Reply, HostError> {
        let Ok(at) = self.open_apply() else { return Ok(Reply::Recovered(Recovered::Nothing)) };
        if !self.applies[at].confirmed {
            let outcome = self.undo(at, Outcome::Reverted);
            return Ok(Reply::Recovered(Recovered::TakenBack(self.end(at, outcome))));
        }
        self.end(at, Outcome::Interrupted);
        let apply = self.applies[at].id.clone();
        Ok(Reply::Recovered(Recovered::Closed { apply, repaired: None }))
    }

    fn act(&mut self, number: u32, now: Duration) -> Result<Reply, HostError> {
        let at = self.open_apply()?;
        let change = self.applies[at].changes[number as usize - 1].clone();
        let before = self.states.get(&change.resource).cloned().unwrap_or(State::Absent);
        let after = after(&change);
        self.applies[at].before.push(before);
        self.set(&change.resource, after.clone());
        if change.guarded {
            self.applies[at].confirmed = false;
            self.armed_until = Some(now + Duration::from_secs(90));
        }
        let armed_until = self.armed_until.map(|_| moment());
        Ok(Reply::Done(Done { number, changed: true, after, notes: Vec::new(), took_ms: 1, armed_until }))
    }

    fn confirm(&mut self, apply: &str, session: u32) -> Result<Reply, HostError> {
        let at = self.open_apply()?;
        // The session that acts proves nothing: it was there before.
        if self.applies[at].id != apply || self.lock == Some(session) {
            return Err(refused(HostCode::NotConfirmed, "confirm"));
        }
        self.applies[at].confirmed = true;
        self.armed_until = None;
        Ok(Reply::Confirmed)
    }

    fn dead_man(&mut self, now: Duration) {
        if self.armed_until.is_some_and(|until| now >= until) {
            if let Ok(at) = self.open_apply() {
                let outcome = self.undo(at, Outcome::Reverted);
                self.end(at, outcome);
            }
            self.lock = None;
        }
    }

    fn undo(&mut self, at: usize, outcome: Outcome) -> Outcome {
        let apply = &mut self.applies[at];
        let undone: Vec<(ResourceId, State)> = apply
            .changes
            .iter()
            .zip(std::mem::take(&mut apply.before))
            .map(|(change, before)| (change.resource.clone(), before))
            .collect();
        for (id, before) in undone.into_iter().rev() {
            self.set(&id, before);
        }
        outcome
    }

    fn end(&mut self, at: usize, outcome: Outcome) -> Finished {
        self.armed_until = None;
        self.applies[at].outcome = outcome;
        Finished { apply: self.applies[at].id.clone(), outcome, left: Vec::new() }
    }

    fn set(&mut self, id: &ResourceId, state: State) {
        if state == State::Absent {
            self.states.remove(id);
        } else {
            self.states.insert(id.clone(), state);
        }
    }

    fn open_apply(&self) -> Result<usize, HostError> {
        let at = self.applies.iter().position(|apply| apply.outcome == Outcome::Open);
        at.ok_or_else(|| refused(HostCode::ActFailed, "no apply is open"))
    }

    /// Somebody else changes this host.
    pub(crate) fn locked_by_somebody(&mut self, plan: Fingerprint) {
        self.lock = Some(999);
        self.dies_in_the_middle(plan, Vec::new());
    }

    /// An apply that began and whose process is gone.
    pub(crate) fn dies_in_the_middle(&mut self, plan: Fingerprint, changes: Vec<Change>) {
        let claim = Claim { owner: "bert@desk".to_owned(), reason: Some("new kernel".to_owned()) };
        let (id, outcome) = ("earlier".to_owned(), Outcome::Open);
        self.applies.push(FakeApply {
            id,
            claim,
            plan,
            changes,
            before: Vec::new(),
            outcome,
            confirmed: true,
        });
    }
}

fn after(change: &Change) -> State {
    match change.act {
        ActKind::Remove => State::Absent,
        ActKind::Create | ActKind::Update => State::Other(format!("{:?}", change.spec)),
        ActKind::Forget => change.before.clone(),
    }
}

fn past(apply: &FakeApply) -> PastApply {
    PastApply {
        apply: apply.id.clone(),
        claim: apply.claim.clone(),
        plan: apply.plan,
        began: moment(),
        ended: None,
        outcome: apply.outcome,
        done: u32::try_from(apply.before.len()).expect("few"),
        of: u32::try_from(apply.changes.len()).expect("few"),
        changes: Vec::new(),
        fault: None,
    }
}

fn moment() -> Timestamp {
    Timestamp(1_796_040_000_000)
}

fn lost(code: HostCode, what: &str) -> HostError {
    HostError::Road(Box::new(RoadFault {
        code,
        what: what.to_owned(),
        road: "fake".to_owned(),
        because: "the test wants it".to_owned(),
        remedy: "end the test".to_owned(),
    }))
}

fn refused(code: HostCode, what: &str) -> HostError {
    HostError::Refused(Box::new(Refusal {
        code,
        what: what.to_owned(),
        why: "the test wants it".to_owned(),
        remedy: "end the test".to_owned(),
        evidence: vec!["\u{1b}[2Jevil".to_owned()],
        resource: None,
    }))
}
