//! Whether a state is what a specification wants: asked before an act, which may then be left out, and after
//! it.

use crate::act::unit::gone;
use haus_model::argv::UserChange;
use haus_model::inventory::State;
use haus_model::operation::{packages_missing, packages_to_hold, unit_verbs, user_change};
use haus_model::resource::{Content, Spec};

/// Whether everything is as it should be.
pub(crate) fn is_made(spec: &Spec, state: &State) -> bool {
    match (spec, state) {
        (Spec::Packages(spec), State::Packages { .. }) => packages_missing(spec, state).is_empty(),
        (Spec::Holds(spec), State::Holds(_)) => packages_to_hold(spec, state).is_empty(),
        (Spec::Group(_), State::Group { .. }) => true,
        (Spec::User(spec), State::User { .. }) => user_change(spec, state) == UserChange::default(),
        (Spec::Keys(spec), State::Keys(keys)) => spec.keys == *keys,
        (Spec::Directory(spec), State::Directory { access, .. }) => spec.access == *access,
        (Spec::File(spec), State::File { hash, access, secret, .. }) => {
            let content = match &spec.content {
                Content::Secret(version) => secret.as_ref() == Some(version),
                Content::Text(_) | Content::Blob { .. } => *hash == Some(spec.content.fingerprint()),
            };
            content && spec.access == *access
        }
        (Spec::Link(spec), State::Link(target)) => spec.target == *target,
        (Spec::Release(spec), State::Releases { complete, .. }) => {
            spec.release_id().is_some_and(|id| complete.contains(&id))
        }
        (Spec::Switch(spec), State::Releases { current, .. }) => {
            spec.release.is_some() && spec.release == *current
        }
        (Spec::Sysctl(spec), State::Sysctl { value, at_boot }) => {
            let wanted = spec.value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            *value == wanted && at_boot.as_deref() == Some(wanted.as_str())
        }
        (Spec::Command(spec), State::Command { satisfied, done }) => {
            satisfied.unwrap_or(*done == Some(spec.inputs))
        }
        (Spec::Unit(spec), State::Unit { .. }) => unit_verbs(spec, state) == (false, Vec::new()),
        (Spec::Health(spec), State::Health { proven }) => *proven == Some(spec.inputs),
        _ => false,
    }
}

/// Whether nothing of it is there any longer. What must stay on purpose (a folder that is not empty) counts
/// as gone.
pub(crate) fn is_removed(spec: &Spec, state: &State) -> bool {
    match (spec, state) {
        (_, State::Absent) => true,
        (Spec::Packages(spec), State::Packages { installed, .. }) => {
            !installed.keys().any(|name| spec.names.contains(name))
        }
        (Spec::Holds(_), State::Holds(holds)) => !holds.values().any(|held| *held),
        (Spec::Release(_), State::Releases { complete, .. }) => complete.is_empty(),
        (Spec::Switch(_), State::Releases { current, .. }) => current.is_none(),
        (Spec::Sysctl(_), State::Sysctl { at_boot, .. }) => at_boot.is_none(),
        (Spec::Directory(_), State::Directory { .. }) | (Spec::Command(_) | Spec::Health(_), _) => true,
        (Spec::Unit(spec), State::Unit { .. }) => unit_verbs(&gone(spec), state).1.is_empty(),
        _ => false,
    }
}
