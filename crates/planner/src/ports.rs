//! Ports of services on hosts: fixed ones as written, `auto` chosen once from 20000 to 29999 and then kept.
//!
//! Where the search begins depends on the names alone, so that the same plan gives the same numbers on a
//! fresh host and a new service moves nobody. What the manifest lists wins. Processes under a coordinator
//! choose their own.

use crate::inputs::Learned;
use haus_model::house::House;
use haus_model::service::{PortNumber, RunsAs, Service};
use haus_model::{Fingerprint, HostName, PortName, ServiceName};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

const RANGE: RangeInclusive<u16> = 20_000..=29_999;

/// All ports of one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostPorts {
    numbers: BTreeMap<String, u16>,
    chosen: BTreeMap<String, u16>,
}

/// A key of the manifest's list.
pub(crate) fn key(service: &ServiceName, ordinal: u32, port: &PortName) -> String {
    format!("{service}/{ordinal}/{port}")
}

/// Whether a service has resources of its own on hosts.
pub(crate) fn is_on(service: &Service, host: &HostName) -> bool {
    let on = service.deployment.as_ref().is_some_and(|deployment| deployment.on.contains(host));
    match service.runs_as {
        RunsAs::Systemd | RunsAs::Coordinator => on,
        RunsAs::Process | RunsAs::External => false,
    }
}

impl HostPorts {
    /// Chooses for every service of a host.
    pub(crate) fn choose(house: &House, host: &HostName, learned: Option<&Learned>) -> HostPorts {
        let mut ports = HostPorts::default();
        let services: Vec<&Service> =
            house.services.values().filter(|service| is_on(service, host)).collect();
        let nothing = Learned::default();
        let learned = learned.unwrap_or(&nothing);
        let mut taken = fixed_on(house, host);
        // A number of the manifest is taken even when its service rests, so that it finds it again.
        taken.extend(learned.ports.values());
        let mut open = Vec::new();
        for service in services {
            for (port, number) in &service.ports {
                for ordinal in 1..=service.instances.max(1) {
                    let key = key(&service.name, ordinal, port);
                    match (number, learned.ports.get(&key)) {
                        (PortNumber::Fixed(number), _) => drop(ports.numbers.insert(key, *number)),
                        (PortNumber::Auto, Some(number)) => ports.keep(key, *number),
                        (PortNumber::Auto, None) => open.push(key),
                    }
                }
            }
        }
        for key in open {
            let start = start_of(house.name.as_str(), &key);
            let ring = (start..=*RANGE.end()).chain(*RANGE.start()..start);
            let free =
                ring.into_iter().find(|number| !taken.contains(number) && !learned.busy.contains(number));
            // Ten thousand services on one host are more than a plan can hold.
            let number = free.unwrap_or(start);
            taken.insert(number);
            ports.keep(key, number);
        }
        ports
    }

    fn keep(&mut self, key: String, number: u16) {
        self.numbers.insert(key.clone(), number);
        self.chosen.insert(key, number);
    }

    /// The number of a port; the main one without a name.
    pub(crate) fn get(&self, service: &Service, ordinal: u32, port: Option<&PortName>) -> Option<u16> {
        let name = port.or_else(|| service.main_port())?;
        self.numbers.get(&key(&service.name, ordinal, name)).copied()
    }

    /// Those that were chosen and shall stay.
    pub(crate) fn chosen(&self) -> &BTreeMap<String, u16> {
        &self.chosen
    }
}

/// Numbers that the plan gives away on a host, also to processes under its coordinator.
fn fixed_on(house: &House, host: &HostName) -> BTreeSet<u16> {
    let here = house
        .services
        .values()
        .filter(|service| service.deployment.as_ref().is_some_and(|deployment| deployment.on.contains(host)));
    here.flat_map(|service| service.ports.values())
        .filter_map(|number| match number {
            PortNumber::Fixed(number) => Some(*number),
            PortNumber::Auto => None,
        })
        .collect()
}

fn start_of(house: &str, key: &str) -> u16 {
    let hash = Fingerprint::of_parts([house.as_bytes(), key.as_bytes()]);
    let bytes = hash.as_bytes();
    let number = u16::from_be_bytes([bytes[0], bytes[1]]);
    RANGE.start() + number % 10_000
}
