//! The coordinator's memory, behind two ports.
//!
//! [`Store`] keeps what the house can do without for a while: events, port numbers, what was prepared, run
//! numbers, small settings. [`Ledger`] keeps what must not be lost or forged: credentials, tokens,
//! registrations, alerts and the audit trail. [`SqliteStore`] is both, in one file with one writer;
//! [`MemoryStore`] is the fake of the first, [`ClosedLedger`] the second that refuses everything. The suites
//! in `haus-testkit` hold them to their contracts. This crate knows no HTTP, no plan, no rule about when
//! something is recorded, and neither values nor tokens: only sealed bytes and hashes.

mod error;
mod event;
pub mod ledger;
mod memory;
pub mod offline;
mod sqlite;
mod store;

pub use error::StoreError;
pub use event::{Event, EventKind, EventQuery, NewEvent, Retention};
pub use ledger::{
    AnnouncedRow, Batch, ClosedLedger, Committed, Conflict, CredentialChange, CredentialOrigin,
    CredentialQuery, CredentialRow, DeliveryRow, EnrolmentRow, HealthQuery, HealthRow, IdempotentAnswer,
    Ledger, OnCommitted, RevocationRow, RotationRow, SessionRow, SigningKeyRow, SilenceRow, SortBy,
    TrailQuery, VersionRow, VersionState, Write,
};
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use store::{PortKey, Store, StoreHealth};
