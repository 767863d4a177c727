//! The store on SQLite: one connection that writes in its own thread, a few that only read.
//!
//! Owns the division of labour; the SQL stands in `rows`, opening in `open`, the queue in `writer`.

mod fault;
mod ledger;
mod migrate;
pub(crate) mod offline;
mod open;
mod readers;
mod rows;
mod tail;
mod writer;

use crate::error::StoreError;
use crate::event::{Event, EventQuery, NewEvent, Retention};
use crate::store::{PortKey, Store, StoreHealth};
use fault::RowError;
use haus_model::ServiceName;
use readers::Readers;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use writer::Writer;

/// Events removed in one transaction, so that other writers wait for milliseconds only.
const PRUNE_STEP_ROWS: u32 = 5_000;

/// The store on SQLite. Dropping it writes what waits, then closes the file.
#[derive(Debug)]
pub struct SqliteStore {
    // The writer goes first, so that what waits is written; the last reader folds the log into the database.
    writer: Writer,
    readers: Readers,
    path: PathBuf,
}

impl SqliteStore {
    /// Opens or creates the database (0600) and brings it to the format of this version. Its folder must
    /// exist. Two processes must not open one file; the house's lock sees to that.
    ///
    /// # Errors
    /// When it cannot be opened or written, is damaged, foreign or newer. Nothing is changed then.
    pub fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        let connection = open::open_writer(path)?;
        let readers = Readers::open(path)?;
        let writer = Writer::start(connection, path.to_owned())?;
        Ok(SqliteStore { writer, readers, path: path.to_owned() })
    }

    /// Every fault that SQLite finds in the file; empty when it is sound. Reads the whole file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn integrity_check(&self) -> Result<Vec<String>, StoreError> {
        self.read("check the database", rows::integrity_check)
    }

    fn read<T>(
        &self,
        attempt: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, RowError>,
    ) -> Result<T, StoreError> {
        let connection = self.readers.take()?;
        work(&connection).map_err(|error| error.explain(&self.path, attempt))
    }
}

/// The files of a database: itself, its write-ahead log and the log's index.
fn files_of(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    })
}

impl Store for SqliteStore {
    fn append_events(&self, events: Vec<NewEvent>) -> Result<Vec<u64>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.write("keep events", move |connection, _| rows::append_events(connection, &events))
    }

    fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        self.read("read events", |connection| rows::events(connection, query))
    }

    fn prune_events(&self, keep: Retention) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let step = self.writer.write("prune events", move |connection, _| {
                rows::prune_events(connection, keep, PRUNE_STEP_ROWS)
            })?;
            removed += step;
            if step < u64::from(PRUNE_STEP_ROWS) {
                return Ok(removed);
            }
        }
    }

    fn allocate_port(&self, key: &PortKey, candidates: &[u16]) -> Result<u16, StoreError> {
        let (key, candidates) = (key.clone(), candidates.to_vec());
        self.writer
            .write("keep a port", move |connection, _| rows::allocate_port(connection, &key, &candidates))
    }

    fn set_port(&self, key: &PortKey, number: u16) -> Result<(), StoreError> {
        let key = key.clone();
        self.writer.write("keep a port", move |connection, _| rows::set_port(connection, &key, number))
    }

    fn ports(&self) -> Result<BTreeMap<PortKey, u16>, StoreError> {
        self.read("read ports", rows::ports)
    }

    fn forget_service(&self, service: &ServiceName) -> Result<(), StoreError> {
        let service = service.clone();
        self.writer.write("forget a service", move |connection, _| rows::forget_service(connection, &service))
    }

    fn prepared(&self) -> Result<BTreeMap<ServiceName, String>, StoreError> {
        self.read("read what is prepared", rows::prepared)
    }

    fn set_prepared(&self, service: &ServiceName, fingerprint: &str) -> Result<(), StoreError> {
        let (service, fingerprint) = (service.clone(), fingerprint.to_owned());
        self.writer.write("note what is prepared", move |connection, _| {
            rows::set_prepared(connection, &service, &fingerprint)
        })
    }

    fn next_run(&self, count: u32) -> Result<u64, StoreError> {
        self.writer.write("take run numbers", move |connection, _| rows::next_run(connection, count))
    }

    fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.read("read a setting", |connection| rows::setting(connection, key))
    }

    fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.writer.write("keep a setting", move |connection, _| rows::set_setting(connection, &key, &value))
    }

    fn health(&self) -> StoreHealth {
        let bytes =
            files_of(&self.path).iter().filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum();
        self.writer.health(bytes)
    }
}
