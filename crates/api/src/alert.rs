//! `/api/alerts` and `/api/health/history`.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Its id.
    pub id: String,
    /// What is wrong: `service-offline`, `credential-expired`, …
    pub kind: String,
    /// With whom.
    pub subject: String,
    /// `info`, `warning` or `critical`.
    pub level: String,
    /// `pending`, `firing`, `suppressed`, `silenced`, `resolved`; `over` of one that is past.
    pub state: String,
    /// RFC 3339: since when it is wrong.
    pub since: String,
    /// RFC 3339: since when it is in this state.
    pub state_since: String,
    /// Why.
    pub why: String,
    /// Why nobody is told, when nobody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed_by: Option<String>,
    /// Who was told.
    pub told: Vec<String>,
    /// How often it came and went lately.
    pub flaps: u32,
}

/// Quiet that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// The service; none for all.
    pub service: Option<String>,
    /// RFC 3339.
    pub until: String,
    /// Why.
    pub why: String,
    /// Who asked.
    pub made_by: String,
}

/// Body of `POST /api/alerts/silences`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceRequest {
    /// The service; none for all.
    #[serde(default)]
    pub service: Option<String>,
    /// Seconds, at most 30 days.
    #[schema(minimum = 1, maximum = 2592000)]
    pub for_s: u64,
    /// Why.
    #[schema(min_length = 1, max_length = 512)]
    pub why: String,
}

/// An alert on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingDelivery {
    /// Stable over all tries.
    pub id: String,
    /// The receiver.
    pub receiver: String,
    /// The alert.
    pub alert: String,
    /// Tries so far.
    pub attempts: u32,
    /// RFC 3339.
    pub next_try: String,
    /// What failed last.
    pub why: Option<String>,
}

/// Query of `GET /api/alerts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AlertsQuery {
    /// `present` (the default) lists what is wrong, `past` what is over: the last hundred that anybody was
    /// told of, or would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(pattern = "^(present|past)$")]
    pub state: Option<String>,
}

/// Answer of `GET /api/alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alerts {
    /// Alerts, the newest first.
    pub alerts: Vec<Alert>,
    /// Quiet.
    pub silences: Vec<Silence>,
    /// Names of the plan's windows that are open now.
    pub maintenance: Vec<String>,
    /// Messages on their way.
    pub deliveries: Vec<PendingDelivery>,
}

/// One row of `GET /api/health/history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthChange {
    /// Its number.
    pub seq: u64,
    /// RFC 3339.
    pub at: String,
    /// The service.
    pub service: String,
    /// The instance; none for the service as a whole.
    pub instance: Option<String>,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// Why.
    pub why: String,
}

/// Which changes of health to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only of this service.
    pub service: Option<String>,
    /// RFC 3339: only at or after this time.
    #[param(format = DateTime)]
    pub since: Option<String>,
    /// RFC 3339: only before this time.
    #[param(format = DateTime)]
    pub until: Option<String>,
    /// Only rows with a smaller number: the next page.
    #[param(minimum = 0)]
    pub before_seq: Option<u64>,
    /// Rows, 1 to 1000; 50 when absent.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u64>,
}

/// Answer of `GET /api/health/history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthHistory {
    /// Changes, the newest first.
    pub changes: Vec<HealthChange>,
}
