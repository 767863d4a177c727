//! The gateway's time: monotonic milliseconds for spans, wall clock for records. The only file that asks.

use haus_model::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Monotonic time since the gateway was bound. It is tokio's, so that tests can move it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    pub(crate) fn now(self) -> Timestamp {
        self.at(Instant::now())
    }

    pub(crate) fn at(self, instant: Instant) -> Timestamp {
        let elapsed_ms = instant.saturating_duration_since(self.origin).as_millis();
        Timestamp(i64::try_from(elapsed_ms).unwrap_or(i64::MAX))
    }
}

/// Milliseconds since 1970.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
