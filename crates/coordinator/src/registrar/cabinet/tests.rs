//! What is kept of credentials, held against the ledger after every commit.

use super::*;
use haus_model::{CredentialKind, Timestamp};
use haus_store::{Batch, CredentialChange, CredentialOrigin, SqliteStore, VersionRow, VersionState};

fn row(id: &str) -> CredentialRow {
    CredentialRow {
        id: id.into(),
        name: "key".into(),
        owner: Some("api".parse().unwrap()),
        kind: CredentialKind::default(),
        description: None,
        metadata: "{}".into(),
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
    }
}

fn first_version(id: &str) -> VersionRow {
    VersionRow {
        credential: id.into(),
        version: 1,
        state: VersionState::Current,
        sealed: vec![7; 32],
        key_id: "k".into(),
        created_at: Timestamp(1),
        valid_until: None,
    }
}

/// A ledger with one credential in it, and its folder.
fn ledger() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("house.db")).unwrap();
    let create = Write::CredentialCreate(Box::new(row("c-1")), Box::new(first_version("c-1")));
    commit(&store, vec![create]);
    (store, folder)
}

fn commit(store: &SqliteStore, writes: Vec<Write>) -> Vec<CredentialRow> {
    store.commit(Batch { writes, entries: Vec::new() }).unwrap().changed
}

fn describe(text: &str) -> Write {
    let change = CredentialChange { description: Some(Some(text.into())), ..CredentialChange::default() };
    Write::CredentialUpdate {
        id: "c-1".into(),
        if_revision: None,
        change: Box::new(change),
        at: Timestamp(9),
    }
}

/// Commits writes and follows them, then holds what is kept against the ledger.
#[track_caller]
fn check(cabinet: &Cabinet, store: &SqliteStore, writes: Vec<Write>, is_kept: bool) {
    let touched = Touched::by(&writes);
    let changed = commit(store, writes);
    cabinet.follow(&touched, &changed);
    let kept = cabinet.get("c-1");
    assert_eq!(kept.is_some(), is_kept);
    if let Some(kept) = kept {
        assert_eq!(Some(&kept.row), store.credential("c-1").unwrap().as_ref());
    }
}

#[test]
fn what_is_kept_follows_every_commit() {
    let (store, _folder) = ledger();
    let cabinet = Cabinet::default();
    assert_eq!(cabinet.load(&store, "none").unwrap(), None);
    cabinet.load(&store, "c-1").unwrap().unwrap();
    check(&cabinet, &store, vec![describe("one")], true);
    check(&cabinet, &store, vec![describe("two"), describe("three")], true);
    let used = |at| Write::CredentialUsed { ids: vec!["c-1".into()], at: Timestamp(at) };
    check(&cabinet, &store, vec![used(12)], true);
    check(&cabinet, &store, vec![used(11)], true);
    let rotation = RotationRow {
        id: "r-1".into(),
        credential: "c-1".into(),
        began_at: Timestamp(1),
        ended_at: None,
        state: "{}".into(),
    };
    check(&cabinet, &store, vec![Write::RotationPut(Box::new(rotation))], false);
    let card = cabinet.load(&store, "c-1").unwrap().unwrap();
    assert_eq!(card.rotation.as_ref().map(|rotation| rotation.id.as_str()), Some("r-1"));
    check(&cabinet, &store, vec![Write::CredentialDelete { id: "c-1".into(), if_revision: None }], false);
}

#[test]
fn what_was_read_while_something_was_committed_is_not_kept() {
    let (store, _folder) = ledger();
    let cabinet = Cabinet::default();
    let (generation, old) = (cabinet.kept().generation, read(&store, "c-1").unwrap().unwrap());
    let writes = vec![describe("meanwhile")];
    let touched = Touched::by(&writes);
    cabinet.follow(&touched, &commit(&store, writes));
    cabinet.keep(generation, Arc::new(old));
    assert!(cabinet.get("c-1").is_none());
    cabinet.load(&store, "c-1").unwrap().unwrap();
    assert!(cabinet.get("c-1").is_some());
    cabinet.forget_all();
    assert!(cabinet.get("c-1").is_none(), "nobody knows what the disk has");
}
