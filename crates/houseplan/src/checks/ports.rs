//! Fixed ports: each address and port has one owner, the gateway included.

use crate::code::Code;
use crate::draft::{Draft, Stage};
use crate::fault::{Fault, Session, Subject};
use crate::shape::{parse_address, parse_listen};
use crate::source::Span;
use haus_model::service::PortNumber;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// A listener: who, where, and the place that says so (none for the gateway's default).
struct Claim<'t> {
    address: IpAddr,
    span: Option<Span>,
    subject: Subject<'t>,
}

/// The gateway claims first, then services in the order of the plan, so the later one is to blame.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    let mut claims: HashMap<u16, Vec<Claim<'t>>> = HashMap::new();
    let usual = (IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    let listen = stage.gateway.listen;
    if let Some((address, port)) = listen.map_or(Some(usual), |listen| parse_listen(listen.text)) {
        let claim = Claim { address, span: listen.map(|listen| listen.span), subject: Subject::Gateway };
        claims.entry(port).or_default().push(claim);
    }
    for service in &draft.services {
        let address = service.address.map_or(Some(usual.0), |address| parse_address(address.text));
        let Some(address) = address else { continue };
        for port in &service.ports {
            let PortNumber::Fixed(number) = port.number else { continue };
            let claim =
                Claim { address, span: Some(port.span), subject: Subject::Service(service.name.text) };
            let claimed = claims.entry(number).or_default();
            if let Some(first) = claimed.iter().find(|first| overlap(first.address, address)) {
                session.report(fault(number, &claim, first));
            }
            claimed.push(claim);
        }
    }
}

/// Points at both claims.
fn fault<'t>(port: u16, claim: &Claim<'t>, first: &Claim<'t>) -> Fault<'t> {
    let article = if first.subject == Subject::Gateway { "the " } else { "" };
    let message = format!("port {port} is already claimed by {article}{}", first.subject);
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
