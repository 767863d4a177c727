//! Files that are not ours, not of this version, damaged or not there.

use crate::{Place, assert_sound, credential, event, open, read_entry, reasons};
use haus_model::Timestamp;
use haus_store::{Batch, Ledger, SqliteStore, Store, StoreError};
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn refusal(path: &Path) -> StoreError {
    let before = std::fs::read(path).unwrap();
    let error = SqliteStore::open(path).unwrap_err();
    assert_eq!(std::fs::read(path).unwrap(), before, "a refused file is not touched");
    assert!(!error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("house.db"), "{error}");
    error
}

#[test]
fn the_files_are_for_their_owner_alone() {
    let place = Place::new();
    let store = place.open();
    store.append_events(vec![event("x")]).unwrap();
    let mut names = Vec::new();
    for entry in place.folder.path().read_dir().unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
    names.sort();
    assert_eq!(names, ["house.db", "house.db-shm", "house.db-wal"]);
    assert!(store.health().bytes > 4_096);
    drop(store);
    assert_eq!(place.folder.path().read_dir().unwrap().count(), 1, "closing folds the log into the file");
}

#[test]
fn a_database_of_a_newer_version_is_refused_with_the_remedy() {
    let place = Place::new();
    place.open().append_events(vec![event("kept")]).unwrap();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(other);
    let error = refusal(&place.path());
    assert!(matches!(error, StoreError::Newer { found: 99, known: 3, .. }), "{error:?}");
    assert!(error.to_string().contains("use the newer haus"), "{error}");
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("PRAGMA user_version = 3").unwrap();
    drop(other);
    assert_eq!(reasons(&place.open()), ["kept"]);
}

/// A database as the first released version left it, with something in every table.
fn write_format_1(path: &Path) {
    let old = Connection::open(path).unwrap();
    old.execute_batch(include_str!("../../migrations/0001_first.sql")).unwrap();
    old.execute_batch(
        "PRAGMA application_id = 0x48415553; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
         INSERT INTO event (at_ms, kind, subject, why) VALUES (1, 'house', 'house', 'old'), (2, 'spawn', 'api/1', 'x');
         INSERT INTO port VALUES ('api', 1, 'http', 20001);
         INSERT INTO prepared VALUES ('api', 'f00');
         INSERT INTO counter VALUES ('run', 41);
         INSERT INTO setting VALUES ('revision', '7');",
    )
    .unwrap();
}

#[test]
fn a_database_of_format_1_gets_the_ledger_and_keeps_what_it_has() {
    let place = Place::new();
    write_format_1(&place.path());
    for _ in 0..2 {
        let store = place.open();
        assert_eq!(reasons(&store), ["old", "x"]);
        assert_eq!(store.ports().unwrap().into_values().collect::<Vec<_>>(), [20_001]);
        assert_eq!(store.prepared().unwrap().into_values().collect::<Vec<_>>(), ["f00"]);
        assert_eq!(store.setting("revision").unwrap().as_deref(), Some("7"));
        assert_eq!(store.integrity_check().unwrap(), Vec::<String>::new());
    }
    let store = place.open();
    assert_eq!(store.next_run(1).unwrap(), 42);
    let batch = Batch::of(vec![credential("c1")], read_entry("c1"));
    assert_eq!(store.commit(batch).unwrap().trail, [1]);
    assert_sound(&store);
    let format = |sql: &str| -> u32 {
        Connection::open(place.path()).unwrap().query_row(sql, (), |row| row.get(0)).unwrap()
    };
    assert_eq!(format("PRAGMA user_version"), 3);
}

#[test]
fn a_migration_that_cannot_be_finished_leaves_the_old_format() {
    let place = Place::new();
    write_format_1(&place.path());
    let foreign = Connection::open(place.path()).unwrap();
    // The last table of the step is taken: everything before it must go again.
    foreign.execute_batch("CREATE TABLE trail_start (x)").unwrap();
    let error = SqliteStore::open(&place.path()).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    let left: u32 = foreign
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name IN ('credential', 'trail')", (), |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(left, 0);
    foreign.execute_batch("DROP TABLE trail_start").unwrap();
    assert_eq!(reasons(&place.open()), ["old", "x"]);
}

#[test]
fn a_database_of_another_program_is_refused() {
    let place = Place::new();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    assert!(matches!(refusal(&place.path()), StoreError::Foreign { found: 0, .. }));
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let place = Place::new();
    std::fs::write(place.path(), "haus: 1\n".repeat(1_000)).unwrap();
    let error = refusal(&place.path());
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("restore it from a backup"), "{error}");
}

#[test]
fn damage_is_found_by_the_integrity_check() {
    let place = Place::new();
    let store = place.open();
    let many = (0..2_000).map(|number| event(&format!("event {number:060}"))).collect();
    store.append_events(many).unwrap();
    assert_eq!(store.integrity_check().unwrap(), Vec::<String>::new());
    drop(store);
    let mut bytes = std::fs::read(place.path()).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 4_096].fill(0xA5);
    std::fs::write(place.path(), bytes).unwrap();
    let found = place.open().integrity_check();
    let noticed = match &found {
        Ok(faults) => !faults.is_empty(),
        Err(error) => matches!(error, StoreError::Corrupt { .. }),
    };
    assert!(noticed, "{found:?}");
}

#[test]
fn a_row_that_no_version_writes_is_named() {
    let place = Place::new();
    drop(place.open());
    let other = Connection::open(place.path()).unwrap();
    let row = "INSERT INTO event (at_ms, kind, subject, why) VALUES (1, 'party', 'house', 'x')";
    other.execute_batch(row).unwrap();
    drop(other);
    let error = place.open().events(&crate::every_event()).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { what, .. } if what.contains("`party`")), "{error:?}");
}

#[test]
fn a_missing_folder_is_named() {
    let place = Place::new();
    let path = place.folder.path().join("missing/house.db");
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(&error, StoreError::Open { path: named, .. } if *named == path), "{error:?}");
}

#[test]
fn an_empty_file_becomes_a_database() {
    let place = Place::new();
    std::fs::write(place.path(), "").unwrap();
    let store = open(&place.path());
    store.append_events(vec![event("x")]).unwrap();
    assert_eq!(reasons(&store), ["x"]);
}

#[test]
fn the_document_names_every_table_column_and_kind() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/store.md");
    let document = std::fs::read_to_string(path).unwrap();
    let place = Place::new();
    drop(place.open());
    let database = Connection::open(place.path()).unwrap();
    let mut names = database
        .prepare(
            "SELECT DISTINCT c.name FROM sqlite_schema t, pragma_table_xinfo(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'
             UNION SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        )
        .unwrap();
    let names = names.query_map((), |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap);
    let kinds = haus_store::EventKind::ALL.map(|kind| kind.as_str().to_owned());
    let missing: Vec<String> =
        names.chain(kinds).filter(|name| !document.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/formats/store.md lacks {missing:?}");
}

#[test]
fn a_database_of_format_2_finds_what_it_had_and_forgets_it_with_its_entries() {
    let place = Place::new();
    let store = place.open();
    let entries =
        |from: u64, to: u64| (from..to).map(|number| read_entry(&format!("c{}", number % 90))).collect();
    store.commit(Batch { writes: Vec::new(), entries: entries(0, 900) }).unwrap();
    let blocks = || -> Vec<(String, String, u64)> {
        let other = Connection::open(place.path()).unwrap();
        let mut rows = other.prepare("SELECT kind, name, block FROM trail_block ORDER BY 1, 2, 3").unwrap();
        let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let written = blocks();
    assert_eq!(written.iter().map(|row| row.2).max(), Some(2), "three blocks are whole");
    drop(store);
    let old = Connection::open(place.path()).unwrap();
    old.execute_batch(
        "DROP TABLE trail_block;
         CREATE INDEX trail_by_subject ON trail (subject, seq);
         CREATE INDEX trail_by_actor ON trail (actor, seq);
         CREATE INDEX trail_by_action ON trail (action, seq);
         PRAGMA user_version = 2",
    )
    .unwrap();
    drop(old);
    let store = place.open();
    assert_eq!(blocks(), written);
    let all = Timestamp(i64::MAX);
    store.prune_trail(all, read_entry("note")).unwrap();
    assert_eq!(blocks(), [], "nothing is left of entries that are gone");
    assert_sound(&store);
}
