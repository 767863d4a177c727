//! What the parent and the core say to each other: orders, reports, and the frames that carry them.
//! It knows no sockets and no processes, only data; `docs/formats/supervisor.md` describes the bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use haus_model::Secret;

mod frame;

pub use frame::{FRAME_BYTES_MAX, FrameDecoder, FrameError, encode};

/// What the core asks the parent to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Start one instance; answered by `Spawned` or `SpawnFailed`.
    Spawn(Box<SpawnSpec>),
    /// Send a signal to the instance's process group and kill it when it is still there after `within_ms`.
    Stop {
        /// Which instance.
        key: String,
        /// Signal number, usually SIGTERM.
        signal: i32,
        /// Patience before SIGKILL.
        within_ms: u64,
    },
    /// Stop the instance by its own [`SpawnSpec::stop`]; nothing happens when it is being stopped already.
    StopAsSpecified {
        /// Which instance.
        key: String,
    },
    /// Replace files of an instance that runs, all of them or none, and tell its leader; answered by
    /// `Delivered` or `DeliverFailed`. See [`parent_takes_deliver`].
    Deliver {
        /// Which instance.
        key: String,
        /// The start that is meant; another one is refused.
        run: u64,
        /// Files to write, below folders of its [`SpawnSpec`] that are `owned`; they end with the house.
        files: Vec<FileSpec>,
        /// Files to remove, below the same folders, after the others are in place; absent ones are no matter.
        remove: Vec<PathBuf>,
        /// Signal for the leader alone once the files are in place, for example SIGHUP.
        signal: Option<i32>,
    },
    /// Kill the instance and everything it left behind, at once.
    Kill {
        /// Which instance.
        key: String,
    },
    /// The house is up: tell the service manager.
    Ready,
    /// One line for the service manager's status.
    Status {
        /// The line.
        text: String,
    },
    /// The core cannot run this house: the parent stops everything and ends with this code instead of
    /// restarting the core.
    Refused {
        /// Exit code of the parent.
        exit_code: u8,
    },
    /// How long the core may take whenever it is asked to drain from now on.
    DrainBudget {
        /// Patience before the parent stops everything itself.
        within_ms: u64,
    },
    /// The core has begun to drain without being asked by the parent: from now on it is not started again,
    /// and the house ends as after `Drain`. Without effect when the house is ending already.
    Draining {
        /// Who asked, in words.
        reason: String,
        /// Patience before the parent stops everything itself.
        within_ms: u64,
    },
    /// The core has drained: the parent stops what is left and ends with this code.
    Drained {
        /// Exit code of the parent.
        exit_code: u8,
    },
}

/// Whether a parent that says this in `Hello::version` knows `Deliver`. An order that it does not know would
/// cost the core its life, so towards a parent of another release an instance has to be started anew instead.
pub fn parent_takes_deliver(version: &str) -> bool {
    version == env!("CARGO_PKG_VERSION")
}

/// What the parent tells the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// First message after each start of the core.
    Hello {
        /// Version of the parent, which may be older than the core's.
        version: String,
        /// Process id of the parent.
        parent_pid: u32,
        /// The kernel's boot id.
        boot_id: String,
        /// Which start of the core this is, from 1; above 1 the core had crashed.
        core_start: u32,
        /// Every instance the parent holds, in order of key.
        children: Vec<ChildState>,
        /// One line for each orphan of an earlier parent that was stopped before this start.
        settled: Vec<String>,
    },
    /// The program runs: exec has succeeded.
    Spawned {
        /// Which instance.
        key: String,
        /// The core's number of this start.
        run: u64,
        /// Process id of the leader.
        pid: u32,
        /// Wall clock, milliseconds since 1970.
        started_at_ms: u64,
        /// What could not be done as asked, for example a limit that is not enforced.
        notes: Vec<String>,
    },
    /// The program does not run, and nothing of it is left.
    SpawnFailed {
        /// Which instance.
        key: String,
        /// The core's number of this start.
        run: u64,
        /// What was attempted.
        step: Step,
        /// What went wrong, in one sentence.
        error: String,
        /// What the reader can do about it.
        hint: Option<String>,
    },
    /// The instance has ended and nothing of it is left.
    Exited {
        /// Which instance.
        key: String,
        /// The core's number of this start.
        run: u64,
        /// Process id the leader had.
        pid: u32,
        /// How the leader ended.
        exit: ExitKind,
        /// Wall clock when the leader ended, milliseconds since 1970.
        at_ms: u64,
        /// Processes that had outlived the leader and were ended by the parent.
        lingering_killed: u32,
        /// Why it ended, as far as the parent knows more than `exit` says.
        #[serde(default)]
        notes: Vec<String>,
    },
    /// The files are in place and the leader was told. One whose program had not begun to run gets no signal,
    /// since it will read the new files.
    Delivered {
        /// Which instance.
        key: String,
        /// The start that was meant.
        run: u64,
    },
    /// The delivery was not carried out; the former files stand unless `error` says otherwise.
    DeliverFailed {
        /// Which instance.
        key: String,
        /// The start that was meant.
        run: u64,
        /// What went wrong, in one sentence.
        error: String,
        /// What the reader can do about it.
        hint: Option<String>,
    },
    /// Somebody asked the house to end: drain now, then send `Drained`.
    Drain {
        /// Who asked, in words.
        reason: String,
    },
    /// SIGHUP: read the plan again.
    Reload,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// It ended by itself with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Nobody could tell, for example since an earlier parent had started it.
    Unknown,
}

impl fmt::Display for ExitKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitKind::Code(code) => write!(formatter, "exit code {code}"),
            ExitKind::Signal(signal) => write!(formatter, "signal {signal}"),
            ExitKind::Unknown => formatter.write_str("unknown exit"),
        }
    }
}

/// What was attempted when a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The key is free to be started.
    Slot,
    /// Finding, creating or becoming the account.
    Account,
    /// Making a folder, or entering the working folder.
    Folder,
    /// Writing a credential or configuration file.
    File,
    /// Making a link.
    Link,
    /// Setting limits.
    Limits,
    /// Making the new process.
    Fork,
    /// Running the program.
    Exec,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Step::Slot => "slot",
            Step::Account => "account",
            Step::Folder => "folder",
            Step::File => "file",
            Step::Link => "link",
            Step::Limits => "limits",
            Step::Fork => "fork",
            Step::Exec => "exec",
        })
    }
}

/// One instance as the parent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildState {
    /// Which instance.
    pub key: String,
    /// The core's number of this start.
    pub run: u64,
    /// Process id of the leader.
    pub pid: u32,
    /// Wall clock, milliseconds since 1970.
    pub started_at_ms: u64,
    /// False while exec has not happened yet; `Spawned` or `SpawnFailed` follows.
    pub running: bool,
    /// A stop is under way; `Exited` follows.
    pub stopping: bool,
    /// What could not be done as asked.
    pub notes: Vec<String>,
    /// The core's own mark of the start, as given in [`SpawnSpec::tag`].
    pub tag: String,
}

/// Everything needed to start one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpawnSpec {
    /// Which instance, for example `service/1`.
    pub key: String,
    /// Unique number of this start, given by the core.
    pub run: u64,
    /// A mark of the core's that comes back in [`ChildState::tag`]; the parent does not read it.
    #[serde(default)]
    pub tag: String,
    /// Program and arguments; the program is searched in `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment; only `HAUS_INSTANCE` and `HAUS_RUN_ID` are added.
    pub env: BTreeMap<String, String>,
    /// Working folder.
    pub folder: PathBuf,
    /// Account to become when the parent is root; `None` keeps the parent's.
    pub account: Option<String>,
    /// Folders to make, in this order.
    pub folders: Vec<FolderSpec>,
    /// Files to write, in this order, after the folders.
    pub files: Vec<FileSpec>,
    /// Links to make, in this order, after the files.
    pub links: Vec<LinkSpec>,
    /// Limits of the instance.
    pub limits: Limits,
    /// Where its output goes.
    pub log: LogSpec,
    /// How it is stopped by `StopAsSpecified`, and by the parent when there is no core to ask.
    #[serde(default)]
    pub stop: StopSpec,
}

/// A folder that has to exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderSpec {
    /// Absolute path.
    pub path: PathBuf,
    /// Permission bits, for example `0o750`.
    pub mode: u32,
    /// Whether it belongs to the instance's account.
    pub owned: bool,
}

/// A file that has to have this content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Absolute path; its folder has to exist.
    pub path: PathBuf,
    /// The content.
    pub content: Secret,
    /// Permission bits, for example `0o400`.
    pub mode: u32,
    /// Whether it belongs to the instance's account.
    pub owned: bool,
}

/// A symbolic link: made when absent, kept when right, never replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Where the link stands.
    pub path: PathBuf,
    /// Where it points.
    pub target: PathBuf,
}

/// Limits of one instance; `None` means no limit was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of the whole instance, by control group only.
    pub memory_bytes: Option<u64>,
    /// Thousandths of one processor, by control group only.
    pub cpu_milli: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Open files of each process.
    pub files: Option<u64>,
    /// Size of a core dump; 0 unless asked for.
    #[serde(default)]
    pub core: u64,
}

/// Where the output of an instance goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSpec {
    /// The current file; rotated ones stand beside it as `FILE.1`, `FILE.2`, …
    pub path: PathBuf,
    /// Size at which the file is rotated.
    pub max_bytes: u64,
    /// How many rotated files are kept.
    pub keep: u32,
}

impl Default for LogSpec {
    fn default() -> LogSpec {
        LogSpec { path: PathBuf::from("/dev/null"), max_bytes: 10 << 20, keep: 3 }
    }
}

/// How an instance is stopped when the parent has to do it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopSpec {
    /// Signal number.
    pub signal: i32,
    /// Patience before SIGKILL.
    pub within_ms: u64,
}

impl Default for StopSpec {
    fn default() -> StopSpec {
        StopSpec { signal: libc::SIGTERM, within_ms: 10_000 }
    }
}

#[cfg(test)]
mod tests;
