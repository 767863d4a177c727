//! What every store must do, whatever it keeps things in.

#![allow(
    clippy::unwrap_used,
    reason = "these are tests, compiled into a library so that every store can run them"
)]

use haus_model::json::Json;
use haus_model::{ServiceName, Timestamp};
use haus_store::{Event, EventKind, EventQuery, NewEvent, PortKey, Retention, Store, StoreError};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes a fresh, empty store.
pub type OpenStore<'a> = &'a dyn Fn() -> Box<dyn Store>;

type Case = (&'static str, fn(&dyn Store));

const CASES: &[Case] = &[
    ("an empty store answers everything with nothing", empty),
    ("an event comes back as it went in", round_trip),
    ("numbers rise and no append is torn apart", numbers_rise),
    ("queries cut from the right end", queries),
    ("a service's events are those of its slots too", by_service),
    ("pruning keeps the newest and never gives a number twice", pruning),
    ("pruning needs several steps for many events", pruning_many),
    ("a port stays with its slot", ports_stay),
    ("no port is given twice", ports_are_unique),
    ("a port can be set where nobody else has it", ports_can_be_set),
    ("forgetting a service frees its ports and its preparation alone", forgetting),
    ("run numbers follow each other", runs),
    ("settings and fingerprints are replaced", texts),
    ("writers at the same time each get their own", concurrent),
    ("a store that works says so", health),
];

/// Runs the whole suite, each case on a fresh store.
///
/// # Panics
/// When a case fails; names all that do.
pub fn store_conformance(open: OpenStore<'_>) {
    let failed: Vec<&str> = CASES
        .iter()
        .filter(|(_, case)| catch_unwind(AssertUnwindSafe(|| case(&*open()))).is_err())
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "the store does not conform: {failed:#?}");
}

fn name(text: &str) -> ServiceName {
    text.parse().expect("the suite uses valid names")
}

fn key(service: &str, ordinal: u32, port: &str) -> PortKey {
    PortKey { service: name(service), ordinal, port: port.parse().expect("the suite uses valid names") }
}

fn plain(at: i64, subject: &str) -> NewEvent {
    NewEvent::new(Timestamp(at), EventKind::Probe, subject, "why")
}

/// One append per event, so that a store is seen to number across calls.
fn fill(store: &dyn Store, subjects: &[&str]) -> Vec<u64> {
    let append = |(at, subject): (usize, &&str)| {
        store.append_events(vec![plain(at as i64, subject)]).expect("the store is writable")[0]
    };
    subjects.iter().enumerate().map(append).collect()
}

fn numbers(store: &dyn Store, query: &EventQuery) -> Vec<u64> {
    store.events(query).expect("the store is readable").into_iter().map(|event| event.seq).collect()
}

fn empty(store: &dyn Store) {
    assert_eq!(store.events(&EventQuery::default()).unwrap(), []);
    assert!(store.ports().unwrap().is_empty());
    assert!(store.prepared().unwrap().is_empty());
    assert_eq!(store.setting("any").unwrap(), None);
    assert_eq!(store.append_events(Vec::new()).unwrap(), Vec::<u64>::new());
    assert_eq!(store.prune_events(Retention { rows_max: Some(0), before: Some(Timestamp(9)) }).unwrap(), 0);
    store.forget_service(&name("nobody")).unwrap();
}

fn round_trip(store: &dyn Store) {
    for (index, kind) in EventKind::ALL.into_iter().enumerate() {
        let details = Json::Object(
            [
                ("code".to_owned(), Json::Integer(i64::MIN)),
                ("ratio".to_owned(), Json::Float(0.1)),
                (
                    "list".to_owned(),
                    Json::List(vec![Json::Null, Json::Bool(true), Json::Text("ü\u{0}\"".into())]),
                ),
            ]
            .into(),
        );
        let at = Timestamp(index as i64 - 4);
        let new = NewEvent::new(at, kind, "web/2", "it's \u{1f6a7} 'quoted'; DROP TABLE event;--\n\u{0}end");
        let new = NewEvent { details: Some(details.clone()), ..new.change("", "healthy") };
        let seq = store.append_events(vec![new.clone()]).unwrap()[0];
        let NewEvent { at, kind, subject, from, to, why, details } = new;
        let expected = Event { seq, at, kind, subject, from, to, why, details };
        let query = EventQuery { after_seq: Some(seq - 1), ..EventQuery::default() };
        assert_eq!(store.events(&query).unwrap(), [expected]);
    }
    let seq = store.append_events(vec![plain(0, "bare")]).unwrap()[0];
    let query = EventQuery { after_seq: Some(seq - 1), ..EventQuery::default() };
    let bare = store.events(&query).unwrap().remove(0);
    assert_eq!((bare.from, bare.to, bare.details), (None, None, None));
}

fn numbers_rise(store: &dyn Store) {
    let first = store.append_events(vec![plain(3, "a"), plain(2, "b"), plain(1, "c")]).unwrap();
    let second = store.append_events(vec![plain(0, "d")]).unwrap();
    assert_eq!(first.len(), 3);
    let all: Vec<u64> = first.into_iter().chain(second).collect();
    assert!(all.is_sorted_by(|a, b| a < b) && all[0] > 0, "{all:?}");
    let subjects: Vec<String> =
        store.events(&EventQuery::default()).unwrap().into_iter().map(|event| event.subject).collect();
    assert_eq!(subjects, ["a", "b", "c", "d"], "the order is that of the numbers, not of the clock");
}

fn queries(store: &dyn Store) {
    let seq = fill(store, &["a", "b", "c", "d", "e"]);
    let check =
        |query: EventQuery, expected: &[u64]| assert_eq!(numbers(store, &query), expected, "{query:?}");
    let all = EventQuery::default();
    check(EventQuery { limit: 2, ..all.clone() }, &seq[..2]);
    check(EventQuery { limit: 2, newest_first: true, ..all.clone() }, &[seq[4], seq[3]]);
    check(EventQuery { limit: 0, ..all.clone() }, &[]);
    check(EventQuery { limit: usize::MAX, ..all.clone() }, &seq);
    check(EventQuery { after_seq: Some(seq[2]), ..all.clone() }, &seq[3..]);
    check(EventQuery { after_seq: Some(u64::MAX), ..all.clone() }, &[]);
    check(EventQuery { before_seq: Some(seq[2]), newest_first: true, ..all.clone() }, &[seq[1], seq[0]]);
    check(EventQuery { after_seq: Some(seq[0]), before_seq: Some(seq[4]), ..all.clone() }, &seq[1..4]);
    check(EventQuery { since: Some(Timestamp(3)), ..all.clone() }, &seq[3..]);
    check(EventQuery { since: Some(Timestamp(9)), ..all }, &[]);
}

fn by_service(store: &dyn Store) {
    let seq = fill(store, &["web", "web/1", "web-shop", "web/2", "we", "house", "web-shop/1"]);
    let of = |service| EventQuery { service: Some(name(service)), ..EventQuery::default() };
    assert_eq!(numbers(store, &of("web")), [seq[0], seq[1], seq[3]]);
    assert_eq!(numbers(store, &of("web-shop")), [seq[2], seq[6]]);
    assert_eq!(numbers(store, &of("shop")), Vec::<u64>::new());
    let newest = EventQuery { limit: 1, newest_first: true, since: Some(Timestamp(1)), ..of("web") };
    assert_eq!(numbers(store, &newest), [seq[3]]);
}

fn pruning(store: &dyn Store) {
    let seq = fill(store, &["a", "b", "c", "d", "e", "f"]);
    let all = EventQuery::default();
    assert_eq!(store.prune_events(Retention::default()).unwrap(), 0);
    assert_eq!(store.prune_events(Retention { rows_max: None, before: Some(Timestamp(1)) }).unwrap(), 1);
    assert_eq!(numbers(store, &all), seq[1..]);
    assert_eq!(store.prune_events(Retention { rows_max: Some(5), before: None }).unwrap(), 0);
    assert_eq!(store.prune_events(Retention { rows_max: Some(3), before: Some(Timestamp(2)) }).unwrap(), 2);
    assert_eq!(numbers(store, &all), seq[3..]);
    assert_eq!(store.prune_events(Retention { rows_max: Some(0), before: None }).unwrap(), 3);
    assert_eq!(numbers(store, &all), Vec::<u64>::new());
    let next = fill(store, &["g"]);
    assert!(next[0] > seq[5], "{next:?} after {seq:?}");
}

fn pruning_many(store: &dyn Store) {
    let many = (0..12_000).map(|at| plain(at, "flood")).collect();
    let seq = store.append_events(many).unwrap();
    assert_eq!(store.prune_events(Retention { rows_max: Some(1_000), before: None }).unwrap(), 11_000);
    let rest = numbers(store, &EventQuery { limit: usize::MAX, ..EventQuery::default() });
    assert_eq!(rest, seq[11_000..]);
}

fn ports_stay(store: &dyn Store) {
    let web = key("web", 1, "http");
    assert_eq!(store.allocate_port(&web, &[20_001, 20_002]).unwrap(), 20_001);
    assert_eq!(store.allocate_port(&web, &[20_009]).unwrap(), 20_001);
    assert_eq!(store.allocate_port(&web, &[]).unwrap(), 20_001);
    assert_eq!(store.ports().unwrap(), [(web, 20_001)].into());
}

fn ports_are_unique(store: &dyn Store) {
    let candidates = [20_001, 20_002, 20_003];
    let slots = [key("web", 1, "http"), key("web", 2, "http"), key("web", 1, "admin")];
    let given: Vec<u16> = slots.iter().map(|slot| store.allocate_port(slot, &candidates).unwrap()).collect();
    assert_eq!(given, candidates);
    let late = key("api", 1, "http");
    match store.allocate_port(&late, &candidates) {
        Err(error @ StoreError::NoPort { .. }) => assert!(!error.is_transient(), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.ports().unwrap().len(), 3);
    assert!(store.health().writable, "a refusal is no fault of the store");
}

fn ports_can_be_set(store: &dyn Store) {
    let (web, api) = (key("web", 1, "http"), key("api", 1, "http"));
    store.set_port(&web, 20_001).unwrap();
    store.set_port(&web, 20_001).unwrap();
    match store.set_port(&api, 20_001) {
        Err(StoreError::PortTaken { number: 20_001, holder }) => assert_eq!(holder, web),
        other => panic!("{other:?}"),
    }
    store.set_port(&web, 65_535).unwrap();
    store.set_port(&api, 20_001).unwrap();
    assert_eq!(store.ports().unwrap(), [(web, 65_535), (api, 20_001)].into());
}

fn forgetting(store: &dyn Store) {
    let (web, shop) = (key("web", 1, "http"), key("web-shop", 1, "http"));
    store.set_port(&web, 1).unwrap();
    store.set_port(&shop, 2).unwrap();
    store.set_prepared(&web.service, "f1").unwrap();
    store.set_prepared(&shop.service, "f2").unwrap();
    let seq = fill(store, &["web"]);
    store.forget_service(&web.service).unwrap();
    assert_eq!(store.ports().unwrap(), [(shop.clone(), 2)].into());
    assert_eq!(store.prepared().unwrap(), [(shop.service.clone(), "f2".to_owned())].into());
    assert_eq!(numbers(store, &EventQuery::default()), seq, "events are history");
    store.set_port(&shop, 1).unwrap();
}

fn runs(store: &dyn Store) {
    assert_eq!(store.next_run(1).unwrap(), 1);
    assert_eq!(store.next_run(3).unwrap(), 2);
    assert_eq!(store.next_run(1).unwrap(), 5);
    assert_eq!(store.next_run(u32::MAX).unwrap(), 6);
    assert_eq!(store.next_run(1).unwrap(), 6 + u64::from(u32::MAX));
}

fn texts(store: &dyn Store) {
    for value in ["1", "2", "", "ü\u{0}\u{1f6a7}"] {
        store.set_setting("revision", value).unwrap();
        assert_eq!(store.setting("revision").unwrap().as_deref(), Some(value));
        store.set_prepared(&name("web"), value).unwrap();
        assert_eq!(store.prepared().unwrap(), [(name("web"), value.to_owned())].into());
    }
    assert_eq!(store.setting("Revision").unwrap(), None);
}

fn concurrent(store: &dyn Store) {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 25;
    let candidates: Vec<u16> = (20_000..20_010).collect();
    let results: Vec<(Vec<u64>, Vec<u64>, Option<u16>)> = std::thread::scope(|scope| {
        let writer = |number: usize| {
            let candidates = &candidates;
            scope.spawn(move || {
                let subject = format!("service-{}/1", char::from(b'a' + number as u8));
                let mut seq = Vec::new();
                let mut runs = Vec::new();
                for round in 0..ROUNDS {
                    let pair = vec![plain(round as i64, &subject), plain(round as i64, &subject)];
                    let pair = store.append_events(pair).unwrap();
                    let query = EventQuery { after_seq: Some(pair[0] - 1), limit: 1, ..Default::default() };
                    assert_eq!(numbers(store, &query), [pair[0]], "a read sees what was written before it");
                    seq.extend(pair);
                    runs.push(store.next_run(1).unwrap());
                }
                let slot = key(subject.trim_end_matches("/1"), 1, "http");
                (seq, runs, store.allocate_port(&slot, candidates).ok())
            })
        };
        let threads: Vec<_> = (0..WRITERS).map(writer).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.iter().all(|(seq, runs, _)| seq.is_sorted() && runs.is_sorted()));
    let seq: BTreeSet<u64> = results.iter().flat_map(|result| result.0.clone()).collect();
    let runs: BTreeSet<u64> = results.iter().flat_map(|result| result.1.clone()).collect();
    let ports: BTreeSet<u16> = results.iter().filter_map(|result| result.2).collect();
    assert_eq!((seq.len(), runs.len(), ports.len()), (WRITERS * ROUNDS * 2, WRITERS * ROUNDS, WRITERS));
    let kept = numbers(store, &EventQuery { limit: usize::MAX, ..EventQuery::default() });
    assert_eq!(kept, seq.into_iter().collect::<Vec<_>>());
}

fn health(store: &dyn Store) {
    fill(store, &["a"]);
    let health = store.health();
    assert!(health.writable && health.last_error.is_none(), "{health:?}");
    assert_eq!(health.queue_len, 0);
}
