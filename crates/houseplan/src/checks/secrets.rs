//! Secrets that stand in the plan. No message ever repeats one, and excerpts hide them.

use crate::code::Code;
use crate::draft::{Argument, Draft, RoadDraft};
use crate::fault::{Fault, Session, Subject};
use crate::secret::{is_literal, is_secret_name, secrets_of_line, url_password, user_password};
use crate::source::Span;
use crate::tree::{Node, Text, Value};

/// Every place where a value can be written: variables, receivers, environment, configuration, commands.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for (name, value) in draft.vars.iter().chain(draft.stages.iter().flat_map(|stage| &stage.vars)) {
        pair(session, Subject::House, *name, *value, "a variable", RemoveIt);
    }
    for receiver in &draft.alerts.receivers {
        if let Some(RoadDraft::Webhook { url: address, .. }) = &receiver.road {
            url(session, Subject::Receiver(receiver.name.text), *address);
        }
    }
    for service in &draft.services {
        let subject = Subject::Service(service.name.text);
        for (name, value) in &service.env {
            pair(session, subject, *name, *value, "the environment", NameTheFile);
        }
        if let Some(config) = service.config {
            tree(session, subject, config);
        }
        for command in service.commands() {
            words(session, subject, &command.words);
        }
    }
}

/// What the remedy can name.
enum Remedy {
    /// The same name works as the file of a credential.
    NameTheFile,
    /// The value has to go elsewhere first.
    RemoveIt,
}
use Remedy::{NameTheFile, RemoveIt};

/// A name with its value. When the name does not tell, the value may still be an address with a password.
fn pair<'t>(
    session: &Session<'t>,
    subject: Subject<'t>,
    name: Text<'t>,
    value: Text<'t>,
    place: &str,
    remedy: Remedy,
) {
    if is_secret_name(name.text) && is_literal(value.text) {
        session.hide(value.span);
        let message = format!("`{}` looks like a secret and stands in {place}", name.text);
        let fault = Fault::new(Code::LiteralSecret, subject, value.span, message);
        let remedy = match remedy {
            NameTheFile => format!(
                "give it as a file: `credentials: {{ {}: CREDENTIAL }}` and read `{0}_FILE`; then change the secret",
                name.text
            ),
            RemoveIt => "remove it here and give it to the service under `credentials`, as a file; then change the secret".to_owned(),
        };
        return session.report(fault.label("a literal value").remedy(remedy));
    }
    url(session, subject, value);
}

/// An address with a password in it.
pub(super) fn url<'t>(session: &Session<'t>, subject: Subject<'t>, value: Text<'t>) {
    if let Some(range) = url_password(value.text) {
        report_url(session, subject, session.sources.narrow(value.span, value.text, range));
    }
}

/// Hides and reports; in this order nothing can be reported and still shown.
fn report_url<'t>(session: &Session<'t>, subject: Subject<'t>, span: Span) {
    session.hide(span);
    let fault = Fault::new(Code::UrlPassword, subject, span, "an address holds a password");
    session.report(
        fault
            .label("a literal password")
            .remedy("leave it out of the address and give it as a credential; then change the password"),
    );
}

/// A configuration, to any depth.
fn tree<'t>(session: &Session<'t>, subject: Subject<'t>, node: &'t Node<'t>) {
    match &node.value {
        Value::Scalar(..) => {
            if let Some(value) = node.text() {
                url(session, subject, value);
            }
        }
        Value::List(items) => items.iter().for_each(|item| tree(session, subject, item)),
        Value::Map(entries) => {
            for entry in entries {
                match entry.value.text() {
                    Some(value) => {
                        pair(session, subject, entry.key_text(), value, "the configuration", RemoveIt);
                    }
                    None => tree(session, subject, &entry.value),
                }
            }
        }
    }
}

/// A command: options with their values, assignments, scripts in one word.
pub(super) fn words<'t>(session: &Session<'t>, subject: Subject<'t>, words: &[Argument<'t>]) {
    let sources = session.sources;
    let is_curl = words.first().is_some_and(|word| word.text.rsplit('/').next() == Some("curl"));
    for (at, word) in words.iter().enumerate() {
        if let Some(range) = url_password(&word.text) {
            report_url(session, subject, word.part(sources, range));
            continue;
        }
        if word.text.contains([' ', '\n']) {
            // A script as one word: `sh -c "PGPASSWORD=… psql"`. Which part of it is the name is a
            // guess that might print the secret itself, so none is named.
            if word.text.lines().any(|line| !secrets_of_line(line).is_empty()) {
                report_word(session, subject, "a script holds", word.span(sources));
            }
            continue;
        }
        if let Some((name, value)) = word.text.split_once('=') {
            if is_secret_name(name) && is_literal(value) {
                let start = name.len() + 1;
                report_word(
                    session,
                    subject,
                    &format!("`{name}` is followed by"),
                    word.part(sources, start..word.text.len()),
                );
            }
            continue;
        }
        let Some(next) = words.get(at + 1) else { continue };
        if is_curl && matches!(word.text.as_ref(), "-u" | "--user" | "-U" | "--proxy-user") {
            if let Some(range) = user_password(&next.text) {
                let who = format!("`{}` is followed by", word.text);
                report_word(session, subject, &who, next.part(sources, range));
            }
            continue;
        }
        let is_option = word.text.starts_with('-') && is_secret_name(&word.text);
        if is_option && !next.text.starts_with('-') && is_literal(&next.text) {
            report_word(session, subject, &format!("`{}` is followed by", word.text), next.span(sources));
        }
    }
}

/// `who` names the option or variable, never the value.
fn report_word<'t>(session: &Session<'t>, subject: Subject<'t>, who: &str, span: Span) {
    session.hide(span);
    let message = format!("{who} a literal secret, which every process on the machine can see");
    let fault = Fault::new(Code::WordPassword, subject, span, message);
    session.report(
        fault
            .label("a literal value")
            .remedy("let the program read a file: `${credentials}/NAME`; then change the secret"),
    );
}
