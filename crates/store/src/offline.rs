//! Reading the audit trail of a database that no coordinator has open: a copy, a backup, evidence.
//!
//! Changes nothing in the file and brings it to no other format. It takes nothing on trust either: the file
//! may come from somebody who wants to hide something, so what cannot be read is told and passed over, and
//! the columns that searches use are held against the entry. It does not verify the chain;
//! `haus_trail::Verifier` does.

use crate::error::StoreError;
use crate::sqlite::offline as sql;
use haus_trail::{Entry, Head, LineError};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Rows that are read at a time; a trail of millions must not stand in the memory.
const PAGE_ROWS: usize = 1_000;

/// The trail of a database file, opened for reading alone.
#[derive(Debug)]
pub struct Trail {
    connection: Connection,
    path: PathBuf,
    format: u32,
}

/// What stands in a row of the trail.
#[derive(Debug)]
pub enum TrailRow {
    /// An entry; whether it fits into the chain is for the verifier.
    Entry(Entry),
    /// An entry whose columns, by which searches find it, say something else than its body.
    Mislabelled {
        /// The entry as its body says it.
        entry: Entry,
        /// The columns that differ.
        columns: Vec<&'static str>,
    },
    /// A row that is no entry.
    Unreadable {
        /// The number in the row.
        seq: i64,
        /// Why it is none.
        error: LineError,
    },
}

impl Trail {
    /// Opens a copy of a database of format 2 or newer. A write-ahead log beside it (`PATH-wal`) belongs to
    /// it and is read too; without one nothing is written beside the file either.
    ///
    /// A file that a coordinator has open is read as it was at some moment, but copy it first: see
    /// `docs/formats/store.md`.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, of another program, or too old to have a trail.
    pub fn open(path: &Path) -> Result<Trail, StoreError> {
        let (connection, format) = sql::open(path)?;
        Ok(Trail { connection, path: path.to_owned(), format })
    }

    /// The format of the file.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// The head before the oldest entry, as the file says it: genesis unless it was pruned. Whoever changed
    /// the file can have changed this too; compare it with an anchor.
    ///
    /// # Errors
    /// When it cannot be read or is missing.
    pub fn start(&self) -> Result<Head, StoreError> {
        sql::start(&self.connection, &self.path)
    }

    /// All rows by their number. Ends after an error, which is one of the file and not of an entry.
    pub fn rows(&self) -> Rows<'_> {
        Rows { trail: self, after: None, page: VecDeque::new(), ended: false }
    }
}

/// The rows of a trail, see [`Trail::rows`].
#[derive(Debug)]
pub struct Rows<'a> {
    trail: &'a Trail,
    after: Option<i64>,
    page: VecDeque<(i64, TrailRow)>,
    ended: bool,
}

impl Iterator for Rows<'_> {
    type Item = Result<TrailRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() && !self.ended {
            match sql::page(&self.trail.connection, &self.trail.path, self.after, PAGE_ROWS) {
                Ok(page) => {
                    self.ended = page.len() < PAGE_ROWS;
                    self.page = page;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        let (seq, row) = self.page.pop_front()?;
        self.after = Some(seq);
        Some(Ok(row))
    }
}
