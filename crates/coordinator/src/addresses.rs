//! Who listens where: the ports of every instance, and how variables find them.

use crate::ports::Numbers;
use crate::whereabouts::Whereabouts;
use haus_model::house::House;
use haus_model::id::PortName;
use haus_model::json::Json;
use haus_model::placement::PlacedInstance;
use haus_model::service::{PortNumber, RunsAs, Service};
use haus_model::template::{Template, Variable};
use haus_model::{InstanceId, ServiceName};
use std::collections::{BTreeMap, BTreeSet};

/// The ports of every instance of a house.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    ports: BTreeMap<(ServiceName, u32), BTreeMap<PortName, u16>>,
    address: BTreeMap<ServiceName, String>,
    main: BTreeMap<ServiceName, PortName>,
    whereabouts: Whereabouts,
}

impl Addresses {
    /// The addresses of a house whose `auto` ports are given by `auto`, and of what runs elsewhere.
    pub(crate) fn new(house: &House, auto: &Numbers, whereabouts: &Whereabouts) -> Addresses {
        let mut addresses = Addresses { whereabouts: whereabouts.clone(), ..Addresses::default() };
        for service in house.services.values() {
            if let Some(main) = service.main_port() {
                addresses.main.insert(service.name.clone(), main.clone());
            }
            if service.runs_as == RunsAs::Systemd {
                addresses.take_placed(&service.name);
                continue;
            }
            addresses.address.insert(service.name.clone(), service.address.clone());
            for ordinal in 1..=service.instances {
                let id = InstanceId { service: service.name.clone(), ordinal };
                let ports = service.ports.iter().filter_map(|(name, number)| match number {
                    PortNumber::Fixed(port) => Some((name.clone(), *port)),
                    PortNumber::Auto => {
                        auto.get(&(id.clone(), name.clone())).map(|port| (name.clone(), *port))
                    }
                });
                addresses.ports.insert((service.name.clone(), ordinal), ports.collect());
            }
        }
        addresses
    }

    /// What runs elsewhere is where it was put; the service as a whole is where its first instance is.
    fn take_placed(&mut self, service: &ServiceName) {
        let placed = self.whereabouts.placed.get(service).map(Vec::as_slice).unwrap_or_default();
        let usable = |one: &&PlacedInstance| self.whereabouts.absent(&one.id(service)).is_none();
        let usable: Vec<PlacedInstance> = placed.iter().filter(usable).cloned().collect();
        for one in usable {
            if one.instance == 1 {
                self.address.insert(service.clone(), one.address);
            }
            self.ports.insert((service.clone(), one.instance), one.ports);
        }
    }

    /// What is known of where things run.
    pub(crate) fn whereabouts(&self) -> &Whereabouts {
        &self.whereabouts
    }

    /// The address that an instance listens on.
    pub(crate) fn address_of(&self, id: &InstanceId) -> Option<&str> {
        match self.whereabouts.placed(id) {
            Some(placed) => self.whereabouts.absent(id).is_none().then_some(placed.address.as_str()),
            None => self.address(&id.service),
        }
    }

    /// The ports of an instance by name.
    pub(crate) fn ports(&self, id: &InstanceId) -> BTreeMap<PortName, u16> {
        self.ports.get(&(id.service.clone(), id.ordinal)).cloned().unwrap_or_default()
    }

    /// A port of an instance: the named one, else the main one.
    pub(crate) fn port(&self, id: &InstanceId, name: Option<&PortName>) -> Option<u16> {
        let name = name.or_else(|| self.main.get(&id.service))?;
        self.ports.get(&(id.service.clone(), id.ordinal))?.get(name).copied()
    }

    /// The address that a service listens on.
    pub(crate) fn address(&self, service: &ServiceName) -> Option<&str> {
        self.address.get(service).map(String::as_str)
    }

    /// `NAME → address and ports` of every service whose address this one is told, for its
    /// fingerprint: a process that was told an address must be replaced when that changes.
    /// Its own first port belongs to that: it is told on the command line.
    pub(crate) fn told_to(&self, service: &Service) -> BTreeMap<String, String> {
        let own = std::iter::once(service.name.clone());
        let told = mentioned(service).into_iter().chain(own).map(|name| {
            let id = InstanceId { service: name.clone(), ordinal: 1 };
            let ports: Vec<String> =
                self.ports(&id).iter().map(|(name, port)| format!("{name}={port}")).collect();
            let address = self.address(&name).unwrap_or("");
            (name.to_string(), format!("{address} {}", ports.join(" ")))
        });
        told.collect()
    }
}

/// Services whose address or port a process is told at its start.
fn mentioned(service: &Service) -> BTreeSet<ServiceName> {
    let mut names = BTreeSet::new();
    let mut note = |template: &Template| {
        names.extend(template.variables().filter_map(|variable| match variable {
            Variable::AddressOf(name) | Variable::PortOf(name, _) => Some(name.clone()),
            Variable::Port(_)
            | Variable::Data(_)
            | Variable::Config
            | Variable::Credentials
            | Variable::Address
            | Variable::Instance
            | Variable::In => None,
        }));
    };
    service.run.iter().chain(service.env.values()).for_each(&mut note);
    if let Some(config) = &service.config {
        each_text(config, &mut |text| note(&Template::from_display(text)));
    }
    names
}

fn each_text(value: &Json, visit: &mut dyn FnMut(&str)) {
    match value {
        Json::Text(text) => visit(text),
        Json::List(items) => items.iter().for_each(|item| each_text(item, visit)),
        Json::Object(members) => members.values().for_each(|item| each_text(item, visit)),
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Float(_) => {}
    }
}
