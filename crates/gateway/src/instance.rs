//! Services and instances while they are in use: whose turn it is, breaker, idle connections.

use crate::clock::wall_clock_ms;
use crate::pool::Pool;
use crate::snapshot::{Address, Upstream};
use crate::stats::{BreakerView, Counters};
use haus_model::Timestamp;
use haus_model::health::HealthState;
use haus_watch::balance;
use haus_watch::breaker::{Breaker, BreakerPolicy, BreakerState, Permit};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Turns of the heaviest instance in one round; weights beyond are scaled down.
const WEIGHT_MAX: u32 = 100;

/// A service of one snapshot.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    pub(crate) hold: Option<Duration>,
    pub(crate) why_empty: String,
    pub(crate) counters: Arc<Counters>,
    pub(crate) instances: Vec<Arc<Instance>>,
    /// Index of an instance, as often as its weight says; and its state, at the same place.
    slots: Vec<usize>,
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
    ) -> Service {
        let weights: Vec<u32> = upstream.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let slots = spread(&weights);
        let states = slots.iter().map(|index| upstream.endpoints[*index].state).collect();
        // A fresh snapshot must not always begin with the first instance.
        let turn = AtomicU64::new(counters.requests.load(Ordering::Relaxed));
        Service {
            name,
            hold: upstream.hold,
            why_empty: upstream.why_empty.clone(),
            counters,
            instances,
            slots,
            states,
            turn,
        }
    }

    /// Chooses the next instance that is not in `tried` and whose breaker lets a call through.
    pub(crate) fn choose(&self, now: Timestamp, tried: &[Arc<Instance>]) -> Choice {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut excluded = Vec::new();
        for instance in tried {
            self.exclude(&mut excluded, |index| Arc::ptr_eq(&self.instances[index], instance));
        }
        let mut soonest: Option<Duration> = None;
        while let Some(slot) = balance::next(turn, &self.states, &excluded) {
            let index = self.slots[slot];
            match self.instances[index].try_call(now) {
                Ok(call) => return Choice::Ask(call),
                Err(wait) => soonest = Some(soonest.map_or(wait, |soonest| soonest.min(wait))),
            }
            self.exclude(&mut excluded, |other| other == index);
        }
        soonest.map_or(Choice::Empty, |retry_after| Choice::Held { retry_after })
    }

    fn exclude(&self, excluded: &mut Vec<usize>, is_meant: impl Fn(usize) -> bool) {
        let slots = self.slots.iter().enumerate();
        excluded.extend(slots.filter(|(_, index)| is_meant(**index)).map(|(slot, _)| slot));
    }
}

/// Indices in an order in which each comes as often as its weight says, as evenly as it can; equal weights
/// come once each.
fn spread(weights: &[u32]) -> Vec<usize> {
    let common = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let largest = weights.iter().max().map_or(1, |largest| largest / common).max(1);
    let scaled = |weight: u32| match weight / common {
        0 => 0,
        weight if largest <= WEIGHT_MAX => u64::from(weight),
        weight => (u64::from(weight) * u64::from(WEIGHT_MAX)).div_ceil(u64::from(largest)),
    };
    let mut slots: Vec<(u64, usize)> = Vec::new();
    for (index, weight) in weights.iter().enumerate() {
        let weight = scaled(*weight);
        // The middle of each of its equal parts of the round.
        slots.extend((0..weight).map(|part| (((2 * part + 1) << 32) / weight, index)));
    }
    slots.sort_unstable();
    slots.into_iter().map(|(_, index)| index).collect()
}

fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

/// One run of one instance; lives as long as snapshots name it or requests use it.
#[derive(Debug)]
pub(crate) struct Instance {
    service: Arc<str>,
    pub(crate) id: Arc<str>,
    pub(crate) run: u64,
    pub(crate) address: Address,
    pub(crate) pool: Pool,
    in_flight: AtomicU64,
    guard: Mutex<Guard>,
}

/// The breaker, and what there is to say about its state.
#[derive(Debug)]
struct Guard {
    breaker: Breaker,
    /// Wall clock, milliseconds since 1970.
    since_ms: i64,
    why: Option<String>,
}

/// How a call went, as far as it says something about the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    Good,
    /// It answered with a status that means it cannot serve.
    Status(u16),
    /// It could not be reached or broke off; the text continues "instance …".
    Broken(&'a str),
    Late,
}

impl Outcome<'_> {
    /// Why the breaker is in this state after such a call.
    fn reason(self, state: BreakerState) -> String {
        match (state, self) {
            (BreakerState::Closed, _) => "calls that tried it went well".to_owned(),
            (BreakerState::HalfOpen, _) => "its pause is over, a few calls try it".to_owned(),
            (BreakerState::Open { .. }, Outcome::Good) => "too many calls to it failed".to_owned(),
            (BreakerState::Open { .. }, Outcome::Status(status)) => {
                format!("too many calls to it failed; at the last one it answered with status {status}")
            }
            (BreakerState::Open { .. }, Outcome::Broken(what)) => {
                format!("too many calls to it failed; at the last one it {what}")
            }
            (BreakerState::Open { .. }, Outcome::Late) => {
                "too many calls to it failed; at the last one it gave no answer in time".to_owned()
            }
        }
    }
}

impl Instance {
    pub(crate) fn new(service: Arc<str>, id: Arc<str>, run: u64, address: Address) -> Instance {
        let breaker = Breaker::new(BreakerPolicy::default());
        let guard = Mutex::new(Guard { breaker, since_ms: wall_clock_ms(), why: None });
        Instance { service, id, run, address, pool: Pool::default(), in_flight: AtomicU64::new(0), guard }
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

    pub(crate) fn view(&self, now: Timestamp) -> BreakerView {
        let guard = self.guard();
        let state = guard.breaker.state();
        BreakerView {
            service: self.service.to_string(),
            instance: self.id.to_string(),
            run: self.run,
            state: state.as_str(),
            since_ms: guard.since_ms,
            why: guard.why.clone(),
            retry_after: match state {
                BreakerState::Open { until } => Some(until.since(now)),
                BreakerState::Closed | BreakerState::HalfOpen => None,
            },
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }

    fn try_call(self: &Arc<Instance>, now: Timestamp) -> Result<Call, Duration> {
        match self.ask_breaker(Outcome::Good, |breaker| breaker.try_acquire(now)) {
            Ok(permit) => Ok(Call { visit: Some(Visit::begin(self)), permit }),
            Err(refused) => Err(refused.retry_after),
        }
    }

    /// Notes since when and why whenever the state is another one afterwards.
    fn ask_breaker<T>(&self, outcome: Outcome<'_>, act: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut guard = self.guard();
        let before = guard.breaker.state();
        let answer = act(&mut guard.breaker);
        let after = guard.breaker.state();
        if before != after {
            guard.since_ms = wall_clock_ms();
            guard.why = Some(outcome.reason(after));
        }
        answer
    }

    /// What is locked is whole after every statement, so a panic elsewhere while it was locked cannot have
    /// left it half changed.
    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody is with an instance, from the choice to the end of its answer.
#[derive(Debug)]
pub(crate) struct Visit(Arc<Instance>);

impl Visit {
    fn begin(instance: &Arc<Instance>) -> Visit {
        instance.in_flight.fetch_add(1, Ordering::Relaxed);
        Visit(Arc::clone(instance))
    }
}

impl Deref for Visit {
    type Target = Arc<Instance>;

    fn deref(&self) -> &Arc<Instance> {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Leave to ask an instance once. Dropped without a report (the client left), it goes back.
pub(crate) struct Call {
    /// Taken out only by the report.
    visit: Option<Visit>,
    permit: Permit,
}

impl Call {
    pub(crate) fn instance(&self) -> &Arc<Instance> {
        self.visit.as_ref().expect("a call has its instance until it is reported")
    }

    /// Tells the breaker how it went.
    pub(crate) fn report(mut self, now: Timestamp, outcome: Outcome<'_>) -> Visit {
        let visit = self.visit.take().expect("a call is reported once");
        visit.ask_breaker(outcome, |breaker| breaker.record(now, outcome == Outcome::Good));
        visit
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(visit) = &self.visit {
            visit.guard().breaker.give_back(self.permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(weights: &[u32], expected: &[usize]) {
        assert_eq!(spread(weights), expected, "{weights:?}");
    }

    #[test]
    fn each_instance_comes_as_often_as_its_weight_says_and_evenly() {
        check(&[1, 1, 1], &[0, 1, 2]);
        check(&[7, 7], &[0, 1]);
        check(&[2, 1], &[0, 1, 0]);
        check(&[1, 3], &[1, 0, 1, 1]);
        check(&[4, 2], &[0, 1, 0]);
        check(&[], &[]);
    }

    #[test]
    fn an_instance_without_weight_never_comes() {
        check(&[0, 1], &[1]);
        check(&[0, 0], &[]);
    }

    #[test]
    fn the_round_stays_short_whatever_the_weights() {
        let slots = spread(&[u32::MAX, 1, u32::MAX - 1]);
        let count = |wanted| slots.iter().filter(|index| **index == wanted).count();
        assert_eq!((count(0), count(1), count(2)), (100, 1, 100));
    }
}
