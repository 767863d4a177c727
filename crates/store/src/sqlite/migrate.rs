//! Brings a database to the newest format, one numbered step after the other, each in one transaction.
//!
//! The number in `user_version` and the tables change together, so a crash leaves one format or the other.

use super::fault::explain_open;
use crate::error::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// The steps; step N leads to format N. Released steps never change, new ones are added at the end.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_first.sql"),
    include_str!("../../migrations/0002_ledger.sql"),
    include_str!("../../migrations/0003_trail_blocks.sql"),
];

/// `HAUS` in ASCII, in SQLite's `application_id`.
const APPLICATION_ID: i32 = 0x4841_5553;

/// The format of this version.
pub(crate) fn newest_format() -> u32 {
    MIGRATIONS.len() as u32
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.query_row(pragma, (), |row| row.get(0))
}

/// Reads the format on disk without changing anything; 0 for an empty file. Refuses one that is newer.
pub(crate) fn format_on_disk(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let found = format_as_it_says(connection, path)?;
    let known = newest_format();
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

/// The same with any format.
pub(crate) fn format_as_it_says(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let read = |pragma| number(connection, pragma).map_err(|error| explain_open(error, path));
    let application = read("SELECT application_id FROM pragma_application_id")?;
    let tables = read("SELECT count(*) FROM sqlite_schema")?;
    if application != i64::from(APPLICATION_ID) && (application != 0 || tables > 0) {
        return Err(StoreError::Foreign { path: path.to_owned(), found: application as i32 });
    }
    Ok(read("SELECT user_version FROM pragma_user_version")? as u32)
}

/// Applies every step above `format`.
pub(crate) fn migrate(connection: &mut Connection, path: &Path, format: u32) -> Result<(), StoreError> {
    for (index, script) in MIGRATIONS.iter().enumerate().skip(format as usize) {
        step(connection, script, index + 1).map_err(|error| explain_open(error, path))?;
    }
    Ok(())
}

fn step(connection: &mut Connection, script: &str, format: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(script)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", format as u32)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_file_is_embedded_in_its_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        assert_eq!(texts, MIGRATIONS);
        for (index, file) in files.iter().enumerate() {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(name.starts_with(&format!("{:04}_", index + 1)), "{name}");
        }
    }
}
