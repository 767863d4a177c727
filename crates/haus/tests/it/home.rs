//! A house with a gateway port and a name of its own, and questions to it in the words of the tests.
//!
//! It reads what the program prints and answers, and knows nothing of its inside.

use haus_testkit::{CliOutput, HttpAnswer, TestHouse, http_get, is_running, wait_for, wait_until};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// For everything that should happen soon, on a machine that does much else at the same time.
pub(crate) const SOON: Duration = Duration::from_secs(20);

const SERVER: &str = include_str!("fixtures/server.py");

/// A house of one test.
pub(crate) struct Home {
    pub(crate) house: TestHouse,
    pub(crate) name: String,
    pub(crate) gateway: SocketAddr,
}

impl Home {
    /// A house with this `services:` block and whatever follows it; not started.
    pub(crate) fn new(body: &str) -> Home {
        let port = free_port();
        // Names keep accounts, control groups and automatic ports of tests at the same time apart.
        let name = format!("t{}-{port}", std::process::id());
        let house = TestHouse::new(env!("CARGO_BIN_EXE_haus"), "");
        let home = Home { house, name, gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        home.house.write("server.py", SERVER);
        home.plan(body);
        home
    }

    /// The same, up, with every service healthy.
    pub(crate) fn up(body: &str) -> Home {
        let mut home = Home::new(body);
        home.start();
        home
    }

    /// Writes the plan anew.
    pub(crate) fn plan(&self, body: &str) {
        let (name, gateway) = (&self.name, self.gateway);
        self.house.write(
            "house.yaml",
            &format!("haus: 1\nhouse: {name}\ngateway: {{ listen: \"{gateway}\" }}\n{body}"),
        );
    }

    /// `haus up`, until every service is healthy.
    pub(crate) fn start(&mut self) {
        self.begin();
        wait_until("every service to be healthy", SOON, || {
            let ready = self.try_status().is_some_and(|status| status["ready"] == true);
            assert!(
                ready || is_running(self.house.up_pid()),
                "haus up ended:\n{}",
                self.house.lines().join("\n")
            );
            ready
        });
        self.house.wait_for_line("up: ", SOON);
    }

    /// `haus up`, until the house answers at all.
    pub(crate) fn begin(&mut self) {
        self.house.forget_lines();
        self.house.up(&[]);
        let house = &self.house;
        wait_until("the house to answer", SOON, || {
            let answers = house.ask(&["status", "--json"]).stdout.starts_with('{');
            assert!(answers || is_running(house.up_pid()), "haus up ended:\n{}", house.lines().join("\n"));
            answers
        });
    }

    /// `haus down`, until nothing is left; both commands must succeed.
    pub(crate) fn down(&mut self) {
        let down = self.house.ask(&["down"]);
        assert_eq!(down.code, Some(0), "{down:?}");
        assert_eq!(self.house.wait_for_exit(SOON), Some(0), "{:?}", self.house.lines());
        assert_eq!(self.house.processes(), []);
    }

    /// A command on the running house that must succeed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let CliOutput { code, stdout, stderr } = self.house.ask(arguments);
        assert_eq!(code, Some(0), "haus {arguments:?}: {stdout}{stderr}");
        stdout
    }

    /// The state of the house, if it answers.
    pub(crate) fn try_status(&self) -> Option<Value> {
        serde_json::from_str(&self.house.ask(&["status", "--json"]).stdout).ok()
    }

    /// The state of the house; its core may be away for a moment.
    pub(crate) fn status(&self) -> Value {
        wait_for("a status", SOON, || self.try_status())
    }

    /// A service in the status.
    pub(crate) fn service(&self, name: &str) -> Value {
        let status = self.status();
        let services = status["services"].as_array().expect("services are a list");
        services.iter().find(|service| service["name"] == name).cloned().unwrap_or(Value::Null)
    }

    /// An instance, `web/1`, in the status; null when there is none.
    pub(crate) fn instance(&self, id: &str) -> Value {
        let (name, _) = id.split_once('/').expect("an instance is written SERVICE/NUMBER");
        let service = self.service(name);
        let instances = service["instances"].as_array().cloned().unwrap_or_default();
        instances.into_iter().find(|instance| instance["id"] == id).unwrap_or(Value::Null)
    }

    /// The process of an instance that runs.
    pub(crate) fn pid(&self, id: &str) -> u32 {
        let instance = self.instance(id);
        let pid = instance["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.unwrap_or_else(|| panic!("{id} has no process: {instance}"))
    }

    /// The port of an instance.
    pub(crate) fn port(&self, id: &str) -> u16 {
        let instance = self.instance(id);
        let port = instance["ports"]["http"].as_u64().and_then(|port| u16::try_from(port).ok());
        port.unwrap_or_else(|| panic!("{id} has no port: {instance}"))
    }

    /// Waits until a service or instance is in this phase, and returns why.
    #[track_caller]
    pub(crate) fn wait_for_phase(&self, subject: &str, phase: &str) -> String {
        self.wait_for_state(&format!("{subject} to be {phase}"), subject, |found| found["phase"] == phase)
    }

    /// Waits until an instance is healthy with another process than this one; returns the new one.
    #[track_caller]
    pub(crate) fn wait_for_successor(&self, id: &str, pid: u32) -> u32 {
        let is_new = |found: &Value| found["phase"] == "healthy" && found["pid"] != pid;
        self.wait_for_state(&format!("a successor of {id}, process {pid}"), id, is_new);
        self.pid(id)
    }

    /// Waits until the reason of a service or instance holds `part`, and returns the whole reason.
    #[track_caller]
    pub(crate) fn wait_for_reason(&self, subject: &str, part: &str) -> String {
        let told = |found: &Value| found["why"].as_str().is_some_and(|why| why.contains(part));
        self.wait_for_state(&format!("{subject} to say {part:?}"), subject, told)
    }

    #[track_caller]
    fn wait_for_state(&self, what: &str, subject: &str, is_there: impl Fn(&Value) -> bool) -> String {
        let mut last = Value::Null;
        let begun = std::time::Instant::now();
        // Told with what was seen last: a wait in vain alone explains nothing.
        wait_until(what, SOON * 2, || {
            last = if subject.contains('/') { self.instance(subject) } else { self.service(subject) };
            let found = is_there(&last);
            assert!(found || begun.elapsed() < SOON, "waited in vain: {what}; {subject} is {last}");
            found
        });
        last["why"].as_str().unwrap_or_default().to_owned()
    }

    /// The events of the house, oldest first.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = self.ask(&["events", "--json", "-n", "10000"]);
        text.lines().map(|line| serde_json::from_str(line).expect("an event is JSON")).collect()
    }

    /// The events about one subject whose reason holds `part`.
    pub(crate) fn events_of(&self, subject: &str, part: &str) -> Vec<Value> {
        let told = |event: &Value| {
            event["subject"] == subject && event["why"].as_str().is_some_and(|why| why.contains(part))
        };
        self.events().into_iter().filter(told).collect()
    }

    /// The same, as soon as there are so many: the journal is written a moment after the deed.
    #[track_caller]
    pub(crate) fn wait_for_events(&self, count: usize, subject: &str, part: &str) -> Vec<Value> {
        let mut events = Vec::new();
        wait_until(&format!("{count} events of {subject} with {part:?}"), SOON, || {
            events = self.events_of(subject, part);
            events.len() >= count
        });
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }

    /// A name below the house's domain.
    pub(crate) fn host(&self, name: &str) -> String {
        format!("{name}.{}.localhost", self.name)
    }

    /// GET through the gateway from a name below the house's domain.
    pub(crate) fn get(&self, name: &str, path: &str) -> HttpAnswer {
        let answer = http_get(self.gateway, &self.host(name), path);
        answer.unwrap_or_else(|error| panic!("GET {path} of {name}: {error}"))
    }

    /// GET through the gateway from the house's own name.
    pub(crate) fn get_own(&self, path: &str) -> HttpAnswer {
        let answer = http_get(self.gateway, &format!("{}.localhost", self.name), path);
        answer.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Processes of the house whose command line holds `part`.
    pub(crate) fn processes_with(&self, part: &str) -> usize {
        self.house.processes().iter().filter(|(_, command)| command.contains(part)).count()
    }
}

/// A service of the plan that runs `server.py` with these switches. `more` holds further keys, one per line;
/// a key given there replaces the usual one.
pub(crate) fn server(name: &str, switches: &str, more: &str) -> String {
    let run = format!("run: python3 -I server.py ${{port}} {switches}");
    let usual = [
        run.trim_end(),
        // One account for all tests, so that none is made; as an ordinary user it is not looked at.
        "user: nobody",
        "ports: { http: auto }",
        "health: { get: /health, every: 1s, timeout: 900ms, start: 15s }",
    ];
    service(name, &usual, more)
}

/// A service of the plan with these lines, and `more` that replaces lines with the same key.
pub(crate) fn service(name: &str, usual: &[&str], more: &str) -> String {
    let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let more: Vec<&str> = more.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let kept = usual.iter().filter(|line| !more.iter().any(|own| key(own) == key(line)));
    let lines: String = kept.chain(&more).map(|line| format!("    {line}\n")).collect();
    format!("  {name}:\n{lines}")
}

/// A port that nobody listens on: above the privileged ones, below those that are given out automatically.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 900).expect("a remainder is small") * 10;
    let candidates = (0..9_000).map(|_| 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 9_000);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    candidates.into_iter().find(is_free).expect("one of nine thousand ports is free")
}
