//! Opening connections: the settings that every one of them gets, and why.

use super::fault::{explain, explain_file, explain_open};
use super::migrate;
use crate::error::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection waits for a lock that a foreign program holds (a `sqlite3` shell, a backup).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long emptying the log may wait for readers, and everybody for it.
const LOG_WAIT: Duration = Duration::from_millis(200);
/// After a burst the write-ahead log is cut down to this.
const LOG_BYTES_KEPT: i64 = 16 << 20;
/// Pages of the log at which it is folded into the database: a page that is written again and again goes
/// there once. Together with its frames they are fewer than [`LOG_BYTES_KEPT`], so the log is overwritten
/// where it is and its size stays.
const LOG_PAGES_MAX: i64 = 3_500;
/// Compiled statements that a connection keeps; there are fewer texts than that.
const STATEMENTS_KEPT: usize = 128;

/// The connection that writes; creates the file and brings it to the newest format.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    create_private(path)?;
    let mut connection = connect(path).map_err(|error| explain_open(error, path))?;
    // Nothing may be changed, not even the journal mode, before we know that the file is ours.
    let format = migrate::format_on_disk(&connection, path)?;
    set_up_writing(&connection).map_err(|error| explain_open(error, path))?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))
        .map_err(|error| explain_open(error, path))?;
    if mode != "wal" {
        let reason = format!("the file system cannot carry a write-ahead log (journal mode is {mode})");
        return Err(StoreError::Open { path: path.to_owned(), source: Arc::from(Box::from(reason)) });
    }
    migrate::migrate(&mut connection, path, format)?;
    Ok(connection)
}

/// A connection that only reads. In WAL mode it neither waits for the writer nor holds it up.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let connection = connect(path)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    open().map_err(|error| explain_open(error, path))
}

/// Folds the log into the database and cuts it to nothing, so that what was wiped there does not stand in
/// older copies of its pages. Does nothing while somebody reads: the next time will do.
pub(crate) fn empty_the_log(path: &Path) -> Result<(), StoreError> {
    let empty = || {
        let connection = connect(path)?;
        // While it waits for readers, it keeps the writer out.
        connection.busy_timeout(LOG_WAIT)?;
        // Busy is an answer here, in the first column, and no error.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
    };
    match empty() {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        outcome => outcome.map_err(|error| explain(error, path, "empty the log of the database")),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // No URI names and no creation: the path is taken literally, and the file was made with our mode.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Sorting must work when the disk is full.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn set_up_writing(connection: &Connection) -> rusqlite::Result<()> {
    // FULL syncs the log at each commit; NORMAL would lose acknowledged writes with the power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten with zeros, in pages that become free too: a sealed value whose version
    // ended must not lie there for whoever gets the file and, some day, the key. FAST leaves free pages as
    // they are. Pruning 100,000 rows took 0.16 s instead of 0.14 s, small writes the same.
    connection.query_row("PRAGMA secure_delete = ON", (), |_| Ok(()))?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {LOG_BYTES_KEPT}"), (), |_| Ok(()))?;
    connection.query_row(&format!("PRAGMA wal_autocheckpoint = {LOG_PAGES_MAX}"), (), |_| Ok(()))
}

// SQLite would create the file with the process's umask; the log and its index then inherit its mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Ok(_) => {
            // The name must survive a loss of power like the content.
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|f| f.sync_all()).map_err(|error| explain_file(error, path))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => may_write(path),
        Err(error) => Err(explain_file(error, path)),
    }
}

// SQLite says no more than "unable to open" here. The file is asked about, not opened: closing it again would
// drop the locks of any other connection that this process has to it.
fn may_write(path: &Path) -> Result<(), StoreError> {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(|errno| explain_file(errno.into(), path))
}
