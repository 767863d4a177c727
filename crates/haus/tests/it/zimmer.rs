//! The house `zimmer` of this repository, whole: every room healthy and reachable by its name.

use crate::home::SOON;
use haus_testkit::{TestHouse, free_port, http_get, kill, loud_skip_mandatory, wait_until};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Nineteen servers start on two cores, PostgreSQL makes its cluster first.
const ALL_UP: Duration = Duration::from_secs(90);

/// The promise of the default recovery: a process is back within two seconds of its end.
const BACK: Duration = Duration::from_secs(2);

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

/// The house in a folder that every account can enter, on ports that are free.
fn copy() -> (TestHouse, SocketAddr) {
    let house = TestHouse::new(env!("CARGO_BIN_EXE_haus"), "");
    let copied = Command::new("cp").arg("-RT").arg(zimmer()).arg(house.folder()).status();
    assert!(copied.is_ok_and(|status| status.success()), "the house can be copied");
    let open = Command::new("chmod").args(["-R", "go+rX"]).arg(house.folder()).status();
    assert!(open.is_ok_and(|status| status.success()), "the copy is our own");
    let gateway = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let change = |file: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(house.folder().join(file)).expect("the copy is readable");
        assert!(text.contains(from), "{file} says {from}");
        house.write(file, &text.replace(from, to));
    };
    change("house.yaml", "listen: 127.0.0.1:8080", &format!("listen: {gateway}"));
    change("other.yaml", "http: 8000", &format!("http: {}", free_port()));
    (house, gateway)
}

fn status(house: &TestHouse) -> Option<Value> {
    serde_json::from_str(&house.ask(&["status", "--json"]).stdout).ok()
}

fn room<'a>(status: &'a Value, name: &str) -> &'a Value {
    let services = status["services"].as_array().expect("services are a list");
    services.iter().find(|service| service["name"] == name).expect("the room is in the plan")
}

#[test]
fn every_room_is_healthy_and_answers_by_its_name_and_a_killed_one_is_back_within_two_seconds() {
    let missing = missing();
    if !missing.is_empty() {
        loud_skip_mandatory("zimmer", &format!("missing: {}", missing.join(", ")));
        return;
    }
    let (mut house, gateway) = copy();
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
    let killed = Instant::now();
    let instance = || status(&house).map(|status| room(&status, name)["instances"][0].clone());
    let is_new = |instance: &Value| instance["pid"].is_u64() && instance["pid"] != pid;
    wait_until("a new process of the room", SOON, || instance().is_some_and(|instance| is_new(&instance)));
    assert!(killed.elapsed() < BACK, "back only after {:?}", killed.elapsed());
    wait_until("the room to be healthy", SOON, || {
        instance().is_some_and(|instance| is_new(&instance) && instance["phase"] == "healthy")
    });
    let events = house.ask(&["events", name]).stdout;
    assert!(events.contains("killed by SIGKILL"), "{events}");

    let down = house.ask(&["down"]);
    assert_eq!(down.code, Some(0), "{down:?}");
    assert_eq!(house.wait_for_exit(SOON), Some(0));
    assert_eq!(house.processes(), []);
}
