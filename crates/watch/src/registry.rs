//! Who is there: the instances of all services, their addresses, their state, and since when.
//!
//! Every real change gets the next revision and stays in a bounded log, so that a watcher can ask
//! for what happened since. It does not judge health and knows neither storage nor requests.

use haus_model::health::HealthState;
use haus_model::{InstanceId, PortName, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::timer::Timers;

/// Changes that the log keeps in any house before it forgets the oldest.
pub const LOG_CHANGES_MIN: usize = 4_096;

/// Changes that the log keeps for each instance of the largest number that was there at once: a start or an
/// outage of the whole house is a handful of changes for each, and no watcher shall have to read everything
/// again because of it.
pub const LOG_CHANGES_PER_INSTANCE: usize = 8;

/// Ordinals of announced instances begin here, far above any that a plan can ask for.
pub const ANNOUNCED_ORDINAL_FIRST: u32 = 1_000_001;

/// Who says that an instance exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The supervisor runs it.
    #[default]
    Supervised,
    /// It was put on a host, where something else keeps it running.
    Placed,
    /// It registered by itself over the API.
    Announced,
}

impl Origin {
    /// The word in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Supervised => "supervised",
            Origin::Placed => "placed",
            Origin::Announced => "announced",
        }
    }
}

/// One instance as the registry knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The slot; an announced instance has an ordinal from [`ANNOUNCED_ORDINAL_FIRST`] upwards.
    pub id: InstanceId,
    /// Who says that it exists.
    pub origin: Origin,
    /// What an announced instance calls itself.
    pub name: Option<String>,
    /// The version that it says it is.
    pub version: Option<String>,
    /// What else it says of itself; no secrets.
    pub metadata: BTreeMap<String, String>,
    /// Its share of the requests beside the other instances; usually 1.
    pub weight: u32,
    /// How busy it said it was, from 0 for idle; changes of it are no changes of the registry.
    pub load: Option<f64>,
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
    /// Whether the two differ in nothing that a watcher is woken for: lease, load and revision do not count.
    ///
    /// Every field is named, so that a new one has to be thought about here.
    fn says_the_same(&self, other: &Entry) -> bool {
        let Entry {
            id,
            origin,
            name,
            version,
            metadata,
            weight,
            load: _,
            run,
            address,
            ports,
            main_port,
            state,
            phase,
            since,
            why,
            lease_until: _,
            revision: _,
        } = self;
        (id, origin, name, version, metadata, weight)
            == (&other.id, &other.origin, &other.name, &other.version, &other.metadata, &other.weight)
            && (run, address, ports, main_port)
                == (&other.run, &other.address, &other.ports, &other.main_port)
            && (state, phase, since, why) == (&other.state, &other.phase, &other.since, &other.why)
    }
}

/// A load that can be compared: numbers that are none, infinite or negative say nothing.
fn plain_load(load: Option<f64>) -> Option<f64> {
    load.filter(|load| load.is_finite() && *load >= 0.0)
}

/// What happened to an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It is new or different.
    Put(Box<Entry>),
    /// It is gone.
    Removed {
        /// Why: `stopped: the house goes down`, `its lease ran out`.
        why: String,
    },
}

/// One change with its revision.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistryChange {
    /// Its number; the one before has the number before.
    pub revision: u64,
    /// Whom it is about.
    pub id: InstanceId,
    /// What happened.
    pub what: What,
}

/// The answer to "what happened since revision N?".
#[derive(Clone, Debug, PartialEq)]
pub enum ChangesSince {
    /// Everything after it, oldest first; empty when nothing happened. The changes are shared with the log
    /// and with every other watcher: a thousand watchers of one change cost a thousand pointers.
    Known(Vec<Arc<RegistryChange>>),
    /// The log does not reach back that far, or the revision is none of ours: read everything again.
    Forgotten,
}

/// The registry.
#[derive(Clone, Debug)]
pub struct Registry {
    entries: BTreeMap<InstanceId, Entry>,
    leases: Timers<InstanceId>,
    revision: u64,
    log: VecDeque<Arc<RegistryChange>>,
    /// The length of the log when somebody has fixed it.
    log_changes_max: Option<usize>,
    /// The most instances that were there at once.
    entries_most: usize,
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
            log_changes_max: None,
            entries_most: 0,
        }
    }

    /// The same with a log of a fixed length; otherwise it grows with the house, see
    /// [`LOG_CHANGES_PER_INSTANCE`].
    #[must_use]
    pub fn with_log_changes_max(mut self, log_changes_max: usize) -> Registry {
        self.log_changes_max = Some(log_changes_max);
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
    /// Gives the new revision, or none when nothing but lease and load is different.
    pub fn put(&mut self, mut entry: Entry) -> Option<u64> {
        self.leases.set(&entry.id, entry.lease_until);
        entry.load = plain_load(entry.load);
        if let Some(known) = self.entries.get_mut(&entry.id)
            && known.says_the_same(&entry)
        {
            known.lease_until = entry.lease_until;
            known.load = entry.load;
            return None;
        }
        entry.revision = self.revision + 1;
        self.entries.insert(entry.id.clone(), entry.clone());
        self.entries_most = self.entries_most.max(self.entries.len());
        self.record(entry.id.clone(), What::Put(Box::new(entry)));
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

    /// Notes how busy an instance is; false when it is not there.
    ///
    /// It is no change: it comes with every heartbeat and would wake every watcher for nothing.
    pub fn set_load(&mut self, id: &InstanceId, load: Option<f64>) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        entry.load = plain_load(load);
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

    /// What happened after `revision`; costs as much as there are changes after it, whatever the log holds.
    pub fn changes_since(&self, revision: u64) -> ChangesSince {
        let behind = self.revision.checked_sub(revision).and_then(|behind| usize::try_from(behind).ok());
        match behind.and_then(|behind| self.log.len().checked_sub(behind)) {
            Some(skipped) => ChangesSince::Known(self.log.range(skipped..).cloned().collect()),
            None => ChangesSince::Forgotten,
        }
    }

    fn record(&mut self, id: InstanceId, what: What) {
        self.revision += 1;
        self.log.push_back(Arc::new(RegistryChange { revision: self.revision, id, what }));
        // The most that were ever there counts: when all of them leave, their leaving must fit too.
        let grown = self.entries_most.saturating_mul(LOG_CHANGES_PER_INSTANCE).max(LOG_CHANGES_MIN);
        while self.log.len() > self.log_changes_max.unwrap_or(grown) {
            self.log.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
