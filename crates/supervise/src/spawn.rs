//! Starts one instance: prepares its ground, forks, sets limits and hands back the open ends.
//! It does not watch the instance afterwards; that is the parent's loop.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::account::{self, Account};
use crate::cgroup::{Cgroups, Group};
use crate::identity::ProcessIdentity;
use crate::logfile::LogWriter;
use crate::wire::{SpawnSpec, Step};

mod deliver;
mod explain;
mod fork;
mod ground;
mod limits;
mod way;

pub(crate) use deliver::Ground;

/// Why an instance could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) error: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(step: Step, error: impl Into<String>) -> Failure {
        Failure { step, error: error.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

/// A process that waits at its gate: it runs the program once a byte is written to `gate`, and ends when
/// `gate` closes.
pub(crate) struct Started {
    pub(crate) process: ProcessIdentity,
    pub(crate) gate: OwnedFd,
    /// Closes without content when the program runs; otherwise says what failed.
    pub(crate) fault: OwnedFd,
    pub(crate) out: OwnedFd,
    pub(crate) err: OwnedFd,
    pub(crate) log: LogWriter,
    pub(crate) group: Option<Group>,
    pub(crate) notes: Vec<String>,
    pub(crate) explain: Explain,
    pub(crate) ground: Ground,
}

/// What is needed to put the child's fault into words; the spec itself, with its secrets, is not kept.
pub(crate) struct Explain {
    program: String,
    path: String,
    folder: PathBuf,
    who: Who,
}

/// The account a program runs as.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) groups: Vec<u32>,
}

impl Explain {
    /// The fault in words; `None` when the child had none.
    pub(crate) fn failure(&self, fault: &[u8]) -> Option<Failure> {
        fork::Fault::parse(fault).map(|fault| explain::in_words(self, fault))
    }
}

/// Starts one instance up to its gate. `mark` is unique for this run within the boot.
pub(crate) fn start(spec: &SpawnSpec, mark: &str, cgroups: &Cgroups) -> Result<Started, Failure> {
    if spec.argv.first().is_none_or(String::is_empty) {
        return Err(Failure::new(Step::Exec, "there is no program to run"));
    }
    let mut notes = Vec::new();
    let account = find_account(spec, &mut notes)?;
    ground::prepare(spec, account.as_ref())?;
    let mut log = LogWriter::new(spec.log.clone());
    if let Err(error) = log.open() {
        notes.push(format!("output is not captured: cannot open {}: {error}", spec.log.path.display()));
    }
    let plan = fork::Plan::new(spec, mark, account.as_ref())?;
    let group = cgroups.create(&format!("{}.{mark}", spec.key), &spec.limits, &mut notes);
    match fork_at_gate(&plan, spec, account.as_ref(), group.as_ref(), &mut notes) {
        Ok((forked, process)) => Ok(Started {
            process,
            gate: forked.gate,
            fault: forked.fault,
            out: forked.out,
            err: forked.err,
            log,
            group,
            notes,
            explain: Explain {
                program: spec.argv[0].clone(),
                path: plan.search_path().to_owned(),
                folder: spec.folder.clone(),
                who: who(account.as_ref()),
            },
            ground: Ground::new(spec, account),
        }),
        Err(failure) => {
            if let Some(group) = group {
                group.remove();
            }
            Err(failure)
        }
    }
}

/// Everything that needs the child's pid but must hold before its program runs.
fn fork_at_gate(
    plan: &fork::Plan,
    spec: &SpawnSpec,
    account: Option<&Account>,
    group: Option<&Group>,
    notes: &mut Vec<String>,
) -> Result<(fork::Forked, ProcessIdentity), Failure> {
    let forked = plan.fork().map_err(|error| {
        Failure::new(Step::Fork, format!("cannot make a process: {error}"))
            .hint("look at the number of processes and open files of this machine")
    })?;
    // From here on an early return closes the gate, and the child ends by itself.
    let process = ProcessIdentity::of(forked.pid)
        .map_err(|error| Failure::new(Step::Fork, format!("the new process cannot be seen: {error}")))?;
    limits::set(forked.pid, &spec.limits, account, group.is_some(), notes)?;
    if let Some(Err(error)) = group.map(|group| group.add(forked.pid)) {
        notes.push(format!("memory, processor and task limits are not enforced: {error}"));
    }
    Ok((forked, process))
}

/// Takes back files that instances were given.
pub(crate) fn remove_files<'path>(files: impl IntoIterator<Item = &'path PathBuf>) {
    files.into_iter().for_each(|file| ground::remove_file(file));
}

fn find_account(spec: &SpawnSpec, notes: &mut Vec<String>) -> Result<Option<Account>, Failure> {
    let Some(name) = &spec.account else { return Ok(None) };
    if !rustix::process::geteuid().is_root() {
        let own = account::own_user_name();
        if own != *name {
            notes.push(format!("runs as {own}, not as {name}: only root can change accounts"));
        }
        return Ok(None);
    }
    account::ensure(name)
        .map(Some)
        .map_err(|error| Failure::new(Step::Account, error_chain(&error)).hint(error.remedy()))
}

fn who(account: Option<&Account>) -> Who {
    match account {
        Some(account) => Who { name: account.name.clone(), uid: account.uid, groups: account.groups.clone() },
        None => Who {
            name: account::own_user_name(),
            uid: rustix::process::geteuid().as_raw(),
            groups: rustix::process::getgroups()
                .unwrap_or_default()
                .into_iter()
                .chain([rustix::process::getegid()])
                .map(rustix::process::Gid::as_raw)
                .collect(),
        },
    }
}

/// An error with its causes on one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
