//! A few reading connections, handed out one at a time. Knows no SQL.

use super::open::open_reader;
use crate::error::StoreError;
use rusqlite::Connection;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// More readers than this wait: each connection costs memory and a page cache of its own.
const READERS_MAX: usize = 4;

#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Debug)]
struct Pool {
    idle: Vec<Connection>,
    opened: usize,
}

impl Readers {
    /// Opens the first connection, so that reading works from now on even where opening a file does not.
    pub(crate) fn open(path: &Path) -> Result<Readers, StoreError> {
        let pool = Pool { idle: vec![open_reader(path)?], opened: 1 };
        Ok(Readers { path: path.to_owned(), pool: Mutex::new(pool), returned: Condvar::new() })
    }

    /// A connection for one piece of work; waits when all are in use.
    pub(crate) fn take(&self) -> Result<Reader<'_>, StoreError> {
        let mut pool = self.pool();
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(Reader { readers: self, connection: Some(connection) });
            }
            if pool.opened < READERS_MAX {
                pool.opened += 1;
                drop(pool);
                return self.open_another();
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open_another(&self) -> Result<Reader<'_>, StoreError> {
        match open_reader(&self.path) {
            Ok(connection) => Ok(Reader { readers: self, connection: Some(connection) }),
            Err(error) => {
                self.pool().opened -= 1;
                self.returned.notify_one();
                Err(error)
            }
        }
    }

    // The pool is consistent between any two statements here, so a poisoned lock carries no damage.
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A borrowed connection; goes back by itself.
pub(crate) struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Deref for Reader<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a reader has its connection until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.readers.pool().idle.extend(self.connection.take());
        self.readers.returned.notify_one();
    }
}
