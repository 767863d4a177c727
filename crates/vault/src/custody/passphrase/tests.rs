//! The sealed ring: opens with its passphrase only, and nobody makes us spend more than the limits.

use super::*;
use crate::entropy::tests::CountedEntropy;

const PASSPHRASE: &str = "gaslight otter plinth rumor basil";

fn passphrase(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

fn ring() -> KeyRing {
    KeyRing::generate(&mut CountedEntropy::default()).unwrap()
}

fn sealed() -> String {
    let mut entropy = CountedEntropy::default();
    let sealed = seal_ring(&ring(), &passphrase(PASSPHRASE), Cost::LEAST, &mut entropy).unwrap();
    String::from_utf8(sealed.expose_bytes().to_vec()).unwrap()
}

fn check(document: String, with: &str, expected: Option<SealedRingError>) {
    let opened = open_ring(&Secret::from(document), &passphrase(with));
    assert_eq!(opened.err(), expected);
}

#[test]
fn only_its_passphrase_opens_it() {
    let (opened, cost) = open_ring(&Secret::from(sealed()), &passphrase(PASSPHRASE)).unwrap();
    assert_eq!((opened.ids(), cost), (ring().ids(), Cost::LEAST));
    check(sealed(), "gaslight otter plinth rumor basil ", Some(SealedRingError::Closed));
    check(sealed(), "", Some(SealedRingError::Length));
}

#[test]
fn every_changed_field_keeps_it_closed() {
    let document = sealed();
    check(document.replace("\"passes\": 2", "\"passes\": 3"), PASSPHRASE, Some(SealedRingError::Closed));
    check(document.replace("\"lanes\": 1", "\"lanes\": 2"), PASSPHRASE, Some(SealedRingError::Closed));
    for field in ["salt", "nonce", "sealed"] {
        let at = document.find(&format!("\"{field}\": \"")).unwrap() + field.len() + 5;
        let mut changed = document.clone().into_bytes();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        check(String::from_utf8(changed).unwrap(), PASSPHRASE, Some(SealedRingError::Closed));
    }
}

#[test]
fn other_files_are_refused_before_any_work() {
    let document = sealed();
    for other in ["", "{}", "haus key ring 1\n", &document[..document.len() / 2]] {
        check(other.to_owned(), PASSPHRASE, Some(SealedRingError::Format));
    }
    check(document.replace("ring 1", "ring 2"), PASSPHRASE, Some(SealedRingError::Format));
    check(document.replace("argon2id", "argon2i"), PASSPHRASE, Some(SealedRingError::Format));
    check(document.replace("\"kdf\"", "\"x\": 1, \"kdf\""), PASSPHRASE, Some(SealedRingError::Format));
}

#[test]
fn a_cost_outside_the_limits_is_refused_before_it_is_paid() {
    for (memory_kib, passes, lanes) in
        [(u32::MAX, 2, 1), (8, 2, 1), (19_456, u32::MAX, 1), (19_456, 1, 1), (19_456, 2, 5), (1 << 20, 5, 1)]
    {
        let document = sealed()
            .replace("\"memory_kib\": 19456", &format!("\"memory_kib\": {memory_kib}"))
            .replace("\"passes\": 2", &format!("\"passes\": {passes}"))
            .replace("\"lanes\": 1", &format!("\"lanes\": {lanes}"));
        check(document, PASSPHRASE, Some(SealedRingError::Cost { memory_kib, passes, lanes }));
    }
    assert!(Cost::default().is_within_limits());
}

#[test]
fn a_passphrase_that_is_guessed_seals_nothing() {
    for weak in ["", "changeme", "aaaaaaaaaaaaaaaa", "ababababababab", "äöüäöü"] {
        let refused = seal_ring(&ring(), &passphrase(weak), Cost::LEAST, &mut CountedEntropy::default());
        assert_eq!(refused.err(), Some(SealedRingError::Weak), "{weak}");
    }
    let long = passphrase(&PASSPHRASE.repeat(40));
    let refused = seal_ring(&ring(), &long, Cost::LEAST, &mut CountedEntropy::default());
    assert_eq!(refused.err(), Some(SealedRingError::Length));
}

#[test]
fn the_file_shows_neither_key_nor_passphrase() {
    let document = sealed();
    let text = String::from_utf8(ring().render().expose_bytes().to_vec()).unwrap();
    let key = text.trim_end().rsplit(' ').next().unwrap();
    assert!(!document.contains(PASSPHRASE) && !document.contains(key));
    let error = open_ring(&Secret::from(document), &passphrase("another passphrase")).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("another"));
}
