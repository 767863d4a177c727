//! The one place of the core that asks for the time.

use haus_model::Timestamp;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Two clocks: a monotonic one for decisions, the wall clock for records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    begun: Instant,
}

impl Clock {
    /// A clock that begins at this moment.
    pub(crate) fn start() -> Clock {
        Clock { begun: Instant::now() }
    }

    /// Monotonic milliseconds since the start, for the pure machines.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::default().after(self.begun.elapsed())
    }

    /// Since the start.
    pub(crate) fn running_for(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Wall clock, for people and records.
    pub(crate) fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().after(since)
    }

    /// The wall clock's reading of a monotonic time: right also after the wall clock was set.
    pub(crate) fn wall_of(&self, monotonic: Timestamp) -> Timestamp {
        let ago = self.now().since(monotonic);
        Timestamp(self.wall().0 - i64::try_from(ago.as_millis()).unwrap_or(0))
    }
}
