//! The audit trail: who did what to what, in a chain of hashes in which nothing can be changed unseen.
//!
//! Owns the record, its bytes, the chain, its verification and the anchor that holds the chain from outside.
//! It does not know who writes entries, where they are kept, how anchors are signed, or what time it is.
//! The bytes are described in `docs/formats/trail.md`.

mod action;
mod anchor;
mod bound;
mod encode;
mod entry;
mod fault;
mod hash;
mod line;
mod verify;

pub use action::{Action, Outcome, UnknownAction, UnknownOutcome};
pub use anchor::{Anchor, AnchorError, SignedAnchor};
pub use bound::{
    ADDRESS_BYTES_MAX, DETAIL_KEY_BYTES_MAX, DETAIL_VALUE_BYTES_MAX, DETAILS_MAX, NAME_BYTES_MAX,
    REQUEST_ID_BYTES_MAX, WHY_BYTES_MAX,
};
pub use entry::{Entry, Head, NewEntry, seal, seal_with_body};
pub use fault::Fault;
pub use hash::{Hash, HashError};
pub use line::{LINE_BYTES_MAX, LineError};
pub use verify::{FAULTS_MAX, Report, Verifier};
