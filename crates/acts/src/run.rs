//! Running the system's programs: no shell, a fixed environment, a group of its own, a deadline, bounded
//! output.
//!
//! Another account is reached by `setpriv` of util-linux, which every Debian has. Every command carries a
//! mark in its environment, so that a later session finds what was left running. Knows no resource.

use crate::account::Account;
use crate::die::step;
use crate::refusal::{Attempt as _, Result, cut};
use crate::wire::{EVIDENCE_LINES_MAX, LINE_BYTES_MAX, PROGRESS_LINES_MAX, Progress, Refusal};
use haus_model::host_code::HostCode;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// The environment variable by which a later session knows our commands; its value is our folder of the
/// house.
pub(crate) const MARK: &str = "HAUS_REMOTE_CHILD";

/// The same for commands that must not be ended in the middle: apt and dpkg.
pub(crate) const MARK_PACKAGES: &str = "HAUS_REMOTE_PACKAGES";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CAPTURED_BYTES_MAX: u64 = 64 * 1024 * 1024;
const LOOK_AGAIN: Duration = Duration::from_millis(30);
/// A program may leave a daemon behind that keeps the pipe open; it is not waited for.
const AFTER_END: Duration = Duration::from_millis(500);

/// Whether nobody listens any longer. Builds and commands of the plan then end early; everything that the
/// system must not be left in the middle of goes on.
pub(crate) static GONE: AtomicBool = AtomicBool::new(false);

/// Where progress goes.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Progress);

/// A command that is about to be run.
#[derive(Clone, Debug)]
pub(crate) struct Order<'a> {
    /// Program and arguments.
    pub(crate) argv: &'a [String],
    /// The account; ours when absent.
    pub(crate) account: Option<&'a Account>,
    /// Working folder.
    pub(crate) folder: &'a Path,
    /// Environment besides the fixed one.
    pub(crate) env: BTreeMap<String, String>,
    /// A file for standard input; nothing when absent.
    pub(crate) stdin: Option<PathBuf>,
    /// How long it may take.
    pub(crate) within: Duration,
    /// By which a later session knows it: [`crate::machine::Layout::mark`].
    pub(crate) mark: &'a str,
    /// A file for its output, so that it can go on when we are gone; only for package commands.
    pub(crate) output: Option<PathBuf>,
    /// Whether it ends when nobody listens any longer.
    pub(crate) ends_with_us: bool,
}

impl<'a> Order<'a> {
    /// A command of the system with little to say.
    pub(crate) fn new(argv: &'a [String], within: Duration) -> Order<'a> {
        let (folder, env) = (Path::new("/"), BTreeMap::new());
        Order {
            argv,
            account: None,
            folder,
            env,
            stdin: None,
            within,
            mark: "",
            output: None,
            ends_with_us: false,
        }
    }

    fn command(&self) -> Result<Command> {
        let own = rustix::process::geteuid().as_raw();
        let mut words = self.argv.iter();
        let mut command = match self.account {
            Some(account) if account.uid != own => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={}", account.uid)).arg(format!("--regid={}", account.gid));
                command.args(["--init-groups", "--"]).args(words);
                command
            }
            Some(_) | None => {
                let Some(program) = words.next() else {
                    return Err(self.refusal("the command is empty", "name a program"));
                };
                let mut command = Command::new(program);
                command.args(words);
                command
            }
        };
        let user = self.account.map_or("root", |account| account.name.as_str());
        let home = self.account.map_or(Path::new("/root"), |account| account.home.as_path());
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8").env("LANG", "C.UTF-8");
        command.env("HOME", home).env("USER", user).env("LOGNAME", user);
        command.env(if self.output.is_some() { MARK_PACKAGES } else { MARK }, self.mark);
        command.envs(&self.env).current_dir(self.folder).process_group(0);
        let stdin = match &self.stdin {
            Some(path) => Stdio::from(File::open(path).attempt("open", path)?),
            None => Stdio::null(),
        };
        command.stdin(stdin);
        Ok(command)
    }

    fn deadline(&self) -> Deadline {
        Deadline { at: Instant::now() + self.within, ends_with_us: self.ends_with_us }
    }

    fn spawn(&self, mut command: Command) -> Result<Child> {
        step();
        command.spawn().map_err(|error| {
            let why = if error.kind() != io::ErrorKind::NotFound {
                error.to_string()
            } else if self.folder.is_dir() {
                "there is no such program on the host".to_owned()
            } else {
                format!("there is no folder {}", self.folder.display())
            };
            self.refusal(why, "install what is missing, for example under `packages:` of the host")
        })
    }

    /// That this was not done.
    pub(crate) fn refusal(&self, why: impl Into<String>, remedy: &str) -> Refusal {
        Refusal::new(HostCode::ActFailed, format!("run {}", cut(&self.argv.join(" "))), why, remedy)
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// How, and none when it took too long and was ended.
    pub(crate) status: Option<ExitStatus>,
    /// Its last lines.
    pub(crate) tail: VecDeque<String>,
    /// All of its standard output, when it was asked for.
    pub(crate) stdout: Vec<u8>,
}

impl Ran {
    /// Whether it ended with 0.
    pub(crate) fn is_good(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended, in words.
    pub(crate) fn ending(&self) -> String {
        match self.status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => format!("it ended with {code}"),
            Some((None, Some(signal))) => format!("it was ended by signal {signal}"),
            Some((None, None)) => "it ended strangely".to_owned(),
            None => "it took too long and was ended".to_owned(),
        }
    }

    /// A refusal unless it ended with 0.
    pub(crate) fn expect_good(self, order: &Order<'_>, remedy: &str) -> Result<Ran> {
        if self.is_good() {
            return Ok(self);
        }
        Err(order.refusal(self.ending(), remedy).with_evidence(self.tail))
    }
}

/// Runs a command and tells its output line by line.
pub(crate) fn run(order: &Order<'_>, sink: Sink<'_>) -> Result<Ran> {
    sink(Progress::Run(order.argv.to_vec()));
    let mut lines = Lines { tail: VecDeque::new(), told: 0, sink };
    let mut command = order.command()?;
    let deadline = order.deadline();
    let status = if let Some(output) = &order.output {
        let file = File::create(output).attempt("write", output)?;
        command.stdout(file.try_clone().attempt("write", output)?).stderr(file);
        let child = order.spawn(command)?;
        let reader = File::open(output).attempt("read", output)?;
        follow_file(child, reader, deadline, &mut lines)
    } else {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        follow_pipes(order.spawn(command)?, deadline, &mut lines)
    };
    step();
    let status = status.map_err(|error| order.refusal(error.to_string(), "apply again"))?;
    Ok(Ran { status, tail: lines.tail, stdout: Vec::new() })
}

/// Runs a command for its standard output; only its faults are lines.
pub(crate) fn capture(order: &Order<'_>) -> Result<Ran> {
    let mut command = order.command()?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = order.spawn(command)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let deadline = order.deadline();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(CAPTURED_BYTES_MAX).read_to_end(&mut bytes);
        }
        bytes
    });
    let mut lines = Lines { tail: VecDeque::new(), told: 0, sink: &mut |_| {} };
    let (sender, receiver) = mpsc::channel();
    if let Some(stderr) = stderr {
        send_lines(stderr, sender);
    }
    let status = follow(child, &receiver, deadline, &mut lines);
    let status = status.map_err(|error| order.refusal(error.to_string(), "try again"))?;
    // After a group was ended its pipes are closed, so the reader ends too.
    let stdout = reader.join().unwrap_or_default();
    Ok(Ran { status, tail: lines.tail, stdout })
}

#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    ends_with_us: bool,
}

impl Deadline {
    fn is_over(self) -> bool {
        Instant::now() >= self.at || (self.ends_with_us && GONE.load(Ordering::Relaxed))
    }
}

struct Lines<'a> {
    tail: VecDeque<String>,
    told: u32,
    sink: Sink<'a>,
}

impl Lines<'_> {
    fn take(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        // Progress bars overwrite themselves; only what stands at last counts.
        let text = text.trim_end_matches(['\r', '\n']);
        let text = cut(text.rsplit('\r').next().unwrap_or_default());
        if text.trim().is_empty() {
            return;
        }
        if self.told < PROGRESS_LINES_MAX {
            self.told += 1;
            (self.sink)(Progress::Line(text.clone()));
        }
        if self.tail.len() == EVIDENCE_LINES_MAX {
            self.tail.pop_front();
        }
        self.tail.push_back(text);
    }
}

fn send_lines(from: impl Read + Send + 'static, to: mpsc::Sender<Vec<u8>>) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            // A line without an end must not fill the memory.
            match (&mut from).take(4 * LINE_BYTES_MAX as u64).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    if to.send(line).is_err() {
                        return;
                    }
                }
            }
        }
    });
}

fn follow_pipes(
    mut child: Child,
    deadline: Deadline,
    lines: &mut Lines<'_>,
) -> io::Result<Option<ExitStatus>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        send_lines(stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        send_lines(stderr, sender);
    }
    follow(child, &receiver, deadline, lines)
}

fn follow(
    mut child: Child,
    receiver: &mpsc::Receiver<Vec<u8>>,
    deadline: Deadline,
    lines: &mut Lines<'_>,
) -> io::Result<Option<ExitStatus>> {
    let mut ended: Option<Instant> = None;
    loop {
        match receiver.recv_timeout(LOOK_AGAIN) {
            Ok(line) => lines.take(&line),
            Err(RecvTimeoutError::Disconnected) => return wait_until(&mut child, deadline),
            Err(RecvTimeoutError::Timeout) if ended.is_none() => {
                ended = child.try_wait()?.map(|_| Instant::now());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_some_and(|at| at.elapsed() > AFTER_END) {
            return child.try_wait();
        }
        if ended.is_none() && deadline.is_over() {
            end(&mut child)?;
            return Ok(None);
        }
    }
}

fn follow_file(
    mut child: Child,
    mut reader: File,
    deadline: Deadline,
    lines: &mut Lines<'_>,
) -> io::Result<Option<ExitStatus>> {
    let mut rest: Vec<u8> = Vec::new();
    loop {
        // Asked before reading, so that what was written at last is read as well.
        let status = child.try_wait()?;
        reader.read_to_end(&mut rest)?;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=at).collect();
            lines.take(&line);
        }
        if status.is_some() {
            lines.take(&rest);
            return Ok(status);
        }
        if deadline.is_over() {
            end(&mut child)?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn wait_until(child: &mut Child, deadline: Deadline) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if deadline.is_over() {
            end(child)?;
            return Ok(None);
        }
        // The pipes of most programs close in the moment in which they end.
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    child.wait().map(drop)
}

/// A process that an earlier session of ours started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOver {
    /// Its number.
    pub(crate) pid: i32,
    /// Whether it is apt, dpkg or one of theirs, which must not be ended in the middle.
    pub(crate) of_packages: bool,
}

/// Everything that still runs for us.
pub(crate) fn left_over(mark: &str) -> Vec<LeftOver> {
    let marks = [format!("{MARK}={mark}"), format!("{MARK_PACKAGES}={mark}")];
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(environ) = fs::read(entry.path().join("environ")) else { continue };
        let has = |mark: &str| environ.split(|byte| *byte == 0).any(|word| word == mark.as_bytes());
        if has(&marks[0]) || has(&marks[1]) {
            found.push(LeftOver { pid, of_packages: has(&marks[1]) });
        }
    }
    found
}

/// Ends what an earlier session left running, and waits for what must not be ended.
pub(crate) fn end_left_over(mark: &str, within: Duration, sink: Sink<'_>) -> Result<()> {
    let deadline = Instant::now() + within;
    let mut told = false;
    loop {
        let left: Vec<LeftOver> =
            left_over(mark).into_iter().filter(|one| !one.of_packages || is_package_tool(one.pid)).collect();
        if left.is_empty() {
            return Ok(());
        }
        for one in left.iter().filter(|one| !one.of_packages) {
            if let Some(pid) = rustix::process::Pid::from_raw(one.pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if !std::mem::replace(&mut told, true) {
            sink(Progress::Step(format!("wait for {} processes of an earlier apply", left.len())));
        }
        if Instant::now() >= deadline {
            let pids: Vec<String> = left.iter().map(|one| one.pid.to_string()).collect();
            let why = format!("processes {} are still there", pids.join(", "));
            let what = "wait for the package tools of an earlier apply";
            return Err(Refusal::new(
                HostCode::ActFailed,
                what,
                why,
                "look at them on the host, then apply again",
            ));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A daemon that was started by a package's script carries the mark as well, and is no concern of ours.
fn is_package_tool(pid: i32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    matches!(
        name.trim(),
        "apt-get" | "apt-mark" | "dpkg" | "dpkg-deb" | "dpkg-preconfigu" | "frontend" | "http" | "https"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn tail(words: &[&str], within: Duration) -> (Option<i32>, Vec<String>) {
        let argv = argv(words);
        let ran = run(&Order::new(&argv, within), &mut |_| {}).expect("runs");
        (ran.status.and_then(|status| status.code()), ran.tail.into())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn output_of_both_streams_is_kept_and_the_code_told() {
        let (code, lines) = tail(&["sh", "-c", "echo out; echo err >&2; exit 3"], LONG);
        assert_eq!(code, Some(3));
        assert!(lines.contains(&"out".to_owned()) && lines.contains(&"err".to_owned()), "{lines:?}");
    }

    #[test]
    fn output_is_bounded() {
        let (code, lines) = tail(&["sh", "-c", "seq 1 20000; head -c 100000 /dev/zero | tr '\\0' x"], LONG);
        assert_eq!((code, lines.len()), (Some(0), EVIDENCE_LINES_MAX));
        assert!(lines.iter().all(|line| line.len() <= LINE_BYTES_MAX));
    }

    #[test]
    fn a_group_that_takes_too_long_is_ended() {
        let (code, _) = tail(&["sh", "-c", "sleep 1000 & sleep 1000"], Duration::from_millis(200));
        assert_eq!(code, None);
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_is_not_waited_for() {
        let (code, lines) = tail(&["sh", "-c", "sleep 5 & echo done"], LONG);
        assert_eq!((code, lines), (Some(0), vec!["done".to_owned()]));
    }

    #[test]
    fn the_environment_is_fixed() {
        let argv = argv(&["env"]);
        let ran = capture(&Order { mark: "zimmer", ..Order::new(&argv, LONG) }).expect("runs");
        let text = String::from_utf8(ran.stdout).expect("text");
        let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["HAUS_REMOTE_CHILD", "HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "USER"]);
    }

    #[test]
    fn what_is_left_running_is_found_and_ended() {
        let argv = argv(&["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"]);
        run(&Order { mark: "left-over-test", ..Order::new(&argv, LONG) }, &mut |_| {}).expect("runs");
        haus_testkit::wait_until("the sleeper runs", LONG, || left_over("left-over-test").len() == 1);
        end_left_over("left-over-test", LONG, &mut |_| {}).expect("ends it");
        assert_eq!(left_over("left-over-test"), []);
    }

    #[test]
    fn a_missing_program_is_one_clear_error() {
        let argv = argv(&["no-such-program-here"]);
        let refusal = run(&Order::new(&argv, LONG), &mut |_| {}).expect_err("refused");
        assert_eq!(refusal.to_string(), "run no-such-program-here: there is no such program on the host");
    }
}
