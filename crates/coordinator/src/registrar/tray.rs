//! Answers of the store's writer on their way to the runtime that waits for them.
//!
//! Waking a task of another thread costs a system call. The writer answers a whole group at once, so it lays
//! the answers here and rings once; one task of the runtime hands them on, which costs nothing there. Who
//! waits in another runtime is told directly.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

/// The tray of one runtime.
pub(super) struct Tray<T> {
    served: Mutex<Option<tokio::runtime::Id>>,
    waiting: Mutex<Vec<(oneshot::Sender<T>, T)>>,
    bell: Notify,
}

impl<T> Default for Tray<T> {
    fn default() -> Tray<T> {
        Tray { served: Mutex::default(), waiting: Mutex::default(), bell: Notify::new() }
    }
}

impl<T: Send + 'static> Tray<T> {
    /// Serves the runtime inside of which it is called, from here on and no other one.
    pub(super) fn serve(self: &Arc<Tray<T>>) {
        let handle = Handle::current();
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.id());
        let tray = Arc::clone(self);
        handle.spawn(async move {
            loop {
                tray.bell.notified().await;
                tray.hand_on();
            }
        });
    }

    /// Hands on whatever lies here, without waiting for the bell.
    pub(super) fn hand_on(&self) {
        for (reply, answer) in std::mem::take(&mut *self.waiting()) {
            // Who asked may have gone.
            let _ = reply.send(answer);
        }
    }

    /// Whether this tray is for who asks here.
    pub(super) fn is_served_here(&self) -> bool {
        let served = *self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.is_some() && Handle::try_current().ok().map(|handle| handle.id()) == served
    }

    /// Lays an answer down, from any thread.
    pub(super) fn put(&self, reply: oneshot::Sender<T>, answer: T) {
        let mut waiting = self.waiting();
        waiting.push((reply, answer));
        let is_first = waiting.len() == 1;
        drop(waiting);
        // Whoever takes the first one takes all that lie there by then.
        if is_first {
            self.bell.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(oneshot::Sender<T>, T)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_gets_the_own_answer_whatever_was_laid_down_between_two_rings() {
        let tray: Arc<Tray<u32>> = Arc::default();
        assert!(!tray.is_served_here());
        tray.serve();
        assert!(tray.is_served_here());
        let mut answers = Vec::new();
        let writer = {
            let mut replies = Vec::new();
            for number in 0..1_000 {
                let (reply, answer) = oneshot::channel();
                replies.push((reply, number));
                answers.push((number, answer));
            }
            let tray = Arc::clone(&tray);
            std::thread::spawn(move || {
                replies.into_iter().for_each(|(reply, number)| tray.put(reply, number));
            })
        };
        for (number, answer) in answers {
            assert_eq!(answer.await, Ok(number));
        }
        writer.join().unwrap();
        // Who has gone holds nobody up.
        drop(oneshot::channel::<u32>().1);
        let (gone, _) = oneshot::channel();
        tray.put(gone, 1);
        let (reply, answer) = oneshot::channel();
        tray.put(reply, 2);
        assert_eq!(answer.await, Ok(2));
    }

    #[test]
    fn another_runtime_is_not_served() {
        let tray: Arc<Tray<u32>> = Arc::default();
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (first, second) = (runtime(), runtime());
        first.block_on(async { tray.serve() });
        assert!(!second.block_on(async { tray.is_served_here() }));
        assert!(!tray.is_served_here(), "nor is a thread without one");
    }
}
