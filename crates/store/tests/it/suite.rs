//! Both stores pass the same suite; the one on disk also remembers.

use crate::{Place, event, reasons};
use haus_store::{MemoryStore, PortKey, Retention, SqliteStore, Store, StoreError, StoreHealth};
use haus_testkit::{ledger_conformance, store_conformance};
use std::cell::RefCell;
use std::collections::BTreeMap;

#[test]
fn the_store_on_disk_conforms() {
    let places = RefCell::new(Vec::new());
    store_conformance(&|| {
        let place = Place::new();
        let store = Box::new(place.open());
        places.borrow_mut().push(place);
        store
    });
}

#[test]
fn the_ledger_on_disk_conforms() {
    let places = RefCell::new(Vec::new());
    ledger_conformance(&|| {
        let place = Place::new();
        let store = Box::new(place.open());
        places.borrow_mut().push(place);
        store
    });
}

#[test]
fn the_store_in_memory_conforms() {
    store_conformance(&|| Box::new(MemoryStore::new()));
}

/// A store with one fault: its numbers begin anew after everything was pruned.
struct Forgetful {
    inner: std::sync::Mutex<MemoryStore>,
}

impl Forgetful {
    fn inner(&self) -> std::sync::MutexGuard<'_, MemoryStore> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Store for Forgetful {
    fn prune_events(&self, keep: Retention) -> Result<u64, StoreError> {
        let mut inner = self.inner();
        let removed = inner.prune_events(keep)?;
        if keep.rows_max == Some(0) {
            *inner = MemoryStore::new();
        }
        Ok(removed)
    }
    fn append_events(&self, events: Vec<haus_store::NewEvent>) -> Result<Vec<u64>, StoreError> {
        self.inner().append_events(events)
    }
    fn events(&self, query: &haus_store::EventQuery) -> Result<Vec<haus_store::Event>, StoreError> {
        self.inner().events(query)
    }
    fn allocate_port(&self, key: &PortKey, candidates: &[u16]) -> Result<u16, StoreError> {
        self.inner().allocate_port(key, candidates)
    }
    fn set_port(&self, key: &PortKey, number: u16) -> Result<(), StoreError> {
        self.inner().set_port(key, number)
    }
    fn ports(&self) -> Result<BTreeMap<PortKey, u16>, StoreError> {
        self.inner().ports()
    }
    fn forget_service(&self, service: &haus_model::ServiceName) -> Result<(), StoreError> {
        self.inner().forget_service(service)
    }
    fn prepared(&self) -> Result<BTreeMap<haus_model::ServiceName, String>, StoreError> {
        self.inner().prepared()
    }
    fn set_prepared(&self, service: &haus_model::ServiceName, print: &str) -> Result<(), StoreError> {
        self.inner().set_prepared(service, print)
    }
    fn next_run(&self, count: u32) -> Result<u64, StoreError> {
        self.inner().next_run(count)
    }
    fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.inner().setting(key)
    }
    fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.inner().set_setting(key, value)
    }
    fn health(&self) -> StoreHealth {
        self.inner().health()
    }
}

#[test]
#[should_panic(expected = "pruning keeps the newest and never gives a number twice")]
fn the_suite_finds_a_faulty_store() {
    store_conformance(&|| Box::new(Forgetful { inner: std::sync::Mutex::new(MemoryStore::new()) }));
}

fn write_everything(store: &SqliteStore) -> (Vec<u64>, PortKey) {
    let key = PortKey { service: "web".parse().unwrap(), ordinal: 1, port: "http".parse().unwrap() };
    let seq = store.append_events(vec![event("first"), event("second")]).unwrap();
    store.allocate_port(&key, &[20_001]).unwrap();
    store.set_prepared(&key.service, "f00").unwrap();
    store.set_setting("revision", "7").unwrap();
    store.next_run(3).unwrap();
    (seq, key)
}

#[test]
fn everything_is_there_after_closing_and_opening() {
    let place = Place::new();
    let (seq, key) = write_everything(&place.open());
    let store = place.open();
    assert_eq!(reasons(&store), ["first", "second"]);
    assert_eq!(store.ports().unwrap(), [(key.clone(), 20_001)].into());
    assert_eq!(store.prepared().unwrap(), [(key.service, "f00".to_owned())].into());
    assert_eq!(store.setting("revision").unwrap().as_deref(), Some("7"));
    assert_eq!(store.next_run(1).unwrap(), 4);
    store.prune_events(Retention { rows_max: Some(0), before: None }).unwrap();
    drop(store);
    let store = place.open();
    assert!(store.append_events(vec![event("third")]).unwrap()[0] > seq[1]);
    assert_eq!(store.integrity_check().unwrap(), Vec::<String>::new());
}
