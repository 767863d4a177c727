//! Groups, accounts and keys.

use super::{Difference, Obstacle, Verdict, other_kind};
use crate::diff::{becomes, gone, new};
use haus_model::change::Undo;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::operation::user_change;
use haus_model::resource::{GroupSpec, KeysSpec, Spec, UserSpec};
use std::collections::BTreeSet;

pub(super) fn group(spec: &GroupSpec, state: &State) -> Verdict {
    if matches!(state, State::Group { .. }) {
        return Verdict::AsWished;
    }
    if *state != State::Absent {
        return Verdict::Blocked(other_kind(&Spec::Group(spec.clone()), state));
    }
    let kind = if spec.system { "system group" } else { "group" };
    Difference::create("it is not there", vec![new(format!("{kind} {}", spec.name))]).into()
}

pub(super) fn user(spec: &UserSpec, state: &State) -> Verdict {
    let State::User { uid, group, groups, home, shell } = state else {
        if *state != State::Absent {
            return Verdict::Blocked(other_kind(&Spec::User(spec.clone()), state));
        }
        let kind = if spec.system { "system account" } else { "account" };
        let diff = [
            Some(format!("{kind} {}", spec.name)),
            spec.uid.map(|uid| format!("number {uid}")),
            Some(format!("group {}", spec.group)),
            (!spec.groups.is_empty()).then(|| format!("further groups {}", listed(&spec.groups))),
            Some(format!("home {}", spec.home.display())),
            Some(format!("shell {}", spec.shell.display())),
        ];
        let difference = Difference::create("it is not there", diff.into_iter().flatten().map(new).collect());
        let undo = "the account goes again; its home stays when something was put there";
        return if spec.make_home {
            difference.undo(Undo::Partial(undo.to_owned())).into()
        } else {
            difference.into()
        };
    };
    let change = user_change(spec, state);
    if let Some(wanted) = change.uid {
        // Everything that the account owns would belong to somebody else.
        return Verdict::Blocked(Obstacle {
            code: HostCode::OtherInPlace,
            message: format!("the account {} is there with the number {uid}, not {wanted}", spec.name),
            remedy: format!("write `uid: {uid}`, or move the account and its files by hand"),
        });
    }
    let mut diff = Vec::new();
    let mut reasons = Vec::new();
    if let Some(wanted) = change.group {
        diff.extend(becomes(format!("group {group}"), format!("group {wanted}")));
        reasons.push("its group differs");
    }
    if !change.joins.is_empty() {
        diff.push(new(format!("further groups {}", listed(&change.joins))));
        reasons.push(if groups.is_empty() { "it is in no further group" } else { "it is not in all groups" });
    }
    if !change.leaves.is_empty() {
        diff.push(gone(format!("further groups {}", listed(&change.leaves))));
        reasons.push("it has groups from us that the plan does not want any more");
    }
    if let Some(wanted) = change.home {
        diff.extend(becomes(format!("home {}", home.display()), format!("home {}", wanted.display())));
        reasons.push("its home differs");
    }
    if let Some(wanted) = change.shell {
        diff.extend(becomes(format!("shell {}", shell.display()), format!("shell {}", wanted.display())));
        reasons.push("its shell differs");
    }
    if reasons.is_empty() { Verdict::AsWished } else { Difference::update(reasons.join(", "), diff).into() }
}

pub(super) fn keys(spec: &KeysSpec, state: &State) -> Verdict {
    let present: &[String] = if let State::Keys(keys) = state { keys } else { &[] };
    if !matches!(state, State::Keys(_) | State::Absent) {
        return Verdict::Blocked(other_kind(&Spec::Keys(spec.clone()), state));
    }
    let before: BTreeSet<&str> = present.iter().map(|key| key.trim()).collect();
    let after: BTreeSet<&str> = spec.keys.iter().map(|key| key.trim()).collect();
    if before == after {
        return Verdict::AsWished;
    }
    let goes = before.difference(&after).map(|key| gone(*key));
    let diff = goes.chain(after.difference(&before).map(|key| new(*key))).collect();
    if *state == State::Absent {
        return Difference::create("there are no keys", diff).into();
    }
    Difference::update("other keys may log in", diff).into()
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
