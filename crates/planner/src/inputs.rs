//! What an expansion needs besides the plan, and which of it a plan asks for.
//! Values of credentials are not among it: a version is enough to tell that one changed.

use crate::blob::{Blob, FileInput};
use haus_model::deployment::CodeSource;
use haus_model::host::{Architecture, FileSource, HostSettings};
use haus_model::inventory::Inventory;
use haus_model::service::{RunsAs, Service};
use haus_model::{CredentialName, Finding, HostName, House, HouseName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What an expansion is made from besides the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Contents of the files that the plan names, by the path as it stands there.
    pub files: BTreeMap<PathBuf, FileInput>,
    /// A tar archive of every folder that is the source of a service, by the path as it stands in the plan.
    pub archives: BTreeMap<PathBuf, Blob>,
    /// A tar archive of the plan's folder, for hosts with a coordinator.
    pub plan_archive: Option<Blob>,
    /// Our own program by architecture, for hosts with a coordinator.
    pub program: BTreeMap<Architecture, Blob>,
    /// The current version of every credential that has one.
    pub credentials: BTreeMap<CredentialName, u64>,
    /// What is known of hosts from an observation. Without it an expansion guesses: its ids are right, so
    /// that it can be observed; ports and a few settings are only right once this was learned.
    pub learned: BTreeMap<HostName, Learned>,
}

/// What a host has told that matters for an expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Ports that were chosen before, by `SERVICE/INSTANCE/NAME`; they stay.
    pub ports: BTreeMap<String, u16>,
    /// Ports on which somebody else listens; they are not chosen.
    pub busy: BTreeSet<u16>,
    /// Its architecture.
    pub architecture: Option<Architecture>,
    /// Its version of systemd.
    pub systemd: Option<u32>,
    /// Its name for itself.
    pub hostname: Option<String>,
}

impl Inputs {
    /// Takes from observations what an expansion must know. The observation itself may have been asked for
    /// with the resources of an expansion that had not learned it: what is observed depends on ids, not on
    /// contents.
    pub fn learn(&mut self, house: &HouseName, inventories: &BTreeMap<HostName, Result<Inventory, Finding>>) {
        for (host, inventory) in inventories {
            if let Ok(inventory) = inventory {
                self.learned.insert(host.clone(), Learned::from_inventory(house, inventory));
            }
        }
    }
}

impl Learned {
    /// What one host has told.
    pub fn from_inventory(house: &HouseName, inventory: &Inventory) -> Learned {
        let facts = &inventory.facts;
        let ours = format!("haus-{house}");
        let is_foreign = |unit: &Option<String>| !unit.as_ref().is_some_and(|unit| unit.starts_with(&ours));
        let foreign = facts.listeners.iter().filter(|listener| is_foreign(&listener.unit));
        Learned {
            ports: inventory.manifest.ports.clone(),
            busy: foreign.map(|listener| listener.port).collect(),
            architecture: Architecture::from_machine(&facts.machine),
            systemd: facts.systemd,
            hostname: Some(facts.hostname.clone()).filter(|name| !name.is_empty()),
        }
    }
}

/// What a plan asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Files whose content is wanted.
    pub files: BTreeSet<PathBuf>,
    /// Folders that are wanted as archives.
    pub archives: BTreeSet<PathBuf>,
    /// Credentials whose version is wanted, and whose value is when it changes.
    pub credentials: BTreeSet<CredentialName>,
    /// Whether a host runs our own program, so that it and the plan's folder are wanted.
    pub coordinator: bool,
}

/// What the hosts of this plan ask for.
pub fn needed(house: &House) -> Needed {
    let mut needed = Needed::default();
    for host in house.hosts.values() {
        needed.settings(&host.settings);
    }
    for service in house.services.values() {
        needed.service(service);
    }
    needed
}

impl Needed {
    fn settings(&mut self, settings: &HostSettings) {
        settings.files.values().for_each(|file| self.source(&file.source));
        settings.nginx.values().for_each(|site| self.source(&site.source));
        settings
            .units
            .values()
            .filter_map(|unit| unit.source.as_ref())
            .for_each(|source| self.source(source));
        for tls in settings.tls.values() {
            self.source(&tls.certificate);
            self.credentials.insert(tls.key.clone());
        }
        for step in settings.steps.values() {
            self.credentials.extend(step.credentials.values().cloned());
        }
    }

    fn source(&mut self, source: &FileSource) {
        match source {
            FileSource::Text(_) => {}
            FileSource::From(path) | FileSource::Template(path) => {
                self.files.insert(path.clone());
            }
            FileSource::Credential(name) => {
                self.credentials.insert(name.clone());
            }
        }
    }

    fn service(&mut self, service: &Service) {
        let Some(deployment) = service.deployment.as_ref().filter(|deployment| !deployment.on.is_empty())
        else {
            return;
        };
        match service.runs_as {
            RunsAs::Systemd => {
                self.credentials.extend(service.credentials.values().cloned());
                if let Some(CodeSource::Folder(path)) = &deployment.source {
                    self.archives.insert(path.clone());
                }
            }
            RunsAs::Coordinator => self.coordinator = true,
            RunsAs::Process | RunsAs::External => {}
        }
    }
}
