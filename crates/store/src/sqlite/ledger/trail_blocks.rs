//! Where in the trail a name occurs: by blocks of entries, each written down when its last entry is.
//!
//! An index of each entry by subject, actor and action would change three pages of the database for every
//! audited act, more than all the rest of it. Whoever looks for a name reads the blocks that have it, and the
//! entries behind the last whole block. It is for searching only: nothing is proven by it.

use super::Result;
use rusqlite::{Connection, params};
use std::ops::RangeInclusive;

/// Entries of one block. The migration has the number as well.
const BLOCK_ENTRIES: u64 = 256;

/// What the names of a span are, as rows of `trail_block`: `?1` the block, `?2` and `?3` its first and last
/// entry that count.
const NAMES: &str =
    "SELECT 'action' AS kind, action AS name, ?1 AS block FROM trail WHERE seq BETWEEN ?2 AND ?3
    UNION SELECT 'actor', actor, ?1 FROM trail WHERE seq BETWEEN ?2 AND ?3
    UNION SELECT 'subject', subject, ?1 FROM trail WHERE seq BETWEEN ?2 AND ?3";

/// A name to look for, and in which column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) kind: &'static str,
    pub(super) name: &'a str,
}

fn block_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / BLOCK_ENTRIES
}

fn entries_of(block: u64) -> RangeInclusive<u64> {
    block * BLOCK_ENTRIES + 1..=(block + 1) * BLOCK_ENTRIES
}

/// The last entry that stands in a whole block, when `last` is the last one of the trail.
fn last_whole(last: u64) -> u64 {
    last / BLOCK_ENTRIES * BLOCK_ENTRIES
}

/// Writes down the blocks that became whole with these new entries.
pub(super) fn follow(connection: &Connection, new: RangeInclusive<u64>) -> Result<()> {
    let whole = last_whole(*new.end());
    if whole < *new.start() {
        return Ok(());
    }
    let mut insert = connection
        .prepare_cached(&format!("INSERT OR IGNORE INTO trail_block (kind, name, block) {NAMES}"))?;
    for block in block_of(*new.start())..=block_of(whole) {
        let entries = entries_of(block);
        insert.execute(params![block, entries.start(), entries.end()])?;
    }
    Ok(())
}

/// Forgets the names that the blocks of these entries have only by them. Call it before they go.
pub(super) fn forget(connection: &Connection, gone: RangeInclusive<u64>, last: u64) -> Result<()> {
    let find = format!(
        "{NAMES} EXCEPT SELECT 'action', action, ?1 FROM trail WHERE seq BETWEEN ?4 AND ?5
         EXCEPT SELECT 'actor', actor, ?1 FROM trail WHERE seq BETWEEN ?4 AND ?5
         EXCEPT SELECT 'subject', subject, ?1 FROM trail WHERE seq BETWEEN ?4 AND ?5"
    );
    let mut find = connection.prepare_cached(&find)?;
    let mut delete =
        connection.prepare_cached("DELETE FROM trail_block WHERE kind = ?1 AND name = ?2 AND block = ?3")?;
    for block in block_of(*gone.start())..=block_of((*gone.end()).min(last_whole(last))) {
        let entries = entries_of(block);
        let first = *entries.start().max(gone.start());
        let (until, stays) = (*entries.end().min(gone.end()), gone.end() + 1);
        let mut names = find.query(params![block, first, until, stays, entries.end()])?;
        while let Some(row) = names.next()? {
            let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
            delete.execute(params![kind, name, block])?;
        }
    }
    Ok(())
}

/// Hands `look` spans of entries that may have the name, in their order or the newest first, until it has
/// enough and says false. `last` is the last entry of the trail.
pub(super) fn spans(
    connection: &Connection,
    wanted: Name<'_>,
    (among, last): (RangeInclusive<u64>, u64),
    newest_first: bool,
    mut look: impl FnMut(RangeInclusive<u64>) -> Result<bool>,
) -> Result<()> {
    let clip = |span: RangeInclusive<u64>| *span.start().max(among.start())..=*span.end().min(among.end());
    // What is too new for a block.
    let fresh = clip(last_whole(last) + 1..=u64::MAX);
    if newest_first && !fresh.is_empty() && !look(fresh.clone())? {
        return Ok(());
    }
    let order = if newest_first { "DESC" } else { "ASC" };
    let mut blocks = connection.prepare_cached(&format!(
        "SELECT block FROM trail_block WHERE kind = ?1 AND name = ?2 AND block BETWEEN ?3 AND ?4 ORDER BY block {order}"
    ))?;
    let (from, to) = (block_of(*among.start()), block_of(*among.end()).min(i64::MAX as u64));
    let mut rows = blocks.query(params![wanted.kind, wanted.name, from, to])?;
    while let Some(row) = rows.next()? {
        if !look(clip(entries_of(row.get(0)?)))? {
            return Ok(());
        }
    }
    if !newest_first && !fresh.is_empty() {
        look(fresh)?;
    }
    Ok(())
}
