//! The SQL of instances that registered by themselves, and of answers to repeated requests.

use super::super::rows::parsed;
use super::{Result, conflict};
use crate::ledger::{AnnouncedRow, Conflict, IdempotentAnswer};
use haus_model::{ServiceName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) fn put_announced(connection: &Connection, new: &AnnouncedRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO announced (service, instance, ordinal, body, registered_at_ms, updated_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (service, instance) DO UPDATE SET ordinal = excluded.ordinal, body = excluded.body,
               registered_at_ms = excluded.registered_at_ms, updated_at_ms = excluded.updated_at_ms",
        )?
        .execute(params![
            new.service.as_str(),
            new.instance,
            new.ordinal,
            new.body,
            new.registered_at.0,
            new.updated_at.0
        ])?;
    Ok(())
}

pub(super) fn delete_announced(connection: &Connection, service: &ServiceName, instance: &str) -> Result<()> {
    let gone = connection
        .prepare_cached("DELETE FROM announced WHERE service = ?1 AND instance = ?2")?
        .execute([service.as_str(), instance])?;
    if gone == 0 {
        return conflict(Conflict::Missing(format!("instance {instance} of {service}")));
    }
    Ok(())
}

pub(super) fn announced(connection: &Connection) -> Result<Vec<AnnouncedRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT service, instance, ordinal, body, registered_at_ms, updated_at_ms FROM announced
         ORDER BY service, ordinal, instance",
    )?;
    let mut rows = statement.query(())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let service: String = row.get(0)?;
        found.push(AnnouncedRow {
            service: parsed(&service)?,
            instance: row.get(1)?,
            ordinal: row.get(2)?,
            body: row.get(3)?,
            registered_at: Timestamp(row.get(4)?),
            updated_at: Timestamp(row.get(5)?),
        });
    }
    Ok(found)
}

pub(super) fn put_idempotent(connection: &Connection, new: &IdempotentAnswer) -> Result<()> {
    let taken = connection
        .prepare_cached(
            "SELECT 1 FROM idempotent WHERE caller = ?1 AND key = ?2 AND NOT (status = 0 AND request = ?3)",
        )?
        .exists(params![new.caller, new.key, new.request])?;
    if taken {
        return conflict(Conflict::Exists(format!("the answer to request `{}` of {}", new.key, new.caller)));
    }
    connection
        .prepare_cached(
            "INSERT INTO idempotent (caller, key, request, status, body, until_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (caller, key) DO UPDATE SET status = excluded.status, body = excluded.body,
               until_ms = excluded.until_ms",
        )?
        .execute(params![new.caller, new.key, new.request, new.status, new.body, new.until.0])?;
    Ok(())
}

pub(super) fn idempotent(
    connection: &Connection,
    caller: &str,
    key: &str,
) -> Result<Option<IdempotentAnswer>> {
    let mut statement = connection.prepare_cached(
        "SELECT caller, key, request, status, body, until_ms FROM idempotent WHERE caller = ?1 AND key = ?2",
    )?;
    let found = statement.query_row([caller, key], |row| {
        Ok(IdempotentAnswer {
            caller: row.get(0)?,
            key: row.get(1)?,
            request: row.get(2)?,
            status: row.get(3)?,
            body: row.get(4)?,
            until: Timestamp(row.get(5)?),
        })
    });
    Ok(found.optional()?)
}
