//! Counters, and the plain view of them. Counting is lock-free; reading is not a consistent cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The gateway's counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests whose head was understood.
    pub requests: u64,
    /// Attempts after the first one of a request.
    pub retries: u64,
    /// Answers with status 500 and above, made here or upstream.
    pub failures: u64,
    /// Requests without a finished answer.
    pub in_flight: u64,
    /// Open client connections.
    pub connections: u64,
    /// By service.
    pub services: BTreeMap<String, ServiceStats>,
}

/// One service's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceStats {
    /// Requests routed to it.
    pub requests: u64,
    /// Attempts after the first one of a request.
    pub retries: u64,
    /// Answers with status 500 and above.
    pub failures: u64,
    /// Requests without a finished answer.
    pub in_flight: u64,
}

/// What the breaker of one instance is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerView {
    /// The service.
    pub service: String,
    /// The instance.
    pub instance: String,
    /// Its run.
    pub run: u64,
    /// `closed`, `open` or `half-open`.
    pub state: &'static str,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) in_flight: AtomicU64,
}

impl Counters {
    pub(crate) fn view(&self) -> ServiceStats {
        ServiceStats {
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }
}
