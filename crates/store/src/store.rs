//! The port: what the coordinator may ask of its memory, and what it can rely on. Knows no database.

use crate::error::StoreError;
use crate::event::{Event, EventQuery, NewEvent, Retention};
use haus_model::{PortName, ServiceName, Timestamp};
use std::collections::BTreeMap;
use std::fmt;

/// One port of one slot of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// The service.
    pub service: ServiceName,
    /// The slot, counted from 1.
    pub ordinal: u32,
    /// The port's name.
    pub port: PortName,
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} port {}", self.service, self.ordinal, self.port)
    }
}

/// How the store itself is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreHealth {
    /// Whether the last write succeeded (true before the first).
    pub writable: bool,
    /// Why the last write that failed did; stays after the store has recovered.
    pub last_error: Option<String>,
    /// Since when `writable` is what it is.
    pub since: Timestamp,
    /// Writes that wait at this moment.
    pub queue_len: usize,
    /// Bytes on disk, all files of the store together; 0 where nothing is on disk.
    pub bytes: u64,
}

/// The coordinator's memory.
///
/// **Durability.** When a writing call returns `Ok`, its effect survives the end of the process and, for
/// stores on disk, the loss of power. When it returns `Err`, nothing of it is visible to later reads; only
/// after [`StoreError::Io`] (the disk did not confirm) may a crash bring it back.
///
/// **Atomicity and order.** A call takes effect as a whole or not at all, and one failing call never takes
/// another with it. Calls of one thread take effect in their order; a read sees every write that returned
/// before it began. Concurrent writes are ordered somehow, and that order is the order of the numbers.
///
/// **Idempotence.** All `set_*`, `allocate_port`, `forget_service` and `prune_events` may be repeated.
/// `append_events` and `next_run` may not: each call gives new numbers, so a caller that repeats one after
/// an error may leave a gap, or after [`StoreError::Io`] a double.
///
/// **Threads.** Every call may come from any thread and blocks, a write until the disk confirms. Callers on
/// an asynchronous runtime move it off there. Nothing is retried inside except waiting for a lock.
pub trait Store: Send + Sync {
    /// Keeps events, all or none, and returns their numbers in the order given.
    ///
    /// # Errors
    /// When they could not be kept.
    fn append_events(&self, events: Vec<NewEvent>) -> Result<Vec<u64>, StoreError>;

    /// Reads events. Not held up by writes.
    ///
    /// # Errors
    /// When the store cannot be read or holds what no version of it writes.
    fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError>;

    /// Removes events as told and returns how many. Their numbers are not used again.
    ///
    /// # Errors
    /// When they could not be removed.
    fn prune_events(&self, keep: Retention) -> Result<u64, StoreError>;

    /// The number kept for `key`; when there is none, the first of `candidates` that no other key has,
    /// which is then kept. Whether anybody listens there is the caller's question.
    ///
    /// # Errors
    /// [`StoreError::NoPort`] when every candidate is taken.
    fn allocate_port(&self, key: &PortKey, candidates: &[u16]) -> Result<u16, StoreError>;

    /// Keeps this number for `key`, in place of the one it had.
    ///
    /// # Errors
    /// [`StoreError::PortTaken`] when another key has it.
    fn set_port(&self, key: &PortKey, number: u16) -> Result<(), StoreError>;

    /// All kept numbers. No number stands twice.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn ports(&self) -> Result<BTreeMap<PortKey, u16>, StoreError>;

    /// Frees the ports of a service and forgets that it was prepared. Its events stay: they are history.
    ///
    /// # Errors
    /// When it could not be written.
    fn forget_service(&self, service: &ServiceName) -> Result<(), StoreError>;

    /// The fingerprint of what was prepared, by service.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn prepared(&self) -> Result<BTreeMap<ServiceName, String>, StoreError>;

    /// Notes that a service is prepared.
    ///
    /// # Errors
    /// When it could not be written.
    fn set_prepared(&self, service: &ServiceName, fingerprint: &str) -> Result<(), StoreError>;

    /// Takes `count` run numbers and returns the first: that many in a row, from 1 upwards, never given
    /// before, also not before a restart.
    ///
    /// # Errors
    /// When it could not be written; the numbers may then be lost, which leaves a gap.
    fn next_run(&self, count: u32) -> Result<u64, StoreError>;

    /// A small text by its key.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn setting(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// Keeps a small text.
    ///
    /// # Errors
    /// When it could not be written.
    fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError>;

    /// How the store is. Never waits for a write.
    fn health(&self) -> StoreHealth;
}
