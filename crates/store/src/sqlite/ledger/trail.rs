//! The SQL of the audit trail: appending after the head, reading, pruning from the old end.
//!
//! The head is read inside the transaction that appends ([`Tail`]). Kept in memory for longer it would have
//! to be right after every transaction and disk that failed.

use super::super::rows::bound;
use super::super::tail::Tail;
use super::trail_blocks::{self, Name};
use super::{Result, RowError};
use crate::ledger::TrailQuery;
use haus_model::Timestamp;
use haus_model::error::chain;
use haus_trail::{Action, Entry, Hash, Head, NewEntry};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::ops::RangeInclusive;

/// Entries removed in one transaction, so that other writers wait for milliseconds only.
const PRUNE_STEP_ROWS: u64 = 2_000;

/// The columns in the order of [`entry`].
pub(crate) const COLUMNS: &str = "seq, at_ms, actor, action, subject, outcome, body, prev, hash";

fn a_head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head { seq: row.get(0)?, hash: Hash(row.get(1)?) })
}

/// Number and hash of the last entry.
pub(crate) fn head(connection: &Connection) -> Result<Head> {
    let last = connection
        .prepare_cached("SELECT seq, hash FROM trail ORDER BY seq DESC LIMIT 1")?
        .query_row((), a_head)
        .optional()?;
    last.map_or_else(|| start(connection), Ok)
}

/// The head before the oldest kept entry.
pub(crate) fn start(connection: &Connection) -> Result<Head> {
    let found =
        connection.prepare_cached("SELECT seq, hash FROM trail_start")?.query_row((), a_head).optional()?;
    found.ok_or_else(|| RowError::Odd("the start of the trail is missing".to_owned()))
}

/// Writes entries down, each with its body. The first one follows the last of the table, or a trigger
/// refuses it.
pub(in super::super) fn insert(connection: &Connection, entries: &[(Entry, String)]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO trail (seq, at_ms, actor, action, subject, outcome, body, prev, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for (Entry { seq, entry, prev, hash }, body) in entries {
        insert.execute(params![
            seq,
            entry.at.0,
            entry.actor,
            entry.action.as_str(),
            entry.subject,
            entry.outcome.as_str(),
            body,
            prev.0,
            hash.0,
        ])?;
    }
    let (first, last) = (entries.first(), entries.last());
    let number = |entry: Option<&(Entry, String)>| entry.map_or(0, |(entry, _)| entry.seq);
    trail_blocks::follow(connection, number(first)..=number(last))
}

/// An entry as it stands in a row. What the columns say beside the body is only there to search by, so it
/// must say the same.
pub(crate) fn entry(row: &Row<'_>) -> Result<Entry> {
    let seq: i64 = row.get(0)?;
    let odd = |what: String| RowError::Odd(format!("entry {seq} of the trail: {what}"));
    let number = u64::try_from(seq).map_err(|_| odd("its number is below 0".to_owned()))?;
    let body: String = row.get(6)?;
    let entry = Entry::from_body(number, &body, Hash(row.get(7)?), Hash(row.get(8)?))
        .map_err(|error| odd(chain(&error)))?;
    let columns = differing(row, &entry.entry)?;
    if !columns.is_empty() {
        return Err(odd(format!("{} and its body differ", columns.join(", "))));
    }
    Ok(entry)
}

/// The columns beside the body that say something else than it does.
pub(crate) fn differing(row: &Row<'_>, body: &NewEntry) -> rusqlite::Result<Vec<&'static str>> {
    let mut differing = Vec::new();
    if row.get_ref(1)? != ValueRef::Integer(body.at.0) {
        differing.push("at_ms");
    }
    let texts = [
        ("actor", body.actor.as_str()),
        ("action", body.action.as_str()),
        ("subject", body.subject.as_str()),
        ("outcome", body.outcome.as_str()),
    ];
    for (at, (column, text)) in texts.into_iter().enumerate() {
        if row.get_ref(at + 2)? != ValueRef::Text(text.as_bytes()) {
            differing.push(column);
        }
    }
    Ok(differing)
}

/// Call it inside a transaction: it looks more than once.
pub(super) fn entries(connection: &Connection, query: &TrailQuery) -> Result<Vec<Entry>> {
    let among = query.after.map_or(0, |after| after.saturating_add(1))
        ..=query.before.map_or(u64::MAX, |before| before.saturating_sub(1));
    let mut found = Vec::new();
    if among.is_empty() || query.before == Some(0) {
        return Ok(found);
    }
    let Some(name) = sought(query) else {
        look(connection, query, among, &mut found)?;
        return Ok(found);
    };
    let last = head(connection)?.seq;
    trail_blocks::spans(connection, name, (among, last), query.newest_first, |span| {
        look(connection, query, span, &mut found)?;
        Ok(found.len() < query.limit)
    })?;
    Ok(found)
}

/// The rarest name that is looked for.
fn sought(query: &TrailQuery) -> Option<Name<'_>> {
    let by = |kind, name| Name { kind, name };
    let subject = query.subject.as_deref().map(|subject| by("subject", subject));
    let actor = query.actor.as_deref().map(|actor| by("actor", actor));
    subject.or(actor).or(query.action.map(|action| by("action", action.as_str())))
}

/// Adds what is wanted of a span, up to the limit.
fn look(
    connection: &Connection,
    query: &TrailQuery,
    span: RangeInclusive<u64>,
    found: &mut Vec<Entry>,
) -> Result<()> {
    let mut sql = format!(
        "SELECT {COLUMNS} FROM trail WHERE seq BETWEEN ?1 AND ?2
           AND (?3 IS NULL OR subject = ?3) AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR action = ?5)"
    );
    sql.push_str(if query.newest_first { " ORDER BY seq DESC LIMIT ?6" } else { " ORDER BY seq LIMIT ?6" });
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        bound(*span.start()),
        bound(*span.end()),
        query.subject,
        query.actor,
        query.action.map(Action::as_str),
        bound(query.limit.saturating_sub(found.len()) as u64),
    ])?;
    while let Some(row) = rows.next()? {
        found.push(entry(row)?);
    }
    Ok(())
}

/// The last entry of the old end whose entries were all made before this time.
pub(super) fn last_before(connection: &Connection, before: Timestamp) -> Result<u64> {
    let first_kept: Option<u64> = connection
        .prepare_cached("SELECT seq FROM trail WHERE at_ms >= ?1 ORDER BY seq LIMIT 1")?
        .query_row([before.0], |row| row.get(0))
        .optional()?;
    match first_kept {
        Some(seq) => Ok(seq.saturating_sub(1)),
        None => Ok(head(connection)?.seq),
    }
}

/// Removes at most [`PRUNE_STEP_ROWS`] entries up to `last`, with the note when there were any.
pub(super) fn prune_step(
    connection: &Connection,
    tail: &mut Tail,
    last: u64,
    note: Option<&NewEntry>,
) -> Result<u64> {
    tail.flush(connection)?;
    let begin = start(connection)?.seq;
    let end = last.min(begin.saturating_add(PRUNE_STEP_ROWS));
    if end <= begin {
        return Ok(0);
    }
    let hash: Option<[u8; 32]> = connection
        .prepare_cached("SELECT hash FROM trail WHERE seq = ?1")?
        .query_row([end], |row| row.get(0))
        .optional()?;
    let Some(hash) = hash else {
        return Err(RowError::Odd(format!(
            "entry {end} of the trail is missing; `haus trail verify` tells more"
        )));
    };
    tail.append(connection, note.map_or(&[], std::slice::from_ref))?;
    trail_blocks::forget(connection, begin + 1..=end, head(connection)?.seq)?;
    // First the start, then the entries: the trigger lets only those go that lie behind it.
    connection.prepare_cached("UPDATE trail_start SET seq = ?1, hash = ?2")?.execute(params![end, hash])?;
    let removed = connection.prepare_cached("DELETE FROM trail WHERE seq <= ?1")?.execute([end])?;
    Ok(removed as u64)
}
