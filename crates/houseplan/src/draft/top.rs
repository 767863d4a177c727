//! Trees of all files to one draft: what stands at the top of a file.

use super::{
    Acceptance, Draft, GatewayDraft, HostDraft, RouteDraft, StageDraft, TargetDraft, alerts, credential,
    machine, service,
};
use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::path;
use crate::source::Span;
use crate::tree::{Entry, Node, ScalarKind, Text, Value};
use haus_model::unit;
use std::path::PathBuf;
use std::time::Duration;

/// Merges the files of a plan. `roots` are in the order in which they were read.
pub(crate) fn decode<'t>(
    session: &Session<'t>,
    roots: impl IntoIterator<Item = &'t Node<'t>>,
    folders: Vec<PathBuf>,
) -> Draft<'t> {
    let mut draft = Draft { folders, ..Draft::default() };
    for root in roots {
        for entry in root.entries() {
            top_key(session, &mut draft, entry);
        }
    }
    draft
}

/// One key at the top of a file. Maps of names grow over the files, single values are said once.
fn top_key<'t>(session: &Session<'t>, draft: &mut Draft<'t>, entry: &'t Entry<'t>) {
    let node = &entry.value;
    match entry.key.as_ref() {
        "house" => once(session, &mut draft.house, node.text(), &entry.key),
        "title" => once(session, &mut draft.title, node.text(), &entry.key),
        "domain" => once(session, &mut draft.domain, node.text(), &entry.key),
        "gateway" => gateway(session, &mut draft.gateway, node),
        "vars" => {
            for (name, value) in pairs(node) {
                if claim(session, draft, "vars", name, Subject::House) {
                    draft.vars.push((name, value));
                }
            }
        }
        "stages" => {
            for entry in node.entries() {
                stage(session, draft, entry);
            }
        }
        "services" => {
            draft.services_key = draft.services_key.or(Some(entry.key_span));
            // A draft is large, and growing step by step would move all of them again and again.
            draft.services.reserve(node.entries().len());
            draft.service_index.reserve(node.entries().len());
            draft.homes.reserve(node.entries().len());
            for entry in node.entries() {
                let name = entry.key_text();
                if claim(session, draft, "services", name, Subject::Service(name.text)) {
                    draft.service_index.insert(name.text, draft.services.len());
                    draft.services.push(service::decode(session, name, &entry.value));
                }
            }
        }
        "routes" => {
            for entry in node.entries() {
                let host = entry.key_text();
                if claim(session, draft, "routes", host, Subject::Host(host.text)) {
                    draft.routes.push(routes(session, &draft.folders, host, &entry.value));
                }
            }
        }
        "credentials" => {
            for entry in node.entries() {
                let name = entry.key_text();
                if claim(session, draft, "credentials", name, Subject::Credential(name.text)) {
                    draft.credentials.push(credential::decode(session, name, &entry.value));
                }
            }
        }
        "api" => alerts::api(session, draft, node),
        "alerts" => alerts::alerts(session, draft, entry),
        "maintenance" => {
            for entry in node.entries() {
                let name = entry.key_text();
                if claim(session, draft, "maintenance", name, Subject::Maintenance(name.text)) {
                    draft.maintenance.push(alerts::maintenance(session, name, &entry.value));
                }
            }
        }
        "accept" => draft.accept.extend(acceptances(node)),
        "hosts" | "groups" | "networks" => machines(session, draft, entry),
        "packages" => draft.everywhere.packages.extend(machine::words(node)),
        "firewall" => machine::firewall(&mut draft.everywhere, entry),
        _ => {}
    }
}

/// Hosts, groups or networks, by name.
fn machines<'t>(session: &Session<'t>, draft: &mut Draft<'t>, entry: &'t Entry<'t>) {
    let (family, subject): (&'static str, fn(&'t str) -> Subject<'t>) = match entry.key.as_ref() {
        "hosts" => ("hosts", Subject::Machine),
        "groups" => ("groups", Subject::Group),
        _ => ("networks", Subject::Network),
    };
    for entry in entry.value.entries() {
        let name = entry.key_text();
        if !claim(session, draft, family, name, subject(name.text)) {
            continue;
        }
        let at = match family {
            "hosts" => draft.machines.len(),
            "groups" => draft.groups.len(),
            _ => draft.networks.len(),
        };
        draft.machine_index.insert((family, name.text), at);
        match family {
            "hosts" => draft.machines.push(machine::machine(session, name, &entry.value)),
            "groups" => draft.groups.push(machine::group(session, name, &entry.value)),
            _ => draft.networks.push(machine::network(name, &entry.value)),
        }
    }
}

/// Whether this is the first time that something with this name is said.
pub(super) fn claim<'t>(
    session: &Session<'t>,
    draft: &mut Draft<'t>,
    family: &'static str,
    name: Text<'t>,
    subject: Subject<'t>,
) -> bool {
    let first = *draft.homes.entry((family, name.text)).or_insert(name.span);
    if first != name.span {
        two_homes(session, name, first, subject);
    }
    first == name.span
}

/// Keeps a value that may be said only once in all files.
fn once<'t>(session: &Session<'t>, slot: &mut Option<Text<'t>>, value: Option<Text<'t>>, key: &'t str) {
    match (&slot, value) {
        (Some(known), Some(value)) => {
            let again = Text { text: key, span: value.span };
            two_homes(session, again, known.span, Subject::House);
        }
        (None, Some(value)) => *slot = Some(value),
        (_, None) => {}
    }
}

/// Points at both places; the first one counts from here on.
fn two_homes<'t>(session: &Session<'t>, again: Text<'t>, first: Span, subject: Subject<'t>) {
    let same_file = again.span.file == first.file;
    let what = if same_file { "twice" } else { "in two files" };
    let fault = Fault::new(Code::TwoHomes, subject, again.span, format!("`{}` is said {what}", again.text));
    session.report(
        fault.label("again").related(first, "first").remedy("keep one of them: every fact has one home"),
    );
}

/// A stage as written; what it inherits is filled in by `Stage`.
fn stage<'t>(session: &Session<'t>, draft: &mut Draft<'t>, entry: &'t Entry<'t>) {
    let name = entry.key_text();
    if !claim(session, draft, "stages", name, Subject::Stage(name.text)) {
        return;
    }
    let mut stage = StageDraft {
        name,
        domain: None,
        vars: Vec::new(),
        gateway: GatewayDraft::default(),
        machines: Vec::new(),
        without_hosts: false,
    };
    stage.domain = text(&entry.value, "domain");
    if let Some(vars) = entry.value.get("vars") {
        stage.vars = pairs(&vars.value).collect();
    }
    if let Some(settings) = entry.value.get("gateway") {
        gateway(session, &mut stage.gateway, &settings.value);
    }
    if let Some(hosts) = entry.value.get("hosts") {
        machine::of_stage(&mut stage, &hosts.value);
    }
    draft.stages.push(stage);
}

/// Gateway settings of the plan or of a stage. Only `listen` is said once over all files; the rest is
/// numbers.
fn gateway<'t>(session: &Session<'t>, gateway: &mut GatewayDraft<'t>, node: &'t Node<'t>) {
    once(session, &mut gateway.listen, text(node, "listen"), "listen");
    gateway.timeout = gateway.timeout.or_else(|| duration(node, "timeout"));
    gateway.retries = gateway.retries.or_else(|| whole(node, "retries"));
    gateway.access_log = gateway.access_log.or_else(|| boolean(node, "access_log"));
    gateway.hold = gateway.hold.or_else(|| duration(node, "hold"));
}

/// Short form: the host leads to one service. Long form: a map of paths.
fn routes<'t>(
    session: &Session<'t>,
    folders: &[PathBuf],
    host: Text<'t>,
    node: &'t Node<'t>,
) -> HostDraft<'t> {
    let routes = match node.text() {
        Some(target) => vec![plain(host, TargetDraft::To(target))],
        None => {
            let paths = node.entries().iter().filter(|entry| entry.key.starts_with('/'));
            paths.filter_map(|entry| route(session, folders, host, entry)).collect()
        }
    };
    HostDraft { host, routes }
}

/// A route that says nothing but its target.
fn plain<'t>(path: Text<'t>, target: TargetDraft<'t>) -> RouteDraft<'t> {
    RouteDraft {
        path,
        target,
        strip: None,
        timeout: None,
        max_body_bytes: None,
        deny_headers: Vec::new(),
        headers: Vec::new(),
    }
}

/// One path with its target; keys that belong to the other kind of target are reported.
fn route<'t>(
    session: &Session<'t>,
    folders: &[PathBuf],
    host: Text<'t>,
    entry: &'t Entry<'t>,
) -> Option<RouteDraft<'t>> {
    let node = &entry.value;
    let path = entry.key_text();
    let subject = Subject::Route(host.text, path.text);
    let target = match (text(node, "to"), text(node, "files")) {
        (Some(to), _) => TargetDraft::To(to),
        (None, Some(root)) => {
            if node.get("of").is_none()
                && path::within_or_absolute(&folders[root.span.file as usize], root.text).is_none()
            {
                session.report(path::escape_fault(root, subject));
            }
            TargetDraft::Files {
                root,
                of: text(node, "of"),
                fallback: text(node, "fallback"),
                immutable: text(node, "immutable"),
            }
        }
        (None, None) => return None,
    };
    let foreign: &[&str] = match target {
        TargetDraft::To(_) => &["fallback", "immutable", "of"],
        TargetDraft::Files { .. } => &["strip", "timeout", "max_body", "deny_headers"],
    };
    let needed = if matches!(target, TargetDraft::To(_)) { "files" } else { "to" };
    for entry in node.entries().iter().filter(|entry| foreign.contains(&entry.key.as_ref())) {
        misplaced(session, entry, needed, subject);
    }
    Some(RouteDraft {
        path,
        target,
        strip: text(node, "strip"),
        timeout: duration(node, "timeout"),
        max_body_bytes: text(node, "max_body").and_then(|text| unit::parse_size(text.text).ok()),
        deny_headers: texts(node, "deny_headers"),
        headers: node.get("headers").map(|entry| pairs(&entry.value).collect()).unwrap_or_default(),
    })
}

/// A key that means something only beside another.
pub(super) fn misplaced<'t>(session: &Session<'t>, entry: &'t Entry<'t>, needed: &str, subject: Subject<'t>) {
    let message = format!("`{}` means something only together with `{needed}`", entry.key);
    let fault = Fault::new(Code::Together, subject, entry.key_span, message);
    session.report(fault.label("has no effect here").remedy(format!("remove it, or use `{needed}`")));
}

/// Codes with their reasons.
pub(super) fn acceptances<'t>(node: &'t Node<'t>) -> impl Iterator<Item = Acceptance<'t>> {
    pairs(node).map(|(code, reason)| Acceptance { code, reason })
}

/// Keys and their scalar values.
pub(super) fn pairs<'t>(node: &'t Node<'t>) -> impl Iterator<Item = (Text<'t>, Text<'t>)> {
    node.entries().iter().filter_map(|entry| Some((entry.key_text(), entry.value.text()?)))
}

/// The scalar under a key.
pub(super) fn text<'t>(node: &'t Node<'t>, key: &str) -> Option<Text<'t>> {
    node.get(key)?.value.text()
}

/// The scalars of the list under a key.
pub(super) fn texts<'t>(node: &'t Node<'t>, key: &str) -> Vec<Text<'t>> {
    node.get(key).map(|entry| entry.value.items().iter().filter_map(Node::text).collect()).unwrap_or_default()
}

/// The duration under a key; one that cannot be read was reported by the walk.
pub(super) fn duration(node: &Node<'_>, key: &str) -> Option<Duration> {
    unit::parse_duration(node.get(key)?.value.text()?.text).ok()
}

/// The number under a key, when it fits.
pub(super) fn whole<T: std::str::FromStr>(node: &Node<'_>, key: &str) -> Option<T> {
    node.get(key)?.value.text()?.text.parse().ok()
}

/// The boolean under a key.
pub(super) fn boolean(node: &Node<'_>, key: &str) -> Option<bool> {
    match node.get(key)?.value.value {
        Value::Scalar(_, ScalarKind::Bool(value)) => Some(value),
        Value::Scalar(..) | Value::List(_) | Value::Map(_) => None,
    }
}
