//! A house under test: a parent process of its own, and its core through which the test speaks.
//! Waiting is always for a condition with a deadline.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use haus_supervise::{ChildState, ExitKind, LogSpec, Order, Report, SpawnSpec};

pub(crate) const DRAIN_WITHIN_MS: &str = "HAUS_TEST_DRAIN_WITHIN_MS";
pub(crate) const CORE_PROGRAM: &str = "HAUS_TEST_CORE_PROGRAM";
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says loudly that a part of the tests cannot run here.
pub(crate) fn skip_without_root(what: &str) -> bool {
    if !is_root() {
        say_skipped(&format!("needs root: {what}"));
    }
    !is_root()
}

pub(crate) fn say_skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED, {why}");
}

/// Whether a process runs; a zombie does not.
pub(crate) fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

pub(crate) fn signal(pid: u32, number: i32) {
    // SAFETY: kill has no memory effects.
    unsafe { libc::kill(pid as i32, number) };
}

/// One line of `/proc/PID/status`, without its name.
pub(crate) fn status_of(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("process runs");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("field");
    line.trim().to_owned()
}

pub(crate) struct House {
    root: tempfile::TempDir,
    listener: UnixListener,
    parent: Child,
}

impl House {
    pub(crate) fn start() -> House {
        House::start_with(&[])
    }

    pub(crate) fn start_with(env: &[(&str, &str)]) -> House {
        House::start_in(new_root(), env)
    }

    pub(crate) fn start_in(root: tempfile::TempDir, env: &[(&str, &str)]) -> House {
        let listener = UnixListener::bind(root.path().join("core.sock")).expect("binds");
        listener.set_nonblocking(true).expect("sets");
        let parent = parent_command(root.path(), env).spawn().expect("starts");
        House { root, listener, parent }
    }

    /// Starts another parent in the same place, after the first has ended or died.
    pub(crate) fn start_again(&mut self) {
        self.parent = parent_command(self.root.path(), &[]).spawn().expect("starts");
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn parent_pid(&self) -> u32 {
        self.parent.id()
    }

    /// What the parent said to whoever watches.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.root.path().join("stderr")).unwrap_or_default()
    }

    /// The next core that the parent starts.
    pub(crate) fn core(&self) -> Core {
        let mut accepted = None;
        eventually("the core connects", || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let (stream, _) = accepted.expect("accepted");
        stream.set_nonblocking(false).expect("sets");
        stream.set_read_timeout(Some(DEADLINE)).expect("sets");
        let mut reading = BufReader::new(stream.try_clone().expect("clones"));
        let mut line = String::new();
        reading.read_line(&mut line).expect("pid");
        Core { stream, reading, pid: line.trim().parse().expect("pid") }
    }

    /// A shell script as a service.
    pub(crate) fn spec(&self, key: &str, run: u64, script: &str) -> SpawnSpec {
        let env = BTreeMap::from([(String::from("PATH"), String::from("/usr/local/bin:/usr/bin:/bin"))]);
        SpawnSpec {
            key: key.to_owned(),
            run,
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            env,
            folder: PathBuf::from("/"),
            log: LogSpec { path: self.log_path(key), max_bytes: 1 << 20, keep: 2 },
            ..SpawnSpec::default()
        }
    }

    pub(crate) fn log_path(&self, key: &str) -> PathBuf {
        self.root.path().join(format!("{}.log", key.replace('/', "-")))
    }

    /// The texts of a log, without time and stream.
    pub(crate) fn log(&self, key: &str) -> Vec<String> {
        let text = fs::read_to_string(self.log_path(key)).unwrap_or_default();
        text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned()).collect()
    }

    pub(crate) fn wait_for_log(&self, key: &str, text: &str) {
        eventually(&format!("log of {key} says {text}"), || self.log(key).iter().any(|line| line == text));
    }

    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the parent ends", || {
            status = self.parent.try_wait().expect("waits");
            status.is_some()
        });
        status.expect("ended")
    }

    pub(crate) fn kill_parent(&mut self) {
        self.parent.kill().expect("kills");
        self.parent.wait().expect("waits");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Each further signal is less patient, so a failed test leaves nothing either.
        let until = Instant::now() + DEADLINE;
        while self.parent.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < until {
            signal(self.parent.id(), libc::SIGINT);
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

pub(crate) fn new_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("folder");
    // Accounts of services have to get through.
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("opens");
    root
}

pub(crate) fn parent_command(root: &Path, env: &[(&str, &str)]) -> Command {
    let said = fs::OpenOptions::new().append(true).create(true).open(root.join("stderr")).expect("opens");
    // A descriptor that our starter left open by mistake must not reach any service.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec 9</dev/null; exec \"$0\" \"$@\""])
        .arg(bare_house())
        .env("HAUS_TEST_ROOT", root)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said);
    command
}

/// The example that plays parent and core. It is a program of its own, since a parent must have one thread
/// only.
fn bare_house() -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let profile = own.parent().and_then(Path::parent).expect("tests lie in PROFILE/deps");
    let program = profile.join("examples/bare_house");
    assert!(program.exists(), "{} is missing: cargo build -p haus-supervise --examples", program.display());
    program
}

/// The core, through which the test speaks with the parent.
pub(crate) struct Core {
    stream: UnixStream,
    reading: BufReader<UnixStream>,
    pub(crate) pid: u32,
}

pub(crate) struct Hello {
    pub(crate) core_start: u32,
    pub(crate) parent_pid: u32,
    pub(crate) children: Vec<ChildState>,
    pub(crate) settled: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) run: u64,
    pub(crate) pid: u32,
    pub(crate) exit: ExitKind,
    pub(crate) lingering_killed: u32,
    pub(crate) notes: Vec<String>,
}

impl Core {
    pub(crate) fn send(&mut self, order: &Order) {
        writeln!(self.stream, "{}", serde_json::to_string(order).expect("writes")).expect("core reads");
    }

    pub(crate) fn exit(&mut self, code: u8) {
        writeln!(self.stream, "exit {code}").expect("core reads");
    }

    pub(crate) fn next(&mut self) -> Report {
        let mut line = String::new();
        self.reading.read_line(&mut line).expect("a report in time");
        serde_json::from_str(&line).expect("report")
    }

    pub(crate) fn hello(&mut self) -> Hello {
        let report = self.next();
        let Report::Hello { core_start, parent_pid, children, settled, .. } = report else {
            panic!("expected a greeting, got {report:?}")
        };
        Hello { core_start, parent_pid, children, settled }
    }

    /// Starts a service and returns its pid and the notes.
    pub(crate) fn spawn(&mut self, spec: SpawnSpec) -> (u32, Vec<String>) {
        let wanted = spec.run;
        self.send(&Order::Spawn(Box::new(spec)));
        let report = self.next();
        let Report::Spawned { run, pid, notes, .. } = report else {
            panic!("expected run {wanted} to start, got {report:?}")
        };
        assert_eq!(run, wanted);
        (pid, notes)
    }

    /// Starts a service that cannot start; returns step, error and hint as one text.
    pub(crate) fn spawn_failure(&mut self, spec: SpawnSpec) -> String {
        self.send(&Order::Spawn(Box::new(spec)));
        let report = self.next();
        let Report::SpawnFailed { step, error, hint, .. } = report else {
            panic!("expected a failure, got {report:?}")
        };
        format!("{step}: {error} | {}", hint.unwrap_or_default())
    }

    pub(crate) fn stop(&mut self, key: &str, within_ms: u64) {
        self.send(&Order::Stop { key: key.to_owned(), signal: libc::SIGTERM, within_ms });
    }

    pub(crate) fn exited(&mut self) -> Exit {
        let report = self.next();
        let Report::Exited { run, pid, exit, lingering_killed, notes, .. } = report else {
            panic!("expected an exit, got {report:?}")
        };
        Exit { run, pid, exit, lingering_killed, notes }
    }
}
