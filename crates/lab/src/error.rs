//! What can go wrong with the lab, told so that a person at the terminal knows what to do next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A piece of work on the lab that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Bridges, mounts and control groups belong to root.
    #[error("the lab needs root: run it as root or through sudo")]
    NotRoot,
    /// Programs are missing; the packages are Debian's names.
    #[error(
        "the lab needs programs that are not here: {}; as root: apt-get install --no-install-recommends {}",
        programs.join(", "), packages.join(" ")
    )]
    Missing {
        /// What was looked for on PATH.
        programs: Vec<&'static str>,
        /// What to install for them.
        packages: Vec<&'static str>,
    },
    /// The machine itself cannot carry a lab.
    #[error("this machine cannot carry the lab: {reason}")]
    Unfit {
        /// What it lacks, and what would help.
        reason: String,
    },
    /// A program could not be started at all.
    #[error("{attempt}: could not run {program}")]
    Start {
        /// What was to be done.
        attempt: String,
        /// The program's name.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program ended badly.
    #[error("{attempt}: {program} ended with {status}: {output}")]
    Ended {
        /// What was to be done.
        attempt: String,
        /// The program's name.
        program: String,
        /// Its exit status in words.
        status: String,
        /// The last lines of what it said.
        output: String,
    },
    /// A file of the lab could not be read, written or removed.
    #[error("{attempt} {path}")]
    File {
        /// What was to be done, as a verb: "write", "remove".
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Something did not come to hold in time.
    #[error("waited {} s in vain for {what}; look at {look_at}", waited.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// Where the reason may stand.
        look_at: PathBuf,
    },
    /// No host of this name.
    #[error("the lab has no host {name}; it has {}", list(known))]
    UnknownHost {
        /// The name that was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// No snapshot of this name.
    #[error("{host} has no snapshot {snapshot}; it has clean{}", after(known))]
    UnknownSnapshot {
        /// The host.
        host: String,
        /// The name that was asked for.
        snapshot: String,
        /// Those that there are, besides `clean`.
        known: Vec<String>,
    },
    /// A snapshot that must not change.
    #[error(
        "snapshot {snapshot} of {host} is what the host or a later snapshot stands on; take another name"
    )]
    SnapshotInUse {
        /// The host.
        host: String,
        /// The name that was asked for.
        snapshot: String,
    },
    /// A name that cannot be used.
    #[error("{name:?} cannot be the name of a {of}: small letters, digits and `-`, at most 32")]
    Name {
        /// The name.
        name: String,
        /// Of what.
        of: &'static str,
    },
    /// The host is switched off.
    #[error("{host} is not running")]
    Off {
        /// The host.
        host: String,
    },
    /// Somebody works with the host, or with the lab as a whole.
    #[error("{what} is in use by process {by}; wait for it, or use --force")]
    InUse {
        /// The host, or "the lab".
        what: String,
        /// The process as it wrote itself down.
        by: String,
    },
    /// Nobody gave a host back in time.
    #[error("waited {} s in vain for {wanted} free hosts of the lab; in use: {}", waited.as_secs(), list(taken))]
    NoFreeHost {
        /// How many were wanted.
        wanted: usize,
        /// For how long.
        waited: Duration,
        /// Host and process, for each that is taken.
        taken: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn after(names: &[String]) -> String {
    names.iter().map(|name| format!(", {name}")).collect()
}

impl LabError {
    /// For `map_err` on a file: what was to be done with which path.
    pub(crate) fn file(attempt: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| LabError::File { attempt, path, source }
    }

    /// Whether somebody else holds what was wanted, so that nothing was touched.
    pub fn is_refusal(&self) -> bool {
        matches!(self, LabError::InUse { .. } | LabError::NoFreeHost { .. })
    }

    /// Whether this machine lacks something, so that a test may skip itself out loud.
    pub fn is_missing_tool(&self) -> bool {
        matches!(self, LabError::NotRoot | LabError::Missing { .. } | LabError::Unfit { .. })
    }
}
