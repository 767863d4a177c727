//! From SQLite's result codes to what they mean for the store. Knows no SQL.

use crate::error::StoreError;
use rusqlite::ErrorCode;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// What a piece of SQL work can end with, before file and attempt are known.
#[derive(Debug)]
pub(crate) enum RowError {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// The database answered, and the answer is no.
    Refused(StoreError),
    /// A row holds what no version of this program writes.
    Odd(String),
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> RowError {
        RowError::Sqlite(error)
    }
}

impl RowError {
    /// The error for the caller of the store.
    pub(crate) fn explain(self, path: &Path, attempt: &'static str) -> StoreError {
        match self {
            RowError::Sqlite(error) => explain(error, path, attempt),
            RowError::Refused(error) => error,
            RowError::Odd(what) => StoreError::Corrupt { path: path.to_owned(), what },
        }
    }
}

/// Sorts an error of SQLite by what a person would do about it.
pub(crate) fn explain(error: rusqlite::Error, path: &Path, attempt: &'static str) -> StoreError {
    let path = path.to_owned();
    let code = error.sqlite_error_code();
    // Codes of a foreign enum: whatever SQLite adds is a plain failure of the statement.
    #[allow(clippy::wildcard_enum_match_arm)]
    match code {
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt { path, what: error.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path },
        Some(ErrorCode::SystemIoFailure) if no_space_beside(&path) => StoreError::Full { path },
        Some(ErrorCode::SystemIoFailure) => StoreError::Io { path, source: Arc::new(error) },
        _ => StoreError::Sql { attempt, source: Arc::new(error) },
    }
}

/// The same while the file is being opened.
pub(crate) fn explain_open(error: rusqlite::Error, path: &Path) -> StoreError {
    let error = explain(error, path, "open the database");
    if let StoreError::Sql { source, .. } = error {
        return StoreError::Open { path: path.to_owned(), source };
    }
    error
}

/// The same for the file system calls of our own.
pub(crate) fn explain_file(error: std::io::Error, path: &Path) -> StoreError {
    let path = path.to_owned();
    #[allow(clippy::wildcard_enum_match_arm)]
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { path },
        ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
        _ => StoreError::Open { path, source: Arc::new(error) },
    }
}

// SQLite reports a full disk as a plain I/O failure when it meets it while growing the log's index or
// syncing, and does not hand the cause on. Asking the disk for one page more settles which it was.
fn no_space_beside(path: &Path) -> bool {
    use std::io::Write as _;
    let mut name = path.as_os_str().to_owned();
    name.push("-space");
    let name = Path::new(&name);
    let tried = std::fs::File::create(name)
        .and_then(|mut file| file.write_all(&[0; 4096]).and_then(|()| file.sync_all()));
    // A leftover is empty or one page, and the next try overwrites it.
    let _ = std::fs::remove_file(name);
    tried.is_err_and(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32, expected: &str) {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let explained = explain(error, Path::new("/no/such/folder/house.db"), "keep events");
        let name = format!("{explained:?}");
        assert_eq!(name.split([' ', '{']).next(), Some(expected), "{code}: {explained}");
    }

    #[test]
    fn codes_of_sqlite_are_sorted_by_what_helps() {
        use rusqlite::ffi;
        check(ffi::SQLITE_FULL, "Full");
        check(ffi::SQLITE_READONLY, "ReadOnly");
        check(ffi::SQLITE_READONLY_DBMOVED, "ReadOnly");
        check(ffi::SQLITE_CORRUPT, "Corrupt");
        check(ffi::SQLITE_NOTADB, "Corrupt");
        check(ffi::SQLITE_BUSY, "Busy");
        check(ffi::SQLITE_BUSY_SNAPSHOT, "Busy");
        check(ffi::SQLITE_IOERR_FSYNC, "Io");
        check(ffi::SQLITE_CONSTRAINT, "Sql");
        check(ffi::SQLITE_NOMEM, "Sql");
    }
}
