//! The draft: a plan as it was written, typed where that is possible, every part with its place.
//!
//! Owns the merging of files. Nothing is filled in and nothing is judged here; what the walk has
//! already reported is simply absent.

mod alerts;
mod command;
mod credential;
mod deployment;
mod fleet;
mod machine;
mod service;
mod settings;
mod stage;
mod top;

use crate::fault::Subject;
use crate::path::within;
use crate::shape::{is_loopback, parse_rotation};
use crate::source::Span;
use crate::tree::{Node, Text};
use haus_model::CredentialKind;
use haus_model::alert::{AlertLevel, MailTls, Weekday};
use haus_model::deployment::UnitType;
use haus_model::house::{Anonymous, LogBodies};
use haus_model::service::{Limits, NewCredential, PortNumber, Recover, Restart, Rollout, RunsAs, Stop};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use command::{Argument, Command};
pub(crate) use deployment::{BuildToolDraft, DeploymentDraft, SourceDraft};
pub(crate) use fleet::{Fleet, Machine, MergedAccount, MergedFirewall, MergedSshd, Place};
pub(crate) use settings::{
    AccessDraft, ContentDraft, FileDraft, GroupDraft, JournalDraft, MachineDraft, NetworkDraft,
    OverrideDraft, RuleDraft, SettingsDraft,
};
pub(crate) use stage::Stage;
pub(crate) use top::decode;

/// Long enough for a rolling restart of everything that reads the credential.
const OVERLAP_USUAL: Duration = Duration::from_secs(600);

/// Everything in all files of a plan.
#[derive(Default)]
pub(crate) struct Draft<'t> {
    pub(crate) house: Option<Text<'t>>,
    pub(crate) title: Option<Text<'t>>,
    pub(crate) domain: Option<Text<'t>>,
    pub(crate) gateway: GatewayDraft<'t>,
    pub(crate) vars: Vec<(Text<'t>, Text<'t>)>,
    pub(crate) stages: Vec<StageDraft<'t>>,
    pub(crate) services: Vec<ServiceDraft<'t>>,
    /// Services by name; looked up, never iterated.
    pub(crate) service_index: HashMap<&'t str, usize>,
    pub(crate) services_key: Option<Span>,
    /// Where each name of each family was said first; looked up, never iterated.
    homes: HashMap<(&'static str, &'t str), Span>,
    pub(crate) routes: Vec<HostDraft<'t>>,
    pub(crate) credentials: Vec<CredentialDraft<'t>>,
    pub(crate) api: ApiDraft,
    pub(crate) alerts: AlertsDraft<'t>,
    pub(crate) maintenance: Vec<MaintenanceDraft<'t>>,
    pub(crate) accept: Vec<Acceptance<'t>>,
    pub(crate) machines: Vec<MachineDraft<'t>>,
    pub(crate) groups: Vec<GroupDraft<'t>>,
    pub(crate) networks: Vec<NetworkDraft<'t>>,
    /// Machines, groups and networks by name; looked up, never iterated.
    machine_index: HashMap<(&'static str, &'t str), usize>,
    /// What the plan wants on every host.
    pub(crate) everywhere: SettingsDraft<'t>,
    /// Texts of templates and of files with keys, by path relative to the plan's folder; looked up, never
    /// iterated.
    pub(crate) texts: HashMap<PathBuf, Text<'t>>,
    /// The folder of each file, relative to the plan's folder.
    pub(crate) folders: Vec<PathBuf>,
}

/// Gateway settings that were written.
#[derive(Clone, Default)]
pub(crate) struct GatewayDraft<'t> {
    pub(crate) listen: Option<Text<'t>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) access_log: Option<bool>,
    pub(crate) hold: Option<Duration>,
}

pub(crate) struct StageDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) domain: Option<Text<'t>>,
    pub(crate) vars: Vec<(Text<'t>, Text<'t>)>,
    pub(crate) gateway: GatewayDraft<'t>,
    pub(crate) machines: Vec<OverrideDraft<'t>>,
    /// Whether it says `hosts: none`.
    pub(crate) without_hosts: bool,
}

pub(crate) struct ServiceDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) about: Option<Text<'t>>,
    pub(crate) runs_as: RunsAs,
    /// Where the word for it stands, when there is one.
    pub(crate) runs_as_span: Option<Span>,
    /// Boxed, because most services of a large plan have none.
    pub(crate) deployment: Option<Box<DeploymentDraft<'t>>>,
    pub(crate) run: Option<Command<'t>>,
    /// Whether the key is there, even with something that is no command.
    pub(crate) has_run: bool,
    pub(crate) user: Option<Text<'t>>,
    pub(crate) folder: Option<Text<'t>>,
    pub(crate) prepare: Vec<Command<'t>>,
    pub(crate) ports: Vec<PortDraft<'t>>,
    /// Whether a port was written in a way that is no port, so that it is unknown which there are.
    pub(crate) ports_unclear: bool,
    pub(crate) address: Option<Text<'t>>,
    pub(crate) data: Vec<DataDraft<'t>>,
    pub(crate) data_key: Option<Span>,
    pub(crate) config: Option<&'t Node<'t>>,
    pub(crate) env: Vec<(Text<'t>, Text<'t>)>,
    pub(crate) credentials: Vec<(Text<'t>, Text<'t>)>,
    pub(crate) new_credential: NewCredential,
    pub(crate) health: Option<HealthDraft<'t>>,
    pub(crate) has_health: bool,
    pub(crate) needs: Vec<Text<'t>>,
    pub(crate) instances: u32,
    pub(crate) instances_span: Option<Span>,
    pub(crate) limits: Option<Limits>,
    pub(crate) rollout: Option<(Rollout, Span)>,
    pub(crate) recover: Recover,
    /// Where the pauses are written, to underline them.
    pub(crate) recover_pauses: Option<Span>,
    pub(crate) stop: Stop,
    pub(crate) accept: Vec<Acceptance<'t>>,
}

#[derive(Clone, Copy)]
pub(crate) struct PortDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) number: PortNumber,
    pub(crate) span: Span,
}

#[derive(Clone, Copy)]
pub(crate) struct DataDraft<'t> {
    /// The link in the working folder, when there is one.
    pub(crate) link: Option<Text<'t>>,
    pub(crate) folder: Text<'t>,
}

/// What a probe asks.
pub(crate) enum ProbeDraft<'t> {
    Get { path: Text<'t>, port: Option<Text<'t>>, expect: Option<&'t Node<'t>> },
    Tcp(Text<'t>),
    Command(Command<'t>),
    Process,
}

pub(crate) struct HealthDraft<'t> {
    pub(crate) key: Span,
    pub(crate) probe: ProbeDraft<'t>,
    pub(crate) every: Duration,
    pub(crate) timeout: Duration,
    /// Where the rhythm is written, to underline it.
    pub(crate) rhythm: Option<Span>,
    pub(crate) start: Duration,
    pub(crate) healthy_after: u32,
    pub(crate) unhealthy_after: u32,
}

pub(crate) struct HostDraft<'t> {
    pub(crate) host: Text<'t>,
    pub(crate) routes: Vec<RouteDraft<'t>>,
}

pub(crate) struct RouteDraft<'t> {
    /// The path; the host again in the short form.
    pub(crate) path: Text<'t>,
    pub(crate) target: TargetDraft<'t>,
    pub(crate) strip: Option<Text<'t>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_body_bytes: Option<u64>,
    pub(crate) deny_headers: Vec<Text<'t>>,
    pub(crate) headers: Vec<(Text<'t>, Text<'t>)>,
}

pub(crate) enum TargetDraft<'t> {
    To(Text<'t>),
    Files {
        root: Text<'t>,
        /// The service in whose code the folder lies.
        of: Option<Text<'t>>,
        fallback: Option<Text<'t>>,
        immutable: Option<Text<'t>>,
    },
}

pub(crate) struct CredentialDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) length: Option<u32>,
    pub(crate) file: Option<Text<'t>>,
    pub(crate) given: bool,
    pub(crate) kind: CredentialKind,
    pub(crate) scope: Option<Vec<Text<'t>>>,
    pub(crate) rotate: Option<Text<'t>>,
    pub(crate) overlap: Option<(Duration, Span)>,
    pub(crate) ttl: Option<(Duration, Span)>,
    pub(crate) rotator: Option<RotatorDraft<'t>>,
    pub(crate) reason: Option<Text<'t>>,
}

/// Who is told the new value of a credential.
#[derive(Clone, Copy)]
pub(crate) struct RotatorDraft<'t> {
    pub(crate) service: Text<'t>,
    pub(crate) server: ServerDraft<'t>,
}

/// What kind of server it is, and whose password.
#[derive(Clone, Copy)]
pub(crate) enum ServerDraft<'t> {
    Postgres { role: Option<Text<'t>>, database: Option<Text<'t>> },
    Redis { user: Option<Text<'t>> },
}

/// Settings of the API that were written.
#[derive(Clone, Copy, Default)]
pub(crate) struct ApiDraft {
    pub(crate) anonymous: Option<Anonymous>,
    pub(crate) heartbeat: Option<Duration>,
    /// Days; the inner none is `forever`.
    pub(crate) trail_days: Option<Option<u32>>,
    pub(crate) history: Option<Duration>,
    pub(crate) log_bodies: Option<LogBodies>,
}

/// Alerts as written.
#[derive(Default)]
pub(crate) struct AlertsDraft<'t> {
    pub(crate) key: Option<Span>,
    pub(crate) after: Option<Duration>,
    /// The inner none is `never`.
    pub(crate) repeat: Option<Option<Duration>>,
    pub(crate) receivers: Vec<ReceiverDraft<'t>>,
}

pub(crate) struct ReceiverDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) road: Option<RoadDraft<'t>>,
    pub(crate) level: AlertLevel,
    pub(crate) services: Vec<Text<'t>>,
}

/// How a receiver is reached.
pub(crate) enum RoadDraft<'t> {
    Webhook {
        url: Text<'t>,
        secret: Option<Text<'t>>,
    },
    Mail {
        key: Span,
        to: Vec<Text<'t>>,
        server: Option<Text<'t>>,
        tls: Option<MailTls>,
        sender: Option<Text<'t>>,
        user: Option<Text<'t>>,
        password: Option<Text<'t>>,
    },
    Mqtt {
        server: Text<'t>,
        topic: Option<Text<'t>>,
        user: Option<Text<'t>>,
        password: Option<Text<'t>>,
    },
}

pub(crate) struct MaintenanceDraft<'t> {
    pub(crate) name: Text<'t>,
    pub(crate) days: Vec<Weekday>,
    pub(crate) at_minute: Option<u16>,
    pub(crate) lasts: Option<Duration>,
    pub(crate) lasts_span: Option<Span>,
    pub(crate) services: Vec<Text<'t>>,
    pub(crate) reason: Option<Text<'t>>,
}

/// A finding accepted in the plan: which, why, and where that is written.
#[derive(Clone, Copy)]
pub(crate) struct Acceptance<'t> {
    pub(crate) code: Text<'t>,
    pub(crate) reason: Text<'t>,
}

impl<'t> CredentialDraft<'t> {
    /// Days between rotations; none for `never`, nothing written, or nothing understood.
    pub(crate) fn rotate_days(&self) -> Option<u32> {
        parse_rotation(self.rotate?.text)?
    }

    /// How long both values are valid. A PostgreSQL role has one password, so there it is no time at all.
    pub(crate) fn overlap(&self) -> Duration {
        let one_password =
            matches!(self.rotator, Some(RotatorDraft { server: ServerDraft::Postgres { .. }, .. }));
        let usual = if one_password { Duration::ZERO } else { OVERLAP_USUAL };
        self.overlap.map_or(usual, |(overlap, _)| overlap)
    }
}

impl<'t> ReceiverDraft<'t> {
    /// The key that names its credential.
    pub(crate) fn credential_key(&self) -> &'static str {
        match self.road {
            Some(RoadDraft::Webhook { .. }) | None => "secret",
            Some(RoadDraft::Mail { .. } | RoadDraft::Mqtt { .. }) => "password",
        }
    }

    /// The credential that it is reached with.
    pub(crate) fn credential(&self) -> Option<Text<'t>> {
        match self.road.as_ref()? {
            RoadDraft::Webhook { secret, .. } => *secret,
            RoadDraft::Mail { password, .. } | RoadDraft::Mqtt { password, .. } => *password,
        }
    }
}

/// The mail server of a receiver that names none: a relay on this machine.
pub(crate) const MAIL_SERVER_USUAL: (&str, u16) = ("127.0.0.1", 25);

/// The protection of a connection to a mail server: what is written, else whatever is safe there.
pub(crate) fn mail_tls(written: Option<MailTls>, host: &str) -> MailTls {
    let usual = if is_loopback(host) { MailTls::None } else { MailTls::Starttls };
    written.unwrap_or(usual)
}

impl<'t> Draft<'t> {
    pub(crate) fn service(&self, name: &str) -> Option<&ServiceDraft<'t>> {
        self.service_index.get(name).map(|&at| &self.services[at])
    }

    pub(crate) fn machine(&self, name: &str) -> Option<&MachineDraft<'t>> {
        self.machine_index.get(&("hosts", name)).map(|&at| &self.machines[at])
    }

    pub(crate) fn group(&self, name: &str) -> Option<&GroupDraft<'t>> {
        self.machine_index.get(&("groups", name)).map(|&at| &self.groups[at])
    }

    pub(crate) fn network(&self, name: &str) -> Option<&NetworkDraft<'t>> {
        self.machine_index.get(&("networks", name)).map(|&at| &self.networks[at])
    }

    /// Everything that is wanted on hosts, each with what it speaks for, once.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (Subject<'t>, &SettingsDraft<'t>)> {
        let groups = self.groups.iter().map(|group| (Subject::Group(group.name.text), &group.settings));
        let machines =
            self.machines.iter().map(|machine| (Subject::Machine(machine.name.text), &machine.settings));
        std::iter::once((Subject::House, &self.everywhere)).chain(groups).chain(machines)
    }

    /// A path that a file of the plan names, relative to the plan's folder.
    pub(crate) fn path(&self, text: Text<'t>) -> Option<PathBuf> {
        within(&self.folders[text.span.file as usize], text.text)
    }

    pub(crate) fn service_names(&self) -> impl Iterator<Item = &'t str> {
        self.services.iter().map(|service| service.name.text)
    }
}

impl<'t> ServiceDraft<'t> {
    /// The main port: the one named `http`, else the only one.
    pub(crate) fn main_port(&self) -> Option<&PortDraft<'t>> {
        let http = self.ports.iter().find(|port| port.name.text == "http");
        http.or_else(|| if self.ports.len() == 1 { self.ports.first() } else { None })
    }

    pub(crate) fn port(&self, name: &str) -> Option<&PortDraft<'t>> {
        self.ports.iter().find(|port| port.name.text == name)
    }

    /// The hosts that it names.
    pub(crate) fn on(&self) -> &[Text<'t>] {
        self.deployment.as_ref().map_or(&[], |deployment| &deployment.on)
    }

    /// Whether it does its work and ends, so that nothing of it can be asked in between.
    pub(crate) fn ends(&self) -> bool {
        self.deployment.as_ref().is_some_and(|deployment| deployment.unit.kind() == UnitType::Oneshot)
    }

    pub(crate) fn is_coordinator(&self) -> bool {
        self.runs_as == RunsAs::Coordinator
    }

    /// Whether it runs somewhere else and registers itself.
    pub(crate) fn is_external(&self) -> bool {
        self.runs_as == RunsAs::External
    }

    /// Every command that is run for it, in order.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &Command<'t>> {
        let probe = self.health.as_ref().and_then(|health| match &health.probe {
            ProbeDraft::Command(command) => Some(command),
            ProbeDraft::Get { .. } | ProbeDraft::Tcp(_) | ProbeDraft::Process => None,
        });
        self.run.iter().chain(&self.prepare).chain(probe)
    }
}

/// Reads the word for a restart rule.
pub(crate) fn restart(word: &str) -> Option<Restart> {
    match word {
        "always" => Some(Restart::Always),
        "on-failure" => Some(Restart::OnFailure),
        "never" => Some(Restart::Never),
        _ => None,
    }
}
