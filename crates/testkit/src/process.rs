//! Looking at and ending processes by `/proc`. Only ever by a number that a test has from its own children.

use crate::wait::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

/// Sends a signal to one process; one that is gone already is no fault.
///
/// # Panics
/// When `pid` is no number of a process: 0 would mean a whole group.
pub fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process number is above 0");
    let _ = kill_process(pid, signal);
}

/// Whether a process with this number runs; one that has ended and waits for its parent does not.
pub fn is_running(pid: u32) -> bool {
    stat_fields(pid).is_some_and(|fields| !matches!(fields[0].as_str(), "Z" | "X"))
}

/// Waits for the end of a process that need not be our child.
///
/// # Panics
/// When it does not end in time.
#[track_caller]
pub fn wait_for_end(pid: u32, deadline: Duration) {
    wait_until(&format!("the end of process {pid}"), deadline, || !is_running(pid));
}

/// The parent of a process.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    stat_fields(pid)?.get(1)?.parse().ok()
}

// Fields of /proc/PID/stat from the third (state) on; the second may hold spaces and brackets.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// Running processes, other than this one, that have `folder` in their environment, arguments or as their
/// working folder (or above it): number and command line, in the order of the numbers.
pub fn processes_about(folder: &Path) -> Vec<(u32, String)> {
    let wanted = folder.as_os_str().as_bytes();
    let contains = |text: &[u8]| text.windows(wanted.len()).any(|window| window == wanted);
    let mut found = Vec::new();
    for pid in all_processes() {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let works_there =
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|path| path.starts_with(folder));
        let command = read("cmdline");
        if pid != std::process::id()
            && (works_there || contains(&read("environ")) || contains(&command))
            && is_running(pid)
        {
            found.push((pid, String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned()));
        }
    }
    found.sort();
    found
}

/// The numbers of all processes.
pub(crate) fn all_processes() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a variable stands in the environment that a process was started with.
pub(crate) fn has_variable(pid: u32, name: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|entry| entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'=')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_found_by_its_folder_and_runs_until_it_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("60").current_dir(folder.path()).spawn().unwrap();
        let pid = child.id();
        wait_until("sleep to be seen", Duration::from_secs(5), || {
            processes_about(folder.path()).iter().any(|(found, _)| *found == pid)
        });
        assert!(is_running(pid));
        assert_eq!(parent_of(pid), Some(std::process::id()));
        kill(pid, Signal::KILL);
        wait_for_end(pid, Duration::from_secs(5));
        assert!(processes_about(folder.path()).is_empty());
        child.wait().unwrap();
    }
}
