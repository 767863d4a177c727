//! Lines of a log on their way to disk: a bounded queue and a thread of its own, so that a slow or full disk
//! never delays an answer. Knows no format.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long lines gather before they are written: the thread wakes ten times a second under load instead of
/// once per request, and not at all while nothing is asked.
const GATHER: Duration = Duration::from_millis(100);

struct Queue<T> {
    waiting: Vec<T>,
    lost: u64,
    closed: bool,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
    waiting_max: usize,
}

impl<T> Shared<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending end. Dropping or closing it writes what waits and ends the thread.
pub(crate) struct Gather<T> {
    shared: Arc<Shared<T>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<T: Send + 'static> Gather<T> {
    /// Starts the thread, which hands `write` what has gathered and how many were lost meanwhile. Beyond
    /// `waiting_max` lines are lost.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(
        name: &str,
        waiting_max: usize,
        write: impl FnMut(&mut Vec<T>, u64) + Send + 'static,
    ) -> io::Result<Gather<T>> {
        let queue = Mutex::new(Queue { waiting: Vec::new(), lost: 0, closed: false });
        let shared = Arc::new(Shared { queue, changed: Condvar::new(), waiting_max });
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || hand_on(&its, write))?;
        Ok(Gather { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a line over and never waits.
    pub(crate) fn push(&self, line: T) {
        let mut queue = self.shared.queue();
        if queue.waiting.len() >= self.shared.waiting_max || queue.closed {
            queue.lost += 1;
            return;
        }
        queue.waiting.push(line);
        let is_first = queue.waiting.len() == 1;
        drop(queue);
        if is_first {
            self.shared.changed.notify_one();
        }
    }
}

impl<T> Gather<T> {
    /// Waits until everything is written. What comes later is lost.
    pub(crate) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there has cost lines, and nothing else.
            let _ = thread.join();
        }
    }
}

impl<T> Drop for Gather<T> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Hands on what has gathered in one go: one system call for many lines under load.
fn hand_on<T>(shared: &Shared<T>, mut write: impl FnMut(&mut Vec<T>, u64)) {
    let mut batch = Vec::new();
    loop {
        let queue = shared.queue();
        let idle = |queue: &mut Queue<T>| queue.waiting.is_empty() && !queue.closed;
        let queue = shared.changed.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
        let gathered = shared.changed.wait_timeout_while(queue, GATHER, |queue| !queue.closed);
        let mut queue = gathered.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::swap(&mut batch, &mut queue.waiting);
        let (lost, closed) = (std::mem::take(&mut queue.lost), queue.closed);
        drop(queue);
        if !batch.is_empty() {
            write(&mut batch, lost);
            batch.clear();
        }
        if closed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn what_waits_is_written_at_the_end_and_what_was_too_much_is_counted() {
        let (sender, written) = channel();
        let write = move |batch: &mut Vec<u32>, lost| sender.send((batch.clone(), lost)).unwrap();
        let gather = Gather::start("test", 3, write).unwrap();
        (0..5).for_each(|number| gather.push(number));
        gather.close();
        gather.push(9);
        drop(gather);
        assert_eq!(written.iter().collect::<Vec<_>>(), [(vec![0, 1, 2], 2)]);
    }
}
