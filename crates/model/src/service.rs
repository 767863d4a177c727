//! A service: what runs, as whom, with what, and how it is looked after.

use crate::deployment::Deployment;
use crate::health::HealthCheck;
use crate::id::{CredentialName, PortName, ServiceName};
use crate::json::Json;
use crate::template::Template;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// In which form a service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunsAs {
    /// A child process of the supervisor.
    Process,
    /// Hausmeister's own API, listed as a service of the house.
    Coordinator,
    /// Runs somewhere else; its instances register themselves over the API.
    External,
    /// A systemd unit on hosts of the plan.
    Systemd,
}

impl RunsAs {
    /// Whether somebody else than our supervisor starts it.
    pub fn is_elsewhere(self) -> bool {
        match self {
            RunsAs::External | RunsAs::Systemd => true,
            RunsAs::Process | RunsAs::Coordinator => false,
        }
    }

    /// Whether nobody knows of an instance before it registers itself.
    pub fn registers_itself(self) -> bool {
        match self {
            RunsAs::External => true,
            RunsAs::Process | RunsAs::Coordinator | RunsAs::Systemd => false,
        }
    }
}

/// How a port gets its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortNumber {
    /// Chosen once, then kept.
    Auto,
    /// As written.
    Fixed(u16),
}

/// Bounds on what one instance may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Resident memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Processor time in thousandths of a core.
    pub cpu_milli: Option<u32>,
    /// Processes and threads.
    pub tasks: Option<u32>,
    /// Open files.
    pub files: Option<u64>,
    /// Size of one log file in bytes before it is rotated.
    pub log_bytes: Option<u64>,
}

/// How a change of a running service is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rollout {
    /// The old one stops, requests wait at the gateway, the new one starts.
    Hold,
    /// One instance after the other; the next only when the last is healthy.
    Rolling,
    /// All instances at once.
    Replace,
}

/// When an ended process is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Whatever its exit status was.
    Always,
    /// Only after a bad exit status or a signal.
    OnFailure,
    /// Never.
    Never,
}

/// The recovery rule: back-off between `first` and `most`, given up after `tries` exits within `within`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// When to start again at all.
    pub restart: Restart,
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
    /// Exits within `within` after which nothing is tried any more.
    pub tries: u32,
    /// The window in which exits count.
    pub within: Duration,
}

impl Default for Recover {
    fn default() -> Self {
        Recover {
            restart: Restart::Always,
            first: Duration::from_millis(250),
            most: Duration::from_secs(30),
            tries: 10,
            within: Duration::from_secs(600),
        }
    }
}

/// Signals that ask a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// SIGTERM
    Term,
    /// SIGINT
    Int,
    /// SIGQUIT
    Quit,
    /// SIGHUP
    Hup,
}

impl StopSignal {
    /// The number of the signal on Linux.
    pub fn number(self) -> i32 {
        match self {
            StopSignal::Hup => 1,
            StopSignal::Int => 2,
            StopSignal::Quit => 3,
            StopSignal::Term => 15,
        }
    }
}

/// How running instances learn of a new value of one of their credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewCredential {
    /// They are restarted by the service's rollout.
    #[default]
    Restart,
    /// The files are replaced, then they get this signal.
    Signal(ReloadSignal),
    /// The files are replaced; they read them at every use.
    Reread,
}

/// Signals that ask a process to read its files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReloadSignal {
    /// SIGHUP
    Hup,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
}

impl ReloadSignal {
    /// The number of the signal on Linux.
    pub fn number(self) -> i32 {
        match self {
            ReloadSignal::Hup => 1,
            ReloadSignal::Usr1 => 10,
            ReloadSignal::Usr2 => 12,
        }
    }
}

/// How a process is asked to end, and how long it may take before it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The signal that asks.
    pub signal: StopSignal,
    /// Patience.
    pub within: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        Stop { signal: StopSignal::Term, within: Duration::from_secs(10) }
    }
}

/// A service with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// What it does, for people.
    pub about: Option<String>,
    /// In which form it runs.
    pub runs_as: RunsAs,
    /// Program and arguments; empty for a coordinator.
    pub run: Vec<Template>,
    /// The account; its own when absent.
    pub user: Option<String>,
    /// Working folder, absolute or relative to where the plan was read from.
    pub folder: PathBuf,
    /// Commands that run once, in order, before the first start.
    pub prepare: Vec<Vec<Template>>,
    /// Ports by name.
    pub ports: BTreeMap<PortName, PortNumber>,
    /// The address that it listens on.
    pub address: String,
    /// Folders below the data folder.
    pub data: Vec<String>,
    /// Links in the working folder (relative path) to folders in `data`.
    pub links: BTreeMap<String, String>,
    /// The service's own configuration; texts in it are templates written as text.
    pub config: Option<Json>,
    /// Environment.
    pub env: BTreeMap<String, Template>,
    /// File name of each credential, and the credential.
    pub credentials: BTreeMap<String, CredentialName>,
    /// What happens when one of its credentials has a new value.
    pub new_credential: NewCredential,
    /// The health check; none when the plan has none.
    pub health: Option<HealthCheck>,
    /// Services that must be healthy first.
    pub needs: Vec<ServiceName>,
    /// Running copies.
    pub instances: u32,
    /// Bounds.
    pub limits: Limits,
    /// How changes are carried out.
    pub rollout: Rollout,
    /// What happens when it ends by itself.
    pub recover: Recover,
    /// How it is stopped.
    pub stop: Stop,
    /// Where it lives and how its code gets there; none when it runs on the machine in front of you.
    #[serde(default)]
    pub deployment: Option<Deployment>,
}

impl Service {
    /// The main port: the one named `http`, else the only one.
    pub fn main_port(&self) -> Option<&PortName> {
        self.ports
            .keys()
            .find(|name| name.as_str() == "http")
            .or_else(|| if self.ports.len() == 1 { self.ports.keys().next() } else { None })
    }
}
