//! How much somebody who may do a thing makes the trail grow. It asks no clock and raises no alert.
//!
//! Threat: a service with a good token that reads its values without end. Each read is an entry, entries are
//! kept for ever by default, and a full disk closes credentials for everybody. Whoever keeps values for as
//! long as they may be kept, or asks with the ETag, never comes near to a limit here.

use haus_model::{ServiceName, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Entries that anybody may make in a second, for as long as they like: 432,000 a day, some 200 MB.
const PER_SECOND: u64 = 5;

/// Entries beyond that at which somebody is told.
const LOUD: u64 = 100_000;

/// It is over below this, so that it does not come and go.
const CALM: u64 = 10_000;

/// Entries beyond it at which the next has to wait: half a gigabyte. No honest load comes here.
const FULL: u64 = 1_000_000;

/// How many are remembered before those who do not count any more are forgotten.
const REMEMBERED_MAX: usize = 4_096;

/// Milliseconds in which one more entry is allowed.
const PACE_MS: u64 = 1_000 / PER_SECOND;

/// What became of somebody's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// They may be made.
    Fine,
    /// They may be made, and somebody is to be told: for the first time since it was calm.
    Loud(u64),
    /// They may not be made for this long.
    Full(Duration),
}

/// Somebody's entries beyond what anybody may make, as a bucket that leaks [`PER_SECOND`].
#[derive(Default)]
struct Bucket {
    /// In milliseconds of leaking, so that no part of an entry is lost.
    level_ms: u64,
    at: Timestamp,
    is_loud: bool,
}

impl Bucket {
    fn leak(&mut self, now: Timestamp) {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.level_ms = self.level_ms.saturating_sub(passed);
        self.at = self.at.max(now);
    }
}

/// Everybody's buckets.
#[derive(Default)]
pub(super) struct Flood {
    buckets: HashMap<String, Bucket>,
}

impl Flood {
    /// `actor` is about to make so many entries.
    pub(super) fn take(&mut self, now: Timestamp, actor: &str, entries: usize) -> Taken {
        if !self.buckets.contains_key(actor) {
            self.make_room(now);
            self.buckets.insert(actor.to_owned(), Bucket { at: now, ..Bucket::default() });
        }
        let Some(bucket) = self.buckets.get_mut(actor) else { return Taken::Fine };
        bucket.leak(now);
        let full_ms = FULL * PACE_MS;
        if bucket.level_ms >= full_ms {
            return Taken::Full(Duration::from_millis(bucket.level_ms - full_ms + PACE_MS));
        }
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        bucket.level_ms = bucket.level_ms.saturating_add(entries.saturating_mul(PACE_MS));
        let level = bucket.level_ms / PACE_MS;
        if level < LOUD || std::mem::replace(&mut bucket.is_loud, true) {
            return Taken::Fine;
        }
        Taken::Loud(level)
    }

    /// Subjects of alerts about somebody who was loud and is calm, with nobody else of the same subject loud.
    pub(super) fn calmed(&mut self, now: Timestamp) -> BTreeSet<String> {
        let mut calm = BTreeSet::new();
        for (actor, bucket) in &mut self.buckets {
            bucket.leak(now);
            if bucket.is_loud && bucket.level_ms < CALM * PACE_MS {
                bucket.is_loud = false;
                calm.insert(subject_of(actor));
            }
        }
        let loud = self.buckets.iter().filter(|(_, bucket)| bucket.is_loud);
        let loud: BTreeSet<String> = loud.map(|(actor, _)| subject_of(actor)).collect();
        self.make_room(now);
        calm.difference(&loud).cloned().collect()
    }

    /// Forgets those whose bucket is empty, when there are many. Each actor was let in by an administrator or
    /// the plan, so their number is bounded by that.
    fn make_room(&mut self, now: Timestamp) {
        if self.buckets.len() < REMEMBERED_MAX {
            return;
        }
        self.buckets.retain(|_, bucket| {
            bucket.leak(now);
            bucket.level_ms > 0 || bucket.is_loud
        });
    }
}

/// What an alert about an actor is about: its service, or the house.
pub(super) fn subject_of(actor: &str) -> String {
    let service = actor.strip_prefix("service:").map(|rest| rest.split('/').next().unwrap_or(rest));
    match service.and_then(|name| name.parse::<ServiceName>().ok()) {
        Some(name) => name.to_string(),
        None => "@house".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(0).after(Duration::from_secs(seconds))
    }

    /// Reads of one entry by `api` in each of these seconds; how many were allowed, and how many told of.
    #[track_caller]
    fn check(per_second: usize, seconds: u64, expected: (usize, usize)) {
        let (mut flood, mut allowed, mut told) = (Flood::default(), 0, 0);
        for second in 0..seconds {
            for _ in 0..per_second {
                match flood.take(at(second), "service:api/1", 1) {
                    Taken::Fine => allowed += 1,
                    Taken::Loud(_) => (allowed, told) = (allowed + 1, told + 1),
                    Taken::Full(wait) => assert!(wait <= Duration::from_secs(1), "{wait:?}"),
                }
            }
        }
        assert_eq!((allowed, told), expected);
    }

    #[test]
    fn who_reads_steadily_is_never_stopped_and_a_flood_that_lasts_is() {
        check(5, 100_000, (500_000, 0));
        check(20_000, 4, (80_000, 0));
        check(20_000, 40, (800_000, 1));
        // A million, and five for each of the 99 seconds after the first.
        check(20_000, 100, (1_000_495, 1));
    }

    #[test]
    fn nobody_pays_for_somebody_else() {
        let mut flood = Flood::default();
        assert_eq!(flood.take(at(0), "service:api/1", 1_000_000), Taken::Loud(1_000_000));
        assert!(matches!(flood.take(at(0), "service:api/1", 1), Taken::Full(_)));
        assert_eq!(flood.take(at(0), "service:api/2", 1), Taken::Fine);
        assert_eq!(flood.take(at(1), "service:api/1", 1), Taken::Fine);
    }

    #[test]
    fn it_is_over_when_the_last_of_a_service_is_calm() {
        let mut flood = Flood::default();
        flood.take(at(0), "service:api/1", 100_000);
        flood.take(at(10), "service:api/2", 100_000);
        assert!(flood.calmed(at(18_000)).is_empty());
        assert!(flood.calmed(at(18_005)).is_empty(), "api/2 is loud");
        assert_eq!(flood.calmed(at(18_020)), BTreeSet::from(["api".to_owned()]));
        assert!(flood.calmed(at(18_021)).is_empty());
    }

    #[test]
    fn the_quiet_are_forgotten() {
        let mut flood = Flood::default();
        for number in 0..REMEMBERED_MAX {
            flood.take(at(0), &format!("service:api/{number}"), 1);
        }
        flood.take(at(10), "token:script", 1);
        assert_eq!(flood.buckets.len(), 1);
        assert_eq!(subject_of("token:script"), "@house");
    }
}
