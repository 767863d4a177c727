//! One host from the first connection to its outcome: observe, compare, begin, act, prove, finish; and back
//! when something fails. It takes no decision about what is changed; it follows the plan or takes the whole
//! of it back.

use crate::apply::{Options, Surroundings, WhenStopped};
use crate::host::{Act, Blob, Host, HostError};
use crate::outcome::{Event, Fault, HostOutcome, left_of};
use crate::sessions::Target;
use crate::shown::shown;
use crate::supply::{blobs_of, values_of};
use crate::transport::Purpose;
use haus_acts::wire::{Begin, Ending, Left};
use haus_model::HostName;
use haus_model::change::{Change, ChangeSet, HostPlan};
use haus_model::host_code::HostCode;
use haus_model::inventory::{Inventory, OpenApply, State, fingerprint_of};
use haus_model::resource::{Kind, Spec};
use std::time::Duration;

/// The work on one host.
pub(crate) struct Run<'a> {
    pub(crate) host: &'a HostName,
    pub(crate) plan: &'a HostPlan,
    pub(crate) options: &'a Options,
    pub(crate) around: Surroundings<'a>,
    pub(crate) target: Target,
    changes: &'a ChangeSet,
}

/// Why the way forward ended.
pub(crate) enum Turn {
    /// Nothing was changed.
    Refuse(Box<Fault>),
    /// Something failed, and the session still answers.
    Back(Box<Fault>),
    /// Nobody knows what became of the last request.
    Lost(Box<Fault>),
    /// It is asked to stop.
    Stop,
}

type Session = Box<dyn Host>;

impl<'a> Run<'a> {
    pub(crate) fn new(
        host: &'a HostName,
        plan: &'a HostPlan,
        changes: &'a ChangeSet,
        options: &'a Options,
        around: Surroundings<'a>,
    ) -> Run<'a> {
        let target = Target { host: host.clone(), connect: plan.connect.clone(), elevation: plan.elevation };
        Run { host, plan, options, around, target, changes }
    }

    pub(crate) fn carry_out(&self) -> HostOutcome {
        if let Some(finding) = self.plan.blocked.first() {
            let finding = finding.clone();
            let fault = Fault { finding, resource: None, evidence: Vec::new() };
            return HostOutcome::Refused(Box::new(fault));
        }
        if self.plan.changes.is_empty() {
            return HostOutcome::Unchanged;
        }
        self.tell(Event::Connecting);
        let mut session = match self.around.sessions.open(&self.target, Purpose::Work) {
            Ok(session) => session,
            Err(error) => return HostOutcome::Refused(Fault::of(self.host, &error)),
        };
        let mut done = 0;
        match self.forward(&mut session, &mut done) {
            Ok(()) => HostOutcome::Done { changes: done },
            Err(Turn::Refuse(fault)) => HostOutcome::Refused(fault),
            Err(Turn::Back(fault)) => self.take_back(session, fault),
            Err(Turn::Lost(fault)) => {
                drop(session);
                self.settle(fault)
            }
            Err(Turn::Stop) => self.stop(session, done),
        }
    }

    fn forward(&self, session: &mut Session, done: &mut u32) -> Result<(), Turn> {
        self.compare(session)?;
        self.send_blobs(session).map_err(|error| Turn::Refuse(self.fault(&error)))?;
        let begin = Begin {
            apply: self.options.apply.clone(),
            claim: self.options.claim.clone(),
            plan: self.changes.hash,
            changes: self.plan.changes.clone(),
            ports: self.plan.ports.clone(),
            guard_s: self.options.guard_s,
        };
        session.begin(&begin).map_err(|error| match error {
            HostError::Refused(_) | HostError::Blob { .. } => Turn::Refuse(self.fault(&error)),
            HostError::Road(_) => Turn::Lost(self.fault(&error)),
        })?;
        for (place, change) in self.plan.changes.iter().enumerate() {
            if self.around.cancel.is_wished() {
                return Err(Turn::Stop);
            }
            let armed = self.act(session, change)?;
            *done += 1;
            // Guarded changes that stand together are proven together: one new connection for all of them.
            let more = self.plan.changes.get(place + 1).is_some_and(|next| next.guarded);
            if armed && !more {
                let mut together = self.plan.changes[..=place].iter().rev().take_while(|one| one.guarded);
                let has_unit = together.any(|one| one.spec.kind() == Kind::Unit);
                self.prove(has_unit).map_err(Turn::Back)?;
            }
        }
        session
            .finish(Ending::Commit, &mut |step| self.tell(Event::Progress(step)))
            .map_err(|error| self.turn(error))?;
        Ok(())
    }

    /// Looks at what the plan changes and refuses when it is not as it was. An apply that died is brought
    /// into order first.
    fn compare(&self, session: &mut Session) -> Result<(), Turn> {
        let refuse = |error: HostError| Turn::Refuse(self.fault(&error));
        let specs = self.specs();
        let mut seen = session.observe(&specs).map_err(refuse)?;
        match &seen.open {
            Some(open) if open.alive => return Err(Turn::Refuse(self.locked(open))),
            Some(_) => {
                let recovered = session.recover(&self.options.claim, None).map_err(refuse)?;
                self.tell(Event::Recovered(recovered));
                seen = session.observe(&specs).map_err(refuse)?;
            }
            None => {}
        }
        if self.plan.fingerprint_in(&seen.states) == self.plan.observed {
            return Ok(());
        }
        let moved: Vec<String> =
            self.differing(&seen).iter().map(|change| change.resource.to_string()).collect();
        let what = if moved.is_empty() { "something of it".to_owned() } else { shown(&moved.join(", ")) };
        Err(Turn::Refuse(Fault::new(
            self.host,
            HostCode::Moved,
            format!("compare the host with the plan: {what} changed since"),
            "plan again, and look at what is different",
        )))
    }

    fn send_blobs(&self, session: &mut Session) -> Result<(), HostError> {
        let blobs = blobs_of(&self.plan.changes);
        if blobs.is_empty() {
            return Ok(());
        }
        for hash in session.missing(blobs.keys().copied().collect())? {
            // A host gets what is on the list, not what it asks for.
            let Some(bytes) = blobs.get(&hash).copied() else { continue };
            self.tell(Event::Sending { bytes });
            let mut from =
                self.around.blobs.open(&hash).map_err(|source| HostError::Blob { hash, source })?;
            session.put(Blob { hash, bytes, from: from.as_mut() })?;
        }
        Ok(())
    }

    /// Carries out one change; says whether the dead-man is armed then.
    fn act(&self, session: &mut Session, change: &Change) -> Result<bool, Turn> {
        let Change { number, resource, .. } = change;
        let of = u32::try_from(self.plan.changes.len()).unwrap_or(u32::MAX);
        self.tell(Event::Acting { number: *number, of, resource: resource.clone() });
        let secrets = values_of(change, self.around.secrets).map_err(|error| {
            let mut why = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                why = format!("{why}: {cause}");
                source = cause.source();
            }
            let remedy = "see `haus credential show`, then plan again";
            let mut fault =
                Fault::new(self.host, HostCode::ActFailed, format!("change {resource}: {why}"), remedy);
            fault.resource = Some(resource.clone());
            Turn::Back(fault)
        })?;
        let act = Act { number: *number, secrets };
        let done = session
            .act(act, &mut |step| self.tell(Event::Progress(step)))
            .map_err(|error| self.turn(error))?;
        self.tell(Event::Acted {
            number: *number,
            changed: done.changed,
            notes: done.notes.iter().map(|note| shown(note)).collect(),
            took_ms: done.took_ms,
        });
        Ok(done.armed_until.is_some())
    }

    /// Reaches the host anew and disarms the dead-man. Tries again as long as the host would still believe
    /// it. What a unit has begun is waited for first.
    fn prove(&self, has_unit: bool) -> Result<(), Box<Fault>> {
        self.tell(Event::Confirming);
        let clock = self.around.clock;
        // The last quarter is left to the host, so that we do not confirm what it takes back at that moment.
        let last = clock.now() + Duration::from_secs(u64::from(self.options.guard_s)) * 3 / 4;
        if has_unit {
            clock.pause(self.options.patience.settle);
        }
        loop {
            let confirmed = self
                .around
                .sessions
                .open(&self.target, Purpose::Proof)
                .and_then(|mut session| session.confirm(&self.options.apply));
            let error = match confirmed {
                Ok(()) => {
                    self.tell(Event::Confirmed);
                    return Ok(());
                }
                Err(error) => error,
            };
            let hopeless = matches!(error, HostError::Refused(_)) || self.around.cancel.is_wished();
            if hopeless || clock.now() + self.options.patience.pause >= last {
                let inner = self.fault(&error);
                let message = format!(
                    "reach the host over a new connection after a guarded change: {}",
                    inner.finding.message
                );
                let remedy = "the change would have locked us out: correct it in the plan, then plan again";
                let mut fault = Fault::new(self.host, HostCode::NotConfirmed, message, remedy);
                fault.evidence = inner.evidence;
                return Err(fault);
            }
            clock.pause(self.options.patience.pause);
        }
    }

    /// Takes everything back over the session that is there.
    fn take_back(&self, mut session: Session, fault: Box<Fault>) -> HostOutcome {
        self.tell(Event::TakingBack(fault.clone()));
        match session.finish(Ending::RollBack, &mut |step| self.tell(Event::Progress(step))) {
            Ok(finished) => {
                let left = left_of(&finished);
                self.taken_back(session, fault, left)
            }
            // Whatever stands in the way here, the host itself can still do it, asked by another session.
            Err(_) => {
                drop(session);
                self.settle(fault)
            }
        }
    }

    /// Proves by observing that it is as it was, and adds what is not.
    pub(crate) fn taken_back(
        &self,
        mut session: Session,
        fault: Box<Fault>,
        mut left: Vec<Left>,
    ) -> HostOutcome {
        if let Ok(seen) = session.observe(&self.specs()) {
            for change in self.differing(&seen) {
                if !left.iter().any(|one| one.resource == change.resource) {
                    let why = "it is not as it was before".to_owned();
                    left.push(Left { resource: change.resource.clone(), why });
                }
            }
        }
        HostOutcome::RolledBack { fault, left }
    }

    fn stop(&self, mut session: Session, done: u32) -> HostOutcome {
        let of = u32::try_from(self.plan.changes.len()).unwrap_or(u32::MAX);
        let fault = Fault::new(
            self.host,
            HostCode::ActFailed,
            format!("carry out change {} of {of}: it was asked to stop", done + 1),
            "apply again when you want to go on",
        );
        match self.options.when_stopped {
            WhenStopped::TakeBack => self.take_back(session, fault),
            WhenStopped::Leave => match session.finish(Ending::Stop, &mut |_| {}) {
                Ok(_) => HostOutcome::Stopped { done, of },
                Err(_) => {
                    drop(session);
                    self.settle(fault)
                }
            },
        }
    }

    fn turn(&self, error: HostError) -> Turn {
        let fault = self.fault(&error);
        match error {
            HostError::Refused(_) | HostError::Blob { .. } => Turn::Back(fault),
            HostError::Road(_) => Turn::Lost(fault),
        }
    }

    fn locked(&self, open: &OpenApply) -> Box<Fault> {
        let reason = open.reason.as_deref().map(|reason| format!(" ({})", shown(reason))).unwrap_or_default();
        Fault::new(
            self.host,
            HostCode::Locked,
            format!(
                "take the lock of the host: {}{reason} is changing it since {}, {} of {} changes done",
                shown(&open.owner),
                open.began,
                open.done,
                open.of
            ),
            "wait until it is through; when nobody is there any more, its process on the host ends with its connection",
        )
    }

    /// The changes whose resources are not as they were when the plan was made.
    fn differing(&self, seen: &Inventory) -> Vec<&'a Change> {
        let print = |change: &Change, state: &State| fingerprint_of([(&change.resource, state)]);
        let differs = |change: &&Change| {
            let state = seen.states.get(&change.resource).unwrap_or(&State::Absent);
            print(change, state) != print(change, &change.before)
        };
        self.plan.changes.iter().filter(differs).collect()
    }

    pub(crate) fn specs(&self) -> Vec<Spec> {
        self.plan.changes.iter().map(|change| change.spec.clone()).collect()
    }

    pub(crate) fn fault(&self, error: &HostError) -> Box<Fault> {
        Fault::of(self.host, error)
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.around.events)(self.host, event);
    }
}
