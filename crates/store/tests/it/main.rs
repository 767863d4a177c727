//! The store from outside: conformance, durability, damaged and foreign files, full disks.

#![allow(clippy::unwrap_used, reason = "tests")]

mod crash;
mod disk;
mod format;
mod group;
mod ledger;
mod offline;
mod suite;

use haus_model::Timestamp;
use haus_store::{
    CredentialOrigin, CredentialRow, EventKind, EventQuery, Ledger, NewEvent, SqliteStore, Store, TrailQuery,
    VersionRow, VersionState, Write,
};
use haus_trail::{Action, Entry, NewEntry, Outcome, Verifier};
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

/// Creates a credential whose sealed bytes are its id.
fn credential(id: &str) -> Write {
    let row = CredentialRow {
        id: id.to_owned(),
        name: id.to_owned(),
        owner: None,
        kind: haus_model::CredentialKind::Custom,
        description: None,
        metadata: "{}".to_owned(),
        origin: CredentialOrigin::Api,
        scope: vec!["api".parse().unwrap()],
        version: 1,
        rotation_required: false,
        rotate_days: None,
        expires_at: None,
        rotation_count: 0,
        created_at: Timestamp(1),
        updated_at: Timestamp(1),
        rotated_at: Timestamp(1),
        last_used_at: None,
        revision: 1,
    };
    Write::CredentialCreate(Box::new(row), Box::new(version(id, 1, VersionState::Current, id.as_bytes())))
}

fn version(credential: &str, version: u64, state: VersionState, sealed: &[u8]) -> VersionRow {
    VersionRow {
        credential: credential.to_owned(),
        version,
        state,
        sealed: sealed.to_vec(),
        key_id: "k1".to_owned(),
        created_at: Timestamp(1),
        valid_until: None,
    }
}

fn read_entry(subject: &str) -> NewEntry {
    NewEntry::new(Timestamp(1), "service:api/1", Action::CredentialRead, subject, Outcome::Allowed)
}

fn whole_trail(ledger: &dyn Ledger) -> Vec<Entry> {
    ledger.trail(&TrailQuery { limit: usize::MAX, ..TrailQuery::default() }).unwrap()
}

/// The chain holds from the ledger's start to its head.
#[track_caller]
fn assert_sound(ledger: &dyn Ledger) {
    let mut verifier = Verifier::new(ledger.trail_start().unwrap());
    for entry in whole_trail(ledger) {
        assert_eq!(verifier.check(&entry), None, "{entry:?}");
    }
    let head = ledger.trail_head().unwrap();
    assert!(verifier.finish(Some(&head)).is_sound());
}
