//! Rotations with real servers and real consumers: who may log in with what, before, during and after.
//!
//! What happens when something is killed in the middle is in `rotation_killed.rs`.

use crate::home::{SOON, service};
use crate::open_house::{OpenHouse, good};
use crate::stores::{self, ask_client, postgres_login, redis_login, value_of};
use haus_testkit::{CliOutput, Signal, kill, wait_for, wait_until};
use serde_json::Value;

/// A house with these services and credentials, up.
fn up(services: &str, keys: &str) -> OpenHouse {
    // An alert is over when it stayed away for as long as it must have lasted before it was told.
    let rest = format!("credentials:\n{keys}alerts: {{ after: 1s }}\n");
    let mut house = OpenHouse::new(services, &rest);
    stores::furnish(&house.home);
    stores::start(&mut house);
    house
}

/// Another plan for the same house.
fn replan(house: &OpenHouse, services: &str, rest: &str) {
    let port = house.port.port();
    let brain = format!("  brain: {{ as: coordinator, ports: {{ http: {port} }} }}\n");
    house.home.plan(&format!("services:\n{brain}{services}{rest}"));
}

fn rotate(house: &OpenHouse, arguments: &[&str]) -> CliOutput {
    house.home.house.ask(&[&["credential", "rotate"], arguments].concat())
}

#[track_caller]
fn check(output: &CliOutput, code: i32, part: &str) {
    assert_eq!(output.code, Some(code), "{output:?}");
    assert!(output.stdout.contains(part) || output.stderr.contains(part), "lacks {part:?}: {output:?}");
}

/// The rotation that is open, if there is one.
fn open(house: &OpenHouse, name: &str) -> Option<Value> {
    let shown: Value = serde_json::from_str(&house.home.ask(&["credential", "show", name, "--json"]))
        .expect("a credential is JSON");
    shown.get("rotation").filter(|rotation| !rotation.is_null()).cloned()
}

/// Waits for a step of the open rotation.
#[track_caller]
fn wait_for_step(house: &OpenHouse, name: &str, step: &str) {
    wait_until(&format!("{name} to stand at {step}"), SOON * 3, || {
        open(house, name).is_some_and(|rotation| rotation["step"] == step)
    });
}

/// Waits for its end.
#[track_caller]
fn wait_for_end(house: &OpenHouse, name: &str) {
    wait_until(&format!("the end of the rotation of {name}"), SOON * 3, || {
        let rotation = open(house, name);
        let stuck = rotation.as_ref().is_some_and(|rotation| rotation["step"] == "stuck");
        assert!(!stuck, "{rotation:?}");
        rotation.is_none()
    });
}

/// States of the versions, oldest first.
fn versions(house: &OpenHouse, name: &str) -> Vec<String> {
    let text = house.home.ask(&["credential", "versions", name, "--json"]);
    let mut all: Vec<Value> = serde_json::from_str(&text).expect("versions are JSON");
    all.sort_by_key(|version| version["version"].as_u64());
    all.iter().map(|version| version["state"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Steps in the trail, oldest first, with whoever took them.
fn steps(house: &OpenHouse, name: &str) -> Vec<String> {
    let mut entries = house.entries("credential-rotate", &format!("credential:{name}"));
    entries.sort_by_key(|entry| entry["seq"].as_u64());
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let of = |entry: &Value| {
        let actor = word(entry, "actor");
        let actor = actor.split(':').next().unwrap_or_default().to_owned();
        format!("{actor} {} {}", word(&entry["changes"], "step"), word(entry, "outcome"))
    };
    entries.iter().map(of).collect()
}

/// The trail says why the last rotation ended as it did.
#[track_caller]
fn check_reason(house: &OpenHouse, name: &str, part: &str) {
    let entries = house.entries("credential-rotate", &format!("credential:{name}"));
    let last = entries.into_iter().max_by_key(|entry| entry["seq"].as_u64()).expect("it was rotated");
    assert!(last["why"].as_str().is_some_and(|why| why.contains(part)), "lacks {part:?}: {last}");
}

/// Kinds of the alerts about a subject that are not over.
fn alerts(house: &OpenHouse, subject: &str) -> Vec<String> {
    let all = good(&house.admin("GET", "/api/alerts", None));
    let all = all["alerts"].as_array().cloned().unwrap_or_default();
    let is_meant = |alert: &&Value| alert["subject"] == subject && alert["state"] != "resolved";
    all.iter().filter(is_meant).map(|alert| alert["kind"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Writes the value that is to come, so that it can be given and disliked.
fn write_value(house: &OpenHouse, name: &str, value: &str) {
    house.home.house.write(name, value);
}

/// Three consumers, one for each way of learning of a new value.
const NAMES: [&str; 3] = ["reader/1", "hupper/1", "starter/1"];

#[test]
fn a_postgres_role_is_rotated_without_a_moment_without_a_password() {
    if !stores::are_here("a_postgres_role_is_rotated") {
        return;
    }
    let client = stores::postgres_client;
    let services = [
        stores::postgres(),
        client("reader", "", "on_new_credential: reread"),
        client("hupper", "read=hup", "on_new_credential: { signal: HUP }"),
        client("starter", "read=once", ""),
    ];
    let mut house = up(&services.concat(), stores::POSTGRES_KEYS);
    let port = stores::port(&house.home, "postgres");
    let pids = NAMES.map(|name| house.home.pid(name));
    let old = value_of(&house.home, "reader/1");
    postgres_login(port, &old).unwrap();

    check(&rotate(&house, &["zimmer-key", "--wait"]), 0, "version 2 is in force");
    let new = value_of(&house.home, "reader/1");
    assert_ne!(new, old);
    postgres_login(port, &new).unwrap();
    let refused = postgres_login(port, &old).unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    for name in NAMES {
        assert_eq!(value_of(&house.home, name), new, "{name}");
        assert_eq!(ask_client(&house.home, name, "/health"), Some((200, "ok".to_owned())), "{name}");
        assert_eq!(ask_client(&house.home, name, "/previous").map(|(status, _)| status), Some(404));
    }
    let now = NAMES.map(|name| house.home.pid(name));
    assert_eq!((now[0], now[1]), (pids[0], pids[1]), "only who reads at its start is restarted");
    assert_ne!(now[2], pids[2]);
    wait_for_end(&house, "zimmer-key");
    assert_eq!(versions(&house, "zimmer-key"), ["retired", "current"]);
    let expected = ["admin tell", "house deliver", "house prove", "house retire", "house done"]
        .map(|it| format!("{it} allowed"));
    assert_eq!(steps(&house, "zimmer-key"), expected);
    check(&house.home.house.ask(&["trail", "verify"]), 0, "");

    // The server itself keeps the new one over a restart.
    house.home.ask(&["restart", "postgres"]);
    wait_until("a login after the restart", SOON, || postgres_login(port, &new).is_ok());
    assert!(postgres_login(port, &old).is_err());
    house.home.down();
}

#[test]
fn a_redis_password_overlaps_and_an_emergency_does_not() {
    if !stores::are_here("a_redis_password_overlaps") {
        return;
    }
    let client = stores::redis_client;
    let services = [
        stores::redis(""),
        client("reader", "", "on_new_credential: reread"),
        client("hupper", "read=hup", "on_new_credential: { signal: HUP }"),
        client("starter", "read=once", ""),
    ];
    let mut house = up(&services.concat(), &stores::redis_key("30s"));
    let port = stores::port(&house.home, "redis");
    let server = house.home.pid("redis/1");
    let first = value_of(&house.home, "reader/1");

    check(&rotate(&house, &["redis-key", "--wait"]), 0, "the old one is valid beside it");
    let second = value_of(&house.home, "reader/1");
    assert_ne!(second, first);
    for value in [&first, &second] {
        redis_login(port, value).unwrap();
    }
    for name in NAMES {
        assert_eq!(value_of(&house.home, name), second, "{name}");
        assert_eq!(ask_client(&house.home, name, "/previous"), Some((200, first.clone())), "{name}");
    }
    assert_eq!(versions(&house, "redis-key"), ["previous", "current"]);
    // A server that comes back within the overlap takes both again.
    house.home.ask(&["restart", "redis"]);
    house.home.wait_for_successor("redis/1", server);
    wait_until("the first value after a restart", SOON, || redis_login(port, &first).is_ok());
    wait_for_end(&house, "redis-key");
    let refused = redis_login(port, &first).unwrap_err();
    assert!(refused.contains("WRONGPASS"), "{refused}");
    redis_login(port, &second).unwrap();
    for name in NAMES {
        assert_eq!(ask_client(&house.home, name, "/previous").map(|(status, _)| status), Some(404), "{name}");
    }

    check(&rotate(&house, &["redis-key", "--wait", "--emergency"]), 0, "version 3 is in force");
    wait_for_end(&house, "redis-key");
    let third = value_of(&house.home, "reader/1");
    redis_login(port, &third).unwrap();
    for value in [&first, &second] {
        assert!(redis_login(port, value).is_err(), "an earlier password still opens");
    }
    for name in NAMES {
        assert_eq!(value_of(&house.home, name), third, "{name}");
        assert_eq!(ask_client(&house.home, name, "/previous").map(|(status, _)| status), Some(404), "{name}");
    }
    house.home.down();
}

#[test]
fn an_emergency_ends_an_overlap_that_is_under_way() {
    if !stores::are_here("an_emergency_ends_an_overlap") {
        return;
    }
    let services = [stores::redis(""), stores::redis_client("reader", "", "on_new_credential: reread")];
    let mut house = up(&services.concat(), &stores::redis_key("1d"));
    let port = stores::port(&house.home, "redis");
    let first = value_of(&house.home, "reader/1");
    check(&rotate(&house, &["redis-key", "--wait"]), 0, "the old one is valid beside it");
    redis_login(port, &first).unwrap();
    check(&rotate(&house, &["redis-key"]), 3, "is being rotated");
    let second = value_of(&house.home, "reader/1");
    check(&rotate(&house, &["redis-key", "--emergency", "--wait"]), 0, "version 3 is in force");
    wait_for_end(&house, "redis-key");
    redis_login(port, &value_of(&house.home, "reader/1")).unwrap();
    for value in [first, second] {
        assert!(redis_login(port, &value).is_err(), "an earlier password still opens");
    }
    house.home.down();
}

#[test]
fn a_value_with_which_a_consumer_is_ill_is_taken_back_everywhere() {
    if !stores::are_here("a_value_with_which_a_consumer_is_ill") {
        return;
    }
    let client = stores::redis_client;
    let services = [
        stores::redis(""),
        client("reader", "", "on_new_credential: reread"),
        client("hupper", "read=hup", "on_new_credential: { signal: HUP }"),
        client("starter", "read=once ill=bad.txt", ""),
    ];
    let mut house = up(&services.concat(), &stores::redis_key("10m"));
    let port = stores::port(&house.home, "redis");
    let old = value_of(&house.home, "reader/1");
    write_value(&house, "bad.txt", "bad-value-for-a-test");
    let output = rotate(&house, &["redis-key", "--from", "bad.txt", "--wait"]);
    check(&output, 4, "undone");
    check_reason(&house, "redis-key", "starter/1 is not well 14 s after it got the new value");
    redis_login(port, &old).unwrap();
    let refused = redis_login(port, "bad-value-for-a-test").unwrap_err();
    assert!(refused.contains("WRONGPASS"), "{refused}");
    for name in NAMES {
        wait_until(&format!("the old value of {name}"), SOON, || {
            ask_client(&house.home, name, "/value") == Some((200, old.clone()))
        });
        assert_eq!(ask_client(&house.home, name, "/previous").map(|(status, _)| status), Some(404), "{name}");
        house.home.wait_for_phase(name, "healthy");
    }
    assert_eq!(versions(&house, "redis-key"), ["current", "retired"]);
    assert_eq!(alerts(&house, "credential:redis-key"), ["rotation-failed"]);
    let last = steps(&house, "redis-key").pop();
    assert_eq!(last.as_deref(), Some("house undone failed"));
    // Another value is none the worse for it, and ends the alert.
    check(&rotate(&house, &["redis-key", "--wait", "--emergency"]), 0, "version 3 is in force");
    wait_for_end(&house, "redis-key");
    wait_until("the end of the alert", SOON, || alerts(&house, "credential:redis-key").is_empty());
    house.home.down();
}

/// A consumer without a server, called `web`, with these lines.
fn alone(switches: &str, lines: &[&str]) -> String {
    let run = format!("run: python3 -I client.py ${{port}} nobody {switches}");
    let usual = ["user: nobody", "ports: { http: auto }", "credentials: { KEY: key }"];
    service("web", &[&[run.as_str()], &usual[..], lines].concat(), "")
}

const KEY: &str = "  key: { length: 32, overlap: 0s }\n";

/// Rotates to a value with which this consumer does not live, and checks that it has the old one back.
#[track_caller]
fn check_undone(consumer: &str, part: &str) {
    let mut house = up(consumer, KEY);
    let old = value_of(&house.home, "web/1");
    write_value(&house, "bad.txt", "bad-value-for-a-test");
    let output = rotate(&house, &["key", "--from", "bad.txt", "--wait"]);
    check(&output, 4, "undone");
    check_reason(&house, "key", part);
    house.home.wait_for_phase("web/1", "healthy");
    assert_eq!(value_of(&house.home, "web/1"), old);
    assert_eq!(versions(&house, "key"), ["current", "retired"]);
    house.home.down();
}

#[test]
fn a_value_with_which_a_consumer_does_not_start_is_taken_back() {
    let lines = [stores::CLIENT_HEALTH, "recover: { tries: 3, first: 50ms }"];
    check_undone(&alone("read=once dies=bad.txt", &lines), "was given up with the new value");
}

#[test]
fn a_consumer_without_a_probe_must_live_on_with_the_value() {
    let lines = ["on_new_credential: { signal: HUP }", "recover: { tries: 1000, first: 50ms, most: 500ms }"];
    check_undone(&alone("read=hup dies=bad.txt", &lines), "is not well 30 s after it got the new value");
}

#[test]
fn a_server_that_stands_still_for_a_while_is_tried_again() {
    if !stores::are_here("a_server_that_stands_still_for_a_while") {
        return;
    }
    // Its port still takes connections while it stands still, so nobody but the rotation notices.
    let health = "health: { tcp: redis, every: 3s, timeout: 3s, start: 20s }";
    let mut house = up(&stores::redis(health), &stores::redis_key("0s"));
    let (port, server) = (stores::port(&house.home, "redis"), house.home.pid("redis/1"));
    let file = house.home.house.state().join("run/credentials/redis/1/REDIS_PASSWORD");
    let old = std::fs::read_to_string(&file).unwrap();
    kill(server, Signal::STOP);
    check(&rotate(&house, &["redis-key"]), 0, "has begun");
    let tries = wait_for("a failed try", SOON * 2, || {
        open(&house, "redis-key").filter(|rotation| rotation["tries"].as_u64() > Some(0))
    });
    assert_eq!(tries["step"], "tell", "{tries}");
    kill(server, Signal::CONT);
    wait_for_end(&house, "redis-key");
    let new = std::fs::read_to_string(&file).unwrap();
    redis_login(port, &new).unwrap();
    assert!(new != old && redis_login(port, &old).is_err());
    assert_eq!(versions(&house, "redis-key"), ["retired", "current"]);
    house.home.down();
}

#[test]
fn a_server_that_is_gone_has_the_old_value_when_it_comes_back() {
    if !stores::are_here("a_server_that_is_gone") {
        return;
    }
    let more = "health: { tcp: redis, every: 3s, timeout: 3s, start: 20s }\nrecover: { restart: never }";
    let reader = "on_new_credential: reread\nhealth: { process: true }";
    let services = [stores::redis(more), stores::redis_client("reader", "", reader)];
    let mut house = up(&services.concat(), &stores::redis_key("0s"));
    let (port, server) = (stores::port(&house.home, "redis"), house.home.pid("redis/1"));
    let old = value_of(&house.home, "reader/1");
    kill(server, Signal::STOP);
    check(&rotate(&house, &["redis-key"]), 0, "has begun");
    kill(server, Signal::KILL);
    wait_for_step(&house, "redis-key", "undo-tell");
    assert_eq!(value_of(&house.home, "reader/1"), old, "nobody got a value that no server knows");
    house.home.ask(&["restart", "redis"]);
    wait_for_end(&house, "redis-key");
    redis_login(port, &old).unwrap();
    assert_eq!(value_of(&house.home, "reader/1"), old);
    assert_eq!(versions(&house, "redis-key"), ["current", "retired"]);
    house.home.down();
}

#[test]
fn a_rotation_that_a_server_refuses_is_stuck_until_a_person_has_looked() {
    if !stores::are_here("a_rotation_that_a_server_refuses") {
        return;
    }
    let services = [stores::redis(""), stores::redis_client("reader", "", "on_new_credential: reread")];
    let mut house = up(&services.concat(), &stores::redis_key("0s"));
    let port = stores::port(&house.home, "redis");
    let old = value_of(&house.home, "reader/1");
    // The account may do everything but change accounts.
    let denied = std::process::Command::new("redis-cli")
        .args(["-p", &port.to_string(), "--no-auth-warning", "ACL", "SETUSER", "default", "-acl"])
        .env("REDISCLI_AUTH", &old)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&denied.stdout).trim(), "OK", "{denied:?}");
    write_value(&house, "new.txt", "new-value-for-a-test");
    check(&rotate(&house, &["redis-key", "--from", "new.txt", "--wait"]), 5, "stuck");
    let stuck = open(&house, "redis-key").expect("one that is stuck stays open");
    assert!(stuck["why"].as_str().is_some_and(|why| why.contains("NOPERM")), "{stuck}");
    assert_eq!(alerts(&house, "credential:redis-key"), ["rotation-stuck"]);
    assert_eq!(value_of(&house.home, "reader/1"), old);
    redis_login(port, &old).unwrap();
    assert!(redis_login(port, "new-value-for-a-test").is_err());
    // Its start gives it back all rights.
    let server = house.home.pid("redis/1");
    house.home.ask(&["restart", "redis"]);
    house.home.wait_for_successor("redis/1", server);
    check(&rotate(&house, &["redis-key", "--wait"]), 4, "undone");
    redis_login(port, &old).unwrap();
    assert!(redis_login(port, "new-value-for-a-test").is_err());
    wait_until("the end of the alert", SOON, || {
        alerts(&house, "credential:redis-key") == ["rotation-failed"]
    });
    house.home.down();
}

#[test]
fn a_credential_that_leaves_the_plan_in_its_overlap_ends_it_in_peace() {
    let lines = [stores::CLIENT_HEALTH, "on_new_credential: reread"];
    let consumer = alone("", &lines);
    let keys = "credentials:\n  key: { length: 32, overlap: 5s }\n";
    let mut house = up(&consumer, "  key: { length: 32, overlap: 5s }\n");
    check(&rotate(&house, &["key", "--wait"]), 0, "the old one is valid beside it");
    let new = value_of(&house.home, "web/1");
    let other = "  other: { run: sleep 1000, user: nobody, health: { process: true } }\n";
    replan(&house, other, "");
    house.home.ask(&["reload"]);
    wait_for_end(&house, "key");
    assert_eq!(alerts(&house, "credential:key"), Vec::<String>::new());
    assert_eq!(versions(&house, "key"), ["retired", "current"]);
    // It comes back as it was.
    replan(&house, &consumer, keys);
    house.home.ask(&["reload"]);
    house.home.wait_for_phase("web/1", "healthy");
    assert_eq!(value_of(&house.home, "web/1"), new);
    house.home.down();
}
