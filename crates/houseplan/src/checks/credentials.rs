//! Credentials: each exists, is used, and only by those who may have it.
//!
//! Receivers of alerts use theirs without being in a scope: what they get never reaches a service.

use crate::code::Code;
use crate::draft::{CredentialDraft, Draft};
use crate::fault::{Fault, Session, Subject};
use crate::path::within;
use crate::tree::Text;
use haus_model::id::check_name;
use haus_model::service::RunsAs;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// From the services to the credentials, then each credential by itself.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    let by_name: HashMap<&str, &CredentialDraft<'t>> =
        draft.credentials.iter().map(|credential| (credential.name.text, credential)).collect();
    let mut used: HashSet<&str> = HashSet::new();
    for service in &draft.services {
        for (file, wanted) in &service.credentials {
            used.insert(wanted.text);
            let subject = Subject::Service(service.name.text);
            file_name(session, subject, *file);
            let Some(credential) = by_name.get(wanted.text) else {
                unknown(session, draft, subject, file.text, *wanted);
                continue;
            };
            let Some(scope) = &credential.scope else { continue };
            if !scope.iter().any(|name| name.text == service.name.text) {
                let message =
                    format!("`{}` may not have the credential `{}`", service.name.text, wanted.text);
                let fault = Fault::new(Code::CredentialScope, subject, wanted.span, message);
                session.report(
                    fault
                        .label("outside its scope")
                        .related(credential.name.span, "its scope is given here")
                        .remedy(format!("add `{}` to the scope, or do without it", service.name.text)),
                );
            }
        }
    }
    for (subject, settings) in draft.settings() {
        for (file, wanted) in settings.credentials() {
            used.insert(wanted.text);
            if let Some(file) = file {
                file_name(session, subject, file);
            }
            known(session, draft, subject, "credential", wanted);
        }
    }
    draft.credentials.iter().for_each(|credential| made_twice(session, draft, credential));
    used.extend(draft.alerts.receivers.iter().filter_map(|receiver| Some(receiver.credential()?.text)));
    for credential in &draft.credentials {
        one(session, draft, credential, used.contains(credential.name.text));
    }
}

/// What runs under a coordinator has its values from the coordinator, and what an apply brings to a host has
/// them from the machine on which the apply began: a value that each of them makes is not the same.
fn made_twice<'t>(session: &Session<'t>, draft: &Draft<'t>, credential: &CredentialDraft<'t>) {
    if credential.length.is_none() || draft.machines.is_empty() {
        return;
    }
    let user = |brought: bool| {
        let services =
            draft.services.iter().filter(move |service| (service.runs_as == RunsAs::Systemd) == brought);
        services.flat_map(|service| &service.credentials).map(|(_, wanted)| *wanted)
    };
    let of_hosts = draft.settings().flat_map(|(_, settings)| settings.credentials().collect::<Vec<_>>());
    let wants = |wanted: &Text<'t>| wanted.text == credential.name.text;
    let brought = user(true).chain(of_hosts.map(|(_, wanted)| wanted)).find(wants);
    let (Some(brought), Some(here)) = (brought, user(false).find(wants)) else { return };
    let message = format!("`{}` would be made twice, with two values", credential.name.text);
    let subject = Subject::Credential(credential.name.text);
    session.report(
        Fault::new(Code::MadeTwice, subject, credential.name.span, message)
            .label("made by whoever needs it first")
            .related(here.span, "the coordinator makes it for this one")
            .related(brought.span, "the apply makes it for this one")
            .remedy("give one value to both with `given: true`, or let both run in the same form"),
    );
}

/// Files that Hausmeister lays beside the credentials have names of their own.
fn file_name<'t>(session: &Session<'t>, subject: Subject<'t>, file: Text<'t>) {
    if file.text.starts_with("HAUS_") {
        let message = "file names that begin with `HAUS_` are Hausmeister's own, such as `HAUS_ENROLMENT`";
        let fault = Fault::new(Code::Name, subject, file.span, message);
        session.report(fault.label("already has a meaning").remedy("choose another file name"));
    }
}

/// Reports the credential of a receiver when there is none with this name.
pub(super) fn known<'t>(
    session: &Session<'t>,
    draft: &Draft<'t>,
    subject: Subject<'t>,
    key: &str,
    wanted: Text<'t>,
) {
    if !draft.credentials.iter().any(|credential| credential.name.text == wanted.text) {
        unknown(session, draft, subject, key, wanted);
    }
}

/// An unknown name may be the secret itself, written where its name belongs; so it is shown only
/// when it is nearly a name that exists, or can hardly be anything else than a name.
fn unknown<'t>(session: &Session<'t>, draft: &Draft<'t>, subject: Subject<'t>, key: &str, wanted: Text<'t>) {
    let names = draft.credentials.iter().map(|credential| credential.name.text);
    let fault = match session.suggest.nearest(wanted.text, names) {
        Some(near) => {
            let message = format!("there is no credential `{}`", wanted.text);
            Fault::new(Code::CredentialUnknown, subject, wanted.span, message)
                .remedy(format!("did you mean `{near}`?"))
        }
        None if is_surely_a_name(wanted.text) => {
            let message = format!("there is no credential `{}`", wanted.text);
            Fault::new(Code::CredentialUnknown, subject, wanted.span, message)
                .remedy(format!("add `{}` under the plan's `credentials`", wanted.text))
        }
        None => {
            session.hide(wanted.span);
            let message = format!("`{key}` names a credential that does not exist");
            Fault::new(Code::CredentialUnknown, subject, wanted.span, message).remedy(
                "add its name under the plan's `credentials`; if this is the secret itself, remove it and change it",
            )
        }
    };
    session.report(fault.label("unknown credential"));
}

/// `redis-password`: two or three words of letters. One word, more words or digits may be a secret.
fn is_surely_a_name(text: &str) -> bool {
    let is_word = |word: &str| word.len() <= 12 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    check_name(text).is_ok() && matches!(text.split('-').count(), 2 | 3) && text.split('-').all(is_word)
}

/// A credential by itself: used, scoped to what exists, its file in a safe place.
fn one<'t>(session: &Session<'t>, draft: &Draft<'t>, credential: &CredentialDraft<'t>, used: bool) {
    let name = credential.name;
    let subject = Subject::Credential(name.text);
    if !used {
        let message = format!("no service and no receiver uses the credential `{}`", name.text);
        let fault = Fault::new(Code::CredentialUnused, subject, name.span, message);
        session.report(fault.label("unused").remedy(format!(
            "name it under a service's `credentials: {{ NAME: {} }}` or in a receiver of `alerts`, or remove it",
            name.text
        )));
    }
    for scope in credential.scope.iter().flatten() {
        if draft.service(scope.text).is_none() {
            let remedy = session
                .suggest
                .remedy(scope.text, draft.service_names(), || "remove it from the scope".to_owned());
            let message = format!("the scope names `{}`, which does not exist", scope.text);
            let fault = Fault::new(Code::ScopeUnknown, subject, scope.span, message);
            session.report(fault.label("unknown service").remedy(remedy));
        }
    }
    if let Some(file) = credential.file
        && !Path::new(file.text).is_absolute()
        && within(&draft.folders[file.span.file as usize], file.text).is_some()
    {
        let message = "the file with the secret lies inside the plan's folder";
        let fault = Fault::new(Code::CredentialInside, subject, file.span, message);
        session.report(
            fault
                .label("easily copied along with the plan")
                .remedy("keep it elsewhere, such as /etc/HOUSE/NAME with mode 0600, or write `length: 32`"),
        );
    }
    if let Some(rotate) = credential.rotate
        && rotate.text == "never"
        && credential.reason.is_none()
    {
        let fault = Fault::new(
            Code::RotateReason,
            subject,
            rotate.span,
            "this credential never changes and nothing says why",
        );
        session
            .report(fault.label("for ever").remedy("add `reason: \"…\"`, or a number of days such as `90d`"));
    }
}
