//! What nobody reports by itself: the disk, the database, the audit trail. Looks at each on a rhythm of its
//! own and raises or clears; knows nothing of who is told.

use super::Alarms;
use crate::desk::Desk;
use haus_model::Timestamp;
use haus_model::alert::AlertLevel;
use haus_store::{Ledger, StoreError, TrailQuery};
use haus_trail::{Head, Verifier};
use haus_watch::alert::{DISK_LOW, STORE_UNWRITABLE, TRAIL_BROKEN};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often disk and database are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often new entries of the trail are verified.
const TRAIL_EVERY: Duration = Duration::from_secs(600);

/// Entries that are verified in one go; between two, others may read.
const TRAIL_PAGE: usize = 1_000;

/// A disk with less free than this is nearly full (spec: 10 %), in thousandths.
const DISK_LOW_PERMILLE: u64 = 100;

/// With less than this, writes are about to fail.
const DISK_CRITICAL_PERMILLE: u64 = 20;

/// It is well again above this, so that one log file does not make it come and go.
const DISK_WELL_PERMILLE: u64 = 120;

/// The subject of everything here.
const HOUSE: &str = "@house";

/// Looks until it is dropped.
pub(super) async fn run(desk: &Arc<Desk>) {
    tokio::join!(look(desk), follow_trail(desk));
}

async fn look(desk: &Desk) {
    loop {
        let now = desk.clock.wall();
        look_at_store(desk, now);
        look_at_disk(&desk.alarms, now, desk.places.state());
        sleep(LOOK_EVERY).await;
    }
}

fn look_at_store(desk: &Desk, now: Timestamp) {
    let health = desk.store.health();
    let journal = desk.journal.health().failing;
    match journal.or(health.last_error.filter(|_| !health.writable)) {
        Some(why) => desk.alarms.raise(now, HOUSE, STORE_UNWRITABLE, AlertLevel::Critical, &why),
        None if health.writable => desk.alarms.clear(now, HOUSE, STORE_UNWRITABLE, "it can be written again"),
        None => desk.alarms.raise(now, HOUSE, STORE_UNWRITABLE, AlertLevel::Critical, "writes fail"),
    }
}

fn look_at_disk(alarms: &Alarms, now: Timestamp, folder: &Path) {
    // A folder that is gone shows as a store that cannot be written.
    let Ok(disk) = rustix::fs::statvfs(folder) else { return };
    let Some(free) = disk.f_bavail.saturating_mul(1_000).checked_div(disk.f_blocks) else { return };
    match judge(free) {
        Some(level) => {
            let mib = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
            let why = format!("{} % ({mib} MiB) are free in {}", free / 10, folder.display());
            alarms.raise(now, HOUSE, DISK_LOW, level, &why);
        }
        None if free >= DISK_WELL_PERMILLE => {
            alarms.clear(now, HOUSE, DISK_LOW, &format!("{} % are free again", free / 10));
        }
        None => {}
    }
}

/// How bad so few thousandths are.
fn judge(free_permille: u64) -> Option<AlertLevel> {
    match free_permille {
        0..DISK_CRITICAL_PERMILLE => Some(AlertLevel::Critical),
        DISK_CRITICAL_PERMILLE..DISK_LOW_PERMILLE => Some(AlertLevel::Warning),
        _ => None,
    }
}

/// Verifies the whole trail once, then what is new.
async fn follow_trail(desk: &Desk) {
    let mut verified = None;
    loop {
        let ledger = Arc::clone(&desk.ledger);
        let from = verified;
        let looked = tokio::task::spawn_blocking(move || verify(&*ledger, from)).await;
        let now = desk.clock.wall();
        match looked {
            Ok(Ok(head)) => verified = Some(head),
            Ok(Err(Broken::Trail(why))) => {
                // From here on every entry hangs on a broken one: looking again tells nothing new, and a
                // person who puts the database back in order starts the house anew.
                desk.alarms.raise(now, HOUSE, TRAIL_BROKEN, AlertLevel::Critical, &why);
                return;
            }
            // A database that cannot be read shows as one that cannot be written.
            Ok(Err(Broken::Store)) | Err(_) => {}
        }
        // What somebody else found in this core's life (a trail behind its anchor) is not over by that.
        if verified.is_some() && !desk.alarms.is_said(HOUSE, TRAIL_BROKEN) {
            desk.alarms.clear(now, HOUSE, TRAIL_BROKEN, "every entry fits the one before it");
        }
        sleep(TRAIL_EVERY).await;
    }
}

/// Why a trail was not verified to its end.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    /// It cannot be read at present.
    Store,
    /// It was changed.
    Trail(String),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Broken {
        match error {
            // An entry that is none any more was changed as surely as one whose hash does not fit.
            StoreError::Corrupt { .. } => Broken::Trail(crate::chain(&error)),
            StoreError::Open { .. }
            | StoreError::Full { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Foreign { .. }
            | StoreError::Busy { .. }
            | StoreError::Io { .. }
            | StoreError::Closed
            | StoreError::Newer { .. }
            | StoreError::PortTaken { .. }
            | StoreError::NoPort { .. }
            | StoreError::Conflict { .. }
            | StoreError::Overloaded { .. }
            | StoreError::Unavailable { .. }
            | StoreError::NoTrail { .. }
            | StoreError::Sql { .. } => Broken::Store,
        }
    }
}

/// Verifies from a head that was verified before to the end, and returns the head there. Blocks.
fn verify(ledger: &dyn Ledger, from: Option<Head>) -> Result<Head, Broken> {
    let start = ledger.trail_start()?;
    // What was pruned meanwhile was verified before.
    let mut head = from.filter(|head| head.seq >= start.seq).unwrap_or(start);
    loop {
        let query = TrailQuery { after: Some(head.seq), limit: TRAIL_PAGE, ..TrailQuery::default() };
        let entries = ledger.trail(&query)?;
        let mut verifier = Verifier::new(head);
        let fault = entries.iter().find_map(|entry| verifier.check(entry));
        match (fault, entries.last()) {
            (Some(fault), _) => {
                // Old entries may have been removed between two pages.
                let start = ledger.trail_start()?;
                if start.seq <= head.seq {
                    return Err(Broken::Trail(fault.to_string()));
                }
                head = start;
            }
            (None, Some(last)) => head = last.head(),
            (None, None) => break,
        }
    }
    let end = ledger.trail_head()?;
    if end.seq == head.seq && end.hash != head.hash {
        return Err(Broken::Trail(format!("the kept head is another than that of entry {}", head.seq)));
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(free_permille: u64, expected: Option<AlertLevel>) {
        assert_eq!(judge(free_permille), expected, "{free_permille}");
    }

    #[test]
    fn a_disk_is_low_below_a_tenth_and_critical_below_a_fiftieth() {
        check(0, Some(AlertLevel::Critical));
        check(19, Some(AlertLevel::Critical));
        check(20, Some(AlertLevel::Warning));
        check(99, Some(AlertLevel::Warning));
        check(100, None);
    }
}
