//! The hash of a plan, over everything that it says, so that a saved plan cannot be changed unseen. It is
//! taken over canonical JSON: ordered maps, no spaces.

use haus_model::Fingerprint;
use haus_model::change::{ChangeSet, HostPlan};

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
