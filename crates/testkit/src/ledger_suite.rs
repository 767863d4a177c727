//! What every ledger must do, whatever it keeps things in: each write, each conflict, each reading.
//!
//! Owns the list of cases and the rows that they share; the cases stand in the modules by subject.

#![allow(
    clippy::unwrap_used,
    reason = "these are tests, compiled into a library so that every ledger can run them"
)]

mod alerts;
mod credentials;
mod identity;
mod trail;
mod versions;

use haus_model::{CredentialKind, ServiceName, Timestamp};
use haus_store::{
    Batch, Committed, Conflict, CredentialOrigin, CredentialRow, Ledger, StoreError, TrailQuery, VersionRow,
    VersionState, Write,
};
use haus_trail::{Action, Entry, NewEntry, Outcome, Verifier};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes a fresh, empty ledger.
pub type OpenLedger<'a> = &'a dyn Fn() -> Box<dyn Ledger>;

type Case = (&'static str, fn(&dyn Ledger));

/// Runs the whole suite, each case on a fresh ledger.
///
/// # Panics
/// When a case fails; names all that do.
pub fn ledger_conformance(open: OpenLedger<'_>) {
    let modules = [trail::CASES, credentials::CASES, versions::CASES, identity::CASES, alerts::CASES];
    let failed: Vec<&str> = modules
        .into_iter()
        .flatten()
        .filter(|(_, case)| catch_unwind(AssertUnwindSafe(|| case(&*open()))).is_err())
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "the ledger does not conform: {failed:#?}");
}

fn name(text: &str) -> ServiceName {
    text.parse().expect("the suite uses valid names")
}

fn entry(subject: &str) -> NewEntry {
    NewEntry::new(Timestamp(7), "service:api/1", Action::CredentialRead, subject, Outcome::Allowed)
}

/// One write with an entry, acknowledged.
#[track_caller]
fn done(ledger: &dyn Ledger, write: Write) -> Committed {
    all_done(ledger, vec![write])
}

#[track_caller]
fn all_done(ledger: &dyn Ledger, writes: Vec<Write>) -> Committed {
    ledger.commit(Batch::of(writes, entry("suite"))).unwrap()
}

/// A write that must be refused, and must leave neither an entry nor anything that stood before it in its
/// batch.
#[track_caller]
fn refused(ledger: &dyn Ledger, write: Write, expected: Conflict) {
    let before = (ledger.trail_head().unwrap(), ledger.alert_state().unwrap());
    let batch = Batch::of(vec![Write::AlertStatePut("undone".into()), write], entry("suite"));
    match ledger.commit(batch) {
        Err(error @ StoreError::Conflict { .. }) => {
            assert!(!error.is_transient() && error.is_refusal(), "{error:?}");
            let StoreError::Conflict { conflict } = error else { unreachable!() };
            assert_eq!(conflict, expected);
        }
        other => panic!("expected {expected:?}, got {other:?}"),
    }
    assert_eq!((ledger.trail_head().unwrap(), ledger.alert_state().unwrap()), before);
}

fn whole_trail(ledger: &dyn Ledger) -> Vec<Entry> {
    ledger.trail(&TrailQuery { limit: usize::MAX, ..TrailQuery::default() }).unwrap()
}

/// The chain holds from the ledger's own start to its own head.
#[track_caller]
fn assert_sound(ledger: &dyn Ledger) {
    let mut verifier = Verifier::new(ledger.trail_start().unwrap());
    for entry in whole_trail(ledger) {
        assert_eq!(verifier.check(&entry), None, "{entry:?}");
    }
    let head = ledger.trail_head().unwrap();
    let report = verifier.finish(Some(&head));
    assert!(report.is_sound() && report.head == head, "{report:?}");
}

/// A credential of the house, version 1, read by `api` and `web`.
fn credential(id: &str, name_: &str) -> CredentialRow {
    CredentialRow {
        id: id.to_owned(),
        name: name_.to_owned(),
        owner: None,
        kind: CredentialKind::Database,
        description: Some("for people".to_owned()),
        metadata: r#"{"a":[1,"ü"]}"#.to_owned(),
        origin: CredentialOrigin::Api,
        scope: vec![name("web"), name("api")],
        version: 1,
        rotation_required: false,
        rotate_days: Some(90),
        expires_at: Some(Timestamp(1_000)),
        rotation_count: 0,
        created_at: Timestamp(10),
        updated_at: Timestamp(10),
        rotated_at: Timestamp(10),
        last_used_at: None,
        revision: 1,
    }
}

fn version(credential: &str, version: u64, state: VersionState) -> VersionRow {
    VersionRow {
        credential: credential.to_owned(),
        version,
        state,
        sealed: vec![0, 255, version as u8],
        key_id: "k1".to_owned(),
        created_at: Timestamp(10),
        valid_until: None,
    }
}

fn create(row: &CredentialRow) -> Write {
    Write::CredentialCreate(
        Box::new(row.clone()),
        Box::new(version(&row.id, row.version, VersionState::Current)),
    )
}
