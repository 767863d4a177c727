//! After a connection was lost in the middle: look for the host, ask its journal what became of the apply,
//! and take it back when it did not end. It takes nothing for granted that the host has not said.

use crate::apply::WhenStopped;
use crate::host::HostError;
use crate::outcome::{Event, Fault, HostOutcome, left_of};
use crate::run::Run;
use crate::transport::Purpose;
use haus_acts::wire::{Outcome, PastApply};
use haus_model::host_code::HostCode;
use std::time::Duration;

/// What a guarded host may need besides its guard: a restart, and the way back.
const BOOT: Duration = Duration::from_secs(90);

/// How far one attempt came.
enum Attempt {
    /// The outcome is known.
    Settled(Box<HostOutcome>),
    /// It may be different in a moment.
    Again(Box<Fault>),
}

fn settled(outcome: HostOutcome) -> Attempt {
    Attempt::Settled(Box::new(outcome))
}

impl Run<'_> {
    /// What became of the apply after this fault.
    pub(crate) fn settle(&self, fault: Box<Fault>) -> HostOutcome {
        let clock = self.around.clock;
        let guarded = self.plan.changes.iter().any(|change| change.guarded);
        let guard = Duration::from_secs(u64::from(self.options.guard_s)) + BOOT;
        let at_most = self.options.patience.search + if guarded { guard } else { Duration::ZERO };
        if at_most.is_zero() {
            let last = fault.clone();
            return self.unknown(fault, &last);
        }
        self.tell(Event::Searching { at_most_s: at_most.as_secs() });
        let last = clock.now() + at_most;
        loop {
            let again = match self.attempt(&fault) {
                Attempt::Settled(outcome) => return *outcome,
                Attempt::Again(again) => again,
            };
            if clock.now() + self.options.patience.pause >= last {
                return self.unknown(fault, &again);
            }
            clock.pause(self.options.patience.pause);
        }
    }

    fn attempt(&self, fault: &Fault) -> Attempt {
        let again = |error: HostError| Attempt::Again(self.fault(&error));
        let mut session = match self.around.sessions.open(&self.target, Purpose::Proof) {
            Ok(session) => session,
            Err(error) => return again(error),
        };
        let past = match session.history(5) {
            Ok(past) => past,
            Err(error) => return again(error),
        };
        let ours = past.into_iter().find(|past| past.apply == self.options.apply);
        let Some(PastApply { outcome, done, .. }) = ours else {
            // It never began there, so nothing was changed.
            return settled(HostOutcome::Refused(Box::new(fault.clone())));
        };
        match outcome {
            Outcome::Committed => settled(HostOutcome::Done { changes: done }),
            Outcome::RolledBack => settled(self.taken_back(session, Box::new(fault.clone()), Vec::new())),
            Outcome::Reverted => settled(self.taken_back(session, self.not_confirmed(fault), Vec::new())),
            Outcome::Stopped if self.options.when_stopped == WhenStopped::Leave => {
                let of = u32::try_from(self.plan.changes.len()).unwrap_or(u32::MAX);
                settled(HostOutcome::Stopped { done, of })
            }
            Outcome::Open | Outcome::Interrupted | Outcome::Stopped => {
                let rolled = session.roll_back(&self.options.claim, Some(&self.options.apply), &mut |step| {
                    self.tell(Event::Progress(step));
                });
                match rolled {
                    Ok(finished) => {
                        let left = left_of(&finished);
                        settled(self.taken_back(session, Box::new(fault.clone()), left))
                    }
                    // The process of the lost session may still be finishing its act, or the dead-man be at
                    // work.
                    Err(error) => again(error),
                }
            }
        }
    }

    /// The first fault, told as what it became.
    fn not_confirmed(&self, fault: &Fault) -> Box<Fault> {
        let message = format!(
            "the host took the apply back by itself, since nobody confirmed it: {}",
            fault.finding.message
        );
        let mut told = Fault::new(self.host, HostCode::NotConfirmed, message, &fault.finding.remedy);
        told.resource.clone_from(&fault.resource);
        told.evidence.clone_from(&fault.evidence);
        told
    }

    fn unknown(&self, fault: Box<Fault>, last: &Fault) -> HostOutcome {
        let look_at = format!(
            "it could not be taken back since ({}). When the host answers again, the next `haus apply` first brings \
             what was under way into order; on the host itself: /var/lib/haus-remote/*/journal/{}.jsonl",
            last.finding.message, self.options.apply
        );
        HostOutcome::Unknown { fault, look_at }
    }
}
