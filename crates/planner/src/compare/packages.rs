//! Packages and holds. Which version comes is apt's choice.

use super::{Around, Difference, Obstacle, Verdict, other_kind};
use crate::diff::{becomes, new};
use haus_model::change::Undo;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::operation::{packages_missing, packages_to_hold};
use haus_model::resource::{HoldsSpec, Kind, PackagesSpec, Spec};

pub(super) fn packages(spec: &PackagesSpec, state: &State, around: &Around<'_>) -> Verdict {
    let State::Packages { installed, unknown } = state else {
        return Verdict::Blocked(other_kind(&Spec::Packages(spec.clone()), state));
    };
    let missing = packages_missing(spec, state);
    if missing.is_empty() {
        return Verdict::AsWished;
    }
    let strange: Vec<&str> =
        missing.iter().filter(|name| unknown.contains(*name)).map(String::as_str).collect();
    // Sources that come with this plan may have what the present ones have not.
    if !strange.is_empty() && around.changed.is_empty() {
        return Verdict::Blocked(Obstacle {
            code: HostCode::PackageUnknown,
            message: format!("apt knows no package {}", strange.join(", ")),
            remedy: "correct the name, or give the host a source that has it".to_owned(),
        });
    }
    let create = installed.is_empty();
    let list: Vec<&str> = missing.iter().map(String::as_str).collect();
    let reason = match list.as_slice() {
        [one] => format!("{one} is not installed"),
        many => format!("{} are not installed", many.join(", ")),
    };
    let diff = missing.iter().map(|name| new(format!("package {name}"))).collect();
    let difference = if create { Difference::create(reason, diff) } else { Difference::update(reason, diff) };
    let undo = "what was installed is removed again; what apt changed beside it stays";
    difference
        .unknown("apt chooses the versions, and what comes with them")
        .undo(Undo::Partial(undo.to_owned()))
        .into()
}

pub(super) fn holds(spec: &HoldsSpec, state: &State, around: &Around<'_>) -> Verdict {
    let State::Holds(found) = state else {
        return Verdict::Blocked(other_kind(&Spec::Holds(spec.clone()), state));
    };
    let open = packages_to_hold(spec, state);
    let packages_change = around.changed.contains(Kind::Packages);
    if open.is_empty() && !packages_change {
        return Verdict::AsWished;
    }
    let diff = open.iter().flat_map(|name| becomes(format!("{name} may change"), format!("{name} is held")));
    let diff = diff.collect();
    let names: Vec<&str> = open.iter().map(String::as_str).collect();
    let reason = if open.is_empty() {
        "packages are installed before, and some may fit".to_owned()
    } else {
        format!("not held: {}", names.join(", "))
    };
    let held_before = found.values().any(|held| *held);
    let difference =
        if held_before { Difference::update(reason, diff) } else { Difference::create(reason, diff) };
    if packages_change {
        difference.unknown("what apt installs shows then").into()
    } else {
        difference.into()
    }
}
