//! Services on hosts: in which form, with what code, and what cannot be true of them at once.

use crate::code::Code;
use crate::draft::{DeploymentDraft, Draft, ProbeDraft, ServiceDraft, SourceDraft, Stage};
use crate::fault::{Fault, Session, Subject};
use haus_model::deployment::{Overlap, UnitType};
use haus_model::service::RunsAs;
use std::path::Path;

/// Each service by itself.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for service in &draft.services {
        let subject = Subject::Service(service.name.text);
        let Some(deployment) = service.deployment.as_deref() else {
            if service.runs_as == RunsAs::Systemd {
                on_missing(session, subject, service);
            }
            continue;
        };
        match service.runs_as {
            RunsAs::External => continue,
            RunsAs::Systemd if deployment.on_key.is_none() => on_missing(session, subject, service),
            RunsAs::Process if deployment.on_key.is_some() && service.runs_as_span.is_none() => {
                let message =
                    format!("`{}` names a host and not in which form it runs there", service.name.text);
                let fault = Fault::new(Code::OnForm, subject, deployment.on_key, message);
                session.report(
                    fault
                        .label("as what?")
                        .remedy("add `as: systemd`; `as: process` is run by Hausmeister's own service there"),
                );
            }
            RunsAs::Process | RunsAs::Coordinator | RunsAs::Systemd => {}
        }
        if let (true, [_, second, ..]) = (service.is_coordinator(), deployment.on.as_slice()) {
            let message = "a house has one API of its own, and this one would run on several hosts";
            let fault = Fault::new(Code::CoordinatorTwice, subject, second.span, message);
            session.report(fault.label("a second one").remedy("name one host"));
        }
        if !service.is_coordinator() {
            alone(session, subject, service, deployment);
            code(session, subject, service, deployment);
            unit(session, subject, service, deployment);
        }
    }
}

fn on_missing<'t>(session: &Session<'t>, subject: Subject<'t>, service: &ServiceDraft<'t>) {
    let message = format!("`{}` is a unit of systemd and names no host", service.name.text);
    let fault = Fault::new(Code::OnMissing, subject, service.runs_as_span, message);
    session.report(
        fault
            .label("on which host?")
            .remedy("add `on: HOST`, or write `as: process` to run it in front of you"),
    );
}

/// Keys that mean something only on a host, or only for a unit.
fn alone<'t>(
    session: &Session<'t>,
    subject: Subject<'t>,
    service: &ServiceDraft<'t>,
    deployment: &DeploymentDraft<'t>,
) {
    let is_unit = service.runs_as == RunsAs::Systemd;
    let keys = [
        ("source", deployment.source_key, "on", deployment.on_key.is_some() || is_unit),
        ("build", deployment.build_key, "on", deployment.on_key.is_some() || is_unit),
        ("keep", deployment.keep_key, "source", deployment.source_key.is_some()),
        ("overlap", deployment.overlap.map(|(_, span)| span), "on", deployment.on_key.is_some() || is_unit),
        ("unit", deployment.unit_key, "as: systemd", is_unit),
    ];
    for (key, span, needed, is_there) in keys {
        let Some(span) = span.filter(|_| !is_there) else { continue };
        let message = format!("`{key}` means something only together with `{needed}`");
        let fault = Fault::new(Code::Together, subject, span, message);
        session.report(fault.label("has no effect here").remedy(format!("remove it, or use `{needed}`")));
    }
}

/// Builds without something to build, and copies of what may exist once.
fn code<'t>(
    session: &Session<'t>,
    subject: Subject<'t>,
    service: &ServiceDraft<'t>,
    deployment: &DeploymentDraft<'t>,
) {
    // Without a host that is said already, and a source would not help.
    let on_hosts = deployment.on_key.is_some() || service.runs_as == RunsAs::Systemd;
    if let (Some(span), None, true) = (deployment.build_key, deployment.source_key, on_hosts) {
        let message = "there is nothing to build: the service says no `source`";
        let fault = Fault::new(Code::BuildSource, subject, span, message);
        session.report(
            fault
                .label("of what?")
                .remedy("add `source: { git: URL, ref: TAG }` or `source: { folder: PATH }`"),
        );
    }
    if let (Some((Overlap::Unsafe, span)), true) = (deployment.overlap, service.instances > 1) {
        let message =
            format!("`overlap: unsafe` allows one process, and there are {} instances", service.instances);
        let mut fault = Fault::new(Code::OverlapInstances, subject, span, message);
        if let Some(instances) = service.instances_span {
            fault = fault.related(instances, "several instances");
        }
        session.report(
            fault.label("one at a time").remedy("write `instances: 1`, or `overlap: safe` when that is true"),
        );
    }
}

/// Timers, what ends, and sockets.
fn unit<'t>(
    session: &Session<'t>,
    subject: Subject<'t>,
    service: &ServiceDraft<'t>,
    deployment: &DeploymentDraft<'t>,
) {
    let unit = &deployment.unit;
    if let (Some(calendar), Some(UnitType::Exec | UnitType::Notify)) = (unit.calendar, unit.kind) {
        let message = "what a timer starts has to end, and this `type` is for what stays";
        let fault = Fault::new(Code::Together, subject, calendar.span, message);
        session
            .report(fault.label("starts it again and again").remedy("remove `type`, or remove `calendar`"));
    }
    if let Some(health) = service.health.as_ref().filter(|_| service.ends()) {
        let asks = match &health.probe {
            ProbeDraft::Get { .. } => Some("get"),
            ProbeDraft::Tcp(_) => Some("tcp"),
            ProbeDraft::Process => Some("process"),
            ProbeDraft::Command(_) => None,
        };
        if let Some(asks) = asks {
            let message = format!("it does its work and ends, so that `{asks}` finds nothing in between");
            let fault = Fault::new(Code::EndsHealth, subject, health.key, message);
            session.report(
                fault
                    .label("nobody answers")
                    .remedy("ask for what it leaves behind with `command`, or remove `health`"),
            );
        }
    }
    if let Some((true, span)) = unit.socket
        && !service.ports_unclear
        && service.main_port().is_none()
    {
        let fault = Fault::new(Code::PortUnknown, subject, span, "there is no main port to open");
        session.report(fault.label("which port?").remedy("add `ports: { http: 8000 }`"));
    }
}

/// Folders and programs that are named relative to code which is not there in this stage.
pub(super) fn check_stage<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    for service in &draft.services {
        let Some(deployment) = service.deployment.as_deref().filter(|deployment| !deployment.on.is_empty())
        else {
            continue;
        };
        let (is_there, why) = match deployment.source {
            Some(SourceDraft::Folder(_)) => (true, ""),
            Some(SourceDraft::Git { .. }) => {
                (!stage.fleet.without, "its code is in a git repository and not beside the plan")
            }
            None => (stage.fleet.without, "it has no `source`"),
        };
        if is_there || service.is_coordinator() || service.is_external() {
            continue;
        }
        let folder = service.folder.filter(|folder| !Path::new(folder.text).is_absolute());
        let program = service.run.as_ref().and_then(|run| run.words.first());
        let program = program.filter(|word| {
            word.text.contains('/') && !word.text.starts_with('/') && !word.text.starts_with("${")
        });
        let (span, what) = match (folder, program) {
            (Some(folder), _) => (folder.span, "the folder"),
            (None, Some(program)) => (program.span(session.sources), "the program"),
            (None, None) => continue,
        };
        let message = format!("nothing brings {what} of `{}` to where it runs: {why}", service.name.text);
        let subject = Subject::Service(service.name.text);
        let fault = Fault::new(Code::FolderNowhere, subject, span, message);
        session.report(
            fault
                .label("relative to code that is not there")
                .remedy("add `source`, or name an absolute path of the host"),
        );
    }
}
