//! What the core counts about itself, for `/metrics`. Labels are words of ours and names of the plan, never
//! what a caller chose: a stranger must not be able to make a new series with each request.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// Upper bounds in seconds; the zimmer document's, with a smaller one before them.
const BOUNDS_S: [f64; 10] = [0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

type Labels<const COUNT: usize> = [(&'static str, String); COUNT];
type Histograms<const COUNT: usize> = Family<Labels<COUNT>, Histogram, fn() -> Histogram>;

/// The counters.
pub(crate) struct Meters {
    registry: Registry,
    requests: Family<Labels<3>, Counter>,
    durations: Histograms<2>,
    under_way: Gauge,
    credential_reads: Family<Labels<2>, Counter>,
    probes: Histogram,
    probe_failures: Counter,
}

impl Default for Meters {
    fn default() -> Meters {
        let meters = Meters {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            under_way: Gauge::default(),
            credential_reads: Family::default(),
            probes: histogram(),
            probe_failures: Counter::default(),
        };
        meters.registered()
    }
}

fn histogram() -> Histogram {
    Histogram::new(BOUNDS_S)
}

impl Meters {
    fn registered(mut self) -> Meters {
        let registry = &mut self.registry;
        let requests = self.requests.clone();
        registry.register(
            "http_requests",
            "Answers of the API by path template and class of status",
            requests,
        );
        let durations = self.durations.clone();
        registry.register(
            "http_request_duration_seconds",
            "Time to the head of the API's answers",
            durations,
        );
        registry.register("http_active_requests", "Requests to the API under way", self.under_way.clone());
        let reads = self.credential_reads.clone();
        registry.register("z13_credential_reads", "Reads of credentials by service and outcome", reads);
        registry.register("z13_probe_seconds", "Time that health probes took", self.probes.clone());
        let failures = self.probe_failures.clone();
        registry.register("z13_probe_failures", "Health probes that found something wrong", failures);
        self
    }

    /// Counts an answer of the API. `path` is the template of its path.
    pub(crate) fn answered(&self, method: &'static str, path: &str, status: u16, took: Duration) {
        let class = format!("{}xx", status / 100);
        let (method, path) = (("method", method.to_owned()), ("endpoint", path.to_owned()));
        self.durations.get_or_create(&[method.clone(), path.clone()]).observe(took.as_secs_f64());
        self.requests.get_or_create(&[method, path, ("status_code", class)]).inc();
    }

    /// Counts a request as under way until the result is dropped.
    pub(crate) fn under_way(&self) -> UnderWay {
        self.under_way.inc();
        UnderWay(self.under_way.clone())
    }

    /// Counts a read of credentials. `service` is the reader, one of the plan, or `none`.
    pub(crate) fn credential_read(&self, service: &str, outcome: &'static str) {
        let labels = [("service", service.to_owned()), ("outcome", outcome.to_owned())];
        self.credential_reads.get_or_create(&labels).inc();
    }

    /// Counts a health probe.
    pub(crate) fn probed(&self, ok: bool, took: Duration) {
        self.probes.observe(took.as_secs_f64());
        if !ok {
            self.probe_failures.inc();
        }
    }

    /// All of them.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// A request under way.
pub(crate) struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}
