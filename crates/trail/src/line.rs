//! Entries as lines: one JSON object per line, strictly in the form that is written. Knows no files.

use crate::{Entry, Hash, NewEntry, encode};
use serde::Deserialize;

/// Longest line in bytes, without its line feed. The largest entry that can be sealed, with every character
/// escaped, fits; a longer line is not looked at.
pub const LINE_BYTES_MAX: usize = 128 * 1024;

/// Why a text is no entry.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("the entry has {bytes} bytes, the longest possible has {LINE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// No JSON, or not the members of an entry.
    #[error("the text is not an entry of the trail")]
    NotAnEntry(#[source] serde_json::Error),
    /// An entry in another form: spaces, another order, other escapes, a member that entries do not have.
    #[error("the entry is not in the form in which it was written, it differs from byte {at} on")]
    NotCanonical {
        /// Offset of the first byte that differs, counted from 0.
        at: usize,
    },
}

/// Reads JSON of bounded length.
fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, LineError> {
    if text.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong { bytes: text.len() });
    }
    serde_json::from_str(text).map_err(LineError::NotAnEntry)
}

/// Refuses a text that says the same in another form, or more: the hash covers the form, so a reader must not
/// be more generous than the hash.
fn demand_form(text: &str, canonical: &str) -> Result<(), LineError> {
    if text == canonical {
        return Ok(());
    }
    let common = text.bytes().zip(canonical.bytes()).take_while(|(found, wanted)| found == wanted).count();
    Err(LineError::NotCanonical { at: common })
}

impl Entry {
    /// The entry as one line of an export, without the line feed.
    pub fn to_line(&self) -> String {
        encode::line(self.seq, &self.body(), &self.prev, &self.hash)
    }

    /// Reads one line, without its line feed. The hash is not checked here; [`crate::Verifier`] does that.
    ///
    /// # Errors
    /// The line is too long, is no entry, or is not exactly what [`Entry::to_line`] writes.
    pub fn from_line(line: &str) -> Result<Entry, LineError> {
        let entry: Entry = read(line)?;
        demand_form(line, &entry.to_line())?;
        Ok(entry)
    }

    /// Puts an entry together from what a database keeps of it: the number, [`Entry::body`] and both hashes.
    /// The hash is not checked here; [`crate::Verifier`] does that.
    ///
    /// # Errors
    /// The body is too long, is no body, or is not exactly what [`Entry::body`] writes.
    pub fn from_body(seq: u64, body: &str, prev: Hash, hash: Hash) -> Result<Entry, LineError> {
        let entry: NewEntry = read(body)?;
        demand_form(body, &encode::body(&entry))?;
        Ok(Entry { seq, entry, prev, hash })
    }
}
