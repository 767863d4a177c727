//! Accepted risks: which findings a plan accepts, and acceptances that are wrong themselves.

use crate::code::{self, Code};
use crate::draft::{Acceptance, Draft};
use crate::fault::{Fault, Session, Subject};
use std::collections::HashMap;

/// Checks every acceptance by itself.
pub(crate) fn check_acceptances<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for (subject, acceptance) in all(draft) {
        if acceptance.reason.text.trim().is_empty() {
            let message = format!("`{}` is accepted without a reason", acceptance.code.text);
            let fault = Fault::new(Code::AcceptReason, subject, acceptance.reason.span, message);
            session.report(
                fault.label("no reason").remedy("write why this is right here; the next reader will ask"),
            );
        }
        match code::info(acceptance.code.text) {
            Some(info) if info.acceptable => {}
            Some(info) => {
                let message = format!("{} ({}) cannot be accepted", info.code, info.title);
                let fault = Fault::new(Code::AcceptRefused, subject, acceptance.code.span, message);
                session.report(
                    fault.label("has to be mended").remedy("mend what it reports and remove this line"),
                );
            }
            None if crate::shape::Form::Code.check(acceptance.code.text).is_ok() => {
                let message = format!("there is no finding {}", acceptance.code.text);
                let fault = Fault::new(Code::AcceptIdle, subject, acceptance.code.span, message);
                session.report(
                    fault
                        .label("unknown code")
                        .remedy("remove this line, or write the code that a check has shown"),
                );
            }
            None => {}
        }
    }
}

/// Every acceptance with what it speaks for: the house, a service, a group or a host.
fn all<'a, 't>(draft: &'a Draft<'t>) -> impl Iterator<Item = (Subject<'t>, Acceptance<'t>)> + use<'a, 't> {
    let house = draft.accept.iter().map(|acceptance| (Subject::House, *acceptance));
    let services = draft.services.iter().flat_map(|service| {
        service.accept.iter().map(|acceptance| (Subject::Service(service.name.text), *acceptance))
    });
    let hosts = draft
        .settings()
        .flat_map(|(subject, settings)| settings.accept.iter().map(move |acceptance| (subject, *acceptance)));
    house.chain(services).chain(hosts)
}

/// Marks the accepted faults and reports acceptances that accepted nothing.
pub(crate) fn accept<'t>(faults: &mut Vec<Fault<'t>>, draft: &Draft<'t>) {
    let mut table: HashMap<(Subject<'t>, &str), (Acceptance<'t>, bool)> = HashMap::new();
    let with_reason = |acceptance: &Acceptance<'_>| !acceptance.reason.text.trim().is_empty();
    for (subject, acceptance) in all(draft).filter(|(_, acceptance)| with_reason(acceptance)) {
        table.insert((subject, acceptance.code.text), (acceptance, false));
    }
    for fault in &mut *faults {
        let info = fault.code.info();
        if !info.acceptable {
            continue;
        }
        // The nearer reason wins; the house's own one still counts as used.
        for subject in [Subject::House, fault.subject] {
            if let Some((acceptance, used)) = table.get_mut(&(subject, info.code)) {
                *used = true;
                fault.accept(acceptance.reason.text);
            }
        }
    }
    for (subject, acceptance) in all(draft) {
        let used = table.get(&(subject, acceptance.code.text)).is_some_and(|(_, used)| *used);
        let known = code::info(acceptance.code.text).is_some_and(|info| info.acceptable);
        if !used && known && with_reason(&acceptance) {
            let message = format!("nothing here is found as {}", acceptance.code.text);
            let fault = Fault::new(Code::AcceptIdle, subject, acceptance.code.span, message);
            faults.push(
                fault
                    .label("accepts nothing")
                    .remedy("remove this line: the risk is gone, or it is elsewhere"),
            );
        }
    }
}
