//! The arguments. The doc comments are the help texts.

mod alerts;
mod credential;
mod hosts;
mod registry;
mod token;
mod trail;
mod vault;

pub(crate) use alerts::{Alerts, AlertsAct, Silence, Unsilence};
pub(crate) use credential::{
    Credential, CredentialCreate, CredentialImport, CredentialList, CredentialOne, CredentialRevoke,
    CredentialRotate,
};
pub(crate) use hosts::{ApplyHosts, Drift, History, PlanHosts, Reach, RollbackHosts};
pub(crate) use registry::{Discover, Services};
pub(crate) use token::{Token, TokenCreate, TokenRevoke, TokenRotateKey};
pub(crate) use trail::{Trail, TrailAct, TrailExport, TrailShow, TrailVerify};
pub(crate) use vault::{Vault, VaultAct};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The caretaker of a small self-hosted house: checks, builds, runs, watches and documents it from one plan
/// file.
#[derive(Debug, Parser)]
#[command(name = "haus", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done · 1 findings · 2 wrong use or unreadable input · 3 refused · 4 failed · 5 failed, state unknown"
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check plan files and show every fault with its place and remedy.
    Check(Check),
    /// Show what has to change on the hosts of a house, exactly, and change nothing.
    Plan(PlanHosts),
    /// Make the hosts of a house what its plan wants, or carry out a plan that was kept.
    Apply(ApplyHosts),
    /// Show what on the hosts is no longer as it was made.
    Drift(Drift),
    /// Take the last apply of hosts back.
    Rollback(RollbackHosts),
    /// Show what was applied on the hosts, by whom, why and with which outcome.
    History(History),
    /// Bring a house up in the foreground; Ctrl-C brings it down in order.
    Up(Up),
    /// Like `up`, for a service manager: plain lines, no terminal.
    Serve(Up),
    /// Show what runs, since when and why.
    Status(Status),
    /// Show the captured output of a service.
    Logs(Logs),
    /// Show what happened, to whom and why.
    Events(Events),
    /// Restart a service or one instance of it.
    Restart(Restart),
    /// Read the plan again and apply only the difference.
    Reload(Target),
    /// Bring the house down in order.
    Down(Down),
    /// Make, list, show, rotate, revoke and import credentials; values go in and never come out.
    #[command(subcommand)]
    Credential(Credential),
    /// Let services and people in, and take that back.
    #[command(subcommand)]
    Token(Token),
    /// Show what is in the registry.
    Services(Services),
    /// Show where a service can be reached.
    Discover(Discover),
    /// Show what is wrong and who was told; silence it for a while.
    Alerts(Alerts),
    /// Show, export and verify the audit trail.
    Trail(Trail),
    /// Show the keys that credentials are sealed with; change them.
    Vault(Vault),
    /// Write a commented plan file that checks clean and runs.
    Init(Init),
    /// Explain a finding, for example HP0012.
    Explain(Explain),
    /// Print the JSON Schema of the plan file, for editors.
    Schema,
    /// The supervisor parent (started by `up` and `serve`).
    #[command(hide = true)]
    Parent(Parent),
    /// The core (started by the parent).
    #[command(hide = true)]
    Core(Parent),
}

/// How output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Plan files, or folders with a house.yaml.
    #[arg(default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// How findings are written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Show notes too (warnings and errors are always shown).
    #[arg(long)]
    pub notes: bool,
}

/// Arguments of `up` and `serve`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The folder with the house.yaml, or the file.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Which stage, when the plan has several.
    #[arg(long)]
    pub stage: Option<String>,
    /// The state folder instead of the usual one.
    #[arg(long)]
    pub state: Option<PathBuf>,
    /// Where in the plan this machine is.
    #[command(flatten)]
    pub standpoint: Standpoint,
    /// Where the credentials' key ring is kept.
    #[command(flatten)]
    pub keys: Keys,
}

/// Which host of the plan this machine is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Standpoint {
    /// The host of the plan that this machine is. Without it only those services are started that the plan
    /// puts on no host.
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// The file that says where services were put on hosts, written by `haus apply`; with --host it is
    /// /etc/haus/HOUSE/places.json when nothing is said.
    #[arg(long, value_name = "FILE")]
    pub places: Option<PathBuf>,
}

/// Where the key ring of the credentials is kept. Without these: the systemd credential `haus-key-ring`, the
/// variable HAUS_KEY_RING (with a warning), or `keyring` in the state folder, made at the first start.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Keys {
    /// The file of the key ring (mode 0600) instead of `keyring` in the state folder.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The file with the passphrase that the key ring is sealed with (mode 0600, its content without the line
    /// end).
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Which running house is meant.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The folder with the house.yaml; may be left out when only one house is known here.
    #[arg(long = "house", value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// The state folder that `up` was given.
    #[arg(long)]
    pub state: Option<PathBuf>,
}

/// Which running house, and for whom the answer is written.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
    /// Which house.
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The folder with the house.yaml; may be left out when only one house is known here.
    pub path: Option<PathBuf>,
    /// The state folder that `up` was given.
    #[arg(long)]
    pub state: Option<PathBuf>,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
    /// Show it again every second until Ctrl-C.
    #[arg(long, short)]
    pub watch: bool,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The service, one instance (`SERVICE/2`), or `gateway` for the access log.
    pub service: String,
    /// Go on with what comes.
    #[arg(long, short)]
    pub follow: bool,
    /// How many lines to begin with.
    #[arg(long, short = 'n', default_value_t = 50)]
    pub lines: usize,
    /// Which house.
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only of this service or instance.
    pub subject: Option<String>,
    /// Go on with what comes.
    #[arg(long, short)]
    pub follow: bool,
    /// How many events to begin with.
    #[arg(long, short = 'n', default_value_t = 50)]
    pub lines: usize,
    /// Write one JSON object per line.
    #[arg(long)]
    pub json: bool,
    /// Which house.
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `restart`.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// The service, or one instance (`SERVICE/2`).
    pub service: String,
    /// Which house.
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `down`.
#[derive(Debug, Args)]
pub(crate) struct Down {
    /// The folder with the house.yaml; may be left out when only one house is known here.
    pub path: Option<PathBuf>,
    /// The state folder that `up` was given.
    #[arg(long)]
    pub state: Option<PathBuf>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder; it is made when it is missing.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code; all codes when left out.
    pub code: Option<String>,
}

/// Arguments of the hidden `parent` and `core`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Parent {
    /// The plan file or folder.
    #[arg(long)]
    pub path: PathBuf,
    /// The house's name.
    #[arg(long)]
    pub house: String,
    /// The stage.
    #[arg(long)]
    pub stage: String,
    /// The state folder.
    #[arg(long)]
    pub state: PathBuf,
    /// The run folder.
    #[arg(long)]
    pub run: PathBuf,
    /// Plain lines, no terminal.
    #[arg(long)]
    pub plain: bool,
    /// Where in the plan this machine is.
    #[command(flatten)]
    pub standpoint: Standpoint,
    /// Where the credentials' key ring is kept.
    #[command(flatten)]
    pub keys: Keys,
}
