//! The SQL of credentials without their values. Knows no version but the first.

use super::super::rows::{bound, parsed};
use super::{Result, conflict, name, service, versions, word};
use crate::ledger::{
    Conflict, CredentialChange, CredentialOrigin, CredentialQuery, CredentialRow, SortBy, VersionRow,
    VersionState,
};
use haus_model::{ServiceName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// The columns in the order of [`row`], of the table as `c`.
const COLUMNS: &str = "c.id, c.name, c.owner, c.kind, c.description, c.metadata, c.origin, c.version,
    c.rotation_required, c.rotate_days, c.expires_at_ms, c.rotation_count, c.created_at_ms, c.updated_at_ms,
    c.rotated_at_ms, c.last_used_at_ms, c.revision,
    (SELECT json_group_array(s.service ORDER BY s.place) FROM credential_scope s WHERE s.credential = c.id)";

fn row(row: &Row<'_>) -> Result<CredentialRow> {
    let (kind, origin, scope): (String, String, String) = (row.get(3)?, row.get(6)?, row.get(17)?);
    let scope: Vec<String> = serde_json::from_str(&scope)
        .map_err(|error| super::RowError::Odd(format!("scope of a credential: {error}")))?;
    Ok(CredentialRow {
        id: row.get(0)?,
        name: row.get(1)?,
        owner: service(row.get(2)?)?,
        kind: parsed(&kind)?,
        description: row.get(4)?,
        metadata: row.get(5)?,
        origin: word(&CredentialOrigin::ALL, CredentialOrigin::as_str, &origin)?,
        scope: scope.iter().map(|service| parsed(service)).collect::<Result<_>>()?,
        version: row.get(7)?,
        rotation_required: row.get(8)?,
        rotate_days: row.get(9)?,
        expires_at: row.get::<_, Option<i64>>(10)?.map(Timestamp),
        rotation_count: row.get(11)?,
        created_at: Timestamp(row.get(12)?),
        updated_at: Timestamp(row.get(13)?),
        rotated_at: Timestamp(row.get(14)?),
        last_used_at: row.get::<_, Option<i64>>(15)?.map(Timestamp),
        revision: row.get(16)?,
    })
}

fn label(owner: Option<&ServiceName>, name: &str) -> String {
    match owner {
        Some(owner) => format!("credential `{name}` of {owner}"),
        None => format!("credential `{name}`"),
    }
}

/// The revision of a credential; `Missing` when there is none of this id.
pub(super) fn revision(connection: &Connection, id: &str) -> Result<u64> {
    let found = connection
        .prepare_cached("SELECT revision FROM credential WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    found.map_or_else(|| missing(id), Ok)
}

fn missing<T>(id: &str) -> Result<T> {
    conflict(Conflict::Missing(format!("credential {id}")))
}

fn at_revision(found: u64, wanted: Option<u64>) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != found => conflict(Conflict::Revision(found)),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn create(connection: &Connection, new: &CredentialRow, first: &VersionRow) -> Result<()> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM credential WHERE name = ?1 AND coalesce(owner, '') = ?2")?
        .exists([&new.name, name(new.owner.as_ref()).unwrap_or_default()])?;
    if taken {
        return conflict(Conflict::Exists(label(new.owner.as_ref(), &new.name)));
    }
    if connection.prepare_cached("SELECT 1 FROM credential WHERE id = ?1")?.exists([&new.id])? {
        return conflict(Conflict::Exists(format!("credential {}", new.id)));
    }
    let fits =
        first.credential == new.id && first.version == new.version && first.state == VersionState::Current;
    if !fits {
        return conflict(Conflict::Missing(format!("the current version of credential {}", new.id)));
    }
    let insert = "INSERT INTO credential (id, name, owner, kind, description, metadata, origin, version,
           rotation_required, rotate_days, expires_at_ms, rotation_count, created_at_ms, updated_at_ms,
           rotated_at_ms, last_used_at_ms, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    connection.prepare_cached(insert)?.execute(params![
        new.id,
        new.name,
        name(new.owner.as_ref()),
        new.kind.as_str(),
        new.description,
        new.metadata,
        new.origin.as_str(),
        new.version,
        new.rotation_required,
        new.rotate_days,
        new.expires_at.map(|time| time.0),
        new.rotation_count,
        new.created_at.0,
        new.updated_at.0,
        new.rotated_at.0,
        new.last_used_at.map(|time| time.0),
        new.revision,
    ])?;
    put_scope(connection, &new.id, &new.scope)?;
    versions::add(connection, first)
}

fn put_scope(connection: &Connection, id: &str, scope: &[ServiceName]) -> Result<()> {
    connection.prepare_cached("DELETE FROM credential_scope WHERE credential = ?1")?.execute([id])?;
    // Whoever is named twice is in it once.
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO credential_scope (credential, service, place) VALUES (?1, ?2, ?3)",
    )?;
    for (place, service) in scope.iter().enumerate() {
        insert.execute(params![id, service.as_str(), place as i64])?;
    }
    Ok(())
}

/// Gives the row as it is afterwards.
pub(super) fn update(
    connection: &Connection,
    id: &str,
    if_revision: Option<u64>,
    change: &CredentialChange,
    at: Timestamp,
) -> Result<CredentialRow> {
    let Some(mut row) = by_id(connection, id)? else { return missing(id) };
    at_revision(row.revision, if_revision)?;
    change.apply(&mut row);
    row.updated_at = at;
    row.revision += 1;
    connection
        .prepare_cached(
            "UPDATE credential SET updated_at_ms = ?2, revision = ?3, description = ?4, metadata = ?5, kind = ?6,
               expires_at_ms = ?7, rotation_required = ?8, rotate_days = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            row.updated_at.0,
            row.revision,
            row.description,
            row.metadata,
            row.kind.as_str(),
            row.expires_at.map(|time| time.0),
            row.rotation_required,
            row.rotate_days,
        ])?;
    if let Some(scope) = &change.scope {
        put_scope(connection, id, scope)?;
        // Whoever is named twice is in it once, at its first place.
        let mut seen = std::collections::BTreeSet::new();
        row.scope.retain(|service| seen.insert(service.clone()));
    }
    Ok(row)
}

/// Scope, versions and rotations go with it, by their foreign keys.
pub(super) fn delete(connection: &Connection, id: &str, if_revision: Option<u64>) -> Result<()> {
    at_revision(revision(connection, id)?, if_revision)?;
    connection.prepare_cached("DELETE FROM credential WHERE id = ?1")?.execute([id])?;
    Ok(())
}

pub(super) fn used(connection: &Connection, ids: &[String], at: Timestamp) -> Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE credential SET last_used_at_ms = ?2
         WHERE id = ?1 AND (last_used_at_ms IS NULL OR last_used_at_ms < ?2)",
    )?;
    for id in ids {
        update.execute(params![id, at.0])?;
    }
    Ok(())
}

pub(super) fn by_id(connection: &Connection, id: &str) -> Result<Option<CredentialRow>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM credential c WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(row).transpose()
}

pub(super) fn by_name(
    connection: &Connection,
    owner: Option<&ServiceName>,
    wanted: &str,
) -> Result<Option<CredentialRow>> {
    let sql = format!("SELECT {COLUMNS} FROM credential c WHERE name = ?1 AND coalesce(owner, '') = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([wanted, name(owner).unwrap_or_default()])?;
    rows.next()?.map(row).transpose()
}

pub(super) fn list(connection: &Connection, query: &CredentialQuery) -> Result<(Vec<CredentialRow>, u64)> {
    let filter = "WHERE (?1 IS NULL OR EXISTS (SELECT 1 FROM credential_scope s
                           WHERE s.credential = c.id AND s.service = ?1))
           AND (?2 IS NULL OR c.kind = ?2) AND (?3 IS NULL OR c.name = ?3)
           AND (?4 IS NULL OR c.expires_at_ms < ?4)";
    let (service, kind) = (name(query.service.as_ref()), query.kind.map(haus_model::CredentialKind::as_str));
    let before = query.expires_before.map(|time| time.0);
    let count = format!("SELECT count(*) FROM credential c {filter}");
    let total = connection
        .prepare_cached(&count)?
        .query_row(params![service, kind, query.name, before], |row| row.get(0))?;
    // Every term turns round with `descending`, so that one order is exactly the other reversed.
    let way = if query.descending { "DESC" } else { "ASC" };
    let first = match query.sort_by {
        SortBy::Name => String::new(),
        SortBy::CreatedAt => format!("c.created_at_ms {way},"),
        SortBy::UpdatedAt => format!("c.updated_at_ms {way},"),
        SortBy::ExpiresAt => format!("c.expires_at_ms IS NULL {way}, c.expires_at_ms {way},"),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM credential c {filter}
         ORDER BY {first} c.name {way}, coalesce(c.owner, '') {way} LIMIT ?5 OFFSET ?6"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let (limit, skip) = (bound(query.limit), bound(query.skip));
    let rows = statement.query(params![service, kind, query.name, before, limit, skip])?;
    Ok((collect(rows)?, total))
}

pub(super) fn readable_by(connection: &Connection, service: &ServiceName) -> Result<Vec<CredentialRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM credential_scope r JOIN credential c ON c.id = r.credential
         WHERE r.service = ?1 ORDER BY c.name, coalesce(c.owner, '')"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    collect(statement.query([service.as_str()])?)
}

fn collect(mut rows: rusqlite::Rows<'_>) -> Result<Vec<CredentialRow>> {
    let mut found = Vec::new();
    while let Some(next) = rows.next()? {
        found.push(row(next)?);
    }
    Ok(found)
}
