//! Following a trail entry by entry and naming every fault, not only the first. Knows no files and no keys:
//! entries and a believed head come in, faults go out.
//!
//! Two cursors move through the trail. `tip` is the entry with the highest number so far; `line` is the one
//! read last. Both are the same until something is out of order, and an entry that continues either of them
//! is in order. An entry whose content does not fit its hash says nothing reliable about its own number, so
//! it moves only `line`, and is counted in `unsure` until a sound entry shows where the chain stands.

use crate::{Entry, Fault, Hash, Head, LineError};
use std::error::Error as _;

/// Most faults that a report lists; more are only counted. A wrecked trail must not fill the memory.
pub const FAULTS_MAX: usize = 1000;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many entries were read, sound or not.
    pub entries: u64,
    /// The end of the trail as it was read; worth something only when there are no faults.
    pub head: Head,
    /// The faults in the order in which they were found, at most [`FAULTS_MAX`]. Empty: the trail is sound.
    pub faults: Vec<Fault>,
    /// How many more faults there are than listed.
    pub faults_unlisted: u64,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// The entry read last.
#[derive(Debug)]
struct Line {
    /// Its number; believed only when `sure`.
    seq: u64,
    /// What the `prev` of the next entry may be: the stated hash, and where it differs the computed one,
    /// since either of content and hash may be what was changed. Empty when the line could not be read.
    hashes: Vec<Hash>,
    /// Whether content and hash fit.
    sure: bool,
}

/// The cause repeats parts of a text that may be hostile: it is cut, and has no control characters that a
/// terminal would obey.
fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    let shown =
        text.chars().take(CHARS_MAX).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mark = text.chars().nth(CHARS_MAX).map(|_| '…');
    shown.chain(mark).collect()
}

/// Which hashes are kept for the comparison with an anchor.
#[derive(Debug)]
enum Kept {
    /// Those of all entries: 40 bytes each.
    All(Vec<Head>),
    /// Those of one number.
    One { seq: u64, met: Vec<Head> },
}

/// Follows a trail. Feed it every entry in the order in which they stand, then [`Verifier::finish`] it.
#[derive(Debug)]
pub struct Verifier {
    start: Head,
    tip: Head,
    line: Line,
    /// Entries since `tip` whose content did not fit or that could not be read.
    unsure: u64,
    entries: u64,
    faults: Vec<Fault>,
    faults_unlisted: u64,
    kept: Kept,
}

impl Verifier {
    /// Begins after `start`: [`Head::GENESIS`] for a whole trail, the last pruned entry for a pruned one. The
    /// start is taken on trust, so take it from an anchor.
    ///
    /// Keeps 40 bytes per entry, so that [`Verifier::finish`] can take an anchor of any entry; see
    /// [`Verifier::with_anchor_at`] for trails of many millions.
    pub fn new(start: Head) -> Verifier {
        Verifier {
            start,
            tip: start,
            line: Line { seq: start.seq, hashes: vec![start.hash], sure: true },
            unsure: 0,
            entries: 0,
            faults: Vec::new(),
            faults_unlisted: 0,
            kept: Kept::All(Vec::new()),
        }
    }

    /// The same in constant memory, for a caller who knows the number of the anchor's entry beforehand. Only
    /// an anchor of that entry, or of the last one, can be given to [`Verifier::finish`].
    pub fn with_anchor_at(start: Head, seq: u64) -> Verifier {
        Verifier { kept: Kept::One { seq, met: Vec::new() }, ..Verifier::new(start) }
    }

    /// Takes the next entry and returns the first fault that it shows, if any.
    ///
    /// A [`Fault::Missing`] that is returned here leaves the report again when the entries turn up later:
    /// then they are not missing but [`Fault::Reordered`].
    pub fn check(&mut self, entry: &Entry) -> Option<Fault> {
        self.entries = self.entries.saturating_add(1);
        self.keep(entry.head());
        let computed = entry.computed_hash();
        if computed != entry.hash {
            let hashes = vec![entry.hash, computed];
            self.line = Line { seq: entry.seq, hashes, sure: false };
            self.unsure += 1;
            return Some(self.found(Fault::Changed { seq: entry.seq }));
        }
        let fault = if entry.seq > self.tip.seq { self.advance(entry) } else { self.look_back(entry) };
        self.line = Line { seq: entry.seq, hashes: vec![entry.hash], sure: true };
        fault.map(|fault| self.found(fault))
    }

    /// Takes note that the next line or row is not even an entry.
    pub fn unreadable(&mut self, error: &LineError) -> Fault {
        self.entries = self.entries.saturating_add(1);
        self.unsure += 1;
        self.line = Line { seq: self.line.seq, hashes: Vec::new(), sure: false };
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.found(Fault::Unreadable { place: self.entries, why: printable(&format!("{error}{cause}")) })
    }

    /// A sound entry with a higher number than any before.
    fn advance(&mut self, entry: &Entry) -> Option<Fault> {
        let steps = entry.seq - self.tip.seq;
        let line_fits = self.line.hashes.contains(&entry.prev);
        let in_order = (steps == 1 && entry.prev == self.tip.hash)
            || (line_fits && (!self.line.sure || self.line.seq.checked_add(1) == Some(entry.seq)));
        let unsure = std::mem::replace(&mut self.unsure, 0);
        let tip = std::mem::replace(&mut self.tip, entry.head());
        if steps - 1 > unsure {
            // The unsure ones fill the numbers behind the tip; only the last of them can be placed, where
            // this entry continues it.
            let placed = u64::from(unsure > 0 && line_fits);
            return Some(Fault::Missing { after: tip.seq + unsure - placed, next: entry.seq - placed });
        }
        // With unsure entries before it the fault has been told, and this entry may continue what stood
        // there.
        (!in_order && unsure == 0).then_some(Fault::Broken { seq: entry.seq })
    }

    /// A sound entry whose number was passed already.
    fn look_back(&mut self, entry: &Entry) -> Option<Fault> {
        let seq = entry.seq;
        if seq <= self.start.seq {
            return Some(Fault::BeforeStart { seq, start: self.start.seq });
        }
        if !self.fill_gap(seq) {
            return Some(Fault::Duplicate { seq });
        }
        // A moved block is one fault: its second entry continues its first.
        let follows = self.line.sure
            && self.line.seq.checked_add(1) == Some(seq)
            && self.line.hashes.contains(&entry.prev);
        (!follows).then_some(Fault::Reordered { seq, after: self.line.seq })
    }

    /// Takes `seq` out of the gap it was missing from; false when it was not missing.
    fn fill_gap(&mut self, seq: u64) -> bool {
        let gap = self.faults.iter().enumerate().find_map(|(at, fault)| {
            let Fault::Missing { after, next } = fault else { return None };
            (*after < seq && seq < *next).then_some((at, *after, *next))
        });
        let Some((at, after, next)) = gap else { return false };
        let mut rest = vec![(after, seq), (seq, next)];
        rest.retain(|(after, next)| next - after > 1);
        if rest.len() == 2 && self.faults.len() >= FAULTS_MAX {
            rest.remove(0);
            self.faults_unlisted = self.faults_unlisted.saturating_add(1);
        }
        let rest = rest.into_iter().map(|(after, next)| Fault::Missing { after, next });
        self.faults.splice(at..=at, rest);
        true
    }

    /// Lists a fault or, when the list is full, counts it.
    fn found(&mut self, fault: Fault) -> Fault {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault.clone());
        } else {
            self.faults_unlisted = self.faults_unlisted.saturating_add(1);
        }
        fault
    }

    /// Keeps what an anchor may have to be compared with.
    fn keep(&mut self, head: Head) {
        match &mut self.kept {
            Kept::All(heads) => heads.push(head),
            // A number that is given a thousand times is a thousand faults, not a thousand hashes.
            Kept::One { seq, met } if *seq == head.seq && met.len() < FAULTS_MAX => met.push(head),
            Kept::One { .. } => {}
        }
    }

    /// Ends the verification. Without an anchor a trail whose end was cut off looks sound, and so does one
    /// that was rewritten as a whole.
    ///
    /// The anchor's signature is checked elsewhere ([`crate::Anchor::verify`]) and before this.
    pub fn finish(mut self, anchor: Option<&Head>) -> Report {
        let head = match self.line.hashes.first() {
            Some(hash) if self.unsure > 0 => {
                Head { seq: self.tip.seq.saturating_add(self.unsure), hash: *hash }
            }
            _ => Head { seq: self.tip.seq.saturating_add(self.unsure), hash: self.tip.hash },
        };
        if let Some(fault) = anchor.and_then(|anchor| self.compare(anchor, head.seq)) {
            self.found(fault);
        }
        Report { entries: self.entries, head, faults: self.faults, faults_unlisted: self.faults_unlisted }
    }

    /// Holds the anchor against what was read.
    fn compare(&self, anchor: &Head, last_seq: u64) -> Option<Fault> {
        let seq = anchor.seq;
        if seq < self.start.seq {
            return Some(Fault::AnchorTooOld { seq, start: self.start.seq });
        }
        if seq > last_seq {
            return Some(Fault::TooShort { anchor_seq: seq, last_seq });
        }
        let kept = match &self.kept {
            Kept::All(heads) => heads,
            Kept::One { met, .. } => met,
        };
        let mut met =
            [self.start, self.tip].into_iter().chain(kept.iter().copied()).filter(|head| head.seq == seq);
        match met.next() {
            None => Some(Fault::AnchorNotMet { seq }),
            Some(first) => {
                (first != *anchor && !met.any(|head| head == *anchor)).then_some(Fault::AnchorDiffers { seq })
            }
        }
    }
}
