//! One rotation as a state machine: what to do next, how often to try, when to undo. The whole table is in
//! `docs/formats/vault.md`. It has no clock, does nothing by itself and never sees a value.
//!
//! The driver's loop: load the rotation, ask [`Rotation::next`], do that act, [`Rotation::record`] what came
//! of it, **store the rotation**, ask again. After a crash the stored rotation asks for the same act once
//! more, so every act must be able to find its work already done, or half done.

use haus_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Tries of each step on the way forward, before everything is undone. With back-off some 31 seconds and the
/// time of the tries: consumers may be without a working value meanwhile, so undoing must begin soon.
pub const FORWARD_TRIES_MAX: u32 = 6;

/// Tries of each step of the way back, and of retiring the old value. With back-off some two hours: giving up
/// costs a person's night, and waiting costs nothing that is not lost already.
pub const LATE_TRIES_MAX: u32 = 20;

/// The longest wait between two tries.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(600);

/// Bytes of a reason that are kept; the driver's errors may be long.
const WHY_BYTES_MAX: usize = 2_000;

/// What a rotation is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Id of this rotation.
    pub id: String,
    /// The credential's id.
    pub credential: String,
    /// The version that is valid.
    pub from_version: u64,
    /// The version that is to be; sealed already.
    pub to_version: u64,
    /// How long the old value stays valid beside the new one.
    pub overlap: Duration,
    /// Whether a server must be told.
    pub has_server: bool,
    /// The services that read the credential.
    pub consumers: Vec<String>,
}

/// Where a rotation stands. Its form in JSON is part of the store's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The server learns the new value.
    Tell,
    /// Consumers get the new value: files, then reload or restart.
    Deliver,
    /// Probes, and a real login with the new value.
    Prove,
    /// Both values are valid.
    Overlap {
        /// Until then.
        until: Timestamp,
    },
    /// The server and the consumers' files forget the old value.
    Retire,
    /// The server accepts the old value again.
    UndoTell,
    /// Consumers get the old value again.
    UndoDeliver,
    /// The server forgets the new value.
    UndoRetire,
    /// The new value is valid, alone.
    Done,
    /// The old value is valid, alone.
    Undone,
    /// Neither is sure; a person must look. [`Rotation::resume`] goes on.
    Stuck,
}

impl Step {
    /// The word in answers, logs and the trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Tell => "tell",
            Step::Deliver => "deliver",
            Step::Prove => "prove",
            Step::Overlap { .. } => "overlap",
            Step::Retire => "retire",
            Step::UndoTell => "undo-tell",
            Step::UndoDeliver => "undo-deliver",
            Step::UndoRetire => "undo-retire",
            Step::Done => "done",
            Step::Undone => "undone",
            Step::Stuck => "stuck",
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_ended(self) -> bool {
        match self {
            Step::Done | Step::Undone | Step::Stuck => true,
            Step::Tell
            | Step::Deliver
            | Step::Prove
            | Step::Overlap { .. }
            | Step::Retire
            | Step::UndoTell
            | Step::UndoDeliver
            | Step::UndoRetire => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the driver must do. Each act states what is to be true afterwards, not what to change, so doing it
/// twice is the same as doing it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// The server accepts the new value. A server that can hold two keeps the old one as well.
    TellServer,
    /// Every consumer has the new value in its file (the old one as the previous, when there is an overlap)
    /// and has been reloaded or restarted.
    DeliverNew,
    /// Every consumer's probe is well, and a login with the new value works where there is a server.
    ProveNew,
    /// The server accepts the new value only, and no file has the old one. Without a server only the files.
    RetireOld,
    /// The server accepts the old value. A server that can hold two keeps the new one as well.
    TellServerOld,
    /// Every consumer has the old value, and no previous one, in its file and has been reloaded or restarted.
    DeliverOld,
    /// The server accepts the old value only.
    RetireNew,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this, then record what came of it.
    Act(Act),
    /// Nothing before this time.
    WaitUntil(Timestamp),
    /// Nothing any more.
    Ended,
}

/// What went wrong with an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In one sentence, without the value.
    pub why: String,
    /// Whether trying again may help. A login that is refused stays refused; a server that does not answer
    /// may come back.
    pub retry: bool,
}

/// What a person or the caller asked for and a rotation cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// The versions are not an old one and a later new one.
    #[error("a rotation goes from a version to a later one, not from {from} to {to}")]
    Versions {
        /// The old one.
        from: u64,
        /// The new one.
        to: u64,
    },
    /// Too late or too early for it.
    #[error("rotation {id} stands at `{step}` and cannot be {verb} there")]
    Step {
        /// The rotation.
        id: String,
        /// Where it stands.
        step: Step,
        /// What was asked for, as a participle.
        verb: &'static str,
    },
}

/// One rotation of one credential. Serialized as it is; the whole of it is stored after every change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Id of this rotation.
    pub id: String,
    /// The credential's id.
    pub credential: String,
    /// The version before.
    pub from_version: u64,
    /// The version after.
    pub to_version: u64,
    /// Where it stands.
    pub step: Step,
    /// How long the old value stays valid beside the new one.
    pub overlap: Duration,
    /// Whether a server must be told.
    pub has_server: bool,
    /// The services that read the credential.
    pub consumers: Vec<String>,
    /// When it began.
    pub began: Timestamp,
    /// Failed tries of this step.
    pub tries: u32,
    /// Why it failed last, is being undone, or is stuck.
    pub why: Option<String>,
    /// When it came to this step.
    pub since: Timestamp,
    /// Not to be tried before.
    pub retry_at: Option<Timestamp>,
    /// Whether consumers may have the new value, so that undoing must reach them.
    pub delivered: bool,
    /// The step at which it got stuck.
    pub stuck_at: Option<StuckAt>,
}

/// The steps whose failure leaves a rotation stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StuckAt {
    /// The new value is valid and proven; the old one may be valid too.
    Retire,
    /// The server may accept either value; consumers still have the new one, if any was delivered.
    UndoTell,
    /// The server accepts the old value; some consumers may have the new one.
    UndoDeliver,
    /// The old value is valid everywhere; the server may accept the new one too.
    UndoRetire,
}

impl Rotation {
    /// A rotation at its first step. Nothing has been done yet.
    ///
    /// # Errors
    /// When the versions are not an old and a later one.
    pub fn new(order: Order, now: Timestamp) -> Result<Rotation, RotationError> {
        let Order { id, credential, from_version, to_version, overlap, has_server, consumers } = order;
        if from_version == 0 || to_version <= from_version {
            return Err(RotationError::Versions { from: from_version, to: to_version });
        }
        Ok(Rotation {
            id,
            credential,
            from_version,
            to_version,
            step: if has_server { Step::Tell } else { Step::Deliver },
            overlap,
            has_server,
            consumers,
            began: now,
            tries: 0,
            why: None,
            since: now,
            retry_at: None,
            // Without a server delivering is the first step, and its act may begin at once.
            delivered: !has_server,
            stuck_at: None,
        })
    }

    /// What comes next. Asking changes nothing.
    pub fn next(&self, now: Timestamp) -> Next {
        if let Some(at) = self.retry_at
            && now < at
            // A clock that was set back must not keep consumers without a working value.
            && at.since(now) <= BACK_OFF_MAX
        {
            return Next::WaitUntil(at);
        }
        match self.step {
            Step::Tell => Next::Act(Act::TellServer),
            Step::Deliver => Next::Act(Act::DeliverNew),
            Step::Prove => Next::Act(Act::ProveNew),
            Step::Overlap { until } if now < until => Next::WaitUntil(until),
            Step::Overlap { .. } | Step::Retire => Next::Act(Act::RetireOld),
            Step::UndoTell => Next::Act(Act::TellServerOld),
            Step::UndoDeliver => Next::Act(Act::DeliverOld),
            Step::UndoRetire => Next::Act(Act::RetireNew),
            Step::Done | Step::Undone | Step::Stuck => Next::Ended,
        }
    }

    /// Takes what came of the act that [`Rotation::next`] asked for at `now` or before. Where it asked for
    /// none, nothing changes.
    pub fn record(&mut self, now: Timestamp, result: Result<(), Failure>) {
        match self.step {
            Step::Done | Step::Undone | Step::Stuck => return,
            Step::Overlap { until } if now < until => return,
            Step::Overlap { .. } => self.enter(Step::Retire, now),
            Step::Tell
            | Step::Deliver
            | Step::Prove
            | Step::Retire
            | Step::UndoTell
            | Step::UndoDeliver
            | Step::UndoRetire => {}
        }
        match result {
            Ok(()) => self.succeeded(now),
            Err(failure) => self.failed(now, failure),
        }
    }

    /// To be called once for every rotation that is found in the store at start: an act may have been under
    /// way, and may be the reason for the end. Counts as a failed try, so that an act that ends its driver
    /// each time is undone, not repeated for ever.
    pub fn interrupted(&mut self, now: Timestamp) {
        match self.next(now) {
            Next::Act(act) => {
                let why = format!("the coordinator ended during {act:?}");
                self.record(now, Err(Failure { why, retry: true }));
            }
            Next::WaitUntil(_) | Next::Ended => {}
        }
    }

    /// Undoes it because a person wants so; possible until the overlap is over.
    ///
    /// # Errors
    /// When the old value is being retired already, or it ended.
    pub fn undo(&mut self, now: Timestamp, why: &str) -> Result<(), RotationError> {
        match self.step {
            Step::Tell | Step::Deliver | Step::Prove => {}
            Step::Overlap { until } if now < until => {}
            Step::Overlap { .. }
            | Step::Retire
            | Step::UndoTell
            | Step::UndoDeliver
            | Step::UndoRetire
            | Step::Done
            | Step::Undone
            | Step::Stuck => return Err(self.refuse("undone")),
        }
        self.why = Some(shortened(why.to_owned()));
        self.turn_back(now);
        Ok(())
    }

    /// Ends the overlap because a person wants the old value gone.
    ///
    /// # Errors
    /// When there is no overlap at present.
    pub fn end_overlap(&mut self, now: Timestamp) -> Result<(), RotationError> {
        let Step::Overlap { .. } = self.step else { return Err(self.refuse("shortened")) };
        self.enter(Step::Retire, now);
        Ok(())
    }

    /// Goes on where it got stuck, after a person has looked; all tries are there again.
    ///
    /// # Errors
    /// When it is not stuck.
    pub fn resume(&mut self, now: Timestamp) -> Result<(), RotationError> {
        let Some(at) = self.stuck_at.take() else { return Err(self.refuse("resumed")) };
        let step = match at {
            StuckAt::Retire => Step::Retire,
            StuckAt::UndoTell => Step::UndoTell,
            StuckAt::UndoDeliver => Step::UndoDeliver,
            StuckAt::UndoRetire => Step::UndoRetire,
        };
        self.enter(step, now);
        Ok(())
    }

    /// The version that a reader gets at present: the one that the server most likely accepts.
    pub fn serving(&self) -> u64 {
        let new = match self.step {
            Step::Tell | Step::UndoDeliver | Step::UndoRetire | Step::Undone => false,
            Step::Deliver | Step::Prove | Step::Overlap { .. } | Step::Retire | Step::Done => true,
            Step::UndoTell => self.delivered,
            Step::Stuck => match self.stuck_at {
                Some(StuckAt::Retire) => true,
                Some(StuckAt::UndoTell) => self.delivered,
                Some(StuckAt::UndoDeliver | StuckAt::UndoRetire) | None => false,
            },
        };
        if new { self.to_version } else { self.from_version }
    }

    /// The version that is proven to work: the new one from the end of the proof on, while it is not being
    /// undone.
    pub fn promoted(&self) -> u64 {
        let new = match self.step {
            Step::Overlap { .. } | Step::Retire | Step::Done => true,
            Step::Stuck => self.stuck_at == Some(StuckAt::Retire),
            Step::Tell
            | Step::Deliver
            | Step::Prove
            | Step::UndoTell
            | Step::UndoDeliver
            | Step::UndoRetire
            | Step::Undone => false,
        };
        if new { self.to_version } else { self.from_version }
    }

    fn succeeded(&mut self, now: Timestamp) {
        let next = match self.step {
            Step::Tell => Step::Deliver,
            Step::Deliver => Step::Prove,
            Step::Prove if self.overlap.is_zero() => Step::Retire,
            Step::Prove => Step::Overlap { until: now.after(self.overlap) },
            Step::Retire => Step::Done,
            Step::UndoTell if self.delivered => Step::UndoDeliver,
            Step::UndoDeliver if !self.has_server => Step::Undone,
            Step::UndoTell | Step::UndoDeliver => Step::UndoRetire,
            Step::UndoRetire => Step::Undone,
            Step::Overlap { .. } | Step::Done | Step::Undone | Step::Stuck => return,
        };
        match self.step {
            // A failure that was overcome is no news; that of an undone rotation is why it was undone.
            Step::Tell | Step::Deliver | Step::Prove | Step::Overlap { .. } | Step::Retire => self.why = None,
            Step::UndoTell
            | Step::UndoDeliver
            | Step::UndoRetire
            | Step::Done
            | Step::Undone
            | Step::Stuck => {}
        }
        self.enter(next, now);
    }

    fn failed(&mut self, now: Timestamp, failure: Failure) {
        let (tries_max, stuck_at) = match self.step {
            Step::Tell | Step::Deliver | Step::Prove => (FORWARD_TRIES_MAX, None),
            Step::Retire => (LATE_TRIES_MAX, Some(StuckAt::Retire)),
            Step::UndoTell => (LATE_TRIES_MAX, Some(StuckAt::UndoTell)),
            Step::UndoDeliver => (LATE_TRIES_MAX, Some(StuckAt::UndoDeliver)),
            Step::UndoRetire => (LATE_TRIES_MAX, Some(StuckAt::UndoRetire)),
            Step::Overlap { .. } | Step::Done | Step::Undone | Step::Stuck => return,
        };
        let why = shortened(failure.why);
        self.tries = self.tries.saturating_add(1);
        let again = failure.retry && self.tries < tries_max;
        match (again, stuck_at) {
            (true, None | Some(StuckAt::Retire)) => self.why = Some(why),
            // On the way back the reason for turning stays; the reason of the last try comes when it gets
            // stuck.
            (true, Some(StuckAt::UndoTell | StuckAt::UndoDeliver | StuckAt::UndoRetire)) => {}
            (false, None) => {
                self.why = Some(why);
                self.turn_back(now);
                return;
            }
            (false, Some(at)) => {
                self.why = Some(match (at, self.why.take()) {
                    (StuckAt::Retire, _) | (_, None) => why,
                    (_, Some(cause)) => shortened(format!("{why}; it was being undone because: {cause}")),
                });
                self.enter(Step::Stuck, now);
                self.stuck_at = Some(at);
                return;
            }
        }
        self.retry_at = Some(now.after(back_off(self.tries)));
    }

    fn turn_back(&mut self, now: Timestamp) {
        let step = if self.has_server { Step::UndoTell } else { Step::UndoDeliver };
        self.enter(step, now);
    }

    fn enter(&mut self, step: Step, now: Timestamp) {
        // Said before the act, so that a crash in the middle of it does not hide it.
        self.delivered |= step == Step::Deliver;
        self.step = step;
        self.since = now;
        self.tries = 0;
        self.retry_at = None;
    }

    fn refuse(&self, verb: &'static str) -> RotationError {
        RotationError::Step { id: self.id.clone(), step: self.step, verb }
    }
}

/// 1 s, doubled with every failed try.
fn back_off(tries: u32) -> Duration {
    let doubled = 1u32
        .checked_shl(tries.saturating_sub(1))
        .map_or(BACK_OFF_MAX, |seconds| Duration::from_secs(seconds.into()));
    doubled.min(BACK_OFF_MAX)
}

fn shortened(mut why: String) -> String {
    if why.len() > WHY_BYTES_MAX {
        let end = (0..=WHY_BYTES_MAX).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
        why.truncate(end);
        why.push('…');
    }
    why
}

#[cfg(test)]
mod tests;
