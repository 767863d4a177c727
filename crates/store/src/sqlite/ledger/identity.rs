//! The SQL of one-time tokens, sessions, revocations and signing keys. Hashes go in, never tokens.
//!
//! A hash is looked up by an index, not compared in constant time: it is the SHA-256 of a random token, so
//! what the time tells about it says nothing about the token.

use super::super::rows::parsed;
use super::{Result, RowError, conflict, name, service};
use crate::ledger::{Conflict, EnrolmentRow, RevocationRow, SessionRow, SigningKeyRow};
use haus_model::{Scope, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

fn to_json(scopes: &[Scope]) -> Result<String> {
    let words: Vec<String> = scopes.iter().map(Scope::to_string).collect();
    serde_json::to_string(&words).map_err(|error| RowError::Odd(format!("scopes: {error}")))
}

fn from_json(text: &str) -> Result<Vec<Scope>> {
    let words: Vec<String> =
        serde_json::from_str(text).map_err(|error| RowError::Odd(format!("scopes: {error}")))?;
    words.iter().map(|word| parsed(word)).collect()
}

fn collect<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

const ENROLMENT: &str =
    "id, hash, subject, service, instance, scopes, made_by, created_at_ms, expires_at_ms, used_at_ms";

fn enrolment_row(row: &Row<'_>) -> Result<EnrolmentRow> {
    let scopes: String = row.get(5)?;
    Ok(EnrolmentRow {
        id: row.get(0)?,
        hash: row.get(1)?,
        subject: row.get(2)?,
        service: service(row.get(3)?)?,
        instance: row.get(4)?,
        scopes: from_json(&scopes)?,
        made_by: row.get(6)?,
        created_at: Timestamp(row.get(7)?),
        expires_at: Timestamp(row.get(8)?),
        used_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
    })
}

fn enrolment_label(id: &str) -> String {
    format!("enrolment token {id}")
}

pub(super) fn put_enrolment(connection: &Connection, new: &EnrolmentRow) -> Result<()> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM enrolment WHERE id = ?1 OR hash = ?2")?
        .exists(params![new.id, new.hash])?;
    if taken {
        return conflict(Conflict::Exists(enrolment_label(&new.id)));
    }
    let insert =
        format!("INSERT INTO enrolment ({ENROLMENT}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
    connection.prepare_cached(&insert)?.execute(params![
        new.id,
        new.hash,
        new.subject,
        name(new.service.as_ref()),
        new.instance,
        to_json(&new.scopes)?,
        new.made_by,
        new.created_at.0,
        new.expires_at.0,
        new.used_at.map(|time| time.0),
    ])?;
    Ok(())
}

pub(super) fn take_enrolment(connection: &Connection, hash: &[u8; 32], at: Timestamp) -> Result<()> {
    let Some(found) = enrolment(connection, hash)? else {
        return conflict(Conflict::Missing("the enrolment token".to_owned()));
    };
    if found.used_at.is_some() {
        return conflict(Conflict::Used(enrolment_label(&found.id)));
    }
    if found.expires_at <= at {
        return conflict(Conflict::Expired(enrolment_label(&found.id)));
    }
    connection
        .prepare_cached("UPDATE enrolment SET used_at_ms = ?2 WHERE id = ?1")?
        .execute(params![found.id, at.0])?;
    Ok(())
}

pub(super) fn delete_enrolment(connection: &Connection, id: &str) -> Result<()> {
    let used: Option<bool> = connection
        .prepare_cached("SELECT used_at_ms IS NOT NULL FROM enrolment WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    match used {
        None => return conflict(Conflict::Missing(enrolment_label(id))),
        Some(true) => return conflict(Conflict::Used(enrolment_label(id))),
        Some(false) => {}
    }
    connection.prepare_cached("DELETE FROM enrolment WHERE id = ?1")?.execute([id])?;
    Ok(())
}

pub(super) fn enrolment(connection: &Connection, hash: &[u8; 32]) -> Result<Option<EnrolmentRow>> {
    let sql = format!("SELECT {ENROLMENT} FROM enrolment WHERE hash = ?1");
    Ok(collect(connection, &sql, [hash], enrolment_row)?.pop())
}

pub(super) fn enrolments(connection: &Connection, now: Timestamp) -> Result<Vec<EnrolmentRow>> {
    let sql = format!(
        "SELECT {ENROLMENT} FROM enrolment WHERE used_at_ms IS NULL AND expires_at_ms > ?1
         ORDER BY created_at_ms, id"
    );
    collect(connection, &sql, [now.0], enrolment_row)
}

const SESSION: &str =
    "sid, subject, service, instance, scopes, refresh, former, created_at_ms, refreshed_at_ms,
    expires_at_ms, ended_at_ms";

fn session_row(row: &Row<'_>) -> Result<SessionRow> {
    let scopes: String = row.get(4)?;
    Ok(SessionRow {
        sid: row.get(0)?,
        subject: row.get(1)?,
        service: service(row.get(2)?)?,
        instance: row.get(3)?,
        scopes: from_json(&scopes)?,
        refresh: row.get(5)?,
        former: row.get(6)?,
        created_at: Timestamp(row.get(7)?),
        refreshed_at: Timestamp(row.get(8)?),
        expires_at: Timestamp(row.get(9)?),
        ended_at: row.get::<_, Option<i64>>(10)?.map(Timestamp),
    })
}

fn session_label(sid: &str) -> String {
    format!("session {sid}")
}

/// Whether this hash is, or once was, the refresh token of a session.
fn was_given(connection: &Connection, hash: &[u8; 32]) -> Result<bool> {
    Ok(connection
        .prepare_cached(
            "SELECT 1 FROM session WHERE refresh = ?1 UNION ALL SELECT 1 FROM session_former WHERE hash = ?1",
        )?
        .exists([hash])?)
}

pub(super) fn put_session(connection: &Connection, new: &SessionRow) -> Result<()> {
    let taken = connection.prepare_cached("SELECT 1 FROM session WHERE sid = ?1")?.exists([&new.sid])?;
    let former_given = new.former.map_or(Ok(false), |former| was_given(connection, &former))?;
    if taken || former_given || was_given(connection, &new.refresh)? {
        return conflict(Conflict::Exists(session_label(&new.sid)));
    }
    let insert =
        format!("INSERT INTO session ({SESSION}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    connection.prepare_cached(&insert)?.execute(params![
        new.sid,
        new.subject,
        name(new.service.as_ref()),
        new.instance,
        to_json(&new.scopes)?,
        new.refresh,
        new.former,
        new.created_at.0,
        new.refreshed_at.0,
        new.expires_at.0,
        new.ended_at.map(|time| time.0),
    ])?;
    match &new.former {
        Some(former) => remember_former(connection, former, &new.sid, new.expires_at),
        None => Ok(()),
    }
}

/// Kept until the token would have ended anyway: after that it opens nothing, whoever has it.
fn remember_former(connection: &Connection, hash: &[u8; 32], sid: &str, until: Timestamp) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO session_former (hash, sid, until_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![hash, sid, until.0])?;
    Ok(())
}

/// One refresh token for the next.
pub(super) struct Exchange<'a> {
    pub(super) from: &'a [u8; 32],
    pub(super) to: &'a [u8; 32],
    pub(super) at: Timestamp,
    pub(super) expires_at: Timestamp,
}

pub(super) fn refresh_session(connection: &Connection, exchange: Exchange<'_>) -> Result<()> {
    let Exchange { from, to, at, expires_at } = exchange;
    let found = session_of(connection, from)?.filter(|session| session.ended_at.is_none());
    let Some(found) = found else {
        return conflict(Conflict::Missing("the session of the refresh token".to_owned()));
    };
    if found.refresh != *from {
        return conflict(Conflict::Used(format!("the refresh token of {}", session_label(&found.sid))));
    }
    if found.expires_at <= at {
        return conflict(Conflict::Expired(session_label(&found.sid)));
    }
    if was_given(connection, to)? {
        return conflict(Conflict::Exists("the new refresh token".to_owned()));
    }
    remember_former(connection, from, &found.sid, found.expires_at)?;
    connection
        .prepare_cached(
            "UPDATE session SET refresh = ?2, former = ?3, refreshed_at_ms = ?4, expires_at_ms = ?5 WHERE sid = ?1",
        )?
        .execute(params![found.sid, to, from, at.0, expires_at.0])?;
    Ok(())
}

pub(super) fn end_session(connection: &Connection, sid: &str, at: Timestamp) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE session SET ended_at_ms = coalesce(ended_at_ms, ?2) WHERE sid = ?1")?
        .execute(params![sid, at.0])?;
    if changed == 0 {
        return conflict(Conflict::Missing(session_label(sid)));
    }
    Ok(())
}

pub(super) fn session_of(connection: &Connection, hash: &[u8; 32]) -> Result<Option<SessionRow>> {
    let sql = format!("SELECT {SESSION} FROM session WHERE refresh = ?1");
    if let Some(found) = collect(connection, &sql, [hash], session_row)?.pop() {
        return Ok(Some(found));
    }
    let sql =
        format!("SELECT {SESSION} FROM session WHERE sid = (SELECT sid FROM session_former WHERE hash = ?1)");
    Ok(collect(connection, &sql, [hash], session_row)?.pop())
}

pub(super) fn sessions(connection: &Connection, now: Timestamp) -> Result<Vec<SessionRow>> {
    let sql = format!(
        "SELECT {SESSION} FROM session WHERE ended_at_ms IS NULL AND expires_at_ms > ?1
         ORDER BY created_at_ms, sid"
    );
    collect(connection, &sql, [now.0], session_row)
}

pub(super) fn revoke(connection: &Connection, new: &RevocationRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO revocation (what, at_ms, until_ms, why) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (what) DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)",
        )?
        .execute(params![new.what, new.at.0, new.until.0, new.why])?;
    Ok(())
}

pub(super) fn revocations(connection: &Connection) -> Result<Vec<RevocationRow>> {
    let sql = "SELECT what, at_ms, until_ms, why FROM revocation ORDER BY at_ms, what";
    collect(connection, sql, (), |row| {
        Ok(RevocationRow {
            what: row.get(0)?,
            at: Timestamp(row.get(1)?),
            until: Timestamp(row.get(2)?),
            why: row.get(3)?,
        })
    })
}

pub(super) fn put_signing_key(connection: &Connection, new: &SigningKeyRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO signing_key (kid, sealed, public, made_at_ms, retires_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (kid) DO UPDATE SET sealed = excluded.sealed, public = excluded.public,
               made_at_ms = excluded.made_at_ms, retires_at_ms = excluded.retires_at_ms",
        )?
        .execute(params![new.kid, new.sealed, new.public, new.made_at.0, new.retires_at.map(|time| time.0)])?;
    Ok(())
}

pub(super) fn delete_signing_key(connection: &Connection, kid: &str) -> Result<()> {
    connection.prepare_cached("DELETE FROM signing_key WHERE kid = ?1")?.execute([kid])?;
    Ok(())
}

pub(super) fn signing_keys(connection: &Connection) -> Result<Vec<SigningKeyRow>> {
    let sql =
        "SELECT kid, sealed, public, made_at_ms, retires_at_ms FROM signing_key ORDER BY made_at_ms, kid";
    collect(connection, sql, (), |row| {
        Ok(SigningKeyRow {
            kid: row.get(0)?,
            sealed: row.get(1)?,
            public: row.get(2)?,
            made_at: Timestamp(row.get(3)?),
            retires_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        })
    })
}
