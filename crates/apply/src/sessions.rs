//! The port by which hosts are reached by name, and its implementation over real roads.

use crate::host::{Host, HostError};
use crate::patience::Patience;
use crate::programs::Programs;
use crate::remote::{RemoteHost, Session};
use crate::ssh::{Login, Ssh};
use crate::transport::{Purpose, RoadSettings, road_of};
use haus_model::host::{Connect, Elevation};
use haus_model::host_code::HostCode;
use haus_model::{HostName, HouseName};
use std::collections::BTreeSet;

/// A host and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub host: HostName,
    /// The road.
    pub connect: Connect,
    /// How root's rights are reached.
    pub elevation: Elevation,
}

/// Opens sessions. May be called from several threads at once.
pub trait Sessions: Sync {
    /// A new session. One for a proof shares nothing with others.
    fn open(&self, target: &Target, purpose: Purpose) -> Result<Box<dyn Host>, HostError>;
}

/// Sessions over real roads.
#[derive(Clone, Debug)]
pub struct Roads {
    /// The house.
    pub house: HouseName,
    /// The programs for hosts.
    pub programs: Programs,
    /// What all roads share.
    pub settings: RoadSettings,
    /// How long things may take.
    pub patience: Patience,
    /// Fingerprints of keys that somebody has compared: a host that is not known and shows one of them is
    /// added to the known hosts.
    pub accepted_keys: BTreeSet<String>,
}

impl Sessions for Roads {
    fn open(&self, target: &Target, purpose: Purpose) -> Result<Box<dyn Host>, HostError> {
        let session = Session {
            programs: self.programs.clone(),
            elevation: target.elevation,
            house: self.house.clone(),
            purpose,
            patience: self.patience,
        };
        let transport = road_of(&target.connect, &self.settings);
        let opened = match RemoteHost::open(transport.as_ref(), &session) {
            Err(HostError::Road(fault))
                if fault.code == HostCode::HostKeyUnknown && self.key_is_accepted(&target.connect) =>
            {
                RemoteHost::open(transport.as_ref(), &session)
            }
            other => other,
        };
        Ok(Box::new(opened?))
    }
}

impl Roads {
    fn key_is_accepted(&self, connect: &Connect) -> bool {
        match connect {
            Connect::Ssh { user, host, port } if !self.accepted_keys.is_empty() => {
                let login = Login { user: user.clone(), host: host.clone(), port: *port };
                // When it cannot be added, the finding about the unknown key stands.
                let added = Ssh::new(login, self.settings.clone()).accept_key(&self.accepted_keys);
                added.is_ok_and(|key| key.is_some())
            }
            Connect::Ssh { .. } | Connect::Local | Connect::Incus { .. } => false,
        }
    }
}
