//! Slows down whoever presents wrong tokens. A pure state machine: the time is an argument, the caller counts
//! the failures. It knows no request and no header, so no header can tell it that somebody is somebody else.

use aws_lc_rs::digest::{SHA256, digest};
use haus_model::Timestamp;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Whose failures are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKey {
    /// A machine: its IPv4 address, or the /64 of its IPv6 address, since one machine owns all of that.
    Network(IpAddr),
    /// The account at the other end of a Unix socket.
    Account(u32),
    /// Eight bytes of the hash of what was presented, where all callers share one address.
    Presented([u8; 8]),
}

impl LimitKey {
    /// The key for a connection. `peer` is the address of the socket, never one that a header names. Behind
    /// loopback sit all services of the house, so there the token counts: one with a wrong token must not
    /// lock out the others.
    pub fn of_peer(peer: IpAddr, presented: &str) -> LimitKey {
        match peer.to_canonical() {
            peer if peer.is_loopback() => {
                let hash = digest(&SHA256, presented.as_bytes());
                LimitKey::Presented(hash.as_ref()[..8].try_into().expect("SHA-256 has 32 bytes"))
            }
            IpAddr::V6(peer) => {
                let network = peer.to_bits() & (u128::MAX << 64);
                LimitKey::Network(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            peer @ IpAddr::V4(_) => LimitKey::Network(peer),
        }
    }
}

/// How many failures are borne, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Failures within `window` after which a key is blocked; at least one.
    pub failures_max: usize,
    /// The span in which failures count.
    pub window: Duration,
    /// The first block; at least `window`. Each one that follows is twice as long.
    pub block_first: Duration,
    /// The longest block.
    pub block_max: Duration,
    /// How many keys are remembered; the one that failed longest ago is forgotten first.
    pub keys_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            failures_max: 10,
            window: Duration::from_secs(60),
            block_first: Duration::from_secs(60),
            block_max: Duration::from_secs(300),
            keys_max: 4096,
        }
    }
}

/// Come back after this span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// Whole seconds for a `Retry-After` header, rounded up: whoever obeys it is never too early.
    pub fn seconds(self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too many wrong tokens; try again in {} s", self.seconds())
    }
}

impl std::error::Error for RetryAfter {}

#[derive(Default)]
struct Record {
    /// Times of the failures that may still count, at most `failures_max`.
    failures: VecDeque<Timestamp>,
    /// When the block began and how long it is.
    block: Option<(Timestamp, Duration)>,
    /// Blocks without a quiet time between.
    blocks_in_row: u32,
    /// The place in `Limiter::order`.
    turn: u64,
}

impl Record {
    /// What remains of the block. Never more than its length, also when the clock went backwards.
    fn remaining(&self, now: Timestamp) -> Option<Duration> {
        let (since, length) = self.block?;
        Some(length.saturating_sub(now.since(since))).filter(|rest| !rest.is_zero())
    }
}

/// Counts failures for each key in a sliding window: never more than `failures_max` of them fit into any span
/// of the length of the window, which a bucket that is filled up again meanwhile would allow.
///
/// A request first asks [`Limiter::allowed`], then reports [`Limiter::fail`] or [`Limiter::succeed`].
/// Requests that are refused because of a block are not reported; they neither count nor prolong it. Times
/// are those of one clock, preferably monotonic.
pub struct Limiter {
    settings: Settings,
    records: HashMap<LimitKey, Record>,
    /// Keys by their last failure, oldest first.
    order: BTreeMap<u64, LimitKey>,
    turns: u64,
}

impl Default for Limiter {
    fn default() -> Limiter {
        Limiter::new(Settings::default())
    }
}

impl Limiter {
    /// Nobody has failed yet. Settings below their least sensible value are raised to it.
    pub fn new(settings: Settings) -> Limiter {
        let block_first = settings.block_first.max(settings.window);
        let settings = Settings {
            failures_max: settings.failures_max.max(1),
            block_first,
            block_max: settings.block_max.max(block_first),
            keys_max: settings.keys_max.max(1),
            ..settings
        };
        Limiter { settings, records: HashMap::new(), order: BTreeMap::new(), turns: 0 }
    }

    /// Whether a token of this key may be looked at now. Asking changes nothing.
    ///
    /// # Errors
    /// How long the block lasts.
    pub fn allowed(&self, now: Timestamp, key: LimitKey) -> Result<(), RetryAfter> {
        match self.records.get(&key).and_then(|record| record.remaining(now)) {
            Some(rest) => Err(RetryAfter(rest)),
            None => Ok(()),
        }
    }

    /// Counts a wrong token. Returns the length of the block when this one caused it, for the trail.
    ///
    /// Requests that were allowed before a block and fail during it are not counted.
    pub fn fail(&mut self, now: Timestamp, key: LimitKey) -> Option<Duration> {
        let Settings { failures_max, window, block_first, block_max, keys_max: _ } = self.settings;
        let record = self.touch(key);
        if record.remaining(now).is_some() {
            return None;
        }
        if let Some((since, length)) = record.block
            && now.since(since) >= length + block_max
        {
            (record.block, record.blocks_in_row) = (None, 0);
        }
        record.failures.retain(|at| now.since(*at) < window);
        record.failures.push_back(now);
        if record.failures.len() < failures_max {
            return None;
        }
        let length = block_first.saturating_mul(1 << record.blocks_in_row.min(16)).min(block_max);
        record.failures.clear();
        record.block = Some((now, length));
        record.blocks_in_row = record.blocks_in_row.saturating_add(1);
        Some(length)
    }

    /// A right token: the failures of its key are forgotten. A block that runs stays, since only a request
    /// from before it can report this.
    pub fn succeed(&mut self, now: Timestamp, key: LimitKey) {
        if self.allowed(now, key).is_ok()
            && let Some(record) = self.records.remove(&key)
        {
            self.order.remove(&record.turn);
        }
    }

    /// How many keys are remembered, for a gauge.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record of a key as the newest one, with room made when it is a new key.
    fn touch(&mut self, key: LimitKey) -> &mut Record {
        match self.records.get(&key) {
            Some(record) => {
                self.order.remove(&record.turn);
            }
            None if self.records.len() >= self.settings.keys_max => {
                if let Some((_, oldest)) = self.order.pop_first() {
                    self.records.remove(&oldest);
                }
            }
            None => {}
        }
        self.turns += 1;
        self.order.insert(self.turns, key);
        let record = self.records.entry(key).or_default();
        record.turn = self.turns;
        record
    }
}

#[cfg(test)]
mod tests;
