//! Environment variables that Hausmeister sets itself and a plan sets again: the plan's value wins.

use crate::code::Code;
use crate::draft::{Draft, ServiceDraft};
use crate::fault::{Fault, Session, Subject};

/// What every process gets without being asked and programs may want otherwise. Not `LANG`: its value
/// is a choice, not a fact about the service.
const STANDARD: [(&str, &str); 5] = [
    ("PATH", "the folders of the system's programs"),
    ("HOME", "the data folder of the instance"),
    ("USER", "the account of the service"),
    ("TMPDIR", "a folder of the instance for passing files"),
    ("PORT", "the main port"),
];

/// Every name in `env`.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for service in &draft.services {
        let subject = Subject::Service(service.name.text);
        for (name, _) in &service.env {
            if is_reserved(service, name.text) {
                let message = format!("`{}` tells the service what only Hausmeister knows", name.text);
                let fault = Fault::new(Code::EnvReserved, subject, name.span, message);
                session.report(
                    fault
                        .label("hides the true value")
                        .remedy("remove it, or choose another name: Hausmeister sets this one itself"),
                );
            } else if let Some(usual) = standard(service, name.text) {
                let message = format!("`{}` would be {usual}", name.text);
                let fault = Fault::new(Code::EnvOverride, subject, name.span, message);
                session.report(
                    fault
                        .label("set by the plan instead")
                        .remedy("remove it when the usual value does; otherwise accept this with the reason"),
                );
            }
        }
    }
}

/// Names whose values are facts: where things are that Hausmeister has put there.
fn is_reserved(service: &ServiceDraft<'_>, name: &str) -> bool {
    let of_credential = |file: &str| service.credentials.iter().any(|(known, _)| known.text == file);
    name.starts_with("HAUS_")
        || name == "CREDENTIALS_DIRECTORY"
        || name.strip_suffix("_FILE").is_some_and(of_credential)
}

/// What a standard name would stand for; `PORT` only exists with a main port.
fn standard(service: &ServiceDraft<'_>, name: &str) -> Option<&'static str> {
    let (_, usual) = STANDARD.iter().find(|(known, _)| *known == name)?;
    (name != "PORT" || service.main_port().is_some()).then_some(*usual)
}
