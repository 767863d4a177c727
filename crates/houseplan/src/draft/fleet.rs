//! The hosts as one stage sees them: overrides applied, and the settings of the house, of groups and of the
//! host laid over each other.
//!
//! Judges nothing: a host without a road, or an unknown group, is simply as incomplete as it is written.

use super::settings::{
    AccountDraft, DirectoryDraft, FileDraft, MachineDraft, MachineKind, OverrideDraft, RuleDraft,
    SettingsDraft, SiteDraft, StepDraft, TlsDraft, UnitDraft,
};
use super::{Draft, ServiceDraft, StageDraft};
use crate::shape::parse_connect;
use crate::source::Span;
use crate::tree::Text;
use haus_model::host::{Connect, RootLogin};
use std::collections::HashMap;
use std::net::IpAddr;

/// Where something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The machine in front of you.
    Here,
    /// A host, by its number in the fleet.
    On(usize),
}

/// Every host of a stage.
#[derive(Default)]
pub(crate) struct Fleet<'a, 't> {
    pub(crate) machines: Vec<Machine<'a, 't>>,
    /// Machines by name; looked up, never iterated.
    index: HashMap<&'t str, usize>,
    /// Whether this stage has no hosts although the plan has: `hosts: none`.
    pub(crate) without: bool,
}

/// One host with everything that it inherits.
pub(crate) struct Machine<'a, 't> {
    pub(crate) draft: &'a MachineDraft<'t>,
    /// As written, wherever that is.
    pub(crate) connect_text: Option<Text<'t>>,
    pub(crate) connect: Option<Connect>,
    pub(crate) address: Option<Text<'t>>,
    /// Its address in each network, with the place where the network is named.
    pub(crate) networks: Vec<(Text<'t>, Text<'t>)>,
    pub(crate) kind: MachineKind<'t>,
    /// Settings from the widest to the nearest.
    pub(crate) layers: Vec<&'a SettingsDraft<'t>>,
}

impl<'a, 't> Fleet<'a, 't> {
    /// The hosts of this stage; none for the only stage of a plan without stages.
    pub(crate) fn of(draft: &'a Draft<'t>, stage: Option<&StageDraft<'t>>) -> Fleet<'a, 't> {
        if stage.is_some_and(|stage| stage.without_hosts) {
            return Fleet { without: true, ..Fleet::default() };
        }
        let others = stage.map(|stage| stage.machines.as_slice()).unwrap_or_default();
        let others: HashMap<&str, &OverrideDraft<'t>> =
            others.iter().map(|other| (other.name.text, other)).collect();
        let of = |machine: &'a MachineDraft<'t>| one(draft, machine, others.get(machine.name.text).copied());
        let machines: Vec<Machine<'a, 't>> = draft.machines.iter().map(of).collect();
        let index = machines.iter().enumerate().map(|(at, machine)| (machine.draft.name.text, at)).collect();
        Fleet { machines, index, without: false }
    }

    pub(crate) fn machine(&self, name: &str) -> Option<&Machine<'a, 't>> {
        self.index.get(name).map(|&at| &self.machines[at])
    }

    /// The host at a place; the machine in front of you may be one too.
    pub(crate) fn at(&self, place: Place) -> Option<&Machine<'a, 't>> {
        match place {
            Place::On(at) => self.machines.get(at),
            Place::Here => self.machines.iter().find(|machine| machine.is_here()),
        }
    }

    /// Where a host is.
    pub(crate) fn place(&self, name: &str) -> Option<Place> {
        let &at = self.index.get(name)?;
        Some(if self.machines[at].is_here() { Place::Here } else { Place::On(at) })
    }

    /// Where a service runs. What runs somewhere else has no place.
    pub(crate) fn places(&self, service: &ServiceDraft<'t>) -> Vec<Place> {
        if service.is_external() {
            return Vec::new();
        }
        if self.without || service.on().is_empty() {
            return vec![Place::Here];
        }
        service.on().iter().filter_map(|host| self.place(host.text)).collect()
    }

    /// Where the gateway runs: beside Hausmeister's own API.
    pub(crate) fn gateway(&self, draft: &Draft<'t>) -> Place {
        let coordinator = draft.services.iter().find(|service| service.is_coordinator());
        let places = coordinator.map(|service| self.places(service)).unwrap_or_default();
        places.first().copied().unwrap_or(Place::Here)
    }
}

/// One host: what the stage says wins over what the host says, and that over its groups.
fn one<'a, 't>(
    draft: &'a Draft<'t>,
    machine: &'a MachineDraft<'t>,
    own: Option<&OverrideDraft<'t>>,
) -> Machine<'a, 't> {
    let mut layers = vec![&draft.everywhere];
    layers.extend(
        machine.groups.iter().filter_map(|group| draft.group(group.text)).map(|group| &group.settings),
    );
    layers.push(&machine.settings);
    let mut kind = MachineKind::default();
    for next in layers.iter().map(|layer| layer.kind).chain(own.map(|own| own.kind)) {
        kind.elevation = next.elevation.or(kind.elevation);
        kind.os = next.os.or(kind.os);
        kind.arch = next.arch.or(kind.arch);
    }
    let mut networks = machine.road.networks.clone();
    for (network, address) in own.map(|own| own.road.networks.as_slice()).unwrap_or_default() {
        match networks.iter_mut().find(|(known, _)| known.text == network.text) {
            Some(known) => *known = (*network, *address),
            None => networks.push((*network, *address)),
        }
    }
    let connect_text = own.and_then(|own| own.road.connect).or(machine.road.connect);
    Machine {
        draft: machine,
        connect_text,
        connect: connect_text.and_then(|text| parse_connect(text.text)),
        address: own.and_then(|own| own.road.address).or(machine.road.address),
        networks,
        kind,
        layers,
    }
}

/// SSH settings of a host after merging.
#[derive(Default)]
pub(crate) struct MergedSshd<'t> {
    pub(crate) ports: Vec<(u16, Span)>,
    pub(crate) passwords: Option<(bool, Span)>,
    pub(crate) root: Option<(RootLogin, Span)>,
    pub(crate) allow_users: Vec<Text<'t>>,
}

/// The firewall of a host after merging.
pub(crate) struct MergedFirewall<'a, 't> {
    pub(crate) key: Span,
    pub(crate) allow: Vec<&'a RuleDraft<'t>>,
    pub(crate) ping: Option<bool>,
}

/// An account after merging.
pub(crate) struct MergedAccount<'a, 't> {
    pub(crate) name: &'t str,
    /// From the widest to the nearest.
    pub(crate) parts: Vec<&'a AccountDraft<'t>>,
}

impl<'a, 't> Machine<'a, 't> {
    pub(crate) fn name(&self) -> Text<'t> {
        self.draft.name
    }

    /// Whether it is the machine in front of you.
    pub(crate) fn is_here(&self) -> bool {
        self.connect == Some(Connect::Local)
    }

    /// The name or address by which other hosts reach it.
    pub(crate) fn reached_at(&self) -> String {
        if let Some(address) = self.address.or(self.networks.first().map(|(_, address)| *address)) {
            return address.text.to_owned();
        }
        match &self.connect {
            Some(Connect::Ssh { host, .. }) => host.clone(),
            Some(Connect::Incus { instance, .. }) => instance.clone(),
            Some(Connect::Local) | None => "127.0.0.1".to_owned(),
        }
    }

    /// Its address in a network.
    pub(crate) fn address_in(&self, network: &str) -> Option<Text<'t>> {
        self.networks.iter().find(|(known, _)| known.text == network).map(|(_, address)| *address)
    }

    /// Every address of it that the plan knows.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let own = [self.reached_at()];
        let written = self.networks.iter().map(|(_, address)| address.text);
        written.chain(own.iter().map(String::as_str)).filter_map(|address| address.parse().ok()).collect()
    }

    /// Entries with names: the nearest one with a name counts, as a whole, at the place of the first.
    fn merged<T>(
        &self,
        entries: impl Fn(&'a SettingsDraft<'t>) -> &'a [T],
        name: impl Fn(&'a T) -> &'t str,
    ) -> Vec<&'a T> {
        let mut merged: Vec<&'a T> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for entry in self.layers.iter().flat_map(|layer| entries(layer)) {
            match known.get(name(entry)) {
                Some(&at) => merged[at] = entry,
                None => {
                    known.insert(name(entry), merged.len());
                    merged.push(entry);
                }
            }
        }
        merged
    }

    pub(crate) fn packages(&self) -> impl Iterator<Item = Text<'t>> + use<'_, 'a, 't> {
        self.layers.iter().flat_map(|layer| layer.packages.iter().copied())
    }

    pub(crate) fn hold(&self) -> impl Iterator<Item = Text<'t>> + use<'_, 'a, 't> {
        self.layers.iter().flat_map(|layer| layer.hold.iter().copied())
    }

    pub(crate) fn directories(&self) -> Vec<&'a DirectoryDraft<'t>> {
        self.merged(|layer| &layer.directories, |directory| directory.path.text)
    }

    pub(crate) fn files(&self) -> Vec<&'a FileDraft<'t>> {
        self.merged(|layer| &layer.files, |file| file.path.text)
    }

    pub(crate) fn links(&self) -> Vec<&'a (Text<'t>, Text<'t>)> {
        self.merged(|layer| &layer.links, |(link, _)| link.text)
    }

    pub(crate) fn sysctl(&self) -> Vec<&'a (Text<'t>, Text<'t>)> {
        self.merged(|layer| &layer.sysctl, |(name, _)| name.text)
    }

    pub(crate) fn nginx(&self) -> Vec<&'a SiteDraft<'t>> {
        self.merged(|layer| &layer.nginx, |site| site.name.text)
    }

    pub(crate) fn units(&self) -> Vec<&'a UnitDraft<'t>> {
        self.merged(|layer| &layer.units, |unit| unit.name.text)
    }

    pub(crate) fn tls(&self) -> Vec<&'a TlsDraft<'t>> {
        self.merged(|layer| &layer.tls, |tls| tls.name.text)
    }

    pub(crate) fn steps(&self) -> Vec<&'a StepDraft<'t>> {
        self.merged(|layer| &layer.steps, |step| step.name.text)
    }

    /// Accounts, which grow from layer to layer instead of being replaced.
    pub(crate) fn accounts(&self) -> Vec<MergedAccount<'a, 't>> {
        let mut merged: Vec<MergedAccount<'a, 't>> = Vec::new();
        for account in self.layers.iter().flat_map(|layer| &layer.accounts) {
            let name = account.name.text;
            match merged.iter_mut().find(|known| known.name == name) {
                Some(known) => known.parts.push(account),
                None => merged.push(MergedAccount { name, parts: vec![account] }),
            }
        }
        merged
    }

    /// None when nobody says anything about it.
    pub(crate) fn sshd(&self) -> Option<MergedSshd<'t>> {
        let mut merged: Option<MergedSshd<'t>> = None;
        for sshd in self.layers.iter().filter_map(|layer| layer.sshd.as_ref()) {
            let merged = merged.get_or_insert_default();
            merged.ports.extend(&sshd.ports);
            merged.passwords = sshd.passwords.or(merged.passwords);
            merged.root = sshd.root.or(merged.root);
            merged.allow_users.extend(&sshd.allow_users);
        }
        merged
    }

    /// None when nobody says anything about it.
    pub(crate) fn firewall(&self) -> Option<MergedFirewall<'a, 't>> {
        let mut merged: Option<MergedFirewall<'a, 't>> = None;
        for firewall in self.layers.iter().filter_map(|layer| layer.firewall.as_ref()) {
            let Some(key) = firewall.key else { continue };
            let merged = merged.get_or_insert(MergedFirewall { key, allow: Vec::new(), ping: None });
            merged.key = key;
            merged.allow.extend(&firewall.allow);
            merged.ping = firewall.ping.or(merged.ping);
        }
        merged
    }
}
