//! Hosts, groups and networks as they were written: what is known about them and what is wanted on them.
//!
//! What is wanted has one type wherever it is said: for the whole house, in a group, in a host. Knows no
//! tree; `machine` reads that.

use super::Acceptance;
use super::command::Command;
use crate::source::Span;
use crate::tree::Text;
use haus_model::host::{Architecture, Elevation, Protocol, RootLogin};
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
