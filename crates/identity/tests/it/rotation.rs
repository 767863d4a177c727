//! Tokens across the replacement of the key that signed them.

use crate::house::{NOW, claims, keys};
use haus_identity::{Claims, KEY_OVERLAP, SigningKeys, TokenError};
use haus_model::Timestamp;
use std::time::Duration;

fn token_of(keys: &SigningKeys, claims: &Claims) -> String {
    let token = keys.sign(claims).expect("sound claims");
    String::from_utf8(token.expose_bytes().to_vec()).expect("ASCII")
}

/// A token made at [`NOW`], the key replaced in the same moment, looked at `later`.
#[track_caller]
fn check(overlap: Duration, later: Duration, expected: Result<(), fn(&TokenError) -> bool>) {
    let mut keys = keys();
    let token = token_of(&keys, &claims());
    keys.rotate(NOW, overlap).expect("room for a key");
    let answer = keys.verify(&token, NOW.after(later), "haus:zimmer:api", "haus:zimmer");
    match (answer, expected) {
        (Ok(_), Ok(())) => {}
        (Err(error), Err(is_expected)) if is_expected(&error) => {}
        (answer, _) => panic!("{answer:?}"),
    }
}

fn is_retired(error: &TokenError) -> bool {
    matches!(error, TokenError::RetiredKey { .. })
}

fn is_expired(error: &TokenError) -> bool {
    matches!(error, TokenError::Expired { .. })
}

#[test]
fn no_token_dies_early_by_an_ordinary_rotation() {
    let life = haus_identity::ACCESS_TTL;
    check(KEY_OVERLAP, Duration::ZERO, Ok(()));
    check(KEY_OVERLAP, life - Duration::from_millis(1), Ok(()));
    check(KEY_OVERLAP, life, Err(is_expired));
    check(KEY_OVERLAP, KEY_OVERLAP, Err(is_retired));
    assert_eq!(KEY_OVERLAP, life + haus_identity::LEEWAY);
}

#[test]
fn a_rotation_without_overlap_ends_every_token_at_once() {
    check(Duration::ZERO, Duration::ZERO, Err(is_retired));
}

#[test]
fn the_key_of_a_retired_id_is_refused_before_and_after_it_is_dropped() {
    let mut keys = keys();
    let old = keys.active_kid().to_owned();
    let token = token_of(&keys, &claims());
    keys.rotate(NOW, Duration::from_secs(5)).unwrap();
    let at = NOW.after(Duration::from_secs(5));
    let verify = |keys: &SigningKeys, now| keys.verify(&token, now, "haus:zimmer:api", "haus:zimmer");
    assert_eq!(verify(&keys, Timestamp(at.0 - 1)), Ok(claims()));
    assert_eq!(verify(&keys, at), Err(TokenError::RetiredKey { kid: old.clone(), at }));
    keys.drop_expired(at);
    assert_eq!(verify(&keys, at), Err(TokenError::UnknownKey { kid: old }));
}

#[test]
fn new_tokens_carry_the_new_key_and_survive_a_restart() {
    let mut keys = keys();
    let kid = keys.rotate(NOW, KEY_OVERLAP).unwrap();
    let token = token_of(&keys, &claims());
    let again = SigningKeys::from_records(keys.records()).unwrap();
    assert_eq!(again.verify(&token, NOW, "haus:zimmer:api", "haus:zimmer"), Ok(claims()));
    assert_eq!(again.active_kid(), kid);
}

#[test]
fn a_token_that_would_be_refused_is_not_made() {
    let keys = keys();
    let long = Claims { exp: claims().exp + 1, ..claims() };
    assert!(matches!(keys.sign(&long), Err(TokenError::Claims { .. })));
    let longest = |n| format!("registry:write:service-{n:055}").parse().unwrap();
    assert!(keys.sign(&Claims { scope: (0..30).map(longest).collect(), ..claims() }).is_ok());
    let scope = (0..200).map(|n| format!("gateway:call:service-{n}").parse().unwrap()).collect();
    assert!(matches!(keys.sign(&Claims { scope, ..claims() }), Err(TokenError::TooLong { .. })));
}
