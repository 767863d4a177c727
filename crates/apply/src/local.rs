//! The road that is none: a process on the machine in front of you.

use crate::channel::{Channel, Ended};
use crate::transport::{Obstacle, Purpose, Transport, TransportError, spawn};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Command;

/// The machine in front of you.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// Set in the environment of each process, besides ours; for tests that put another program in the way.
    pub environment: BTreeMap<OsString, OsString>,
}

impl Transport for Local {
    fn road(&self) -> String {
        "local".to_owned()
    }

    fn start(&self, argv: &[String], _purpose: Purpose) -> Result<Channel, TransportError> {
        let (program, arguments) =
            argv.split_first().map_or(("true", [].as_slice()), |(first, rest)| (first.as_str(), rest));
        spawn(Command::new(program).args(arguments).env("LC_ALL", "C").envs(&self.environment), self.road())
    }

    fn explain(&self, _ended: &Ended) -> Option<Obstacle> {
        None
    }
}
