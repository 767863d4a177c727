//! The address plan: ranges that do not meet, addresses inside their network, each once.

use crate::code::Code;
use crate::draft::{Draft, Stage};
use crate::fault::{Fault, Session, Subject};
use crate::shape::{Range, parse_range};
use crate::source::Span;
use std::collections::HashMap;
use std::net::IpAddr;

/// Networks that share addresses. Sorted by their first address, one that meets a later one meets the widest
/// before that, so one pass is enough.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    let read = |network: &crate::draft::NetworkDraft<'t>| {
        let range = network.range?;
        Some((parse_range(range.text)?, range.span, network.name.text))
    };
    let mut ranges: Vec<(Range, Span, &str)> = draft.networks.iter().filter_map(read).collect();
    ranges.sort_by_key(|(range, span, _)| (range.bounds().0, *span));
    let mut widest: Option<(Range, Span, &str)> = None;
    for (range, span, name) in ranges {
        if let Some((before, first, other)) = widest.filter(|(before, ..)| before.overlaps(range)) {
            let message = format!("the networks `{other}` and `{name}` share addresses");
            let fault = Fault::new(Code::NetworkOverlap, Subject::Network(name), span, message);
            session.report(fault.label("meets another").related(first, "this one").remedy(
                "choose ranges that do not meet; otherwise nobody can tell where an address belongs",
            ));
            if before.bounds().1 >= range.bounds().1 {
                continue;
            }
        }
        widest = Some((range, span, name));
    }
}

/// The addresses of hosts.
pub(super) fn check_stage<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    let mut owners: HashMap<IpAddr, (&str, Span)> = HashMap::new();
    for machine in &stage.fleet.machines {
        let name = machine.name().text;
        let subject = Subject::Machine(name);
        let own = machine.address.iter().map(|address| (None, *address));
        let written = machine.networks.iter().map(|(network, address)| (Some(*network), *address)).chain(own);
        for (network, text) in written {
            let Ok(address) = text.text.parse::<IpAddr>() else { continue };
            match owners.get(&address) {
                Some((owner, first)) if *owner != name => {
                    let message = format!("{address} is already the address of host {owner}");
                    let fault = Fault::new(Code::AddressTwice, subject, text.span, message);
                    session.report(
                        fault.label("again").related(*first, "first").remedy("give one of them another"),
                    );
                }
                Some(_) => {}
                None => {
                    owners.insert(address, (name, text.span));
                }
            }
            let known = network.and_then(|network| draft.network(network.text));
            let Some((network, range)) = known.and_then(|network| Some((network.name, network.range?)))
            else {
                continue;
            };
            let Some(parsed) = parse_range(range.text) else { continue };
            let message = if !parsed.contains(address) {
                format!("{address} is not in the network `{}`, {}", network.text, range.text)
            } else if is_taken(parsed, address) {
                format!("{address} is the first or last of {}, which no host can have", range.text)
            } else {
                continue;
            };
            let fault = Fault::new(Code::AddressOutside, subject, text.span, message);
            session.report(
                fault
                    .label("not an address for it")
                    .related(range.span, "the range")
                    .remedy("write an address of the network, or widen its range"),
            );
        }
    }
}

/// The network's own address and its broadcast address (RFC 919, RFC 3021).
fn is_taken(range: Range, address: IpAddr) -> bool {
    let (first, last) = range.bounds();
    let (IpAddr::V4(from), IpAddr::V4(to)) = (first, last) else { return false };
    to.to_bits() - from.to_bits() > 1 && (address == first || address == last)
}
