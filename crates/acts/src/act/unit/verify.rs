//! Whether a unit is as wanted after systemd was told: systemd may say yes and yet not do it, or something
//! starts again what was stopped. Whether a service does its work is a question of health.

use super::{decided, properties, said};
use crate::refusal::Result;
use crate::wire::Refusal;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::resource::UnitSpec;

/// Refuses what is surely not as wanted, from what was observed after the act.
pub(crate) fn verify(spec: &UnitSpec, after: &State) -> Result<()> {
    let found = match unmet(spec, after) {
        Some(Unmet::Ended) => match decided(&properties(&spec.name)?) {
            Some(Err(why)) => Some(("start", why, "see what the unit says; `journalctl -u` tells more")),
            Some(Ok(())) | None => None,
        },
        Some(Unmet::Still { what, why, remedy }) => Some((what, why, remedy)),
        None => None,
    };
    let Some((what, why, remedy)) = found else { return Ok(()) };
    let refusal = Refusal::new(HostCode::ActFailed, format!("{what} {}", spec.name), why, remedy);
    Err(refusal.with_evidence(said(&spec.name)))
}

#[derive(Debug, PartialEq, Eq)]
enum Unmet {
    /// It does not run. That is well for one that has done its work.
    Ended,
    /// It is as it was, although systemd was told.
    Still { what: &'static str, why: String, remedy: &'static str },
}

/// What of it is not as wanted. States in between are left to who looks later.
fn unmet(spec: &UnitSpec, after: &State) -> Option<Unmet> {
    let State::Unit { enabled, active, .. } = after else { return None };
    match (spec.enabled, enabled.as_str()) {
        // What has no [Install] is `static`, and what others make `generated` and the like.
        (Some(true), "disabled" | "masked" | "masked-runtime") => {
            let why = format!("systemd was told so, and it is still {enabled}");
            let remedy = "look at the unit with `systemctl cat`; it must have an [Install] that works";
            return Some(Unmet::Still { what: "enable", why, remedy });
        }
        (Some(false), "enabled" | "enabled-runtime") => {
            let why = format!("systemd was told so, and it is still {enabled}");
            let remedy = "look below /run and /usr/lib/systemd for a link to it, or mask it yourself";
            return Some(Unmet::Still { what: "disable", why, remedy });
        }
        (Some(true | false) | None, _) => {}
    }
    match (spec.running, active.as_str()) {
        (Some(true), "inactive" | "failed") => Some(Unmet::Ended),
        // One that is `activating` may be a run that its timer has begun.
        (Some(false), "active" | "reloading" | "refreshing") => {
            let why = "it was stopped, and it runs again".to_owned();
            let remedy =
                "see what starts it: `systemctl status` names its timer or socket; stop that as well";
            Some(Unmet::Still { what: "stop", why, remedy })
        }
        (Some(true | false) | None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::resource::OnChange;

    /// What is wanted, what there is, and what is said against it.
    fn check(wanted: (Option<bool>, Option<bool>), (enabled, active): (&str, &str), expected: Option<&str>) {
        let (name, inputs) = ("api.service".to_owned(), UnitSpec::no_inputs());
        let on_change = OnChange::Restart;
        let spec =
            UnitSpec { name, enabled: wanted.0, running: wanted.1, on_change, in_effect: None, inputs };
        let (enabled, active) = (enabled.to_owned(), active.to_owned());
        let state = State::Unit { enabled, active, inputs: None, needs_reload: false, in_effect: None };
        let found = unmet(&spec, &state).map(|unmet| match unmet {
            Unmet::Ended => "ended",
            Unmet::Still { what, .. } => what,
        });
        assert_eq!(found, expected, "{spec:?} {state:?}");
    }

    const ON: (Option<bool>, Option<bool>) = (Some(true), Some(true));
    const OFF: (Option<bool>, Option<bool>) = (Some(false), Some(false));

    #[test]
    fn a_unit_that_is_as_wanted_is_not_refused() {
        check(ON, ("enabled", "active"), None);
        check(ON, ("static", "active"), None);
        check(ON, ("generated", "reloading"), None);
        check(OFF, ("disabled", "inactive"), None);
        check(OFF, ("static", "failed"), None);
        check((None, None), ("disabled", "failed"), None);
    }

    #[test]
    fn a_state_in_between_is_not_refused() {
        check(ON, ("enabled", "activating"), None);
        check(ON, ("enabled", "deactivating"), None);
        check(OFF, ("disabled", "deactivating"), None);
        check(OFF, ("static", "activating"), None);
    }

    #[test]
    fn what_systemd_did_not_do_is_told() {
        check(ON, ("disabled", "active"), Some("enable"));
        check(ON, ("masked", "active"), Some("enable"));
        check(OFF, ("enabled", "inactive"), Some("disable"));
        check(OFF, ("disabled", "active"), Some("stop"));
        check(ON, ("enabled", "failed"), Some("ended"));
        check(ON, ("enabled", "inactive"), Some("ended"));
    }
}
