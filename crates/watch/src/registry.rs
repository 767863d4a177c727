//! Who is there: the instances of all services, their addresses, their state, and since when.
//!
//! Every real change gets the next revision and stays in a bounded log, so that a watcher can ask
//! for what happened since. It does not judge health and knows neither storage nor requests.

use haus_model::health::HealthState;
use haus_model::{InstanceId, PortName, Timestamp};
use std::collections::{BTreeMap, VecDeque};

use crate::timer::Timers;

/// Changes that the log keeps before it forgets the oldest.
pub const LOG_CHANGES_MAX: usize = 4_096;

/// One instance as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The slot.
    pub id: InstanceId,
    /// Which run of it.
    pub run: u64,
    /// Where it listens.
    pub address: String,
    /// Its ports.
    pub ports: BTreeMap<PortName, u16>,
    /// The port that is meant when none is named.
    pub main_port: Option<PortName>,
    /// Its health.
    pub state: HealthState,
    /// The phase of its life, in the word of every output.
    pub phase: String,
    /// Since when it is in this phase.
    pub since: Timestamp,
    /// Why it is in this phase.
    pub why: String,
    /// When the entry goes away unless it is renewed; none when nothing must renew it.
    pub lease_until: Option<Timestamp>,
    /// The revision of its last change; set by the registry.
    pub revision: u64,
}

impl Entry {
    /// Whether the two differ in more than lease and revision.
    fn says_the_same(&self, other: &Entry) -> bool {
        let plain = |entry: &Entry| Entry { lease_until: None, revision: 0, ..entry.clone() };
        plain(self) == plain(other)
    }
}

/// What happened to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new or different.
    Put(Entry),
    /// It is gone.
    Removed {
        /// Why: `stopped: the house goes down`, `its lease ran out`.
        why: String,
    },
}

/// One change with its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryChange {
    /// Its number; the one before has the number before.
    pub revision: u64,
    /// Whom it is about.
    pub id: InstanceId,
    /// What happened.
    pub what: What,
}

/// The answer to "what happened since revision N?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangesSince<'a> {
    /// Everything after it, oldest first; empty when nothing happened.
    Known(Vec<&'a RegistryChange>),
    /// The log does not reach back that far, or the revision is none of ours: read everything again.
    Forgotten,
}

/// The registry.
#[derive(Clone, Debug)]
pub struct Registry {
    entries: BTreeMap<InstanceId, Entry>,
    leases: Timers<InstanceId>,
    revision: u64,
    log: VecDeque<RegistryChange>,
    log_changes_max: usize,
}

impl Registry {
    /// An empty registry whose next change gets the revision after `revision`.
    ///
    /// Whoever restarts passes the last revision that anybody may have seen, so that a watcher's
    /// number never means two things.
    pub fn new(revision: u64) -> Registry {
        Registry {
            entries: BTreeMap::new(),
            leases: Timers::default(),
            revision,
            log: VecDeque::new(),
            log_changes_max: LOG_CHANGES_MAX,
        }
    }

    /// The same with a log of another length.
    #[must_use]
    pub fn with_log_changes_max(mut self, log_changes_max: usize) -> Registry {
        self.log_changes_max = log_changes_max;
        self
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// All entries in the order of their ids.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// One entry.
    pub fn get(&self, id: &InstanceId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The entries of one service.
    pub fn of_service<'a>(&'a self, service: &'a haus_model::ServiceName) -> impl Iterator<Item = &'a Entry> {
        let first = InstanceId { service: service.clone(), ordinal: 0 };
        let last = InstanceId { service: service.clone(), ordinal: u32::MAX };
        self.entries.range(first..=last).map(|(_, entry)| entry)
    }

    /// Enters or changes an instance; the entry's own revision does not matter.
    ///
    /// Gives the new revision, or none when nothing but the lease is different.
    pub fn put(&mut self, mut entry: Entry) -> Option<u64> {
        self.leases.set(&entry.id, entry.lease_until);
        if let Some(known) = self.entries.get_mut(&entry.id)
            && known.says_the_same(&entry)
        {
            known.lease_until = entry.lease_until;
            return None;
        }
        entry.revision = self.revision + 1;
        self.record(entry.id.clone(), What::Put(entry.clone()));
        self.entries.insert(entry.id.clone(), entry);
        Some(self.revision)
    }

    /// Takes an instance out; gives the new revision, or none when it was not there.
    pub fn remove(&mut self, id: &InstanceId, why: impl Into<String>) -> Option<u64> {
        self.entries.remove(id)?;
        self.leases.set(id, None);
        self.record(id.clone(), What::Removed { why: why.into() });
        Some(self.revision)
    }

    /// Makes a lease longer (or shorter); false when the instance is not there.
    ///
    /// A renewal is no change: it would wake every watcher for nothing.
    pub fn renew(&mut self, id: &InstanceId, lease_until: Timestamp) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        entry.lease_until = Some(lease_until);
        self.leases.set(id, Some(lease_until));
        true
    }

    /// Removes every entry whose lease ran out; gives their ids.
    pub fn expire(&mut self, now: Timestamp) -> Vec<InstanceId> {
        let due = self.leases.take_due(now);
        for id in &due {
            self.remove(id, "its lease ran out");
        }
        due
    }

    /// When the next lease runs out.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.leases.next()
    }

    /// What happened after `revision`.
    pub fn changes_since(&self, revision: u64) -> ChangesSince<'_> {
        let behind = self.revision.checked_sub(revision).and_then(|behind| usize::try_from(behind).ok());
        match behind.and_then(|behind| self.log.len().checked_sub(behind)) {
            Some(skipped) => ChangesSince::Known(self.log.iter().skip(skipped).collect()),
            None => ChangesSince::Forgotten,
        }
    }

    fn record(&mut self, id: InstanceId, what: What) {
        self.revision += 1;
        self.log.push_back(RegistryChange { revision: self.revision, id, what });
        while self.log.len() > self.log_changes_max {
            self.log.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
