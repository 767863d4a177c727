//! `/api/watch`: changes of the registry with their revision, by long poll or as server-sent events.

use crate::registry::Instance;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegistryChange {
    /// Its revision.
    pub revision: u64,
    /// The service.
    pub service: String,
    /// `SERVICE/1` or `SERVICE/NAME`.
    pub id: String,
    /// `put` or `removed`.
    pub change: String,
    /// The instance as it is from here on; none when removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// Why it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Answer of `GET /api/watch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    /// Ask with `revision` = this for what follows.
    pub revision: u64,
    /// True when the log does not reach back that far: read `/api/services` again.
    pub reset: bool,
    /// Changes, oldest first.
    pub changes: Vec<RegistryChange>,
}

/// From where to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WatchQuery {
    /// The last revision that was seen; none for the one of now.
    #[param(minimum = 0)]
    pub revision: Option<u64>,
    /// Only changes of this service.
    pub service: Option<String>,
    /// Seconds to wait for a first change, at most 60; 30 when absent.
    #[param(minimum = 0, maximum = 60)]
    pub wait_s: Option<u64>,
}
