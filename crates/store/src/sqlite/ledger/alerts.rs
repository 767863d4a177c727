//! The SQL of the history of health, of alerts and of silences.

use super::super::rows::{bound, parsed};
use super::{Result, conflict, name, service};
use crate::ledger::{Conflict, DeliveryRow, HealthQuery, HealthRow, SilenceRow};
use haus_model::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) fn append_health(connection: &Connection, new: &HealthRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO health_change (at_ms, service, instance, from_state, to_state, why)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![new.at.0, new.service.as_str(), new.instance, new.from, new.to, new.why])?;
    Ok(())
}

pub(super) fn health(connection: &Connection, query: &HealthQuery) -> Result<Vec<HealthRow>> {
    // Two texts instead of one with `OR`, which would keep SQLite from using the index.
    let which = if query.service.is_some() { "service = ?1" } else { "?1 IS NULL" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT seq, at_ms, service, instance, from_state, to_state, why FROM health_change
         WHERE {which} AND at_ms >= ?2 AND at_ms < ?3 AND seq < ?4 ORDER BY seq DESC LIMIT ?5"
    ))?;
    let mut rows = statement.query(params![
        name(query.service.as_ref()),
        query.since.map_or(i64::MIN, |time| time.0),
        query.until.map_or(i64::MAX, |time| time.0),
        query.before_seq.map_or(i64::MAX, bound),
        bound(query.limit as u64),
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let service: String = row.get(2)?;
        found.push(HealthRow {
            seq: row.get(0)?,
            at: Timestamp(row.get(1)?),
            service: parsed(&service)?,
            instance: row.get(3)?,
            from: row.get(4)?,
            to: row.get(5)?,
            why: row.get(6)?,
        });
    }
    Ok(found)
}

pub(super) fn put_state(connection: &Connection, text: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO alert_state (only, body) VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET body = ?1",
        )?
        .execute([text])?;
    Ok(())
}

pub(super) fn state(connection: &Connection) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT body FROM alert_state")?;
    Ok(statement.query_row((), |row| row.get(0)).optional()?)
}

pub(super) fn put_delivery(connection: &Connection, new: &DeliveryRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO delivery (id, receiver, state, due_at_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET receiver = excluded.receiver, state = excluded.state,
               due_at_ms = excluded.due_at_ms",
        )?
        .execute(params![new.id, new.receiver, new.state, new.due_at.0])?;
    Ok(())
}

pub(super) fn delete_delivery(connection: &Connection, id: &str) -> Result<()> {
    connection.prepare_cached("DELETE FROM delivery WHERE id = ?1")?.execute([id])?;
    Ok(())
}

pub(super) fn deliveries(connection: &Connection) -> Result<Vec<DeliveryRow>> {
    let mut statement = connection
        .prepare_cached("SELECT id, receiver, state, due_at_ms FROM delivery ORDER BY due_at_ms, id")?;
    let rows = statement.query_map((), |row| {
        Ok(DeliveryRow {
            id: row.get(0)?,
            receiver: row.get(1)?,
            state: row.get(2)?,
            due_at: Timestamp(row.get(3)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn put_silence(connection: &Connection, new: &SilenceRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO silence (id, service, until_ms, why, made_by, created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET service = excluded.service, until_ms = excluded.until_ms,
               why = excluded.why, made_by = excluded.made_by, created_at_ms = excluded.created_at_ms",
        )?
        .execute(params![
            new.id,
            name(new.service.as_ref()),
            new.until.0,
            new.why,
            new.made_by,
            new.created_at.0
        ])?;
    Ok(())
}

pub(super) fn delete_silence(connection: &Connection, id: &str) -> Result<()> {
    let gone = connection.prepare_cached("DELETE FROM silence WHERE id = ?1")?.execute([id])?;
    if gone == 0 {
        return conflict(Conflict::Missing(format!("silence {id}")));
    }
    Ok(())
}

pub(super) fn silences(connection: &Connection, now: Timestamp) -> Result<Vec<SilenceRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, service, until_ms, why, made_by, created_at_ms FROM silence WHERE until_ms > ?1
         ORDER BY until_ms, id",
    )?;
    let mut rows = statement.query([now.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(SilenceRow {
            id: row.get(0)?,
            service: service(row.get(1)?)?,
            until: Timestamp(row.get(2)?),
            why: row.get(3)?,
            made_by: row.get(4)?,
            created_at: Timestamp(row.get(5)?),
        });
    }
    Ok(found)
}
