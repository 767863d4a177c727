//! An export, part by part as it arrives: from a file or from a running house.

use super::anchor::CheckedAnchor;
use super::{TrailForm, Verified, verifier};
use haus_trail::{Entry, Head, LINE_BYTES_MAX, Verifier};

/// Follows an export. Give it every byte in order, then [`ExportVerifier::finish`] it.
#[derive(Debug)]
pub struct ExportVerifier<'a> {
    anchor: Option<&'a CheckedAnchor>,
    /// What the first line says comes before it, and who follows the chain from there.
    follows: Option<(Head, Verifier)>,
    /// The line that has begun, up to what the longest entry can have.
    line: Vec<u8>,
}

impl<'a> ExportVerifier<'a> {
    /// Begins before the first byte.
    pub fn new(anchor: Option<&'a CheckedAnchor>) -> ExportVerifier<'a> {
        ExportVerifier { anchor, follows: None, line: Vec::new() }
    }

    /// The next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        // There is at least one piece; each but the last is ended by a line feed.
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.add(piece);
            self.end_line();
        }
        self.add(last);
    }

    /// Ends the verification. A last line without its line feed counts like any other.
    pub fn finish(mut self) -> Verified {
        if !self.line.is_empty() {
            self.end_line();
        }
        let (start, chain) =
            self.follows.unwrap_or_else(|| (Head::GENESIS, verifier(Head::GENESIS, self.anchor)));
        let report = chain.finish(self.anchor.map(|anchor| &anchor.anchor.head));
        let (mislabelled, mislabelled_unlisted) = (Vec::new(), 0);
        Verified { form: TrailForm::Export, start, report, mislabelled, mislabelled_unlisted }
    }

    /// A line without end must not fill the memory: one byte more than is allowed is enough to refuse it.
    fn add(&mut self, piece: &[u8]) {
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        // A byte that is no text becomes another character, and then the hash does not fit.
        let entry = Entry::from_line(&String::from_utf8_lossy(&line));
        let anchor = self.anchor;
        let start = entry.as_ref().map_or(Head::GENESIS, before);
        let (_, chain) = self.follows.get_or_insert_with(|| (start, verifier(start, anchor)));
        match entry {
            Ok(entry) => drop(chain.check(&entry)),
            Err(error) => drop(chain.unreadable(&error)),
        }
    }
}

/// The head that an entry continues. The first entry of all continues zeros, whatever it says.
fn before(entry: &Entry) -> Head {
    match entry.seq {
        0 | 1 => Head::GENESIS,
        seq => Head { seq: seq - 1, hash: entry.prev },
    }
}
