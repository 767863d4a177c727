//! A gateway in the test's own runtime, with everything a test asks of it.

use crate::wire::{Instance, Message, Wire};
use haus_gateway::{
    AccessRecord, AccessSink, Address, Defaults, Drained, Endpoint, Gateway, Handle, Limits, Route, Snapshot,
    Target, Upstream,
};
use haus_model::health::HealthState;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::interval;

/// Keeps every record.
#[derive(Default)]
pub(crate) struct Records(Mutex<Vec<AccessRecord>>);

impl AccessSink for Records {
    fn record(&self, record: AccessRecord) {
        self.0.lock().unwrap().push(record);
    }
}

pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    records: Arc<Records>,
    drain: oneshot::Sender<Duration>,
    pub(crate) serving: JoinHandle<Drained>,
}

impl Rig {
    pub(crate) fn start(snapshot: Snapshot) -> Rig {
        Rig::with(snapshot, Limits::default())
    }

    pub(crate) fn with(snapshot: Snapshot, limits: Limits) -> Rig {
        let gateway = Gateway::bind_with("127.0.0.1:0".parse().unwrap(), limits).unwrap();
        let (address, handle) = (gateway.local_addr(), gateway.handle());
        handle.set_snapshot(Arc::new(snapshot)).unwrap();
        let records = Arc::new(Records::default());
        let (drain, drained) = oneshot::channel();
        // A rig that is dropped without draining goes on until its runtime ends.
        let drained = async move {
            match drained.await {
                Ok(grace) => grace,
                Err(_) => std::future::pending().await,
            }
        };
        let serving = tokio::spawn(gateway.serve(Arc::clone(&records) as Arc<dyn AccessSink>, drained));
        Rig { address, handle, records, drain, serving }
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire::to(self.address).await
    }

    /// Sends a request of its own connection and reads the answer.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        let mut wire = self.connect().await;
        wire.send(request).await;
        wire.message(true).await.expect("an answer")
    }

    pub(crate) async fn get(&self, host: &str, path: &str) -> Message {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await
    }

    pub(crate) fn records(&self) -> Vec<AccessRecord> {
        self.records.0.lock().unwrap().clone()
    }

    /// The record of the only request so far, once it is over.
    pub(crate) async fn record(&self) -> AccessRecord {
        eventually("a record", || !self.records().is_empty()).await;
        self.records().remove(0)
    }

    pub(crate) fn drain(self, grace: Duration) -> JoinHandle<Drained> {
        self.drain.send(grace).unwrap();
        self.serving
    }
}

/// Waits until something is true.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    let mut rhythm = interval(Duration::from_millis(2));
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} did not happen");
        rhythm.tick().await;
    }
}

pub(crate) fn endpoint(id: &str, address: SocketAddr, state: HealthState) -> Endpoint {
    Endpoint { id: id.to_owned(), run: 1, address: Address::Tcp(address), state, weight: 1 }
}

/// Healthy instances `shop/1`, `shop/2`, …
pub(crate) fn upstream(addresses: &[SocketAddr]) -> Upstream {
    let healthy = |(index, address): (usize, &SocketAddr)| {
        endpoint(&format!("shop/{}", index + 1), *address, HealthState::Healthy)
    };
    Upstream {
        service: "shop".to_owned(),
        endpoints: addresses.iter().enumerate().map(healthy).collect(),
        hold: None,
        why_empty: "shop is starting".to_owned(),
    }
}

/// Everything for the house itself goes to this service.
pub(crate) fn all_to(upstream: Upstream) -> Snapshot {
    routes(vec![Route::to("/", Target::Service(Arc::new(upstream)))])
}

/// These routes for the house itself.
pub(crate) fn routes(routes: Vec<Route>) -> Snapshot {
    Snapshot {
        house: "test".to_owned(),
        fallback: Some(routes),
        defaults: Defaults { timeout: Duration::from_secs(10), ..Defaults::default() },
        ..Snapshot::default()
    }
}

/// A gateway in front of one instance.
pub(crate) async fn before(instance: &Instance) -> Rig {
    Rig::start(all_to(upstream(&[instance.address])))
}

/// An address where nothing listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}
