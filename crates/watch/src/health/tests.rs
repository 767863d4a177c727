//! Probes and ages in, states out.

use super::*;
use HealthState::{Degraded, Healthy, Offline, Unknown};

/// `+` is a good probe, `-` a bad one, `.` a look at the age, `h` a heartbeat; one second passes before
/// each. Gives the state after each.
fn states(policy: HealthPolicy, script: &str) -> Vec<HealthState> {
    states_of(HealthMachine::new(policy), script)
}

fn states_of(mut machine: HealthMachine, script: &str) -> Vec<HealthState> {
    let mut now = Timestamp(0);
    let mut states = Vec::new();
    for step in script.chars() {
        now = now.after(Duration::from_secs(1));
        let before = machine.state();
        let transition = match step {
            '+' => machine.handle_probe(now, true),
            '-' => machine.handle_probe(now, false),
            'h' => machine.handle_sign_of_life(now),
            _ => machine.handle_timeout(now),
        };
        match transition {
            Some(transition) => {
                assert_eq!((transition.from, transition.to, transition.at), (before, machine.state(), now));
                assert_ne!(transition.from, transition.to);
                assert!(!transition.why.is_empty());
            }
            None => assert_eq!(machine.state(), before),
        }
        states.push(machine.state());
    }
    states
}

fn check(script: &str, expected: &[HealthState]) {
    assert_eq!(states(HealthPolicy::default(), script), expected, "{script}");
}

const SHORT_AGES: HealthPolicy = HealthPolicy {
    unhealthy_after: 3,
    healthy_after: 2,
    degraded_after_age: Duration::from_secs(2),
    offline_after_age: Duration::from_secs(4),
};

#[test]
fn it_is_healthy_after_enough_good_probes_in_a_row() {
    check("+-++", &[Unknown, Unknown, Unknown, Healthy]);
}

#[test]
fn the_first_bad_probe_degrades_and_the_third_takes_it_offline() {
    check("++---", &[Unknown, Healthy, Degraded, Degraded, Offline]);
}

#[test]
fn good_probes_between_bad_ones_keep_it_from_going_offline() {
    check("++--+--", &[Unknown, Healthy, Degraded, Degraded, Degraded, Degraded, Degraded]);
}

#[test]
fn one_good_probe_does_not_bring_it_back() {
    check("++---+-++", &[Unknown, Healthy, Degraded, Degraded, Offline, Offline, Offline, Offline, Healthy]);
}

#[test]
fn what_was_never_healthy_is_offline_after_three_bad_probes() {
    check("---", &[Unknown, Unknown, Offline]);
}

#[test]
fn thresholds_of_zero_mean_one() {
    let policy = HealthPolicy { unhealthy_after: 0, healthy_after: 0, ..HealthPolicy::default() };
    assert_eq!(states(policy, "+-+"), [Healthy, Offline, Healthy]);
}

#[test]
fn silence_degrades_and_then_takes_it_offline() {
    assert_eq!(
        states(SHORT_AGES, "++....."),
        [Unknown, Healthy, Healthy, Degraded, Degraded, Offline, Offline]
    );
}

#[test]
fn a_heartbeat_ends_silence_at_once_but_proves_no_probe() {
    assert_eq!(states(SHORT_AGES, "++..h"), [Unknown, Healthy, Healthy, Degraded, Healthy]);
    assert_eq!(states(SHORT_AGES, "++---h"), [Unknown, Healthy, Degraded, Degraded, Offline, Offline]);
    assert_eq!(states(SHORT_AGES, "h......"), [Unknown; 7]);
}

#[test]
fn the_timeout_is_the_moment_at_which_something_changes() {
    let mut machine = HealthMachine::new(HealthPolicy::default());
    assert_eq!(machine.poll_timeout(), None);
    machine.handle_probe(Timestamp(0), true);
    machine.handle_probe(Timestamp(0), true);
    for (at, to, why) in [(60_000, Degraded, "1m"), (90_000, Offline, "90s")] {
        assert_eq!(machine.poll_timeout(), Some(Timestamp(at)));
        assert_eq!(machine.handle_timeout(Timestamp(at - 1)), None);
        let transition = machine.handle_timeout(Timestamp(at)).unwrap();
        assert_eq!((transition.to, transition.why), (to, format!("no sign of life for {why}")));
    }
    assert_eq!(machine.poll_timeout(), None);
}

/// The same for a machine that expects heartbeats from time zero on.
fn check_heartbeats(script: &str, expected: &[HealthState]) {
    let machine = HealthMachine::with_heartbeats(SHORT_AGES, Timestamp(0));
    assert_eq!(states_of(machine, script), expected, "{script}");
}

#[test]
fn one_heartbeat_is_enough_where_they_are_expected() {
    check_heartbeats("h.", &[Healthy, Healthy]);
    check_heartbeats("..h", &[Unknown, Unknown, Healthy]);
}

#[test]
fn whoever_was_never_heard_is_unknown_and_then_offline() {
    check_heartbeats("....h", &[Unknown, Unknown, Unknown, Offline, Healthy]);
}

#[test]
fn a_good_probe_is_no_heartbeat() {
    check_heartbeats("h++++", &[Healthy, Healthy, Degraded, Degraded, Offline]);
}

#[test]
fn a_heartbeat_does_not_outvote_bad_probes() {
    check_heartbeats("h---hh", &[Healthy, Healthy, Degraded, Offline, Offline, Offline]);
    check_heartbeats(
        "h-h-h-h+h+h",
        &[Healthy, Healthy, Healthy, Healthy, Healthy, Offline, Offline, Offline, Offline, Healthy, Healthy],
    );
}

#[test]
fn forgotten_probes_have_no_say() {
    let mut machine = HealthMachine::with_heartbeats(SHORT_AGES, Timestamp(0));
    machine.handle_sign_of_life(Timestamp(0));
    (0..3).for_each(|at| drop(machine.handle_probe(Timestamp(at), false)));
    assert_eq!((machine.state(), machine.bad_in_a_row()), (Offline, 3));
    machine.forget_probes();
    assert_eq!(machine.handle_timeout(Timestamp(3)).map(|transition| transition.to), Some(Healthy));
}
