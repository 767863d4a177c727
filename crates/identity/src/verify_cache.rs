//! Remembers verified access tokens by their hash, so that a token in use costs one signature check and not
//! one for each request. It cannot verify by itself and knows no revocation list, only that something was
//! revoked.

use crate::{Claims, TokenHash};
use haus_model::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

struct Entry {
    claims: Arc<Claims>,
    /// Asked for since the last time that room was needed.
    is_used: bool,
}

/// At most `capacity` verified tokens; when there is no room, one that was not asked for lately goes (second
/// chance).
///
/// **Epoch.** Everything that may take a right away starts a new epoch with [`VerifyCache::advance`], which
/// forgets all entries: a revoked session, a retired key, a rotation without overlap, changed scopes. A
/// verification that began in an older epoch is not kept, so it cannot bring back what was revoked meanwhile.
pub struct VerifyCache {
    capacity: usize,
    epoch: u64,
    entries: HashMap<TokenHash, Entry>,
    /// The keys of `entries`, each once.
    order: VecDeque<TokenHash>,
}

impl VerifyCache {
    /// An empty cache; with a capacity of zero it stays empty.
    pub fn new(capacity: usize) -> VerifyCache {
        VerifyCache { capacity, epoch: 0, entries: HashMap::new(), order: VecDeque::new() }
    }

    /// The epoch; read it before a verification whose result is to be kept.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Starts a new epoch and forgets everything. Called after the change is in force, before it is
    /// acknowledged.
    pub fn advance(&mut self) {
        self.epoch += 1;
        self.entries.clear();
        self.order.clear();
    }

    /// The claims of a token that was verified in this epoch and whose times hold `now`.
    pub fn get(&mut self, now: Timestamp, hash: &TokenHash) -> Option<Arc<Claims>> {
        let entry = self.entries.get_mut(hash)?;
        entry.claims.check_time(now).ok()?;
        entry.is_used = true;
        Some(Arc::clone(&entry.claims))
    }

    /// Keeps a token that [`crate::SigningKeys::verify`] accepted, unless the epoch has changed since `epoch`
    /// was read.
    pub fn insert(&mut self, now: Timestamp, epoch: u64, hash: TokenHash, claims: Arc<Claims>) {
        if epoch != self.epoch || self.capacity == 0 || claims.check_time(now).is_err() {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.claims = claims;
            return;
        }
        while self.entries.len() >= self.capacity {
            self.make_room(now);
        }
        self.entries.insert(hash, Entry { claims, is_used: false });
        self.order.push_back(hash);
    }

    /// How many tokens are kept, for a gauge.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the oldest entry away, or puts it to the end when it was used and still holds. Each entry gets
    /// one second chance, so room is made after at most one round.
    fn make_room(&mut self, now: Timestamp) {
        let Some(oldest) = self.order.pop_front() else { return };
        match self.entries.get_mut(&oldest) {
            Some(entry) if entry.is_used && entry.claims.check_time(now).is_ok() => {
                entry.is_used = false;
                self.order.push_back(oldest);
            }
            Some(_) | None => {
                self.entries.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests;
