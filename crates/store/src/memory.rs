//! The same contract without a disk. Nothing survives it: a fake for tests, and the stop-gap of a core that
//! comes back while its database cannot be opened.

use crate::error::StoreError;
use crate::event::{Event, EventQuery, NewEvent, Retention};
use crate::store::{PortKey, Store, StoreHealth};
use haus_model::{ServiceName, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Events that a stand-in keeps; it may live long, and nothing prunes it.
const STAND_IN_EVENTS_MAX: usize = 10_000;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    /// Why it stands in for a store on disk; none in tests.
    stands_in: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    last_seq: u64,
    last_run: u64,
    ports: BTreeMap<PortKey, u16>,
    prepared: BTreeMap<ServiceName, String>,
    settings: BTreeMap<String, String>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// An empty store in place of one that cannot be used; its health says so, with this reason.
    pub fn standing_in(why: impl Into<String>) -> MemoryStore {
        MemoryStore { stands_in: Some(why.into()), ..MemoryStore::default() }
    }

    // No method leaves the state half changed, so what a panicking thread left behind is usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_about(subject: &str, service: &ServiceName) -> bool {
    subject.strip_prefix(service.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn matches(event: &Event, query: &EventQuery) -> bool {
    query.after_seq.is_none_or(|seq| event.seq > seq)
        && query.before_seq.is_none_or(|seq| event.seq < seq)
        && query.since.is_none_or(|since| event.at >= since)
        && query.service.as_ref().is_none_or(|service| is_about(&event.subject, service))
}

impl Store for MemoryStore {
    fn append_events(&self, events: Vec<NewEvent>) -> Result<Vec<u64>, StoreError> {
        let mut state = self.state();
        let mut numbers = Vec::with_capacity(events.len());
        for new in events {
            state.last_seq += 1;
            let seq = state.last_seq;
            let NewEvent { at, kind, subject, from, to, why, details } = new;
            state.events.push(Event { seq, at, kind, subject, from, to, why, details });
            numbers.push(seq);
        }
        if self.stands_in.is_some() && state.events.len() > STAND_IN_EVENTS_MAX {
            let surplus = state.events.len() - STAND_IN_EVENTS_MAX;
            state.events.drain(..surplus);
        }
        Ok(numbers)
    }

    fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        let state = self.state();
        let chosen = state.events.iter().filter(|event| matches(event, query)).cloned();
        Ok(if query.newest_first {
            chosen.rev().take(query.limit).collect()
        } else {
            chosen.take(query.limit).collect()
        })
    }

    fn prune_events(&self, keep: Retention) -> Result<u64, StoreError> {
        let mut state = self.state();
        let before = state.events.len();
        state.events.retain(|event| keep.before.is_none_or(|time| event.at >= time));
        if let Some(rows) = keep.rows_max {
            let surplus = state.events.len().saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX));
            state.events.drain(..surplus);
        }
        Ok((before - state.events.len()) as u64)
    }

    fn allocate_port(&self, key: &PortKey, candidates: &[u16]) -> Result<u16, StoreError> {
        let mut state = self.state();
        if let Some(kept) = state.ports.get(key) {
            return Ok(*kept);
        }
        let free = candidates.iter().copied().find(|number| !state.ports.values().any(|used| used == number));
        let number = free.ok_or_else(|| StoreError::NoPort { key: key.clone(), tried: candidates.len() })?;
        state.ports.insert(key.clone(), number);
        Ok(number)
    }

    fn set_port(&self, key: &PortKey, number: u16) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some((holder, _)) = state.ports.iter().find(|(other, used)| **used == number && *other != key)
        {
            return Err(StoreError::PortTaken { number, holder: holder.clone() });
        }
        state.ports.insert(key.clone(), number);
        Ok(())
    }

    fn ports(&self) -> Result<BTreeMap<PortKey, u16>, StoreError> {
        Ok(self.state().ports.clone())
    }

    fn forget_service(&self, service: &ServiceName) -> Result<(), StoreError> {
        let mut state = self.state();
        state.ports.retain(|key, _| key.service != *service);
        state.prepared.remove(service);
        Ok(())
    }

    fn prepared(&self) -> Result<BTreeMap<ServiceName, String>, StoreError> {
        Ok(self.state().prepared.clone())
    }

    fn set_prepared(&self, service: &ServiceName, fingerprint: &str) -> Result<(), StoreError> {
        self.state().prepared.insert(service.clone(), fingerprint.to_owned());
        Ok(())
    }

    fn next_run(&self, count: u32) -> Result<u64, StoreError> {
        let mut state = self.state();
        let first = state.last_run + 1;
        state.last_run += u64::from(count);
        Ok(first)
    }

    fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state().settings.get(key).cloned())
    }

    fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.state().settings.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn health(&self) -> StoreHealth {
        StoreHealth {
            writable: self.stands_in.is_none(),
            last_error: self.stands_in.clone(),
            since: Timestamp(0),
            queue_len: 0,
            bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    #[test]
    fn a_stand_in_says_why_and_does_not_grow_for_ever() {
        let store = MemoryStore::standing_in("the database is damaged");
        let event = || NewEvent::new(Timestamp(0), EventKind::House, "house", "again");
        store.append_events((0..STAND_IN_EVENTS_MAX + 5).map(|_| event()).collect()).unwrap();
        let kept = store.events(&EventQuery { limit: usize::MAX, ..EventQuery::default() }).unwrap();
        assert_eq!((kept.len(), kept[0].seq), (STAND_IN_EVENTS_MAX, 6));
        let health = store.health();
        assert_eq!((health.writable, health.last_error.as_deref()), (false, Some("the database is damaged")));
        assert!(MemoryStore::new().health().writable);
    }
}
