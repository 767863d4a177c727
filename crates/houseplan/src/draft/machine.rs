//! Trees of hosts, groups and networks to their drafts.
//!
//! A host is called a machine here, because a host is also what a route begins with. What is wanted on a
//! machine has one type wherever it is said: for the whole house, in a group, in the machine itself.

use super::command::{Command, command};
use super::top::{acceptances, boolean, duration, pairs, text, texts, whole};
use super::{Acceptance, StageDraft};
use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::shape::{parse_mode, parse_port_rule};
use crate::source::Span;
use crate::tree::{Entry, Node, Text, Value};
use haus_model::host::{Architecture, Elevation, Protocol, RootLogin};
use haus_model::unit;
use std::time::Duration;

/// A host as written.
pub(crate) struct MachineDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) about: Option<Text<'t>>,
    pub(crate) road: RoadToDraft<'t>,
    pub(crate) groups: Vec<Text<'t>>,
    pub(crate) settings: SettingsDraft<'t>,
}

/// How a host is reached and what it is: said by the host, and again by a stage.
#[derive(Clone, Default)]
pub(crate) struct RoadToDraft<'t> {
    pub(crate) connect: Option<Text<'t>>,
    pub(crate) address: Option<Text<'t>>,
    pub(crate) networks: Vec<(Text<'t>, Text<'t>)>,
}

/// A host as a stage sees it otherwise.
pub(crate) struct OverrideDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) road: RoadToDraft<'t>,
    pub(crate) kind: MachineKind<'t>,
}

/// What a machine is.
#[derive(Clone, Copy, Default)]
pub(crate) struct MachineKind<'t> {
    pub(crate) elevation: Option<Elevation>,
    pub(crate) os: Option<Text<'t>>,
    pub(crate) arch: Option<Architecture>,
}

/// A group as written.
pub(crate) struct GroupDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) settings: SettingsDraft<'t>,
}

/// A network as written.
#[derive(Clone, Copy)]
pub(crate) struct NetworkDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) range: Option<Text<'t>>,
}

/// What is wanted on a host.
#[derive(Default)]
pub(crate) struct SettingsDraft<'t> {
    pub(crate) kind: MachineKind<'t>,
    pub(crate) packages: Vec<Text<'t>>,
    pub(crate) hold: Vec<Text<'t>>,
    pub(crate) accounts: Vec<AccountDraft<'t>>,
    pub(crate) directories: Vec<DirectoryDraft<'t>>,
    pub(crate) files: Vec<FileDraft<'t>>,
    pub(crate) links: Vec<(Text<'t>, Text<'t>)>,
    pub(crate) sysctl: Vec<(Text<'t>, Text<'t>)>,
    pub(crate) firewall: Option<FirewallDraft<'t>>,
    pub(crate) sshd: Option<SshdDraft<'t>>,
    pub(crate) journal: Option<JournalDraft>,
    pub(crate) upgrades: Option<UpgradesDraft<'t>>,
    pub(crate) time: Option<TimeDraft<'t>>,
    pub(crate) nginx: Vec<SiteDraft<'t>>,
    pub(crate) units: Vec<UnitDraft<'t>>,
    pub(crate) tls: Vec<TlsDraft<'t>>,
    pub(crate) steps: Vec<StepDraft<'t>>,
    pub(crate) hosts_file: Option<bool>,
    pub(crate) accept: Vec<Acceptance<'t>>,
}

/// Where a content comes from.
#[derive(Clone, Copy)]
pub(crate) enum ContentDraft<'t> {
    Text(Text<'t>),
    From(Text<'t>),
    Template(Text<'t>),
    Credential(Text<'t>),
}

pub(crate) struct AccountDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) system: Option<bool>,
    pub(crate) uid: Option<u32>,
    pub(crate) home: Option<Text<'t>>,
    pub(crate) shell: Option<Text<'t>>,
    pub(crate) groups: Vec<Text<'t>>,
    /// None when nothing is said about keys.
    pub(crate) keys: Option<Vec<Text<'t>>>,
    pub(crate) keys_file: Option<Text<'t>>,
}

/// Who may do what; what is not written has its default.
#[derive(Clone, Copy)]
pub(crate) struct AccessDraft<'t> {
    pub(crate) owner: Option<Text<'t>>,
    pub(crate) group: Option<Text<'t>>,
    pub(crate) mode: Option<(u32, Span)>,
}

pub(crate) struct DirectoryDraft<'t> {
    pub(crate) path: Text<'t>,
    pub(crate) access: AccessDraft<'t>,
}

pub(crate) struct FileDraft<'t> {
    pub(crate) path: Text<'t>,
    pub(crate) content: Option<ContentDraft<'t>>,
    pub(crate) access: AccessDraft<'t>,
    pub(crate) check: Option<(Command<'t>, Span)>,
    pub(crate) then: Vec<Text<'t>>,
}

#[derive(Default)]
pub(crate) struct FirewallDraft<'t> {
    pub(crate) key: Option<Span>,
    pub(crate) allow: Vec<RuleDraft<'t>>,
    pub(crate) ping: Option<bool>,
}

pub(crate) struct RuleDraft<'t> {
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) from: Vec<Text<'t>>,
    /// Whether `from` is there at all: an empty list lets nobody in, and no list everybody.
    pub(crate) from_key: Option<Span>,
    pub(crate) why: Option<Text<'t>>,
}

#[derive(Default)]
pub(crate) struct SshdDraft<'t> {
    pub(crate) ports: Vec<(u16, Span)>,
    pub(crate) passwords: Option<(bool, Span)>,
    pub(crate) root: Option<(RootLogin, Span)>,
    pub(crate) allow_users: Vec<Text<'t>>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct JournalDraft {
    pub(crate) bytes_max: Option<u64>,
    pub(crate) keep: Option<Duration>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct UpgradesDraft<'t> {
    pub(crate) enabled: Option<bool>,
    pub(crate) reboot: Option<Text<'t>>,
}

#[derive(Default)]
pub(crate) struct TimeDraft<'t> {
    pub(crate) servers: Vec<Text<'t>>,
    pub(crate) zone: Option<Text<'t>>,
}

pub(crate) struct SiteDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) content: Option<ContentDraft<'t>>,
}

pub(crate) struct UnitDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) content: Option<ContentDraft<'t>>,
    pub(crate) enabled: Option<bool>,
    pub(crate) running: Option<bool>,
}

pub(crate) struct TlsDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) certificate: Option<ContentDraft<'t>>,
    pub(crate) key: Option<Text<'t>>,
    pub(crate) group: Option<Text<'t>>,
    pub(crate) then: Vec<Text<'t>>,
}

pub(crate) struct StepDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) run: Option<Command<'t>>,
    pub(crate) unless: Option<Command<'t>>,
    pub(crate) user: Option<Text<'t>>,
    pub(crate) folder: Option<Text<'t>>,
    pub(crate) credentials: Vec<(Text<'t>, Text<'t>)>,
    pub(crate) after: Vec<Text<'t>>,
}

impl<'t> SettingsDraft<'t> {
    /// Every content with what it is the content of.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (Text<'t>, ContentDraft<'t>)> + use<'_, 't> {
        let files = self.files.iter().filter_map(|file| Some((file.path, file.content?)));
        let sites = self.nginx.iter().filter_map(|site| Some((site.name, site.content?)));
        let units = self.units.iter().filter_map(|unit| Some((unit.name, unit.content?)));
        let chains = self.tls.iter().filter_map(|tls| Some((tls.name, tls.certificate?)));
        files.chain(sites).chain(units).chain(chains)
    }

    /// Every command that is run on the host.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &Command<'t>> {
        let checks = self.files.iter().filter_map(|file| Some(&file.check.as_ref()?.0));
        checks.chain(self.steps.iter().flat_map(|step| step.run.iter().chain(&step.unless)))
    }

    /// Every credential, with the file name that it gets where that can be chosen.
    pub(crate) fn credentials(&self) -> impl Iterator<Item = (Option<Text<'t>>, Text<'t>)> + use<'_, 't> {
        let files = self.files.iter().filter_map(|file| match file.content {
            Some(ContentDraft::Credential(name)) => Some((None, name)),
            Some(ContentDraft::Text(_) | ContentDraft::From(_) | ContentDraft::Template(_)) | None => None,
        });
        let keys = self.tls.iter().filter_map(|tls| Some((None, tls.key?)));
        let steps = self
            .steps
            .iter()
            .flat_map(|step| step.credentials.iter().map(|(file, name)| (Some(*file), *name)));
        files.chain(keys).chain(steps)
    }
}

impl<'t> AccessDraft<'t> {
    fn of(node: &'t Node<'t>) -> AccessDraft<'t> {
        let mode = text(node, "mode").and_then(|mode| Some((parse_mode(mode.text)?, mode.span)));
        AccessDraft { owner: text(node, "owner"), group: text(node, "group"), mode }
    }
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
                    .map(|entry| DirectoryDraft {
                        path: entry.key_text(),
                        access: AccessDraft::of(&entry.value),
                    })
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
        access: AccessDraft::of(node),
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
