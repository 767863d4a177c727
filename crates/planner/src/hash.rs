//! Hashes of a plan: one over everything that it says, so that a saved plan cannot be changed unseen, and one over what was
//! observed, so that an apply sees that a host has moved. Both over canonical JSON: ordered maps, no spaces.

use haus_model::Fingerprint;
use haus_model::change::{Change, ChangeSet, HostPlan};
use haus_model::inventory::State;
use haus_model::resource::{Kind, ResourceId, Spec};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Gives a plan its hash.
pub fn seal(changes: &mut ChangeSet) {
    changes.hash = hash(changes);
}

/// Whether a plan still is what it was when it was made.
pub fn verify_hash(changes: &ChangeSet) -> bool {
    changes.hash == hash(changes)
}

/// Host by host, so that a plan of a thousand hosts never stands in memory a second time.
fn hash(changes: &ChangeSet) -> Fingerprint {
    let ChangeSet { format, house, stage, hosts, waves, hash: _ } = changes;
    let mut parts: Vec<Vec<u8>> = vec![json(&(format, house, stage, waves))];
    for (name, host) in hosts {
        parts.push(name.as_str().as_bytes().to_vec());
        parts.push(hash_host(host).as_bytes().to_vec());
    }
    Fingerprint::of_parts(parts.iter().map(Vec::as_slice))
}

fn hash_host(host: &HostPlan) -> Fingerprint {
    Fingerprint::of(&json(host))
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("a plan is plain data with texts as keys")
}

/// What was observed of the resources of these changes, without what moves by itself. Whoever has observed again compares
/// it with the plan's.
pub fn observed(changes: &[Change], states: &BTreeMap<ResourceId, State>) -> Fingerprint {
    let nothing = State::Unknown(String::new());
    let mut bytes = Vec::new();
    for change in changes {
        let state = states.get(&change.resource).unwrap_or(&nothing);
        bytes.extend_from_slice(change.resource.as_str().as_bytes());
        bytes.push(0);
        bytes.extend(json(steady(&change.spec, state).as_ref()));
        bytes.push(0);
    }
    Fingerprint::of(&bytes)
}

/// A state without what changes by itself: how many entries a folder has (unless a link shall stand there), and texts, whose
/// hash is there as well.
fn steady<'a>(spec: &Spec, state: &'a State) -> Cow<'a, State> {
    match state {
        State::Directory { access, .. } if spec.kind() != Kind::Link => {
            Cow::Owned(State::Directory { access: access.clone(), entries: 0 })
        }
        State::File { hash, bytes, access, text: Some(_), secret } => Cow::Owned(State::File {
            hash: *hash,
            bytes: *bytes,
            access: access.clone(),
            text: None,
            secret: secret.clone(),
        }),
        State::Directory { .. }
        | State::File { .. }
        | State::Absent
        | State::Unknown(_)
        | State::Packages { .. }
        | State::Holds(_)
        | State::Group { .. }
        | State::User { .. }
        | State::Keys(_)
        | State::Link(_)
        | State::Other(_)
        | State::Releases { .. }
        | State::Sysctl { .. }
        | State::Command { .. }
        | State::Unit { .. }
        | State::Health { .. } => Cow::Borrowed(state),
    }
}
