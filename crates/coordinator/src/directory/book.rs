//! The book behind the lock: entries, their log, and what is known of them that is no change.
//!
//! Whatever is read out of it is shared, not copied, so that the lock is held for microseconds however many
//! instances there are. It decides nothing about health and waits for nobody.

use super::frame::Frame;
use super::member::Member;
use crate::announcing::Said;
use haus_model::health::HealthState;
use haus_model::{InstanceId, ServiceName, Timestamp};
use haus_watch::announced::Announced;
use haus_watch::registry::{
    ChangesSince, Entry, LOG_CHANGES_MIN, LOG_CHANGES_PER_INSTANCE, Origin, Registry, RegistryChange, What,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// What the last probe of an instance saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probed {
    /// When it ended, monotonic.
    pub at: Timestamp,
    /// In words.
    pub evidence: String,
    /// How long it took.
    pub took_ms: u64,
}

/// What is known of an instance that no watcher is woken for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Note {
    /// How busy it said it was.
    pub load: Option<f64>,
    /// When its entry goes away unless it is renewed, monotonic.
    pub lease_until: Option<Timestamp>,
    /// The last probe.
    pub probed: Option<Arc<Probed>>,
    /// The last heartbeat or registration, monotonic.
    pub beat_at: Option<Timestamp>,
    /// Heartbeats since the core started.
    pub beats: u64,
    /// How long its requests take, as it said.
    pub response_ms: Option<f64>,
}

/// One entry, shared with the log.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its last change.
    pub frame: Arc<Frame>,
    /// The rest.
    pub note: Note,
}

impl Row {
    /// The entry.
    pub(crate) fn entry(&self) -> &Entry {
        self.frame.entry().expect("a row is made of entries that were put")
    }

    /// Whether it registered with an earlier core and has said nothing since: nothing is known against it, so
    /// it can be used when nobody better is there.
    pub(crate) fn is_recalled(&self) -> bool {
        let entry = self.entry();
        entry.origin == Origin::Announced && entry.run == 0 && entry.state == HealthState::Unknown
    }
}

/// A service as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The phase of its life, in the word of every output.
    pub phase: String,
    /// Its health.
    pub health: HealthState,
    /// Since when, monotonic.
    pub since: Timestamp,
    /// Why.
    pub why: String,
}

/// A change of health, for the history. Monotonic time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When.
    pub at: Timestamp,
    /// The service.
    pub service: ServiceName,
    /// The instance; none for the service as a whole.
    pub instance: Option<String>,
    /// Before.
    pub from: HealthState,
    /// After.
    pub to: HealthState,
    /// Why.
    pub why: String,
}

/// The book.
pub(super) struct Book {
    registry: Registry,
    rows: BTreeMap<InstanceId, Row>,
    tallies: BTreeMap<ServiceName, Tally>,
    /// The instances of each service, the best first, so that nobody has to look for the worst one.
    ranks: BTreeMap<ServiceName, BTreeSet<(HealthState, u32)>>,
    /// The supervised instances that have a port.
    ports: HashMap<u16, BTreeSet<InstanceId>>,
    log: VecDeque<Arc<Frame>>,
    rows_most: usize,
    /// The services that the conductor looks after.
    pub(super) standings: BTreeMap<ServiceName, Arc<Standing>>,
    /// The services whose instances all announced themselves.
    pub(super) outside: BTreeMap<ServiceName, Arc<Standing>>,
    /// How instances that announced themselves age.
    pub(super) announced: Announced,
    pub(super) members: BTreeMap<ServiceName, BTreeMap<String, Member>>,
    /// Bytes of what the members of each service said of themselves.
    pub(super) bytes: BTreeMap<ServiceName, usize>,
    /// Who has registered which address.
    pub(super) held: HashMap<SocketAddr, (ServiceName, String)>,
    /// What supervised instances said of themselves.
    pub(super) said: BTreeMap<InstanceId, Said>,
    /// The next free number of each service.
    pub(super) ordinals: BTreeMap<ServiceName, u32>,
    /// How often each service was discovered.
    pub(super) turns: BTreeMap<ServiceName, u64>,
    /// Instances that registered since the prober looked last.
    pub(super) fresh: Vec<(ServiceName, String)>,
    /// Changes of health that nobody has written down yet.
    pub(super) untold: Vec<Turn>,
    /// Those that did not fit.
    pub(super) lost: u64,
}

/// Changes of health that wait at most; a disk that refuses must not fill the memory.
const UNTOLD_MAX: usize = 50_000;

impl Book {
    pub(super) fn new(revision: u64) -> Book {
        Book {
            // The log with the texts is kept here; the registry's own only has to reach to the last change.
            registry: Registry::new(revision).with_log_changes_max(1),
            rows: BTreeMap::new(),
            tallies: BTreeMap::new(),
            ports: HashMap::new(),
            log: VecDeque::new(),
            rows_most: 0,
            standings: BTreeMap::new(),
            outside: BTreeMap::new(),
            announced: Announced::default(),
            members: BTreeMap::new(),
            bytes: BTreeMap::new(),
            ranks: BTreeMap::new(),
            held: HashMap::new(),
            said: BTreeMap::new(),
            ordinals: BTreeMap::new(),
            turns: BTreeMap::new(),
            fresh: Vec::new(),
            untold: Vec::new(),
            lost: 0,
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.registry.revision()
    }

    /// Enters or changes an entry; true when a watcher is to be woken.
    pub(super) fn put(&mut self, at: Timestamp, entry: Entry) -> bool {
        let (id, load, lease_until) = (entry.id.clone(), entry.load, entry.lease_until);
        let former = self.rows.get(&id).map(|row| (row.entry().state, row.entry().run));
        let is_another_process =
            entry.origin != Origin::Announced && former.is_some_and(|(_, run)| run != entry.run);
        let former = former.map(|(state, _)| state);
        let (state, why) = (entry.state, entry.why.clone());
        let name = name_of(&entry);
        let is_new = self.registry.put(entry).is_some();
        if is_new {
            self.note_turn(
                at,
                &id.service,
                Some(&name),
                (former.unwrap_or(HealthState::Unknown), state),
                &why,
            );
            self.follow(name);
        }
        if let Some(row) = self.rows.get_mut(&id) {
            if is_another_process {
                row.note = Note::default();
            }
            row.note.lease_until = lease_until;
            row.note.load = load.or(row.note.load);
        }
        is_new
    }

    /// Takes an entry out; true when it was there.
    pub(super) fn remove(&mut self, at: Timestamp, id: &InstanceId, why: &str) -> bool {
        let Some(row) = self.rows.get(id) else { return false };
        let (name, state) = (row.frame.name().to_owned(), row.entry().state);
        self.registry.remove(id, why);
        self.note_turn(at, &id.service, Some(&name), (state, HealthState::Offline), why);
        self.follow(name);
        true
    }

    pub(super) fn renew(&mut self, id: &InstanceId, until: Timestamp) -> bool {
        if let Some(row) = self.rows.get_mut(id) {
            row.note.lease_until = Some(until);
        }
        self.registry.renew(id, until)
    }

    /// Takes out every entry whose lease ran out.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<InstanceId> {
        let due = |row: &&Row| row.note.lease_until.is_some_and(|until| until <= now);
        if self.registry.poll_timeout().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let ids: Vec<InstanceId> = self.rows.values().filter(due).map(|row| row.entry().id.clone()).collect();
        for id in &ids {
            self.remove(now, id, "its lease ran out");
        }
        ids
    }

    pub(super) fn lease_timeout(&self) -> Option<Timestamp> {
        self.registry.poll_timeout()
    }

    pub(super) fn row(&self, id: &InstanceId) -> Option<&Row> {
        self.rows.get(id)
    }

    pub(super) fn note_mut(&mut self, id: &InstanceId) -> Option<&mut Note> {
        self.rows.get_mut(id).map(|row| &mut row.note)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    pub(super) fn rows_of(&self, service: &ServiceName) -> impl Iterator<Item = &Row> {
        let first = InstanceId { service: service.clone(), ordinal: 0 };
        let last = InstanceId { service: service.clone(), ordinal: u32::MAX };
        self.rows.range(first..=last).map(|(_, row)| row)
    }

    /// The changes after `revision`, oldest first; none when the log does not reach back that far.
    pub(super) fn since(&self, revision: u64) -> Option<Vec<Arc<Frame>>> {
        let behind = usize::try_from(self.revision().checked_sub(revision)?).ok()?;
        let skipped = self.log.len().checked_sub(behind)?;
        Some(self.log.range(skipped..).cloned().collect())
    }

    /// Keeps a registration in place of the one that was there.
    pub(super) fn keep_member(&mut self, service: &ServiceName, instance: &str, member: Member) {
        self.drop_member(service, instance);
        *self.bytes.entry(service.clone()).or_default() += member.said.bytes();
        self.held.insert(member.address(), (service.clone(), instance.to_owned()));
        self.members.entry(service.clone()).or_default().insert(instance.to_owned(), member);
    }

    /// Forgets a registration.
    pub(super) fn drop_member(&mut self, service: &ServiceName, instance: &str) -> Option<Member> {
        let of_service = self.members.get_mut(service)?;
        let member = of_service.remove(instance)?;
        if of_service.is_empty() {
            self.members.remove(service);
            self.bytes.remove(service);
        } else if let Some(bytes) = self.bytes.get_mut(service) {
            *bytes = bytes.saturating_sub(member.said.bytes());
        }
        let is_it = |holder: &(ServiceName, String)| holder.0 == *service && holder.1 == instance;
        if self.held.get(&member.address()).is_some_and(is_it) {
            self.held.remove(&member.address());
        }
        Some(member)
    }

    /// Notes a change of health for the history.
    pub(super) fn note_turn(
        &mut self,
        at: Timestamp,
        service: &ServiceName,
        instance: Option<&str>,
        (from, to): (HealthState, HealthState),
        why: &str,
    ) {
        if from != to && self.untold.len() >= UNTOLD_MAX {
            self.lost += 1;
        } else if from != to {
            let (service, instance) = (service.clone(), instance.map(str::to_owned));
            self.untold.push(Turn { at, service, instance, from, to, why: why.to_owned() });
        }
    }

    /// Takes the registry's last change over into the log and the rows.
    fn follow(&mut self, name: String) {
        let ChangesSince::Known(changes) = self.registry.changes_since(self.registry.revision() - 1) else {
            return;
        };
        for change in changes {
            self.record(change, name.clone());
        }
    }

    /// Counts an entry in, or out.
    fn count(&mut self, frame: &Frame, comes: bool) {
        let Some(entry) = frame.entry() else { return };
        let tally = self.tallies.entry(entry.id.service.clone()).or_default();
        let count = tally.of(entry.state);
        *count = if comes { *count + 1 } else { count.saturating_sub(1) };
        if tally.healthy_of_all().1 == 0 {
            self.tallies.remove(&entry.id.service);
        }
        let ranks = self.ranks.entry(entry.id.service.clone()).or_default();
        let rank = (entry.state, entry.id.ordinal);
        let _ = if comes { ranks.insert(rank) } else { ranks.remove(&rank) };
        if ranks.is_empty() {
            self.ranks.remove(&entry.id.service);
        }
        if entry.origin == Origin::Announced {
            return;
        }
        for port in entry.ports.values() {
            let ids = self.ports.entry(*port).or_default();
            if comes {
                ids.insert(entry.id.clone())
            } else {
                ids.remove(&entry.id)
            };
            if ids.is_empty() {
                self.ports.remove(port);
            }
        }
    }

    /// How many instances of a service are in each state.
    pub(super) fn tally(&self, service: &ServiceName) -> Tally {
        self.tallies.get(service).copied().unwrap_or_default()
    }

    /// The instance of a service that is worst off; of several, the one that came last.
    pub(super) fn worst_of(&self, service: &ServiceName) -> Option<&Row> {
        let (_, ordinal) = *self.ranks.get(service)?.last()?;
        self.rows.get(&InstanceId { service: service.clone(), ordinal })
    }

    /// The supervised instances that have this port.
    pub(super) fn supervised_at(&self, port: u16) -> impl Iterator<Item = &Row> {
        self.ports.get(&port).into_iter().flatten().filter_map(|id| self.rows.get(id))
    }

    fn record(&mut self, change: Arc<RegistryChange>, name: String) {
        let frame = Arc::new(Frame::new(Arc::clone(&change), name));
        if let Some(former) = self.rows.get(&change.id).map(|row| Arc::clone(&row.frame)) {
            self.count(&former, false);
        }
        self.count(&frame, true);
        match &change.what {
            What::Put(_) => {
                let note = self.rows.get(&change.id).map(|row| row.note.clone()).unwrap_or_default();
                self.rows.insert(change.id.clone(), Row { frame: Arc::clone(&frame), note });
            }
            What::Removed { .. } => drop(self.rows.remove(&change.id)),
        }
        self.log.push_back(frame);
        self.rows_most = self.rows_most.max(self.rows.len());
        let kept = self.rows_most.saturating_mul(LOG_CHANGES_PER_INSTANCE).max(LOG_CHANGES_MIN);
        while self.log.len() > kept {
            self.log.pop_front();
        }
    }
}

/// How an instance is called in answers: by the name that it gave itself, else by its number.
fn name_of(entry: &Entry) -> String {
    match &entry.name {
        Some(name) => format!("{}/{name}", entry.id.service),
        None => entry.id.to_string(),
    }
}

/// How many instances of a service are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    unknown: usize,
    healthy: usize,
    degraded: usize,
    offline: usize,
}

impl Tally {
    fn of(&mut self, state: HealthState) -> &mut usize {
        match state {
            HealthState::Unknown => &mut self.unknown,
            HealthState::Healthy => &mut self.healthy,
            HealthState::Degraded => &mut self.degraded,
            HealthState::Offline => &mut self.offline,
        }
    }

    /// Those that are healthy, and all.
    pub(super) fn healthy_of_all(&self) -> (usize, usize) {
        (self.healthy, self.unknown + self.healthy + self.degraded + self.offline)
    }

    /// The service as a whole: healthy when each is, degraded while one can be used, unknown while nothing is
    /// known against it.
    pub(crate) fn health(&self) -> HealthState {
        match self.healthy_of_all() {
            (_, 0) => HealthState::Unknown,
            (healthy, all) if healthy == all => HealthState::Healthy,
            (_, _) if self.healthy + self.degraded > 0 => HealthState::Degraded,
            (_, _) if self.unknown > 0 => HealthState::Unknown,
            (_, _) => HealthState::Offline,
        }
    }
}

impl FromIterator<HealthState> for Tally {
    fn from_iter<I: IntoIterator<Item = HealthState>>(states: I) -> Tally {
        let mut tally = Tally::default();
        states.into_iter().for_each(|state| *tally.of(state) += 1);
        tally
    }
}
