//! Alerts that reach real receivers: once, at the right time, also when a receiver or the house was away.

use crate::home::{Home, SOON, server};
use crate::receivers::{self, HOOK_KEY, MAIL_PASSWORD, MQTT_PASSWORD, Receiver};
use haus_testkit::{Signal, kill, wait_for, wait_until};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// A service that is well while the file `well` is there.
fn fragile(name: &str, more: &str) -> String {
    let health = "health: { get: /health, every: 300ms, timeout: 250ms, start: 60s, unhealthy_after: 2 }";
    server(name, "health-file=well", &format!("{health}\nrecover: {{ tries: 1000 }}\n{more}"))
}

/// A house with these services and receivers; they hear of `web` and `front` only, since the machine may have
/// alerts of its own.
fn home(services: &str, receivers: &[String], rest: &str) -> Home {
    let to = receivers.concat();
    let keys = "credentials:\n  hook-key: { file: hook.txt }\n  mail-key: { file: mail.txt }\n  \
                mqtt-key: { file: mqtt.txt }\n";
    let home = Home::new(&format!(
        "services:\n{services}{keys}alerts:\n  after: 1s\n  repeat: never\n  to:\n{to}{rest}"
    ));
    for (name, value) in [("hook.txt", HOOK_KEY), ("mail.txt", MAIL_PASSWORD), ("mqtt.txt", MQTT_PASSWORD)] {
        home.house.write(name, value);
    }
    set_well(&home, true);
    home
}

fn to_hook(hook: &Receiver, services: &str) -> String {
    let port = hook.port;
    let services = format!("services: [{services}]");
    format!("    hook: {{ webhook: \"http://127.0.0.1:{port}/alerts\", secret: hook-key, {services} }}\n")
}

fn set_well(home: &Home, well: bool) {
    if well {
        home.house.write("well", "");
    } else {
        fs::remove_file(home.house.folder().join("well")).expect("it was well");
    }
}

fn shown(home: &Home) -> Value {
    wait_for("the alerts", SOON, || serde_json::from_str(&home.house.ask(&["alerts", "--json"]).stdout).ok())
}

/// The alert that this service is offline, as `haus alerts` tells it.
fn alert(home: &Home, subject: &str) -> Option<Value> {
    let all = shown(home)["alerts"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|alert| alert["subject"] == subject && alert["kind"] == "service-offline")
}

#[track_caller]
fn wait_for_alert(home: &Home, subject: &str, state: &str) -> Value {
    let mut last = None;
    let begun = std::time::Instant::now();
    wait_until(&format!("the alert about {subject} to be {state}"), SOON * 2, || {
        last = alert(home, subject);
        let is_there = last.as_ref().is_some_and(|alert| alert["state"] == state);
        assert!(is_there || begun.elapsed() < SOON, "waited in vain for {state}: {last:?}");
        is_there
    });
    last.expect("it is there")
}

#[track_caller]
fn wait_for_taken(hook: &Receiver, expected: &[&str]) {
    let begun = std::time::Instant::now();
    wait_until(&format!("the webhook to have taken {expected:?}"), SOON * 4, || {
        let taken = hook.taken();
        assert!(taken.len() <= expected.len(), "{taken:?}");
        assert!(taken == expected || begun.elapsed() < SOON * 3, "{taken:?} instead of {expected:?}");
        taken == expected
    });
}

const FIRING: &str = "web service-offline firing";
const RESOLVED: &str = "web service-offline resolved";

#[test]
fn every_receiver_hears_of_a_fault_and_of_its_end_once() {
    let name = "every_receiver_hears_of_a_fault_and_of_its_end_once";
    let hook = receivers::webhook();
    let (Some(mail), Some(bus)) = (receivers::mail_server(name), receivers::broker(name)) else { return };
    let (smtp, mqtt) = (mail.port, bus.port);
    let to = [
        to_hook(&hook, "web, front"),
        format!(
            "    admin: {{ mail: [admin@house.example], server: \"127.0.0.1:{smtp}\", \
             sender: haus@house.example, user: haus, password: mail-key, services: [web, front] }}\n"
        ),
        format!(
            "    bus: {{ mqtt: \"127.0.0.1:{mqtt}\", user: haus, password: mqtt-key, services: [web, front] }}\n"
        ),
    ];
    let services = [fragile("web", ""), fragile("front", "needs: [web]"), server("other", "", "")];
    let mut home = home(&services.concat(), &to, "");
    home.start();
    let topic = format!("haus/{}/alerts/web/service-offline", home.name);
    set_well(&home, false);
    wait_for_taken(&hook, &[FIRING]);
    wait_until("a mail", SOON, || mail.mails().len() == 1);
    let kept = wait_for("a retained message", SOON, || bus.retained(&topic));
    assert_eq!((kept["state"].as_str(), kept["subject"].as_str()), (Some("firing"), Some("web")), "{kept}");
    let told = wait_for_alert(&home, "web", "firing");
    let mut names: Vec<&str> = told["told"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    assert_eq!((names, told["level"].as_str()), (vec!["admin", "bus", "hook"], Some("critical")), "{told}");
    let front = wait_for_alert(&home, "front", "suppressed");
    assert!(front["suppressed_by"].as_str().is_some_and(|by| by.contains("web")), "{front}");

    set_well(&home, true);
    wait_for_taken(&hook, &[FIRING, RESOLVED]);
    wait_until("a second mail", SOON, || mail.mails().len() == 2);
    wait_until("the end on the bus", SOON, || {
        bus.retained(&topic).is_some_and(|kept| kept["state"] == "resolved")
    });
    home.wait_for_phase("front", "healthy");
    wait_until("the end of every alert", SOON, || {
        ["web", "front"]
            .iter()
            .all(|name| alert(&home, name).is_none_or(|alert| alert["state"] == "resolved"))
    });
    home.down();
    assert_eq!(hook.taken(), [FIRING, RESOLVED]);
    assert_eq!(mail.mails().len(), 2);
    assert!(bus.retained(&format!("haus/{}/alerts/front/service-offline", home.name)).is_none());
    let subjects = mail.mails().concat();
    assert!(subjects.contains("To: admin@house.example") && subjects.contains("web"), "{subjects}");
    let log = fs::read_to_string(home.house.state().join("log/alerts.log")).unwrap();
    for secret in [HOOK_KEY, MAIL_PASSWORD, MQTT_PASSWORD] {
        assert!(!log.contains(secret) && !subjects.contains(secret), "a key is in the log or a mail");
    }
    assert!(log.contains(&format!("delivered {}", told["id"].as_str().unwrap())), "{log}");
}

#[test]
fn a_message_is_brought_although_receiver_core_and_house_were_away() {
    let hook = receivers::webhook();
    hook.set_busy(true);
    let mut home = home(&fragile("web", ""), &[to_hook(&hook, "web")], "");
    home.start();
    set_well(&home, false);
    wait_until("a first try", SOON, || hook.heard().len() == 1);
    let core = wait_for("a core", SOON, || home.house.core_pid());
    kill(core, Signal::KILL);
    wait_until("a try of the next core", SOON * 2, || hook.heard().len() == 2);
    home.down();
    home.begin();
    wait_until("a try of the next house", SOON * 3, || hook.heard().len() >= 3);
    wait_until("its outcome", SOON, || {
        let waiting = shown(&home)["deliveries"].as_array().cloned().unwrap_or_default();
        assert_eq!(waiting.len(), 1, "{waiting:?}");
        waiting[0]["why"].as_str().is_some_and(|why| why.contains("503"))
    });
    hook.set_busy(false);
    wait_for_taken(&hook, &[FIRING]);
    let heard = hook.heard();
    assert!(heard.iter().all(|line| line["delivery"] == heard[0]["delivery"]), "{heard:?}");
    let attempts: Vec<u64> = heard.iter().filter_map(|line| line["attempt"].as_u64()).collect();
    assert!(attempts.windows(2).all(|pair| pair[0] < pair[1]), "{attempts:?}");
    set_well(&home, true);
    wait_for_taken(&hook, &[FIRING, RESOLVED]);
    assert_ne!(hook.heard().last().unwrap()["delivery"], heard[0]["delivery"], "another message");
    home.down();
}

#[test]
fn an_alert_that_was_told_is_not_told_again_by_the_next_core() {
    let hook = receivers::webhook();
    let mut home = home(&fragile("web", ""), &[to_hook(&hook, "web")], "");
    home.start();
    set_well(&home, false);
    wait_for_taken(&hook, &[FIRING]);
    for _ in 0..3 {
        let core = wait_for("a core", SOON, || home.house.core_pid());
        kill(core, Signal::KILL);
        wait_until("another core", SOON, || {
            home.try_status().is_some_and(|status| status["core_pid"] != core)
        });
        wait_for_alert(&home, "web", "firing");
    }
    set_well(&home, true);
    wait_for_taken(&hook, &[FIRING, RESOLVED]);
    home.down();
}

#[test]
fn nobody_is_told_in_a_silence_and_what_lasts_is_told_after_it() {
    let hook = receivers::webhook();
    let services = [fragile("web", ""), server("other", "", "")];
    let mut home = home(&services.concat(), &[to_hook(&hook, "web")], "");
    home.start();
    home.ask(&["alerts", "silence", "web", "--for", "1h", "--why", "somebody works on it"]);
    set_well(&home, false);
    let silenced = wait_for_alert(&home, "web", "silenced");
    assert!(silenced["suppressed_by"].as_str().is_some_and(|by| !by.is_empty()), "{silenced}");
    // Also for the next core, which reads it from the disk.
    let core = wait_for("a core", SOON, || home.house.core_pid());
    kill(core, Signal::KILL);
    wait_until("another core", SOON, || home.try_status().is_some_and(|status| status["core_pid"] != core));
    wait_for_alert(&home, "web", "silenced");
    assert_eq!(hook.taken(), Vec::<String>::new());
    let told = home.house.ask(&["alerts"]);
    assert!(told.stdout.contains("somebody works on it"), "{told:?}");
    home.ask(&["alerts", "unsilence", "web"]);
    wait_for_taken(&hook, &[FIRING]);
    set_well(&home, true);
    wait_for_taken(&hook, &[FIRING, RESOLVED]);
    home.down();
}

/// A window that is open now and ends at the next full minute, or the one after when that is near.
fn window() -> String {
    let output = Command::new("date").arg("+%H:%M %S").output().expect("date starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (at, second) = text.trim().split_once(' ').expect("a time and seconds");
    let minutes = if second.parse::<u32>().expect("seconds are a number") < 40 { 1 } else { 2 };
    format!("maintenance:\n  now: {{ at: \"{at}\", for: {minutes}m, services: [web], reason: \"a test\" }}\n")
}

#[test]
fn nobody_is_told_in_a_maintenance_and_what_lasts_is_told_at_its_end() {
    let hook = receivers::webhook();
    let services = [fragile("web", ""), server("other", "", "")];
    let mut home = home(&services.concat(), &[to_hook(&hook, "web")], &window());
    home.start();
    assert_eq!(shown(&home)["maintenance"], serde_json::json!(["now"]));
    set_well(&home, false);
    let held = wait_for_alert(&home, "web", "silenced");
    assert!(held["suppressed_by"].as_str().is_some_and(|by| by.contains("now")), "{held}");
    assert_eq!(hook.taken(), Vec::<String>::new());
    wait_until("the end of the window", SOON * 5, || {
        // In this order: the window may end in between, and then somebody may be told.
        let told = hook.taken();
        let is_open = shown(&home)["maintenance"] != serde_json::json!([]);
        assert!(!is_open || told.is_empty(), "somebody was told in the window: {told:?}");
        !is_open
    });
    wait_for_taken(&hook, &[FIRING]);
    set_well(&home, true);
    wait_for_taken(&hook, &[FIRING, RESOLVED]);
    home.down();
}

/// Runs statements on the database of a house that is down.
fn tamper(home: &Home, statements: &str) {
    let script = "import sqlite3, sys\nbase = sqlite3.connect(sys.argv[1])\n\
                  for trigger, in base.execute(\"SELECT name FROM sqlite_master WHERE type = 'trigger'\").fetchall():\n    \
                  base.execute(f'DROP TRIGGER {trigger}')\nbase.executescript(sys.argv[2])\nbase.commit()";
    let database = home.house.state().join("house.db");
    let done = Command::new("python3").args(["-I", "-c", script]).arg(database).arg(statements).output();
    let done = done.expect("python3 starts");
    assert!(done.status.success(), "{done:?}");
}

/// After these statements the house says that its trail was changed.
#[track_caller]
fn check_broken(statements: &str, part: &str) {
    let mut home = Home::up(&format!("services:\n{}", server("web", "", "")));
    home.down();
    tamper(&home, statements);
    home.begin();
    let broken = || {
        let all = shown(&home)["alerts"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|alert| alert["kind"] == "trail-broken")
    };
    let broken = wait_for("an alert about the trail", SOON, broken);
    assert!(broken["why"].as_str().is_some_and(|why| why.contains(part)), "lacks {part:?}: {broken}");
    assert_eq!((broken["subject"].as_str(), broken["level"].as_str()), (Some("@house"), Some("critical")));
    home.down();
}

#[test]
fn a_trail_that_was_changed_is_told() {
    let version = env!("CARGO_PKG_VERSION");
    let statement = format!("UPDATE trail SET body = replace(body, '{version}', '9.9.9') WHERE seq = 1");
    check_broken(&statement, "entry 1");
}

#[test]
fn an_entry_of_the_trail_that_cannot_be_read_any_more_is_told() {
    check_broken("UPDATE trail SET body = 'nothing' WHERE seq = 1", "entry 1");
}
