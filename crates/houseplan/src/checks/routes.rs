//! Routes: each leads somewhere, and each host and path to one place.

use crate::code::Code;
use crate::draft::{Draft, HostDraft, RouteDraft, Stage, TargetDraft};
use crate::fault::{Fault, Session, Subject};
use crate::shape::{Form, is_host_name};
use crate::source::Span;
use crate::variable::{Home, Scope};
use std::collections::HashMap;

/// Hosts are compared after filling in: two keys may become one name in a stage.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    let domain = stage.domain(draft);
    let scope = Scope { draft, stage, domain: &domain, home: Home::Route };
    let mut claimed: HashMap<(String, &str), Span> = HashMap::new();
    for host in &draft.routes {
        let Some(name) = host_name(scope, host) else { continue };
        // A wrong domain is reported where it is written, not again with every route below it.
        let own_fault = is_host_name(&domain) || !host.host.text.contains("${domain}");
        if !is_host_name(&name) && own_fault {
            let message = if name == host.host.text {
                format!("`{name}` is not a host name")
            } else {
                format!("`{}` becomes `{name}`, which is not a host name", host.host.text)
            };
            let fault = Fault::new(Code::RouteHost, Subject::Host(host.host.text), host.host.span, message);
            session.report(
                fault
                    .label("not a host name")
                    .remedy("write a name such as `app.${domain}`, without port and path"),
            );
        }
        for route in &host.routes {
            let path = path(host, route);
            match claimed.get(&(name.clone(), path)) {
                Some(&first) => {
                    let message = format!("`{name}{path}` already leads elsewhere");
                    let fault = Fault::new(Code::RouteTwice, subject(host, route), route.path.span, message);
                    session.report(
                        fault
                            .label("claimed again")
                            .related(first, "claimed first")
                            .remedy("remove one of the two"),
                    );
                }
                None => {
                    claimed.insert((name.clone(), path), route.path.span);
                }
            }
            target(session, draft, host, route);
        }
    }
}

/// The host with its variables filled in; none when one of them means nothing.
pub(crate) fn host_name(scope: Scope<'_, '_>, host: &HostDraft<'_>) -> Option<String> {
    let name = scope.template(host.host.text)?.fill(&|_| None).ok()?;
    Some(name.trim_end_matches('.').to_ascii_lowercase())
}

/// The path of a route; the short form takes everything.
pub(crate) fn path<'t>(host: &HostDraft<'t>, route: &RouteDraft<'t>) -> &'t str {
    if route.path.span == host.host.span { "/" } else { route.path.text }
}

/// What faults of this route are about.
fn subject<'t>(host: &HostDraft<'t>, route: &RouteDraft<'t>) -> Subject<'t> {
    Subject::Route(host.host.text, path(host, route))
}

/// The service and the port that a route leads to.
fn target<'t>(session: &Session<'t>, draft: &Draft<'t>, host: &HostDraft<'t>, route: &RouteDraft<'t>) {
    let subject = subject(host, route);
    if let Some(strip) = route.strip
        && !path(host, route).starts_with(strip.text)
    {
        let message = format!("no path below `{}` begins with `{}`", path(host, route), strip.text);
        let fault = Fault::new(Code::RouteStrip, subject, strip.span, message);
        session.report(fault.label("never stripped").remedy("write the beginning of the route's own path"));
    }
    let TargetDraft::To(to) = &route.target else { return };
    let (name, port) = to.text.split_once(':').map_or((to.text, None), |(name, port)| (name, Some(port)));
    if name == "haus" || Form::Target.check(to.text).is_err() {
        return;
    }
    let Some(service) = draft.service(name) else {
        let remedy = session
            .suggest
            .remedy(name, draft.service_names(), || "add the service, or remove the route".to_owned());
        let message = format!("the route leads to `{name}`, which does not exist");
        let fault = Fault::new(Code::RouteNowhere, subject, to.span, message);
        return session.report(fault.label("unknown service").remedy(remedy));
    };
    if service.is_coordinator() || service.ports_unclear {
        return;
    }
    if service.is_external() {
        let Some(port) = port else { return };
        let message =
            format!("`{name}` runs somewhere else: its instances register one port each, without a name");
        let fault = Fault::new(Code::RoutePort, subject, to.span, message);
        return session.report(
            fault
                .label(format!("no port `{port}`"))
                .related(service.name.span, "the service")
                .remedy(format!("write `{name}`")),
        );
    }
    let problem = match port {
        Some(port) if service.port(port).is_none() => format!("`{name}` has no port `{port}`"),
        None if service.ports.is_empty() => format!("`{name}` has no ports"),
        None if service.main_port().is_none() => {
            format!("`{name}` has several ports and none is named `http`")
        }
        Some(_) | None => return,
    };
    let remedy = match port {
        None if !service.ports.is_empty() => format!("write `{name}:PORT` with one of its ports"),
        Some(port) => {
            let names = service.ports.iter().map(|port| port.name.text);
            session.suggest.remedy(port, names, || format!("add `ports: {{ {port}: auto }}` to `{name}`"))
        }
        None => format!("add `ports: {{ http: auto }}` to `{name}`"),
    };
    let fault = Fault::new(Code::RoutePort, subject, to.span, problem);
    session.report(fault.label("no such port").related(service.name.span, "the service").remedy(remedy));
}
