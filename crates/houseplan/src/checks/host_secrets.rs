//! Secrets in what is said about hosts: texts, templates, keys, addresses. None is ever repeated.

use super::secrets::{url, words};
use crate::build::key_lines;
use crate::code::Code;
use crate::draft::{ContentDraft, Draft, SourceDraft};
use crate::fault::{Fault, Session, Subject};
use crate::secret::secrets_of_line;
use crate::shape::is_public_key;
use crate::source::Span;
use crate::tree::Text;

/// What every private key in PEM has in its first line (RFC 7468, section 10, and OpenSSH's own).
const PRIVATE: &str = "PRIVATE KEY";

/// Hosts and groups, stages, and the code of services.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for (subject, settings) in draft.settings() {
        for (_, content) in settings.contents() {
            match content {
                ContentDraft::Text(text) => lines(session, subject, text),
                ContentDraft::Template(file) => {
                    if let Some(text) = draft.path(file).and_then(|path| draft.texts.get(&path)) {
                        lines(session, subject, *text);
                    }
                }
                ContentDraft::From(_) | ContentDraft::Credential(_) => {}
            }
        }
        for account in &settings.accounts {
            for key in account.keys.iter().flatten().filter(|key| key.text.contains(PRIVATE)) {
                private_key(session, subject, key.span);
            }
            if let Some(text) = account.keys_file.and_then(|file| draft.texts.get(&draft.path(file)?)) {
                keys(session, subject, *text);
            }
        }
        settings.commands().for_each(|command| words(session, subject, &command.words));
    }
    for machine in &draft.machines {
        if let Some(connect) = machine.road.connect {
            url(session, Subject::Machine(machine.name.text), connect);
        }
    }
    for other in draft.stages.iter().flat_map(|stage| &stage.machines) {
        if let Some(connect) = other.road.connect {
            url(session, Subject::Machine(other.name.text), connect);
        }
    }
    for service in &draft.services {
        let Some(deployment) = &service.deployment else { continue };
        let subject = Subject::Service(service.name.text);
        if let Some(SourceDraft::Git { url: address, .. }) = deployment.source {
            url(session, subject, address);
        }
        deployment.commands().for_each(|command| words(session, subject, &command.words));
    }
}

/// A text of a file on a host, line by line: names with values, addresses with passwords, keys.
fn lines<'t>(session: &Session<'t>, subject: Subject<'t>, text: Text<'t>) {
    if text.text.contains(PRIVATE) && text.text.contains("-----BEGIN") {
        return private_key(session, subject, text.span);
    }
    let mut offset = 0;
    for line in text.text.split_inclusive('\n') {
        for range in secrets_of_line(line.trim_end_matches('\n')) {
            let part = offset + range.start..offset + range.end;
            let span = session.sources.narrow(text.span, text.text, part);
            session.hide(span);
            let message = "this looks like a secret and would stand in a file of the host as it is";
            let fault = Fault::new(Code::LiteralSecret, subject, span, message);
            session.report(fault.label("a literal value").remedy(
                "make it a credential, and a file of its own with `credential: NAME`; then change the secret",
            ));
        }
        offset += line.len();
    }
}

fn private_key<'t>(session: &Session<'t>, subject: Subject<'t>, span: Span) {
    session.hide(span);
    let fault = Fault::new(Code::PrivateKey, subject, span, "a private key stands in the plan");
    session.report(
        fault
            .label("private")
            .remedy("give it as a credential, or the public key that belongs to it; then make a new one: this one was in a file"),
    );
}

/// A file with public keys, a line each.
fn keys<'t>(session: &Session<'t>, subject: Subject<'t>, text: Text<'t>) {
    for line in key_lines(text.text).filter(|line| !is_public_key(line)) {
        let start = line.as_ptr() as usize - text.text.as_ptr() as usize;
        let span = session.sources.narrow(text.span, text.text, start..start + line.len());
        let fault = Fault::new(Code::Form, subject, span, "this line is no public key");
        session.report(
            fault
                .label("not understood")
                .remedy("write one public key in each line, such as `ssh-ed25519 AAAA… NAME`"),
        );
    }
}
