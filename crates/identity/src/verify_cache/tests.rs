//! The cache never says more than a verification would have said.

use super::*;
use crate::{Grant, Subject};

fn claims_at(seconds: i64) -> Arc<Claims> {
    let subject = Subject::Token { name: "x".into() };
    let grant = Grant { subject, scope: vec![], sid: "s".into(), jti: "j".into() };
    Arc::new(Claims::issue(&"home".parse().unwrap(), grant, Timestamp(seconds * 1000)))
}

/// Inserts `inserted` in order at time zero, asking for `asked` after each, and looks at what is left.
#[track_caller]
fn check(capacity: usize, inserted: &[&str], asked: &str, left: &[&str]) {
    let mut cache = VerifyCache::new(capacity);
    for token in inserted {
        cache.insert(Timestamp(0), 0, TokenHash::of(token), claims_at(0));
        cache.get(Timestamp(0), &TokenHash::of(asked));
        assert!(cache.len() <= capacity && cache.order.len() == cache.len());
    }
    let kept = |token: &&&str| cache.entries.contains_key(&TokenHash::of(token));
    assert_eq!(inserted.iter().filter(kept).collect::<Vec<_>>(), left.iter().collect::<Vec<_>>());
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    check(2, &["a", "b", "c"], "none", &["b", "c"]);
    check(2, &["a", "b", "c", "d"], "a", &["a", "d"]);
    check(1, &["a", "b"], "a", &["b"]);
    check(0, &["a"], "a", &[]);
}

#[test]
fn an_entry_ends_with_its_token() {
    let mut cache = VerifyCache::new(4);
    let hash = TokenHash::of("a");
    cache.insert(Timestamp(0), 0, hash, claims_at(0));
    assert!(cache.get(Timestamp(899_999), &hash).is_some());
    assert!(cache.get(Timestamp(900_000), &hash).is_none());
    // A clock that went back far makes it a token of the future, as a verification would say.
    assert!(cache.get(Timestamp(-30_001), &hash).is_none());
    cache.insert(Timestamp(900_000), 0, TokenHash::of("late"), claims_at(0));
    assert_eq!(cache.len(), 1, "what has expired is not kept");
}

#[test]
fn an_expired_entry_gets_no_second_chance() {
    let mut cache = VerifyCache::new(1);
    cache.insert(Timestamp(0), 0, TokenHash::of("a"), claims_at(0));
    cache.get(Timestamp(0), &TokenHash::of("a"));
    cache.insert(Timestamp(900_000), 0, TokenHash::of("b"), claims_at(900));
    assert!(cache.get(Timestamp(900_000), &TokenHash::of("b")).is_some());
}

#[test]
fn a_new_epoch_forgets_everything() {
    let mut cache = VerifyCache::new(4);
    cache.insert(Timestamp(0), cache.epoch(), TokenHash::of("a"), claims_at(0));
    cache.advance();
    assert!(cache.is_empty() && cache.get(Timestamp(0), &TokenHash::of("a")).is_none());
}

#[test]
fn a_verification_from_before_a_revocation_is_not_kept() {
    let mut cache = VerifyCache::new(4);
    let epoch = cache.epoch();
    cache.advance();
    cache.insert(Timestamp(0), epoch, TokenHash::of("a"), claims_at(0));
    assert!(cache.is_empty());
}
