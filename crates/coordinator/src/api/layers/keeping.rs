//! What is kept of a request with an `Idempotency-Key`, and how much of it for one caller.
//!
//! Threat: a mark of the request that needs no key lets a thief of the database try out values until one
//! fits; and a caller with a fresh key for each request fills the disk. So marks are made with a key of the
//! ring, and every caller has a budget.

use aws_lc_rs::{constant_time, hmac};
use axum::body::Bytes;
use axum::http::Method;
use haus_api::{Problem, ProblemCode};
use haus_model::Timestamp;
use haus_vault::KeyRing;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the marks' key is derived for.
const PURPOSE: &str = "idempotency";

/// Answers that are kept for one caller, and their bytes. Counted from the start of the core.
const KEPT_MAX: usize = 4_096;
const KEPT_BYTES_MAX: usize = 16 << 20;

/// Seconds after which some of a budget may have come back.
const RETRY_AFTER_S: u64 = 60;

/// An answer as it stands in the ledger's column `body`, as JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// It held a secret, so nothing of it is here.
    #[serde(default)]
    pub secret: bool,
    #[serde(default)]
    pub body: String,
}

impl Kept {
    /// What is kept of an answer with a secret.
    pub(super) fn secret() -> Kept {
        Kept { etag: None, location: None, secret: true, body: String::new() }
    }

    /// As it was written.
    pub(super) fn of(bytes: &[u8]) -> Option<Kept> {
        serde_json::from_slice(bytes).ok()
    }

    /// To be written.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and a flag can always be written")
    }
}

/// The mark of a request under each key of the ring, that of the active one first.
pub(super) struct Mark(Vec<[u8; 32]>);

impl Mark {
    /// HMAC-SHA256 of what was asked.
    pub(super) fn of(ring: &KeyRing, method: &Method, target: &str, body: &Bytes) -> Mark {
        let active = *ring.active();
        let others = ring.ids().into_iter().filter(|id| *id != active);
        let keys = std::iter::once(active).chain(others).filter_map(|id| ring.derive(&id, PURPOSE));
        Mark(keys.map(|key| mark(key.expose_bytes(), method, target, body)).collect())
    }

    /// The one to be kept.
    pub(super) fn newest(&self) -> [u8; 32] {
        *self.0.first().expect("a ring has its active key")
    }

    /// Whether the same was asked.
    pub(super) fn is(&self, kept: &[u8; 32]) -> bool {
        self.0.iter().any(|mark| constant_time::verify_slices_are_equal(mark, kept).is_ok())
    }
}

fn mark(key: &[u8], method: &Method, target: &str, body: &Bytes) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in [method.as_str().as_bytes(), b" ", target.as_bytes(), b"\n", body] {
        context.update(part);
    }
    context.sign().as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

/// Whose requests are under way, and what was kept for whom.
#[derive(Default)]
pub(crate) struct Memory {
    underway: Mutex<BTreeSet<(String, String)>>,
    kept: Mutex<BTreeMap<String, Budget>>,
}

/// What is kept for one caller, oldest first, with bytes.
#[derive(Default)]
struct Budget {
    kept: VecDeque<(Timestamp, usize)>,
    bytes: usize,
}

impl Budget {
    fn forget(&mut self, now: Timestamp) {
        while let Some((_, bytes)) = self.kept.front().filter(|(until, _)| *until <= now).copied() {
            self.kept.pop_front();
            self.bytes -= bytes;
        }
    }

    fn is_spent(&self) -> bool {
        self.kept.len() >= KEPT_MAX || self.bytes >= KEPT_BYTES_MAX
    }
}

impl Memory {
    /// The right to work on a caller's key.
    ///
    /// # Errors
    /// Somebody works on it, or too much is kept for this caller.
    pub(super) fn turn(&self, actor: String, key: String, now: Timestamp) -> Result<Turn<'_>, Problem> {
        if self.is_spent(&actor, now) {
            let detail = "as many answers are kept for this caller as one may have within a day";
            return Err(Problem::new(ProblemCode::TooManyRequests, detail)
                .with_hint("ask without an Idempotency-Key, or later")
                .with_retry_after(RETRY_AFTER_S));
        }
        let name = (actor, key);
        if !self.underway().insert(name.clone()) {
            let detail = "a request with this Idempotency-Key is under way";
            return Err(Problem::new(ProblemCode::Busy, detail)
                .with_hint("wait for its answer")
                .with_retry_after(1));
        }
        Ok(Turn { memory: self, name })
    }

    fn is_spent(&self, actor: &str, now: Timestamp) -> bool {
        let mut kept = self.kept();
        kept.retain(|_, budget| {
            budget.forget(now);
            !budget.kept.is_empty()
        });
        kept.get(actor).is_some_and(Budget::is_spent)
    }

    fn underway(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Budget>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work on a caller's key, given back when it is dropped.
pub(super) struct Turn<'a> {
    memory: &'a Memory,
    name: (String, String),
}

impl Turn<'_> {
    /// The caller.
    pub(super) fn actor(&self) -> &str {
        &self.name.0
    }

    /// The key.
    pub(super) fn key(&self) -> &str {
        &self.name.1
    }

    /// Counts an answer that is kept.
    pub(super) fn spend(&self, until: Timestamp, bytes: usize) {
        let mut kept = self.memory.kept();
        let budget = kept.entry(self.name.0.clone()).or_default();
        budget.kept.push_back((until, bytes));
        budget.bytes += bytes;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.memory.underway().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_vault::SystemEntropy;

    fn mark_of(ring: &KeyRing, target: &str) -> Mark {
        Mark::of(ring, &Method::POST, target, &Bytes::from_static(b"{\"value\":\"summer2026\"}"))
    }

    #[test]
    fn a_mark_cannot_be_made_without_the_ring_and_outlives_its_rotation() {
        let mut ring = KeyRing::generate(&mut SystemEntropy).unwrap();
        let kept = mark_of(&ring, "/api/credentials").newest();
        let other = KeyRing::generate(&mut SystemEntropy).unwrap();
        assert!(!mark_of(&other, "/api/credentials").is(&kept), "it needs no key");
        assert!(!mark_of(&ring, "/api/tokens").is(&kept));
        ring.rotate(&mut SystemEntropy).unwrap();
        assert!(mark_of(&ring, "/api/credentials").is(&kept));
        assert_ne!(mark_of(&ring, "/api/credentials").newest(), kept);
    }

    #[test]
    fn a_caller_has_a_budget_that_comes_back_and_is_its_own() {
        let memory = Memory::default();
        let turn = |actor: &str, at| memory.turn(actor.to_owned(), "k".to_owned(), Timestamp(at));
        for bytes in 0..KEPT_MAX {
            turn("a", 0).unwrap().spend(Timestamp(1_000), bytes % 2);
        }
        assert_eq!(turn("a", 999).err().unwrap().code, ProblemCode::TooManyRequests);
        assert!(turn("b", 999).is_ok());
        assert!(turn("a", 1_000).is_ok());
        assert!(memory.kept().is_empty(), "who has nothing kept is forgotten");
        turn("a", 0).unwrap().spend(Timestamp(1_000), KEPT_BYTES_MAX);
        assert_eq!(turn("a", 0).err().unwrap().code, ProblemCode::TooManyRequests);
    }

    #[test]
    fn one_key_is_worked_on_once_at_a_time() {
        let memory = Memory::default();
        let turn = || memory.turn("a".to_owned(), "k".to_owned(), Timestamp(0));
        let first = turn().unwrap();
        assert_eq!(turn().err().unwrap().code, ProblemCode::Busy);
        drop(first);
        assert!(turn().is_ok());
    }
}
