//! Arguments of the commands that reach hosts: `plan`, `apply`, `drift`, `rollback`, `history`.

use super::Keys;
use clap::Args;
use std::path::PathBuf;

/// Which house, which of its hosts, and how they are reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct Reach {
    /// Which stage, when the plan has several.
    #[arg(long)]
    pub stage: Option<String>,
    /// Only these hosts; may be given several times.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// The configuration file that ssh reads instead of the user's own.
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// Trust a host that is not known yet when it shows the key with this fingerprint (`SHA256:…`), and add
    /// it to the known hosts. Compare it first; may be given several times.
    #[arg(long = "accept-host-key", value_name = "FINGERPRINT")]
    pub accept_host_key: Vec<String>,
    /// The state folder with the credentials, instead of the usual one.
    #[arg(long)]
    pub state: Option<PathBuf>,
    /// Where the credentials' key ring is kept.
    #[command(flatten)]
    pub keys: Keys,
    /// Hosts that are asked or changed at the same time.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub parallel: usize,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `plan`.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanHosts {
    /// The folder with the house.yaml, or the file.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Keep the plan in this file, for `haus apply FILE`.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Only what belongs to this service, or this resource such as `file:/etc/motd`; may be given several
    /// times.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Which hosts, and how.
    #[command(flatten)]
    pub reach: Reach,
}

/// Arguments of `apply`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApplyHosts {
    /// The folder with the house.yaml, or a plan that `haus plan -o` kept.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Do not ask before anything is changed.
    #[arg(long, short)]
    pub yes: bool,
    /// Why, for the history and for whoever finds the hosts locked.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Only what belongs to this service, or this resource; may be given several times. Nothing is removed
    /// then.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// One host after the other instead of all of a wave at once.
    #[arg(long)]
    pub serial: bool,
    /// At Ctrl-C keep what was done, and let the next apply go on from there, instead of taking it back.
    #[arg(long)]
    pub keep_done: bool,
    /// Which hosts, and how.
    #[command(flatten)]
    pub reach: Reach,
}

/// Arguments of `drift`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Drift {
    /// The folder with the house.yaml, or the file.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Which hosts, and how.
    #[command(flatten)]
    pub reach: Reach,
}

/// Arguments of `rollback`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RollbackHosts {
    /// The folder with the house.yaml, or the file.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// The apply that is taken back, as `haus history` names it; the last one when left out.
    #[arg(long, value_name = "ID")]
    pub apply: Option<String>,
    /// Do not ask before anything is changed.
    #[arg(long, short)]
    pub yes: bool,
    /// Which hosts, and how.
    #[command(flatten)]
    pub reach: Reach,
}

/// Arguments of `history`.
#[derive(Clone, Debug, Args)]
pub(crate) struct History {
    /// The folder with the house.yaml, or the file.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// How many applies of each host.
    #[arg(long, short = 'n', default_value_t = 10)]
    pub lines: usize,
    /// Which hosts, and how.
    #[command(flatten)]
    pub reach: Reach,
}
