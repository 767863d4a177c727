//! One service's tree to its draft.

use super::command::command;
use super::deployment;
use super::top::{acceptances, boolean, duration, misplaced, pairs, text, whole};
use super::{DataDraft, HealthDraft, PortDraft, ProbeDraft, ServiceDraft, restart};
use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::shape::service_key;
use crate::tree::{Entry, Node, ScalarKind, Text, Value};
use crate::walk::parse_cores;
use haus_model::service::{
    Limits, NewCredential, PortNumber, Recover, ReloadSignal, Rollout, RunsAs, Stop, StopSignal,
};
use haus_model::unit;
use std::time::Duration;

/// One service. Order matters nowhere: keys are taken as they come.
pub(super) fn decode<'t>(session: &Session<'t>, name: Text<'t>, node: &'t Node<'t>) -> ServiceDraft<'t> {
    let mut service = empty(name);
    for entry in node.entries() {
        key(session, &mut service, entry);
    }
    if !matches!(node.value, Value::Map(_)) {
        // What stands here is no service at all, and that is reported once.
        service.has_health = true;
        service.limits = Some(Limits::default());
    }
    let subject = Subject::Service(name.text);
    match service.runs_as {
        RunsAs::Coordinator => {
            // The process behind this entry is ours, so nothing about its start can be said.
            let ours = [
                "run",
                "prepare",
                "user",
                "in",
                "data",
                "config",
                "env",
                "credentials",
                "on_new_credential",
                "instances",
                "limits",
                "rollout",
                "recover",
                "stop",
                "source",
                "build",
                "keep",
                "overlap",
                "unit",
            ];
            for entry in node.entries().iter().filter(|entry| ours.contains(&entry.key.as_ref())) {
                misplaced(session, entry, "as: process", subject);
            }
        }
        RunsAs::External => node.entries().iter().for_each(|entry| started_here(session, entry, subject)),
        RunsAs::Process | RunsAs::Systemd => {
            if let (Some(entry), true) = (node.get("on_new_credential"), node.get("credentials").is_none()) {
                misplaced(session, entry, "credentials", subject);
            }
        }
    }
    service.has_run |= node.get("run").is_some() || !matches!(node.value, Value::Map(_));
    service
}

/// A service that says nothing; absent keys have their defaults from here on.
fn empty(name: Text<'_>) -> ServiceDraft<'_> {
    ServiceDraft {
        name,
        about: None,
        runs_as: RunsAs::Process,
        runs_as_span: None,
        deployment: None,
        run: None,
        has_run: false,
        user: None,
        folder: None,
        prepare: Vec::new(),
        ports: Vec::new(),
        ports_unclear: false,
        address: None,
        data: Vec::new(),
        data_key: None,
        config: None,
        env: Vec::new(),
        credentials: Vec::new(),
        new_credential: NewCredential::default(),
        health: None,
        has_health: false,
        needs: Vec::new(),
        instances: 1,
        instances_span: None,
        limits: None,
        rollout: None,
        recover: Recover::default(),
        recover_pauses: None,
        stop: Stop::default(),
        accept: Vec::new(),
    }
}

/// One key of a service; unknown ones were reported by the walk.
fn key<'t>(session: &Session<'t>, service: &mut ServiceDraft<'t>, entry: &'t Entry<'t>) {
    let node = &entry.value;
    match entry.key.as_ref() {
        "about" => service.about = node.text(),
        "run" => service.run = command(node),
        "as" => {
            service.runs_as_span = Some(node.span);
            service.runs_as = runs_as(node);
        }
        "user" => service.user = node.text(),
        "in" => service.folder = node.text(),
        "prepare" => service.prepare = node.items().iter().filter_map(command).collect(),
        "ports" => {
            service.ports = node.entries().iter().filter_map(port).collect();
            service.ports_unclear =
                !matches!(node.value, Value::Map(_)) || service.ports.len() < node.entries().len();
        }
        "address" => service.address = node.text(),
        "data" => {
            service.data_key = Some(entry.key_span);
            service.data = data(node);
        }
        "config" => service.config = Some(node),
        "env" => service.env = pairs(node).collect(),
        "credentials" => service.credentials = pairs(node).collect(),
        "on_new_credential" => service.new_credential = new_credential(node),
        "health" => {
            service.has_health = true;
            service.health = health(session, entry, Subject::Service(service.name.text));
        }
        "needs" => service.needs = node.items().iter().filter_map(Node::text).collect(),
        "instances" => {
            service.instances_span = Some(node.span);
            service.instances = node.text().and_then(|text| text.text.parse().ok()).unwrap_or(1);
        }
        "limits" => service.limits = Some(limits(node)),
        "rollout" => {
            service.rollout = node.text().and_then(|word| Some((rollout(word.text)?, word.span)));
        }
        "recover" => {
            service.recover_pauses =
                node.get("most").or_else(|| node.get("first")).map(|entry| entry.value.span);
            service.recover = recover(node);
        }
        "stop" => service.stop = stop(node),
        "accept" => service.accept = acceptances(node).collect(),
        word if deployment::KEYS.contains(&word) => {
            let subject = Subject::Service(service.name.text);
            let deployment = service.deployment.get_or_insert_default();
            deployment::key(session, deployment, entry, subject);
        }
        // What is there under a foreign word was reported with ours, and is not missing besides.
        word => match service_key(word) {
            Some("run") => service.has_run = true,
            Some("health") => service.has_health = true,
            Some("ports") => service.ports_unclear = true,
            Some("limits") => service.limits = Some(Limits::default()),
            Some(_) | None => {}
        },
    }
}

/// In which form it runs; what is no word was reported by the walk.
fn runs_as(node: &Node<'_>) -> RunsAs {
    match node.text().map(|word| word.text) {
        Some("coordinator") => RunsAs::Coordinator,
        Some("external") => RunsAs::External,
        Some("systemd") => RunsAs::Systemd,
        Some(_) | None => RunsAs::Process,
    }
}

/// Reports a key that speaks about a process of ours in a service that runs somewhere else.
fn started_here<'t>(session: &Session<'t>, entry: &'t Entry<'t>, subject: Subject<'t>) {
    let reason = match entry.key.as_ref() {
        "run" | "prepare" | "user" | "in" | "instances" | "limits" | "rollout" | "recover" | "stop" => {
            "it is started by somebody else"
        }
        "on" | "source" | "build" | "keep" | "overlap" | "unit" => "somebody else puts it where it runs",
        "ports" | "address" => "its instances say where they listen when they register",
        "env" | "data" => "it is started by somebody else; settings for it belong under `config`",
        "health" => "its instances report over the API, and silence counts as offline",
        "on_new_credential" => "its instances ask the API for their credentials",
        _ => return,
    };
    let message = format!("`{}` means nothing in a service that is external: {reason}", entry.key);
    let fault = Fault::new(Code::Together, subject, entry.key_span, message);
    session.report(fault.label("has no effect here").remedy("remove it, or remove `as: external`"));
}

/// One word, or the signal.
fn new_credential(node: &Node<'_>) -> NewCredential {
    let signal = text(node, "signal").and_then(|word| match word.text {
        "HUP" => Some(ReloadSignal::Hup),
        "USR1" => Some(ReloadSignal::Usr1),
        "USR2" => Some(ReloadSignal::Usr2),
        _ => None,
    });
    match (signal, node.text().map(|word| word.text)) {
        (Some(signal), _) => NewCredential::Signal(signal),
        (None, Some("reread")) => NewCredential::Reread,
        (None, _) => NewCredential::Restart,
    }
}

/// A port, unless its number is none.
fn port<'t>(entry: &'t Entry<'t>) -> Option<PortDraft<'t>> {
    let text = entry.value.text()?;
    let number = match &entry.value.value {
        Value::Scalar(number, ScalarKind::Integer) => {
            PortNumber::Fixed(number.parse().ok().filter(|port| *port > 0)?)
        }
        Value::Scalar(word, ScalarKind::Text) if word == "auto" => PortNumber::Auto,
        Value::Scalar(..) | Value::List(_) | Value::Map(_) => return None,
    };
    Some(PortDraft { name: entry.key_text(), number, span: text.span })
}

/// Both notations: links in the working folder, or names alone.
fn data<'t>(node: &'t Node<'t>) -> Vec<DataDraft<'t>> {
    let links = pairs(node).map(|(link, folder)| DataDraft { link: Some(link), folder });
    let folders = node.items().iter().filter_map(Node::text).map(|folder| DataDraft { link: None, folder });
    links.chain(folders).collect()
}

fn rollout(word: &str) -> Option<Rollout> {
    match word {
        "hold" => Some(Rollout::Hold),
        "rolling" => Some(Rollout::Rolling),
        "replace" => Some(Rollout::Replace),
        _ => None,
    }
}

/// The first probe that is there counts; that there is exactly one is a rule of the shape.
fn health<'t>(session: &Session<'t>, entry: &'t Entry<'t>, subject: Subject<'t>) -> Option<HealthDraft<'t>> {
    let node = &entry.value;
    let probe = if let Some(path) = text(node, "get") {
        ProbeDraft::Get {
            path,
            port: text(node, "port"),
            expect: node.get("expect").map(|entry| &entry.value),
        }
    } else if let Some(port) = text(node, "tcp") {
        ProbeDraft::Tcp(port)
    } else if let Some(command) = node.get("command").and_then(|entry| command(&entry.value)) {
        ProbeDraft::Command(command)
    } else {
        let process = node.get("process")?;
        if boolean(node, "process") == Some(false) {
            let fault =
                Fault::new(Code::Choice, subject, process.value.span, "`process: false` is no health check");
            session.report(fault.label("says nothing").remedy("write `process: true`, or another probe"));
        }
        ProbeDraft::Process
    };
    if !matches!(probe, ProbeDraft::Get { .. }) {
        for entry in node.entries().iter().filter(|entry| matches!(entry.key.as_ref(), "port" | "expect")) {
            misplaced(session, entry, "get", subject);
        }
    }
    let rhythm = node.get("timeout").or_else(|| node.get("every")).map(|entry| entry.value.span);
    let every = duration(node, "every").unwrap_or(Duration::from_secs(30));
    Some(HealthDraft {
        key: entry.key_span,
        probe,
        every,
        // Whoever only says `every: 2s` has said nothing wrong.
        timeout: duration(node, "timeout").unwrap_or(Duration::from_secs(5).min(every)),
        rhythm,
        start: duration(node, "start").unwrap_or(Duration::from_secs(60)),
        healthy_after: whole(node, "healthy_after").unwrap_or(1),
        unhealthy_after: whole(node, "unhealthy_after").unwrap_or(3),
    })
}

/// What is written; the rest has no bound.
fn limits(node: &Node<'_>) -> Limits {
    let size = |key| text(node, key).and_then(|text| unit::parse_size(text.text).ok());
    Limits {
        memory_bytes: size("memory"),
        cpu_milli: text(node, "cpu").and_then(|text| parse_cores(text.text)),
        tasks: whole(node, "tasks"),
        files: whole(node, "files"),
        log_bytes: size("log"),
    }
}

/// What is written over the defaults.
fn recover(node: &Node<'_>) -> Recover {
    let usual = Recover::default();
    Recover {
        restart: text(node, "restart").and_then(|word| restart(word.text)).unwrap_or(usual.restart),
        first: duration(node, "first").unwrap_or(usual.first),
        most: duration(node, "most").unwrap_or(usual.most),
        tries: whole(node, "tries").unwrap_or(usual.tries),
        within: duration(node, "within").unwrap_or(usual.within),
    }
}

/// What is written over the defaults.
fn stop(node: &Node<'_>) -> Stop {
    let usual = Stop::default();
    let signal = text(node, "signal").and_then(|word| match word.text {
        "TERM" => Some(StopSignal::Term),
        "INT" => Some(StopSignal::Int),
        "QUIT" => Some(StopSignal::Quit),
        "HUP" => Some(StopSignal::Hup),
        _ => None,
    });
    Stop { signal: signal.unwrap_or(usual.signal), within: duration(node, "within").unwrap_or(usual.within) }
}
