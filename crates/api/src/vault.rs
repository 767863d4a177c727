//! `/api/vault`: the state of the keys that credentials are sealed with. Never a key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /api/vault`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VaultStatus {
    /// Where the key ring is kept, for people.
    pub place: String,
    /// Id of the key that new values are sealed under.
    pub active_key: String,
    /// Ids of keys that only open, while a rotation of the key ring is under way.
    pub old_keys: Vec<String>,
    /// Which ring this is, for the record of who keeps a copy.
    pub fingerprint: String,
    /// Sealed versions that still need an old key, counted up to 10000.
    pub under_old_keys: u64,
    /// Public half of the key that anchors of the trail are signed with (Ed25519, hexadecimal).
    pub anchor_key: Option<String>,
    /// What is not well about where the ring is kept.
    pub warnings: Vec<String>,
}
