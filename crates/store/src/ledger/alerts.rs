//! Rows of the history of health, of alerts on their way and of silences.

use haus_model::{ServiceName, Timestamp};

/// One change of health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRow {
    /// Grows by one per row; 0 when it is appended.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The service.
    pub service: ServiceName,
    /// The instance, `api/1` or the id that it gave itself; none for the service as a whole.
    pub instance: Option<String>,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// Why.
    pub why: String,
}

/// What to read of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthQuery {
    /// Only of this service.
    pub service: Option<ServiceName>,
    /// Only at or after this time.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
    /// Only rows with a smaller number: the next page.
    pub before_seq: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// An alert on its way to one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Stable over all tries.
    pub id: String,
    /// The receiver.
    pub receiver: String,
    /// Message and schedule, JSON.
    pub state: String,
    /// When it is tried next.
    pub due_at: Timestamp,
}

/// Quiet that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRow {
    /// Its id.
    pub id: String,
    /// The service; none for all.
    pub service: Option<ServiceName>,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub why: String,
    /// Who asked.
    pub made_by: String,
    /// When.
    pub created_at: Timestamp,
}
