//! What can be wrong with a trail, one sentence each. Knows no reason why; `docs/formats/trail.md` says what
//! to do about each.

use serde::Serialize;

/// One fault of a trail. Numbers are those of entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// Content and hash of an entry do not fit each other.
    #[error("entry {seq} was changed: its hash does not fit its content")]
    Changed {
        /// The number that the entry bears.
        seq: u64,
    },
    /// Entries are missing between two others.
    #[error("{} missing: entry {after} is followed by entry {next}", missing(*after, *next))]
    Missing {
        /// The last entry before the gap; 0, or where a pruned trail begins, when the gap is at the front.
        after: u64,
        /// The first entry behind the gap.
        next: u64,
    },
    /// An entry stands behind one with a higher number.
    #[error("entry {seq} stands in the wrong place: it comes after entry {after}")]
    Reordered {
        /// The entry.
        seq: u64,
        /// The entry right before it.
        after: u64,
    },
    /// A number is given twice.
    #[error("number {seq} is given to more than one entry: one was copied or inserted")]
    Duplicate {
        /// The number.
        seq: u64,
    },
    /// An entry is whole in itself, but continues another entry than the one before it.
    #[error("entry {seq} does not continue the entry before it: one of the two was replaced, hash and all")]
    Broken {
        /// The entry whose `prev` does not fit.
        seq: u64,
    },
    /// An entry from before the point where this trail begins.
    #[error("entry {seq} does not belong here: this trail begins after entry {start}")]
    BeforeStart {
        /// The entry.
        seq: u64,
        /// Where the trail begins.
        start: u64,
    },
    /// A line or row could not be read as an entry.
    #[error("entry {place} of the input, counted from 1, cannot be read: {why}")]
    Unreadable {
        /// Which one of the input.
        place: u64,
        /// The [`crate::LineError`] with its causes.
        why: String,
    },
    /// The trail ends before the entry that the anchor holds.
    #[error("the trail was cut: the anchor holds entry {anchor_seq}, but the last entry is {last_seq}")]
    TooShort {
        /// The entry that must exist.
        anchor_seq: u64,
        /// The last one that does.
        last_seq: u64,
    },
    /// The entry that the anchor holds is there with another hash: it or one before it was replaced.
    #[error("entry {seq} is not the one that the anchor holds: the trail up to it was replaced")]
    AnchorDiffers {
        /// The entry.
        seq: u64,
    },
    /// The trail goes past the anchor's number without an entry of that number that could be compared.
    #[error("the anchor holds entry {seq}, which was not found although the trail goes on behind it")]
    AnchorNotMet {
        /// The entry.
        seq: u64,
    },
    /// The anchor holds an entry that was pruned, so it says nothing about this trail.
    #[error("the anchor holds entry {seq}, but this trail begins after entry {start}: take a later anchor")]
    AnchorTooOld {
        /// The entry.
        seq: u64,
        /// Where the trail begins.
        start: u64,
    },
}

/// `entry 7 is` or `entries 7 to 9 are`.
fn missing(after: u64, next: u64) -> String {
    let (first, last) = (after.saturating_add(1), next.saturating_sub(1));
    if first == last { format!("entry {first} is") } else { format!("entries {first} to {last} are") }
}
