//! Which host of the plan this coordinator is on, and where the instances were put that it does not run.
//!
//! A house looks different from each of its hosts: [`Whereabouts::look`] turns what runs elsewhere into
//! services that systemd keeps, which are only asked how they are. The rest of the core knows no hosts.

use crate::placing;
use haus_model::deployment::Deployment;
use haus_model::health::{HealthCheck, ProbeKind};
use haus_model::house::House;
use haus_model::placement::{PlacedInstance, Placements};
use haus_model::service::{RunsAs, Service};
use haus_model::{HostName, InstanceId, ServiceName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// The rhythm of what the plan gives none: that of a `health:` without words.
const EVERY: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(60);

/// Services and hosts that one sentence names; the rest is counted.
const NAMED_MAX: usize = 6;

/// Where this coordinator is said to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standpoint {
    /// The host of the plan; none on the machine in front of you.
    pub host: Option<HostName>,
    /// The places file, when one was named.
    pub places_file: Option<PathBuf>,
}

/// What is known of where things run. Plain data, kept with the accepted plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whereabouts {
    /// The host of this coordinator.
    pub host: Option<HostName>,
    /// Instances that something else keeps running, by service, in order.
    pub placed: BTreeMap<ServiceName, Vec<PlacedInstance>>,
    /// Where that was read, for people; none when there is no places file.
    pub file: Option<PathBuf>,
    /// Why an instance has no address that can be used.
    #[serde(default)]
    pub astray: BTreeMap<String, String>,
}

/// What is to be said about where things run.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Everything together, and what was read.
    pub whereabouts: Whereabouts,
    /// Sentences for people.
    pub notes: Vec<String>,
}

/// Why the places cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// The plan has no such host.
    #[error("the plan has no host `{host}`; its hosts are: {known}")]
    Host {
        /// The host that was said.
        host: HostName,
        /// Those of the plan.
        known: String,
    },
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] placing::PlacingError),
}

impl PlacesError {
    /// What to do.
    pub fn remedy(&self) -> String {
        match self {
            PlacesError::Host { .. } => "name one of them with --host".to_owned(),
            PlacesError::File(error) => error.remedy(),
        }
    }
}

impl Standpoint {
    /// Reads where things are, and shows the house as it looks from here.
    ///
    /// # Errors
    /// The host is not in the plan, or a places file that was named cannot be used.
    pub(crate) fn look(&self, house: &mut House) -> Result<Looked, PlacesError> {
        if let Some(host) = self.host.as_ref().filter(|host| !house.hosts.contains_key(*host)) {
            let known: Vec<&str> = house.hosts.keys().map(HostName::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(PlacesError::Host { host: host.clone(), known });
        }
        let file = match (&self.places_file, &self.host) {
            (Some(path), _) => Some(path.clone()),
            // Nothing was put anywhere yet, or nobody has to know.
            (None, Some(_)) => Some(placing::usual_path(house)).filter(|path| path.exists()),
            (None, None) => None,
        };
        let read = file.as_deref().map(|path| placing::read(path, house)).transpose()?;
        let read = read.unwrap_or_else(|| Placements::none(house.name.clone(), house.stage.clone()));
        let resolved = placing::resolve(read);
        let mut whereabouts = Whereabouts {
            host: self.host.clone(),
            placed: resolved.placements.services,
            file,
            astray: resolved.astray,
        };
        let mut notes = whereabouts.look(house);
        // What runs here is where the plan says.
        let is_elsewhere = |name: &ServiceName| {
            house.services.get(name).is_some_and(|service| service.runs_as == RunsAs::Systemd)
        };
        whereabouts.placed.retain(|name, _| is_elsewhere(name));
        notes.extend(resolved.notes);
        Ok(Looked { whereabouts, notes })
    }
}

impl Whereabouts {
    /// Shows the house as it looks from here; returns what a person should know of it.
    fn look(&self, house: &mut House) -> Vec<String> {
        let mut notes = Vec::new();
        let mut elsewhere: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for service in house.services.values_mut().filter(|service| self.is_elsewhere(service)) {
            let hosts = hosts(service.deployment.as_ref());
            let by = if service.runs_as == RunsAs::Systemd { "systemd" } else { "another coordinator" };
            elsewhere.entry(format!("{by} on {hosts}")).or_default().push(service.name.to_string());
            service.runs_as = RunsAs::Systemd;
            let placed = self.placed.get(&service.name).map_or(0, Vec::len);
            service.instances = u32::try_from(placed).unwrap_or(u32::MAX).max(1);
            service.health = Some(question(service));
            if placed == 0 {
                notes.push(format!("{}: {}", service.name, self.unknown(&service.name)));
            }
        }
        let is_gone = |name: &&ServiceName| !house.services.contains_key(*name);
        let others: Vec<&str> = self.placed.keys().filter(is_gone).map(ServiceName::as_str).collect();
        if let (Some(file), false) = (&self.file, others.is_empty()) {
            notes.push(format!(
                "{} tells of services that are not in the plan: {}",
                file.display(),
                several(&others)
            ));
        }
        for (by, services) in elsewhere {
            let names: Vec<&str> = services.iter().map(String::as_str).collect();
            notes.push(format!("{by} looks after {}, not this coordinator", several(&names)));
        }
        notes
    }

    /// Whether something else than this coordinator keeps a service running.
    fn is_elsewhere(&self, service: &Service) -> bool {
        let on = service.deployment.as_ref().map(|deployment| &deployment.on).filter(|on| !on.is_empty());
        match service.runs_as {
            RunsAs::External => false,
            RunsAs::Systemd => true,
            RunsAs::Process | RunsAs::Coordinator => match (on, &self.host) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(on), Some(own)) => !on.contains(own),
            },
        }
    }

    /// Where an instance was put.
    pub(crate) fn placed(&self, id: &InstanceId) -> Option<&PlacedInstance> {
        self.placed.get(&id.service)?.iter().find(|placed| placed.instance == id.ordinal)
    }

    /// Who keeps an instance running: `systemd on web`.
    pub(crate) fn by(&self, placed: &PlacedInstance) -> String {
        let who = if placed.unit.is_some() { "systemd" } else { "another coordinator" };
        format!("{who} on {}", placed.host)
    }

    /// Whether an instance is on the machine of this coordinator.
    pub(crate) fn is_here(&self, placed: &PlacedInstance) -> bool {
        self.host.as_ref() == Some(&placed.host)
    }

    /// Why there is nobody to ask in the place of an instance; none when there is.
    pub(crate) fn absent(&self, id: &InstanceId) -> Option<String> {
        match self.placed(id) {
            Some(_) => self.astray.get(&id.to_string()).cloned(),
            None => Some(self.unknown(&id.service)),
        }
    }

    fn unknown(&self, service: &ServiceName) -> String {
        match &self.file {
            Some(file) => format!(
                "the places file {} does not say where {service} is; `haus apply` writes it",
                file.display()
            ),
            None => format!("nobody said where {service} is; name the places file with --places"),
        }
    }

    /// Ports on this machine that units of the house have.
    pub(crate) fn ports_here(&self) -> BTreeSet<u16> {
        let placed = self.placed.values().flatten().filter(|placed| self.is_here(placed));
        placed.flat_map(|placed| placed.ports.values().copied()).collect()
    }
}

/// What can be asked of a service that runs elsewhere, in the plan's rhythm.
fn question(service: &Service) -> HealthCheck {
    let planned = service.health.clone().unwrap_or(HealthCheck {
        probe: ProbeKind::Process,
        every: EVERY,
        timeout: TIMEOUT,
        start: START,
        healthy_after: 1,
        unhealthy_after: 3,
    });
    let probe = match planned.probe {
        ProbeKind::Http { .. } | ProbeKind::Tcp { .. } => planned.probe,
        // Neither a command nor a process can be asked over the network.
        ProbeKind::Command { .. } | ProbeKind::Process if service.main_port().is_some() => {
            ProbeKind::Tcp { port: None }
        }
        ProbeKind::Command { .. } | ProbeKind::Process => ProbeKind::Process,
    };
    HealthCheck { probe, ..planned }
}

fn hosts(deployment: Option<&Deployment>) -> String {
    let on = deployment.map(|deployment| deployment.on.as_slice()).unwrap_or_default();
    let names: Vec<&str> = on.iter().map(HostName::as_str).collect();
    if names.is_empty() { "a host that the plan does not name".to_owned() } else { several(&names) }
}

fn several(names: &[&str]) -> String {
    match names.len().checked_sub(NAMED_MAX) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..NAMED_MAX].join(", ")),
        Some(_) | None => names.join(", "),
    }
}

#[cfg(test)]
mod tests;
