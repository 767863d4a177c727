//! The ledger on disk beyond its suite: what is wiped, what is refused, what happens at the end.

use crate::{Place, assert_sound, credential, read_entry, version, whole_trail};
use haus_model::Timestamp;
use haus_store::{
    Batch, ClosedLedger, Ledger, SigningKeyRow, Store, StoreError, TrailQuery, VersionState, Write,
};
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn commit(ledger: &dyn Ledger, writes: Vec<Write>) {
    ledger.commit(Batch::of(writes, read_entry("x"))).unwrap();
}

/// How often bytes stand in the files of the database.
fn found(place: &Place, bytes: &[u8]) -> usize {
    let files =
        place.folder.path().read_dir().unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.map(|file| file.windows(bytes.len()).filter(|window| *window == bytes).count()).sum()
}

/// Lets sealed bytes come and go, and looks for them in all files after a sweep.
fn check_wiped(size: usize, keep: impl Fn(&[u8]) -> Vec<Write>, end: impl Fn(&[u8]) -> Vec<Write>) {
    let place = Place::new();
    let store = place.open();
    let marker = b"sealed, and never to be found again";
    let mut sealed = marker.repeat(size.div_ceil(marker.len()));
    sealed.truncate(size.max(marker.len()));
    commit(&store, vec![credential("c1")]);
    commit(&store, keep(&sealed));
    assert!(found(&place, marker) > 0, "otherwise nothing is tested");
    // In the database too, not only in its log.
    store.sweep(Timestamp(0), Timestamp(0)).unwrap();
    assert!(found(&place, marker) > 0);
    commit(&store, end(&sealed));
    store.sweep(Timestamp(0), Timestamp(0)).unwrap();
    assert_eq!(found(&place, marker), 0);
    assert_eq!(store.integrity_check().unwrap(), Vec::<String>::new());
}

fn second_version(sealed: &[u8]) -> Vec<Write> {
    vec![Write::VersionAdd(Box::new(version("c1", 2, VersionState::Pending, sealed)))]
}

#[test]
fn a_retired_version_leaves_no_bytes_in_the_files() {
    // Within a page, over several, and over so many that whole pages become free.
    for size in [40, 10_000, 1_000_000] {
        let retire = |_: &[u8]| vec![Write::VersionRetire { credential: "c1".into(), version: 2 }];
        check_wiped(size, second_version, retire);
    }
}

#[test]
fn a_deleted_credential_leaves_no_bytes_in_the_files() {
    for size in [40, 10_000] {
        let delete = |_: &[u8]| vec![Write::CredentialDelete { id: "c1".into(), if_revision: None }];
        check_wiped(size, second_version, delete);
    }
}

#[test]
fn bytes_under_an_old_key_are_gone_when_they_were_sealed_anew() {
    check_wiped(10_000, second_version, |sealed| {
        let (credential, from, to) = ("c1".into(), sealed.to_vec(), vec![7; 40]);
        vec![Write::VersionReseal { credential, version: 2, from, to, key_id: "k2".into() }]
    });
}

#[test]
fn a_forgotten_signing_key_leaves_no_bytes_in_the_files() {
    let put = |sealed: &[u8]| {
        let (made_at, sealed) = (Timestamp(1), sealed.to_vec());
        let key = SigningKeyRow { kid: "s1".into(), sealed, public: [1; 32], made_at, retires_at: None };
        vec![Write::SigningKeyPut(Box::new(key))]
    };
    check_wiped(100, put, |_| vec![Write::SigningKeyDelete { kid: "s1".into() }]);
}

#[test]
fn a_full_queue_refuses_at_once_and_keeps_what_it_has_taken() {
    let place = Place::new();
    let store = place.open();
    let foreign = Connection::open(place.path()).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (kept, overloaded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut sent = 0;
    while overloaded.load(Ordering::SeqCst) < 10 {
        let (kept, overloaded) = (Arc::clone(&kept), Arc::clone(&overloaded));
        let done = move |outcome: Result<_, StoreError>| match outcome {
            Ok(_) => drop(kept.fetch_add(1, Ordering::SeqCst)),
            Err(error @ StoreError::Overloaded { waiting }) => {
                assert!(waiting >= 1_024 && error.is_transient() && error.is_refusal(), "{error:?}");
                overloaded.fetch_add(1, Ordering::SeqCst);
            }
            Err(other) => panic!("{other:?}"),
        };
        store.submit(Batch::entry(read_entry(&sent.to_string())), Box::new(done));
        sent += 1;
        assert!(sent < 5_000, "the queue has no bound");
    }
    assert!(store.health().writable, "a full queue is no fault of the disk");
    foreign.execute_batch("ROLLBACK").unwrap();
    // Closing writes what waits; every callback has been called when it is done.
    drop(store);
    let (kept, overloaded) = (kept.load(Ordering::SeqCst), overloaded.load(Ordering::SeqCst));
    assert_eq!((kept + overloaded, overloaded), (sent, 10));
    let store = place.open();
    assert_eq!(whole_trail(&store).len(), kept);
    assert_sound(&store);
}

#[test]
fn a_transaction_that_is_lost_as_a_whole_leaves_one_chain() {
    let place = Place::new();
    let store = place.open();
    let foreign = Connection::open(place.path()).unwrap();
    // ROLLBACK undoes the batches of all others too; they are then tried one by one.
    foreign
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON trail WHEN NEW.subject = 'bad'
             BEGIN SELECT RAISE(ROLLBACK, 'refused'); END; BEGIN IMMEDIATE",
        )
        .unwrap();
    let (sender, answers) = std::sync::mpsc::channel();
    for number in 0..30 {
        let subject = if number % 5 == 0 { "bad".to_owned() } else { format!("c{number}") };
        let sender = sender.clone();
        let batch = Batch::of(vec![credential(&format!("c{number}"))], read_entry(&subject));
        store.submit(batch, Box::new(move |outcome| sender.send(outcome.is_ok()).unwrap()));
    }
    foreign.execute_batch("ROLLBACK").unwrap();
    assert_eq!((0..30).filter(|_| answers.recv().unwrap()).count(), 24);
    assert_sound(&store);
    let subjects: Vec<String> = whole_trail(&store).into_iter().map(|entry| entry.entry.subject).collect();
    assert_eq!(subjects.len(), 24);
    for number in 0..30 {
        let there = store.credential(&format!("c{number}")).unwrap().is_some();
        assert_eq!(there, subjects.contains(&format!("c{number}")), "{number}");
    }
}

#[track_caller]
fn check_refused(sql: &str) {
    let place = Place::new();
    let store = place.open();
    for subject in ["a", "b", "c"] {
        store.commit(Batch::entry(read_entry(subject))).unwrap();
    }
    let before = whole_trail(&store);
    let error = Connection::open(place.path()).unwrap().execute_batch(sql).unwrap_err();
    assert!(error.to_string().contains("trail"), "{sql}: {error}");
    assert_eq!(whole_trail(&store), before, "{sql}");
}

#[test]
fn a_careless_hand_cannot_change_the_trail() {
    check_refused("UPDATE trail SET actor = 'x' WHERE seq = 2");
    check_refused("DELETE FROM trail WHERE seq = 3");
    check_refused("DELETE FROM trail WHERE seq = 1");
    check_refused("DELETE FROM trail");
    check_refused(
        "INSERT INTO trail SELECT 5, at_ms, actor, action, subject, outcome, body, hash, prev FROM trail WHERE seq = 3",
    );
    check_refused(
        "INSERT INTO trail SELECT 4, at_ms, actor, action, subject, outcome, body, prev, hash FROM trail WHERE seq = 3",
    );
    check_refused(
        "INSERT OR REPLACE INTO trail SELECT seq, at_ms, 'x', action, subject, outcome, body, prev, hash FROM trail WHERE seq = 2",
    );
    check_refused("UPDATE trail_start SET seq = 9");
    check_refused("UPDATE trail_start SET seq = 1");
    check_refused("DELETE FROM trail_start");
}

#[test]
fn an_entry_that_says_something_else_in_its_columns_is_named() {
    let place = Place::new();
    let store = place.open();
    store.commit(Batch::entry(read_entry("credential:a"))).unwrap();
    let hidden = "DROP TRIGGER trail_is_not_changed; UPDATE trail SET subject = 'credential:b'";
    Connection::open(place.path()).unwrap().execute_batch(hidden).unwrap();
    let error = store.trail(&TrailQuery { limit: 1, ..TrailQuery::default() }).unwrap_err();
    let named = matches!(&error, StoreError::Corrupt { what, .. } if what.contains("entry 1") && what.contains("subject"));
    assert!(named, "{error:?}");
}

#[test]
fn everything_of_the_ledger_is_there_after_closing_and_opening() {
    let place = Place::new();
    let store = place.open();
    commit(&store, vec![credential("c1"), Write::AlertStatePut("{}".into())]);
    let (head, row) = (store.trail_head().unwrap(), store.credential("c1").unwrap());
    drop(store);
    let store = place.open();
    assert_eq!((store.trail_head().unwrap(), store.credential("c1").unwrap()), (head, row));
    commit(&store, Vec::new());
    assert_eq!(store.trail_head().unwrap().seq, 2);
    assert_sound(&store);
}

#[test]
fn a_closed_ledger_refuses_reads_and_writes_with_its_reason() {
    let closed = ClosedLedger::new("the database house.db is damaged");
    let (sender, answers) = std::sync::mpsc::channel();
    closed.submit(Batch::entry(read_entry("x")), Box::new(move |outcome| sender.send(outcome).unwrap()));
    let errors = [
        answers.recv().unwrap().unwrap_err(),
        closed.commit(Batch::default()).unwrap_err(),
        closed.trail_head().unwrap_err(),
        closed.credential("c1").unwrap_err(),
        closed.readable_by(&"api".parse().unwrap()).unwrap_err(),
        closed.sweep(Timestamp(0), Timestamp(0)).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Unavailable { .. }) && !error.is_transient(), "{error:?}");
        assert!(error.to_string().contains("house.db is damaged"), "{error}");
    }
}
