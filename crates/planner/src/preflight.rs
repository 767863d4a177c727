//! What must be right about a host before anything is changed there. Every finding here leaves the host as it
//! is.

mod lock_out;

use crate::desired::{DesiredHost, Listening};
use crate::findings::About;
use haus_model::change::{ActKind, Change};
use haus_model::host::Architecture;
use haus_model::host_code::HostCode;
use haus_model::inventory::{Facts, Inventory, Listener};
use haus_model::resource::{Content, HealthQuestion, Kind, ReleaseSource, Spec};
use haus_model::{Finding, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) use lock_out::lock_out;

/// A clock may differ by this much, in milliseconds: enough for a slow observation, too little for a
/// certificate.
const SKEW_MS_MAX: i64 = 30_000;

/// What stays free on every file system that we write to.
const RESERVE_BYTES: u64 = 64 << 20;
const PACKAGE_BYTES: u64 = 64 << 20;
const CHECKOUT_BYTES: u64 = 64 << 20;
const BUILD_STEP_BYTES: u64 = 128 << 20;

/// What shows before anything is compared.
pub(crate) fn machine(about: About<'_>, host: &DesiredHost, facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(os) = &host.os
        && facts.os != *os
        && !facts.os.strip_prefix(os.as_str()).is_some_and(|rest| rest.starts_with('-'))
    {
        let message = format!("it runs {}, the plan says {os}", or_unknown(&facts.os));
        findings.push(about.finding(
            HostCode::WrongSystem,
            message,
            "correct `os`, or check whether this is the right machine",
        ));
    }
    if let Some(architecture) = host.architecture
        && facts.machine != architecture.machine()
    {
        let message = format!(
            "it is {}, the plan says {}",
            debian_word(&facts.machine),
            debian_word(architecture.machine())
        );
        findings.push(about.finding(
            HostCode::WrongArchitecture,
            message,
            "correct `arch`, or check whether this is the right machine",
        ));
    }
    let skew = facts.clock.0.saturating_sub(now.0);
    if skew.abs() > SKEW_MS_MAX {
        let direction = if skew > 0 { "ahead" } else { "behind" };
        let message = format!("its clock is {} s {direction}", skew.abs() / 1000);
        findings.push(about.finding(
            HostCode::ClockSkew,
            message,
            "set it (`timedatectl set-ntp true`): certificates and package lists are refused otherwise",
        ));
    }
    findings
}

/// Whether systemd is wanted and missing.
pub(crate) fn no_systemd(about: About<'_>, host: &DesiredHost, facts: &Facts) -> Option<Finding> {
    let asks = |question: &HealthQuestion| matches!(question, HealthQuestion::Unit { .. });
    let wants = |spec: &Spec| {
        matches!(spec, Spec::Unit(_)) || matches!(spec, Spec::Health(health) if asks(&health.question))
    };
    let resource = host.resources.iter().find(|resource| wants(&resource.spec))?;
    if facts.systemd.is_some() {
        return None;
    }
    let message = format!("systemd does not run there, and {} needs it", resource.id);
    Some(about.finding(HostCode::NoSystemd, message, "use a host with systemd, or leave out what needs it"))
}

/// What shows once the changes are known.
pub(crate) fn changes(about: About<'_>, inventory: &Inventory, changes: &[Change]) -> Vec<Finding> {
    let facts = &inventory.facts;
    let mut findings = Vec::new();
    if !facts.is_root && !changes.is_empty() {
        let message = format!("{} is not root there and may not become it", or_unknown(&facts.user));
        findings.push(about.finding(
            HostCode::NotRoot,
            message,
            "log in as root, or leave `elevation` at `auto` and let the account use sudo without a password",
        ));
    }
    findings.extend(space(about, facts, changes));
    findings
}

/// Ports of services on which somebody else listens. What we made or are going to make is no stranger.
pub(crate) fn ports(about: About<'_>, host: &DesiredHost, inventory: &Inventory) -> Vec<Finding> {
    if host.listens.is_empty() || inventory.facts.listeners.is_empty() {
        return Vec::new();
    }
    let mut ours: BTreeSet<&str> =
        host.listens.iter().flat_map(|listening| &listening.units).map(String::as_str).collect();
    let made = inventory.manifest.entries.keys().filter(|id| id.as_str().starts_with(Kind::Unit.as_str()));
    ours.extend(made.map(haus_model::resource::ResourceId::name));
    let mut by_port: BTreeMap<u16, Vec<&Listener>> = BTreeMap::new();
    for listener in &inventory.facts.listeners {
        by_port.entry(listener.port).or_default().push(listener);
    }
    let mut findings = Vec::new();
    for wanted in &host.listens {
        let strangers = by_port.get(&wanted.port).into_iter().flatten();
        // Without root's rights the kernel does not tell whose a listener is; that account may change nothing
        // anyway.
        let is_known = |listener: &&Listener| inventory.facts.is_root || listener.unit.is_some();
        let stranger = strangers
            .copied()
            .filter(|listener| meets(wanted, listener))
            .filter(is_known)
            .find(|listener| !listener.unit.as_deref().is_some_and(|unit| ours.contains(unit)));
        if let Some(stranger) = stranger {
            findings.push(about.finding(
                HostCode::PortTaken,
                taken(wanted, stranger),
                "stop it, or give one of them another port",
            ));
        }
    }
    findings
}

fn meets(wanted: &Listening, listener: &Listener) -> bool {
    let same = |address: std::net::IpAddr| address == listener.address || listener.address.is_unspecified();
    wanted.protocol == listener.protocol && wanted.address.is_none_or(same)
}

fn taken(wanted: &Listening, stranger: &Listener) -> String {
    let who = match (&stranger.process, &stranger.unit) {
        (Some(process), Some(unit)) => format!("{process} ({unit})"),
        (Some(name), None) | (None, Some(name)) => name.clone(),
        (None, None) => "somebody else".to_owned(),
    };
    format!("{who} listens on port {} of {}", wanted.port, wanted.subject)
}

/// An estimate, and a rough one for packages and builds: it is there to say "no" before a disk is full, not
/// to be exact.
fn space(about: About<'_>, facts: &Facts, changes: &[Change]) -> Vec<Finding> {
    let mut needed: BTreeMap<&Path, u64> = BTreeMap::new();
    for change in changes.iter().filter(|change| matches!(change.act, ActKind::Create | ActKind::Update)) {
        for (path, bytes) in bytes_of(change) {
            if let Some(mount) = path.ancestors().find(|folder| facts.space.contains_key(*folder)) {
                let key = facts.space.get_key_value(mount).map_or(Path::new("/"), |(key, _)| key.as_path());
                *needed.entry(key).or_default() += bytes;
            }
        }
    }
    let short = needed.into_iter().filter_map(|(mount, bytes)| {
        let free = facts.space.get(mount)?.bytes;
        let wanted = bytes.saturating_add(RESERVE_BYTES);
        (free < wanted).then(|| {
            let message = format!(
                "{} has {} MiB free, and this plan needs some {} MiB",
                mount.display(),
                free >> 20,
                wanted.div_ceil(1 << 20)
            );
            about.finding(HostCode::NoSpace, message, "free some space, then plan again")
        })
    });
    short.collect()
}

fn bytes_of(change: &Change) -> Vec<(PathBuf, u64)> {
    match &change.spec {
        Spec::File(file) => {
            let bytes = match &file.content {
                Content::Text(text) => text.len() as u64,
                Content::Blob { bytes, .. } => *bytes,
                Content::Secret(_) => 4096,
            };
            vec![(file.path.clone(), bytes)]
        }
        Spec::Release(release) => {
            let source = match &release.source {
                ReleaseSource::Git { .. } => CHECKOUT_BYTES,
                // The archive and what comes out of it.
                ReleaseSource::Archive { bytes, .. } => bytes.saturating_mul(3),
            };
            let build = BUILD_STEP_BYTES * release.build.len() as u64;
            vec![(release.root.clone(), source.saturating_add(build))]
        }
        Spec::Packages(spec) => {
            let missing = haus_model::operation::packages_missing(spec, &change.before).len() as u64;
            vec![(PathBuf::from("/usr"), PACKAGE_BYTES * missing), (PathBuf::from("/var"), 0)]
        }
        Spec::Holds(_)
        | Spec::Group(_)
        | Spec::User(_)
        | Spec::Keys(_)
        | Spec::Directory(_)
        | Spec::Link(_)
        | Spec::Switch(_)
        | Spec::Sysctl(_)
        | Spec::Command(_)
        | Spec::Unit(_)
        | Spec::Health(_) => Vec::new(),
    }
}

/// As the plan says it; what no plan can say stays as the kernel says it.
fn debian_word(machine: &str) -> &str {
    match Architecture::from_machine(machine) {
        Some(Architecture::Amd64) => "amd64",
        Some(Architecture::Arm64) => "arm64",
        None => or_unknown(machine),
    }
}

fn or_unknown(word: &str) -> &str {
    if word.is_empty() { "something unknown" } else { word }
}
