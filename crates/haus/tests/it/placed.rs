//! Services that the plan puts on hosts: where they are is in the places file, and the house looks at them
//! from outside. A second process on another loopback address plays the host.

use crate::home::{Home, SOON, free_port, server};
use crate::visitors::Visitors;
use haus_testkit::{Signal, http_get, is_root, is_running, kill, wait_for_end, wait_until};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

const SERVER: &str = include_str!("fixtures/server.py");

/// A process of somebody else, on an address of its own.
struct Far {
    child: Child,
    address: SocketAddr,
}

impl Far {
    /// The program comes by its standard input, so that nothing of it belongs to the house's folder.
    fn start(name: &str, address: SocketAddr) -> Far {
        let mut child = Command::new("python3")
            .args(["-I", "-", &address.port().to_string(), &format!("address={}", address.ip())])
            .arg(format!("name={name}"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 starts");
        let mut program = child.stdin.take().expect("it is piped");
        program.write_all(SERVER.as_bytes()).expect("python3 reads its program");
        drop(program);
        wait_until("the far service to answer", SOON, || http_get(address, "far", "/health").is_ok());
        Far { child, address }
    }

    fn end(mut self) -> SocketAddr {
        kill(self.child.id(), Signal::KILL);
        self.child.wait().expect("it is our own child");
        self.address
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn far_address(last: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), free_port()))
}

const PROBED: &str = "health: { get: /health, every: 1s, timeout: 900ms, start: 5s, unhealthy_after: 2 }";

/// A house on `app` with an API on `web`, a worker here that needs it, and a job that cannot be asked.
fn plan(rest: &str) -> String {
    let far = "    as: systemd\n    on: web\n    run: /usr/bin/python3 server.py ${port}\n    user: nobody\n    folder: /";
    let worker = server(
        "worker",
        "",
        "as: process\non: app\nneeds: [api]\nenv: { API: \"${api.address}:${api.port}\" }",
    );
    format!(
        "hosts:\n  app: {{ connect: local }}\n  web: {{ connect: \"ssh://web.example\" }}\n\
         services:\n  api:\n{far}\n    ports: {{ http: auto }}\n    address: 0.0.0.0\n    {PROBED}\n\
         \x20 job:\n    as: systemd\n    on: web\n    run: /usr/bin/true\n    user: nobody\n\
         {worker}routes:\n  api.${{domain}}: {{ /: {{ to: api }} }}\n\
         alerts:\n  after: 1s\n{rest}"
    )
    .replace("\n    folder: /", "")
}

fn places(home: &Home, api: &[SocketAddr]) -> String {
    let one = |(index, address): (usize, &SocketAddr)| {
        json!({ "instance": index + 1, "host": "web", "address": address.ip().to_string(),
            "ports": { "http": address.port() }, "unit": "haus-test-api.service" })
    };
    let api: Vec<Value> = api.iter().enumerate().map(one).collect();
    let job =
        json!([{ "instance": 1, "host": "web", "address": "127.0.0.2", "unit": "haus-test-job.service" }]);
    let all = json!({ "format": 1, "house": home.name, "stage": "default",
        "hosts": { "web": { "address": "127.0.0.2" } }, "services": { "api": api, "job": job } });
    all.to_string()
}

/// The house, written and not started, and the arguments of its `up`.
fn home(api: &[SocketAddr]) -> Home {
    let home = Home::new(&plan(""));
    home.house.write("places.json", &places(&home, api));
    home
}

fn begin(home: &mut Home) {
    let file = home.house.folder().join("places.json");
    home.house.forget_lines();
    home.house.up(&["--host", "app", "--places", file.to_str().expect("a plain name")]);
    wait_until("the house to answer", SOON, || {
        let lines = home.house.lines();
        assert!(is_running(home.house.up_pid()), "haus up ended:\n{}", lines.join("\n"));
        home.try_status().is_some()
    });
}

fn alert(home: &Home) -> Option<String> {
    let shown: Value = serde_json::from_str(&home.house.ask(&["alerts", "--json"]).stdout).ok()?;
    let all = shown["alerts"].as_array()?.clone();
    let offline = |one: &&Value| one["subject"] == "api" && one["kind"] == "service-offline";
    all.iter().find(offline).map(|one| one["state"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_service_on_another_host_is_asked_told_of_and_never_touched() {
    let address = far_address(2);
    let mut home = home(&[address]);
    let far = Far::start("first", address);
    begin(&mut home);
    let told = home.house.wait_for_line("systemd on web looks after api, job, not this coordinator", SOON);
    assert!(told.contains("api, job"), "{told}");
    home.wait_for_phase("api/1", "healthy");
    home.wait_for_phase("worker/1", "healthy");
    let api = home.instance("api/1");
    assert_eq!(
        (&api["host"], &api["address"], &api["pid"]),
        (&json!("web"), &json!("127.0.0.2"), &Value::Null)
    );
    assert_eq!(home.service("job")["phase"], "unwatched");
    assert!(home.wait_for_reason("job/1", "looked after by systemd on web").contains("cannot be asked"));
    // The worker was told where the other is, and the gateway, discovery and the registry know it.
    let env =
        http_get(SocketAddr::from((Ipv4Addr::LOCALHOST, home.port("worker/1"))), "worker", "/env").unwrap();
    assert!(env.text().contains(&format!("API={address}\n")), "{}", env.text());
    assert!(home.get("api", "/who").text().starts_with("first "));
    let found = home.ask(&["discover", "api", "--json"]);
    assert!(found.contains(&format!("\"port\": {}", address.port())), "{found}");
    let services = home.ask(&["services"]);
    assert!(services.contains("placed"), "{services}");
    let table = home.house.ask(&["status"]).stdout;
    assert!(table.contains("HOST") && table.contains(&address.to_string()), "{table}");
    // It dies: nobody here restarts it, somebody is told.
    let address = far.end();
    let why = home.wait_for_phase("api/1", "offline");
    assert!(why.contains("systemd on web restarts it"), "{why}");
    wait_until("the alert", SOON, || alert(&home).is_some_and(|state| state == "firing"));
    assert_eq!(home.service("worker")["phase"], "healthy", "who uses it runs on");
    let refused = home.house.ask(&["restart", "api"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("ssh web systemctl restart haus-test-api.service"), "{refused:?}");
    // It comes back by itself.
    let far = Far::start("second", address);
    home.wait_for_phase("api/1", "healthy");
    wait_until("the alert to end", SOON, || alert(&home).is_none_or(|state| state != "firing"));
    assert!(home.get("api", "/who").text().starts_with("second "));
    let reads = home.house.ask(&["events", "api", "--json"]).stdout;
    assert!(reads.contains("offline") && reads.contains("healthy"), "{reads}");
    home.down();
    assert!(http_get(far.address, "far", "/health").is_ok(), "the far service runs on");
}

#[test]
fn a_place_that_moves_takes_its_requests_along_and_none_fails() {
    let (old, new) = (far_address(2), far_address(3));
    let mut home = home(&[old]);
    let first = Far::start("old", old);
    begin(&mut home);
    home.wait_for_phase("api/1", "healthy");
    home.wait_for_phase("worker/1", "healthy");
    let worker = home.pid("worker/1");
    let visitors = Visitors::start(home.gateway, home.host("api"));
    let second = Far::start("new", new);
    home.house.write("places.json", &places(&home, &[new]));
    let reloaded = home.ask(&["reload"]);
    assert!(reloaded.contains("api"), "{reloaded}");
    visitors.wait_for_more(50);
    home.wait_for_phase("api/1", "healthy");
    visitors.wait_for_more(50);
    // Whoever was told the old address is started anew with the other.
    home.wait_for_successor("worker/1", worker);
    assert!(home.get("api", "/who").text().starts_with("new "));
    drop(first);
    visitors.wait_for_more(50);
    visitors.end();
    // Two instances: the one that dies is left out.
    let third = Far::start("third", far_address(4));
    home.house.write("places.json", &places(&home, &[new, third.address]));
    home.ask(&["reload"]);
    home.wait_for_phase("api/2", "healthy");
    let visitors = Visitors::start(home.gateway, home.host("api"));
    drop(second);
    home.wait_for_phase("api/1", "offline");
    visitors.wait_for_more(50);
    visitors.end();
    home.down();
}

#[test]
fn a_core_that_comes_back_knows_the_places_and_sends_requests_there_at_once() {
    let mut home = home(&[far_address(2)]);
    let address = home_address(&home);
    let _far = Far::start("far", address);
    begin(&mut home);
    home.wait_for_phase("api/1", "healthy");
    // The file may be broken just then: the accepted places hold.
    home.house.write("places.json", "{ not json");
    let core = home.house.core_pid().expect("the core runs");
    kill(core, Signal::KILL);
    wait_for_end(core, SOON);
    home.wait_for_phase("api/1", "healthy");
    assert!(home.get("api", "/who").text().starts_with("far "));
    let refused = home.house.ask(&["reload"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("places.json:1:3: ") && refused.stderr.contains("haus apply"),
        "{refused:?}"
    );
    home.wait_for_phase("api/1", "healthy");
    home.down();
}

fn home_address(home: &Home) -> SocketAddr {
    let text = std::fs::read_to_string(home.house.folder().join("places.json")).expect("it was written");
    let read: Value = serde_json::from_str(&text).expect("it is JSON");
    let one = &read["services"]["api"][0];
    let ip: std::net::IpAddr =
        one["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    SocketAddr::new(ip, u16::try_from(one["ports"]["http"].as_u64().expect("a port")).expect("a port"))
}

#[test]
fn what_cannot_be_told_is_refused_at_the_start_or_said_and_offline() {
    let mut home = home(&[far_address(2)]);
    let file = home.house.folder().join("places.json");
    let file = file.to_str().expect("a plain name").to_owned();
    let up = |home: &mut Home, arguments: &[&str], line: &str| {
        home.house.forget_lines();
        home.house.up(arguments);
        home.house.wait_for_line(line, SOON);
        assert_eq!(home.house.wait_for_exit(SOON), Some(2), "{:?}", home.house.lines());
    };
    up(&mut home, &["--host", "nowhere"], "the plan has no host `nowhere`");
    home.house.write("places.json", "{ \"format\": 2 }");
    up(&mut home, &["--host", "app", "--places", &file], "is of format 2, and this program reads format 1");
    home.house.write("places.json", "{\n  \"format\": 1,\n}");
    up(&mut home, &["--host", "app", "--places", &file], "places.json:3:1: ");
    // Nothing was placed yet: the house comes up, and says who waits for what.
    home.house.write("places.json", &places(&home, &[]));
    begin(&mut home);
    home.house.wait_for_line("does not say where api is", SOON);
    assert!(home.wait_for_phase("api/1", "offline").contains("haus apply"));
    home.wait_for_phase("worker/1", "waiting");
    home.down();
    // Without --host this machine is none of the plan's.
    home.house.forget_lines();
    home.house.up(&[]);
    home.house.wait_for_line("another coordinator on app looks after worker, not this coordinator", SOON);
    wait_until("the house to answer", SOON, || home.try_status().is_some());
    assert!(home.wait_for_phase("api/1", "offline").contains("--places"));
    assert_eq!(home.house.service_pids(), [0; 0]);
    home.down();
}

#[test]
fn a_unit_on_this_machine_is_asked_of_systemd_and_restarted_by_it() {
    let mut home = Home::new(
        "hosts: { app: { connect: local } }\nservices:\n  job:\n    as: systemd\n    on: app\n    \
         run: /usr/bin/true\n    user: nobody\n    health: { process: true, every: 200ms }\n",
    );
    let unit = format!("haus-{}-nowhere.service", home.name);
    let job = json!([{ "instance": 1, "host": "app", "address": "127.0.0.1", "unit": unit }]);
    let all = json!({ "format": 1, "house": home.name, "stage": "default", "services": { "job": job } });
    home.house.write("places.json", &all.to_string());
    begin(&mut home);
    wait_until("systemd to be asked", SOON, || !home.instance("job/1")["evidence"].is_null());
    assert!(!home.instance("job/1")["evidence"].as_str().unwrap_or_default().starts_with("exit code 0"));
    // There is no such unit, whatever runs this machine.
    let restart = home.house.ask(&["restart", "job"]);
    let (code, part) =
        if is_root() { (4, "systemd does not restart job") } else { (3, "sudo systemctl restart") };
    assert_eq!(restart.code, Some(code), "{restart:?}");
    assert!(restart.stderr.contains(part) && restart.stderr.contains(&unit), "{restart:?}");
    home.down();
}
