//! What the ledger has to be told when a rotation moved on. Pure: nothing is read, written or opened.

use haus_model::Timestamp;
use haus_store::{CredentialRow, RotationRow, Write};
use haus_trail::Outcome;
use haus_vault::rotation::{Rotation, Step, StuckAt};
use std::time::Duration;

/// A rotation as it is kept. One that is stuck is open: a person resumes it.
pub(super) fn row(rotation: &Rotation, now: Timestamp) -> RotationRow {
    let is_over = match rotation.step {
        Step::Done | Step::Undone => true,
        Step::Tell
        | Step::Deliver
        | Step::Prove
        | Step::Overlap { .. }
        | Step::Retire
        | Step::UndoTell
        | Step::UndoDeliver
        | Step::UndoRetire
        | Step::Stuck => false,
    };
    RotationRow {
        id: rotation.id.clone(),
        credential: rotation.credential.clone(),
        began_at: rotation.began,
        ended_at: is_over.then_some(now),
        state: serde_json::to_string(rotation).expect("a rotation is plain data"),
    }
}

/// The writes that go with a move, the rotation's own row among them, in one transaction.
pub(super) fn writes(
    before: &Rotation,
    after: &Rotation,
    life: Option<Duration>,
    now: Timestamp,
) -> Vec<Write> {
    let mut writes = Vec::new();
    let (credential, from, to) = (&after.credential, after.from_version, after.to_version);
    if before.promoted() != after.promoted() {
        let previous_until = match after.step {
            Step::Overlap { until } => Some(until),
            // Nobody is to use the other one any more, although the server may still take it.
            Step::Tell
            | Step::Deliver
            | Step::Prove
            | Step::Retire
            | Step::UndoTell
            | Step::UndoDeliver
            | Step::UndoRetire
            | Step::Done
            | Step::Undone
            | Step::Stuck => Some(now),
        };
        writes.push(Write::VersionPromote {
            credential: credential.clone(),
            version: after.promoted(),
            at: now,
            previous_until,
            expires_at: life.map(|life| now.after(life)),
        });
    }
    match after.step {
        Step::Done => writes.push(Write::VersionRetire { credential: credential.clone(), version: from }),
        Step::Undone => writes.push(Write::VersionRetire { credential: credential.clone(), version: to }),
        Step::Tell
        | Step::Deliver
        | Step::Prove
        | Step::Overlap { .. }
        | Step::Retire
        | Step::UndoTell
        | Step::UndoDeliver
        | Step::UndoRetire
        | Step::Stuck => {}
    }
    writes.push(Write::RotationPut(Box::new(row(after, now))));
    writes
}

/// The writes that end a stuck rotation for good, so that another one may begin.
pub(super) fn abandon(stuck: &Rotation, now: Timestamp) -> Vec<Write> {
    // Whichever version is not in force ends.
    let version = if stuck.promoted() == stuck.to_version { stuck.from_version } else { stuck.to_version };
    let mut stuck = stuck.clone();
    let why = stuck.why.take().unwrap_or_default();
    stuck.why = Some(format!("{why}; it was abandoned for another rotation"));
    let retire = Write::VersionRetire { credential: stuck.credential.clone(), version };
    vec![retire, Write::RotationPut(Box::new(RotationRow { ended_at: Some(now), ..row(&stuck, now) }))]
}

/// What the trail says of a move; none when it is only another try of the same step.
pub(super) fn told(before: &Rotation, after: &Rotation) -> Option<Outcome> {
    if before.step.as_str() == after.step.as_str() {
        return None;
    }
    Some(match after.step {
        Step::UndoTell | Step::UndoDeliver | Step::UndoRetire | Step::Undone | Step::Stuck => Outcome::Failed,
        Step::Tell | Step::Deliver | Step::Prove | Step::Overlap { .. } | Step::Retire | Step::Done => {
            Outcome::Allowed
        }
    })
}

/// How long a version of this credential lives: as the plan says, or as long as the one before it.
pub(super) fn life(ttl: Option<Duration>, is_of_plan: bool, row: &CredentialRow) -> Option<Duration> {
    if is_of_plan {
        return ttl;
    }
    row.expires_at.map(|at| at.since(row.rotated_at)).filter(|life| !life.is_zero())
}

/// What a person is told of a stuck one.
pub(super) fn stuck_in_words(rotation: &Rotation) -> String {
    let state = match rotation.stuck_at {
        Some(StuckAt::Retire) => "the new value is in force; the old one may be valid too",
        Some(StuckAt::UndoTell) => "it is not sure which of both values the server takes",
        Some(StuckAt::UndoDeliver) => "the server takes the old value; some services may have the new one",
        Some(StuckAt::UndoRetire) => "the old value is in force; the server may take the new one too",
        None => "it is not known how far it came",
    };
    format!("{state}: {}", rotation.why.as_deref().unwrap_or("no reason was kept"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_vault::rotation::{Failure, Order};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn rotation(overlap_s: u64) -> Rotation {
        let order = Order {
            id: "r".into(),
            credential: "c".into(),
            from_version: 3,
            to_version: 4,
            overlap: Duration::from_secs(overlap_s),
            has_server: true,
            consumers: Vec::new(),
        };
        Rotation::new(order, NOW).unwrap()
    }

    /// The words of the writes of each move; `.` works, `x` fails for good.
    #[track_caller]
    fn check(overlap_s: u64, script: &str, expected: &[&str]) {
        let mut rotation = rotation(overlap_s);
        let mut now = NOW;
        let mut found = Vec::new();
        for outcome in script.chars() {
            if let Step::Overlap { until } = rotation.step {
                now = until;
            }
            let before = rotation.clone();
            let failure = || Failure { why: "refused".into(), retry: false };
            rotation.record(now, if outcome == '.' { Ok(()) } else { Err(failure()) });
            let words = writes(&before, &rotation, None, now).into_iter().map(|write| {
                if let Write::VersionPromote { version, previous_until, .. } = &write {
                    return format!(
                        "promote {version} previous {}",
                        previous_until.unwrap().since(now).as_secs()
                    );
                }
                if let Write::VersionRetire { version, .. } = &write {
                    return format!("retire {version}");
                }
                let Write::RotationPut(row) = write else { panic!("{write:?}") };
                if row.ended_at.is_some() {
                    format!("{} over", rotation.step)
                } else {
                    rotation.step.to_string()
                }
            });
            found.push(words.collect::<Vec<_>>().join(", "));
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn a_version_is_promoted_with_its_proof_and_the_old_one_ends_with_the_last_step() {
        check(60, "....", &["deliver", "prove", "promote 4 previous 60, overlap", "retire 3, done over"]);
        check(0, "....", &["deliver", "prove", "promote 4 previous 0, retire", "retire 3, done over"]);
    }

    #[test]
    fn an_undone_rotation_ends_the_new_version_and_promotes_nothing() {
        check(60, ".x...", &["deliver", "undo-tell", "undo-deliver", "undo-retire", "retire 4, undone over"]);
    }

    #[test]
    fn a_stuck_rotation_stays_open_until_it_is_abandoned() {
        check(0, "...x", &["deliver", "prove", "promote 4 previous 0, retire", "stuck"]);
        let mut stuck = rotation(0);
        for outcome in [Ok(()), Ok(()), Ok(()), Err(Failure { why: "refused".into(), retry: false })] {
            stuck.record(NOW, outcome);
        }
        assert_eq!(
            stuck_in_words(&stuck),
            "the new value is in force; the old one may be valid too: refused"
        );
        let writes = abandon(&stuck, NOW);
        assert!(matches!(&writes[0], Write::VersionRetire { version: 3, .. }), "{writes:?}");
        assert!(matches!(&writes[1], Write::RotationPut(row) if row.ended_at == Some(NOW)), "{writes:?}");
    }

    #[test]
    fn taking_it_back_from_the_overlap_promotes_the_old_version_again() {
        let mut rotation = rotation(60);
        (0..3).for_each(|_| rotation.record(NOW, Ok(())));
        let before = rotation.clone();
        rotation.undo(NOW, "a person wants so").unwrap();
        let writes = writes(&before, &rotation, None, NOW);
        assert!(matches!(&writes[0], Write::VersionPromote { version: 3, .. }), "{writes:?}");
        assert_eq!(told(&before, &rotation), Some(Outcome::Failed));
    }

    #[test]
    fn another_try_of_a_step_is_no_entry() {
        let before = rotation(0);
        let mut after = before.clone();
        after.record(NOW, Err(Failure { why: "no answer".into(), retry: true }));
        assert_eq!(told(&before, &after), None);
        assert_eq!(writes(&before, &after, None, NOW).len(), 1);
    }
}
