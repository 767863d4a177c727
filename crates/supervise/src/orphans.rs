//! Stops what an earlier parent left running. Orphans are stopped, not adopted: their exit status and
//! their log pipes are lost, so a service adopted would be one nobody can watch.
//! A process is only touched when pid, start time, boot and mark agree.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::cgroup::Group;
use crate::identity;
use crate::process_table::{PidStart, ProcessTable, RunTrace, environment_mark, is_alive};
use crate::roster::Record;
use crate::{spawn, sys};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After SIGKILL only the kernel can hold a process back, and waiting longer would not help.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// What one record turned out to mean.
struct Orphan<'record> {
    record: &'record Record,
    remaining: BTreeSet<PidStart>,
    met: usize,
}

/// Stops all orphans, in parallel, and returns one line for each of what was done. `say` hears once
/// that there is something to wait for.
pub(crate) fn settle(records: &[Record], say: impl Fn(&str)) -> Vec<String> {
    let Ok(boot_id) = identity::boot_id() else { return Vec::new() };
    let mut orphans: Vec<Orphan<'_>> = records
        .iter()
        .filter(|record| record.process.boot_id == boot_id)
        .map(|record| Orphan { record, remaining: BTreeSet::new(), met: 0 })
        .collect();
    let begun = Instant::now();
    let mut announced = false;
    loop {
        let table = ProcessTable::read();
        let mut longest = Duration::ZERO;
        let mut left = 0;
        for orphan in &mut orphans {
            let patience = Duration::from_millis(orphan.record.stop.within_ms);
            let signal = if begun.elapsed() < patience { orphan.record.stop.signal } else { libc::SIGKILL };
            orphan.meet(&table, signal);
            left += orphan.remaining.len();
            longest = longest.max(patience);
        }
        if left == 0 || begun.elapsed() > longest + GIVE_UP_AFTER {
            break;
        }
        if !announced {
            let plural = if left == 1 { "" } else { "es" };
            say(&format!("stopping {left} process{plural} left by a parent that died, within {longest:?}"));
            announced = true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    records.iter().filter_map(|record| record.cgroup.as_ref()).for_each(Group::remove);
    let gone = orphans.iter().filter(|orphan| orphan.remaining.is_empty());
    spawn::remove_files(gone.flat_map(|orphan| &orphan.record.files));
    orphans.iter().filter(|orphan| orphan.met > 0).map(Orphan::line).collect()
}

impl Orphan<'_> {
    /// Finds who is left and signals those not met before; SIGKILL goes to everybody.
    fn meet(&mut self, table: &ProcessTable, signal: i32) {
        let Record { process, mark, cgroup, .. } = self.record;
        let in_group = cgroup.as_ref().map(Group::pids).unwrap_or_default();
        let trace = RunTrace {
            leader: process.pid,
            leader_start_ticks: process.start_ticks,
            mark,
            in_group: &in_group,
        };
        let mut found = BTreeSet::new();
        if leader_is_ours(self.record, &in_group) {
            found = table.members(&trace);
            found.insert((process.pid, process.start_ticks));
        } else if !is_alive((process.pid, process.start_ticks)) {
            found = table.members(&trace);
        }
        found.extend(self.remaining.iter().copied());
        found.retain(|member| is_alive(*member));
        for member in &found {
            if signal == libc::SIGKILL || !self.remaining.contains(member) {
                sys::signal_if(member.0, signal, || is_alive(*member));
                // One that was stopped (SIGSTOP) hears nothing else before it goes on.
                sys::signal_if(member.0, libc::SIGCONT, || is_alive(*member));
            }
            self.met += usize::from(!self.remaining.contains(member));
        }
        self.remaining = found;
    }

    fn line(&self) -> String {
        let Record { key, run, process, .. } = self.record;
        let (pid, met, left) = (process.pid, self.met, self.remaining.len());
        match left {
            0 => format!(
                "{key} (run {run}, process {pid}) was left by a parent that died; {met} processes stopped"
            ),
            _ => format!(
                "{key} (run {run}, process {pid}) was left by a parent that died; {left} processes cannot be ended"
            ),
        }
    }
}

/// Pid and start time agree; in addition it carries our mark, sits in our group, or leads the session we made
/// for it (some servers overwrite their environment with a title).
fn leader_is_ours(record: &Record, in_group: &[u32]) -> bool {
    let pid = record.process.pid;
    if !record.process.is_alive() {
        return false;
    }
    match environment_mark(pid) {
        Some(mark) => mark == record.mark,
        None => in_group.contains(&pid) || sys::leads_session(pid),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::*;
    use crate::eventually::eventually;
    use crate::identity::ProcessIdentity;
    use crate::process_table::RUN_VARIABLE;
    use crate::wire::StopSpec;

    /// No two tests may share a mark: they run side by side.
    fn mark_of(test: &str) -> String {
        format!("{test}-{}", std::process::id())
    }

    fn sleeper(mark: Option<&str>, recorded_mark: String) -> (Child, Record) {
        let mut command = Command::new("sleep");
        command.arg("60").process_group(0);
        if let Some(mark) = mark {
            command.env(RUN_VARIABLE, mark);
        }
        let child = command.spawn().expect("sleep starts");
        let environment = format!("/proc/{}/environ", child.id());
        eventually("exec is complete", || std::fs::read(&environment).is_ok_and(|text| !text.is_empty()));
        let record = Record {
            key: String::from("api/1"),
            run: 7,
            process: ProcessIdentity::of(child.id()).expect("runs"),
            mark: recorded_mark,
            cgroup: None,
            stop: StopSpec { signal: libc::SIGTERM, within_ms: 5_000 },
            files: Vec::new(),
        };
        (child, record)
    }

    /// Whether the process of a record, changed by `forge`, is stopped.
    fn check(mark: Option<&str>, forge: impl Fn(&mut Record), expected_stopped: bool) {
        let recorded_mark = mark_of(if expected_stopped { "agreed" } else { "foreign" });
        let (mut child, mut record) = sleeper(mark, recorded_mark);
        forge(&mut record);
        let lines = settle(&[record], |_| {});
        assert_eq!(lines.len(), usize::from(expected_stopped), "{lines:?}");
        assert_eq!(child.try_wait().expect("waits").is_some(), expected_stopped);
        child.kill().expect("kills");
        child.wait().expect("waits");
    }

    #[test]
    fn an_orphan_is_stopped_when_everything_agrees() {
        check(Some(&mark_of("agreed")), |_| {}, true);
    }

    #[test]
    fn a_foreign_process_is_never_touched_whatever_the_record_says() {
        check(None, |_| {}, false);
        check(Some("another"), |_| {}, false);
        check(None, |record| record.process.start_ticks -= 1, false);
        check(Some("another"), |record| record.process.start_ticks += 1, false);
        check(None, |record| record.process.boot_id = String::from("an earlier boot"), false);
    }
}
