//! A whole house under test: a plan in a temporary folder, `haus up` with a state folder of its own.
//!
//! What it started ends with it, and a test fails when anything of its house is left running.

use crate::process::{all_processes, has_variable, is_running, kill, parent_of, processes_about};
use crate::wait::{holds_within, wait_until};
use rustix::process::Signal;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// How long an orderly end may take before what is left is killed.
const END_DEADLINE: Duration = Duration::from_secs(30);
/// How long the streams of an ended `haus up` are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The variable by which the core is told from its siblings.
const CORE_VARIABLE: &str = "HAUS_CORE_FD";

/// What a command of `haus` gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliOutput {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A house of one test.
#[derive(Debug)]
pub struct TestHouse {
    haus: PathBuf,
    root: TempDir,
    up: Option<Child>,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl TestHouse {
    /// A house with this plan. `haus` is the program to test: `env!("CARGO_BIN_EXE_haus")`.
    pub fn new(haus: &str, plan: &str) -> TestHouse {
        let root = tempfile::tempdir().expect("the folder for temporary files is writable");
        // Services run under accounts of their own and must get in.
        open_to_all(root.path());
        let house = TestHouse {
            haus: PathBuf::from(haus),
            root,
            up: None,
            lines: Arc::default(),
            readers: Vec::new(),
        };
        house.write("house.yaml", plan);
        house
    }

    /// The folder with the plan.
    pub fn folder(&self) -> PathBuf {
        self.root.path().join("plan")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// Writes a file below the plan's folder; a name ending in `.sh` becomes a program.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder().join(name);
        let folder = path.parent().expect("a file below a folder has one");
        std::fs::create_dir_all(folder).expect("the test's own folder is writable");
        open_to_all(folder);
        // In one step, as editors do: a house that reads its plan at this moment sees the old or the new
        // text.
        let beside = path.with_extension("being-written");
        std::fs::write(&beside, text).expect("the test's own folder is writable");
        let mode = if name.ends_with(".sh") { 0o755 } else { 0o644 };
        std::fs::set_permissions(&beside, PermissionsExt::from_mode(mode)).expect("the file is our own");
        std::fs::rename(&beside, &path).expect("the test's own folder is writable");
    }

    /// Starts `haus up` on it with further arguments; its lines are collected from then on.
    pub fn up(&mut self, arguments: &[&str]) {
        assert!(self.up.is_none(), "the house is up already");
        let mut child = self
            .command()
            .arg("up")
            .arg(self.folder())
            .arg("--state")
            .arg(self.state())
            .args(arguments)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.haus.display()));
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        self.readers.extend(streams.map(|stream| collect(stream, Arc::clone(&self.lines))));
        self.up = Some(child);
    }

    /// Runs `haus ARGUMENTS` in the plan's folder and waits for its end.
    pub fn run(&self, arguments: &[&str]) -> CliOutput {
        let output = self.command().args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{} does not start: {error}", self.haus.display()));
        CliOutput {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same for a command that speaks with the running house: `--state` is added.
    pub fn ask(&self, arguments: &[&str]) -> CliOutput {
        let state = self.state();
        let state = state.to_str().expect("a temporary folder has a plain name");
        self.run(&[arguments, &["--state", state]].concat())
    }

    // Neither the tester's own houses nor their settings may have a say.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.haus);
        command
            .current_dir(self.folder())
            .env("HOME", self.root.path())
            .env("XDG_STATE_HOME", self.root.path().join("xdg-state"))
            .env("XDG_RUNTIME_DIR", self.root.path().join("xdg-run"))
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Every line that `haus up` has written so far, of both streams.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the lines so far, before a second `up`.
    pub fn forget_lines(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits for a line that contains `part` and returns it.
    ///
    /// # Panics
    /// When none comes in time, with everything that came.
    #[track_caller]
    pub fn wait_for_line(&self, part: &str, deadline: Duration) -> String {
        let mut line = None;
        let _ = holds_within(deadline, || {
            // The readers end with the streams; asked before the lines, so that the last ones are seen.
            let ended = self.readers.iter().all(JoinHandle::is_finished);
            line = self.lines().into_iter().find(|line| line.contains(part));
            ended || line.is_some()
        });
        line.unwrap_or_else(|| {
            panic!("no line with {part:?} within {deadline:?}, only:\n{}", self.lines().join("\n"))
        })
    }

    /// The process that `up` started.
    ///
    /// # Panics
    /// When the house was not started.
    pub fn up_pid(&self) -> u32 {
        self.up.as_ref().expect("the house was started").id()
    }

    /// The core, when one runs at this moment.
    pub fn core_pid(&self) -> Option<u32> {
        let of_house = processes_about(self.root.path());
        of_house.into_iter().map(|(pid, _)| pid).find(|pid| has_variable(*pid, CORE_VARIABLE))
    }

    /// The supervisor parent: whose child the core is.
    pub fn parent_pid(&self) -> Option<u32> {
        parent_of(self.core_pid()?)
    }

    /// The running processes whose parent is the supervisor, without the core: what the services are.
    pub fn service_pids(&self) -> Vec<u32> {
        let (parent, core) = (self.parent_pid(), self.core_pid());
        let is_service = |pid: &u32| parent.is_some() && parent_of(*pid) == parent && Some(*pid) != core;
        all_processes().into_iter().filter(is_service).filter(|pid| is_running(*pid)).collect()
    }

    /// Ctrl-C or another signal for what `up` started.
    pub fn signal(&self, signal: Signal) {
        kill(self.up_pid(), signal);
    }

    /// Waits until `haus up` has ended and returns its exit code; none when a signal ended it.
    ///
    /// # Panics
    /// When it does not end in time, with everything that it wrote.
    #[track_caller]
    pub fn wait_for_exit(&mut self, deadline: Duration) -> Option<i32> {
        let mut child = self.up.take().expect("the house was started");
        let mut status = None;
        let ended = holds_within(deadline, || {
            status = child.try_wait().expect("it is our child");
            status.is_some()
        });
        if !ended {
            self.up = Some(child);
            panic!("haus up did not end within {deadline:?}:\n{}", self.lines().join("\n"));
        }
        // Its last words are still on their way; a process that it left may hold the streams open for ever.
        let _ = holds_within(LAST_WORDS, || self.readers.iter().all(JoinHandle::is_finished));
        status.and_then(|status| status.code())
    }

    /// Running processes of this house: number and command line.
    pub fn processes(&self) -> Vec<(u32, String)> {
        processes_about(self.root.path())
    }

    fn kill_everything(&mut self) {
        // The supervisor first: it would start again what is killed.
        if let Some(mut child) = self.up.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        wait_until("the end of what the house left", END_DEADLINE, || {
            let left = self.processes();
            for (pid, _) in &left {
                kill(*pid, Signal::KILL);
            }
            left.is_empty()
        });
    }
}

impl Drop for TestHouse {
    fn drop(&mut self) {
        let mut complaint = None;
        if let Some(child) = &mut self.up {
            kill(child.id(), Signal::TERM);
            let ended = holds_within(END_DEADLINE, || !matches!(child.try_wait(), Ok(None)));
            if !ended {
                complaint = Some("haus up did not end after SIGTERM".to_owned());
            }
        }
        let left = self.processes();
        if complaint.is_none() && !left.is_empty() {
            complaint = Some(format!("left running after the end of haus up: {left:?}"));
        }
        self.kill_everything();
        let Some(complaint) = complaint else { return };
        let report = format!("{complaint}\n{}", self.lines().join("\n"));
        // A second panic would abort the process and hide the first.
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr().lock(), "{report}");
        } else {
            panic!("{report}");
        }
    }
}

fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("the folder is our own");
}

fn collect(stream: Box<dyn Read + Send>, lines: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            // A stream that breaks has ended.
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Stands in for `haus`: what is tested here is the harness, not the product.
    fn stand_in(script: &str) -> (TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("haus");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let name = path.to_str().unwrap().to_owned();
        (folder, name)
    }

    #[test]
    fn lines_exit_codes_and_commands_come_back() {
        let (_folder, haus) = stand_in(
            "case $1 in up) echo \"up $2\"; trap 'echo drained; exit 3' TERM; echo ready >&2
             while :; do sleep 0.05; done;; *) echo \"asked $*\"; exit 1;; esac",
        );
        let mut house = TestHouse::new(&haus, "haus: 1\n");
        house.up(&[]);
        house.wait_for_line("ready", Duration::from_secs(10));
        let expected = format!("asked status --state {}\n", house.state().display());
        assert_eq!(
            house.ask(&["status"]),
            CliOutput { code: Some(1), stdout: expected, stderr: String::new() }
        );
        house.signal(Signal::TERM);
        assert_eq!(house.wait_for_exit(Duration::from_secs(10)), Some(3));
        house.wait_for_line("drained", Duration::from_secs(10));
    }

    #[test]
    #[should_panic(expected = "left running after the end of haus up")]
    fn a_process_that_is_left_fails_the_test() {
        let (_folder, haus) = stand_in("sleep 60 & echo started");
        let mut house = TestHouse::new(&haus, "haus: 1\n");
        house.up(&[]);
        house.wait_for_line("started", Duration::from_secs(10));
        house.wait_for_exit(Duration::from_secs(10));
    }
}
