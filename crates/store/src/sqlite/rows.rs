//! The SQL: rows to types and back. Every function works inside a transaction or on a reading connection
//! that its caller holds; none of them begins or ends one.

use super::fault::RowError;
use crate::error::StoreError;
use crate::event::{Event, EventQuery, NewEvent, Retention};
use crate::store::PortKey;
use haus_model::{ServiceName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

type Result<T> = std::result::Result<T, RowError>;

pub(crate) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|error| RowError::Odd(format!("{error}")))
}

// Numbers are kept as 64 bits with a sign; a bound above that is no bound.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn append_events(connection: &Connection, events: &[NewEvent]) -> Result<Vec<u64>> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO event (at_ms, kind, subject, from_state, to_state, why, details)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut numbers = Vec::with_capacity(events.len());
    for event in events {
        let details = event.details.as_ref().map(serde_json::to_string).transpose();
        let details = details.map_err(|error| RowError::Odd(format!("details of an event: {error}")))?;
        let NewEvent { at, kind, subject, from, to, why, details: _ } = event;
        let seq = statement.insert(params![at.0, kind.as_str(), subject, from, to, why, details])?;
        numbers.push(seq as u64);
    }
    Ok(numbers)
}

pub(crate) fn events(connection: &Connection, query: &EventQuery) -> Result<Vec<Event>> {
    let mut sql = String::from(
        "SELECT seq, at_ms, kind, subject, from_state, to_state, why, details FROM event
         WHERE seq > ?1 AND seq < ?2 AND at_ms >= ?3",
    );
    // Two texts of the statement instead of one with `OR`, which would keep SQLite from using the index.
    if query.service.is_some() {
        sql.push_str(" AND service = ?4");
    } else {
        sql.push_str(" AND ?4 IS NULL");
    }
    sql.push_str(if query.newest_first { " ORDER BY seq DESC LIMIT ?5" } else { " ORDER BY seq LIMIT ?5" });
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        query.after_seq.map_or(-1, bound),
        query.before_seq.map_or(i64::MAX, bound),
        query.since.map_or(i64::MIN, |time| time.0),
        query.service.as_ref().map(ServiceName::as_str),
        bound(query.limit as u64),
    ])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(row)?);
    }
    Ok(events)
}

fn event(row: &Row<'_>) -> Result<Event> {
    let seq: i64 = row.get(0)?;
    let kind: String = row.get(2)?;
    let details: Option<String> = row.get(7)?;
    let details = details.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Event {
        seq: seq as u64,
        at: Timestamp(row.get(1)?),
        kind: parsed(&kind)?,
        subject: row.get(3)?,
        from: row.get(4)?,
        to: row.get(5)?,
        why: row.get(6)?,
        details: details.map_err(|error| RowError::Odd(format!("details of event {seq}: {error}")))?,
    })
}

/// Removes at most `step` events, the oldest numbers first.
pub(crate) fn prune_events(connection: &Connection, keep: Retention, step: u32) -> Result<u64> {
    // The largest number that is surplus: the one that follows the newest `rows_max`.
    let surplus: Option<i64> = match keep.rows_max {
        None => None,
        Some(rows) => connection
            .prepare_cached("SELECT seq FROM event ORDER BY seq DESC LIMIT 1 OFFSET ?1")?
            .query_row([bound(rows)], |row| row.get(0))
            .optional()?,
    };
    let removed = connection
        .prepare_cached(
            "DELETE FROM event WHERE seq IN (
               SELECT seq FROM event WHERE seq <= ?1 OR at_ms < ?2 ORDER BY seq LIMIT ?3)",
        )?
        .execute(params![surplus.unwrap_or(-1), keep.before.map_or(i64::MIN, |time| time.0), step])?;
    Ok(removed as u64)
}

pub(crate) fn allocate_port(connection: &Connection, key: &PortKey, candidates: &[u16]) -> Result<u16> {
    let kept = connection
        .prepare_cached("SELECT number FROM port WHERE service = ?1 AND ordinal = ?2 AND name = ?3")?
        .query_row(params![key.service.as_str(), key.ordinal, key.port.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(number) = kept {
        return Ok(number);
    }
    let taken: BTreeSet<u16> = connection
        .prepare_cached("SELECT number FROM port")?
        .query_map((), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let free = candidates.iter().copied().find(|number| !taken.contains(number));
    let number = free
        .ok_or_else(|| RowError::Refused(StoreError::NoPort { key: key.clone(), tried: candidates.len() }))?;
    set_port(connection, key, number)?;
    Ok(number)
}

pub(crate) fn set_port(connection: &Connection, key: &PortKey, number: u16) -> Result<()> {
    let holder = connection
        .prepare_cached("SELECT service, ordinal, name FROM port WHERE number = ?1")?
        .query_row([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?
        .map(port_key)
        .transpose()?;
    match holder {
        Some(holder) if holder == *key => return Ok(()),
        Some(holder) => return Err(RowError::Refused(StoreError::PortTaken { number, holder })),
        None => {}
    }
    connection
        .prepare_cached(
            "INSERT INTO port (service, ordinal, name, number) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (service, ordinal, name) DO UPDATE SET number = excluded.number",
        )?
        .execute(params![key.service.as_str(), key.ordinal, key.port.as_str(), number])?;
    Ok(())
}

fn port_key((service, ordinal, port): (String, u32, String)) -> Result<PortKey> {
    Ok(PortKey { service: parsed(&service)?, ordinal, port: parsed(&port)? })
}

pub(crate) fn ports(connection: &Connection) -> Result<BTreeMap<PortKey, u16>> {
    let mut statement = connection.prepare_cached("SELECT service, ordinal, name, number FROM port")?;
    let mut rows = statement.query(())?;
    let mut ports = BTreeMap::new();
    while let Some(row) = rows.next()? {
        ports.insert(port_key((row.get(0)?, row.get(1)?, row.get(2)?))?, row.get(3)?);
    }
    Ok(ports)
}

pub(crate) fn forget_service(connection: &Connection, service: &ServiceName) -> Result<()> {
    for sql in ["DELETE FROM port WHERE service = ?1", "DELETE FROM prepared WHERE service = ?1"] {
        connection.prepare_cached(sql)?.execute([service.as_str()])?;
    }
    Ok(())
}

pub(crate) fn prepared(connection: &Connection) -> Result<BTreeMap<ServiceName, String>> {
    let mut statement = connection.prepare_cached("SELECT service, fingerprint FROM prepared")?;
    let mut rows = statement.query(())?;
    let mut prepared = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let service: String = row.get(0)?;
        prepared.insert(parsed(&service)?, row.get(1)?);
    }
    Ok(prepared)
}

pub(crate) fn set_prepared(connection: &Connection, service: &ServiceName, fingerprint: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO prepared (service, fingerprint) VALUES (?1, ?2)
             ON CONFLICT (service) DO UPDATE SET fingerprint = excluded.fingerprint",
        )?
        .execute([service.as_str(), fingerprint])?;
    Ok(())
}

/// Moves the counter up by `count` and returns the first of the numbers passed over.
pub(crate) fn next_run(connection: &Connection, count: u32) -> Result<u64> {
    let last: i64 = connection
        .prepare_cached(
            "INSERT INTO counter (name, value) VALUES ('run', ?1)
             ON CONFLICT (name) DO UPDATE SET value = value + excluded.value RETURNING value",
        )?
        .query_row([count], |row| row.get(0))?;
    Ok((last + 1 - i64::from(count)) as u64)
}

pub(crate) fn setting(connection: &Connection, key: &str) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT value FROM setting WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

pub(crate) fn set_setting(connection: &Connection, key: &str, value: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO setting (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )?
        .execute([key, value])?;
    Ok(())
}

pub(crate) fn integrity_check(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let lines = statement.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(if lines == ["ok"] { Vec::new() } else { lines })
}
