//! Whether what is needed can be reached from where it is needed: addresses, firewalls, files.
//!
//! Knows what the plan says about networks. Whatever is between hosts and not in the plan is not judged.

use crate::code::Code;
use crate::draft::{Draft, Machine, MergedFirewall, Place, PortDraft, ServiceDraft, Stage, TargetDraft};
use crate::fault::{Fault, Session, Subject};
use crate::path::within;
use crate::shape::{Range, parse_range};
use crate::source::Span;
use crate::template::{Part, parts};
use crate::tree::Text;
use crate::variable::{Home, Scope};
use haus_model::host::Protocol;
use haus_model::service::PortNumber;
use std::net::IpAddr;
use std::path::Path;

/// Somebody who needs a service, and where that is said.
#[derive(Clone, Copy)]
struct Need<'a, 't> {
    subject: Subject<'t>,
    /// Who needs it, as a message says it.
    who: &'a str,
    span: Span,
    from: Place,
}

/// Needs of services, routes of the gateway, logins of rotators.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    files(session, draft, stage);
    if stage.fleet.machines.is_empty() {
        return;
    }
    let fleet = &stage.fleet;
    for service in &draft.services {
        let from = fleet.places(service);
        let subject = Subject::Service(service.name.text);
        let who = format!("`{}`", service.name.text);
        for need in &service.needs {
            let Some(other) = draft.service(need.text).filter(|other| other.name.text != service.name.text)
            else {
                continue;
            };
            // Ports are looked up only when somebody is on another host.
            for &from in &from {
                let ports = || used_ports(service, other);
                let need = Need { subject, who: &who, span: need.span, from };
                if reach(session, draft, stage, need, other, &ports) {
                    break;
                }
            }
        }
    }
    let gateway = fleet.gateway(draft);
    for host in &draft.routes {
        for route in &host.routes {
            let TargetDraft::To(to) = &route.target else { continue };
            let (name, port) =
                to.text.split_once(':').map_or((to.text, None), |(name, port)| (name, Some(port)));
            let Some(service) = draft.service(name).filter(|service| !service.is_coordinator()) else {
                continue;
            };
            let ports = || match port {
                Some(port) => service.port(port).into_iter().collect(),
                None => service.main_port().into_iter().collect(),
            };
            let subject = Subject::Host(host.host.text);
            let need = Need { subject, who: "the gateway", span: to.span, from: gateway };
            reach(session, draft, stage, need, service, &ports);
        }
    }
    for credential in &draft.credentials {
        let Some(rotator) = &credential.rotator else { continue };
        let Some(server) = draft.service(rotator.service.text) else { continue };
        let ports = || server.main_port().into_iter().collect();
        let subject = Subject::Credential(credential.name.text);
        let need = Need { subject, who: "the coordinator", span: rotator.service.span, from: gateway };
        reach(session, draft, stage, need, server, &ports);
    }
}

/// The ports of another service that a service speaks of; its main port when it speaks of none.
fn used_ports<'a, 't>(service: &ServiceDraft<'t>, other: &'a ServiceDraft<'t>) -> Vec<&'a PortDraft<'t>> {
    let mut found: Vec<&PortDraft<'t>> = Vec::new();
    let mut look = |text: &str| {
        for part in parts(text) {
            let Part::Variable(name, _) = part else { continue };
            let Some(rest) = name.strip_prefix(other.name.text).and_then(|rest| rest.strip_prefix(".port"))
            else {
                continue;
            };
            let port = match rest.strip_prefix('.') {
                Some(port) => other.port(port),
                None => other.main_port(),
            };
            found.extend(port.filter(|port| !found.iter().any(|known| known.name.text == port.name.text)));
        }
    };
    service.commands().flat_map(|command| &command.words).for_each(|word| look(&word.text));
    service.env.iter().for_each(|(_, value)| look(value.text));
    if found.is_empty() {
        found.extend(other.main_port());
    }
    found
}

/// Reports the first thing that is in the way; says whether there was one.
fn reach<'a, 't: 'a>(
    session: &Session<'t>,
    draft: &Draft<'t>,
    stage: &Stage<'_, 't>,
    need: Need<'_, 't>,
    other: &'a ServiceDraft<'t>,
    ports: &dyn Fn() -> Vec<&'a PortDraft<'t>>,
) -> bool {
    let places = stage.fleet.places(other);
    if places.contains(&need.from) {
        return false;
    }
    for place in places {
        let fault = listens(draft, stage, need, other, place)
            .or_else(|| opened(draft, stage, need, other, place, &ports()));
        if let Some(fault) = fault {
            session.report(fault);
            return true;
        }
    }
    false
}

/// Whether it listens where others can reach it.
fn listens<'t>(
    draft: &Draft<'t>,
    stage: &Stage<'_, 't>,
    need: Need<'_, 't>,
    other: &ServiceDraft<'t>,
    place: Place,
) -> Option<Fault<'t>> {
    let name = other.name.text;
    let Some(machine) = stage.fleet.at(place) else {
        let message = format!("{} needs `{name}`, which runs on the machine in front of you", need.who);
        let fault = Fault::new(Code::Unreachable, need.subject, need.span, message);
        return Some(
            fault
                .label("no host knows where that is")
                .related(other.name.span, "it has no `on`")
                .remedy(format!("add `on: HOST` to `{name}`, or let both run in front of you")),
        );
    };
    let listen = match other.address {
        Some(address) => {
            let scope = Scope { draft, stage, domain: "", home: Home::Service(other) };
            scope.listen_address(other, address)?
        }
        None => "127.0.0.1".to_owned(),
    };
    if !listen.parse::<IpAddr>().ok()?.is_loopback() {
        return None;
    }
    let host = machine.name().text;
    let message = format!("{} needs `{name}`, which listens on {listen} of host {host} alone", need.who);
    let fault = Fault::new(Code::Unreachable, need.subject, need.span, message);
    let network = machine.networks.first().map_or("0.0.0.0", |(network, _)| network.text);
    let span = other.address.map_or(other.name.span, |address| address.span);
    let remedy = if need.who == "the gateway" {
        format!(
            "let the gateway run there, `as: coordinator` with `on: {host}`, or add `address: {network}` to `{name}`"
        )
    } else {
        format!("add `address: {network}` to `{name}`, or let both run on one host")
    };
    Some(fault.label("on another host").related(span, "listens here").remedy(remedy))
}

/// Whether the firewall of its host lets the one who needs it in.
fn opened<'t>(
    draft: &Draft<'t>,
    stage: &Stage<'_, 't>,
    need: Need<'_, 't>,
    other: &ServiceDraft<'t>,
    place: Place,
    ports: &[&PortDraft<'t>],
) -> Option<Fault<'t>> {
    let machine = stage.fleet.at(place)?;
    let firewall = machine.firewall()?;
    let host = machine.name().text;
    for port in ports {
        let PortNumber::Fixed(number) = port.number else {
            let name = other.name.text;
            let message = format!(
                "{} needs `{name}`, whose port is `auto`, so that the firewall of host {host} cannot let it in",
                need.who
            );
            let fault = Fault::new(Code::FirewallCloses, need.subject, need.span, message);
            return Some(
                fault
                    .label("on another host")
                    .related(port.span, "which number?")
                    .remedy(format!("give the port of `{name}` a number and allow it on host {host}")),
            );
        };
        if lets_in(draft, stage, need.from, &firewall, number) {
            continue;
        }
        let message =
            format!("{} needs port {number} of host {host}, and its firewall does not allow it", need.who);
        let fault = Fault::new(Code::FirewallCloses, need.subject, need.span, message);
        let from = match need.from {
            Place::On(at) => format!(", from: [{}]", stage.fleet.machines[at].name().text),
            Place::Here => String::new(),
        };
        return Some(
            fault
                .label("closed")
                .related(firewall.key, "this firewall")
                .remedy(format!("allow it there: `{{ port: {number}{from} }}`")),
        );
    }
    None
}

/// Whether a rule lets this place in. Where its addresses are not known, it gets the benefit of the doubt.
fn lets_in(
    draft: &Draft<'_>,
    stage: &Stage<'_, '_>,
    from: Place,
    firewall: &MergedFirewall<'_, '_>,
    port: u16,
) -> bool {
    let addresses = stage.fleet.at(from).map(Machine::addresses).unwrap_or_default();
    let rules = firewall.allow.iter().filter(|rule| rule.port == port && rule.protocol == Protocol::Tcp);
    for rule in rules {
        if rule.from.is_empty() || addresses.is_empty() {
            return true;
        }
        for origin in &rule.from {
            let ranges = ranges(draft, stage, *origin);
            // What the plan does not know may well be right; it is reported by itself.
            if ranges.is_empty()
                || ranges.iter().any(|range| addresses.iter().any(|address| range.contains(*address)))
            {
                return true;
            }
        }
    }
    false
}

/// The addresses that an origin stands for.
fn ranges(draft: &Draft<'_>, stage: &Stage<'_, '_>, origin: Text<'_>) -> Vec<Range> {
    if let Some(range) = parse_range(origin.text) {
        return vec![range];
    }
    if let Ok(address) = origin.text.parse::<IpAddr>() {
        return vec![Range::single(address)];
    }
    if let Some(machine) = stage.fleet.machine(origin.text) {
        return machine.addresses().into_iter().map(Range::single).collect();
    }
    let network = draft.network(origin.text).and_then(|network| parse_range(network.range?.text));
    network.into_iter().collect()
}

/// Files that the gateway serves have to be where it runs.
fn files<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    let mut gateway: Option<Place> = None;
    for host in &draft.routes {
        for route in &host.routes {
            let TargetDraft::Files { root, of, .. } = &route.target else { continue };
            let subject = Subject::Host(host.host.text);
            let Some(of) = of else { continue };
            let Some(service) = draft.service(of.text) else {
                let names = draft.service_names();
                let remedy = session.suggest.remedy(of.text, names, || "name a service".to_owned());
                let message = format!("the files are those of `{}`, which does not exist", of.text);
                let fault = Fault::new(Code::RouteNowhere, subject, of.span, message);
                session.report(fault.label("unknown service").remedy(remedy));
                continue;
            };
            if within(Path::new(""), root.text).is_none() {
                session.report(crate::path::escape_fault(*root, subject));
            }
            if !stage.fleet.machines.is_empty() {
                let place = *gateway.get_or_insert_with(|| stage.fleet.gateway(draft));
                elsewhere(session, stage, place, subject, service, *of);
            }
        }
    }
}

/// Code of a service that is not on the gateway's host. The plan's own folder comes along with the gateway.
fn elsewhere<'t>(
    session: &Session<'t>,
    stage: &Stage<'_, 't>,
    gateway: Place,
    subject: Subject<'t>,
    service: &ServiceDraft<'t>,
    of: Text<'t>,
) {
    if stage.fleet.places(service).contains(&gateway) {
        return;
    }
    let message = format!("the files of `{}` are not on the machine of the gateway", of.text);
    let fault = Fault::new(Code::FilesElsewhere, subject, of.span, message);
    session.report(
        fault
            .label("on another machine")
            .related(service.name.span, "the service")
            .remedy("let the service and the gateway run on one host: `as: coordinator` with `on`"),
    );
}
