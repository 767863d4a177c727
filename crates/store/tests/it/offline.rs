//! A copy of the database in the hands of somebody who wants to know, or to hide.

use crate::{Place, credential, read_entry};
use haus_store::offline::{Trail, TrailRow};
use haus_store::{Batch, Ledger, SqliteStore, StoreError};
use haus_trail::{Fault, Head, Verifier};
use rusqlite::Connection;
use std::path::Path;

/// A store whose trail has so many entries.
fn filled(place: &Place, entries: usize) -> SqliteStore {
    let store = place.open();
    let entries = (1..=entries).map(|number| read_entry(&format!("credential:c{number}"))).collect();
    store.commit(Batch { writes: vec![credential("c1")], entries }).unwrap();
    store
}

/// What a verification of the file says: the faults of the chain, and the columns that differ by entry.
fn verify(path: &Path, anchor: Option<&Head>) -> (Vec<Fault>, Vec<(u64, Vec<&'static str>)>) {
    let trail = Trail::open(path).unwrap();
    let mut verifier = Verifier::new(trail.start().unwrap());
    let mut mislabelled = Vec::new();
    for row in trail.rows() {
        match row.unwrap() {
            TrailRow::Entry(entry) => drop(verifier.check(&entry)),
            TrailRow::Mislabelled { entry, columns } => {
                verifier.check(&entry);
                mislabelled.push((entry.seq, columns));
            }
            TrailRow::Unreadable { error, .. } => drop(verifier.unreadable(&error)),
        }
    }
    (verifier.finish(anchor).faults, mislabelled)
}

/// Changes a closed database behind the back of its rules and verifies it against the head that it had.
#[track_caller]
fn check(sql: &str, expected: &[Fault]) {
    let place = Place::new();
    let head = filled(&place, 5).trail_head().unwrap();
    let hidden = Connection::open(place.path()).unwrap();
    let no_rules = "DROP TRIGGER trail_is_a_chain; DROP TRIGGER trail_is_not_changed;
        DROP TRIGGER trail_is_pruned_from_its_old_end; DROP TRIGGER trail_start_moves_forward;";
    hidden.execute_batch(no_rules).unwrap();
    hidden.execute_batch(sql).unwrap();
    drop(hidden);
    assert_eq!(verify(&place.path(), Some(&head)).0, expected, "{sql}");
}

#[test]
fn an_untouched_copy_is_sound_and_stays_untouched() {
    let place = Place::new();
    // More than one page of rows.
    let head = filled(&place, 2_500).trail_head().unwrap();
    let before = std::fs::read(place.path()).unwrap();
    assert_eq!(verify(&place.path(), Some(&head)), (Vec::new(), Vec::new()));
    assert_eq!(Trail::open(&place.path()).unwrap().format(), 3);
    assert_eq!(std::fs::read(place.path()).unwrap(), before);
    assert_eq!(place.folder.path().read_dir().unwrap().count(), 1, "nothing is laid beside it");
}

#[test]
fn what_stands_in_the_log_beside_the_copy_is_read() {
    let (place, copy) = (Place::new(), Place::new());
    let store = filled(&place, 5);
    for name in ["house.db", "house.db-wal"] {
        std::fs::copy(place.folder.path().join(name), copy.folder.path().join(name)).unwrap();
    }
    let head = store.trail_head().unwrap();
    assert_eq!(verify(&copy.path(), Some(&head)), (Vec::new(), Vec::new()));
}

#[test]
fn a_pruned_trail_is_verified_from_its_start() {
    let place = Place::new();
    let store = filled(&place, 5);
    store.prune_trail(haus_model::Timestamp(2), read_entry("note")).unwrap();
    let (start, head) = (store.trail_start().unwrap(), store.trail_head().unwrap());
    drop(store);
    assert_eq!((start.seq, head.seq), (5, 6));
    assert_eq!(Trail::open(&place.path()).unwrap().start().unwrap(), start);
    assert_eq!(verify(&place.path(), Some(&head)), (Vec::new(), Vec::new()));
}

#[test]
fn every_change_behind_the_back_is_found() {
    check("UPDATE trail SET body = replace(body, 'c3', 'c4') WHERE seq = 3", &[Fault::Changed { seq: 3 }]);
    check("DELETE FROM trail WHERE seq = 3", &[Fault::Missing { after: 2, next: 4 }]);
    check("DELETE FROM trail WHERE seq = 5", &[Fault::TooShort { anchor_seq: 5, last_seq: 4 }]);
    check(
        "UPDATE trail SET seq = 9 WHERE seq = 2; UPDATE trail SET seq = 2 WHERE seq = 3; UPDATE trail SET seq = 3 WHERE seq = 9",
        &[Fault::Changed { seq: 2 }, Fault::Changed { seq: 3 }],
    );
}

#[test]
fn rows_that_are_no_entries_are_told_and_passed_over() {
    let wreck = [
        "UPDATE trail SET body = 'x' WHERE seq = 3",
        "UPDATE trail SET body = body || ' ' WHERE seq = 3",
        "UPDATE trail SET body = '' WHERE seq = 3",
        "UPDATE trail SET seq = -3 WHERE seq = 3",
    ];
    for sql in wreck {
        let place = Place::new();
        drop(filled(&place, 5));
        let hidden = Connection::open(place.path()).unwrap();
        hidden.execute_batch("DROP TRIGGER trail_is_not_changed").unwrap();
        hidden.execute_batch(sql).unwrap();
        drop(hidden);
        let trail = Trail::open(&place.path()).unwrap();
        let rows: Vec<TrailRow> = trail.rows().map(Result::unwrap).collect();
        let read = rows.iter().filter(|row| matches!(row, TrailRow::Entry(_))).count();
        let unreadable = rows.iter().find_map(|row| match row {
            TrailRow::Unreadable { seq, .. } => Some(seq.abs()),
            TrailRow::Entry(_) | TrailRow::Mislabelled { .. } => None,
        });
        assert_eq!((rows.len(), read, unreadable), (5, 4, Some(3)), "{sql}");
        assert!(!verify(&place.path(), None).0.is_empty(), "{sql}");
    }
}

#[test]
fn an_entry_that_searches_would_miss_is_named() {
    let place = Place::new();
    let head = filled(&place, 5).trail_head().unwrap();
    let hidden = Connection::open(place.path()).unwrap();
    hidden.execute_batch("DROP TRIGGER trail_is_not_changed").unwrap();
    hidden
        .execute_batch("UPDATE trail SET at_ms = 9, actor = 'x', outcome = 'denied' WHERE seq = 4")
        .unwrap();
    drop(hidden);
    let expected = vec![(4, vec!["at_ms", "actor", "outcome"])];
    assert_eq!(verify(&place.path(), Some(&head)), (Vec::new(), expected));
}

#[test]
fn a_newer_format_is_read_and_an_older_one_has_no_trail() {
    let place = Place::new();
    let head = filled(&place, 5).trail_head().unwrap();
    let set = |format: u32| {
        let sql = format!("PRAGMA user_version = {format}");
        Connection::open(place.path()).unwrap().execute_batch(&sql).unwrap();
    };
    set(99);
    assert_eq!(verify(&place.path(), Some(&head)), (Vec::new(), Vec::new()));
    set(1);
    let error = Trail::open(&place.path()).unwrap_err();
    assert!(matches!(error, StoreError::NoTrail { found: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("house.db"), "{error}");
}

#[test]
fn a_file_that_is_something_else_is_refused() {
    let place = Place::new();
    let error = Trail::open(&place.path()).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert!(!place.path().exists(), "a file that is not there is not made");
    std::fs::write(place.path(), "haus: 1\n".repeat(1_000)).unwrap();
    assert!(matches!(Trail::open(&place.path()), Err(StoreError::Corrupt { .. })));
    std::fs::remove_file(place.path()).unwrap();
    Connection::open(place.path()).unwrap().execute_batch("CREATE TABLE trail (seq)").unwrap();
    assert!(matches!(Trail::open(&place.path()), Err(StoreError::Foreign { .. })));
}

#[test]
fn a_trap_in_place_of_the_trail_is_refused() {
    let place = Place::new();
    drop(filled(&place, 5));
    let trap = Connection::open(place.path()).unwrap();
    trap.execute_batch(
        "DROP TABLE trail; CREATE VIEW trail (seq, at_ms, actor, action, subject, outcome, body, prev, hash) AS
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
         SELECT i, 1, '', '', '', '', '', x'', x'' FROM n",
    )
    .unwrap();
    drop(trap);
    let error = Trail::open(&place.path()).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { what, .. } if what.contains("trail")), "{error:?}");
}

#[test]
fn a_path_with_signs_of_its_own_is_taken_literally() {
    let place = Place::new();
    let head = filled(&place, 5).trail_head().unwrap();
    let odd = place.folder.path().join("a copy?mode=rwc#100%.db");
    std::fs::rename(place.path(), &odd).unwrap();
    assert_eq!(verify(&odd, Some(&head)), (Vec::new(), Vec::new()));
}
