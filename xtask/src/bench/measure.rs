//! Measuring from outside: wall time of a command, processor time and memory of a process out of `/proc`,
//! medians. Knows Linux, not what is measured.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::TaskError;

/// `/proc` counts processor time in these, on every Linux that Rust runs on (USER_HZ, part of the kernel's
/// interface).
const TICKS_PER_SECOND: f64 = 100.0;
const POLL: Duration = Duration::from_millis(1);

/// The middle value; of an even number, the upper of the two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Processor, cores, memory and kernel, so that figures from two machines are not compared by accident.
pub(super) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory_kib: u64 =
        field(&read("/proc/meminfo"), "MemTotal").and_then(|text| first_number(&text)).unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cpu}, {cores} cores, {} GiB, Linux {}", memory_kib / 1024 / 1024, kernel.trim())
}

/// The value behind `name:` in a `/proc` file.
fn field(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    text.lines().find_map(value)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Milliseconds from start to end of the command; its exit code must be one of the good ones.
pub(super) fn wall_ms(bench: &'static str, command: &mut Command, good: &[i32]) -> Result<f64, TaskError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().map_err(|source| TaskError::Run { program: program.clone(), source })?;
    let elapsed = begun.elapsed().as_secs_f64() * 1000.0;
    if status.code().is_some_and(|code| good.contains(&code)) {
        return Ok(elapsed);
    }
    Err(TaskError::Bench { name: bench, problem: format!("{program} ended with {status}") })
}

/// What a command cost, and what it said.
pub(super) struct Ran {
    pub(super) seconds: f64,
    /// Of the command and of everything below it that it has waited for.
    pub(super) cpu_seconds: f64,
    pub(super) succeeded: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs the command to its end. What it says goes to files, so that nobody has to read along.
pub(super) fn ran(folder: &Path, command: &mut Command) -> Result<Ran, TaskError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (stdout, stderr) = (folder.join("stdout"), folder.join("stderr"));
    let create = |path: &Path| {
        std::fs::File::create(path).map_err(|source| TaskError::Write { path: path.to_path_buf(), source })
    };
    command.stdin(Stdio::null()).stdout(create(&stdout)?).stderr(create(&stderr)?);
    let (begun, cpu_before) = (Instant::now(), children_cpu_seconds());
    let status = command.status().map_err(|source| TaskError::Run { program, source })?;
    let seconds = begun.elapsed().as_secs_f64();
    let read = |path: &Path| {
        let bytes = std::fs::read(path);
        let bytes = bytes.map_err(|source| TaskError::Read { path: path.to_path_buf(), source })?;
        Ok::<_, TaskError>(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Ran {
        seconds,
        cpu_seconds: children_cpu_seconds() - cpu_before,
        succeeded: status.success(),
        stdout: read(&stdout)?,
        stderr: read(&stderr)?,
    })
}

/// Processor seconds of all processes below us that have ended and were waited for.
fn children_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    ticks_at(&stat, [13, 14]).map_or(0.0, |ticks| ticks as f64 / TICKS_PER_SECOND)
}

/// How many tasks want a processor, averaged over a minute.
pub(super) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(
    bench: &'static str,
    what: &str,
    at_most: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> Result<T, TaskError> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if begun.elapsed() > at_most {
            let problem = format!("{what} did not happen within {} s", at_most.as_secs());
            return Err(TaskError::Bench { name: bench, problem });
        }
        std::thread::sleep(POLL);
    }
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether this process may drop to another account.
pub(super) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    field(&status, "Uid").and_then(|text| first_number(&text)) == Some(0)
}

/// Processor seconds that the process has used so far, in user and kernel mode.
pub(super) fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat).map_or(0.0, |ticks| ticks as f64 / TICKS_PER_SECOND)
}

fn ticks(stat: &str) -> Option<u64> {
    ticks_at(stat, [11, 12])
}

/// The sum of two fields. The name in parentheses may hold spaces and parentheses; the numbers start behind
/// the last one.
fn ticks_at(stat: &str, fields: [usize; 2]) -> Option<u64> {
    let values: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(values.get(fields[0])?.parse::<u64>().ok()? + values.get(fields[1])?.parse::<u64>().ok()?)
}

/// Resident and proportional memory in KiB.
pub(super) fn memory_kib(pid: u32) -> (u64, u64) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let value = |name| field(&rollup, name).and_then(|text| first_number(&text)).unwrap_or(0);
    (value("Rss"), value("Pss"))
}

/// Pids of the children of this process, all threads together.
fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// The process itself and everything below it, parents before their children.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut at = 0;
    while at < family.len() {
        family.extend(children(family[at]));
        at += 1;
    }
    family
}

/// Those of the family that run this program file.
pub(super) fn family_of_program(pid: u32, program: &Path) -> Vec<u32> {
    let program = program.canonicalize().ok();
    family(pid).into_iter().filter(|pid| program.is_some() && program_of(*pid) == program).collect()
}

/// The first argument, which for `haus` says what the process is.
pub(super) fn first_argument(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0)
        .nth(1)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .unwrap_or_default()
}

/// The program file that the process runs.
fn program_of(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Whether the process was started with this variable in its environment.
pub(super) fn has_variable(pid: u32, variable: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
}

/// Sends a signal by the shell's own `kill`, which is there even without procps.
pub(super) fn signal(pid: u32, name: &str) {
    let _ = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
}

/// A process that ends together with this value.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn start(mut command: Command, output: &Path) -> Result<Self, TaskError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |source| TaskError::Run { program, source };
        let start = || {
            let file = std::fs::File::create(output)?;
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()
        };
        let mut start = start;
        Ok(Self { child: start().map_err(failed)? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says so when the process has already ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        signal(self.child.id(), "TERM");
        let ended = wait_for("all", "the end", Duration::from_secs(30), || self.has_ended().then_some(()));
        if ended.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&[5.0, 1.0, 3.0]), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn processor_time_is_read_behind_the_name() {
        assert_eq!(ticks("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0"), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn a_command_is_known_by_its_time_its_words_and_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // Long enough for a tick of the clock that counts processor time.
        let line = "echo out; echo err >&2; at=0; while [ $at -lt 300000 ]; do at=$((at + 1)); done; exit 3";
        let ran = ran(folder.path(), command.args(["-c", line])).unwrap();
        assert_eq!((ran.stdout.trim(), ran.stderr.trim(), ran.succeeded), ("out", "err", false));
        assert!(ran.seconds > 0.0 && ran.cpu_seconds > 0.0, "{} {}", ran.seconds, ran.cpu_seconds);
    }

    #[test]
    fn this_process_can_be_measured() {
        let own = std::process::id();
        let (rss, pss) = memory_kib(own);
        assert!(rss > 100 && pss > 0 && pss <= rss);
        assert_eq!(family_of_program(own, &std::env::current_exe().unwrap()), [own]);
        assert!(!has_variable(own, "NO_SUCH_VARIABLE=1"));
    }

    #[test]
    fn a_running_process_is_a_child_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("600").env("MARK", "a b");
        let running = Running::start(command, &folder.path().join("out")).unwrap();
        let pid = running.pid();
        wait_for("all", "exec", Duration::from_secs(5), || has_variable(pid, "MARK=a b").then_some(()))
            .unwrap();
        assert_eq!(first_argument(pid), "600");
        assert!(family(std::process::id()).contains(&pid));
        drop(running);
        assert!(!family(std::process::id()).contains(&pid));
    }

    #[test]
    fn only_good_exit_codes_give_a_time() {
        assert!(wall_ms("all", &mut Command::new("true"), &[0]).unwrap() < 5000.0);
        assert!(wall_ms("all", &mut Command::new("false"), &[0]).is_err());
    }
}
