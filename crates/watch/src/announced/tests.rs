//! Registrations, heartbeats, probes and time in, states and changes out.

use super::*;
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_secs(30);
const DAY_MS: i64 = 24 * 3_600 * 1_000;

fn service() -> ServiceName {
    "worker".parse().unwrap()
}

fn new(probed: bool) -> NewInstance {
    NewInstance { service: service(), instance: "a".to_owned(), heartbeat: INTERVAL, probed, weight: 1 }
}

fn outcome(ok: bool) -> ProbeOutcome {
    ProbeOutcome { ok, evidence: "seen".to_owned(), took_ms: 1 }
}

/// Lets time pass from deadline to deadline, as a driver does.
fn pass(announced: &mut Announced, until: Timestamp) {
    while let Some(at) = announced.poll_timeout().filter(|at| *at <= until) {
        announced.handle_timeout(at);
    }
    announced.handle_timeout(until);
}

/// `at_ms: from -> to: why` for each change nobody has heard of.
fn changes(announced: &mut Announced) -> Vec<String> {
    std::iter::from_fn(|| announced.poll_change())
        .map(|change| {
            let to = change.to.map_or("gone".to_owned(), |to| to.to_string());
            format!("{}: {} -> {to}: {}", change.at.0, change.from, change.why)
        })
        .collect()
}

/// What `worker` `a`, registered at 0 with 30 s, is at a time at which nothing else has happened.
#[track_caller]
fn check(at_ms: i64, expected: Option<HealthState>) {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(false));
    announced.handle_timeout(Timestamp(at_ms));
    assert_eq!(announced.state(&service(), "a"), expected, "at {at_ms} ms, looked at once");
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(false));
    pass(&mut announced, Timestamp(at_ms));
    assert_eq!(announced.state(&service(), "a"), expected, "at {at_ms} ms, from deadline to deadline");
}

#[test]
fn silence_degrades_after_two_intervals_and_takes_offline_after_three() {
    check(0, Some(HealthState::Healthy));
    check(59_999, Some(HealthState::Healthy));
    check(60_000, Some(HealthState::Degraded));
    check(89_999, Some(HealthState::Degraded));
    check(90_000, Some(HealthState::Offline));
}

#[test]
fn a_day_after_it_went_offline_it_is_forgotten() {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(false));
    pass(&mut announced, Timestamp(90_000 + DAY_MS - 1));
    assert_eq!(announced.state(&service(), "a"), Some(HealthState::Offline));
    pass(&mut announced, Timestamp(90_000 + DAY_MS));
    assert_eq!(announced.state(&service(), "a"), None);
    assert_eq!(announced.poll_timeout(), None);
    assert_eq!(
        changes(&mut announced),
        [
            "0: unknown -> healthy: it registered".to_owned(),
            "60000: healthy -> degraded: no sign of life for 1m".to_owned(),
            "90000: degraded -> offline: no sign of life for 90s".to_owned(),
            format!("{}: offline -> gone: offline and silent for 1d", 90_000 + DAY_MS),
        ]
    );
    assert!(!announced.heartbeat(Timestamp(90_001 + DAY_MS), &service(), "a", None));
}

#[test]
fn a_heartbeat_makes_it_healthy_at_once() {
    for silent_ms in [60_000, 90_000, DAY_MS] {
        let mut announced = Announced::default();
        announced.put(Timestamp(0), new(false));
        pass(&mut announced, Timestamp(silent_ms));
        assert!(announced.heartbeat(Timestamp(silent_ms), &service(), "a", Some(0.5)));
        let view = announced.get(&service(), "a").unwrap();
        assert_eq!((view.state, view.since.0, view.load), (HealthState::Healthy, silent_ms, Some(0.5)));
        pass(&mut announced, Timestamp(silent_ms + 59_999));
        assert_eq!(announced.state(&service(), "a"), Some(HealthState::Healthy));
        pass(&mut announced, Timestamp(silent_ms + 60_000));
        assert_eq!(announced.state(&service(), "a"), Some(HealthState::Degraded));
    }
}

#[test]
fn bad_probes_outvote_heartbeats_and_two_good_ones_bring_it_back() {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(true));
    for (at, ok) in [(1, false), (2, false), (3, false), (5, true), (6, true)] {
        announced.heartbeat(Timestamp(at), &service(), "a", None);
        announced.probe(Timestamp(at), &service(), "a", &outcome(ok));
    }
    assert_eq!(
        changes(&mut announced),
        [
            "0: unknown -> healthy: it registered",
            "3: healthy -> offline: 3 probes failed: seen",
            "6: offline -> healthy: 2 probes were good: seen",
        ]
    );
}

#[test]
fn good_probes_do_not_replace_heartbeats() {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(true));
    for at in (0..=90_000).step_by(10_000) {
        announced.probe(Timestamp(at), &service(), "a", &outcome(true));
    }
    assert_eq!(announced.state(&service(), "a"), Some(HealthState::Offline));
}

#[test]
fn probes_of_whom_nobody_probes_say_nothing() {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(false));
    (0..5).for_each(|at| announced.probe(Timestamp(at), &service(), "a", &outcome(false)));
    announced.probe(Timestamp(9), &service(), "stranger", &outcome(true));
    assert_eq!(announced.state(&service(), "a"), Some(HealthState::Healthy));
    assert_eq!(announced.instances().count(), 1);
}

#[test]
fn registering_again_does_not_wash_bad_probes_away() {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(true));
    (0..3).for_each(|at| announced.probe(Timestamp(at), &service(), "a", &outcome(false)));
    announced.put(Timestamp(4), new(true));
    assert_eq!(announced.state(&service(), "a"), Some(HealthState::Offline));
    announced.put(Timestamp(5), new(false));
    assert_eq!(announced.state(&service(), "a"), Some(HealthState::Healthy));
}

#[test]
fn who_reports_while_its_probes_fail_is_not_forgotten() {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(true));
    (0..3).for_each(|at| announced.probe(Timestamp(at), &service(), "a", &outcome(false)));
    for at in (0..3 * DAY_MS).step_by(30_000) {
        pass(&mut announced, Timestamp(at));
        assert!(announced.heartbeat(Timestamp(at), &service(), "a", None), "forgotten at {at}");
    }
    assert_eq!(announced.state(&service(), "a"), Some(HealthState::Offline));
}

#[test]
fn after_a_restart_it_is_unknown_until_its_next_sign_of_life() {
    let mut announced = Announced::default();
    announced.restored(Timestamp(0), new(false));
    pass(&mut announced, Timestamp(89_999));
    let view = announced.get(&service(), "a").unwrap();
    assert_eq!((view.state, view.seen_at), (HealthState::Unknown, None));
    let mut heard = announced.clone();
    assert!(heard.heartbeat(Timestamp(89_999), &service(), "a", None));
    assert_eq!(heard.state(&service(), "a"), Some(HealthState::Healthy));
    pass(&mut announced, Timestamp(90_000));
    assert_eq!(announced.state(&service(), "a"), Some(HealthState::Offline));
    pass(&mut announced, Timestamp(90_000 + DAY_MS));
    assert_eq!(announced.state(&service(), "a"), None);
}

#[test]
fn who_deregisters_is_gone_at_once() {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(false));
    assert!(announced.remove(Timestamp(5), &service(), "a", "it deregistered"));
    assert!(!announced.remove(Timestamp(6), &service(), "a", "it deregistered"));
    assert_eq!(changes(&mut announced)[1..], ["5: healthy -> gone: it deregistered"]);
    assert_eq!((announced.poll_timeout(), announced.instances().count()), (None, 0));
}

#[test]
fn an_interval_of_nothing_and_one_without_end_are_bounded() {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), NewInstance { heartbeat: Duration::ZERO, ..new(false) });
    pass(&mut announced, Timestamp(1_999));
    assert_eq!(announced.state(&service(), "a"), Some(HealthState::Healthy));
    announced.put(Timestamp(2_000), NewInstance { heartbeat: Duration::MAX, ..new(false) });
    pass(&mut announced, Timestamp(i64::MAX - 1));
    assert_eq!(announced.state(&service(), "a"), Some(HealthState::Healthy));
}

#[test]
fn a_load_that_is_no_number_is_not_kept() {
    let mut announced = Announced::default();
    announced.put(Timestamp(0), new(false));
    for load in [f64::NAN, f64::NEG_INFINITY, -0.1] {
        announced.heartbeat(Timestamp(1), &service(), "a", Some(load));
        assert_eq!(announced.get(&service(), "a").unwrap().load, None);
    }
}

#[derive(Clone, Debug)]
enum Event {
    Put(u8, bool),
    Restored(u8),
    Heartbeat(u8),
    Probe(u8, bool),
    Remove(u8),
    Pass(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let who = 0..4_u8;
    prop_oneof![
        2 => (who.clone(), any::<bool>()).prop_map(|(who, probed)| Event::Put(who, probed)),
        1 => who.clone().prop_map(Event::Restored),
        4 => who.clone().prop_map(Event::Heartbeat),
        4 => (who.clone(), any::<bool>()).prop_map(|(who, ok)| Event::Probe(who, ok)),
        1 => who.prop_map(Event::Remove),
        6 => prop_oneof![1..200_000_i64, Just(DAY_MS)].prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The changes alone tell the same story as the states, and a deadline never lies in the past.
    #[test]
    fn changes_tell_the_whole_story(events in proptest::collection::vec(event(), 0..80)) {
        let mut announced = Announced::default();
        let mut now = Timestamp(0);
        let mut told: BTreeMap<String, HealthState> = BTreeMap::new();
        for event in events {
            let name = |who: u8| format!("i{who}");
            let new = |who: u8, probed: bool| NewInstance { instance: name(who), ..new(probed) };
            match event {
                Event::Put(who, probed) => announced.put(now, new(who, probed)),
                Event::Restored(who) => {
                    announced.restored(now, new(who, true));
                    told.entry(name(who)).or_insert(HealthState::Unknown);
                }
                Event::Heartbeat(who) => {
                    let known = announced.heartbeat(now, &service(), &name(who), None);
                    prop_assert_eq!(known, told.contains_key(&name(who)));
                }
                Event::Probe(who, ok) => announced.probe(now, &service(), &name(who), &outcome(ok)),
                Event::Remove(who) => {
                    announced.remove(now, &service(), &name(who), "gone");
                }
                Event::Pass(ms) => {
                    now = Timestamp(now.0 + ms);
                    pass(&mut announced, now);
                }
            }
            while let Some(change) = announced.poll_change() {
                let before = told.get(&change.instance).copied().unwrap_or(HealthState::Unknown);
                prop_assert_eq!(before, change.from);
                prop_assert_ne!(Some(change.from), change.to);
                match change.to {
                    Some(to) => told.insert(change.instance, to),
                    None => told.remove(&change.instance),
                };
            }
            let states: BTreeMap<String, HealthState> =
                announced.instances().map(|view| (view.instance.to_owned(), view.state)).collect();
            prop_assert_eq!(&states, &told);
            prop_assert!(announced.poll_timeout().is_none_or(|at| at > now));
            prop_assert!(announced.poll_timeout().is_some() || told.is_empty());
        }
    }
}

#[test]
fn one_that_is_probed_is_unknown_until_somebody_answers_or_reports() {
    let expected = || {
        let mut announced = Announced::default();
        announced.expect(Timestamp(0), new(true));
        assert_eq!(announced.state(&service(), "a"), Some(HealthState::Unknown));
        announced
    };
    let mut answers = expected();
    answers.probe(Timestamp(1), &service(), "a", &outcome(false));
    assert_eq!(answers.state(&service(), "a"), Some(HealthState::Unknown));
    answers.probe(Timestamp(2), &service(), "a", &outcome(true));
    assert_eq!(changes(&mut answers), ["2: unknown -> healthy: a probe was good: seen"]);
    let mut reports = expected();
    assert!(reports.heartbeat(Timestamp(1), &service(), "a", None));
    assert_eq!(reports.state(&service(), "a"), Some(HealthState::Healthy));
    let mut silent = expected();
    pass(&mut silent, Timestamp(90_000));
    silent.probe(Timestamp(90_001), &service(), "a", &outcome(true));
    assert_eq!(silent.state(&service(), "a"), Some(HealthState::Offline), "a probe is no heartbeat");
}
