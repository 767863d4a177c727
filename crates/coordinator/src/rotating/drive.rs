//! One task per open rotation: asks the machine, does the act, keeps the result, asks again.

use super::act::{Stop, perform};
use super::{Wish, kept};
use crate::api::Caller;
use crate::desk::Desk;
use crate::vaulting::subject;
use haus_model::Timestamp;
use haus_model::alert::AlertLevel;
use haus_store::{Batch, Conflict, CredentialRow, EventKind, NewEvent};
use haus_trail::{Action, Outcome};
use haus_vault::rotation::{Failure, Next, Rotation, Step};
use haus_watch::alert::{Condition, ROTATION_FAILED, ROTATION_STUCK};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// The longest nap while nothing is due: somebody may set the clock.
const NAP_MAX: Duration = Duration::from_secs(30);

/// While the ledger refuses, it is asked again after this time.
const KEEP_AGAIN: Duration = Duration::from_secs(2);

/// The longest that the disk may take for one step; nobody waits for an answer to a request.
const KEEP_WITHIN: Duration = Duration::from_secs(10);

/// An act that takes longer is as good as failed.
const ACT_MAX: Duration = Duration::from_secs(3_600);

/// Drives one rotation until it ends or gets stuck. False when it had to leave it where it stands, since
/// the house or the credential ended.
pub(super) async fn drive(desk: Arc<Desk>, mut rotation: Rotation, mut wishes: mpsc::Receiver<Wish>) -> bool {
    loop {
        let before = rotation.clone();
        match rotation.next(desk.clock.wall()) {
            Next::Ended => return true,
            Next::WaitUntil(at) => {
                let nap = at.since(desk.clock.wall()).clamp(Duration::from_millis(10), NAP_MAX);
                tokio::select! {
                    () = sleep(nap) => continue,
                    Some(wish) = wishes.recv() => match wish {
                        // One that is not in its overlap any more needs none of it.
                        Wish::EndOverlap => drop(rotation.end_overlap(desk.clock.wall())),
                    },
                }
            }
            Next::Act(act) => {
                let done = timeout(ACT_MAX, perform(&desk, &rotation, act)).await.unwrap_or_else(|_| {
                    let why = format!("no end within {} s", ACT_MAX.as_secs());
                    Err(Stop::Failed(Failure { why, retry: false }))
                });
                let outcome = match done {
                    Ok(()) => Ok(()),
                    Err(Stop::Failed(failure)) => Err(failure),
                    // The stored rotation asks for the same act at the next start.
                    Err(Stop::Halted | Stop::Gone) => return false,
                };
                rotation.record(desk.clock.wall(), outcome);
            }
        }
        if rotation != before && !keep(&desk, &before, &rotation).await {
            return false;
        }
    }
}

/// Keeps a move, however long the ledger refuses: the next act must not begin before. False when the
/// credential is gone.
pub(super) async fn keep(desk: &Desk, before: &Rotation, after: &Rotation) -> bool {
    loop {
        match try_keep(desk, before, after).await {
            Some(is_there) => return is_there,
            None => sleep(KEEP_AGAIN).await,
        }
    }
}

/// None when the ledger refuses.
async fn try_keep(desk: &Desk, before: &Rotation, after: &Rotation) -> Option<bool> {
    let id = after.credential.clone();
    let row = desk.registrar.read(move |ledger| ledger.credential(&id)).await.ok()?;
    let Some(row) = row else { return Some(false) };
    let now = desk.clock.wall();
    let house = desk.house();
    let planned = house.credentials.get(row.name.as_str()).filter(|_| row.owner.is_none());
    let life = kept::life(planned.and_then(|credential| credential.ttl), row.owner.is_none(), &row);
    let mut batch = Batch { writes: kept::writes(before, after, life, now), entries: Vec::new() };
    let outcome = kept::told(before, after);
    if let Some(outcome) = outcome {
        let caller = Caller::house(&format!("rotation {}", after.id));
        let entry = desk.registrar.entry(&caller, Action::CredentialRotate, subject(&row), outcome);
        let entry = entry
            .detail("id", row.id.clone())
            .detail("rotation", after.id.clone())
            .detail("step", after.step.as_str())
            .detail("from_version", after.from_version.to_string())
            .detail("to_version", after.to_version.to_string());
        let why = after.why.clone().filter(|_| outcome == Outcome::Failed);
        batch.entries.push(match why {
            Some(why) => entry.because(why),
            None => entry,
        });
    }
    match desk.registrar.commit_within(batch, KEEP_WITHIN).await {
        Ok(Ok(_)) => {
            if outcome.is_some() {
                tell(desk, &row, after, now);
            }
            Some(true)
        }
        Ok(Err(Conflict::Missing(_))) => Some(false),
        // Any other precondition holds for ever or not at all: without this a rotation would spin on it.
        Ok(Err(conflict)) => {
            desk.note(&format!("rotation {} of credential `{}` stops: {conflict}", after.id, row.name));
            Some(false)
        }
        Err(_) => None,
    }
}

/// Events and alerts.
fn tell(desk: &Desk, row: &CredentialRow, rotation: &Rotation, now: Timestamp) {
    let why = rotation.why.as_deref().unwrap_or("no reason was kept");
    let version = rotation.to_version;
    let text = match rotation.step {
        Step::Tell => format!("version {version}: the server is told"),
        Step::Deliver => format!("version {version}: services get it"),
        Step::Prove => format!("version {version}: it is being proven"),
        Step::Overlap { until } => {
            format!("version {version} is in force; the old one is valid until {until}")
        }
        Step::Retire => format!("version {version} is in force; the old one is being retired"),
        Step::UndoTell | Step::UndoDeliver | Step::UndoRetire => {
            format!("version {version} is being taken back ({}): {why}", rotation.step)
        }
        Step::Done => format!("rotated to version {version}; the old one has ended"),
        Step::Undone => format!("version {version} was taken back, the old one is in force: {why}"),
        Step::Stuck => {
            format!("the rotation to version {version} is stuck: {}", kept::stuck_in_words(rotation))
        }
    };
    desk.journal.record(NewEvent::new(now, EventKind::Credential, row.name.clone(), text));
    alert(desk, row, rotation, now);
}

/// Raises or clears what this step means.
pub(super) fn alert(desk: &Desk, row: &CredentialRow, rotation: &Rotation, now: Timestamp) {
    let name = super::alert_name(row);
    let subject = format!("credential:{name}");
    let condition = |kind: &str, level, why: String| Condition {
        subject: haus_watch::alert::Subject::Credential(name.clone()),
        kind: kind.to_owned(),
        level,
        services: row.scope.clone(),
        why,
    };
    match rotation.step {
        Step::Done => {
            for kind in [ROTATION_FAILED, ROTATION_STUCK] {
                desk.alarms.clear(now, &subject, kind, "it was rotated");
            }
        }
        Step::Undone => {
            desk.alarms.clear(now, &subject, ROTATION_STUCK, "it was taken back");
            let why = rotation.why.clone().unwrap_or_default();
            desk.alarms.raise_for(now, condition(ROTATION_FAILED, AlertLevel::Warning, why));
        }
        Step::Stuck => {
            let why = kept::stuck_in_words(rotation);
            desk.alarms.raise_for(now, condition(ROTATION_STUCK, AlertLevel::Critical, why));
        }
        Step::Tell
        | Step::Deliver
        | Step::Prove
        | Step::Overlap { .. }
        | Step::Retire
        | Step::UndoTell
        | Step::UndoDeliver
        | Step::UndoRetire => {}
    }
}
