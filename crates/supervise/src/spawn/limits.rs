//! Limits of the kernel's own kind (rlimits), set from outside while the child waits at its gate.
//! Limits of a whole instance are the control group's, in `cgroup.rs`.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::Failure;
use crate::account::Account;
use crate::wire::{Limits, Step};

/// Enough for a small server; far below what would let a leak hurt its neighbours.
const FILES_DEFAULT: u64 = 8_192;

pub(super) fn set(
    pid: u32,
    limits: &Limits,
    account: Option<&Account>,
    has_group: bool,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    for (resource, name, wanted) in wanted(limits, account, has_group) {
        let (value, note) = within_reach(name, wanted, getrlimit(resource).maximum);
        notes.extend(note);
        prlimit(pid, resource, Rlimit { current: Some(value), maximum: Some(value) }).map_err(|error| {
            Failure::new(Step::Limits, format!("cannot set the limit of {name} to {value}: {error}"))
        })?;
    }
    Ok(())
}

fn wanted(limits: &Limits, account: Option<&Account>, has_group: bool) -> Vec<(Resource, &'static str, u64)> {
    let mut wanted = vec![
        (Resource::Core, "core dumps", limits.core),
        (Resource::Nofile, "open files", limits.files.unwrap_or(FILES_DEFAULT)),
    ];
    // The kernel counts processes per account, so this is only the instance's own count when the account is,
    // and a control group counts better.
    if let (Some(tasks), Some(_), false) = (limits.tasks, account, has_group) {
        wanted.push((Resource::Nproc, "processes", tasks));
    }
    wanted
}

/// Only root may go beyond its own hard limit.
fn within_reach(name: &str, wanted: u64, hard: Option<u64>) -> (u64, Option<String>) {
    match hard {
        Some(hard) if wanted > hard && !rustix::process::geteuid().is_root() => {
            (hard, Some(format!("limit of {name} is {hard}, not {wanted}: only root can raise it")))
        }
        Some(_) | None => (wanted, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limits: Limits, own_account: bool, has_group: bool, expected: &[(&str, u64)]) {
        let account = Account { name: "x".into(), uid: 1, gid: 1, groups: vec![], home: "/".into() };
        let found = wanted(&limits, own_account.then_some(&account), has_group);
        assert_eq!(found.iter().map(|(_, name, value)| (*name, *value)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn files_and_core_dumps_are_always_limited_and_processes_only_for_an_own_account() {
        let asked = Limits { tasks: Some(9), files: Some(64), ..Limits::default() };
        check(Limits::default(), true, false, &[("core dumps", 0), ("open files", 8_192)]);
        check(asked, true, false, &[("core dumps", 0), ("open files", 64), ("processes", 9)]);
        check(asked, true, true, &[("core dumps", 0), ("open files", 64)]);
        check(asked, false, false, &[("core dumps", 0), ("open files", 64)]);
    }
}
