//! Disks that are full or cannot be written.

use crate::{assert_sound, credential, event, open, read_entry, reasons};
use haus_store::{Batch, Ledger, SqliteStore, Store, StoreError, Write};
use haus_testkit::SmallDisk;

/// Appends until the disk is full; returns how many events were acknowledged.
fn fill_by_events(store: &dyn Store) -> usize {
    for acknowledged in 0..10_000 {
        match store.append_events(vec![event(&format!("{acknowledged} {}", "x".repeat(2_000)))]) {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, StoreError::Full { .. }) && error.is_transient(), "{error:?}");
                assert!(error.to_string().contains("no space left"), "{error}");
                return acknowledged;
            }
        }
    }
    panic!("the small disk never filled");
}

#[test]
fn on_a_full_disk_reads_go_on_and_writes_come_back_with_the_space() {
    let test = "on_a_full_disk_reads_go_on_and_writes_come_back_with_the_space";
    let Some(disk) = SmallDisk::mount(test, 4_096) else { return };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let path = disk.path().join("house.db");
    let store = open(&path);
    let acknowledged = fill_by_events(&store);
    disk.fill_into("rest");

    let health = store.health();
    assert!(!health.writable && health.last_error.is_some_and(|text| text.contains("no space left")));
    assert_eq!(reasons(&store).len(), acknowledged, "nothing acknowledged is lost, nothing refused appears");
    for _ in 0..20 {
        // Larger than what the refused append has left behind in the log, which is used again.
        let refused = store.set_setting("a", &"y".repeat(60_000));
        assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    }

    std::fs::remove_file(&ballast).unwrap();
    store.append_events(vec![event("again")]).unwrap();
    assert!(store.health().writable);
    assert_eq!(reasons(&store).len(), acknowledged + 1);
    assert_eq!(store.integrity_check().unwrap(), Vec::<String>::new());
    drop(store);
    assert_eq!(reasons(&open(&path)).len(), acknowledged + 1);
}

#[test]
fn on_a_full_disk_each_of_many_callers_gets_its_own_true_answer() {
    let test = "on_a_full_disk_each_of_many_callers_gets_its_own_true_answer";
    let Some(disk) = SmallDisk::mount(test, 2_048) else { return };
    let path = disk.path().join("house.db");
    let store = open(&path);
    let mut acknowledged: Vec<String> = std::thread::scope(|scope| {
        let store = &store;
        let write = |thread: usize| {
            move || {
                let texts = (0..60).map(|round| format!("{thread}-{round} {}", "z".repeat(3_000)));
                texts.filter(|text| store.append_events(vec![event(text)]).is_ok()).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..16).map(|thread| scope.spawn(write(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(acknowledged.len() < 16 * 60, "the small disk never filled");
    let mut kept = reasons(&store);
    kept.sort();
    acknowledged.sort();
    assert_eq!(kept, acknowledged);
}

#[test]
fn on_a_full_disk_a_batch_fails_whole_and_the_chain_goes_on_afterwards() {
    let test = "on_a_full_disk_a_batch_fails_whole_and_the_chain_goes_on_afterwards";
    let Some(disk) = SmallDisk::mount(test, 4_096) else { return };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let path = disk.path().join("house.db");
    let store = open(&path);
    let batch = |number: usize| {
        let write = Write::AlertStatePut(format!("{number} {}", "x".repeat(3_000)));
        Batch::of(vec![credential(&format!("c{number}")), write], read_entry(&format!("c{number}")))
    };
    let created = (0..10_000).find(|number| store.commit(batch(*number)).is_err()).unwrap();
    disk.fill_into("rest");
    // Reads that must be told of still fit into what the log has, then they fail as well, each at once.
    let read = |_: &usize| {
        let (sender, answers) = std::sync::mpsc::channel();
        store.submit(Batch::entry(read_entry("x")), Box::new(move |outcome| sender.send(outcome).unwrap()));
        answers.recv().unwrap().is_err()
    };
    let reads = (0..10_000).find(read).unwrap();
    for number in created..created + 20 {
        assert!(read(&number));
        assert!(matches!(store.commit(batch(number)), Err(StoreError::Full { .. })));
    }
    let acknowledged = (created + reads) as u64;
    assert_eq!(store.trail_head().unwrap().seq, acknowledged);
    assert_eq!(store.credential(&format!("c{created}")).unwrap(), None);
    assert_sound(&store);

    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(store.commit(batch(created)).unwrap().trail, [acknowledged + 1]);
    assert_sound(&store);
    drop(store);
    let store = open(&path);
    assert_sound(&store);
    assert_eq!(store.trail_head().unwrap().seq, acknowledged + 1);
}

#[test]
fn a_full_disk_at_the_first_start_is_named() {
    let Some(disk) = SmallDisk::mount("a_full_disk_at_the_first_start_is_named", 256) else { return };
    disk.fill();
    let error = SqliteStore::open(&disk.path().join("house.db")).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
}

#[test]
fn a_full_disk_does_not_keep_an_old_store_from_opening() {
    let test = "a_full_disk_does_not_keep_an_old_store_from_opening";
    let Some(disk) = SmallDisk::mount(test, 1_024) else { return };
    let path = disk.path().join("house.db");
    open(&path).append_events(vec![event("old")]).unwrap();
    let ballast = disk.fill();
    match SqliteStore::open(&path) {
        Ok(store) => {
            assert_eq!(reasons(&store), ["old"]);
            assert!(matches!(store.next_run(1), Err(StoreError::Full { .. })));
        }
        // The log's index needs 32 KiB before anything can be read; where even these are missing it is said.
        Err(error) => assert!(matches!(error, StoreError::Full { .. }), "{error:?}"),
    }
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(open(&path).next_run(1).unwrap(), 1);
}

#[test]
fn a_disk_that_cannot_be_written_is_named() {
    let Some(disk) = SmallDisk::mount("a_disk_that_cannot_be_written_is_named", 1_024) else { return };
    let path = disk.path().join("house.db");
    open(&path).append_events(vec![event("old")]).unwrap();
    disk.make_read_only();
    let old = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(old, StoreError::ReadOnly { .. }), "{old:?}");
    let new = SqliteStore::open(&disk.path().join("new.db")).unwrap_err();
    assert!(matches!(new, StoreError::ReadOnly { .. }), "{new:?}");
    assert!(new.to_string().contains("read-only"), "{new}");
}
