//! The machine that is worked on: where its root is, where our own folders are, which program we are.
//!
//! Tests give another root, so that most acts can be tried without touching the machine. Knows no resource.

use haus_model::{HouseName, Timestamp};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Where its `/` is.
    pub root: PathBuf,
    /// Where our own folders are.
    pub state: PathBuf,
    /// The program that runs, for units that must run it again.
    pub program: PathBuf,
}

impl Machine {
    /// The machine on which we run.
    pub fn own() -> io::Result<Machine> {
        let program = fs::read_link("/proc/self/exe")?;
        let state = if rustix::process::geteuid().is_root() {
            PathBuf::from("/var/lib/haus-remote")
        } else {
            let home = std::env::var_os("HOME").ok_or(io::ErrorKind::NotFound)?;
            Path::new(&home).join(".local/state/haus-remote")
        };
        Ok(Machine { root: PathBuf::from("/"), state, program })
    }

    /// A path as it is on this machine.
    pub fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether this is really the machine, so that its programs may be asked.
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The text of a file of the system, such as `/etc/os-release`; empty when there is none.
    pub fn text(&self, path: &str) -> String {
        fs::read(self.at(Path::new(path)))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

/// The time by this machine's clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Our folders for one house.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The folder of the house.
    pub folder: PathBuf,
}

impl Layout {
    /// Below the state folder of a machine.
    pub fn of(machine: &Machine, house: &HouseName) -> Layout {
        Layout { folder: machine.state.join(house.as_str()) }
    }

    /// By which our commands are known to a later session.
    pub fn mark(&self) -> &str {
        self.folder.to_str().unwrap_or("haus-remote")
    }

    /// What we made.
    pub fn manifest(&self) -> PathBuf {
        self.folder.join("manifest.json")
    }

    /// Who changes the host.
    pub fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// The journals.
    pub fn journals(&self) -> PathBuf {
        self.folder.join("journal")
    }

    /// The journal of an apply.
    pub fn journal(&self, apply: &str) -> PathBuf {
        self.journals().join(format!("{apply}.jsonl"))
    }

    /// What stood in the place of what was changed.
    pub fn backups(&self, apply: &str) -> PathBuf {
        self.folder.join("backups").join(apply)
    }

    /// Content that was carried beside the plan.
    pub fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// Names the apply for which the dead-man is armed.
    pub fn armed(&self) -> PathBuf {
        self.folder.join("armed")
    }

    /// Output of commands that must survive us.
    pub fn output(&self) -> PathBuf {
        self.folder.join("output")
    }
}
