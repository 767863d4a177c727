//! Fixed ports: on each machine an address and port have one owner, gateway and SSH server included.

use crate::code::Code;
use crate::draft::{Draft, Place, PortDraft, ServiceDraft, Stage};
use crate::fault::{Fault, Session, Subject};
use crate::shape::{parse_address, parse_listen};
use crate::source::Span;
use crate::variable::{Home, Scope};
use haus_model::host::Connect;
use haus_model::service::PortNumber;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// The port that ssh takes when nobody names one.
const SSH_PORT: u16 = 22;

/// A listener: who, where, and the place that says so (none for the gateway's default).
struct Claim<'t> {
    address: IpAddr,
    span: Option<Span>,
    subject: Subject<'t>,
}

/// What was claimed so far, by machine and number; looked up, never iterated.
type Claims<'t> = HashMap<(Place, u16), Vec<Claim<'t>>>;

/// The gateway and the SSH servers of hosts claim first, then services in the order of the plan, so the
/// later one is to blame.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    let mut claims: Claims<'t> = HashMap::new();
    let usual = (IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    let listen = stage.gateway.listen;
    if let Some((address, port)) = listen.map_or(Some(usual), |listen| parse_listen(listen.text))
        && (listen.is_some() || has_gateway(draft))
    {
        let claim = Claim { address, span: listen.map(|listen| listen.span), subject: Subject::Gateway };
        claims.entry((stage.fleet.gateway(draft), port)).or_default().push(claim);
    }
    servers(stage, &mut claims);
    for service in &draft.services {
        let address = match service.address {
            None => Some(usual.0),
            Some(address) => parse_address(address.text).or_else(|| {
                let scope = Scope { draft, stage, domain: "", home: Home::Service(service) };
                scope.listen_address(service, address)?.parse().ok()
            }),
        };
        let Some(address) = address else { continue };
        let fixed = |port: &PortDraft<'t>| match port.number {
            PortNumber::Fixed(number) => Some((number, port.span)),
            PortNumber::Auto => None,
        };
        if !service.ports.iter().any(|port| fixed(port).is_some()) {
            continue;
        }
        for place in stage.fleet.places(service) {
            for (number, span) in service.ports.iter().filter_map(fixed) {
                let claim = Claim { address, span: Some(span), subject: Subject::Service(service.name.text) };
                let claimed = claims.entry((place, number)).or_default();
                if let Some(first) = claimed.iter().find(|first| overlap(first.address, address)) {
                    let host = match place {
                        Place::On(at) => Some(stage.fleet.machines[at].name().text),
                        Place::Here => None,
                    };
                    session.report(fault(number, host, &claim, first));
                }
                claimed.push(claim);
            }
        }
    }
}

/// Whether anything in front of you needs a gateway: a plan of hosts alone starts none.
fn has_gateway(draft: &Draft<'_>) -> bool {
    let coordinator = || draft.services.iter().any(ServiceDraft::is_coordinator);
    draft.machines.is_empty() || !draft.routes.is_empty() || coordinator()
}

/// The SSH servers by which we come.
fn servers<'t>(stage: &Stage<'_, 't>, claims: &mut Claims<'t>) {
    for (at, machine) in stage.fleet.machines.iter().enumerate() {
        let Some(Connect::Ssh { port, .. }) = &machine.connect else { continue };
        let subject = Subject::Machine(machine.name().text);
        let sshd = machine.sshd().unwrap_or_default();
        let usual = machine.connect_text.map(|text| (port.unwrap_or(SSH_PORT), text.span));
        let written = if sshd.ports.is_empty() { usual.into_iter().collect() } else { sshd.ports };
        for (port, span) in written {
            let claim = Claim { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), span: Some(span), subject };
            claims.entry((Place::On(at), port)).or_default().push(claim);
        }
    }
}

/// Points at both claims.
fn fault<'t>(port: u16, host: Option<&str>, claim: &Claim<'t>, first: &Claim<'t>) -> Fault<'t> {
    let owner = if first.subject == Subject::Gateway {
        "the gateway".to_owned()
    } else if matches!(first.subject, Subject::Machine(_)) {
        "the SSH server".to_owned()
    } else {
        first.subject.to_string()
    };
    let on = host.map(|host| format!(" on host {host}")).unwrap_or_default();
    let message = format!("port {port} is already claimed by {owner}{on}");
    let fault = Fault::new(Code::PortTwice, claim.subject, claim.span, message)
        .label("claimed again")
        .remedy("write `auto`, or choose another number");
    match first.span {
        Some(span) => fault.related(span, "claimed first"),
        None => fault.remedy("write `auto`, choose another number, or say `gateway: { listen: … }`; it is 127.0.0.1:8080 when absent"),
    }
}

/// Whether two listeners with one port number get in each other's way. A wildcard takes all
/// addresses of its kind, and `::` on Linux the IPv4 ones too.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}
