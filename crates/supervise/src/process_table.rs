//! One look at all processes, and which of them belong to a run of a service.
//! It only reads `/proc`; what happens to the members is decided elsewhere.

use std::collections::BTreeSet;
use std::fs;

use crate::identity::ProcessStat;

/// Environment variable with the key of the instance.
pub(crate) const INSTANCE_VARIABLE: &str = "HAUS_INSTANCE";
/// Environment variable with the mark of one run, unique within a boot.
pub(crate) const RUN_VARIABLE: &str = "HAUS_RUN_ID";

/// One process of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) pid: u32,
    pub(crate) stat: ProcessStat,
}

/// Pid and start time: enough within one boot.
pub(crate) type PidStart = (u32, u64);

/// What is known about a run when its members are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunTrace<'run> {
    /// The leader, which is also the number of its group and session.
    pub(crate) leader: u32,
    pub(crate) leader_start_ticks: u64,
    /// Value of [`RUN_VARIABLE`].
    pub(crate) mark: &'run str,
    /// Processes in the run's control group.
    pub(crate) in_group: &'run [u32],
}

/// All processes at one moment.
pub(crate) struct ProcessTable {
    rows: Vec<Row>,
}

impl ProcessTable {
    /// Reads the table; processes that end meanwhile are left out.
    pub(crate) fn read() -> ProcessTable {
        let mut rows = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(stat) =
                fs::read(entry.path().join("stat")).ok().and_then(|text| ProcessStat::parse(&text))
            {
                rows.push(Row { pid, stat });
            }
        }
        ProcessTable { rows }
    }

    /// Live members of the run without its leader.
    pub(crate) fn members(&self, run: &RunTrace<'_>) -> BTreeSet<PidStart> {
        self.members_marked_by(run, environment_mark)
    }

    /// Live children of `parent`.
    pub(crate) fn children_of(&self, parent: u32) -> Vec<PidStart> {
        let is_child = |row: &&Row| row.stat.parent_pid == parent && !row.stat.has_ended();
        self.rows.iter().filter(is_child).map(|row| (row.pid, row.stat.start_ticks)).collect()
    }

    fn members_marked_by(
        &self,
        run: &RunTrace<'_>,
        mark_of: impl Fn(u32) -> Option<String>,
    ) -> BTreeSet<PidStart> {
        // A live process with the leader's pid and another start time means that the number went to a
        // stranger, and its group and session with it.
        let number_is_ours = self
            .rows
            .iter()
            .all(|row| row.pid != run.leader || row.stat.start_ticks == run.leader_start_ticks);
        let mut members: BTreeSet<u32> = BTreeSet::new();
        if number_is_ours {
            members.insert(run.leader);
        }
        for row in &self.rows {
            let by_number =
                number_is_ours && (row.stat.group == run.leader || row.stat.session == run.leader);
            let is_later = row.stat.start_ticks >= run.leader_start_ticks;
            if is_later
                && (by_number
                    || run.in_group.contains(&row.pid)
                    || mark_of(row.pid).as_deref() == Some(run.mark))
            {
                members.insert(row.pid);
            }
        }
        self.add_descendants(&mut members);
        members.remove(&run.leader);
        let is_member = |row: &&Row| members.contains(&row.pid) && !row.stat.has_ended();
        self.rows.iter().filter(is_member).map(|row| (row.pid, row.stat.start_ticks)).collect()
    }

    /// Whoever descends from a member is one, even when it cleared its environment and left the session.
    fn add_descendants(&self, members: &mut BTreeSet<u32>) {
        loop {
            let known = members.len();
            for row in &self.rows {
                if members.contains(&row.stat.parent_pid) {
                    members.insert(row.pid);
                }
            }
            if members.len() == known {
                return;
            }
        }
    }
}

/// The run a process says it belongs to, `None` when it says nothing or may not be asked.
pub(crate) fn environment_mark(pid: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = format!("{RUN_VARIABLE}=");
    environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(prefix.as_bytes()))
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

/// Whether exactly this process is alive in the present boot.
pub(crate) fn is_alive((pid, start_ticks): PidStart) -> bool {
    fs::read(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|text| ProcessStat::parse(&text))
        .is_some_and(|stat| stat.start_ticks == start_ticks && !stat.has_ended())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually::eventually;

    /// Rows are `(pid, state, parent, group, session, start)`; `marked` carry the run's mark.
    fn check(rows: &[(u32, u8, u32, u32, u32, u64)], marked: &[u32], in_group: &[u32], expected: &[u32]) {
        let rows = rows
            .iter()
            .map(|&(pid, state, parent_pid, group, session, start_ticks)| Row {
                pid,
                stat: ProcessStat { state, parent_pid, group, session, start_ticks },
            })
            .collect();
        let run = RunTrace { leader: 100, leader_start_ticks: 50, mark: "m", in_group };
        let found = ProcessTable { rows }
            .members_marked_by(&run, |pid| marked.contains(&pid).then(|| "m".to_owned()));
        assert_eq!(found.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn group_session_mark_control_group_and_descent_make_a_member() {
        check(
            &[
                (100, b'S', 1, 100, 100, 50),
                (101, b'S', 100, 100, 100, 51),
                (102, b'S', 1, 102, 100, 51),
                (103, b'S', 1, 103, 103, 52),
                (104, b'S', 1, 104, 104, 52),
                (105, b'S', 104, 105, 105, 53),
                (106, b'S', 1, 106, 106, 53),
            ],
            &[103],
            &[104],
            &[101, 102, 103, 104, 105],
        );
    }

    #[test]
    fn the_dead_and_the_older_are_not_members() {
        check(&[(101, b'Z', 1, 100, 100, 51), (102, b'S', 1, 102, 102, 49)], &[102], &[102], &[]);
    }

    #[test]
    fn a_stranger_who_got_the_leaders_number_keeps_its_group() {
        check(&[(100, b'S', 1, 100, 100, 900), (110, b'S', 100, 100, 100, 901)], &[], &[], &[]);
        check(&[(100, b'S', 1, 100, 100, 900), (103, b'S', 1, 103, 103, 52)], &[103], &[], &[103]);
    }

    #[test]
    fn a_child_is_found_with_its_mark() {
        let mut sleeper = std::process::Command::new("sleep")
            .arg("60")
            .env(RUN_VARIABLE, "mark-of-this-test")
            .spawn()
            .expect("sleep starts");
        let pid = sleeper.id();
        // The kernel lets the starter go on a moment before the new environment can be read.
        eventually("the mark shows", || environment_mark(pid).as_deref() == Some("mark-of-this-test"));
        assert!(ProcessTable::read().children_of(std::process::id()).iter().any(|(child, _)| *child == pid));
        sleeper.kill().expect("kills");
        sleeper.wait().expect("waits");
    }
}
