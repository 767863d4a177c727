//! A ledger that refuses everything: what stands in where the database cannot be used. Knows only why.
//!
//! Events and settings may be kept in memory for a while; credentials and the trail may not. Without them
//! nothing is handed out, and the answer says so at once.

use super::{
    AnnouncedRow, Batch, Committed, CredentialQuery, CredentialRow, DeliveryRow, EnrolmentRow, HealthQuery,
    HealthRow, IdempotentAnswer, Ledger, OnCommitted, RevocationRow, RotationRow, SessionRow, SigningKeyRow,
    SilenceRow, TrailQuery, VersionRow,
};
use crate::error::StoreError;
use haus_model::{ServiceName, Timestamp};
use haus_trail::{Entry, Head, NewEntry};

/// Refuses every call with [`StoreError::Unavailable`].
#[derive(Clone, Debug)]
pub struct ClosedLedger {
    why: String,
}

impl ClosedLedger {
    /// A ledger that is closed for this reason.
    pub fn new(why: impl Into<String>) -> ClosedLedger {
        ClosedLedger { why: why.into() }
    }

    fn refuse<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Unavailable { why: self.why.clone() })
    }
}

impl Ledger for ClosedLedger {
    fn submit(&self, _: Batch, done: OnCommitted) {
        done(self.refuse());
    }
    fn commit(&self, _: Batch) -> Result<Committed, StoreError> {
        self.refuse()
    }
    fn trail_head(&self) -> Result<Head, StoreError> {
        self.refuse()
    }
    fn trail_start(&self) -> Result<Head, StoreError> {
        self.refuse()
    }
    fn trail(&self, _: &TrailQuery) -> Result<Vec<Entry>, StoreError> {
        self.refuse()
    }
    fn prune_trail(&self, _: Timestamp, _: NewEntry) -> Result<u64, StoreError> {
        self.refuse()
    }
    fn credential(&self, _: &str) -> Result<Option<CredentialRow>, StoreError> {
        self.refuse()
    }
    fn credential_named(
        &self,
        _: Option<&ServiceName>,
        _: &str,
    ) -> Result<Option<CredentialRow>, StoreError> {
        self.refuse()
    }
    fn credentials(&self, _: &CredentialQuery) -> Result<(Vec<CredentialRow>, u64), StoreError> {
        self.refuse()
    }
    fn versions(&self, _: &str) -> Result<Vec<VersionRow>, StoreError> {
        self.refuse()
    }
    fn readable_by(&self, _: &ServiceName) -> Result<Vec<(CredentialRow, Vec<VersionRow>)>, StoreError> {
        self.refuse()
    }
    fn versions_not_under(&self, _: &str, _: usize) -> Result<Vec<VersionRow>, StoreError> {
        self.refuse()
    }
    fn rotations(&self, _: Option<&str>) -> Result<Vec<RotationRow>, StoreError> {
        self.refuse()
    }
    fn enrolment(&self, _: &[u8; 32]) -> Result<Option<EnrolmentRow>, StoreError> {
        self.refuse()
    }
    fn enrolments(&self, _: Timestamp) -> Result<Vec<EnrolmentRow>, StoreError> {
        self.refuse()
    }
    fn session_of(&self, _: &[u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        self.refuse()
    }
    fn sessions(&self, _: Timestamp) -> Result<Vec<SessionRow>, StoreError> {
        self.refuse()
    }
    fn revocations(&self) -> Result<Vec<RevocationRow>, StoreError> {
        self.refuse()
    }
    fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        self.refuse()
    }
    fn announced(&self) -> Result<Vec<AnnouncedRow>, StoreError> {
        self.refuse()
    }
    fn health_history(&self, _: &HealthQuery) -> Result<Vec<HealthRow>, StoreError> {
        self.refuse()
    }
    fn alert_state(&self) -> Result<Option<String>, StoreError> {
        self.refuse()
    }
    fn deliveries(&self) -> Result<Vec<DeliveryRow>, StoreError> {
        self.refuse()
    }
    fn silences(&self, _: Timestamp) -> Result<Vec<SilenceRow>, StoreError> {
        self.refuse()
    }
    fn idempotent(&self, _: &str, _: &str) -> Result<Option<IdempotentAnswer>, StoreError> {
        self.refuse()
    }
    fn sweep(&self, _: Timestamp, _: Timestamp) -> Result<u64, StoreError> {
        self.refuse()
    }
}
