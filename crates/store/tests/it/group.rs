//! Many callers, one transaction: what each of them may rely on.

use crate::{Place, event, every_event, reasons};
use haus_store::{EventQuery, PortKey, Store, StoreError};
use haus_testkit::wait_until;
use rusqlite::Connection;
use std::time::{Duration, Instant};

fn key(ordinal: u32) -> PortKey {
    PortKey { service: "web".parse().unwrap(), ordinal, port: "http".parse().unwrap() }
}

/// Holds the write lock as a foreign program would, so that everything else has to queue.
fn hold_lock(place: &Place) -> Connection {
    let foreign = Connection::open(place.path()).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    foreign
}

#[test]
fn a_refused_write_takes_none_of_its_neighbours_with_it() {
    let place = Place::new();
    let store = place.open();
    store.set_port(&key(1), 20_001).unwrap();
    let foreign = hold_lock(&place);
    std::thread::scope(|scope| {
        let store = &store;
        let good: Vec<_> = (0..20)
            .map(|number| scope.spawn(move || store.append_events(vec![event(&number.to_string())])))
            .collect();
        let bad: Vec<_> =
            (2..12).map(|ordinal| scope.spawn(move || store.set_port(&key(ordinal), 20_001))).collect();
        wait_until("all to queue", Duration::from_secs(10), || store.health().queue_len == 30);
        foreign.execute_batch("ROLLBACK").unwrap();
        for thread in good {
            thread.join().unwrap().unwrap();
        }
        for thread in bad {
            assert!(matches!(thread.join().unwrap(), Err(StoreError::PortTaken { .. })));
        }
    });
    let mut kept = reasons(&store);
    kept.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(kept, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(store.ports().unwrap().len(), 1);
    assert_eq!(store.health().queue_len, 0);
}

/// Queues appends of two events each, of which some end in `bad`, and lets them be committed together in a
/// database where `bad` is refused by `raise`. Returns how many were acknowledged, and what is kept.
fn commit_with_bad_ones(raise: &str) -> (usize, Vec<String>) {
    let place = Place::new();
    let store = place.open();
    let foreign = Connection::open(place.path()).unwrap();
    let trigger = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON event WHEN NEW.why = 'bad'
         BEGIN SELECT RAISE({raise}, 'refused'); END; BEGIN IMMEDIATE"
    );
    foreign.execute_batch(&trigger).unwrap();
    let acknowledged = std::thread::scope(|scope| {
        let store = &store;
        let append = |number: usize| {
            let second = if number.is_multiple_of(4) { "bad" } else { "good" };
            move || store.append_events(vec![event("first"), event(second)])
        };
        let threads: Vec<_> = (0..16).map(|number| scope.spawn(append(number))).collect();
        wait_until("all to queue", Duration::from_secs(10), || store.health().queue_len == 16);
        foreign.execute_batch("ROLLBACK").unwrap();
        threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).count()
    });
    (acknowledged, reasons(&store))
}

#[test]
fn half_of_a_failed_write_is_undone_whether_or_not_its_transaction_survives() {
    // ABORT undoes the statement alone, ROLLBACK the whole transaction with the writes of all others.
    for raise in ["ABORT", "ROLLBACK"] {
        let (acknowledged, kept) = commit_with_bad_ones(raise);
        assert_eq!(acknowledged, 12, "{raise}");
        assert_eq!(kept, ["first", "good"].repeat(12), "{raise}");
    }
}

#[test]
fn reads_do_not_wait_for_writes_and_see_only_what_is_committed() {
    let place = Place::new();
    let store = place.open();
    store.append_events(vec![event("before")]).unwrap();
    let foreign = hold_lock(&place);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| store.append_events(vec![event("after")]));
        wait_until("the write to queue", Duration::from_secs(10), || store.health().queue_len == 1);
        // More readers at once than there are connections.
        let readers: Vec<_> = (0..16).map(|_| scope.spawn(|| reasons(&store))).collect();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), ["before"]);
        }
        foreign.execute_batch("ROLLBACK").unwrap();
        writing.join().unwrap().unwrap();
    });
    assert_eq!(reasons(&store), ["before", "after"]);
}

#[test]
fn a_foreign_program_that_keeps_the_lock_is_named_and_outlived() {
    let place = Place::new();
    let store = place.open();
    let foreign = hold_lock(&place);
    let error = store.set_setting("a", "1").unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }) && error.is_transient(), "{error:?}");
    let health = store.health();
    assert!(!health.writable && health.last_error.unwrap().contains("in use by another program"));
    foreign.execute_batch("ROLLBACK").unwrap();
    store.set_setting("a", "2").unwrap();
    assert!(store.health().writable);
}

#[test]
fn writes_that_arrive_together_share_a_commit() {
    const CLIENTS: usize = 64;
    let rounds = if std::env::var_os("HAUS_SOAK").is_some() { 400 } else { 40 };
    let place = Place::new();
    let store = place.open();
    let serial_begun = Instant::now();
    for _ in 0..rounds {
        store.append_events(vec![event("alone")]).unwrap();
    }
    let serial = rounds as f64 / serial_begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..rounds {
                    store.append_events(vec![event("together")]).unwrap();
                }
            });
        }
    });
    let together = (CLIENTS * rounds) as f64 / begun.elapsed().as_secs_f64();
    println!("durable writes per second: {serial:.0} alone, {together:.0} with {CLIENTS} clients");
    assert_eq!(store.events(&every_event()).unwrap().len(), rounds * (CLIENTS + 1));
    // No bound on the figures here: a test machine may have a disk that syncs for free.
    let newest = EventQuery { newest_first: true, limit: 1, ..EventQuery::default() };
    assert_eq!(store.events(&newest).unwrap()[0].seq, (rounds * (CLIENTS + 1)) as u64);
}
