//! Who is where: the registry that the engine and the API share, and those who watch it.
//!
//! Threat: a crowd that reads, and one that never reads what it asked for, must not keep the engine from
//! writing. One lock, held for microseconds: readers take shared pointers out of it and do their work
//! outside; watchers are woken by a channel of revisions and find each change already written. It judges no
//! health and keeps nothing on disk.

mod announced;
mod book;
mod frame;
mod member;
#[cfg(test)]
mod tests;

pub(crate) use announced::{Beat, Filled};
pub(crate) use book::{Probed, Row, Standing, Tally, Turn};
pub(crate) use frame::Frame;
pub(crate) use member::Member;

use crate::clock::Clock;
use crate::engine::Input;
use book::Book;
use haus_model::health::{HealthState, ProbeOutcome};
use haus_model::{InstanceId, ServiceName, Timestamp};
use haus_watch::registry::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// Acts on one instance wait for each other; more than this many at once would wait for the disk anyway.
const LANES: usize = 512;

/// For how long a count of requests under way is shown.
const COUNTED_FOR: Duration = Duration::from_millis(250);

/// Requests under way by instance, and when they were counted.
type Counted = (Timestamp, Arc<HashMap<String, u64>>);

/// The shared registry.
pub(crate) struct Directory {
    book: Mutex<Book>,
    lanes: [tokio::sync::Mutex<()>; LANES],
    revision: watch::Sender<u64>,
    counted: Mutex<Option<Counted>>,
    clock: Clock,
    inputs: mpsc::UnboundedSender<Input>,
    /// The engine has been told that announced instances changed, and has not looked yet.
    told: AtomicBool,
    /// Rings when a deadline may be earlier than the one that is waited for.
    pub(crate) rearm: Notify,
    /// Rings when changes of health wait to be written down.
    pub(crate) turned: Notify,
}

/// Everything after a revision.
pub(crate) struct Since {
    /// The revision of now.
    pub revision: u64,
    /// The changes; none when the log does not reach back that far.
    pub frames: Option<Vec<Arc<Frame>>>,
}

/// The whole of what can be seen, at one moment.
pub(crate) struct Seen {
    /// The revision.
    pub revision: u64,
    /// Every entry, by id.
    pub rows: Vec<Row>,
    /// Services by name; plan services that nobody told of are missing.
    pub standings: BTreeMap<ServiceName, Arc<Standing>>,
}

impl Directory {
    /// An empty directory whose next change gets the revision after `revision`.
    pub(crate) fn new(revision: u64, clock: Clock, inputs: mpsc::UnboundedSender<Input>) -> Directory {
        Directory {
            book: Mutex::new(Book::new(revision)),
            lanes: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            revision: watch::Sender::new(revision),
            counted: Mutex::new(None),
            clock,
            inputs,
            told: AtomicBool::new(false),
            rearm: Notify::new(),
            turned: Notify::new(),
        }
    }

    /// The revision of the last change.
    pub(crate) fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// Wakes with every new revision.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    // What the engine does.

    /// Enters a supervised instance, or changes its entry.
    pub(crate) fn put(&self, entry: Entry) {
        let now = self.clock.now();
        let mut book = self.book();
        let entry = with_said(&mut book, entry);
        book.put(now, entry);
        self.publish(book);
    }

    /// Takes an instance out.
    pub(crate) fn remove(&self, id: &InstanceId, why: &str) {
        let now = self.clock.now();
        let mut book = self.book();
        book.said.remove(id);
        book.remove(now, id, why);
        self.publish(book);
    }

    /// Makes a lease longer; false when the instance is not there.
    pub(crate) fn renew(&self, id: &InstanceId, until: Timestamp) -> bool {
        self.book().renew(id, until)
    }

    /// Takes out every instance whose lease ran out.
    pub(crate) fn expire(&self, now: Timestamp) -> Vec<InstanceId> {
        let mut book = self.book();
        let expired = book.expire(now);
        self.publish(book);
        expired
    }

    /// When the next lease runs out.
    pub(crate) fn lease_timeout(&self) -> Option<Timestamp> {
        self.book().lease_timeout()
    }

    /// Notes what a probe saw.
    pub(crate) fn note_probe(&self, id: &InstanceId, outcome: &ProbeOutcome) {
        let probed =
            Probed { at: self.clock.now(), evidence: outcome.evidence.clone(), took_ms: outcome.took_ms };
        if let Some(note) = self.book().note_mut(id) {
            note.probed = Some(Arc::new(probed));
        }
    }

    /// Notes how services as a whole are; `gone` are those that nobody looks after any more.
    pub(crate) fn note_standings(&self, standings: Vec<(ServiceName, Standing)>, gone: &[ServiceName]) {
        let mut book = self.book();
        for name in gone {
            book.standings.remove(name);
        }
        for (name, standing) in standings {
            let former = book.standings.get(&name).map_or(HealthState::Unknown, |former| former.health);
            book.note_turn(standing.since, &name, None, (former, standing.health), &standing.why);
            book.standings.insert(name, Arc::new(standing));
        }
        self.publish(book);
    }

    /// The engine looks at the announced instances now: the next change is told to it again.
    pub(crate) fn taken_up(&self) {
        self.told.store(false, Ordering::SeqCst);
    }

    // What readers get.

    /// Everything.
    pub(crate) fn seen(&self) -> Seen {
        let book = self.book();
        let mut standings = book.outside.clone();
        for (name, standing) in &book.standings {
            standings.insert(name.clone(), Arc::clone(standing));
        }
        Seen { revision: book.revision(), rows: book.rows().cloned().collect(), standings }
    }

    /// Everything about one service.
    pub(crate) fn seen_of(&self, service: &ServiceName) -> Seen {
        let book = self.book();
        let standing = book.standings.get(service).or_else(|| book.outside.get(service));
        Seen {
            revision: book.revision(),
            rows: book.rows_of(service).cloned().collect(),
            standings: standing.map(|standing| (service.clone(), Arc::clone(standing))).into_iter().collect(),
        }
    }

    /// How a service is as a whole; none when nobody has told of it.
    pub(crate) fn standing(&self, service: &ServiceName) -> Option<Arc<Standing>> {
        let book = self.book();
        book.standings.get(service).or_else(|| book.outside.get(service)).cloned()
    }

    /// One entry.
    pub(crate) fn row(&self, id: &InstanceId) -> Option<Row> {
        self.book().row(id).cloned()
    }

    /// The services that instances announced for themselves, with their health.
    pub(crate) fn outside(&self) -> BTreeMap<ServiceName, HealthState> {
        let book = self.book();
        book.outside.iter().map(|(name, standing)| (name.clone(), standing.health)).collect()
    }

    /// What happened after a revision.
    pub(crate) fn since(&self, revision: u64) -> Since {
        let book = self.book();
        Since { revision: book.revision(), frames: book.since(revision) }
    }

    /// The number of this discovery of a service, from 0 upwards.
    pub(crate) fn turn(&self, service: &ServiceName) -> u64 {
        let mut book = self.book();
        if let Some(turn) = book.turns.get_mut(service) {
            *turn = turn.wrapping_add(1);
            return *turn;
        }
        book.turns.insert(service.clone(), 0);
        0
    }

    /// Changes of health that nobody has written down yet.
    pub(crate) fn take_turns(&self) -> Vec<Turn> {
        std::mem::take(&mut self.book().untold)
    }

    /// Changes of health that could not be kept since the core started.
    pub(crate) fn turns_lost(&self) -> u64 {
        self.book().lost
    }

    /// Wakes watchers and the history, if there is something to tell. The book is closed first.
    fn publish(&self, book: MutexGuard<'_, Book>) {
        let (revision, has_turns) = (book.revision(), !book.untold.is_empty());
        drop(book);
        self.revision.send_if_modified(|known| {
            let is_new = *known < revision;
            *known = revision.max(*known);
            is_new
        });
        if has_turns {
            self.turned.notify_one();
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change is made whole before the next begins; a panic leaves at most one untold.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A supervised entry with what its process said of itself.
fn with_said(book: &mut Book, mut entry: Entry) -> Entry {
    let Some(said) = book.said.get(&entry.id) else { return entry };
    match said.run {
        Some(run) if run == entry.run => {
            entry.version = Some(said.version.clone());
            entry.metadata = said.metadata.clone();
            entry.weight = said.weight;
        }
        // The process that said so is gone.
        Some(run) if run < entry.run => drop(book.said.remove(&entry.id)),
        Some(_) | None => {}
    }
    entry
}
