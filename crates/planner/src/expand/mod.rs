//! From the plan's words to resources: everything composite is taken apart here, so that whoever compares or
//! acts knows primitives only. One file per word of the plan. Not known here: what a host has already.

mod accounts;
mod collect;
mod coordinator;
mod files;
mod firewall;
pub(crate) mod hardening;
mod nginx;
mod service;
mod service_units;
mod source;
mod sshd;
mod steps;
mod system;
mod unit_file;
mod variables;

use crate::desired::{Desired, DesiredHost};
use crate::inputs::Inputs;
use crate::ports::{self, HostPorts};
use collect::Collector;
use haus_model::host::Host;
use haus_model::house::House;
use haus_model::service::RunsAs;
use haus_model::{HostName, ServiceName};
use std::collections::{BTreeMap, BTreeSet};

/// What every host of the house must have.
///
/// Faults of one host do not stop the others; they stand in [`DesiredHost::faults`].
pub fn expand(house: &House, inputs: &Inputs) -> Desired {
    let ports: BTreeMap<&HostName, HostPorts> = house
        .hosts
        .keys()
        .map(|host| (host, HostPorts::choose(house, host, inputs.learned.get(host))))
        .collect();
    let hosts = house.hosts.values().map(|host| {
        let view = View { house, host, inputs, ports: &ports };
        (host.name.clone(), expand_host(view))
    });
    Desired { house: house.name.clone(), stage: house.stage.clone(), hosts: hosts.collect() }
}

/// Everything that the expansion of one host may look at.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub house: &'a House,
    pub host: &'a Host,
    pub inputs: &'a Inputs,
    pub ports: &'a BTreeMap<&'a HostName, HostPorts>,
}

impl<'a> View<'a> {
    /// The ports of services on this host.
    pub(crate) fn own_ports(&self) -> &'a HostPorts {
        &self.ports[&self.host.name]
    }

    /// `hosts.NAME.WORD`, as the place in the plan is told to people.
    pub(crate) fn word(&self, word: &str) -> String {
        format!("hosts.{}.{word}", self.host.name)
    }
}

fn expand_host(view: View<'_>) -> DesiredHost {
    let mut collector = Collector::new(view);
    let settings = &view.host.settings;
    accounts::expand(&mut collector);
    files::expand(&mut collector);
    system::expand(&mut collector);
    if let Some(firewall) = &settings.firewall {
        firewall::expand(&mut collector, firewall);
    }
    if let Some(sshd) = &settings.sshd {
        sshd::expand(&mut collector, sshd);
    }
    nginx::expand(&mut collector);
    let steps = steps::expand(&mut collector);
    for service in view.house.services.values().filter(|service| ports::is_on(service, &view.host.name)) {
        match service.runs_as {
            RunsAs::Systemd => service::expand(&mut collector, service, &steps),
            RunsAs::Coordinator => coordinator::expand(&mut collector, service, &steps),
            // They belong to the supervision of a coordinator, or to nobody here.
            RunsAs::Process | RunsAs::External => {}
        }
    }
    let collected = collector.finish();
    DesiredHost {
        connect: view.host.connect.clone(),
        elevation: view.host.elevation,
        os: view.host.os.clone(),
        architecture: view.host.architecture,
        resources: collected.resources,
        reads: collected.reads,
        ports: view.own_ports().chosen().clone(),
        listens: collected.listens,
        needs: needed_hosts(view),
        firewall: settings.firewall.clone(),
        sshd: settings.sshd.clone(),
        faults: collected.faults,
    }
}

/// Hosts with a service that one of ours needs, or that it names by a variable. Processes under a coordinator
/// count: they start with it.
fn needed_hosts(view: View<'_>) -> BTreeSet<HostName> {
    let hosts_of = |name: &ServiceName| {
        let deployment = view.house.services.get(name).and_then(|service| service.deployment.as_ref());
        deployment.into_iter().flat_map(|deployment| deployment.on.iter())
    };
    let here = view.house.services.values().filter(|service| {
        service.deployment.as_ref().is_some_and(|deployment| deployment.on.contains(&view.host.name))
    });
    let asked = here.clone().filter_map(|service| service.deployment.as_ref()).flat_map(|on| on.asks.iter());
    let asked: BTreeSet<HostName> = asked.filter(|host| **host != view.host.name).cloned().collect();
    here.flat_map(|service| service.needs.iter())
        // What also runs here is needed from here.
        .filter(|name| !hosts_of(name).any(|host| *host == view.host.name))
        .flat_map(hosts_of)
        .cloned()
        .chain(asked)
        .collect()
}
