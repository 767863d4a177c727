//! The end of the trail inside one transaction: entries that are sealed already and stand in no table yet.
//!
//! The head is read once per transaction and the rows go in together before its commit, so that a hundred
//! batches cost one look at the chain. It lives no longer than its transaction: what a disk or a foreign hand
//! did meanwhile is seen by the next one. Knows the chain and no other table.

use super::ledger::trail;
use haus_trail::{Entry, Head, NewEntry, seal_with_body};
use rusqlite::Connection;

use super::fault::RowError;

/// The end of the trail; empty and unread at the begin of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// The last entry, of the table or of those that wait. Not read yet: none.
    head: Option<Head>,
    /// Follow the table's last one.
    waiting: Vec<(Entry, String)>,
}

/// A place in the tail to which a batch that failed is undone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    head: Option<Head>,
    waiting: usize,
}

impl Tail {
    /// Seals entries after the last one; their numbers hold when the transaction does.
    pub(crate) fn append(
        &mut self,
        connection: &Connection,
        entries: &[NewEntry],
    ) -> Result<Vec<u64>, RowError> {
        let mut head = match self.head {
            Some(head) => head,
            None => trail::head(connection)?,
        };
        let mut numbers = Vec::with_capacity(entries.len());
        for entry in entries {
            let (entry, body) = seal_with_body(&head, entry.clone());
            head = entry.head();
            numbers.push(head.seq);
            self.waiting.push((entry, body));
        }
        self.head = Some(head);
        Ok(numbers)
    }

    /// The last entry, once anything was appended.
    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// Writes down what waits. Whoever reads the trail inside of the transaction calls it first.
    pub(crate) fn flush(&mut self, connection: &Connection) -> Result<(), RowError> {
        trail::insert(connection, &self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// Where a batch begins.
    pub(crate) fn mark(&self) -> Mark {
        Mark { head: self.head, waiting: self.waiting.len() }
    }

    /// Forgets what came after the mark. What was flushed since then is undone by the transaction.
    pub(crate) fn undo(&mut self, mark: Mark) {
        self.head = mark.head;
        self.waiting.truncate(mark.waiting);
    }
}
