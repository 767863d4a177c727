//! The record: what happened, and its place in the chain. Knows its fields and its hash; the bytes are in
//! `encode`, the limits in `bound`.

use crate::{Action, Hash, Outcome, encode};
use haus_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An entry that has no place in the chain yet.
///
/// The texts are names and reasons, never values: a secret has no way to become one of them, since
/// [`haus_model::Secret`] cannot be printed. Texts over their limit are cut by [`seal`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEntry {
    /// When, by the clock of who writes the trail. Need not rise: clocks are set back, the number is the
    /// order.
    pub at: Timestamp,
    /// Who: `service:api/1`, `admin:uid=0`, `token:` and the first part of its id, `house`, `anonymous`.
    pub actor: String,
    /// What was done or tried.
    pub action: Action,
    /// To what: `credential:NAME`, `service:api/1`, `token:ID`, `house`.
    pub subject: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The request that caused it; the same id stands in the log and in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Where the request came from: an address, or `unix` for the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why it was denied, why it failed, or why it was done; one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// More facts by name, such as a version or a count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

impl NewEntry {
    /// An entry with what every entry must have.
    pub fn new(
        at: Timestamp,
        actor: impl Into<String>,
        action: Action,
        subject: impl Into<String>,
        outcome: Outcome,
    ) -> NewEntry {
        NewEntry {
            at,
            actor: actor.into(),
            action,
            subject: subject.into(),
            outcome,
            request_id: None,
            address: None,
            why: None,
            details: BTreeMap::new(),
        }
    }

    /// Names the request.
    #[must_use]
    pub fn request(mut self, id: impl Into<String>) -> NewEntry {
        self.request_id = Some(id.into());
        self
    }

    /// Says where the request came from.
    #[must_use]
    pub fn from_address(mut self, address: impl Into<String>) -> NewEntry {
        self.address = Some(address.into());
        self
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> NewEntry {
        self.why = Some(why.into());
        self
    }

    /// Adds one fact; the same key again replaces it.
    #[must_use]
    pub fn detail(mut self, key: impl Into<String>, value: impl Into<String>) -> NewEntry {
        self.details.insert(key.into(), value.into());
        self
    }
}

/// An entry in its place. In JSON the fields of [`NewEntry`] stand between `seq` and `prev`; what serde
/// writes is [`Entry::to_line`] byte for byte, so an answer of the API can be verified like an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number; the first entry of a house has 1.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub entry: NewEntry,
    /// The hash of the entry before, [`Hash::GENESIS`] for the first.
    pub prev: Hash,
    /// The hash of this entry over `prev`, `seq` and the body.
    pub hash: Hash,
}

/// The end of a chain, or the point where a part of it begins: a number and the hash of that entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The number of the last entry, 0 when there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// Before the first entry.
    pub const GENESIS: Head = Head { seq: 0, hash: Hash::GENESIS };
}

/// Gives an entry its place after `head`: cuts what is too long, numbers it, chains it.
///
/// Two entries sealed after one head are a fork; whoever writes must use [`Entry::head`] of the last one.
///
/// # Panics
/// After entry 2^64 - 1.
pub fn seal(head: &Head, entry: NewEntry) -> Entry {
    seal_with_body(head, entry).0
}

/// The same with the body that was hashed, for whoever keeps it.
///
/// # Panics
/// After entry 2^64 - 1.
pub fn seal_with_body(head: &Head, entry: NewEntry) -> (Entry, String) {
    let entry = entry.bounded();
    let seq = head.seq.checked_add(1).expect("a trail never has 2^64 entries");
    let body = encode::body(&entry);
    let hash = encode::digest(&head.hash, seq, &body);
    (Entry { seq, entry, prev: head.hash, hash }, body)
}

impl Entry {
    /// The canonical JSON body: what is hashed, exactly as it is stored.
    pub fn body(&self) -> String {
        encode::body(&self.entry)
    }

    /// The head of a chain that ends with this entry.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    /// The hash that this entry must have by its number, `prev` and body; another [`Entry::hash`] means that
    /// something was changed.
    pub fn computed_hash(&self) -> Hash {
        encode::digest(&self.prev, self.seq, &self.body())
    }
}
