//! Every `${…}` of every text that has them.

use crate::code::Code;
use crate::draft::{Draft, ProbeDraft, ServiceDraft, Stage};
use crate::fault::{Fault, Session, Subject};
use crate::shape::builtin_variables;
use crate::source::Span;
use crate::template::{Part, parts};
use crate::tree::{Node, Text, Value};
use crate::variable::{Meaningless, Scope};
use std::ops::Range;

/// Texts of services see their service, hosts of routes only the house.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    let domain = stage.domain(draft);
    for service in &draft.services {
        let scope = Scope { draft, stage, domain: &domain, service: Some(service), machine: None };
        let subject = Subject::Service(service.name.text);
        for word in service.commands().flat_map(|command| &command.words) {
            text(session, scope, subject, &word.text, |part| word.part(session.sources, part));
        }
        for (_, value) in &service.env {
            plain(session, scope, subject, *value);
        }
        if let Some(ProbeDraft::Get { path, .. }) = service.health.as_ref().map(|health| &health.probe) {
            plain(session, scope, subject, *path);
        }
        if let Some(config) = service.config {
            tree(session, scope, subject, config);
        }
    }
    let scope = Scope { draft, stage, domain: &domain, service: None, machine: None };
    for host in &draft.routes {
        plain(session, scope, Subject::Host(host.host.text), host.host);
    }
}

/// A configuration, to any depth; keys are not filled in.
fn tree<'t>(session: &Session<'t>, scope: Scope<'_, 't>, subject: Subject<'t>, node: &'t Node<'t>) {
    match &node.value {
        Value::Scalar(..) => {
            if let Some(value) = node.text() {
                plain(session, scope, subject, value);
            }
        }
        Value::List(items) => items.iter().for_each(|item| tree(session, scope, subject, item)),
        Value::Map(entries) => entries.iter().for_each(|entry| tree(session, scope, subject, &entry.value)),
    }
}

/// A text that stands in the file as one token.
fn plain<'t>(session: &Session<'t>, scope: Scope<'_, 't>, subject: Subject<'t>, value: Text<'t>) {
    text(session, scope, subject, value.text, |part| session.sources.narrow(value.span, value.text, part));
}

/// Any text. `place` tells where a part of it stands, because words of a command have places of their own.
fn text<'t>(
    session: &Session<'t>,
    scope: Scope<'_, 't>,
    subject: Subject<'t>,
    text: &str,
    place: impl Fn(Range<usize>) -> Span,
) {
    if !text.contains("${") {
        return;
    }
    for part in parts(text) {
        match part {
            Part::Text(_) => {}
            Part::Unclosed(range) => {
                let fault = Fault::new(Code::Variable, subject, place(range), "a variable is not closed");
                session.report(
                    fault.label("`}` is missing").remedy("close it with `}`; `$${` writes a plain `${`"),
                );
            }
            Part::Variable(name, range) => {
                if let Err(why) = scope.meaning(name) {
                    report(session, scope, subject, name, place(range), why);
                }
            }
        }
    }
}

/// One fault for each way to mean nothing.
fn report<'t>(
    session: &Session<'t>,
    scope: Scope<'_, 't>,
    subject: Subject<'t>,
    name: &str,
    span: Span,
    why: Meaningless,
) {
    let head = name.split('.').next().unwrap_or(name);
    let fault = |code, message: String| Fault::new(code, subject, span, message);
    let fault = match why {
        Meaningless::Reported => return,
        Meaningless::Unknown => {
            let remedy = session.suggest.remedy(name, known(scope), || unknown_remedy(name));
            fault(Code::Variable, format!("`${{{name}}}` is no variable"))
                .label("unknown variable")
                .remedy(remedy)
        }
        Meaningless::NotHere(place) => {
            fault(Code::Variable, format!("`${{{name}}}` has no value in {place}"))
                .label("belongs to a service")
                .remedy("here are `${domain}`, `${house}`, `${stage}` and the plan's own variables")
        }
        Meaningless::Absent(what) => fault(Code::Variable, format!("`${{{name}}}` has no value: {what}"))
            .label("has no value")
            .remedy("add what it stands for, or name another variable"),
        Meaningless::NoService => {
            let names = scope.draft.service_names();
            let otherwise = || format!("add a service `{head}`, or name another one");
            let remedy = session.suggest.remedy(head, names, otherwise);
            fault(Code::Variable, format!("`${{{name}}}` is no variable: there is no service `{head}`"))
                .label("unknown service")
                .remedy(remedy)
        }
        Meaningless::NoHost(host) => {
            let hosts = scope.draft.machines.iter().map(|machine| machine.name.text);
            let otherwise = || format!("add a host `{host}`, or name another one");
            let remedy = session.suggest.remedy(&host, hosts, otherwise);
            fault(Code::Variable, format!("`${{{name}}}` is no variable: there is no host `{host}`"))
                .label("unknown host")
                .remedy(remedy)
        }
        Meaningless::Itself => {
            let own = &name[head.len() + 1..];
            fault(Code::Variable, format!("`${{{name}}}` is the service itself"))
                .label("itself")
                .remedy(format!("write `${{{own}}}`"))
        }
        Meaningless::NotNeeded => {
            let message = format!("`${{{name}}}` is used but `{head}` is not in `needs`");
            fault(Code::NotNeeded, message)
                .label("may not be up yet")
                .remedy(format!("add `{head}` to `needs`: it then starts first and its address is known"))
        }
    };
    session.report(fault);
}

/// What could have been meant here.
fn known<'a>(scope: Scope<'a, '_>) -> Vec<&'a str> {
    let needs = scope.service.map(|service: &ServiceDraft<'_>| &service.needs);
    let mut names: Vec<&str> = builtin_variables().to_vec();
    let mut own: Vec<&str> = scope.stage.vars.keys().copied().collect();
    // The order of a hash map must not decide between two equally near words.
    own.sort_unstable();
    names.extend(own);
    names.extend(needs.into_iter().flatten().map(|need| need.text));
    names
}

/// What to do when nothing is near.
fn unknown_remedy(name: &str) -> String {
    if name.is_empty() {
        return "name a variable, or write `$${` for a plain `${`".to_owned();
    }
    "add it under `vars`; `$${` writes a plain `${`; `haus explain HP0103` lists all variables".to_owned()
}
