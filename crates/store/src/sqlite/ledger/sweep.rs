//! Forgetting what has had its time, in steps that other writers hardly notice.

use super::Result;
use haus_model::Timestamp;
use rusqlite::{Connection, params};

/// Rows of one table that go in one transaction.
const STEP_ROWS: u32 = 2_000;

/// Table, key and what of it is over; `?1` is the time, `?2` the border of the history, `?3` the bound.
const OVER: &[&str] = &[
    "DELETE FROM enrolment WHERE id IN (SELECT id FROM enrolment
       WHERE used_at_ms IS NOT NULL OR expires_at_ms <= ?1 LIMIT ?3) AND ?2 IS NOT NULL",
    "DELETE FROM session_former WHERE hash IN (SELECT hash FROM session_former
       WHERE until_ms <= ?1 LIMIT ?3) AND ?2 IS NOT NULL",
    "DELETE FROM session WHERE sid IN (SELECT sid FROM session
       WHERE ended_at_ms IS NOT NULL OR expires_at_ms <= ?1 LIMIT ?3) AND ?2 IS NOT NULL",
    "DELETE FROM revocation WHERE what IN (SELECT what FROM revocation
       WHERE until_ms <= ?1 LIMIT ?3) AND ?2 IS NOT NULL",
    "DELETE FROM silence WHERE id IN (SELECT id FROM silence
       WHERE until_ms <= ?1 LIMIT ?3) AND ?2 IS NOT NULL",
    "DELETE FROM idempotent WHERE rowid IN (SELECT rowid FROM idempotent
       WHERE until_ms <= ?1 LIMIT ?3) AND ?2 IS NOT NULL",
    "DELETE FROM health_change WHERE seq IN (SELECT seq FROM health_change
       WHERE at_ms < ?2 LIMIT ?3) AND ?1 IS NOT NULL",
];

/// What one step has done.
pub(super) struct Step {
    pub(super) rows: u64,
    /// Whether a table may have more.
    pub(super) more: bool,
}

pub(super) fn step(connection: &Connection, now: Timestamp, history_before: Timestamp) -> Result<Step> {
    let mut done = Step { rows: 0, more: false };
    for sql in OVER {
        let rows = connection.prepare_cached(sql)?.execute(params![now.0, history_before.0, STEP_ROWS])?;
        done.rows += rows as u64;
        done.more |= rows >= STEP_ROWS as usize;
    }
    Ok(done)
}
