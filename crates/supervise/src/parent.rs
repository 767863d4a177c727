//! The parent process from its start to its exit code: takes the house, settles orphans, then runs one loop.
//! It knows no plan and decides nothing about services except that none may be left behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cgroup::Cgroups;
use crate::identity::{IdentityError, ProcessIdentity};
use crate::lock::{Lock, LockError};
use crate::notify::{NOTIFY_VARIABLE, Notifier};
use crate::roster::{self, RosterError};
use crate::spawn::error_chain;
use crate::{orphans, sys};

mod child;
mod core;
mod course;
mod house;
mod stop;

use house::House;

/// What the parent needs to know; everything else is the core's business.
#[derive(Debug, Clone)]
pub struct ParentOptions {
    /// Name of the house, for control groups and messages.
    pub house: String,
    /// Folder of the house, told to whoever finds it held.
    pub folder: PathBuf,
    /// State folder; made when absent. Holds the lock and the list of children.
    pub state: PathBuf,
    /// Folder for what lives as long as the house runs; made when absent.
    pub run_folder: PathBuf,
    /// Program and arguments of the core.
    pub core_argv: Vec<String>,
    /// Added to the parent's own environment for the core.
    pub core_env: BTreeMap<String, String>,
    /// How long the core may take to drain before the parent stops everything itself, until the core says
    /// otherwise.
    pub drain_within_ms: u64,
    /// SIGHUP drains (a terminal was closed) instead of asking for a reload (a service manager).
    pub hangup_drains: bool,
}

impl ParentOptions {
    /// Options with a drain of one minute, and SIGHUP understood by whether there is a terminal.
    pub fn new(
        house: &str,
        folder: &Path,
        state: &Path,
        run_folder: &Path,
        core_argv: Vec<String>,
    ) -> ParentOptions {
        ParentOptions {
            house: house.to_owned(),
            folder: folder.to_owned(),
            state: state.to_owned(),
            run_folder: run_folder.to_owned(),
            core_argv,
            core_env: BTreeMap::new(),
            drain_within_ms: 60_000,
            hangup_drains: io::stdin().is_terminal(),
        }
    }
}

/// Why the parent could not do its work. Nothing of the house runs any more when it is returned.
#[derive(Debug, thiserror::Error)]
pub enum ParentError {
    /// The house is held, or its lock cannot be used.
    #[error("cannot take the house")]
    Lock {
        /// Why.
        #[source]
        source: LockError,
    },
    /// A folder could not be made.
    #[error("cannot make folder {path}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused what the parent needs.
    #[error("cannot {what}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Our own identity could not be read.
    #[error("cannot tell who we are")]
    Identity {
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// The core could not be started.
    #[error("cannot start the core {program}")]
    Core {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The core ended again and again before it gave any order.
    #[error("the core ended {times} times before it gave any order, last with {last}")]
    CoreNeverWorked {
        /// How often.
        times: u32,
        /// How it ended the last time.
        last: String,
    },
}

/// Runs the house until it ends, and says with which exit code this process should end.
///
/// Call it early and from the main thread of a process without other threads: it blocks signals,
/// forks, and asks the kernel to adopt orphans.
pub fn run_parent(options: ParentOptions) -> Result<u8, ParentError> {
    let system = |what| move |source| ParentError::System { what, source };
    // Folders made on the way must be passable for the accounts of services, whatever our starter's umask
    // was.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    for path in [&options.state, &options.run_folder] {
        fs::create_dir_all(path).map_err(|source| ParentError::Folder { path: path.clone(), source })?;
    }
    let _lock = Lock::take(&options.state, &options.folder).map_err(|source| ParentError::Lock { source })?;
    sys::close_inherited_on_exec().map_err(system("keep inherited descriptors from children"))?;
    raise_file_limit();
    sys::become_subreaper().map_err(system("adopt orphans of services"))?;
    let signals = sys::SignalFd::open().map_err(system("receive signals"))?;
    let identity = ProcessIdentity::own().map_err(|source| ParentError::Identity { source })?;
    let settled = settle(&options.state);
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let is_root = rustix::process::geteuid().is_root();
    let group_name = format!("{}-{}", options.house, identity.pid);
    let cgroups = Cgroups::find(Path::new("/sys/fs/cgroup"), &membership, &group_name, is_root);
    let notifier = Notifier::new(std::env::var_os(NOTIFY_VARIABLE).as_deref());
    House::new(options, identity, signals, cgroups, notifier, settled).run()
}

/// Each service takes three descriptors, and the usual soft limit would end at some three hundred services.
fn raise_file_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The lines go to the core, which shows and records them.
fn settle(state: &Path) -> Vec<String> {
    match roster::read(state) {
        Ok(records) => orphans::settle(&records, say),
        Err(error) => {
            vec![format!("{}; orphans of an earlier parent are not looked for", roster_error(&error))]
        }
    }
}

fn roster_error(error: &RosterError) -> String {
    error_chain(error)
}

/// One line for whoever watches. A terminal that is held (Ctrl-S) must not hold the house.
fn say(line: &str) {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut ready, Some(&now)).is_ok_and(|ready| ready > 0) {
        let _ = writeln!(&stderr, "haus: {line}");
    }
}
