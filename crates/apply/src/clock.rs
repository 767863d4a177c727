//! Time and the wish to stop: what the executor must not take from the world by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A clock that only goes forward, and waiting by it.
pub trait Clock: Sync {
    /// Since some moment of the clock's own.
    fn now(&self) -> Duration;

    /// Lets this much time pass.
    fn pause(&self, duration: Duration);
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn pause(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// The wish to stop, from whoever has it. The act that is under way is finished first.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Wishes it.
    pub fn wish(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody wishes it.
    pub fn is_wished(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
