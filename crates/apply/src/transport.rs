//! The port for roads to a host: bytes to and from a process there. What the process is, and what the bytes
//! mean, is decided elsewhere.

use crate::channel::{Channel, Ended};
use haus_model::host::Connect;
use haus_model::host_code::HostCode;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use thiserror::Error;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Observing and acting. A connection that is open already may be shared.
    Work,
    /// Proving that the host can still be reached: everything is built up anew.
    Proof,
}

/// A road to one host.
///
/// Contract: `start` gives a process on the host whose arguments are exactly `argv`, with three pipes that
/// carry any bytes, in both directions at once, until either side closes; its exit code comes back. It may be
/// called from several threads at once, and each call is a process of its own. Nothing of `argv` may be a
/// secret: both sides show it in their process lists. When the channel is dropped the local process ends, and
/// the one on the host finds its standard input closed.
pub trait Transport: Send + Sync + fmt::Debug {
    /// How it is written in a plan, such as `ssh://deploy@web`.
    fn road(&self) -> String;

    /// Starts a process on the host.
    fn start(&self, argv: &[String], purpose: Purpose) -> Result<Channel, TransportError>;

    /// What it means that the process ended like this before anything on the host spoke. None when it is not
    /// about the road. This may ask the host again, for at most a few seconds.
    fn explain(&self, ended: &Ended) -> Option<Obstacle>;
}

/// Why a host was not reached, in the words of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What it is.
    pub code: HostCode,
    /// Why, as far as it is known.
    pub because: String,
    /// What to do.
    pub remedy: String,
}

/// The local program of a road could not be used.
#[derive(Debug, Error)]
pub enum TransportError {
    /// It does not start.
    #[error("starting `{program}` to reach {road}")]
    Start {
        /// The program.
        program: String,
        /// Where to.
        road: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What all roads share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoadSettings {
    /// The program `ssh`, looked for in `PATH` unless it is a path.
    pub ssh: PathBuf,
    /// Given to it as `-F`; its own configuration when absent.
    pub ssh_config: Option<PathBuf>,
    /// The program `incus`.
    pub incus: PathBuf,
    /// How long a connection may take.
    pub connect: Duration,
}

impl Default for RoadSettings {
    fn default() -> RoadSettings {
        RoadSettings {
            ssh: PathBuf::from("ssh"),
            ssh_config: None,
            incus: PathBuf::from("incus"),
            connect: Duration::from_secs(10),
        }
    }
}

/// The road that a plan names.
pub fn road_of(connect: &Connect, settings: &RoadSettings) -> Box<dyn Transport> {
    match connect {
        Connect::Local => Box::new(crate::local::Local::default()),
        Connect::Ssh { user, host, port } => {
            let login = crate::ssh::Login { user: user.clone(), host: host.clone(), port: *port };
            Box::new(crate::ssh::Ssh::new(login, settings.clone()))
        }
        Connect::Incus { instance, project } => Box::new(crate::incus::Incus::new(
            crate::incus::Instance { name: instance.clone(), project: project.clone() },
            settings.clone(),
        )),
    }
}

/// Starts the local process of a road.
pub(crate) fn spawn(command: &mut Command, road: String) -> Result<Channel, TransportError> {
    Channel::start(command).map_err(|source| TransportError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        road,
        source,
    })
}
