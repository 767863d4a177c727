//! What the guard keeps in memory: verified tokens, what is revoked, and who failed how often. It asks no
//! clock.

use haus_identity::limiter::Settings;
use haus_identity::{Claims, Limiter, VerifyCache};
use haus_model::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Verified tokens that are remembered.
const VERIFIED_MAX: usize = 8_192;

/// Refusals by scope that one caller may collect in a minute before it has to wait.
const DENIALS_MAX: usize = 120;

/// Entries about tokens that nobody knows, in one minute. Anybody can cause them, so they must not be able to
/// fill the disk. Those that were good once are not among them: each has a limit of its own.
const ENTRIES_MAX: u32 = 60;

const MINUTE: Duration = Duration::from_secs(60);

/// The guard's memory.
pub(super) struct Memory {
    /// Tokens that were verified.
    pub verified: VerifyCache,
    /// Wrong tokens.
    pub failures: Limiter,
    /// Tokens that were good once, by what they belong to. Strangers cannot push anybody out of it.
    pub worn: Limiter,
    /// Refusals of callers who are known.
    pub denials: Limiter,
    /// Entries about tokens that nobody knows.
    pub entries: Budget,
    /// `jti:…` and `sid:…` with the time until which nothing signed before can be valid, and the reason.
    revoked: BTreeMap<String, (Timestamp, String)>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            verified: VerifyCache::new(VERIFIED_MAX),
            failures: Limiter::default(),
            worn: Limiter::default(),
            denials: Limiter::new(Settings { failures_max: DENIALS_MAX, ..Settings::default() }),
            entries: Budget::default(),
            revoked: BTreeMap::new(),
        }
    }
}

impl Memory {
    /// Revokes, and forgets every verification made before.
    pub(super) fn revoke(&mut self, what: String, until: Timestamp, why: String) {
        let kept = self.revoked.entry(what).or_insert((until, why));
        kept.0 = kept.0.max(until);
        self.verified.advance();
    }

    /// Why these claims hold no more.
    pub(super) fn why_revoked(&self, claims: &Claims, now: Timestamp) -> Option<String> {
        let names = [format!("jti:{}", claims.jti), format!("sid:{}", claims.sid)];
        let found = names.iter().find_map(|name| self.revoked.get(name).filter(|(until, _)| *until > now));
        found.map(|(_, why)| format!("it was revoked: {why}"))
    }

    /// Forgets revocations that no token can need any more.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.revoked.retain(|_, (until, _)| *until > now);
    }
}

/// At most so many of something in a minute; counts what was too much.
#[derive(Default)]
pub(super) struct Budget {
    since: Timestamp,
    taken: u32,
    beyond: u64,
}

impl Budget {
    /// Takes one; tells how many were refused since the last that was given.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<u64> {
        if now.since(self.since) >= MINUTE {
            (self.since, self.taken) = (now, 0);
        }
        if self.taken >= ENTRIES_MAX {
            self.beyond += 1;
            return None;
        }
        self.taken += 1;
        Some(std::mem::take(&mut self.beyond))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_sixty_entries_and_the_next_one_tells_what_was_left_out() {
        let mut budget = Budget::default();
        let given = (0..100).filter(|at| budget.take(Timestamp(*at)).is_some()).count();
        assert_eq!(given, 60);
        assert_eq!(budget.take(Timestamp(59_999)), None);
        assert_eq!(budget.take(Timestamp(60_000)), Some(41));
        assert_eq!(budget.take(Timestamp(60_001)), Some(0));
    }

    #[test]
    fn a_revocation_is_forgotten_when_nothing_signed_before_can_be_valid() {
        let mut memory = Memory::default();
        memory.revoke("sid:s-1".to_owned(), Timestamp(10), "test".to_owned());
        memory.revoke("sid:s-1".to_owned(), Timestamp(5), "again".to_owned());
        memory.forget(Timestamp(9));
        assert_eq!(memory.revoked["sid:s-1"], (Timestamp(10), "test".to_owned()));
        memory.forget(Timestamp(10));
        assert!(memory.revoked.is_empty());
    }
}
