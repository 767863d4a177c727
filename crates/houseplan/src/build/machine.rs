//! Hosts and networks with their defaults: layers merged, texts filled in, files read.

use crate::draft::{
    AccessDraft, Command, ContentDraft, Draft, FileDraft, JournalDraft, Machine, MergedAccount,
    MergedFirewall, RuleDraft, Stage,
};
use crate::shape::{parse_reaction, parse_reboot};
use crate::tree::Text;
use crate::variable::{Home, Scope};
use haus_model::host::{
    Access, Account, Directory, FileSource, Firewall, FirewallRule, Host, HostSettings, JournalLimits,
    ManagedFile, ManagedUnit, Network, NginxSite, Protocol, Reaction, Sshd, Step, TimeSync, TlsFiles,
    Upgrades,
};
use haus_model::{HostName, NetworkName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Permissions of a folder that says none.
const DIRECTORY_MODE: u32 = 0o755;
/// Permissions of a file that says none.
const FILE_MODE: u32 = 0o644;
/// Permissions of a file with a secret that says none.
const SECRET_MODE: u32 = 0o600;
const DAY: Duration = Duration::from_secs(86_400);

/// The networks; none in a stage without hosts.
pub(super) fn networks(draft: &Draft<'_>, stage: &Stage<'_, '_>) -> Option<BTreeMap<NetworkName, Network>> {
    let networks = draft.networks.iter().filter(|_| !stage.fleet.without);
    networks
        .map(|network| {
            let name: NetworkName = network.name.text.parse().ok()?;
            Some((name.clone(), Network { name, range: network.range?.text.to_owned() }))
        })
        .collect()
}

/// Every host of the stage.
pub(super) fn hosts(
    draft: &Draft<'_>,
    stage: &Stage<'_, '_>,
    domain: &str,
) -> Option<BTreeMap<HostName, Host>> {
    let build = |machine| {
        let scope = Scope { draft, stage, domain, home: Home::Machine(machine) };
        let host = host(scope, machine)?;
        Some((host.name.clone(), host))
    };
    stage.fleet.machines.iter().map(build).collect()
}

fn host(scope: Scope<'_, '_>, machine: &Machine<'_, '_>) -> Option<Host> {
    Some(Host {
        name: machine.name().text.parse().ok()?,
        about: owned(machine.draft.about),
        connect: machine.connect.clone()?,
        elevation: machine.kind.elevation.unwrap_or_default(),
        os: owned(machine.kind.os),
        architecture: machine.kind.arch,
        networks: machine
            .networks
            .iter()
            .map(|(network, address)| Some((network.text.parse().ok()?, address.text.parse().ok()?)))
            .collect::<Option<_>>()?,
        address: machine.reached_at(),
        groups: machine.draft.groups.iter().map(|group| group.text.parse().ok()).collect::<Option<_>>()?,
        settings: settings(scope, machine)?,
    })
}

fn settings(scope: Scope<'_, '_>, machine: &Machine<'_, '_>) -> Option<HostSettings> {
    let layers = || machine.layers.iter();
    let units = machine.units();
    Some(HostSettings {
        packages: machine.packages().map(|package| package.text.to_owned()).collect(),
        hold: machine.hold().map(|pattern| pattern.text.to_owned()).collect(),
        accounts: machine
            .accounts()
            .iter()
            .map(|account| Some((account.name.to_owned(), self::account(scope, account)?)))
            .collect::<Option<_>>()?,
        directories: machine
            .directories()
            .into_iter()
            .map(|directory| {
                (path(directory.path), Directory { access: access(directory.access, DIRECTORY_MODE) })
            })
            .collect(),
        files: machine
            .files()
            .into_iter()
            .map(|written| Some((path(written.path), file(scope, written)?)))
            .collect::<Option<_>>()?,
        links: machine.links().into_iter().map(|(link, target)| (path(*link), path(*target))).collect(),
        sysctl: machine
            .sysctl()
            .into_iter()
            .map(|(name, value)| (name.text.to_owned(), value.text.to_owned()))
            .collect(),
        firewall: match machine.firewall() {
            Some(written) => Some(firewall(scope, &written)?),
            None => None,
        },
        sshd: machine.sshd().map(|written| Sshd {
            ports: unique(written.ports.iter().map(|(port, _)| *port)),
            passwords: written.passwords.map(|(allowed, _)| allowed),
            root: written.root.map(|(root, _)| root),
            allow_users: unique(written.allow_users.iter().map(|user| user.text.to_owned())),
        }),
        journal: journal(machine),
        upgrades: upgrades(machine)?,
        time: time(machine),
        nginx: machine
            .nginx()
            .into_iter()
            .map(|site| {
                Some((site.name.text.to_owned(), NginxSite { source: source(scope, site.content?)? }))
            })
            .collect::<Option<_>>()?,
        units: units
            .into_iter()
            .map(|unit| {
                let source = match unit.content {
                    Some(content) => Some(source(scope, content)?),
                    None => None,
                };
                let unit_of = ManagedUnit { source, enabled: unit.enabled, running: unit.running };
                Some((unit.name.text.to_owned(), unit_of))
            })
            .collect::<Option<_>>()?,
        tls: tls(scope, machine)?,
        steps: steps(scope, machine)?,
        hosts_file: layers().filter_map(|layer| layer.hosts_file).next_back().unwrap_or(false),
    })
}

fn owned(text: Option<Text<'_>>) -> Option<String> {
    text.map(|text| text.text.to_owned())
}

fn path(text: Text<'_>) -> PathBuf {
    PathBuf::from(text.text)
}

/// In the order in which they are written, each once.
fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for item in items {
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

/// Begun days count as whole ones, so that nothing goes earlier than the plan says.
fn days(keep: Duration) -> u32 {
    u32::try_from(keep.as_secs().div_ceil(DAY.as_secs())).unwrap_or(u32::MAX)
}

fn access(written: AccessDraft<'_>, usual: u32) -> Access {
    let owner = written.owner.map_or("root", |owner| owner.text);
    Access {
        owner: owner.to_owned(),
        group: written.group.map_or(owner, |group| group.text).to_owned(),
        mode: written.mode.map_or(usual, |(mode, _)| mode),
    }
}

/// The content as whoever applies needs it: templates have become texts, because only here their variables
/// have a meaning. What is left to fill in are ports that are chosen when the hosts are known; a plain `${`
/// is written `$${` still.
fn source(scope: Scope<'_, '_>, written: ContentDraft<'_>) -> Option<FileSource> {
    Some(match written {
        ContentDraft::Text(text) => FileSource::Text(scope.template(text.text)?.to_string()),
        ContentDraft::From(file) => FileSource::From(scope.draft.path(file)?),
        ContentDraft::Template(file) => {
            let text = scope.draft.texts.get(&scope.draft.path(file)?)?.text;
            FileSource::Text(scope.template(text)?.to_string())
        }
        ContentDraft::Credential(name) => FileSource::Credential(name.text.parse().ok()?),
    })
}

fn file(scope: Scope<'_, '_>, written: &FileDraft<'_>) -> Option<ManagedFile> {
    let content = written.content?;
    let usual = match content {
        ContentDraft::Credential(_) => SECRET_MODE,
        ContentDraft::Text(_) | ContentDraft::From(_) | ContentDraft::Template(_) => FILE_MODE,
    };
    Some(ManagedFile {
        source: source(scope, content)?,
        access: access(written.access, usual),
        check: match &written.check {
            Some((command, _)) => Some(words(scope, command)?),
            None => None,
        },
        then: reactions(&written.then)?,
    })
}

/// A command with its variables filled in; splitting came before, so a value with spaces stays one word.
pub(super) fn words(scope: Scope<'_, '_>, command: &Command<'_>) -> Option<Vec<String>> {
    let home = match scope.home {
        Home::Machine(machine) => Home::MachineCommand(machine),
        other @ (Home::MachineCommand(_) | Home::Service(_) | Home::Build(_) | Home::Route) => other,
    };
    let scope = Scope { home, ..scope };
    command.words.iter().map(|word| scope.filled(&word.text)).collect()
}

fn reactions(written: &[Text<'_>]) -> Option<Vec<Reaction>> {
    written.iter().map(|text| parse_reaction(text.text)).collect()
}

/// Keys and groups of all layers; of everything else the nearest counts.
fn account(scope: Scope<'_, '_>, written: &MergedAccount<'_, '_>) -> Option<Account> {
    let mut account = Account::default();
    for part in &written.parts {
        account.system = part.system.unwrap_or(account.system);
        account.uid = part.uid.or(account.uid);
        account.home = part.home.map(path).or(account.home);
        account.shell = part.shell.map(path).or(account.shell);
        account.groups.extend(part.groups.iter().map(|group| group.text.to_owned()));
        let mut keys: Vec<String> = Vec::new();
        keys.extend(part.keys.iter().flatten().map(|key| key.text.to_owned()));
        if let Some(file) = part.keys_file {
            keys.extend(key_lines(scope.draft.texts.get(&scope.draft.path(file)?)?.text).map(str::to_owned));
        }
        if part.keys.is_some() || part.keys_file.is_some() {
            let known = account.keys.take().unwrap_or_default();
            account.keys = Some(unique(known.into_iter().chain(keys)));
        }
    }
    Some(account)
}

/// The lines of a file with public keys that hold one.
pub(crate) fn key_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn firewall(scope: Scope<'_, '_>, written: &MergedFirewall<'_, '_>) -> Option<Firewall> {
    let mut allow: Vec<FirewallRule> = Vec::new();
    for rule in &written.allow {
        let rule = self::rule(scope, rule)?;
        // The same rule in two layers is one rule; two reasons for it are two.
        if !allow.contains(&rule) {
            allow.push(rule);
        }
    }
    Some(Firewall { allow, ping: written.ping.unwrap_or(true) })
}

/// Names of networks and hosts become the ranges and addresses that they stand for.
fn rule(scope: Scope<'_, '_>, written: &RuleDraft<'_>) -> Option<FirewallRule> {
    let mut from: Vec<String> = Vec::new();
    for origin in &written.from {
        if let Some(network) = scope.draft.network(origin.text) {
            from.push(network.range?.text.to_owned());
        } else if let Some(machine) = scope.stage.fleet.machine(origin.text) {
            from.extend(machine.addresses().iter().map(ToString::to_string));
        } else {
            from.push(origin.text.to_owned());
        }
    }
    let protocol = match written.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    Some(FirewallRule {
        protocol: written.protocol,
        port: written.port,
        from: unique(from.into_iter()),
        why: written.why.map_or_else(|| format!("{}/{protocol}", written.port), |why| why.text.to_owned()),
    })
}

fn journal(machine: &Machine<'_, '_>) -> Option<JournalLimits> {
    let layers = machine.layers.iter().filter_map(|layer| layer.journal);
    let written = layers.reduce(|wide, near| JournalDraft {
        bytes_max: near.bytes_max.or(wide.bytes_max),
        keep: near.keep.or(wide.keep),
    })?;
    Some(JournalLimits { bytes_max: written.bytes_max, days_max: written.keep.map(days) })
}

fn upgrades(machine: &Machine<'_, '_>) -> Option<Option<Upgrades>> {
    let mut merged: Option<Upgrades> = None;
    for written in machine.layers.iter().filter_map(|layer| layer.upgrades.as_ref()) {
        let merged = merged.get_or_insert(Upgrades { enabled: true, reboot_at: None });
        merged.enabled = written.enabled.unwrap_or(merged.enabled);
        if let Some(reboot) = written.reboot {
            merged.reboot_at = parse_reboot(reboot.text)?.map(str::to_owned);
        }
    }
    Some(merged)
}

fn time(machine: &Machine<'_, '_>) -> Option<TimeSync> {
    let mut merged: Option<TimeSync> = None;
    for written in machine.layers.iter().filter_map(|layer| layer.time.as_ref()) {
        let merged = merged.get_or_insert_default();
        let servers = written.servers.iter().map(|server| server.text.to_owned());
        merged.servers = unique(std::mem::take(&mut merged.servers).into_iter().chain(servers));
        merged.zone = owned(written.zone).or(merged.zone.take());
    }
    merged
}

fn tls(scope: Scope<'_, '_>, machine: &Machine<'_, '_>) -> Option<BTreeMap<String, TlsFiles>> {
    machine
        .tls()
        .into_iter()
        .map(|written| {
            let files = TlsFiles {
                certificate: source(scope, written.certificate?)?,
                key: written.key?.text.parse().ok()?,
                group: owned(written.group),
                then: reactions(&written.then)?,
            };
            Some((written.name.text.to_owned(), files))
        })
        .collect()
}

fn steps(scope: Scope<'_, '_>, machine: &Machine<'_, '_>) -> Option<BTreeMap<String, Step>> {
    machine
        .steps()
        .into_iter()
        .map(|written| {
            let step = Step {
                run: words(scope, written.run.as_ref()?)?,
                unless: match &written.unless {
                    Some(command) => Some(words(scope, command)?),
                    None => None,
                },
                user: owned(written.user),
                folder: written.folder.map(path),
                credentials: written
                    .credentials
                    .iter()
                    .map(|(file, name)| Some((file.text.to_owned(), FromStr::from_str(name.text).ok()?)))
                    .collect::<Option<_>>()?,
                after: written.after.iter().map(|unit| unit.text.to_owned()).collect(),
            };
            Some((written.name.text.to_owned(), step))
        })
        .collect()
}

/// Texts of a list, each once and sorted.
pub(super) fn set(written: &[Text<'_>]) -> BTreeSet<String> {
    written.iter().map(|text| text.text.to_owned()).collect()
}
