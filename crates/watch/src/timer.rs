//! A queue of deadlines, one per key: the earliest is found, moved or removed without a walk over all.
//!
//! It knows no clock and does not know what a deadline means.

use haus_model::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// At most one deadline for each key, ordered by time and then by key.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    by_time: BTreeSet<(Timestamp, K)>,
    by_key: BTreeMap<K, Timestamp>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets, moves or (with none) removes the deadline of `key`.
    pub fn set(&mut self, key: &K, at: Option<Timestamp>) {
        if self.by_key.get(key).copied() == at {
            return;
        }
        if let Some(old) = self.by_key.remove(key) {
            self.by_time.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.by_key.insert(key.clone(), at);
            self.by_time.insert((at, key.clone()));
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes every key whose deadline is `now` or earlier, earliest first.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<K> {
        let mut due = Vec::new();
        while self.next().is_some_and(|at| at <= now) {
            if let Some((_, key)) = self.by_time.pop_first() {
                self.by_key.remove(&key);
                due.push(key);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_move_and_fall_due_in_order() {
        let mut timers = Timers::default();
        timers.set(&"late", Some(Timestamp(30)));
        timers.set(&"moved", Some(Timestamp(10)));
        timers.set(&"early", Some(Timestamp(20)));
        timers.set(&"gone", Some(Timestamp(5)));
        timers.set(&"moved", Some(Timestamp(25)));
        timers.set(&"gone", None);
        assert_eq!(timers.next(), Some(Timestamp(20)));
        assert_eq!(timers.take_due(Timestamp(25)), ["early", "moved"]);
        assert_eq!(timers.next(), Some(Timestamp(30)));
        assert_eq!(timers.take_due(Timestamp(29)), [""; 0]);
    }
}
