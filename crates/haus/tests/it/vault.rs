//! The key ring: where it may lie, what happens without it, and how it changes while the house works.
//!
//! That values stand nowhere in the clear is in `secrets.rs`; plain files of an earlier version are in
//! `credentials.rs`.

use crate::dice::Dice;
use crate::home::{Home, SOON, server};
use crate::line::Line;
use crate::open_house::{OpenHouse, good};
use haus_testkit::{Signal, kill, wait_for, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A house with one generated credential; gives the file in which its service finds it.
fn home() -> (Home, PathBuf) {
    let web = server("web", "", "credentials: { KEY: web-key }");
    let home = Home::new(&format!("services:\n{web}credentials:\n  web-key: {{ length: 40 }}\n"));
    let file = home.house.state().join("run/credentials/web/1/KEY");
    (home, file)
}

/// `haus up ARGUMENTS`, until it is healthy.
fn start(home: &mut Home, arguments: &[&str]) {
    home.house.forget_lines();
    home.house.up(arguments);
    wait_until("the house to be healthy", SOON * 3, || {
        home.try_status().is_some_and(|status| status["ready"] == true)
    });
}

/// `haus up ARGUMENTS` must fail with this exit code and say all of this.
#[track_caller]
fn check_refused(home: &mut Home, arguments: &[&str], code: i32, parts: &[&str]) {
    home.house.forget_lines();
    home.house.up(arguments);
    assert_eq!(home.house.wait_for_exit(SOON * 3), Some(code), "{:?}", home.house.lines());
    let told = home.house.lines().join("\n");
    for part in parts {
        assert!(told.contains(part), "lacks {part:?}: {told}");
    }
    assert_eq!(home.house.processes(), []);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("the file is our own");
}

#[test]
fn a_key_ring_that_others_can_read_is_refused_with_its_remedy() {
    let (mut home, file) = home();
    home.start();
    let value = fs::read_to_string(&file).unwrap();
    home.down();
    let ring = home.house.state().join("keyring");
    let text = fs::read(&ring).unwrap();
    for mode in [0o640, 0o604] {
        set_mode(&ring, mode);
        let name = ring.display().to_string();
        check_refused(&mut home, &[], 4, &[&name, "`chmod 0600` it"]);
        assert_eq!(fs::read(&ring).unwrap(), text, "it is left as it is");
    }
    set_mode(&ring, 0o600);
    home.start();
    assert_eq!(fs::read_to_string(&file).unwrap(), value);
    home.down();
}

#[test]
fn the_ring_of_another_house_opens_nothing_and_is_not_overwritten() {
    let (mut home, file) = home();
    home.start();
    let value = fs::read_to_string(&file).unwrap();
    home.down();
    let ring = home.house.state().join("keyring");
    let own = fs::read(&ring).unwrap();
    let (mut other, _) = self::home();
    other.start();
    other.down();
    let foreign = fs::read(other.house.state().join("keyring")).unwrap();
    fs::write(&ring, &foreign).unwrap();
    let name = ring.display().to_string();
    check_refused(&mut home, &[], 4, &[&name]);
    assert_eq!(fs::read(&ring).unwrap(), foreign, "it is left as it is");
    fs::write(&ring, "haus key ring 1\nhalf of it").unwrap();
    check_refused(&mut home, &[], 4, &[&name]);
    fs::write(&ring, &own).unwrap();
    home.start();
    assert_eq!(fs::read_to_string(&file).unwrap(), value);
    home.down();
}

#[test]
fn the_ring_can_lie_somewhere_else() {
    let (mut home, file) = home();
    let elsewhere = tempfile::tempdir().unwrap();
    let ring = elsewhere.path().join("ring");
    let name = ring.display().to_string();
    start(&mut home, &["--key-file", &name]);
    let value = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&ring).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!home.house.state().join("keyring").exists(), "there is one ring");
    home.down();
    // Without the option the house must not begin with a ring of its own.
    check_refused(&mut home, &[], 4, &["key"]);
    assert!(!home.house.state().join("keyring").exists(), "no other ring is made");
    start(&mut home, &["--key-file", &name]);
    assert_eq!(fs::read_to_string(&file).unwrap(), value);
    home.down();
}

#[test]
fn a_ring_behind_a_passphrase_opens_with_that_passphrase_alone() {
    let (mut home, file) = home();
    let elsewhere = tempfile::tempdir().unwrap();
    let phrase = elsewhere.path().join("phrase");
    let name = phrase.display().to_string();
    fs::write(&phrase, "four plain words and a number 7\n").unwrap();
    set_mode(&phrase, 0o600);
    start(&mut home, &["--passphrase-file", &name]);
    let value = fs::read_to_string(&file).unwrap();
    home.down();
    let ring = home.house.state().join("keyring");
    let sealed = fs::read_to_string(&ring).unwrap();
    assert!(sealed.contains("haus sealed key ring 1") && !sealed.contains("active"), "{sealed}");
    check_refused(&mut home, &[], 4, &["passphrase", "--passphrase-file"]);
    fs::write(&phrase, "four other words and a number 8\n").unwrap();
    check_refused(&mut home, &["--passphrase-file", &name], 4, &["passphrase"]);
    assert_eq!(fs::read_to_string(&ring).unwrap(), sealed, "it is left as it is");
    fs::write(&phrase, "four plain words and a number 7\n").unwrap();
    set_mode(&phrase, 0o644);
    check_refused(&mut home, &["--passphrase-file", &name], 4, &[&name, "chmod 600"]);
    set_mode(&phrase, 0o600);
    start(&mut home, &["--passphrase-file", &name]);
    assert_eq!(fs::read_to_string(&file).unwrap(), value);
    home.ask(&["vault", "rotate-key"]);
    wait_until("the end of the rewrapping", SOON * 3, || is_settled(&home));
    home.down();
    assert_ne!(fs::read_to_string(&ring).unwrap(), sealed);
    start(&mut home, &["--passphrase-file", &name]);
    assert_eq!(fs::read_to_string(&file).unwrap(), value);
    home.down();
}

#[test]
fn a_copy_of_the_database_gives_nothing_away() {
    let (mut home, file) = home();
    home.start();
    let value = fs::read_to_string(&file).unwrap();
    let ring = fs::read_to_string(home.house.state().join("keyring")).unwrap();
    let key = ring.lines().find(|line| line.starts_with("active")).and_then(|line| line.split(' ').nth(2));
    let key = key.expect("a ring has an active key").to_owned();
    home.down();
    // Somebody runs a house of his own on it.
    let (mut thief, stolen) = self::home();
    fs::create_dir_all(thief.house.state()).unwrap();
    for name in ["house.db", "house.db-wal"] {
        let from = home.house.state().join(name);
        if from.exists() {
            let bytes = fs::read(&from).unwrap();
            for secret in [&value, &key] {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "a secret stands in {name}");
            }
            fs::copy(&from, thief.house.state().join(name)).unwrap();
        }
    }
    check_refused(&mut thief, &[], 4, &["key"]);
    assert!(!stolen.exists(), "nothing was delivered");
}

const FAR: &str = "  far: { as: external, about: \"somewhere else\" }\n";
const CREDENTIALS: usize = 150;

/// Credentials that are read while the key changes: each read is an entry of the trail, and whoever makes too
/// many of them is sent away for a while.
const READ: usize = 3;

/// A house in which `far` has many credentials, with their values.
fn full_house() -> (OpenHouse, BTreeMap<String, String>) {
    let house = OpenHouse::up(FAR, "");
    let mut values = BTreeMap::new();
    let mut line = Line::unix(&house.control()).expect("the control socket answers");
    for number in 0..CREDENTIALS {
        let (name, value) = (format!("key-{number}"), format!("value-of-key-{number}"));
        let body = json!({ "name": name, "service_name": "far", "value": value });
        good(&line.ask(&house.question(None, "POST", "/api/credentials", Some(&body))).expect("an answer"));
        values.insert(name, value);
    }
    (house, values)
}

fn vault(home: &Home) -> Option<Value> {
    serde_json::from_str(&home.house.ask(&["vault", "status", "--json"]).stdout).ok()
}

/// Whether everything is sealed with one key.
fn is_settled(home: &Home) -> bool {
    vault(home).is_some_and(|vault| vault["old_keys"].as_array().is_some_and(Vec::is_empty))
}

fn key_id(home: &Home) -> String {
    let vault = wait_for("the state of the vault", SOON, || vault(home));
    vault["active_key"].as_str().expect("an open vault has a key").to_owned()
}

/// Reads one credential after the other until told to end. Each answer must be the value, or that too many
/// reads came.
fn read_on(house: &OpenHouse, values: &BTreeMap<String, String>, ends: &AtomicBool, read: &AtomicU64) {
    let token = house.token_of("far");
    while !ends.load(Ordering::Relaxed) {
        for (name, value) in values.iter().take(READ) {
            let path = format!("/api/credentials/service/far?credential={name}");
            let answer = house.get(&token, &path);
            if answer.status == 429 {
                continue;
            }
            assert_eq!(good(&answer)["credentials"][0]["value"].as_str(), Some(value.as_str()));
            read.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn the_key_changes_while_everybody_reads_and_writes() {
    let (mut house, values) = full_house();
    let (ends, read) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut keys = vec![key_id(&house.home)];
    std::thread::scope(|scope| {
        let (shared, ends, read, values) = (&house, &ends, &read, &values);
        let reader = scope.spawn(move || read_on(shared, values, ends, read));
        let writer = scope.spawn(move || {
            for number in 0.. {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let body = json!({ "name": format!("new-{number}"), "service_name": "far", "value": "v" });
                let id = shared.credential(body);
                good(&shared.admin("DELETE", &format!("/api/credentials/{id}"), None));
            }
        });
        for _ in 0..3 {
            let rotated = shared.home.house.ask(&["vault", "rotate-key"]);
            if rotated.code != Some(0) || reader.is_finished() || writer.is_finished() {
                ends.store(true, Ordering::Relaxed);
                panic!("{rotated:?}");
            }
            keys.push(key_id(&shared.home));
        }
        ends.store(true, Ordering::Relaxed);
    });
    assert!(is_settled(&house.home) && read.load(Ordering::Relaxed) > 0);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4, "{keys:?}");
    assert_all_there(&house, &values);
    house.home.down();
}

/// Every value is there and opens.
#[track_caller]
fn assert_all_there(house: &OpenHouse, values: &BTreeMap<String, String>) {
    let token = house.token_of("far");
    let path = "/api/credentials/service/far";
    // Who read much before has to wait for this.
    let answer = wait_for("the values", SOON * 4, || {
        Some(house.get(&token, path)).filter(|answer| answer.status != 429)
    });
    let answer = good(&answer);
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let list = answer["credentials"].as_array().expect("credentials are a list");
    let found: BTreeMap<_, _> = list.iter().map(|row| (text(row, "name"), text(row, "value"))).collect();
    assert_eq!(found, *values);
}

#[test]
fn a_change_of_the_key_that_is_cut_off_anywhere_is_carried_on() {
    let (mut house, values) = full_house();
    let mut dice = Dice::new();
    for round in 1..=10 {
        let former = key_id(&house.home);
        let kills_all = round % 5 == 0;
        let moment = Duration::from_millis(dice.below(400));
        std::thread::scope(|scope| {
            let home = &house.home;
            let order = scope.spawn(move || home.house.ask(&["vault", "rotate-key"]));
            let begun = Instant::now();
            wait_until("the moment of the kill", SOON, || begun.elapsed() >= moment);
            let pid = if kills_all { home.house.up_pid() } else { home.house.core_pid().expect("a core") };
            kill(pid, Signal::KILL);
            let _ = order.join().expect("haus can be asked");
        });
        if kills_all {
            assert_eq!(house.home.house.wait_for_exit(SOON), None);
            house.start();
        } else {
            wait_until("the house to answer again", SOON, || house.home.try_status().is_some());
            house.wait_for_api();
        }
        wait_until("the end of the rewrapping", SOON * 3, || is_settled(&house.home));
        assert_all_there(&house, &values);
        eprintln!("round {round}: killed after {moment:?}, key changed: {}", key_id(&house.home) != former);
    }
    house.home.down();
}
