//! Where a service lives and how its code gets there: host, source, build, systemd.

use crate::id::HostName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Releases that are kept beside the current one.
pub const RELEASES_KEPT: u32 = 3;

/// What a service says that runs on hosts of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The hosts that it runs on, each with all its instances.
    pub on: Vec<HostName>,
    /// Where its code comes from; none when everything that it needs is installed otherwise.
    pub source: Option<CodeSource>,
    /// How it is built, in order, in a fresh folder.
    pub build: Vec<BuildStep>,
    /// Old releases that are kept.
    pub keep: u32,
    /// Whether two versions may run at once.
    pub overlap: Overlap,
    /// How systemd runs it.
    pub unit: UnitSettings,
    /// Other hosts that it names by a variable, such as one with a database: they are changed first.
    #[serde(default)]
    pub asks: BTreeSet<HostName>,
}

/// Where code comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeSource {
    /// A git repository that the host can reach.
    Git {
        /// Its address.
        url: String,
        /// Tag, branch or commit.
        reference: String,
    },
    /// A folder beside the plan, carried to the host.
    Folder(PathBuf),
}

/// One step of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildStep {
    /// The folder inside the release; the release itself when empty.
    pub folder: PathBuf,
    /// What is done there.
    pub tool: BuildTool,
}

/// What a step of a build does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildTool {
    /// A virtual environment `.venv` from a lock file: `poetry.lock`, or requirements pinned by hashes.
    Python {
        /// The lock file, in the folder of the step.
        lock: PathBuf,
    },
    /// `npm ci`, then `npm run SCRIPT` when one is named.
    Npm {
        /// The script.
        run: Option<String>,
    },
    /// Any command.
    Run(Vec<String>),
}

/// Whether two versions of a service may run at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// They may.
    #[default]
    Safe,
    /// One process may own what it works on, such as an SQLite file.
    Unsafe,
}

/// How systemd sees a process as started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitType {
    /// It runs as soon as it was executed (`Type=exec`).
    #[default]
    Exec,
    /// It says so itself (`sd_notify`).
    Notify,
    /// It does its work and ends.
    Oneshot,
}

/// How systemd runs a service. Hardening is on unless something is taken back here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSettings {
    /// How it is seen as started.
    pub kind: UnitType,
    /// Absolute folders that it may write besides its data.
    pub writable: BTreeSet<PathBuf>,
    /// Capabilities that it needs, such as `CAP_NET_BIND_SERVICE`.
    pub capabilities: BTreeSet<String>,
    /// Protections that it cannot live with, by the name of systemd's directive, such as
    /// `MemoryDenyWriteExecute`.
    pub without: BTreeSet<String>,
    /// When it runs (systemd's `OnCalendar=`); it then is started by a timer and not with the machine.
    pub calendar: Option<String>,
    /// Whether systemd opens its main port and hands it over (socket activation).
    pub socket: bool,
}
