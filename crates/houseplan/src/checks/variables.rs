//! Every `${…}` of every text that has them: of services, builds, hosts and routes.

use crate::code::Code;
use crate::draft::{Command, ContentDraft, Draft, Machine, ProbeDraft, Stage};
use crate::fault::{Fault, Session, Subject};
use crate::shape::builtin_variables;
use crate::source::Span;
use crate::template::{Part, parts};
use crate::tree::{Node, Text, Value};
use crate::variable::{Home, Meaningless, Scope};
use std::ops::Range;

/// Texts of services see their service, texts of hosts their host, hosts of routes only the house.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    let domain = stage.domain(draft);
    for service in &draft.services {
        let scope = Scope { draft, stage, domain: &domain, home: Home::Service(service) };
        let subject = Subject::Service(service.name.text);
        service.commands().for_each(|command| self::command(session, scope, subject, command));
        for (_, value) in &service.env {
            plain(session, scope, subject, *value);
        }
        if let Some(ProbeDraft::Get { path, .. }) = service.health.as_ref().map(|health| &health.probe) {
            plain(session, scope, subject, *path);
        }
        if let Some(config) = service.config {
            tree(session, scope, subject, config);
        }
        let scope = Scope { home: Home::Build(service), ..scope };
        for command in service.deployment.iter().flat_map(|deployment| deployment.commands()) {
            self::command(session, scope, subject, command);
        }
    }
    for machine in &stage.fleet.machines {
        let scope = Scope { draft, stage, domain: &domain, home: Home::Machine(machine) };
        self::machine(session, scope, machine);
    }
    let scope = Scope { draft, stage, domain: &domain, home: Home::Route };
    for host in &draft.routes {
        plain(session, scope, Subject::Host(host.host.text), host.host);
    }
}

/// What one host gets: texts, templates and commands of every layer that it has.
fn machine<'a, 't>(session: &Session<'t>, scope: Scope<'a, 't>, machine: &'a Machine<'a, 't>) {
    let subject = Subject::Machine(machine.name().text);
    for layer in &machine.layers {
        for (_, content) in layer.contents() {
            let text = match content {
                ContentDraft::Text(text) => Some(text),
                ContentDraft::Template(file) => {
                    scope.draft.path(file).and_then(|path| scope.draft.texts.get(&path).copied())
                }
                ContentDraft::From(_) | ContentDraft::Credential(_) => None,
            };
            if let Some(text) = text {
                plain(session, scope, subject, text);
            }
        }
        let scope = Scope { home: Home::MachineCommand(machine), ..scope };
        layer.commands().for_each(|command| self::command(session, scope, subject, command));
    }
}

/// A command, word by word.
fn command<'t>(session: &Session<'t>, scope: Scope<'_, 't>, subject: Subject<'t>, command: &Command<'t>) {
    for word in &command.words {
        text(session, scope, subject, &word.text, |part| word.part(session.sources, part));
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
                .remedy(match scope.home {
                    Home::Machine(_) | Home::MachineCommand(_) => "here are `${domain}`, `${house}`, `${stage}`, `${host}`, `${host.NAME.address}`, `${SERVICE.address}`, `${SERVICE.port}` and the plan's own variables",
                    Home::Build(_) => "here are `${domain}`, `${house}`, `${stage}`, `${service}`, `${host.NAME.address}` and the plan's own variables",
                    Home::Service(_) | Home::Route => "here are `${domain}`, `${house}`, `${stage}` and the plan's own variables",
                })
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
    let needs = match scope.home {
        Home::Service(service) => service.needs.as_slice(),
        Home::Build(_) | Home::Machine(_) | Home::MachineCommand(_) | Home::Route => &[],
    };
    let mut names: Vec<&str> = builtin_variables().to_vec();
    let mut own: Vec<&str> = scope.stage.vars.keys().copied().collect();
    // The order of a hash map must not decide between two equally near words.
    own.sort_unstable();
    names.extend(own);
    names.extend(needs.iter().map(|need| need.text));
    names
}

/// What to do when nothing is near.
fn unknown_remedy(name: &str) -> String {
    if name.is_empty() {
        return "name a variable, or write `$${` for a plain `${`".to_owned();
    }
    "add it under `vars`; `$${` writes a plain `${`; `haus explain HP0103` lists all variables".to_owned()
}
