//! Rows of instances that registered by themselves.

use haus_model::{ServiceName, Timestamp};

/// An instance as it described itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedRow {
    /// The service.
    pub service: ServiceName,
    /// The instance's own id.
    pub instance: String,
    /// The number that it has in the registry; stays with the id.
    pub ordinal: u32,
    /// The registration, JSON.
    pub body: String,
    /// When it registered first.
    pub registered_at: Timestamp,
    /// When it registered or changed something last.
    pub updated_at: Timestamp,
}
