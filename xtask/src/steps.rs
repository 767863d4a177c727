//! The steps of `./x check`, `./x test` and `./x soak`: one after the other, each with its time, all of them
//! even when one fails, so that one run shows everything. Knows which commands to run; what they check is
//! theirs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use haus_lab::{Force, Lab, LabPlan, Places};

use crate::error::{TaskError, chain};
use crate::fuzz_api::{self, Budget, Outcome};
use crate::summary::{Counts, Runner};
use crate::tree::Tree;
use crate::{RULES, fault, remote, tidy};

/// What the largest test wants.
const LAB_HOSTS: usize = 3;

/// Debian's packages for the rooms belong to Debian's Python; another one in PATH would not find them.
const PYTHON: &str = "/usr/bin/python3";

/// The part without tests.
pub(crate) fn check(root: &Path) -> Result<bool, TaskError> {
    let mut gate = Gate::new(root);
    static_steps(&mut gate)?;
    Ok(gate.close(false))
}

/// Everything that must hold.
pub(crate) fn test(root: &Path) -> Result<bool, TaskError> {
    let mut gate = Gate::new(root);
    static_steps(&mut gate)?;
    let mut docs = gate.cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    gate.run("documents", docs, None)?;
    gate.remote()?;
    let lab = gate.lab_up();
    gate.rust_tests(if gate.in_ci { "ci" } else { "default" })?;
    gate.lab_down(lab);
    gate.room_tests()?;
    gate.fuzz_api(Budget::Short)?;
    Ok(gate.close(true))
}

/// The long rounds of requests that nobody would think of.
pub(crate) fn fuzz_api(root: &Path, budget: Budget) -> Result<bool, TaskError> {
    let mut gate = Gate::new(root);
    gate.fuzz_api(budget)?;
    Ok(gate.close(false))
}

/// Formats the sources: rustfmt, then comments that are too wide, which rustfmt leaves alone.
pub(crate) fn format(root: &Path) -> Result<bool, TaskError> {
    let mut gate = Gate::new(root);
    let format = gate.cargo(&["fmt", "--all"]);
    gate.run("format", format, None)?;
    tidy::wrap_comments(&Tree::read(root)?)?;
    Ok(gate.close(false))
}

/// The tests with longer rounds: `HAUS_SOAK` is set by `./x soak` and read by the tests that have rounds.
pub(crate) fn soak(root: &Path) -> Result<bool, TaskError> {
    let mut gate = Gate::new(root);
    gate.remote()?;
    let lab = gate.lab_up();
    gate.rust_tests("soak")?;
    gate.lab_down(lab);
    Ok(gate.close(true))
}

/// Cheap steps first, so that a slip shows within seconds; one compiler run for all crates and their tests.
fn static_steps(gate: &mut Gate) -> Result<(), TaskError> {
    let format = gate.cargo(&["fmt", "--all", "--check"]);
    gate.run("format", format, None)?;
    let tree = Tree::read(&gate.root)?;
    for rule in &RULES {
        gate.begin(rule.name);
        let faults = (rule.check)(&tree)?;
        fault::print(rule.name, &faults);
        gate.end(rule.name, faults.is_empty());
    }
    let mut clippy = gate.cargo_locked(&["clippy", "--workspace", "--all-targets"]);
    clippy.args(["--", "-D", "warnings"]);
    gate.run("clippy", clippy, None)?;
    if answers("cargo", &["deny", "--version"]) {
        let deny = gate.cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]);
        gate.run("deny", deny, None)?;
        // Advisories need a database from the network; `./x` works without one.
        if answers("cargo", &["deny", "fetch", "db"]) {
            let advisories = gate.cargo(&["deny", "check", "advisories"]);
            gate.run("advisories", advisories, None)?;
        } else {
            gate.say("SKIPPED advisories: their database cannot be reached");
        }
    } else {
        gate.say("SKIPPED deny: cargo-deny is not installed, so licences and sources were not checked");
    }
    Ok(())
}

/// Who takes the lab down: whoever brought it up.
enum LabOwner {
    Somebody,
    Tests(Lab),
}

/// Runs steps and remembers what failed.
struct Gate {
    root: PathBuf,
    begun: Instant,
    step_begun: Instant,
    in_ci: bool,
    failed: Vec<String>,
    counts: Counts,
}

impl Gate {
    fn new(root: &Path) -> Self {
        let now = Instant::now();
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        let (failed, counts) = (Vec::new(), Counts::default());
        Self { root: root.to_path_buf(), begun: now, step_begun: now, in_ci, failed, counts }
    }

    fn say(&self, text: &str) {
        let seconds = self.begun.elapsed().as_secs();
        eprintln!("[{:3}:{:02}] {text}", seconds / 60, seconds % 60);
    }

    fn begin(&mut self, name: &str) {
        self.step_begun = Instant::now();
        self.say(name);
    }

    fn end(&mut self, name: &str, good: bool) {
        let outcome = if good { "done" } else { "FAILED" };
        self.say(&format!("{name}: {outcome} in {:.1} s", self.step_begun.elapsed().as_secs_f64()));
        if !good {
            self.failed.push(name.to_owned());
        }
    }

    /// The last words: what failed, then the counts in a line of their own.
    fn close(&self, with_counts: bool) -> bool {
        if self.failed.is_empty() {
            self.say("everything holds");
        } else {
            self.say(&format!("FAILED: {}", self.failed.join(", ")));
        }
        if with_counts {
            println!("{}", self.counts);
        }
        self.failed.is_empty()
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// A build server must not repair a stale lock file in silence.
    fn cargo_locked(&self, arguments: &[&str]) -> Command {
        let mut command = self.cargo(arguments);
        if self.in_ci {
            command.arg("--locked");
        }
        command
    }

    /// Runs a step; says whether it was good.
    fn run(&mut self, name: &str, mut command: Command, runner: Option<Runner>) -> Result<bool, TaskError> {
        self.begin(name);
        let status = match runner {
            None => {
                let program = command.get_program().to_string_lossy().into_owned();
                command.status().map_err(|source| TaskError::Run { program, source })?
            }
            Some(runner) => {
                let (status, counts) = run_counted(&mut command, runner)?;
                self.counts.add(counts);
                status
            }
        };
        self.end(name, status.success());
        Ok(status.success())
    }

    /// The program for hosts: tests bring it to hosts of the lab.
    fn remote(&mut self) -> Result<(), TaskError> {
        self.begin("haus-remote");
        let good = remote::build(&self.root)?;
        self.end("haus-remote", good);
        Ok(())
    }

    /// nextest gives every test its own process and time limit; plain cargo must do as well.
    fn rust_tests(&mut self, profile: &str) -> Result<(), TaskError> {
        if answers("cargo", &["nextest", "--version"]) {
            let mut tests =
                self.cargo_locked(&["nextest", "run", "--workspace", "--no-fail-fast", "--profile", profile]);
            let (name, folder) = remote::variable(&self.root);
            tests.env(name, folder);
            self.run("tests", tests, Some(Runner::Nextest))?;
        } else {
            self.say("cargo-nextest is not installed: using cargo test");
            let mut tests = self.cargo_locked(&["test", "--workspace", "--all-targets", "--no-fail-fast"]);
            let (name, folder) = remote::variable(&self.root);
            tests.env(name, folder);
            self.run("tests", tests, Some(Runner::CargoTest))?;
        }
        let tree = Tree::read(&self.root)?;
        if tree.texts().any(|(path, text)| path.ends_with(".rs") && tidy::has_doctest(text)) {
            let examples = self.cargo_locked(&["test", "--workspace", "--doc", "--no-fail-fast"]);
            self.run("examples in comments", examples, Some(Runner::CargoTest))?;
        }
        Ok(())
    }

    /// Hosts for the tests that work on some, before their time begins to run: the image takes a minute. A
    /// lab that was up before stays up.
    fn lab_up(&mut self) -> LabOwner {
        let lab = Lab::new(Places::of_this_account());
        if let Err(missing) = lab.check_fitness() {
            self.say(&format!("SKIPPED lab: {}. NOT CHECKED: everything on real hosts", chain(&missing)));
            if self.in_ci {
                self.failed.push("lab".to_owned());
            }
            return LabOwner::Somebody;
        }
        self.begin("lab up");
        let was_up = lab.hosts().is_ok_and(|hosts| !hosts.is_empty());
        let begun = self.begun;
        let say = |line: &str| {
            let seconds = begun.elapsed().as_secs();
            eprintln!("[{:3}:{:02}] lab: {line}", seconds / 60, seconds % 60);
        };
        let outcome = lab.up(LabPlan::of(LAB_HOSTS), &say);
        if let Err(error) = &outcome {
            eprintln!("lab: {}", chain(error));
        }
        self.end("lab up", outcome.is_ok());
        if was_up { LabOwner::Somebody } else { LabOwner::Tests(lab) }
    }

    fn lab_down(&mut self, owner: LabOwner) {
        match owner {
            LabOwner::Somebody => {}
            LabOwner::Tests(lab) => {
                self.begin("lab down");
                let outcome = lab.down(Force::No);
                if let Err(error) = &outcome {
                    eprintln!("lab: {}", chain(error));
                }
                self.end("lab down", outcome.is_ok());
            }
        }
    }

    /// The tests that a house brings for its own rooms.
    fn room_tests(&mut self) -> Result<(), TaskError> {
        let tree = Tree::read(&self.root)?;
        let (python, node) = room_tests(&tree);
        for folder in python {
            let mut command = Command::new(PYTHON);
            command.args(["-m", "unittest", "discover", "-s", &folder]).current_dir(&self.root);
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            self.run_room(&format!("Python tests in {folder}"), command, Runner::Unittest)?;
        }
        if !node.is_empty() {
            let mut command = Command::new("node");
            command.args(["--test", "--test-reporter=tap"]).args(node).current_dir(&self.root);
            self.run_room("Node tests of the houses", command, Runner::Node)?;
        }
        Ok(())
    }

    /// The API of a running house against its own document. Without PyPI it cannot run, on a build server as
    /// little as elsewhere: that is no fault of this tree, but it is said where the result is read.
    fn fuzz_api(&mut self, budget: Budget) -> Result<(), TaskError> {
        let build = self.cargo_locked(&["build", "-q", "-p", "haus"]);
        if !self.run("build haus", build, None)? {
            return Ok(());
        }
        self.begin("fuzz-api");
        let outcome = fuzz_api::haus_beside_us()
            .and_then(|(haus, target)| fuzz_api::run(&self.root, &haus, &target, budget));
        let held = match outcome {
            Ok(Outcome::Held) => true,
            Ok(Outcome::Broken) => false,
            Ok(Outcome::Skipped(why)) => {
                self.say(&format!(
                    "SKIPPED fuzz-api: {why}. NOT CHECKED: that the API answers as docs/api.md says"
                ));
                true
            }
            // The other steps have run; their counts are still to be told.
            Err(error) => {
                eprintln!("fuzz-api: {}", chain(&error));
                false
            }
        };
        self.end("fuzz-api", held);
        Ok(())
    }

    /// A missing interpreter fails on a build server, elsewhere it is said and passed over.
    fn run_room(&mut self, name: &str, command: Command, runner: Runner) -> Result<(), TaskError> {
        let program = command.get_program().to_owned();
        if answers(&program, &["--version"]) || self.in_ci {
            return self.run(name, command, Some(runner)).map(drop);
        }
        self.say(&format!("SKIPPED {name}: there is no {}", program.to_string_lossy()));
        Ok(())
    }
}

/// Folders with Python tests and files with Node tests, `houses/*/tests/`.
fn room_tests(tree: &Tree) -> (Vec<String>, Vec<String>) {
    let (mut python, mut node) = (Vec::new(), Vec::new());
    for (path, _) in tree.texts() {
        let ["houses", house, "tests", file] = path.split('/').collect::<Vec<_>>()[..] else { continue };
        let folder = format!("houses/{house}/tests");
        if file.starts_with("test") && file.ends_with(".py") && !python.contains(&folder) {
            python.push(folder);
        } else if [".test.js", ".test.mjs", ".test.cjs"].iter().any(|ending| file.ends_with(ending)) {
            node.push(path.to_owned());
        }
    }
    (python, node)
}

/// Runs the command, passes its output on line by line, and counts.
fn run_counted(command: &mut Command, runner: Runner) -> Result<(ExitStatus, Counts), TaskError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| TaskError::Run { program: program.clone(), source };
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // The command keeps its ends of the pipe, and the reader below would wait for them for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut counts = Counts::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(failed)?;
        let text = String::from_utf8_lossy(&line);
        counts.read(runner, &text);
        // A closed terminal is no reason to leave the runner alone.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    Ok((child.wait().map_err(failed)?, counts))
}

/// Whether the program is there and willing.
fn answers(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_the_houses_are_found() {
        let files = ["houses/a/tests/test_x.py", "houses/a/tests/test_y.py", "houses/b/tests/z.test.mjs"];
        let others =
            ["houses/a/tests/helper.py", "houses/a/rooms/tests/test_x.py", "crates/a/tests/test_x.py"];
        let listed: Vec<(&str, &str)> = files.into_iter().chain(others).map(|path| (path, "")).collect();
        let (python, node) = room_tests(&Tree::of(&listed));
        assert_eq!(python, ["houses/a/tests"]);
        assert_eq!(node, ["houses/b/tests/z.test.mjs"]);
    }

    #[test]
    fn output_is_counted_on_both_streams_and_the_status_is_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo '# pass 2'; echo '# fail 1' >&2; exit 3"]);
        let (status, counts) = run_counted(&mut command, Runner::Node).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(counts, Counts { passed: 2, failed: 1, skipped: 0 });
    }

    #[test]
    fn a_failed_step_fails_the_gate() {
        let mut gate = Gate::new(Path::new("."));
        gate.run("good", Command::new("true"), None).unwrap();
        assert!(gate.close(true));
        gate.run("bad", Command::new("false"), None).unwrap();
        assert!(!gate.close(true));
    }
}
