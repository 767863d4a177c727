//! What a service says about its hosts, its code and its unit.

use super::command::{Command, command};
use super::machine::words;
use super::top::{boolean, misplaced, text, texts};
use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::source::Span;
use crate::tree::{Entry, Node, Text};
use haus_model::deployment::{Overlap, UnitType};

/// Everything of a service that means something only on hosts.
#[derive(Default)]
pub(crate) struct DeploymentDraft<'t> {
    pub(crate) on: Vec<Text<'t>>,
    pub(crate) on_key: Option<Span>,
    pub(crate) source: Option<SourceDraft<'t>>,
    pub(crate) source_key: Option<Span>,
    pub(crate) build: Vec<BuildStepDraft<'t>>,
    pub(crate) build_key: Option<Span>,
    pub(crate) keep: Option<u32>,
    pub(crate) keep_key: Option<Span>,
    pub(crate) overlap: Option<(Overlap, Span)>,
    pub(crate) unit: UnitSettingsDraft<'t>,
    pub(crate) unit_key: Option<Span>,
}

#[derive(Clone, Copy)]
pub(crate) enum SourceDraft<'t> {
    Git { url: Text<'t>, reference: Option<Text<'t>> },
    Folder(Text<'t>),
}

pub(crate) struct BuildStepDraft<'t> {
    pub(crate) folder: Option<Text<'t>>,
    pub(crate) tool: BuildToolDraft<'t>,
}

pub(crate) enum BuildToolDraft<'t> {
    Python(Text<'t>),
    Npm(Option<Text<'t>>),
    Run(Command<'t>),
}

#[derive(Default)]
pub(crate) struct UnitSettingsDraft<'t> {
    pub(crate) kind: Option<UnitType>,
    pub(crate) writable: Vec<Text<'t>>,
    pub(crate) capabilities: Vec<Text<'t>>,
    pub(crate) without: Vec<Text<'t>>,
    pub(crate) calendar: Option<Text<'t>>,
    pub(crate) socket: Option<(bool, Span)>,
}

impl<'t> DeploymentDraft<'t> {
    /// The commands of its build.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &Command<'t>> {
        self.build.iter().filter_map(|step| match &step.tool {
            BuildToolDraft::Run(command) => Some(command),
            BuildToolDraft::Python(_) | BuildToolDraft::Npm(_) => None,
        })
    }
}

impl UnitSettingsDraft<'_> {
    /// How systemd sees it as started: what a timer starts does its work and ends.
    pub(crate) fn kind(&self) -> UnitType {
        let usual = if self.calendar.is_some() { UnitType::Oneshot } else { UnitType::Exec };
        self.kind.unwrap_or(usual)
    }
}

/// The keys of a service that belong here.
pub(super) const KEYS: [&str; 6] = ["on", "source", "build", "keep", "overlap", "unit"];

/// One of [`KEYS`].
pub(super) fn key<'t>(
    session: &Session<'t>,
    deployment: &mut DeploymentDraft<'t>,
    entry: &'t Entry<'t>,
    subject: Subject<'t>,
) {
    let node = &entry.value;
    match entry.key.as_ref() {
        "on" => {
            deployment.on_key = Some(entry.key_span);
            deployment.on = node.text().map_or_else(|| words(node), |one| vec![one]);
            if deployment.on.is_empty() && node.text().is_none() {
                let fault = Fault::new(Code::Form, subject, node.span, "`on` names no host");
                session.report(fault.label("names none").remedy("name a host, or remove the key"));
            }
        }
        "source" => {
            deployment.source_key = Some(entry.key_span);
            deployment.source = source(session, entry, subject);
        }
        "build" => {
            deployment.build_key = Some(entry.key_span);
            deployment.build =
                node.items().iter().filter_map(|step| build_step(session, step, subject)).collect();
        }
        "keep" => {
            deployment.keep_key = Some(entry.key_span);
            deployment.keep = node.text().and_then(|text| text.text.parse().ok());
        }
        "overlap" => {
            deployment.overlap = node.text().and_then(|word| match word.text {
                "safe" => Some((Overlap::Safe, word.span)),
                "unsafe" => Some((Overlap::Unsafe, word.span)),
                _ => None,
            });
        }
        "unit" => {
            deployment.unit_key = Some(entry.key_span);
            deployment.unit = unit(node);
        }
        _ => {}
    }
}

/// The first that is there counts; that there is exactly one is a rule of the shape.
fn source<'t>(session: &Session<'t>, entry: &'t Entry<'t>, subject: Subject<'t>) -> Option<SourceDraft<'t>> {
    let node = &entry.value;
    if let Some(url) = text(node, "git") {
        let reference = text(node, "ref");
        if node.get("ref").is_none() {
            let message = "the key `ref` is missing in a source with `git`";
            let fault = Fault::new(Code::MissingKey, subject, entry.key_span, message);
            session.report(
                fault.label("which state of it?").remedy("add `ref: TAG`; a tag says best what runs"),
            );
        }
        return Some(SourceDraft::Git { url, reference });
    }
    let folder = text(node, "folder")?;
    if let Some(entry) = node.get("ref") {
        misplaced(session, entry, "git", subject);
    }
    Some(SourceDraft::Folder(folder))
}

fn build_step<'t>(
    session: &Session<'t>,
    node: &'t Node<'t>,
    subject: Subject<'t>,
) -> Option<BuildStepDraft<'t>> {
    let npm = node.get("npm").is_some();
    if let (Some(entry), false) = (node.get("script"), npm) {
        misplaced(session, entry, "npm", subject);
    }
    let tool = if let Some(lock) = text(node, "python") {
        BuildToolDraft::Python(lock)
    } else if npm {
        BuildToolDraft::Npm(text(node, "script"))
    } else {
        BuildToolDraft::Run(node.get("run").and_then(|entry| command(&entry.value))?)
    };
    Some(BuildStepDraft { folder: text(node, "in"), tool })
}

fn unit<'t>(node: &'t Node<'t>) -> UnitSettingsDraft<'t> {
    UnitSettingsDraft {
        kind: text(node, "type").and_then(|word| match word.text {
            "exec" => Some(UnitType::Exec),
            "notify" => Some(UnitType::Notify),
            "oneshot" => Some(UnitType::Oneshot),
            _ => None,
        }),
        writable: texts(node, "writable"),
        capabilities: texts(node, "capabilities"),
        without: texts(node, "without"),
        calendar: text(node, "calendar"),
        socket: boolean(node, "socket").zip(node.get("socket").map(|entry| entry.value.span)),
    }
}
