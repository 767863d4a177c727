//! What one service says about itself: health, limits, rollout, ports.

use crate::code::Code;
use crate::draft::{Draft, ProbeDraft, ServiceDraft};
use crate::fault::{Fault, Session, Subject};
use crate::tree::Text;
use haus_model::service::{PortNumber, Rollout};
use haus_model::unit::format_duration;

/// Each service by itself, and the one that may exist only once.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    // Hosts alone are a house too.
    if !draft.machines.is_empty() && draft.services.is_empty() {
        return;
    }
    if draft.services.is_empty() && draft.services_key.is_none() {
        let span = draft.house.map(|house| house.span);
        let fault = Fault::new(Code::NoServices, Subject::House, span, "the house has no services");
        session
            .report(fault.label("an empty house").remedy("add `services:` with what shall run, or `hosts:`"));
    } else if draft.services.is_empty() {
        let fault =
            Fault::new(Code::NoServices, Subject::House, draft.services_key, "the house has no services");
        session.report(fault.label("none below").remedy("add what shall run"));
    }
    let mut coordinator: Option<&ServiceDraft<'t>> = None;
    for service in &draft.services {
        if service.is_coordinator() {
            match coordinator {
                Some(first) => {
                    let message = "a house has one API of its own, this is the second entry for it";
                    let fault =
                        Fault::new(Code::CoordinatorTwice, subject(service), service.name.span, message);
                    session.report(
                        fault
                            .label("again")
                            .related(first.name.span, "first")
                            .remedy("keep one `as: coordinator`"),
                    );
                }
                None => coordinator = Some(service),
            }
            coordinator_port(session, service);
        } else if service.is_external() {
            registry(session, draft, service);
        } else {
            presence(session, service);
        }
        health(session, service);
        recover(session, service);
        rollout(session, service);
        ports(session, service);
        localhost(session, service);
    }
}

/// What faults of this service are about.
fn subject<'t>(service: &ServiceDraft<'t>) -> Subject<'t> {
    Subject::Service(service.name.text)
}

/// The API's own port must be known before anything runs, because services ask it where others are.
fn coordinator_port<'t>(session: &Session<'t>, service: &ServiceDraft<'t>) {
    let http = service.port("http");
    if http.is_some_and(|port| matches!(port.number, PortNumber::Fixed(_))) {
        return;
    }
    let span = http.map_or(service.name.span, |port| port.span);
    let message = "`as: coordinator` needs the port `http` with a number";
    let fault = Fault::new(Code::Together, subject(service), span, message);
    session.report(fault.label("where does the API listen?").remedy("add `ports: { http: 8000 }`"));
}

/// Whoever registers from outside needs an API that can be reached; the socket is for this machine alone.
fn registry<'t>(session: &Session<'t>, draft: &Draft<'t>, service: &ServiceDraft<'t>) {
    if draft.services.iter().any(ServiceDraft::is_coordinator) {
        return;
    }
    let message = "its instances register themselves, and the house has no API with a port";
    let fault = Fault::new(Code::NoRegistry, subject(service), service.name.span, message);
    session.report(
        fault
            .label("registers where?")
            .remedy("add a service `house-api: { as: coordinator, ports: { http: 8000 } }`"),
    );
}

/// Keys whose absence matters.
fn presence<'t>(session: &Session<'t>, service: &ServiceDraft<'t>) {
    if !service.has_run {
        let message = "the key `run` is missing in a service";
        let fault = Fault::new(Code::MissingKey, subject(service), service.name.span, message);
        session.report(fault.label("what shall run?").remedy("add `run: PROGRAM ARGUMENTS`"));
    }
    // Between two runs of a timer there is nothing to ask.
    if !service.has_health && !service.ends() {
        let fault = Fault::new(
            Code::NoHealth,
            subject(service),
            service.name.span,
            "nothing tells whether this service works",
        );
        session.report(fault.label("has no `health`").remedy(
            "add `health: { get: /health }`, `{ tcp: PORT }` or `{ command: … }`; `{ process: true }` when there is nothing to ask",
        ));
    }
    if service.limits.is_none() {
        let fault = Fault::new(
            Code::NoLimits,
            subject(service),
            service.name.span,
            "nothing bounds what this service uses",
        );
        session.report(fault.label("has no `limits`").remedy("add `limits: { memory: 256MiB }`"));
    }
}

/// The rhythm of the probe, and the port that it asks.
fn health<'t>(session: &Session<'t>, service: &ServiceDraft<'t>) {
    let Some(health) = &service.health else { return };
    if health.every < health.timeout {
        let message = format!(
            "a probe may take {} but the next one begins after {}",
            format_duration(health.timeout),
            format_duration(health.every)
        );
        let span = health.rhythm.unwrap_or(health.key);
        let fault = Fault::new(Code::HealthRhythm, subject(service), span, message);
        session.report(
            fault
                .label("probes would overlap")
                .remedy("make `timeout` shorter than `every`, which is 30s when absent"),
        );
    }
    if service.ports_unclear {
        return;
    }
    let port = match &health.probe {
        ProbeDraft::Get { port: Some(port), .. } | ProbeDraft::Tcp(port) => Some(*port),
        ProbeDraft::Get { path, port: None, .. } => {
            if service.main_port().is_none() {
                let message = "there is no port to ask";
                let fault = Fault::new(Code::PortUnknown, subject(service), path.span, message);
                session.report(fault.label("on which port?").remedy(
                    "add `ports: { http: auto }`; with several ports name one `http`, or add `port: NAME` here",
                ));
            }
            None
        }
        ProbeDraft::Command(_) | ProbeDraft::Process => None,
    };
    if let Some(port) = port
        && service.port(port.text).is_none()
    {
        unknown_port(session, service, port);
    }
}

/// A port that a probe names but the service does not have.
fn unknown_port<'t>(session: &Session<'t>, service: &ServiceDraft<'t>, port: Text<'t>) {
    let names = service.ports.iter().map(|port| port.name.text);
    let remedy =
        session.suggest.remedy(port.text, names, || format!("add `ports: {{ {}: auto }}`", port.text));
    let message = format!("the service has no port `{}`", port.text);
    let fault = Fault::new(Code::PortUnknown, subject(service), port.span, message);
    session.report(fault.label("unknown port").remedy(remedy));
}

/// The pauses grow from the first to the longest.
fn recover<'t>(session: &Session<'t>, service: &ServiceDraft<'t>) {
    let (Some(span), pauses) = (service.recover_pauses, &service.recover) else { return };
    if pauses.most < pauses.first {
        let message = format!(
            "the longest pause is {} but the first one already {}",
            format_duration(pauses.most),
            format_duration(pauses.first)
        );
        let fault = Fault::new(Code::RecoverPauses, subject(service), span, message);
        session.report(
            fault
                .label("pauses would shrink")
                .remedy("make `most` at least as long as `first`; without them they are 30s and 250ms"),
        );
    }
}

/// Words that promise something which the number of instances does not allow.
fn rollout<'t>(session: &Session<'t>, service: &ServiceDraft<'t>) {
    let Some((rollout, span)) = service.rollout else { return };
    match rollout {
        Rollout::Rolling if service.instances == 1 => {
            let message = "with one instance a rolling change is a replacement";
            let fault = Fault::new(Code::RollingAlone, subject(service), span, message);
            session.report(
                fault
                    .label("nothing else serves meanwhile")
                    .remedy("write `instances: 2`, or `rollout: hold`"),
            );
        }
        Rollout::Hold if service.instances > 1 => {
            let message = "`hold` stops every instance before the new ones start";
            let fault = Fault::new(Code::HoldMany, subject(service), span, message);
            session.report(
                fault
                    .label("requests wait although several run")
                    .remedy("write `rollout: rolling`, or `instances: 1`"),
            );
        }
        Rollout::Rolling | Rollout::Hold | Rollout::Replace => {}
    }
}

/// Fixed ports, one by one; that two claim the same is `ports`.
fn ports<'t>(session: &Session<'t>, service: &ServiceDraft<'t>) {
    for port in &service.ports {
        let PortNumber::Fixed(number) = port.number else { continue };
        if service.instances > 1 {
            let message = format!("{} instances cannot all have port {number}", service.instances);
            let mut fault = Fault::new(Code::PortInstances, subject(service), port.span, message)
                .label("one number")
                .remedy("write `auto`: each instance gets a port of its own");
            if let Some(span) = service.instances_span {
                fault = fault.related(span, "several instances");
            }
            session.report(fault);
        }
        if number < 1024 {
            let message = format!("port {number} needs rights that a service should not have");
            let fault = Fault::new(Code::PortPrivileged, subject(service), port.span, message);
            session.report(
                fault.label("below 1024").remedy("let the gateway listen there and give the service `auto`"),
            );
        }
    }
}

/// `localhost` may be `::1` first, and a service that listens on 127.0.0.1 is then not there.
fn localhost<'t>(session: &Session<'t>, service: &ServiceDraft<'t>) {
    let report = |span| {
        let message = "`localhost` may mean ::1 where the other side listens on 127.0.0.1";
        let fault = Fault::new(Code::Localhost, subject(service), span, message);
        session.report(
            fault.label("two addresses").remedy("write `127.0.0.1`, `${address}` or `${NAME.address}`"),
        );
    };
    for word in service.commands().flat_map(|command| &command.words) {
        if let Some(at) = localhost_in(&word.text) {
            report(word.part(session.sources, at..at + 9));
        }
    }
    for (_, value) in &service.env {
        if let Some(at) = localhost_in(value.text) {
            report(session.sources.narrow(value.span, value.text, at..at + 9));
        }
    }
}

/// Where `localhost` stands as the host of an address.
fn localhost_in(text: &str) -> Option<usize> {
    if text.len() < "localhost".len() {
        return None;
    }
    let mut from = 0;
    while let Some(at) = text[from..].find("localhost").map(|at| from + at) {
        let before = text[..at].chars().next_back();
        let after = text[at + 9..].chars().next();
        let begins = before.is_none_or(|c| matches!(c, '/' | '@' | '=' | ' ' | ',' | '"' | '\''));
        let ends = after.is_none_or(|c| matches!(c, ':' | '/' | ' ' | ',' | '"' | '\''));
        if begins && ends {
            return Some(at);
        }
        from = at + 9;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<usize>) {
        assert_eq!(localhost_in(text), expected, "{text}");
    }

    #[test]
    fn only_hosts_count_as_localhost() {
        check("localhost", Some(0));
        check("http://localhost:80/", Some(7));
        check("--host=localhost", Some(7));
        check("app.localhost", None);
        check("localhost.example", None);
        check("mylocalhost localhost", Some(12));
    }
}
