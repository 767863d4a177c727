//! The account that a service runs under: its own, and never the one that may do everything.

use crate::code::Code;
use crate::draft::Draft;
use crate::fault::{Fault, Session, Subject};

/// Names of the account with number 0.
const ALMIGHTY: [&str; 2] = ["root", "toor"];

/// What Hausmeister's own names for accounts begin with: `haus-HOUSE-SERVICE`.
const OWN_PREFIX: &str = "haus-";

/// Every `user`. Which accounts the machine has is not asked: the plan may be made for another one.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for service in &draft.services {
        let Some(user) = service.user else { continue };
        let (message, label, remedy) = if ALMIGHTY.contains(&user.text) {
            (
                format!("`{}` may do everything on the machine", user.text),
                "not an account for a service",
                "remove `user`: the service then gets an account of its own; or accept this with the reason",
            )
        } else if user.text.starts_with(OWN_PREFIX) && !is_own(draft, service.name.text, user.text) {
            (
                "the accounts `haus-…` are made by Hausmeister, each for one service".to_owned(),
                "another one's account",
                "remove `user`: the service then gets its own one; for a shared account choose another name",
            )
        } else {
            continue;
        };
        let fault = Fault::new(Code::ForeignAccount, Subject::Service(service.name.text), user.span, message);
        session.report(fault.label(label).remedy(remedy));
    }
}

/// Whether this is the name that the service gets anyway. Long names are shortened when the account is
/// made; nobody writes those by hand, so they count as another one's.
fn is_own(draft: &Draft<'_>, service: &str, user: &str) -> bool {
    let Some(house) = draft.house else { return true };
    let rest = user.strip_prefix(OWN_PREFIX).and_then(|rest| rest.strip_prefix(house.text));
    rest.and_then(|rest| rest.strip_prefix('-')).is_some_and(|rest| rest == service)
}
