//! The coordinator's memory: events, port numbers, what was prepared, run numbers, small settings.
//!
//! [`Store`] is the port; [`SqliteStore`] keeps it on disk, [`MemoryStore`] is the fake for tests. Both pass
//! the suite in `haus-testkit`. This crate knows no HTTP, no plan and no rule about when something is
//! recorded; it does not choose port numbers either, it only keeps the choice.

mod error;
mod event;
mod memory;
mod sqlite;
mod store;

pub use error::StoreError;
pub use event::{Event, EventKind, EventQuery, NewEvent, Retention};
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use store::{PortKey, Store, StoreHealth};
