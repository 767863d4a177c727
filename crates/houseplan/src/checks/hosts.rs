//! Names of hosts, groups and networks: each exists, is used, and every host can be reached.

use crate::code::Code;
use crate::draft::{ContentDraft, Draft, Machine, RuleDraft, SettingsDraft, Stage};
use crate::fault::{Fault, Session, Subject};
use crate::shape::{parse_address, parse_range};
use crate::source::Span;
use crate::tree::Text;
use haus_model::host::Connect;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// What is the same in every stage.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    let mut used: HashSet<&str> = HashSet::new();
    for machine in &draft.machines {
        let subject = Subject::Machine(machine.name.text);
        twice(session, subject, &machine.groups);
        for group in &machine.groups {
            used.insert(group.text);
            if draft.group(group.text).is_none() {
                let names = draft.groups.iter().map(|group| group.name.text);
                let remedy = session
                    .suggest
                    .remedy(group.text, names, || "add it under `groups`, or remove it here".to_owned());
                let message = format!("there is no group `{}`", group.text);
                let fault = Fault::new(Code::GroupUnknown, subject, group.span, message);
                session.report(fault.label("unknown group").remedy(remedy));
            }
        }
        networks(session, draft, subject, &machine.road.networks);
        if let Some(network) = draft.network(machine.name.text) {
            let message = format!("`{}` is a network and a host", machine.name.text);
            let fault = Fault::new(Code::TwoHomes, subject, machine.name.span, message);
            session.report(
                fault
                    .label("a host")
                    .related(network.name.span, "and a network")
                    .remedy("rename one: in a firewall nobody could tell which is meant"),
            );
        }
    }
    for group in draft.groups.iter().filter(|group| !used.contains(group.name.text)) {
        let message = format!("no host is in the group `{}`", group.name.text);
        let fault = Fault::new(Code::GroupUnused, Subject::Group(group.name.text), group.name.span, message);
        session
            .report(fault.label("nobody has this").remedy("name it under `groups` of a host, or remove it"));
    }
    for stage in &draft.stages {
        for other in &stage.machines {
            let subject = Subject::Machine(other.name.text);
            networks(session, draft, subject, &other.road.networks);
            known(session, draft, Subject::Stage(stage.name.text), other.name);
        }
    }
    for service in draft.services.iter().filter(|service| service.deployment.is_some()) {
        let subject = Subject::Service(service.name.text);
        twice(session, subject, service.on());
        service.on().iter().for_each(|host| known(session, draft, subject, *host));
    }
    for (subject, settings) in draft.settings() {
        of_settings(session, draft, subject, settings);
    }
}

/// A name of a host that must exist.
fn known<'t>(session: &Session<'t>, draft: &Draft<'t>, subject: Subject<'t>, host: Text<'t>) {
    if draft.machine(host.text).is_some() {
        return;
    }
    let names = draft.machines.iter().map(|machine| machine.name.text);
    let remedy = session.suggest.remedy(host.text, names, || "add it under `hosts`".to_owned());
    let fault =
        Fault::new(Code::HostUnknown, subject, host.span, format!("there is no host `{}`", host.text));
    session.report(fault.label("unknown host").remedy(remedy));
}

/// A name that is in a list again.
fn twice<'t>(session: &Session<'t>, subject: Subject<'t>, names: &[Text<'t>]) {
    let mut first: HashMap<&str, Span> = HashMap::new();
    for name in names.iter().filter(|_| names.len() > 1) {
        let Some(before) = first.insert(name.text, name.span) else { continue };
        let fault = Fault::new(Code::TwoHomes, subject, name.span, format!("`{}` is said twice", name.text));
        session.report(fault.label("again").related(before, "first").remedy("keep one of them"));
    }
}

fn networks<'t>(
    session: &Session<'t>,
    draft: &Draft<'t>,
    subject: Subject<'t>,
    networks: &[(Text<'t>, Text<'t>)],
) {
    for (network, _) in networks.iter().filter(|(network, _)| draft.network(network.text).is_none()) {
        unknown_network(session, draft, subject, *network, "");
    }
}

/// `what` is what else could have stood there.
fn unknown_network<'t>(
    session: &Session<'t>,
    draft: &Draft<'t>,
    subject: Subject<'t>,
    network: Text<'t>,
    what: &str,
) {
    let names = draft.networks.iter().map(|network| network.name.text);
    let remedy = match network.text {
        "localhost" => "write `127.0.0.1`".to_owned(),
        text => session.suggest.remedy(text, names, || format!("add `{text}: RANGE` under `networks`")),
    };
    let message = format!("there is no network{what} `{}`", network.text);
    let fault = Fault::new(Code::NetworkUnknown, subject, network.span, message);
    session.report(fault.label("unknown network").remedy(remedy));
}

/// What settings say by themselves, whoever has them.
fn of_settings<'t>(
    session: &Session<'t>,
    draft: &Draft<'t>,
    subject: Subject<'t>,
    settings: &SettingsDraft<'t>,
) {
    for rule in settings.firewall.iter().flat_map(|firewall| &firewall.allow) {
        if let (Some(span), true) = (rule.from_key, rule.from.is_empty()) {
            let fault = Fault::new(Code::Form, subject, span, "`from` is an empty list");
            session.report(fault.label("names none").remedy("name some, or remove the key for everybody"));
        }
        for origin in rule.from.iter().filter(|origin| is_name(origin.text)) {
            if draft.network(origin.text).is_none() && draft.machine(origin.text).is_none() {
                unknown_network(session, draft, subject, *origin, " and no host");
            }
        }
    }
    for file in &settings.files {
        let Some((command, span)) = &file.check else { continue };
        if !command.words.iter().any(|word| word.text.contains("{}")) {
            let message = format!("the check of `{}` does not look at the file", file.path.text);
            let fault = Fault::new(Code::Form, subject, *span, message);
            session.report(
                fault.label("where is `{}`?").remedy("write `{}` where the path of the file belongs"),
            );
        }
    }
    for file in &settings.files {
        let secret = matches!(file.content, Some(ContentDraft::Credential(_)));
        if let Some((mode, span)) = file.access.mode.filter(|(mode, _)| secret && mode & 0o004 != 0) {
            let message = format!("with {mode:04o} everybody on the host can read `{}`", file.path.text);
            let fault = Fault::new(Code::OpenSecret, subject, span, message);
            session
                .report(fault.label("for everybody").remedy("write `\"0600\"`, or `\"0640\"` and a `group`"));
        }
    }
    for step in settings.steps.iter().filter(|step| step.unless.is_none() && step.run.is_some()) {
        let message = format!("nothing tells whether the step `{}` is done", step.name.text);
        let fault = Fault::new(Code::StepAlways, subject, step.name.span, message);
        session.report(
            fault
                .label("runs once for what is written here")
                .remedy("add `unless: COMMAND` that ends with 0 when it is done"),
        );
    }
}

fn is_name(origin: &str) -> bool {
    origin.parse::<IpAddr>().is_err() && parse_range(origin).is_none()
}

/// Roads and addresses, which differ between stages.
pub(super) fn check_stage<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    let mut roads: HashMap<Road<'_>, &Machine<'_, 't>> = HashMap::new();
    for machine in &stage.fleet.machines {
        let subject = Subject::Machine(machine.name().text);
        if machine.connect_text.is_none() {
            let message = format!("nothing says how `{}` is reached", machine.name().text);
            let fault = Fault::new(Code::HostRoad, subject, machine.name().span, message);
            session.report(
                fault
                    .label("has no `connect`")
                    .remedy("add `connect: ssh://USER@HOST`, here or in every stage"),
            );
        }
        let Some(connect) = &machine.connect else { continue };
        let Some(first) = roads.insert(Road::of(connect), machine) else { continue };
        let message = format!("`{}` and `{}` are one machine", machine.name().text, first.name().text);
        let span = machine.connect_text.map(|text| text.span);
        let mut fault = Fault::new(Code::SameMachine, subject, span, message)
            .label("the same road")
            .remedy("make one host of them: two would undo each other's work");
        if let Some(text) = first.connect_text {
            fault = fault.related(text.span, "first");
        }
        session.report(fault);
    }
    origins(session, draft, stage);
    listeners(session, draft, stage);
}

/// What makes two roads lead to one machine. Accounts do not matter.
#[derive(PartialEq, Eq, Hash)]
enum Road<'a> {
    Here,
    Ssh(&'a str, u16),
    Incus(&'a str, &'a str),
}

impl Road<'_> {
    fn of(connect: &Connect) -> Road<'_> {
        match connect {
            Connect::Local => Road::Here,
            Connect::Ssh { host, port, .. } => Road::Ssh(host, port.unwrap_or(22)),
            Connect::Incus { instance, project } => {
                Road::Incus(project.as_deref().unwrap_or("default"), instance)
            }
        }
    }
}

/// Hosts in rules of firewalls need an address that a packet can come from.
fn origins<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    let rules = |settings: &SettingsDraft<'t>| -> Vec<Text<'t>> {
        let firewall = settings.firewall.iter();
        let rules = firewall.flat_map(|firewall| firewall.allow.iter());
        rules.flat_map(|rule: &RuleDraft<'t>| rule.from.iter().copied()).collect()
    };
    for (subject, settings) in draft.settings() {
        for origin in rules(settings) {
            let Some(machine) = stage.fleet.machine(origin.text) else { continue };
            // What is written and no address was reported where it stands.
            let known = !machine.networks.is_empty() || !machine.addresses().is_empty();
            if draft.network(origin.text).is_some() || known {
                continue;
            }
            let message = format!("`{}` has no address that a firewall could know", origin.text);
            let fault = Fault::new(Code::FirewallCloses, subject, origin.span, message);
            session.report(
                fault
                    .label("lets nobody in")
                    .related(machine.name().span, "this host")
                    .remedy("give it an address under `networks`, or name a range here"),
            );
        }
    }
}

/// Services that listen on the address of their host in a network.
fn listeners<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    for service in &draft.services {
        let Some(address) = service.address.filter(|address| parse_address(address.text).is_none()) else {
            continue;
        };
        let subject = Subject::Service(service.name.text);
        if draft.network(address.text).is_none() {
            unknown_network(session, draft, subject, address, " and no address");
            continue;
        }
        let [host] = service.on() else {
            let message = format!("`{}` is an address only of a service on exactly one host", address.text);
            let fault = Fault::new(Code::Together, subject, address.span, message);
            session.report(
                fault
                    .label("a network")
                    .remedy("name one host under `on`; on several, `0.0.0.0` behind a firewall does"),
            );
            continue;
        };
        let Some(machine) = stage.fleet.machine(host.text) else { continue };
        if machine.address_in(address.text).is_none() {
            let message = format!("`{}` has no address in the network `{}`", host.text, address.text);
            let fault = Fault::new(Code::NetworkUnknown, subject, address.span, message);
            session.report(
                fault
                    .label("not its network")
                    .related(machine.name().span, "the host")
                    .remedy(format!("add `networks: {{ {}: ADDRESS }}` to it", address.text)),
            );
        }
    }
}
