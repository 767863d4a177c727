//! Puts, removals and leases in, revisions and changes out.

use super::*;

fn entry(id: &str, state: HealthState, lease_until: Option<i64>) -> Entry {
    Entry {
        id: id.parse().unwrap(),
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
            let text = |change: &&RegistryChange| match &change.what {
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
