//! The SQL below [`crate::offline`]: a file that may be hostile, opened without touching it.

use super::fault::{explain, explain_open};
use super::files_of;
use super::ledger::trail;
use super::migrate;
use crate::error::StoreError;
use crate::offline::TrailRow;
use haus_trail::{Entry, Hash, Head};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

const ATTEMPT: &str = "read the trail";
/// The format that brought the trail.
const FIRST_FORMAT: u32 = 2;

/// The connection and the format of the file.
pub(crate) fn open(path: &Path) -> Result<(Connection, u32), StoreError> {
    // Without a log the file is all there is. Told so, SQLite neither locks it nor lays files beside it, and
    // a folder that cannot be written does.
    let [_, log, _] = files_of(path);
    let has_log = log.metadata().is_ok_and(|file| file.len() > 0);
    let connection = connect(path, !has_log).map_err(|error| explain_open(error, path))?;
    let format = migrate::format_as_it_says(&connection, path);
    if has_log && let Err(StoreError::Open { path, .. }) = &format {
        let reason = format!(
            "it has a log, {}, which takes a folder that can be written to be read; \
             copy both there, or one file made with `sqlite3 house.db '.backup COPY'`",
            log.display()
        );
        return Err(StoreError::Open { path: path.clone(), source: Arc::from(Box::from(reason)) });
    }
    let format = format?;
    if format < FIRST_FORMAT {
        return Err(StoreError::NoTrail { path: path.to_owned(), found: format });
    }
    // A view or a table without its key could give rows in an order, or a number, of its own.
    let sound: bool = connection
        .query_row(
            "SELECT count(*) = 1 FROM sqlite_schema s, pragma_table_info('trail') c
             WHERE s.name = 'trail' AND s.type = 'table' AND c.name = 'seq' AND c.type = 'INTEGER' AND c.pk = 1
               AND s.rootpage > 0 AND s.sql NOT LIKE '%WITHOUT%ROWID%'",
            (),
            |row| row.get(0),
        )
        .map_err(|error| explain_open(error, path))?;
    if !sound {
        let what = "it has no table `trail` with the key `seq`".to_owned();
        return Err(StoreError::Corrupt { path: path.to_owned(), what });
    }
    Ok((connection, format))
}

fn connect(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path, immutable), flags)?;
    // The schema of the file may be a trap: no functions in it, and pages are checked before they are
    // believed.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// The path as SQLite's URI: every byte that could mean something is escaped.
fn uri(path: &Path, immutable: bool) -> String {
    let mut text = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text.push_str(if immutable { "?immutable=1" } else { "?mode=ro" });
    text
}

pub(crate) fn start(connection: &Connection, path: &Path) -> Result<Head, StoreError> {
    trail::start(connection).map_err(|error| error.explain(path, ATTEMPT))
}

/// The next rows after a number.
pub(crate) fn page(
    connection: &Connection,
    path: &Path,
    after: Option<i64>,
    limit: usize,
) -> Result<VecDeque<(i64, TrailRow)>, StoreError> {
    let read = || {
        // Two texts: there is no number below the lowest one that could stand for "from the beginning".
        let which = if after.is_some() { "seq > ?1" } else { "?1 IS NULL" };
        let sql =
            format!("SELECT {} FROM trail NOT INDEXED WHERE {which} ORDER BY seq LIMIT ?2", trail::COLUMNS);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(rusqlite::params![after, limit as i64])?;
        let mut found = VecDeque::new();
        while let Some(row) = rows.next()? {
            found.push_back((row.get(0)?, trail_row(row)?));
        }
        Ok(found)
    };
    read().map_err(|error: rusqlite::Error| explain(error, path, ATTEMPT))
}

fn trail_row(row: &Row<'_>) -> rusqlite::Result<TrailRow> {
    let seq: i64 = row.get(0)?;
    // What is of another type than the table says cannot be an entry; an empty body says so in the one way
    // that the verifier knows.
    let hash = |at| -> rusqlite::Result<Option<Hash>> {
        let ValueRef::Blob(bytes) = row.get_ref(at)? else { return Ok(None) };
        Ok(<[u8; 32]>::try_from(bytes).ok().map(Hash))
    };
    let body = row.get_ref(6)?.as_str().unwrap_or_default();
    let read = match (u64::try_from(seq), hash(7)?, hash(8)?) {
        (Ok(number), Some(prev), Some(hash)) => Entry::from_body(number, body, prev, hash),
        _ => Entry::from_body(0, "", Hash::GENESIS, Hash::GENESIS),
    };
    let entry = match read {
        Ok(entry) => entry,
        Err(error) => return Ok(TrailRow::Unreadable { seq, error }),
    };
    let columns = trail::differing(row, &entry.entry)?;
    Ok(if columns.is_empty() { TrailRow::Entry(entry) } else { TrailRow::Mislabelled { entry, columns } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: &str) {
        assert_eq!(uri(Path::new(path), true), expected);
    }

    #[test]
    fn a_path_is_taken_literally() {
        check("/a/house.db", "file:/a/house.db?immutable=1");
        check("/a?mode=rwc#%/ü", "file:/a%3Fmode%3Drwc%23%25/%C3%BC?immutable=1");
    }
}
