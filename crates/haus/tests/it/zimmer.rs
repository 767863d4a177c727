//! The house `zimmer` of this repository, whole: every room healthy and reachable by its name.

use crate::home::SOON;
use haus_testkit::{
    HttpAsk, TestHouse, free_port, http_get, kill, loud_skip_mandatory, wait_for, wait_until,
};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Nineteen servers start on two cores, PostgreSQL makes its cluster first.
const ALL_UP: Duration = Duration::from_secs(90);

/// The promise of the default recovery: a process is back within two seconds of its end.
const BACK_MS: i64 = 2_000;

fn zimmer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../houses/zimmer")
}

/// What the house needs and this machine lacks.
fn missing() -> Vec<String> {
    let worker = zimmer().join("rooms/worker-arbeiter/bin/worker-arbeiter");
    let mut missing: Vec<String> = Vec::new();
    if !worker.is_file() {
        missing.push(format!("{} (./x test builds it)", worker.display()));
    }
    let packages =
        std::fs::read_to_string(zimmer().join("debian-packages")).expect("the house names its packages");
    for package in packages.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let asked = Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]).output();
        // Node may come from elsewhere than Debian.
        let is_there = asked.is_ok_and(|output| output.stdout == b"installed")
            || (package == "nodejs" && Command::new("node").arg("--version").output().is_ok());
        if !is_there {
            missing.push(package.to_owned());
        }
    }
    missing
}

/// Whether the house can be brought up here; says so out loud when it cannot.
fn is_possible(test: &str) -> bool {
    let missing = missing();
    if !missing.is_empty() {
        loud_skip_mandatory(test, &format!("missing: {}", missing.join(", ")));
    }
    missing.is_empty()
}

/// The house in a folder that every account can enter, on ports that are free: it, its gateway and its API.
fn copy() -> (TestHouse, SocketAddr, SocketAddr) {
    let house = TestHouse::new(env!("CARGO_BIN_EXE_haus"), "");
    let copied = Command::new("cp").arg("-RT").arg(zimmer()).arg(house.folder()).status();
    assert!(copied.is_ok_and(|status| status.success()), "the house can be copied");
    let open = Command::new("chmod").args(["-R", "go+rX"]).arg(house.folder()).status();
    assert!(open.is_ok_and(|status| status.success()), "the copy is our own");
    let [gateway, api] = [free_port(), free_port()].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let change = |file: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(house.folder().join(file)).expect("the copy is readable");
        assert!(text.contains(from), "{file} says {from}");
        house.write(file, &text.replace(from, to));
    };
    change("house.yaml", "listen: 127.0.0.1:8080", &format!("listen: {gateway}"));
    change("house.yaml", "heartbeat: 30s", "heartbeat: 1s");
    change("other.yaml", "http: 8000", &format!("http: {}", api.port()));
    (house, gateway, api)
}

fn status(house: &TestHouse) -> Option<Value> {
    serde_json::from_str(&house.ask(&["status", "--json"]).stdout).ok()
}

fn room<'a>(status: &'a Value, name: &str) -> &'a Value {
    let services = status["services"].as_array().expect("services are a list");
    services.iter().find(|service| service["name"] == name).expect("the room is in the plan")
}

/// How long the first instance had no process after this one was killed, by the journal.
fn away_ms(house: &TestHouse, name: &str, pid: u32) -> Option<i64> {
    let text = house.ask(&["events", &format!("{name}/1"), "--json", "-n", "1000"]).stdout;
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let says = |event: &Value, part: &str| event["why"].as_str().is_some_and(|why| why.contains(part));
    let ended = format!("process {pid} ended: killed by SIGKILL");
    let exit = events.iter().position(|event| says(event, &ended))?;
    let spawn = events[exit..].iter().find(|event| event["kind"] == "spawn" && says(event, " runs"))?;
    Some(spawn["at"].as_i64()? - events[exit]["at"].as_i64()?)
}

#[test]
fn every_room_is_healthy_and_answers_by_its_name_and_a_killed_one_is_back_within_two_seconds() {
    if !is_possible("zimmer") {
        return;
    }
    let (mut house, gateway, _) = copy();
    house.up(&[]);
    let up = house.wait_for_line("up: ", ALL_UP);
    assert!(up.contains("up: all healthy"), "{}", house.lines().join("\n"));

    let first = status(&house).expect("the house answers");
    let services = first["services"].as_array().expect("services are a list");
    let rooms: Vec<&str> = services
        .iter()
        .filter_map(|service| service["name"].as_str())
        .filter(|name| name.as_bytes()[7].is_ascii_digit())
        .collect();
    assert_eq!((services.len(), rooms.len()), (19, 17), "{rooms:?}");
    for name in &rooms {
        let host = format!("{name}.zimmer.localhost");
        let answer = http_get(gateway, &host, "/health").expect("the gateway answers");
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let health: Value = serde_json::from_str(&answer.text()).expect("rooms answer with JSON");
        assert_eq!(health["status"], "healthy", "{name}: {health}");
    }
    let page = http_get(gateway, "zimmer.localhost", "/").expect("the gateway answers");
    assert!(page.status == 200 && page.text().contains("<html"), "{}", page.text());

    let name = "zimmer-12-evolution-optimizer";
    let pid = room(&first, name)["instances"][0]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let pid = pid.expect("the room runs");
    kill(pid, haus_testkit::Signal::KILL);
    let instance = || status(&house).map(|status| room(&status, name)["instances"][0].clone());
    let is_new = |instance: &Value| instance["pid"].is_u64() && instance["pid"] != pid;
    wait_until("a new process of the room", SOON, || instance().is_some_and(|instance| is_new(&instance)));
    wait_until("the room to be healthy", SOON, || {
        instance().is_some_and(|instance| is_new(&instance) && instance["phase"] == "healthy")
    });
    // By the times in the journal: asking takes long on a machine that does much else.
    let away_ms = wait_for("the end and the new begin in the journal", SOON, || away_ms(&house, name, pid));
    assert!((0..BACK_MS).contains(&away_ms), "back only after {away_ms} ms");

    let down = house.ask(&["down"]);
    assert_eq!(down.code, Some(0), "{down:?}");
    assert_eq!(house.wait_for_exit(SOON), Some(0));
    assert_eq!(house.processes(), []);
}

/// Instances that made themselves known, with the load of their last heartbeat.
fn members(api: SocketAddr) -> Vec<(String, Option<f64>)> {
    let Ok(answer) = http_get(api, &api.to_string(), "/api/services") else { return Vec::new() };
    let found: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
    let services = found["services"].as_array().cloned().unwrap_or_default();
    let instances =
        services.iter().flat_map(|service| service["instances"].as_array().cloned().unwrap_or_default());
    let known = instances.filter(|instance| instance["version"].is_string());
    known.map(|instance| (instance["id"].to_string(), instance["load"].as_f64())).collect()
}

/// Sixteen rooms without nginx and ourselves, two of them twice.
const MEMBERS: usize = 17;

#[test]
fn the_rooms_make_themselves_known_outlive_the_core_call_each_other_and_leave() {
    if !is_possible("zimmer") {
        return;
    }
    let (mut house, gateway, api) = copy();
    house.up(&[]);
    house.wait_for_line("up: all healthy", ALL_UP);
    let all_beat = || {
        let members = members(api);
        members.len() == MEMBERS
            && members.iter().all(|(_, load)| load.is_some_and(|load| (0.0..=1.0).contains(&load)))
    };
    wait_until("a heartbeat of every room", SOON, all_beat);

    // A new core knows who was there, and hears from them again: their sessions are still good.
    let core = house.core_pid().expect("the house has a core");
    kill(core, haus_testkit::Signal::KILL);
    wait_until("another core", SOON, || house.core_pid().is_some_and(|pid| pid != core));
    wait_until("a heartbeat of every room to the new core", SOON * 2, all_beat);

    // Room 02 has a token that allows it to call room 08 through the gateway, and nothing but that token.
    let mut ask = HttpAsk::get("zimmer-02-chronos-stratege.zimmer.localhost", "/schedules/smoke-checks/runs");
    ask.method = "POST".to_owned();
    let tick = ask.send(gateway).expect("the gateway answers").text();
    assert!(tick.contains("\"outcome\":\"done\""), "{tick}");
    // The line is written behind the answer.
    wait_until("the call in the log", SOON, || {
        let log = std::fs::read_to_string(house.state().join("log/api.log")).expect("calls are logged");
        let is_call =
            |line: &str| line.contains("zimmer-02-chronos-stratege") && line.contains("zimmer-08-qa-pruefer");
        log.lines().any(is_call)
    });

    assert_eq!(house.ask(&["down"]).code, Some(0));
    assert_eq!(house.wait_for_exit(SOON), Some(0));
    let logs = std::fs::read_dir(house.state().join("log")).expect("the logs stay").flatten();
    let texts = logs.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
    let left = texts.filter(|text| text.contains("member: deregistered")).count();
    assert_eq!(left, MEMBERS, "rooms that said goodbye");
}
