//! Counters, and the plain view of them. Counting is lock-free; reading is not a consistent cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency buckets, microseconds; one more bucket holds what took longer.
const BOUNDS_US: [u64; BOUNDS] =
    [5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 30_000_000];
const BOUNDS: usize = 10;

/// The gateway's counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests whose head was understood, and calls.
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
    /// What went to no service: files, and what was refused before. Only `statuses` and `latency` count here.
    pub elsewhere: ServiceStats,
}

/// One service's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceStats {
    /// Requests routed to it, and calls.
    pub requests: u64,
    /// Attempts after the first one of a request.
    pub retries: u64,
    /// Answers with status 500 and above.
    pub failures: u64,
    /// Requests without a finished answer.
    pub in_flight: u64,
    /// Finished requests by class of their status.
    pub statuses: StatusClasses,
    /// How long finished requests took, from the complete head to the end of the answer.
    pub latency: Latency,
}

/// Finished requests by class of their status; also those that the gateway answered itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusClasses {
    /// 100 to 199.
    pub informational: u64,
    /// 200 to 299.
    pub success: u64,
    /// 300 to 399.
    pub redirection: u64,
    /// 400 to 499, among them 499: the client left before there was an answer.
    pub client_error: u64,
    /// 500 and above.
    pub server_error: u64,
}

impl StatusClasses {
    /// The classes with the word that metrics call them by.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("1xx", self.informational),
            ("2xx", self.success),
            ("3xx", self.redirection),
            ("4xx", self.client_error),
            ("5xx", self.server_error),
        ]
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }
}

/// A histogram of durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    counts: [u64; BOUNDS + 1],
    sum_us: u64,
}

impl Latency {
    /// The buckets as Prometheus wants them: how many took at most this long. What took longer than the last
    /// bound is only in [`Latency::count`].
    pub fn cumulative(&self) -> [(Duration, u64); 10] {
        let mut below = 0;
        std::array::from_fn(|index| {
            below += self.counts[index];
            (Duration::from_micros(BOUNDS_US[index]), below)
        })
    }

    /// How many were measured.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of them took together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }
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
    /// Since when, milliseconds since 1970 (wall clock).
    pub since_ms: i64,
    /// Why, in words; absent for an instance whose breaker has never moved.
    pub why: Option<String>,
    /// When an open breaker lets a call try again; zero when its time is over and no call has come.
    pub retry_after: Option<Duration>,
    /// Requests that are with the instance, until the end of its answer.
    pub in_flight: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    classes: [AtomicU64; 5],
    buckets: [AtomicU64; BOUNDS + 1],
    sum_us: AtomicU64,
}

impl Counters {
    /// Counts a finished request.
    pub(crate) fn answered(&self, status: u16, took_us: u64) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        // Nearly every request ends in the first bucket, so looking one by one is the quickest.
        let bucket = BOUNDS_US.iter().position(|bound| took_us <= *bound).unwrap_or(BOUNDS);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    pub(crate) fn view(&self) -> ServiceStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [informational, success, redirection, client_error, server_error] =
            std::array::from_fn(|class| read(&self.classes[class]));
        ServiceStats {
            requests: read(&self.requests),
            retries: read(&self.retries),
            failures: read(&self.failures),
            in_flight: read(&self.in_flight),
            statuses: StatusClasses { informational, success, redirection, client_error, server_error },
            latency: Latency {
                counts: std::array::from_fn(|bucket| read(&self.buckets[bucket])),
                sum_us: read(&self.sum_us),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts one request and expects it in this class, and for the first time below this bound.
    fn check(status: u16, took_us: u64, class: &str, bound_ms: Option<u64>) {
        let counters = Counters::default();
        counters.answered(status, took_us);
        let ServiceStats { statuses, latency, .. } = counters.view();
        let counted: Vec<_> = statuses.named().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(class, 1)], "{status}");
        let first = latency.cumulative().into_iter().find(|(_, count)| *count > 0);
        assert_eq!(first.map(|(bound, _)| bound), bound_ms.map(Duration::from_millis), "{took_us}");
        assert_eq!((latency.count(), latency.sum()), (1, Duration::from_micros(took_us)));
        assert_eq!(latency.cumulative()[9].1, u64::from(bound_ms.is_some()));
    }

    #[test]
    fn requests_are_counted_by_class_and_by_the_first_bound_that_holds_them() {
        check(200, 0, "2xx", Some(5));
        check(204, 5_000, "2xx", Some(5));
        check(304, 5_001, "3xx", Some(10));
        check(404, 499_999, "4xx", Some(500));
        check(499, 30_000_000, "4xx", Some(30_000));
        check(503, 30_000_001, "5xx", None);
        check(101, 1, "1xx", Some(5));
        check(999, 1, "5xx", Some(5));
        check(0, 1, "1xx", Some(5));
    }
}
