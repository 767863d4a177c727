//! The SQL of versions and rotations: sealed bytes come, move through their states and are wiped.

use super::super::rows::bound;
use super::{Result, conflict, credentials, word};
use crate::ledger::{Conflict, RotationRow, VersionRow, VersionState};
use haus_model::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

const COLUMNS: &str = "credential, version, state, sealed, key_id, created_at_ms, valid_until_ms";

/// The times of a promotion.
pub(super) struct Promotion {
    pub(super) at: Timestamp,
    pub(super) previous_until: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
}

fn row(row: &Row<'_>) -> Result<VersionRow> {
    let state: String = row.get(2)?;
    Ok(VersionRow {
        credential: row.get(0)?,
        version: row.get(1)?,
        state: word(&VersionState::ALL, VersionState::as_str, &state)?,
        sealed: row.get(3)?,
        key_id: row.get(4)?,
        created_at: Timestamp(row.get(5)?),
        valid_until: row.get::<_, Option<i64>>(6)?.map(Timestamp),
    })
}

fn label(credential: &str, version: u64) -> String {
    format!("version {version} of credential {credential}")
}

/// The state of a version; `Missing` when there is none.
fn state(connection: &Connection, credential: &str, version: u64) -> Result<VersionState> {
    let found: Option<String> = connection
        .prepare_cached("SELECT state FROM credential_version WHERE credential = ?1 AND version = ?2")?
        .query_row(params![credential, version], |row| row.get(0))
        .optional()?;
    match found {
        Some(text) => word(&VersionState::ALL, VersionState::as_str, &text),
        None => conflict(Conflict::Missing(label(credential, version))),
    }
}

pub(super) fn add(connection: &Connection, new: &VersionRow) -> Result<()> {
    credentials::revision(connection, &new.credential)?;
    let taken = connection
        .prepare_cached(
            "SELECT version FROM credential_version
             WHERE credential = ?1 AND (version = ?2 OR (?3 AND state = 'current'))",
        )?
        .query_row(params![new.credential, new.version, new.state == VersionState::Current], |row| row.get(0))
        .optional()?;
    if let Some(taken) = taken {
        return conflict(Conflict::Exists(label(&new.credential, taken)));
    }
    let insert = format!("INSERT INTO credential_version ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    connection.prepare_cached(&insert)?.execute(params![
        new.credential,
        new.version,
        new.state.as_str(),
        new.sealed,
        new.key_id,
        new.created_at.0,
        new.valid_until.map(|time| time.0),
    ])?;
    Ok(())
}

pub(super) fn promote(
    connection: &Connection,
    credential: &str,
    version: u64,
    times: Promotion,
) -> Result<()> {
    match state(connection, credential, version)? {
        // A rotation that is resumed after a crash may come here twice.
        VersionState::Current => return Ok(()),
        VersionState::Retired => return conflict(Conflict::Used(label(credential, version))),
        VersionState::Pending | VersionState::Previous => {}
    }
    connection
        .prepare_cached(
            "UPDATE credential_version SET state = 'previous', valid_until_ms = ?2
             WHERE credential = ?1 AND state = 'current'",
        )?
        .execute(params![credential, times.previous_until.map(|time| time.0)])?;
    connection
        .prepare_cached(
            "UPDATE credential_version SET state = 'current', valid_until_ms = NULL
             WHERE credential = ?1 AND version = ?2",
        )?
        .execute(params![credential, version])?;
    connection
        .prepare_cached(
            "UPDATE credential SET version = ?2, rotation_required = 0, rotation_count = rotation_count + 1,
               rotated_at_ms = ?3, updated_at_ms = ?3, expires_at_ms = ?4, revision = revision + 1
             WHERE id = ?1",
        )?
        .execute(params![credential, version, times.at.0, times.expires_at.map(|time| time.0)])?;
    Ok(())
}

pub(super) fn retire(connection: &Connection, credential: &str, version: u64) -> Result<()> {
    match state(connection, credential, version)? {
        VersionState::Current => return conflict(Conflict::Used(label(credential, version))),
        VersionState::Retired => return Ok(()),
        VersionState::Pending | VersionState::Previous => {}
    }
    connection
        .prepare_cached(
            "UPDATE credential_version SET state = 'retired', sealed = zeroblob(0)
             WHERE credential = ?1 AND version = ?2",
        )?
        .execute(params![credential, version])?;
    Ok(())
}

pub(super) fn reseal(
    connection: &Connection,
    (credential, version): (&str, u64),
    from: &[u8],
    (to, key_id): (&[u8], &str),
) -> Result<()> {
    if state(connection, credential, version)? == VersionState::Retired {
        return conflict(Conflict::Missing(label(credential, version)));
    }
    let changed = connection
        .prepare_cached(
            "UPDATE credential_version SET sealed = ?4, key_id = ?5
             WHERE credential = ?1 AND version = ?2 AND sealed = ?3",
        )?
        .execute(params![credential, version, from, to, key_id])?;
    if changed == 0 {
        return conflict(Conflict::Revision(credentials::revision(connection, credential)?));
    }
    Ok(())
}

fn versions(connection: &Connection, rest: &str, parameters: impl Params) -> Result<Vec<VersionRow>> {
    let sql = format!("SELECT {COLUMNS} FROM credential_version {rest}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(next) = rows.next()? {
        found.push(row(next)?);
    }
    Ok(found)
}

pub(super) fn all(connection: &Connection, credential: &str) -> Result<Vec<VersionRow>> {
    versions(connection, "WHERE credential = ?1 ORDER BY version", [credential])
}

/// The current version, then those before it that still have their bytes.
pub(super) fn valid(connection: &Connection, credential: &str) -> Result<Vec<VersionRow>> {
    let rest = "WHERE credential = ?1 AND state IN ('current', 'previous')
        ORDER BY state = 'previous', version DESC";
    versions(connection, rest, [credential])
}

pub(super) fn not_under(connection: &Connection, key_id: &str, limit: usize) -> Result<Vec<VersionRow>> {
    let rest = "WHERE key_id <> ?1 AND state <> 'retired' ORDER BY credential, version LIMIT ?2";
    versions(connection, rest, params![key_id, bound(limit as u64)])
}

pub(super) fn put_rotation(connection: &Connection, new: &RotationRow) -> Result<()> {
    credentials::revision(connection, &new.credential)?;
    if new.ended_at.is_none() {
        let open: Option<String> = connection
            .prepare_cached(
                "SELECT id FROM rotation WHERE credential = ?1 AND ended_at_ms IS NULL AND id <> ?2",
            )?
            .query_row([&new.credential, &new.id], |row| row.get(0))
            .optional()?;
        if let Some(open) = open {
            return conflict(Conflict::Exists(format!("rotation {open} of credential {}", new.credential)));
        }
    }
    connection
        .prepare_cached(
            "INSERT INTO rotation (id, credential, began_at_ms, ended_at_ms, state) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET credential = excluded.credential, began_at_ms = excluded.began_at_ms,
               ended_at_ms = excluded.ended_at_ms, state = excluded.state",
        )?
        .execute(params![
            new.id,
            new.credential,
            new.began_at.0,
            new.ended_at.map(|time| time.0),
            new.state
        ])?;
    Ok(())
}

pub(super) fn rotations(connection: &Connection, credential: Option<&str>) -> Result<Vec<RotationRow>> {
    let which = match credential {
        Some(_) => "credential = ?1 ORDER BY began_at_ms DESC, id DESC",
        None => "ended_at_ms IS NULL AND ?1 IS NULL ORDER BY began_at_ms, id",
    };
    let sql = format!("SELECT id, credential, began_at_ms, ended_at_ms, state FROM rotation WHERE {which}");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([credential], |row| {
        Ok(RotationRow {
            id: row.get(0)?,
            credential: row.get(1)?,
            began_at: Timestamp(row.get(2)?),
            ended_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
            state: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
