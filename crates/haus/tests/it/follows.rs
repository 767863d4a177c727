//! Commands that stay and watch, and service managers that are told.

use crate::home::{Home, SOON, server};
use haus_testkit::{Signal, kill, wait_for_end, wait_until};
use std::io::Read as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A command that runs until it is dropped, and what it has printed.
struct Watcher {
    child: Child,
    printed: Arc<Mutex<String>>,
}

impl Watcher {
    fn start(home: &Home, arguments: &[&str]) -> Watcher {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haus"));
        command.args(arguments).arg("--state").arg(home.house.state());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("haus starts");
        let mut stdout = child.stdout.take().expect("it is piped");
        let printed = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&printed);
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = stdout.read(&mut bytes) {
                shared
                    .lock()
                    .expect("nobody panics with it")
                    .push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Watcher { child, printed }
    }

    #[track_caller]
    fn wait_for(&self, part: &str) {
        let printed = || self.printed.lock().expect("nobody panics with it").contains(part);
        wait_until(&format!("{part:?} to be printed"), SOON, printed);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn followers_see_what_comes_after_them_even_over_the_death_of_the_core() {
    let mut home = Home::up(&format!("services:\n{}", server("web", "", "")));
    let events = Watcher::start(&home, &["events", "-f"]);
    let logs = Watcher::start(&home, &["logs", "web", "-f", "-n", "1"]);
    let status = Watcher::start(&home, &["status", "--watch"]);
    events.wait_for("→ healthy");
    logs.wait_for(" out listening");
    status.wait_for("healthy");
    let core = home.house.core_pid().unwrap();
    kill(core, Signal::KILL);
    wait_for_end(core, SOON);
    events.wait_for("the core came back");
    status.wait_for(&format!("core pid {}", home.status()["core_pid"]));
    let pid = home.pid("web/1");
    kill(pid, Signal::KILL);
    events.wait_for(&format!("process {pid} ended: killed by SIGKILL"));
    home.wait_for_successor("web/1", pid);
    let listening = || logs.printed.lock().unwrap().matches(" out listening").count();
    wait_until("the log of the new process", SOON, || listening() == 2);
    drop((events, logs, status));
    home.down();
}

#[test]
fn a_service_manager_is_told_when_the_house_is_ready_and_when_it_ends() {
    let web = server(
        "web",
        "health-file=well",
        "health: { get: /health, every: 200ms, timeout: 150ms, start: 60s }",
    );
    let home = Home::new(&format!("services:\n{web}"));
    let path = home.house.folder().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_haus"));
    serve
        .arg("serve")
        .arg(home.house.folder())
        .arg("--state")
        .arg(home.house.state())
        .env("NOTIFY_SOCKET", &path);
    let mut serve = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let told = |part: &str| {
        wait_until(part, SOON, || {
            let mut bytes = [0; 4_096];
            let length = socket.recv(&mut bytes).unwrap_or(0);
            String::from_utf8_lossy(&bytes[..length]).contains(part)
        });
    };
    // Ready means that gateway and API answer; how the services fare is the status.
    told("READY=1");
    home.wait_for_phase("web/1", "starting");
    home.house.write("well", "");
    told("STATUS=1/1 services are ready");
    home.wait_for_phase("web/1", "healthy");
    let environment = std::fs::read(format!("/proc/{}/environ", home.pid("web/1"))).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("NOTIFY_SOCKET"));
    kill(serve.id(), Signal::TERM);
    told("STOPPING=1");
    let mut status = None;
    wait_until("its end", SOON, || {
        status = serve.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert_eq!(home.house.processes(), []);
}

#[test]
fn a_reader_that_leaves_early_is_no_fault() {
    let mut home = Home::up(&format!("services:\n{}", server("web", "", "")));
    let mut command = Command::new(env!("CARGO_BIN_EXE_haus"));
    command.args(["events", "--state"]).arg(home.house.state()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut ended = None;
    wait_until("its end", Duration::from_secs(10), || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((ended.and_then(|status| status.code()), said.as_str()), (Some(0), ""));
    home.down();
}
