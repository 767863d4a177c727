//! Where a service lives and how its code gets there, with every default.

use super::machine::{set, words};
use crate::draft::{BuildToolDraft, Draft, ServiceDraft, SourceDraft, Stage};
use crate::path::{within, within_or_absolute};
use crate::template::{Part, parts};
use crate::tree::{Node, Value};
use crate::variable::{Home, Scope};
use haus_model::deployment::{BuildStep, BuildTool, CodeSource, Deployment, RELEASES_KEPT, UnitSettings};
use haus_model::service::RunsAs;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Whether the service lives on hosts in this stage.
pub(super) fn is_deployed(stage: &Stage<'_, '_>, service: &ServiceDraft<'_>) -> bool {
    !stage.fleet.without && !service.on().is_empty()
}

/// In which form the service runs in this stage: without hosts a unit is a process of the supervisor.
pub(super) fn runs_as(stage: &Stage<'_, '_>, service: &ServiceDraft<'_>) -> RunsAs {
    match service.runs_as {
        RunsAs::Systemd if stage.fleet.without => RunsAs::Process,
        as_written @ (RunsAs::Process | RunsAs::Coordinator | RunsAs::External | RunsAs::Systemd) => {
            as_written
        }
    }
}

/// The working folder: inside the release on a host, inside the folder of the code in front of you.
pub(super) fn folder(
    draft: &Draft<'_>,
    stage: &Stage<'_, '_>,
    service: &ServiceDraft<'_>,
) -> Option<PathBuf> {
    if !is_deployed(stage, service) {
        return local_folder(draft, service);
    }
    match service.folder {
        Some(folder) => within_or_absolute(Path::new(""), folder.text),
        None => Some(PathBuf::from(".")),
    }
}

/// The working folder on the machine in front of you.
pub(crate) fn local_folder(draft: &Draft<'_>, service: &ServiceDraft<'_>) -> Option<PathBuf> {
    let code = service.deployment.as_ref().and_then(|deployment| match deployment.source {
        Some(SourceDraft::Folder(folder)) => Some(folder),
        Some(SourceDraft::Git { .. }) | None => None,
    });
    match (code, service.folder) {
        (Some(code), folder) => {
            within_or_absolute(&draft.path(code)?, folder.map_or(".", |folder| folder.text))
        }
        (None, Some(folder)) => within_or_absolute(&draft.folders[folder.span.file as usize], folder.text),
        (None, None) => Some(PathBuf::from(".")),
    }
}

/// None when it runs on the machine in front of you.
pub(super) fn build(scope: Scope<'_, '_>, service: &ServiceDraft<'_>) -> Option<Option<Deployment>> {
    let (draft, stage) = (scope.draft, scope.stage);
    let scope = Scope { home: Home::Build(service), ..scope };
    let Some(written) = service.deployment.as_ref().filter(|_| is_deployed(stage, service)) else {
        return Some(None);
    };
    let mut on = Vec::new();
    for host in &written.on {
        let host = host.text.parse().ok()?;
        if !on.contains(&host) {
            on.push(host);
        }
    }
    let source = match written.source {
        Some(SourceDraft::Git { url, reference }) => {
            Some(CodeSource::Git { url: url.text.to_owned(), reference: reference?.text.to_owned() })
        }
        Some(SourceDraft::Folder(folder)) => Some(CodeSource::Folder(draft.path(folder)?)),
        None => None,
    };
    let inner = |text: &str| within(Path::new(""), text);
    let mut steps = Vec::new();
    for step in &written.build {
        let folder = match step.folder {
            Some(folder) => inner(folder.text).filter(|folder| folder != Path::new(".")).unwrap_or_default(),
            None => PathBuf::new(),
        };
        let tool = match &step.tool {
            BuildToolDraft::Python(lock) => BuildTool::Python { lock: inner(lock.text)? },
            BuildToolDraft::Npm(script) => {
                BuildTool::Npm { run: script.map(|script| script.text.to_owned()) }
            }
            BuildToolDraft::Run(command) => BuildTool::Run(words(scope, command)?),
        };
        steps.push(BuildStep { folder, tool });
    }
    let unit = &written.unit;
    let asks = named_hosts(service).into_iter().filter_map(|name| name.parse().ok());
    Some(Some(Deployment {
        asks: asks.filter(|host| !on.contains(host)).collect(),
        on,
        source,
        build: steps,
        keep: written.keep.unwrap_or(RELEASES_KEPT),
        overlap: written.overlap.map(|(overlap, _)| overlap).unwrap_or_default(),
        unit: UnitSettings {
            kind: unit.kind(),
            writable: unit.writable.iter().map(|folder| PathBuf::from(folder.text)).collect(),
            capabilities: set(&unit.capabilities),
            without: set(&unit.without),
            calendar: unit.calendar.map(|calendar| calendar.text.to_owned()),
            socket: unit.socket.is_some_and(|(socket, _)| socket),
        },
    }))
}

/// The hosts that texts of a service name: `${host.NAME.…}`.
fn named_hosts(service: &ServiceDraft<'_>) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut look = |text: &str| {
        for part in parts(text) {
            if let Part::Variable(name, _) = part
                && let Some((host, _)) = name.strip_prefix("host.").and_then(|rest| rest.split_once('.'))
            {
                named.insert(host.to_owned());
            }
        }
    };
    service.commands().flat_map(|command| &command.words).for_each(|word| look(&word.text));
    service.env.iter().for_each(|(_, value)| look(value.text));
    if let Some(config) = service.config {
        texts(config, &mut look);
    }
    named
}

/// Every text of a tree.
fn texts(node: &Node<'_>, look: &mut dyn FnMut(&str)) {
    match &node.value {
        Value::Scalar(text, _) => look(text),
        Value::List(items) => items.iter().for_each(|item| texts(item, look)),
        Value::Map(entries) => entries.iter().for_each(|entry| texts(&entry.value, look)),
    }
}

/// Where the code of a service lies: on a host its current release, in front of you its folder.
pub(super) fn code(draft: &Draft<'_>, stage: &Stage<'_, '_>, service: &ServiceDraft<'_>) -> Option<PathBuf> {
    if is_deployed(stage, service) {
        let house = draft.house?.text;
        return Some(PathBuf::from(format!("/srv/{house}/{}/current", service.name.text)));
    }
    match service.deployment.as_ref().and_then(|deployment| deployment.source) {
        Some(SourceDraft::Folder(folder)) => draft.path(folder),
        Some(SourceDraft::Git { .. }) | None => Some(PathBuf::from(".")),
    }
}
