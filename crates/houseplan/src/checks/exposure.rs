//! Listeners that every network of the machine can reach.

use crate::code::Code;
use crate::draft::{Draft, ServiceDraft, Stage};
use crate::fault::{Fault, Session, Subject};
use crate::shape::{parse_address, parse_listen};
use crate::source::Span;
use std::ops::Range;

/// Addresses of services, and addresses in their commands and environments.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for service in draft.services.iter().filter(|service| !is_guarded(draft, service)) {
        let subject = Subject::Service(service.name.text);
        if let Some(address) = service.address
            && parse_address(address.text).is_some_and(|address| address.is_unspecified())
        {
            report(session, subject, address.span);
        }
        commands(session, subject, service);
        for (name, value) in &service.env {
            if let Some(range) = wildcard(value.text, is_address_name(name.text)) {
                report(session, subject, session.sources.narrow(value.span, value.text, range));
            }
        }
    }
}

/// Whether a firewall of the plan decides wherever it runs who reaches it.
fn is_guarded(draft: &Draft<'_>, service: &ServiceDraft<'_>) -> bool {
    let has_firewall = |name: &str| {
        draft.machine(name).is_some_and(|machine| {
            let mut groups = machine.groups.iter().filter_map(|group| draft.group(group.text));
            draft.everywhere.firewall.is_some()
                || machine.settings.firewall.is_some()
                || groups.any(|group| group.settings.firewall.is_some())
        })
    };
    !service.on().is_empty()
        && !draft.stages.iter().any(|stage| stage.without_hosts)
        && service.on().iter().all(|host| has_firewall(host.text))
}

/// The gateway apart from the rest: it may listen elsewhere in each stage.
pub(super) fn check_gateway<'t>(session: &Session<'t>, stage: &Stage<'_, 't>) {
    let Some(listen) = stage.gateway.listen else { return };
    if parse_listen(listen.text).is_some_and(|(address, _)| address.is_unspecified()) {
        report(session, Subject::Gateway, listen.span);
    }
}

/// A lone `*` counts after an option such as `--host`, so the word before is remembered.
fn commands<'t>(session: &Session<'t>, subject: Subject<'t>, service: &ServiceDraft<'t>) {
    for command in service.commands() {
        let mut after_address_option = false;
        for word in &command.words {
            if let Some(range) = wildcard(&word.text, after_address_option) {
                report(session, subject, word.part(session.sources, range));
            }
            after_address_option = word.text.starts_with('-') && is_address_name(&word.text);
        }
    }
}

/// The same words wherever it is found, so that one acceptance speaks for all.
fn report<'t>(session: &Session<'t>, subject: Subject<'t>, span: Span) {
    let fault = Fault::new(Code::Exposed, subject, span, "this listens on every interface of the machine");
    session.report(
        fault
            .label("all interfaces")
            .remedy("write `127.0.0.1` and let the gateway face the network, or accept it with a reason"),
    );
}

/// Whether a name says that its value is an address to listen on.
pub(super) fn is_address_name(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        ["host", "bind", "listen", "address", "addr", "interface"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(word))
    })
}

/// Where a wildcard address stands in a text; a lone `*` only counts where an address is expected.
fn wildcard(text: &str, address_expected: bool) -> Option<Range<usize>> {
    if address_expected && text == "*" {
        return Some(0..1);
    }
    if !text.bytes().any(|byte| matches!(byte, b'*' | b':' | b'0')) {
        return None;
    }
    if text == "::" {
        return Some(0..2);
    }
    for (address, ends_word) in [("0.0.0.0", true), ("[::]", false), ("*:", false)] {
        let Some(start) = text.find(address) else { continue };
        let before = text[..start].chars().next_back();
        let rest = &text[start + address.len()..];
        let begins = before.is_none_or(|c| matches!(c, '=' | '/' | '@' | ' ' | ',' | '"' | '\''));
        let ends = !ends_word || rest.is_empty() || rest.starts_with([':', ' ', ',', '"', '\'']);
        let port =
            address != "*:" || (rest.starts_with(|c: char| c.is_ascii_digit() || c == '$') && start == 0);
        if begins && ends && port {
            let length = if address == "*:" { 1 } else { address.len() };
            return Some(start..start + length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, address_expected: bool, expected: Option<&str>) {
        assert_eq!(wildcard(text, address_expected).map(|range| &text[range]), expected, "{text}");
    }

    #[test]
    fn wildcards_are_found_where_they_are_addresses() {
        check("0.0.0.0", false, Some("0.0.0.0"));
        check("--bind=0.0.0.0:80", false, Some("0.0.0.0"));
        check("http://[::]:80", false, Some("[::]"));
        check("::", false, Some("::"));
        check("*:8080", false, Some("*"));
        check("*", true, Some("*"));
        check("*", false, None);
        check("10.0.0.0", false, None);
        check("0.0.0.0/0", false, None);
        check("std::vec", false, None);
    }
}
