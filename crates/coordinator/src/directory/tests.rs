//! Tests of the shared registry.

use super::*;
use crate::announcing::Said;
use haus_watch::registry::Origin;
use std::net::IpAddr;

const HEARTBEAT: Duration = Duration::from_secs(30);

fn directory() -> (Directory, mpsc::UnboundedReceiver<Input>) {
    let (inputs, received) = mpsc::unbounded_channel();
    (Directory::new(10, Clock::start(), inputs), received)
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

fn entry(text: &str, run: u64, state: HealthState) -> Entry {
    Entry {
        id: id(text),
        origin: Origin::Supervised,
        name: None,
        version: None,
        metadata: BTreeMap::new(),
        weight: 1,
        load: None,
        run,
        address: "127.0.0.1".into(),
        ports: BTreeMap::from([("http".parse().unwrap(), 20_001)]),
        main_port: Some("http".parse().unwrap()),
        state,
        phase: state.to_string(),
        since: Timestamp(0),
        why: "test".into(),
        lease_until: None,
        revision: 0,
    }
}

fn said(port: u16) -> Said {
    Said {
        version: "1".into(),
        host: "127.0.0.1".into(),
        ip: IpAddr::from([127, 0, 0, 1]),
        port,
        health: None,
        dependencies: Vec::new(),
        description: None,
        environment: None,
        metadata: BTreeMap::new(),
        weight: 1,
        run: None,
    }
}

fn member(ordinal: u32, port: u16) -> Member {
    Member { ordinal, run: 1, said: said(port), registered_at: Timestamp(0), updated_at: Timestamp(0) }
}

/// What a watcher hears after a revision.
fn heard(directory: &Directory, revision: u64) -> Option<Vec<String>> {
    let told = |frame: &Arc<Frame>| match frame.entry() {
        Some(entry) => format!("{} {}", frame.name(), entry.state),
        None => format!("{} gone", frame.name()),
    };
    directory.since(revision).frames.map(|frames| frames.iter().map(told).collect())
}

#[test]
fn a_change_wakes_whoever_watches_and_the_same_again_does_not() {
    let (directory, _inputs) = directory();
    let mut watcher = directory.subscribe();
    directory.put(entry("api/1", 1, HealthState::Unknown));
    directory.put(entry("api/1", 1, HealthState::Healthy));
    assert!(watcher.has_changed().unwrap());
    assert_eq!(*watcher.borrow_and_update(), 12);
    directory.put(entry("api/1", 1, HealthState::Healthy));
    assert!(directory.renew(&id("api/1"), Timestamp(7)));
    assert!(!watcher.has_changed().unwrap());
    directory.remove(&id("api/1"), "stopped");
    assert_eq!(heard(&directory, 10).unwrap(), ["api/1 unknown", "api/1 healthy", "api/1 gone"]);
    assert_eq!(heard(&directory, 13).unwrap(), [""; 0]);
    assert_eq!(heard(&directory, 9), None, "from before this core");
    assert_eq!(heard(&directory, 14), None, "from the future");
}

#[test]
fn a_change_is_written_once_for_all_watchers() {
    let (directory, _inputs) = directory();
    directory.put(entry("api/1", 1, HealthState::Healthy));
    let frames = |directory: &Directory| directory.since(10).frames.unwrap();
    let (first, second) = (frames(&directory), frames(&directory));
    assert!(Arc::ptr_eq(&first[0], &second[0]));
    let clock = Clock::start();
    let (one, other) = (first[0].json(clock), second[0].json(clock));
    assert_eq!(one.as_ptr(), other.as_ptr());
    let read: haus_api::watch::RegistryChange = serde_json::from_slice(&one).unwrap();
    assert_eq!((read.revision, read.id.as_str(), read.change.as_str()), (11, "api/1", "put"));
    let event = String::from_utf8(first[0].event(clock).to_vec()).unwrap();
    let json = String::from_utf8(one.to_vec()).unwrap();
    assert_eq!(event, format!("event: change\nid: 11\ndata: {json}\n\n"));
}

#[test]
fn leases_run_out() {
    let (directory, _inputs) = directory();
    directory.put(Entry { lease_until: Some(Timestamp(10)), ..entry("api/1", 1, HealthState::Healthy) });
    directory.put(entry("api/2", 1, HealthState::Healthy));
    assert_eq!(directory.lease_timeout(), Some(Timestamp(10)));
    assert_eq!(directory.expire(Timestamp(9)), []);
    assert_eq!(directory.expire(Timestamp(10)), [id("api/1")]);
    assert_eq!(directory.seen().rows.len(), 1);
}

#[test]
fn what_a_process_said_of_itself_ends_with_its_run() {
    let (directory, _inputs) = directory();
    directory.put(entry("api/1", 3, HealthState::Healthy));
    directory.describe(&id("api/1"), Said { version: "2.1".into(), weight: 4, run: Some(3), ..said(20_001) });
    let version = |directory: &Directory| directory.row(&id("api/1")).unwrap().entry().version.clone();
    assert_eq!(version(&directory).as_deref(), Some("2.1"));
    directory.put(entry("api/1", 3, HealthState::Degraded));
    assert_eq!(version(&directory).as_deref(), Some("2.1"), "the engine knows nothing of versions");
    directory.put(entry("api/1", 4, HealthState::Healthy));
    assert_eq!(version(&directory), None);
    assert_eq!(directory.described(&id("api/1")), None);
}

#[test]
fn the_engine_is_told_once_until_it_looks() {
    let (directory, mut inputs) = directory();
    directory.announce((&name("scanner"), "desk"), member(1_000_001, 9_000), HEARTBEAT);
    directory.announce((&name("scanner"), "hall"), member(1_000_002, 9_001), HEARTBEAT);
    assert!(matches!(inputs.try_recv(), Ok(Input::Announced)));
    assert!(inputs.try_recv().is_err());
    directory.taken_up();
    directory.retract(&name("scanner"), "desk", "test");
    assert!(matches!(inputs.try_recv(), Ok(Input::Announced)));
}

#[test]
fn announced_instances_age_come_back_and_are_forgotten() {
    let (directory, _inputs) = directory();
    let service = name("scanner");
    directory.announce((&service, "desk"), member(1_000_001, 9_000), HEARTBEAT);
    let begun = directory.row(&id("scanner/1000001")).unwrap().entry().since;
    let at = |seconds: u64| begun.after(Duration::from_millis(seconds * 1_000));
    let changed = |to: &[HealthState]| -> Vec<Option<HealthState>> { to.iter().copied().map(Some).collect() };
    let aged = |when| directory.age(when).into_iter().map(|change| change.to).collect::<Vec<_>>();
    assert_eq!(aged(Timestamp(at(60).0 - 1)), []);
    assert_eq!(aged(at(60)), changed(&[HealthState::Degraded]));
    assert_eq!(aged(Timestamp(at(90).0 - 1)), []);
    assert_eq!(aged(at(90)), changed(&[HealthState::Offline]));
    assert_eq!(directory.outside()[&service], HealthState::Offline);
    let beat = Beat { load: Some(0.5), response_ms: Some(3.0) };
    let back = directory.beat(&service, "desk", &beat).unwrap();
    assert_eq!(
        back.into_iter().map(|change| change.to).collect::<Vec<_>>(),
        changed(&[HealthState::Healthy])
    );
    let note = directory.row(&id("scanner/1000001")).unwrap().note;
    assert_eq!((note.load, note.response_ms, note.beats), (Some(0.5), Some(3.0), 1));
    assert!(directory.beat(&service, "nobody", &beat).is_none());
    let gone = aged(at(3 * 24 * 3_600));
    assert!(!gone.is_empty());
    assert_eq!(directory.age(at(6 * 24 * 3_600)).last().map(|change| change.to), Some(None));
    assert!(directory.seen().rows.is_empty() && directory.member(&service, "desk").is_none());
    assert!(directory.holder_of("127.0.0.1:9000".parse().unwrap()).is_none());
}

#[test]
fn load_wakes_nobody() {
    let (directory, mut inputs) = directory();
    directory.announce((&name("scanner"), "desk"), member(1_000_001, 9_000), HEARTBEAT);
    assert!(inputs.try_recv().is_ok());
    directory.taken_up();
    let revision = directory.revision();
    directory.beat(&name("scanner"), "desk", &Beat { load: Some(1.0), response_ms: None }).unwrap();
    assert_eq!(directory.revision(), revision);
    assert!(inputs.try_recv().is_err());
}

#[test]
fn changes_of_health_are_handed_to_the_history_once() {
    let (directory, _inputs) = directory();
    directory.put(entry("api/1", 1, HealthState::Unknown));
    directory.put(entry("api/1", 1, HealthState::Healthy));
    directory.put(Entry { why: "still".into(), ..entry("api/1", 1, HealthState::Healthy) });
    let standing = Standing {
        phase: "healthy".into(),
        health: HealthState::Healthy,
        since: Timestamp(0),
        why: "test".into(),
    };
    directory.note_standings(vec![(name("api"), standing.clone())], &[]);
    directory.note_standings(vec![(name("api"), standing)], &[]);
    let told: Vec<String> = directory
        .take_turns()
        .into_iter()
        .map(|turn| format!("{} {} {}", turn.instance.as_deref().unwrap_or("-"), turn.from, turn.to))
        .collect();
    assert_eq!(told, ["api/1 unknown healthy", "- unknown healthy"]);
    assert!(directory.take_turns().is_empty());
}

#[test]
fn numbers_of_instances_are_never_given_twice() {
    let (directory, _inputs) = directory();
    directory.restore((&name("scanner"), "old"), member(1_000_007, 9_000), HEARTBEAT);
    let first = directory.next_ordinal(&name("scanner"));
    assert_eq!((first, directory.next_ordinal(&name("scanner"))), (1_000_008, 1_000_009));
    assert_eq!(directory.next_ordinal(&name("other")), 1_000_001);
}

#[test]
fn turns_are_counted_for_each_service_by_itself() {
    let (directory, _inputs) = directory();
    let turns: Vec<u64> = ["a", "b", "a", "b", "a"].map(|service| directory.turn(&name(service))).to_vec();
    assert_eq!(turns, [0, 0, 1, 1, 2]);
}

#[test]
fn five_thousand_instances_are_read_in_one_short_moment() {
    let (directory, _inputs) = directory();
    for ordinal in 1..=5_000 {
        directory.put(entry(&format!("api/{ordinal}"), 1, HealthState::Healthy));
    }
    let seen = directory.seen();
    assert_eq!((seen.rows.len(), seen.revision), (5_000, 5_010));
    let again = directory.seen();
    let shared = seen.rows.iter().zip(&again.rows).all(|(one, other)| Arc::ptr_eq(&one.frame, &other.frame));
    assert!(shared, "entries are shared, not copied");
    assert_eq!(heard(&directory, 10).map(|changes| changes.len()), Some(5_000));
}

#[test]
fn a_service_is_told_of_its_worst_instance_and_counts_what_its_members_said() {
    let (directory, _inputs) = directory();
    let service = name("scanner");
    for (ordinal, called, port) in [(1_000_001, "desk", 9_000), (1_000_002, "hall", 9_001)] {
        directory.announce((&service, called), member(ordinal, port), HEARTBEAT);
    }
    let each = said(9_000).bytes();
    assert_eq!(directory.filled(&service), Filled { all: 2, of_service: 2, bytes: 2 * each });
    directory.announce((&service, "hall"), member(1_000_002, 9_001), HEARTBEAT);
    assert_eq!(directory.filled(&service).bytes, 2 * each, "who registers again is counted once");
    let begun = directory.row(&id("scanner/1000001")).unwrap().entry().since;
    directory.age(begun.after(HEARTBEAT * 4));
    directory.beat(&service, "hall", &Beat::default()).unwrap();
    let why = directory.standing(&service).unwrap().why.clone();
    assert!(why.starts_with("1 of 2 are healthy; scanner/desk: no sign of life"), "{why}");
    directory.retract(&service, "desk", "test");
    directory.retract(&service, "hall", "test");
    assert_eq!(directory.filled(&service), Filled { all: 0, of_service: 0, bytes: 0 });
}
