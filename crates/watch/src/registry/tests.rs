//! Puts, removals and leases in, revisions and changes out.

use super::*;

fn entry(id: &str, state: HealthState, lease_until: Option<i64>) -> Entry {
    Entry {
        id: id.parse().unwrap(),
        origin: Origin::Supervised,
        name: None,
        version: None,
        metadata: BTreeMap::new(),
        weight: 1,
        load: None,
        run: 1,
        address: "127.0.0.1".to_owned(),
        ports: BTreeMap::from([("http".parse().unwrap(), 8_000)]),
        main_port: Some("http".parse().unwrap()),
        state,
        phase: state.to_string(),
        since: Timestamp(0),
        why: "because".to_owned(),
        lease_until: lease_until.map(Timestamp),
        revision: 999,
    }
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

/// `a/1 put`, `a/1 removed: why` for each change after `revision`.
fn changes(registry: &Registry, revision: u64) -> Option<Vec<String>> {
    match registry.changes_since(revision) {
        ChangesSince::Forgotten => None,
        ChangesSince::Known(changes) => {
            let numbers: Vec<u64> = changes.iter().map(|change| change.revision).collect();
            assert_eq!(numbers, (revision + 1..=registry.revision()).collect::<Vec<_>>());
            let text = |change: &Arc<RegistryChange>| match &change.what {
                What::Put(entry) => format!("{} {}", change.id, entry.state),
                What::Removed { why } => format!("{} removed: {why}", change.id),
            };
            Some(changes.iter().map(text).collect())
        }
    }
}

#[test]
fn every_real_change_gets_the_next_revision() {
    let mut registry = Registry::new(41);
    assert_eq!(registry.put(entry("a/1", HealthState::Unknown, None)), Some(42));
    assert_eq!(registry.put(entry("a/1", HealthState::Healthy, None)), Some(43));
    assert_eq!(registry.get(&id("a/1")).unwrap().revision, 43);
    assert_eq!(registry.remove(&id("a/1"), "stopped"), Some(44));
    assert_eq!(registry.entries().count(), 0);
}

#[test]
fn the_same_again_is_no_change() {
    let mut registry = Registry::new(0);
    registry.put(entry("a/1", HealthState::Healthy, Some(10)));
    assert_eq!(registry.put(entry("a/1", HealthState::Healthy, Some(20))), None);
    assert!(registry.renew(&id("a/1"), Timestamp(30)));
    assert_eq!(registry.remove(&id("b/1"), "never there"), None);
    assert!(!registry.renew(&id("b/1"), Timestamp(30)));
    assert_eq!(registry.revision(), 1);
    assert_eq!(registry.get(&id("a/1")).unwrap().lease_until, Some(Timestamp(30)));
}

#[test]
fn only_leases_that_ran_out_expire() {
    let mut registry = Registry::new(0);
    registry.put(entry("a/1", HealthState::Healthy, Some(10)));
    registry.put(entry("a/2", HealthState::Healthy, Some(10)));
    registry.put(entry("a/3", HealthState::Healthy, None));
    registry.renew(&id("a/2"), Timestamp(20));
    assert_eq!(registry.poll_timeout(), Some(Timestamp(10)));
    assert_eq!(registry.expire(Timestamp(9)), []);
    assert_eq!(registry.expire(Timestamp(10)), [id("a/1")]);
    assert_eq!(changes(&registry, 3).unwrap(), ["a/1 removed: its lease ran out"]);
    assert_eq!(registry.poll_timeout(), Some(Timestamp(20)));
    registry.put(entry("a/2", HealthState::Healthy, None));
    assert_eq!(registry.poll_timeout(), None);
}

#[test]
fn a_watcher_gets_what_it_missed() {
    let mut registry = Registry::new(7);
    registry.put(entry("a/1", HealthState::Healthy, None));
    registry.put(entry("b/1", HealthState::Degraded, None));
    registry.remove(&id("a/1"), "stopped: the house goes down");
    assert_eq!(
        changes(&registry, 7).unwrap(),
        ["a/1 healthy", "b/1 degraded", "a/1 removed: stopped: the house goes down"]
    );
    assert_eq!(changes(&registry, 9).unwrap(), ["a/1 removed: stopped: the house goes down"]);
    assert_eq!(changes(&registry, 10).unwrap(), [""; 0]);
}

#[test]
fn revisions_out_of_reach_are_forgotten() {
    let mut registry = Registry::new(0).with_log_changes_max(2);
    for state in [HealthState::Unknown, HealthState::Healthy, HealthState::Degraded] {
        registry.put(entry("a/1", state, None));
    }
    assert_eq!(changes(&registry, 0), None);
    assert_eq!(changes(&registry, 1).unwrap(), ["a/1 healthy", "a/1 degraded"]);
    assert_eq!(changes(&registry, 4), None, "from the future");
    assert_eq!(changes(&Registry::new(5), 4), None, "from before this registry began");
}

#[test]
fn a_service_has_its_own_instances_only() {
    let mut registry = Registry::new(0);
    for name in ["a/1", "ab/1", "a/10", "a/2", "b/1"] {
        registry.put(entry(name, HealthState::Healthy, None));
    }
    let service = "a".parse().unwrap();
    let found: Vec<String> = registry.of_service(&service).map(|entry| entry.id.to_string()).collect();
    assert_eq!(found, ["a/1", "a/2", "a/10"]);
}

#[test]
fn load_is_kept_but_wakes_nobody() {
    let mut registry = Registry::new(0);
    registry.put(entry("a/1", HealthState::Healthy, None));
    let load = |registry: &Registry| registry.get(&id("a/1")).unwrap().load;
    assert!(registry.set_load(&id("a/1"), Some(0.5)));
    assert_eq!((load(&registry), registry.revision()), (Some(0.5), 1));
    let busy = Entry { load: Some(2.0), ..entry("a/1", HealthState::Healthy, None) };
    assert_eq!((registry.put(busy), load(&registry)), (None, Some(2.0)));
    for nonsense in [f64::NAN, f64::INFINITY, -1.0] {
        registry.set_load(&id("a/1"), Some(nonsense));
        assert_eq!(load(&registry), None, "{nonsense}");
    }
    assert!(!registry.set_load(&id("b/1"), Some(0.5)));
}

#[test]
fn every_other_word_of_an_instance_is_a_change() {
    let usual = || entry("a/1000001", HealthState::Healthy, None);
    let others = [
        Entry { origin: Origin::Announced, ..usual() },
        Entry { name: Some("x".to_owned()), ..usual() },
        Entry { version: Some("2".to_owned()), ..usual() },
        Entry { metadata: BTreeMap::from([("zone".to_owned(), "b".to_owned())]), ..usual() },
        Entry { weight: 2, ..usual() },
        Entry { run: 2, ..usual() },
        Entry { address: "127.0.0.2".to_owned(), ..usual() },
        Entry { ports: BTreeMap::new(), ..usual() },
        Entry { main_port: None, ..usual() },
        Entry { state: HealthState::Offline, ..usual() },
        Entry { phase: "x".to_owned(), ..usual() },
        Entry { since: Timestamp(1), ..usual() },
        Entry { why: "x".to_owned(), ..usual() },
    ];
    for other in others {
        let mut registry = Registry::new(0);
        registry.put(usual());
        assert_eq!(registry.put(other.clone()), Some(2), "{other:?}");
    }
}

#[test]
fn the_log_holds_the_coming_and_going_of_five_thousand_instances() {
    let mut registry = Registry::new(0);
    let names: Vec<String> = (1..=5_000).map(|ordinal| format!("a/{ordinal}")).collect();
    for state in [HealthState::Unknown, HealthState::Healthy, HealthState::Offline] {
        names.iter().for_each(|name| {
            registry.put(entry(name, state, None));
        });
    }
    for name in &names {
        registry.remove(&id(name), "stopped");
    }
    assert_eq!(changes(&registry, 0).map(|changes| changes.len()), Some(20_000));
}

#[test]
fn a_long_history_of_few_instances_is_forgotten_in_the_end() {
    let mut registry = Registry::new(0);
    for _ in 0..LOG_CHANGES_MIN {
        registry.put(entry("a/1", HealthState::Healthy, None));
        registry.put(entry("a/1", HealthState::Degraded, None));
    }
    let reach = registry.revision() - u64::try_from(LOG_CHANGES_MIN).unwrap();
    assert_eq!(changes(&registry, reach).map(|changes| changes.len()), Some(LOG_CHANGES_MIN));
    assert_eq!(changes(&registry, reach - 1), None);
}

#[test]
fn watchers_share_the_changes() {
    let mut registry = Registry::new(0);
    registry.put(entry("a/1", HealthState::Healthy, None));
    let (ChangesSince::Known(first), ChangesSince::Known(second)) =
        (registry.changes_since(0), registry.changes_since(0))
    else {
        panic!("the log reaches back")
    };
    assert!(Arc::ptr_eq(&first[0], &second[0]));
}
