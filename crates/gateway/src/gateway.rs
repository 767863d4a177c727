//! The listener and its handle: bind, take snapshots, serve, drain.

use crate::accept::accept_loop;
use crate::access::{AccessSink, NoAccessLog};
use crate::budget::RetryBudget;
use crate::client::ClientState;
use crate::clock::Clock;
use crate::error::GatewayError;
use crate::header::RequestIds;
use crate::limits::Limits;
use crate::snapshot::Snapshot;
use crate::stats::{BreakerView, Counters, Stats};
use crate::table::Table;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// Connections that may wait to be accepted; the kernel bounds it by `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;

/// A bound listener that does not accept yet.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// How the serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Requests that were still unanswered at the deadline and were cut off.
    pub aborted: u64,
}

impl Gateway {
    /// Opens the listener with the default limits. Must be called inside a tokio runtime, and after the
    /// process has raised its soft limit of open files: half of what is left above 256, between 16 and 8192,
    /// is how many clients are served at one time.
    ///
    /// # Errors
    /// The address is in use, not ours or not allowed.
    pub fn bind(address: SocketAddr) -> Result<Gateway, GatewayError> {
        Gateway::bind_with(address, Limits::default())
    }

    /// Opens the listener with other limits.
    ///
    /// # Errors
    /// As for [`Gateway::bind`].
    pub fn bind_with(address: SocketAddr, limits: Limits) -> Result<Gateway, GatewayError> {
        let failed = |source| GatewayError::Bind { address, source };
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let listen = |socket: TcpSocket| {
            // A restart does not wait for old connections to fade.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        let listener = socket.and_then(listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Gateway { listener, address, shared: Arc::new(Shared::new(limits)) })
    }

    /// The address really listened on (matters for port 0).
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The handle for whoever feeds and observes the gateway.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Accepts and answers until `drain` resolves; its value is how long unfinished requests may take
    /// after that. Then nothing is accepted, connections without a request close, and the others close
    /// with their answer.
    pub async fn serve(self, sink: Arc<dyn AccessSink>, drain: impl Future<Output = Duration>) -> Drained {
        // It is served once, since serving takes the gateway.
        let _ = self.shared.sink.set(Arc::clone(&sink));
        accept_loop(self.listener, self.shared, sink, drain).await
    }
}

/// Feeds and observes a gateway from anywhere; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// Puts a snapshot in force for all requests that begin from here on; open connections stay, and
    /// instances that are still the same keep their breaker and their connections.
    ///
    /// # Errors
    /// A route carries a header that HTTP does not allow; the former snapshot stays in force.
    pub fn set_snapshot(&self, snapshot: Arc<Snapshot>) -> Result<(), GatewayError> {
        // One at a time: two that build on the same table would each drop what the other took over.
        let revision = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let former = self.shared.table.load_full();
        let table = Arc::new(former.follow(&snapshot)?);
        self.shared.table.store(Arc::clone(&table));
        former.retire_against(&table);
        revision.send_modify(|revision| *revision += 1);
        Ok(())
    }

    /// The counters since the gateway was bound; those of a service are kept when it leaves the snapshot.
    pub fn stats(&self) -> Stats {
        let all = self.shared.counters.view();
        let table = self.shared.table.load();
        let services =
            table.counters.iter().map(|(name, counters)| (name.to_string(), counters.view())).collect();
        Stats {
            requests: all.requests,
            retries: all.retries,
            failures: all.failures,
            in_flight: all.in_flight,
            connections: self.shared.clients().len() as u64,
            services,
            elsewhere: self.shared.elsewhere.view(),
        }
    }

    /// The breakers of all instances of the snapshot in force, in its order, each once.
    pub fn breakers(&self) -> Vec<BreakerView> {
        let table = self.shared.table.load();
        let now = self.shared.clock.now();
        let mut seen = HashSet::new();
        // Two upstreams of one service may name the same instance.
        let once = table.instances().filter(|instance| seen.insert(Arc::as_ptr(instance)));
        once.map(|instance| instance.view(now)).collect()
    }
}

/// What all connections of one gateway share.
pub(crate) struct Shared {
    pub(crate) table: ArcSwap<Table>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) ids: Arc<RequestIds>,
    pub(crate) counters: Arc<Counters>,
    /// Requests that went to no service: files, and what was refused before.
    pub(crate) elsewhere: Arc<Counters>,
    /// The runtime that the gateway was bound in; connections to instances live there.
    pub(crate) runtime: tokio::runtime::Handle,
    sink: OnceLock<Arc<dyn AccessSink>>,
    /// Monotonic milliseconds as of the last sweep, for everything that needs no better.
    pub(crate) coarse_ms: Arc<AtomicU64>,
    writer: Mutex<watch::Sender<u64>>,
    revision: watch::Receiver<u64>,
    budget: Mutex<RetryBudget>,
    clients: Mutex<BTreeMap<u64, Arc<ClientState>>>,
}

impl Shared {
    fn new(limits: Limits) -> Shared {
        let clock = Clock::start();
        let (writer, revision) = watch::channel(0);
        Shared {
            table: ArcSwap::default(),
            limits,
            clock,
            ids: Arc::new(RequestIds::new()),
            counters: Arc::default(),
            elsewhere: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
            sink: OnceLock::new(),
            coarse_ms: Arc::default(),
            writer: Mutex::new(writer),
            revision,
            budget: Mutex::new(RetryBudget::new(clock.now())),
            clients: Mutex::default(),
        }
    }

    pub(crate) fn coarse_ms(&self) -> u64 {
        self.coarse_ms.load(Ordering::Relaxed)
    }

    /// Where records go; nowhere before the gateway serves.
    pub(crate) fn sink(&self) -> Arc<dyn AccessSink> {
        self.sink.get().map_or_else(|| Arc::new(NoAccessLog) as Arc<dyn AccessSink>, Arc::clone)
    }

    /// Resolves when the snapshot after this moment is in force.
    pub(crate) fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }

    pub(crate) fn may_retry(&self) -> bool {
        let requests = self.counters.requests.load(Ordering::Relaxed);
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.try_take(self.clock.now(), requests)
    }

    pub(crate) fn clients(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ClientState>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}
