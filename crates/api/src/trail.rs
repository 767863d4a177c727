//! `/api/trail` and `/api/credentials/{id}/audit`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// One entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrailEntry {
    /// Its number.
    pub seq: u64,
    /// RFC 3339.
    pub timestamp: String,
    /// Who.
    pub actor: String,
    /// What: `credential-read`, …
    pub action: String,
    /// With what kind of thing: `credential`, `service`, `token`.
    pub entity_type: String,
    /// With which.
    pub entity_id: String,
    /// `allowed`, `denied` or `failed`.
    pub outcome: String,
    /// The request.
    pub request_id: Option<String>,
    /// From where.
    pub ip_address: Option<String>,
    /// Why it was denied or failed, or what it was for.
    pub why: Option<String>,
    /// More, never a secret.
    pub changes: BTreeMap<String, String>,
    /// Hash of the entry before.
    pub prev_hash: String,
    /// Its own hash.
    pub hash: String,
}

/// Answer of `GET /api/trail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trail {
    /// Entries, the newest first unless `after` is given.
    pub entries: Vec<TrailEntry>,
    /// Number and hash of the last entry of all.
    pub head: TrailHead,
}

/// The end of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrailHead {
    /// Number of the last entry.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// Which entries to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrailQuery {
    /// Only entries after this number, oldest first.
    #[param(minimum = 0)]
    pub after: Option<u64>,
    /// Only entries before this number.
    #[param(minimum = 0)]
    pub before: Option<u64>,
    /// Only about this subject: `credential:NAME`, `service:api/1`.
    pub subject: Option<String>,
    /// Only of this actor.
    pub actor: Option<String>,
    /// Only of this action.
    pub action: Option<String>,
    /// Entries, 1 to 1000; 50 when absent.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u64>,
}
