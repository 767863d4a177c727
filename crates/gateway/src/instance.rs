//! Services and instances while they are in use: whose turn it is, breaker, idle connections.

use crate::pool::Pool;
use crate::snapshot::{Address, Upstream};
use crate::stats::Counters;
use haus_model::Timestamp;
use haus_model::health::HealthState;
use haus_watch::balance;
use haus_watch::breaker::{Breaker, BreakerPolicy, BreakerState, Permit};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A service of one snapshot.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    pub(crate) hold: Option<Duration>,
    pub(crate) why_empty: String,
    pub(crate) counters: Arc<Counters>,
    pub(crate) instances: Vec<Arc<Instance>>,
    states: Vec<HealthState>,
    turn: AtomicU64,
}

/// What choosing an instance came to.
pub(crate) enum Choice {
    /// This one may be asked.
    Ask(Call),
    /// No instance is healthy or degraded, or all that are were asked before.
    Empty,
    /// Breakers hold the rest back.
    Held { retry_after: Duration },
}

impl Service {
    pub(crate) fn new(
        upstream: &Upstream,
        name: Arc<str>,
        counters: Arc<Counters>,
        instances: Vec<Arc<Instance>>,
        states: Vec<HealthState>,
    ) -> Service {
        // A fresh snapshot must not always begin with the first instance.
        let turn = AtomicU64::new(counters.requests.load(Ordering::Relaxed));
        Service {
            name,
            hold: upstream.hold,
            why_empty: upstream.why_empty.clone(),
            counters,
            instances,
            states,
            turn,
        }
    }

    /// Chooses the next instance that is not in `tried` and whose breaker lets a call through.
    pub(crate) fn choose(&self, now: Timestamp, tried: &[Arc<Instance>]) -> Choice {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut excluded = self.indices_of(tried);
        let mut soonest: Option<Duration> = None;
        while let Some(index) = balance::next(turn, &self.states, &excluded) {
            match self.instances[index].try_call(now) {
                Ok(call) => return Choice::Ask(call),
                Err(wait) => soonest = Some(soonest.map_or(wait, |soonest| soonest.min(wait))),
            }
            excluded.push(index);
        }
        soonest.map_or(Choice::Empty, |retry_after| Choice::Held { retry_after })
    }

    fn indices_of(&self, tried: &[Arc<Instance>]) -> Vec<usize> {
        let index_of =
            |tried: &Arc<Instance>| self.instances.iter().position(|known| Arc::ptr_eq(known, tried));
        tried.iter().filter_map(index_of).collect()
    }
}

/// One run of one instance; lives as long as snapshots name it or requests use it.
#[derive(Debug)]
pub(crate) struct Instance {
    service: Arc<str>,
    pub(crate) id: Arc<str>,
    pub(crate) run: u64,
    pub(crate) address: Address,
    pub(crate) pool: Pool,
    breaker: Mutex<Breaker>,
}

impl Instance {
    pub(crate) fn new(service: Arc<str>, id: Arc<str>, run: u64, address: Address) -> Instance {
        let breaker = Mutex::new(Breaker::new(BreakerPolicy::default()));
        Instance { service, id, run, address, pool: Pool::default(), breaker }
    }

    pub(crate) fn key(&self) -> (Arc<str>, Arc<str>, u64, Address) {
        (Arc::clone(&self.service), Arc::clone(&self.id), self.run, self.address.clone())
    }

    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    pub(crate) fn retire(&self) {
        self.pool.close();
    }

    pub(crate) fn breaker_state(&self) -> BreakerState {
        self.breaker().state()
    }

    fn try_call(self: &Arc<Instance>, now: Timestamp) -> Result<Call, Duration> {
        match self.breaker().try_acquire(now) {
            Ok(permit) => Ok(Call { instance: Arc::clone(self), permit, reported: false }),
            Err(refused) => Err(refused.retry_after),
        }
    }

    /// The breaker holds plain numbers that are whole after every statement, so a panic elsewhere
    /// while it was locked cannot have left it half changed.
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to ask an instance once. Dropped without a report (the client left), it goes back.
pub(crate) struct Call {
    pub(crate) instance: Arc<Instance>,
    permit: Permit,
    reported: bool,
}

impl Call {
    /// Tells the breaker how it went.
    pub(crate) fn report(mut self, now: Timestamp, ok: bool) -> Arc<Instance> {
        self.reported = true;
        self.instance.breaker().record(now, ok);
        Arc::clone(&self.instance)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.reported {
            self.instance.breaker().give_back(self.permit);
        }
    }
}
