//! How credentials change: rotators and the servers that they tell, overlaps, ends.

use crate::code::Code;
use crate::draft::{CredentialDraft, Draft, RotatorDraft, ServerDraft, ServiceDraft};
use crate::fault::{Fault, Session, Subject};
use crate::source::Span;
use haus_model::CredentialKind;
use haus_model::service::NewCredential;
use haus_model::unit::format_duration;
use std::collections::HashMap;
use std::time::Duration;

/// What makes a login of a server one login: server, kind, and whose.
type Login<'t> = (&'t str, bool, &'t str);

/// Each credential by itself, then logins that two of them would change.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    let mut users: HashMap<&str, Vec<&ServiceDraft<'t>>> = HashMap::new();
    for service in &draft.services {
        for (_, wanted) in &service.credentials {
            users.entry(wanted.text).or_default().push(service);
        }
    }
    let mut changed: HashMap<Login<'t>, Span> = HashMap::new();
    for credential in &draft.credentials {
        let users = users.get(credential.name.text).map_or(&[] as &[_], Vec::as_slice);
        of_a_file(session, credential);
        overlap(session, credential);
        ttl(session, credential);
        match &credential.rotator {
            Some(rotator) => {
                server(session, draft, credential, rotator);
                restarted(session, users, credential, rotator);
                twice(session, &mut changed, credential, rotator);
            }
            None => untold(session, credential, users),
        }
    }
}

/// What faults of this credential are about.
fn subject<'t>(credential: &CredentialDraft<'t>) -> Subject<'t> {
    Subject::Credential(credential.name.text)
}

/// A file that the user keeps changes when the user changes it.
fn of_a_file<'t>(session: &Session<'t>, credential: &CredentialDraft<'t>) {
    let (Some(file), Some(rotate), Some(days)) =
        (credential.file, credential.rotate, credential.rotate_days())
    else {
        return;
    };
    let message = format!("nobody writes a new value into the file after {days}d");
    let fault = Fault::new(Code::RotateFile, subject(credential), rotate.span, message);
    session.report(
        fault
            .label("only marks it as due")
            .related(file.span, "a file that you keep")
            .remedy("write `length: 32` in place of `file`, or accept it when you change the file yourself"),
    );
}

/// Both values are valid for a while, which not every server can do, and which has to end.
fn overlap<'t>(session: &Session<'t>, credential: &CredentialDraft<'t>) {
    let Some((overlap, span)) = credential.overlap else { return };
    if overlap.is_zero() {
        return;
    }
    let fault = |message: String| Fault::new(Code::Overlap, subject(credential), span, message);
    if let Some(RotatorDraft { service, server: ServerDraft::Postgres { .. } }) = credential.rotator {
        let fault = fault("a PostgreSQL role has one password: the old one ends at once".to_owned());
        session.report(
            fault
                .label("cannot overlap")
                .related(service.span, "the server")
                .remedy("remove `overlap`, or write `0s`; open connections stay open"),
        );
    }
    let (Some(days), Some(rotate)) = (credential.rotate_days(), credential.rotate) else { return };
    if overlap >= days_long(days) {
        let fault = fault(format!(
            "the old value stays valid for {} but the next one comes after {days}d",
            format_duration(overlap)
        ));
        session.report(
            fault
                .label("three values at once")
                .related(rotate.span, "changed this often")
                .remedy("make `overlap` shorter than `rotate`"),
        );
    }
}

/// A value that ends before its successor comes leaves everybody without one.
fn ttl<'t>(session: &Session<'t>, credential: &CredentialDraft<'t>) {
    let (Some((ttl, span)), Some(days), Some(rotate)) =
        (credential.ttl, credential.rotate_days(), credential.rotate)
    else {
        return;
    };
    if ttl <= days_long(days) {
        let message = format!("a value ends after {} but is changed after {days}d", format_duration(ttl));
        let fault = Fault::new(Code::TtlShort, subject(credential), span, message);
        session.report(
            fault
                .label("ends first")
                .related(rotate.span, "changed only now")
                .remedy("make `ttl` longer than `rotate`: a failed rotation then has time to be mended"),
        );
    }
}

fn days_long(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

/// The server must be one process of this house with a port at which one can log in.
fn server<'t>(
    session: &Session<'t>,
    draft: &Draft<'t>,
    credential: &CredentialDraft<'t>,
    rotator: &RotatorDraft<'t>,
) {
    let name = rotator.service;
    let fault = |message: String| Fault::new(Code::RotatorServer, subject(credential), name.span, message);
    let Some(service) = draft.service(name.text) else {
        let remedy = session
            .suggest
            .remedy(name.text, draft.service_names(), || "name the service that is the server".to_owned());
        let fault = fault(format!("the rotator names `{}`, which does not exist", name.text));
        return session.report(fault.label("unknown service").remedy(remedy));
    };
    let (message, remedy) = if service.is_coordinator() {
        (format!("`{}` is Hausmeister's own API", name.text), "name the service that is the server")
    } else if service.is_external() {
        (
            format!("`{}` runs somewhere else, and a rotator reaches only servers of this house", name.text),
            "remove the rotator and change the password there by hand",
        )
    } else if service.main_port().is_none() && !service.ports_unclear {
        (
            format!("`{}` has no port that is surely the one to log in at", name.text),
            "give it one port, or name the right one of several `http`",
        )
    } else if service.instances > 1 {
        (
            format!(
                "`{}` runs {} instances, and each keeps passwords of its own",
                name.text, service.instances
            ),
            "name a service with one instance",
        )
    } else {
        return;
    };
    let related = service.name.span;
    session.report(fault(message).label("cannot be told").related(related, "the service").remedy(remedy));
}

/// A server that its rotator tells needs no restart; it only has to find the new value at its next start.
fn restarted<'t>(
    session: &Session<'t>,
    users: &[&ServiceDraft<'t>],
    credential: &CredentialDraft<'t>,
    rotator: &RotatorDraft<'t>,
) {
    let server = users.iter().find(|service| service.name.text == rotator.service.text);
    let Some(server) = server.filter(|server| server.new_credential == NewCredential::Restart) else {
        return;
    };
    if server.is_external() {
        return;
    }
    let message = format!("`{}` is told by its rotator and is restarted besides", server.name.text);
    let fault = Fault::new(Code::RotatorRestart, subject(credential), rotator.service.span, message);
    session.report(
        fault
            .label("every rotation stops the server")
            .related(server.name.span, "restarted by a new credential")
            .remedy(format!("write `on_new_credential: reread` in `{}`", server.name.text)),
    );
}

/// Two credentials for one login: each rotation of the one makes the other wrong.
fn twice<'t>(
    session: &Session<'t>,
    changed: &mut HashMap<Login<'t>, Span>,
    credential: &CredentialDraft<'t>,
    rotator: &RotatorDraft<'t>,
) {
    let (is_postgres, who) = match rotator.server {
        ServerDraft::Postgres { role: Some(role), .. } => (true, role.text),
        ServerDraft::Postgres { role: None, .. } => return,
        ServerDraft::Redis { user } => (false, user.map_or("default", |user| user.text)),
    };
    let login = (rotator.service.text, is_postgres, who);
    match changed.get(&login) {
        Some(&first) => {
            let message = format!("the password of `{who}` is changed by two credentials");
            let fault = Fault::new(Code::RotatorTwice, subject(credential), rotator.service.span, message);
            session.report(
                fault
                    .label("again")
                    .related(first, "by this one too")
                    .remedy("let all services use one of the two credentials, and remove the other"),
            );
        }
        None => {
            changed.insert(login, rotator.service.span);
        }
    }
}

/// A value that a server checks, changed without anybody telling the server.
fn untold<'t>(session: &Session<'t>, credential: &CredentialDraft<'t>, users: &[&ServiceDraft<'t>]) {
    let (Some(rotate), Some(_)) = (credential.rotate, credential.rotate_days()) else { return };
    if credential.file.is_some() {
        return;
    }
    let needs = |client: &ServiceDraft<'t>, server: &ServiceDraft<'t>| {
        client.needs.iter().any(|need| need.text == server.name.text)
    };
    let server = users.iter().find(|server| users.iter().any(|client| needs(client, server)));
    if server.is_none() && credential.kind != CredentialKind::Database {
        return;
    }
    let message = match server {
        Some(server) => format!("nobody tells `{}` the new value while it runs", server.name.text),
        None => "nobody tells the database the new value".to_owned(),
    };
    let mut fault = Fault::new(Code::RotateUntold, subject(credential), rotate.span, message)
        .label("changed without its server")
        .remedy(
            "add `rotator: { postgres: SERVICE, role: ROLE }` or `{ redis: SERVICE }`; accept it when the server reads the new value at a restart",
        );
    if let Some(server) = server {
        fault = fault.related(server.name.span, "others use the value to log in here");
    }
    session.report(fault);
}
