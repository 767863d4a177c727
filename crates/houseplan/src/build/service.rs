//! One service with its defaults and its templates.

use super::deployment;
use crate::draft::{Command, HealthDraft, ProbeDraft, ServiceDraft};
use crate::tree::{Node, ScalarKind, Value};
use crate::variable::Scope;
use haus_model::health::{Expectation, HealthCheck, ProbeKind};
use haus_model::json::Json;
use haus_model::service::{Recover, Restart, Rollout, Service};
use haus_model::template::Template;

/// The service with every default; none when something in it is wrong after all.
pub(super) fn build(scope: Scope<'_, '_>, written: &ServiceDraft<'_>) -> Option<Service> {
    let (draft, stage) = (scope.draft, scope.stage);
    let usual_rollout = if written.instances > 1 { Rollout::Rolling } else { Rollout::Replace };
    Some(Service {
        name: written.name.text.parse().ok()?,
        about: written.about.map(|about| about.text.to_owned()),
        runs_as: deployment::runs_as(stage, written),
        run: written.run.as_ref().map_or(Some(Vec::new()), |run| words(scope, run))?,
        user: written.user.map(|user| user.text.to_owned()),
        folder: deployment::folder(draft, stage, written)?,
        prepare: written.prepare.iter().map(|command| words(scope, command)).collect::<Option<_>>()?,
        ports: written
            .ports
            .iter()
            .map(|port| Some((port.name.text.parse().ok()?, port.number)))
            .collect::<Option<_>>()?,
        address: match written.address {
            Some(address) => scope.listen_address(written, address)?,
            None => "127.0.0.1".to_owned(),
        },
        data: folders(written),
        links: written
            .data
            .iter()
            .filter_map(|data| {
                let link = crate::path::within(std::path::Path::new(""), data.link?.text)?;
                Some((link.to_str()?.to_owned(), data.folder.text.to_owned()))
            })
            .collect(),
        config: match written.config {
            Some(config) => Some(json(config, &|text| Some(scope.template(text)?.to_string()))?),
            None => None,
        },
        env: written
            .env
            .iter()
            .map(|(name, value)| Some((name.text.to_owned(), scope.template(value.text)?)))
            .collect::<Option<_>>()?,
        credentials: written
            .credentials
            .iter()
            .map(|(file, name)| Some((file.text.to_owned(), name.text.parse().ok()?)))
            .collect::<Option<_>>()?,
        new_credential: written.new_credential,
        health: match &written.health {
            Some(written) => Some(health(scope, written)?),
            None => None,
        },
        needs: written.needs.iter().map(|need| need.text.parse().ok()).collect::<Option<_>>()?,
        instances: written.instances,
        limits: written.limits.unwrap_or_default(),
        rollout: written.rollout.map_or(usual_rollout, |(rollout, _)| rollout),
        recover: recover(scope, written),
        stop: written.stop,
        deployment: deployment::build(scope, written)?,
    })
}

/// Without hosts nothing starts it by the clock: what does its work and ends runs once.
fn recover(scope: Scope<'_, '_>, written: &ServiceDraft<'_>) -> Recover {
    if scope.stage.fleet.without && written.ends() {
        return Recover { restart: Restart::Never, ..written.recover };
    }
    written.recover
}

/// A command; splitting came before filling in, so a value with spaces stays one word.
fn words(scope: Scope<'_, '_>, command: &Command<'_>) -> Option<Vec<Template>> {
    command.words.iter().map(|word| scope.template(&word.text)).collect()
}

/// Folder names, each once, in the order in which they are written.
fn folders(written: &ServiceDraft<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for data in &written.data {
        if !names.iter().any(|name| name == data.folder.text) {
            names.push(data.folder.text.to_owned());
        }
    }
    names
}

/// The probe and its rhythm; the defaults are already in the draft, the checks need them too.
fn health(scope: Scope<'_, '_>, written: &HealthDraft<'_>) -> Option<HealthCheck> {
    let probe = match &written.probe {
        ProbeDraft::Get { path, port, expect } => ProbeKind::Http {
            get: scope.template(path.text)?,
            port: port.map(|port| port.text.parse()).transpose().ok()?,
            expect: match expect {
                Some(node) => expectation(node)?,
                None => Expectation::default(),
            },
        },
        ProbeDraft::Tcp(port) => ProbeKind::Tcp { port: Some(port.text.parse().ok()?) },
        ProbeDraft::Command(command) => ProbeKind::Command { argv: words(scope, command)? },
        ProbeDraft::Process => ProbeKind::Process,
    };
    Some(HealthCheck {
        probe,
        every: written.every,
        timeout: written.timeout,
        start: written.start,
        healthy_after: written.healthy_after,
        unhealthy_after: written.unhealthy_after,
    })
}

/// What an HTTP answer must look like.
fn expectation(node: &Node<'_>) -> Option<Expectation> {
    Some(Expectation {
        status: match node.get("status") {
            Some(entry) => entry.value.text()?.text.parse().ok()?,
            None => Expectation::default().status,
        },
        json: match node.get("json") {
            Some(entry) => Some(json(&entry.value, &|text| Some(text.to_owned()))?),
            None => None,
        },
        text: node.get("text").and_then(|entry| entry.value.text()).map(|text| text.text.to_owned()),
    })
}

/// A tree as JSON, with every text passed through `fill`.
fn json(node: &Node<'_>, fill: &dyn Fn(&str) -> Option<String>) -> Option<Json> {
    Some(match &node.value {
        Value::Scalar(_, ScalarKind::Null) => Json::Null,
        Value::Scalar(_, ScalarKind::Bool(value)) => Json::Bool(*value),
        Value::Scalar(text, ScalarKind::Integer) => Json::Integer(text.parse().ok()?),
        Value::Scalar(text, ScalarKind::Float) => Json::Float(text.parse().ok()?),
        Value::Scalar(text, ScalarKind::Text) => Json::Text(fill(text)?),
        Value::List(items) => Json::List(items.iter().map(|item| json(item, fill)).collect::<Option<_>>()?),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|entry| Some((entry.key.as_ref().to_owned(), json(&entry.value, fill)?)))
                .collect::<Option<_>>()?,
        ),
    })
}
