//! The journal: events on their way to the store, without ever holding the house up.
//!
//! A thread of its own writes them, many in one transaction. While the store cannot be
//! written (full disk), events wait in a bounded queue; what does not fit is counted and said.

use haus_store::{NewEvent, Retention, Store, StoreError};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Events that wait at most; a full disk must not fill the memory.
const WAITING_MAX: usize = 10_000;

/// Events that are kept; older ones go, so that the database does not grow for ever.
const KEPT_MAX: u64 = 200_000;

/// Appended events after which old ones are looked for.
const PRUNE_EVERY: usize = 10_000;

/// Pause between tries while the store refuses.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<NewEvent>,
    lost: u64,
    failing: Option<String>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Where events are put.
#[derive(Clone)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    kept: tokio::sync::watch::Receiver<u64>,
}

/// How the journal does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalHealth {
    /// What the last failed write said, while writes fail.
    pub failing: Option<String>,
    /// Events that did not fit.
    pub lost: u64,
}

impl Journal {
    /// Starts the thread that writes; join it after [`Journal::close`].
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(store: Arc<dyn Store>) -> io::Result<(Journal, std::thread::JoinHandle<()>)> {
        let shared = Arc::new(Shared { queue: Mutex::new(Queue::default()), changed: Condvar::new() });
        let (told, kept) = tokio::sync::watch::channel(0);
        let journal = Journal { shared: Arc::clone(&shared), kept };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write_events(&shared, &*store, &told))?;
        Ok((journal, thread))
    }

    /// Puts an event in; returns at once.
    pub(crate) fn record(&self, event: NewEvent) {
        let mut queue = self.shared.queue();
        if queue.waiting.len() >= WAITING_MAX {
            queue.waiting.pop_front();
            queue.lost += 1;
        }
        queue.waiting.push_back(event);
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Number of the last kept event, to wait on.
    pub(crate) fn kept(&self) -> tokio::sync::watch::Receiver<u64> {
        self.kept.clone()
    }

    /// How it does.
    pub(crate) fn health(&self) -> JournalHealth {
        let queue = self.shared.queue();
        JournalHealth { failing: queue.failing.clone(), lost: queue.lost }
    }

    /// Lets the thread end once everything is written, or cannot be.
    pub(crate) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn write_events(shared: &Shared, store: &dyn Store, told: &tokio::sync::watch::Sender<u64>) {
    let mut appended = 0;
    loop {
        let batch = {
            let mut queue = shared.queue();
            while queue.waiting.is_empty() && !queue.closed {
                queue = shared.changed.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            if queue.waiting.is_empty() {
                return;
            }
            queue.waiting.drain(..).collect::<Vec<_>>()
        };
        match store.append_events(batch.clone()) {
            Ok(numbers) => {
                shared.queue().failing = None;
                appended += numbers.len();
                if appended >= PRUNE_EVERY {
                    appended = 0;
                    // Tried again after as many more; a store that fails says so with the next event.
                    let _ = store.prune_events(Retention { rows_max: Some(KEPT_MAX), before: None });
                }
                if let Some(last) = numbers.last() {
                    told.send_replace(*last);
                }
            }
            Err(error) => {
                if !put_back(shared, batch, &error) {
                    return;
                }
            }
        }
    }
}

/// Puts a batch back in front and waits a while; false when the journal is closed meanwhile.
fn put_back(shared: &Shared, batch: Vec<NewEvent>, error: &StoreError) -> bool {
    let mut queue = shared.queue();
    queue.failing = Some(error.to_string());
    for event in batch.into_iter().rev() {
        if queue.waiting.len() < WAITING_MAX {
            queue.waiting.push_front(event);
        } else {
            queue.lost += 1;
        }
    }
    if !queue.closed {
        let waited = shared.changed.wait_timeout_while(queue, RETRY, |queue| !queue.closed);
        queue = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
    }
    !queue.closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::Timestamp;
    use haus_store::{EventKind, EventQuery, MemoryStore};

    #[test]
    fn everything_recorded_before_the_close_is_kept_in_order() {
        let store = Arc::new(MemoryStore::new());
        let (journal, thread) = Journal::start(Arc::clone(&store) as Arc<dyn Store>).unwrap();
        for number in 0..500 {
            journal.record(NewEvent::new(Timestamp(number), EventKind::House, "house", number.to_string()));
        }
        journal.close();
        thread.join().unwrap();
        let kept = store.events(&EventQuery { limit: 1_000, ..EventQuery::default() }).unwrap();
        assert_eq!(kept.len(), 500);
        assert!(kept.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[0].at < pair[1].at));
        assert_eq!(*journal.kept().borrow(), kept[499].seq);
        assert_eq!(journal.health(), JournalHealth { failing: None, lost: 0 });
    }
}
