//! The recovery ladder: restarts, then the last good definition, then a person.

use crate::home::{Home, SOON, server};
use crate::stores::ask_client;
use haus_testkit::{Signal, kill, wait_for, wait_until};
use serde_json::Value;
use std::fs;
use std::time::Duration;

/// A definition is a good one after a minute of health; on a machine that does much else at the same time.
const GOOD_WITHIN: Duration = Duration::from_secs(180);

/// A single answer that is late begins the minute anew.
const HEALTH: &str = "health: { get: /health, every: 5s, timeout: 4s, start: 15s }";

const RECOVER: &str = "recover: { tries: 3, first: 50ms, most: 100ms }";

fn body(web: &str) -> String {
    format!("services:\n{web}{}alerts: {{ after: 1s }}\n", server("other", "", HEALTH))
}

fn good() -> String {
    server("web", "", &format!("{HEALTH}\n{RECOVER}"))
}

/// A definition with which the service ends at once.
fn bad() -> String {
    server("web", "", &format!("run: [/bin/sh, -c, \"exit 3\"]\n{HEALTH}\n{RECOVER}"))
}

/// The alert of this kind about `web`, unless it is over.
fn alert(home: &Home, kind: &str) -> Option<Value> {
    let told: Value = serde_json::from_str(&home.house.ask(&["alerts", "--json"]).stdout).ok()?;
    let all = told["alerts"].as_array()?.clone();
    all.into_iter()
        .find(|alert| alert["subject"] == "web" && alert["kind"] == kind && alert["state"] != "resolved")
}

#[track_caller]
fn wait_for_alert(home: &Home, kind: &str) -> Value {
    wait_for(&format!("an alert {kind}"), SOON, || alert(home, kind))
}

/// Waits until the definition in force is the last good one.
fn wait_until_good(home: &Home) {
    let path = home.house.state().join("ladder.json");
    wait_until("a last good definition", GOOD_WITHIN, || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let kept: Value = serde_json::from_str(&text).unwrap_or_default();
        ["web", "other"].iter().all(|name| kept["ladder"]["services"][name]["last_good"].is_string())
    });
}

const INSTEAD: &str = "runs its last good definition instead of the plan's";

#[test]
fn a_definition_that_does_not_live_is_left_for_the_last_good_one_once() {
    let mut home = Home::up(&body(&good()));
    wait_until_good(&home);
    let other = home.pid("other/1");

    home.plan(&body(&bad()));
    home.ask(&["reload"]);
    home.wait_for_reason("web", INSTEAD);
    home.wait_for_phase("web/1", "healthy");
    assert_eq!(ask_client(&home, "web/1", "/health").map(|(status, _)| status), Some(200));
    assert_eq!(home.pid("other/1"), other, "nobody else was restarted");
    home.wait_for_events(1, "web", INSTEAD);
    let told = wait_for_alert(&home, "service-redeployed");
    assert_eq!(told["level"], "warning", "{told}");
    assert!(alert(&home, "service-gave-up").is_none(), "it runs");

    // It stays so without the core that decided it.
    let (core, web) = (wait_for("a core", SOON, || home.house.core_pid()), home.pid("web/1"));
    kill(core, Signal::KILL);
    wait_until("another core", SOON, || home.try_status().is_some_and(|status| status["core_pid"] != core));
    assert_eq!(home.pid("web/1"), web);
    home.wait_for_reason("web", INSTEAD);
    wait_for_alert(&home, "service-redeployed");

    // A person has mended the plan: it says again what is in force already.
    home.plan(&body(&good()));
    home.ask(&["reload"]);
    wait_until("the end of the alert", SOON, || alert(&home, "service-redeployed").is_none());
    assert!(!home.service("web")["why"].as_str().unwrap_or_default().contains(INSTEAD));
    assert_eq!(home.pid("web/1"), web, "nothing has changed for it");

    // The same bad definition again: once was enough.
    home.plan(&body(&bad()));
    home.ask(&["reload"]);
    home.wait_for_phase("web/1", "given up");
    let told = wait_for_alert(&home, "service-gave-up");
    assert_eq!(told["level"], "critical", "{told}");
    let why = told["why"].as_str().unwrap_or_default();
    assert!(why.contains("exit code 3") && why.contains("once within 1d already"), "{why}");
    home.wait_for_phase("other/1", "healthy");

    // Mended again.
    home.plan(&body(&good()));
    home.ask(&["reload"]);
    home.wait_for_phase("web/1", "healthy");
    wait_until("the end of both alerts", SOON, || {
        alert(&home, "service-gave-up").is_none() && alert(&home, "service-redeployed").is_none()
    });
    home.down();
}

#[test]
fn a_service_that_was_never_good_is_left_to_a_person() {
    let mut home = Home::new(&body(&bad()));
    home.begin();
    home.wait_for_phase("web/1", "given up");
    let told = wait_for_alert(&home, "service-gave-up");
    let why = told["why"].as_str().unwrap_or_default();
    assert!(why.contains("no definition of it has been healthy for 1m yet"), "{why}");
    home.plan(&body(&good()));
    home.ask(&["reload"]);
    home.wait_for_phase("web/1", "healthy");
    wait_until("the end of the alert", SOON, || alert(&home, "service-gave-up").is_none());
    home.down();
}
