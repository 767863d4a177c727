//! Trees of hosts, groups and networks to their drafts.
//!
//! A host is called a machine here, because a host is also what a route begins with. What is wanted on a
//! machine has one type wherever it is said: for the whole house, in a group, in the machine itself.

use super::StageDraft;
use super::command::command;
use super::settings::{
    AccessDraft, AccountDraft, ContentDraft, DirectoryDraft, FileDraft, GroupDraft, JournalDraft,
    MachineDraft, MachineKind, NetworkDraft, OverrideDraft, RoadToDraft, RuleDraft, SettingsDraft, SiteDraft,
    SshdDraft, StepDraft, TimeDraft, TlsDraft, UnitDraft, UpgradesDraft,
};
use super::top::{acceptances, boolean, duration, pairs, text, texts, whole};
use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::shape::{parse_mode, parse_port_rule};
use crate::tree::{Entry, Node, Text, Value};
use haus_model::host::{Architecture, Elevation, Protocol, RootLogin};
use haus_model::unit;

/// Owner, group and mode, where they are written.
fn access<'t>(node: &'t Node<'t>) -> AccessDraft<'t> {
    let mode = text(node, "mode").and_then(|mode| Some((parse_mode(mode.text)?, mode.span)));
    AccessDraft { owner: text(node, "owner"), group: text(node, "group"), mode }
}

/// A host with its settings.
pub(super) fn machine<'t>(session: &Session<'t>, name: Text<'t>, node: &'t Node<'t>) -> MachineDraft<'t> {
    MachineDraft {
        name,
        about: text(node, "about"),
        road: road(node),
        groups: texts(node, "groups"),
        settings: settings(session, Subject::Machine(name.text), node),
    }
}

/// A group with its settings.
pub(super) fn group<'t>(session: &Session<'t>, name: Text<'t>, node: &'t Node<'t>) -> GroupDraft<'t> {
    GroupDraft { name, settings: settings(session, Subject::Group(name.text), node) }
}

/// A network in its short or its long form.
pub(super) fn network<'t>(name: Text<'t>, node: &'t Node<'t>) -> NetworkDraft<'t> {
    NetworkDraft { name, range: node.text().or_else(|| text(node, "range")) }
}

/// The hosts of a stage: what each is there, or that there are none.
pub(super) fn of_stage<'t>(stage: &mut StageDraft<'t>, node: &'t Node<'t>) {
    stage.without_hosts = node.text().is_some_and(|word| word.text == "none");
    stage.machines = node
        .entries()
        .iter()
        .map(|entry| OverrideDraft {
            name: entry.key_text(),
            road: road(&entry.value),
            kind: kind(&entry.value),
        })
        .collect();
}

fn road<'t>(node: &'t Node<'t>) -> RoadToDraft<'t> {
    RoadToDraft {
        connect: text(node, "connect"),
        address: text(node, "address"),
        networks: node.get("networks").map(|entry| pairs(&entry.value).collect()).unwrap_or_default(),
    }
}

fn kind<'t>(node: &'t Node<'t>) -> MachineKind<'t> {
    MachineKind {
        elevation: text(node, "elevation").and_then(|word| match word.text {
            "auto" => Some(Elevation::Auto),
            "sudo" => Some(Elevation::Sudo),
            "none" => Some(Elevation::None),
            _ => None,
        }),
        os: text(node, "os"),
        arch: text(node, "arch").and_then(|word| match word.text {
            "amd64" => Some(Architecture::Amd64),
            "arm64" => Some(Architecture::Arm64),
            _ => None,
        }),
    }
}

/// Everything that can be wanted on a host.
fn settings<'t>(session: &Session<'t>, subject: Subject<'t>, node: &'t Node<'t>) -> SettingsDraft<'t> {
    let mut settings = SettingsDraft { kind: kind(node), ..SettingsDraft::default() };
    for entry in node.entries() {
        let node = &entry.value;
        let entries = node.entries().iter();
        match entry.key.as_ref() {
            "packages" => settings.packages = words(node),
            "hold" => settings.hold = words(node),
            "accounts" => settings.accounts = entries.map(account).collect(),
            "directories" => {
                settings.directories = entries
                    .map(|entry| DirectoryDraft { path: entry.key_text(), access: access(&entry.value) })
                    .collect();
            }
            "files" => settings.files = entries.map(file).collect(),
            "links" => settings.links = pairs(node).collect(),
            "sysctl" => settings.sysctl = pairs(node).collect(),
            "firewall" => firewall(&mut settings, entry),
            "sshd" => settings.sshd = Some(sshd(node)),
            "journal" => {
                let bytes_max = text(node, "max").and_then(|size| unit::parse_size(size.text).ok());
                settings.journal = Some(JournalDraft { bytes_max, keep: duration(node, "keep") });
            }
            "upgrades" => {
                let reboot = text(node, "reboot");
                settings.upgrades = Some(UpgradesDraft { enabled: boolean(node, "enabled"), reboot });
            }
            "time" => {
                let time = TimeDraft { servers: texts(node, "servers"), zone: text(node, "zone") };
                settings.time = Some(time);
            }
            "nginx" => {
                settings.nginx = entries
                    .map(|entry| SiteDraft { name: entry.key_text(), content: content(&entry.value) })
                    .collect();
            }
            "units" => settings.units = entries.map(|entry| unit(session, subject, entry)).collect(),
            "tls" => settings.tls = entries.map(certificate).collect(),
            "steps" => settings.steps = entries.map(step).collect(),
            "hosts_file" => settings.hosts_file = boolean_of(node),
            "accept" => settings.accept = acceptances(node).collect(),
            _ => {}
        }
    }
    settings
}

/// The scalars of a list.
pub(super) fn words<'t>(node: &'t Node<'t>) -> Vec<Text<'t>> {
    node.items().iter().filter_map(Node::text).collect()
}

fn boolean_of(node: &Node<'_>) -> Option<bool> {
    match node.text()?.text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// The content in one of its notations; that there is only one is a rule of the shape.
fn content<'t>(node: &'t Node<'t>) -> Option<ContentDraft<'t>> {
    let own = text(node, "text").map(ContentDraft::Text);
    let own = own.or_else(|| text(node, "from").map(ContentDraft::From));
    let own = own.or_else(|| text(node, "template").map(ContentDraft::Template));
    own.or_else(|| text(node, "credential").map(ContentDraft::Credential))
}

fn account<'t>(entry: &'t Entry<'t>) -> AccountDraft<'t> {
    let node = &entry.value;
    AccountDraft {
        name: entry.key_text(),
        system: boolean(node, "system"),
        uid: whole(node, "uid"),
        home: text(node, "home"),
        shell: text(node, "shell"),
        groups: texts(node, "groups"),
        keys: node.get("keys").map(|entry| words(&entry.value)),
        keys_file: text(node, "keys_file"),
    }
}

fn file<'t>(entry: &'t Entry<'t>) -> FileDraft<'t> {
    let node = &entry.value;
    FileDraft {
        path: entry.key_text(),
        content: content(node),
        access: access(node),
        check: node.get("check").and_then(|entry| Some((command(&entry.value)?, entry.value.span))),
        then: texts(node, "then"),
    }
}

/// The firewall of a host, a group or the whole house; in the house it may be said in several files.
pub(super) fn firewall<'t>(settings: &mut SettingsDraft<'t>, entry: &'t Entry<'t>) {
    let node = &entry.value;
    let firewall = settings.firewall.get_or_insert_default();
    firewall.key = firewall.key.or(Some(entry.key_span));
    firewall.ping = firewall.ping.or_else(|| boolean(node, "ping"));
    if let Some(allow) = node.get("allow") {
        firewall.allow.extend(allow.value.items().iter().filter_map(rule));
    }
}

/// `22/tcp`, or a map.
fn rule<'t>(node: &'t Node<'t>) -> Option<RuleDraft<'t>> {
    if let Value::Scalar(..) = &node.value {
        let (port, protocol) = parse_port_rule(node.text()?.text)?;
        return Some(RuleDraft { port, protocol, from: Vec::new(), from_key: None, why: None });
    }
    let protocol = text(node, "protocol").map_or("tcp", |word| word.text);
    Some(RuleDraft {
        port: whole(node, "port").filter(|port| *port > 0)?,
        protocol: if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp },
        from: texts(node, "from"),
        from_key: node.get("from").map(|entry| entry.value.span),
        why: text(node, "why"),
    })
}

fn sshd<'t>(node: &'t Node<'t>) -> SshdDraft<'t> {
    let root = text(node, "root").and_then(|word| match word.text {
        "no" => Some((RootLogin::No, word.span)),
        "keys" => Some((RootLogin::Keys, word.span)),
        _ => None,
    });
    let ports = texts(node, "ports").into_iter();
    SshdDraft {
        ports: ports.filter_map(|port| Some((port.text.parse().ok()?, port.span))).collect(),
        passwords: boolean(node, "passwords").zip(node.get("passwords").map(|entry| entry.value.span)),
        root,
        allow_users: texts(node, "allow_users"),
    }
}

/// A unit; its content is optional, because packages bring units too.
fn unit<'t>(session: &Session<'t>, subject: Subject<'t>, entry: &'t Entry<'t>) -> UnitDraft<'t> {
    let node = &entry.value;
    let contents: Vec<&'t Entry<'t>> = node
        .entries()
        .iter()
        .filter(|entry| matches!(entry.key.as_ref(), "text" | "from" | "template"))
        .collect();
    if let [first, second, ..] = contents.as_slice() {
        let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
        let fault = Fault::new(Code::Together, subject, second.key_span, message);
        session.report(
            fault.label("one too many").related(first.key_span, "already here").remedy("keep one of them"),
        );
    }
    let unit = UnitDraft {
        name: entry.key_text(),
        content: content(node),
        enabled: boolean(node, "enabled"),
        running: boolean(node, "running"),
    };
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        let message = format!("nothing is said about `{}`", entry.key);
        let fault = Fault::new(Code::Together, subject, entry.key_span, message);
        session.report(
            fault
                .label("says nothing")
                .remedy("add its content with `text`, `from` or `template`, `enabled` or `running`"),
        );
    }
    unit
}

fn certificate<'t>(entry: &'t Entry<'t>) -> TlsDraft<'t> {
    let node = &entry.value;
    TlsDraft {
        name: entry.key_text(),
        certificate: node.get("certificate").and_then(|entry| content(&entry.value)),
        key: text(node, "key"),
        group: text(node, "group"),
        then: texts(node, "then"),
    }
}

fn step<'t>(entry: &'t Entry<'t>) -> StepDraft<'t> {
    let node = &entry.value;
    let of = |key| node.get(key).and_then(|entry: &'t Entry<'t>| command(&entry.value));
    StepDraft {
        name: entry.key_text(),
        run: of("run"),
        unless: of("unless"),
        user: text(node, "user"),
        folder: text(node, "in"),
        credentials: node.get("credentials").map(|entry| pairs(&entry.value).collect()).unwrap_or_default(),
        after: texts(node, "after"),
    }
}
