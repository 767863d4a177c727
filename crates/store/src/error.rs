//! What can go wrong with the store, told by what was attempted. Knows how SQLite's codes map to it.

use crate::ledger::Conflict;
use crate::store::PortKey;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the store could not do what was asked.
///
/// Can be cloned, because one failed commit answers every caller that took part in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file could not be opened or set up.
    #[error("could not open the database {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The disk, or a quota on it, is full. Reads go on; writes work again when there is space.
    #[error("no space left for the database {}; free some, nothing else is needed", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file or its file system cannot be written.
    #[error("the database {} is read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The content is damaged, or not what this program writes.
    #[error("the database {} is damaged ({what}); restore it from a backup or move it away", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file is a database, but of another program.
    #[error("{} is a database of another program (application id {found:#x})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its application id.
        found: i32,
    },
    /// Another program held the database for longer than we wait.
    #[error("the database {} is in use by another program", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The disk did not confirm a read or a write.
    #[error("the disk failed below the database {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The store was closed, or its writer has ended.
    #[error("the store is closed")]
    Closed,
    /// Written by a newer version of this program.
    #[error(
        "the database {} has format {found}, this version of haus knows up to {known}; \
         use the newer haus, or restore the backup from before its first start", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Format on disk.
        found: u32,
        /// Newest format that this program knows.
        known: u32,
    },
    /// Another slot has this port.
    #[error("port {number} is already kept for {holder}")]
    PortTaken {
        /// The number.
        number: u16,
        /// Who has it.
        holder: PortKey,
    },
    /// Every candidate is taken.
    #[error("no port left for {key}: all {tried} candidates are kept for others")]
    NoPort {
        /// Who asked.
        key: PortKey,
        /// How many numbers were offered.
        tried: usize,
    },
    /// A precondition of a batch does not hold. The store works and says no; nothing of the batch was done.
    #[error("{conflict}")]
    Conflict {
        /// Which one.
        conflict: Conflict,
    },
    /// More writes wait than the store takes. Nothing was done.
    #[error("the store is overloaded: {waiting} writes wait for the disk already; try again in a moment")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// There is no usable store, so nothing is answered that only a store may answer.
    #[error("the database cannot be used ({why}); mend that and start the coordinator again")]
    Unavailable {
        /// Why not, as it was told when the coordinator started.
        why: String,
    },
    /// A format from before the audit trail.
    #[error(
        "the database {} has format {found}, which keeps no audit trail; \
         it has one from the first start with this version of haus on", path.display()
    )]
    NoTrail {
        /// The file.
        path: PathBuf,
        /// Format on disk.
        found: u32,
    },
    /// Anything else that SQLite refuses.
    #[error("could not {attempt}")]
    Sql {
        /// What was attempted.
        attempt: &'static str,
        /// What SQLite says.
        #[source]
        source: Arc<rusqlite::Error>,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing the store itself.
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Full { .. } | StoreError::Busy { .. } | StoreError::Overloaded { .. } => true,
            StoreError::Open { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Foreign { .. }
            | StoreError::Io { .. }
            | StoreError::Closed
            | StoreError::Newer { .. }
            | StoreError::PortTaken { .. }
            | StoreError::NoPort { .. }
            | StoreError::Conflict { .. }
            | StoreError::Unavailable { .. }
            | StoreError::NoTrail { .. }
            | StoreError::Sql { .. } => false,
        }
    }

    /// Whether the store itself is well and only says no: the call cannot be done as it was asked.
    pub fn is_refusal(&self) -> bool {
        match self {
            StoreError::PortTaken { .. }
            | StoreError::NoPort { .. }
            | StoreError::Conflict { .. }
            | StoreError::Overloaded { .. } => true,
            // A value that the tables do not take, such as metadata that is no JSON. What a trigger refuses
            // is no value of a caller: the rules of the trail are broken, and that is a fault.
            StoreError::Sql { source, .. } => source.sqlite_error().is_some_and(|error| {
                error.code == rusqlite::ErrorCode::ConstraintViolation
                    && error.extended_code != rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER
            }),
            StoreError::Full { .. }
            | StoreError::Busy { .. }
            | StoreError::Open { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Foreign { .. }
            | StoreError::Io { .. }
            | StoreError::Closed
            | StoreError::Newer { .. }
            | StoreError::Unavailable { .. }
            | StoreError::NoTrail { .. } => false,
        }
    }
}
