//! The store from outside: conformance, durability, damaged and foreign files, full disks.

#![allow(clippy::unwrap_used, reason = "tests")]

mod crash;
mod disk;
mod format;
mod group;
mod suite;

use haus_model::Timestamp;
use haus_store::{EventKind, EventQuery, NewEvent, SqliteStore, Store};
use std::path::{Path, PathBuf};

/// A database file in a folder that goes with the test.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("house.db")
    }

    fn open(&self) -> SqliteStore {
        open(&self.path())
    }
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).unwrap_or_else(|error| panic!("{error:?}"))
}

fn event(why: &str) -> NewEvent {
    NewEvent::new(Timestamp(1), EventKind::House, "house", why)
}

fn every_event() -> EventQuery {
    EventQuery { limit: usize::MAX, ..EventQuery::default() }
}

/// The reasons of all kept events, in order.
fn reasons(store: &dyn Store) -> Vec<String> {
    store.events(&every_event()).unwrap().into_iter().map(|event| event.why).collect()
}
