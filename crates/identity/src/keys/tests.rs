//! The life of a signing key, and what is refused when keys are read back.

use super::*;
use crate::KEY_OVERLAP;

fn keys() -> SigningKeys {
    SigningKeys::generate(Timestamp(1000)).unwrap()
}

/// Reads the records of a house that rotated once, after a change to them.
#[track_caller]
fn check(change: impl Fn(&mut Vec<KeyRecord>), expected: Option<&str>) {
    let mut keys = keys();
    keys.rotate(Timestamp(2000), KEY_OVERLAP).unwrap();
    let mut records = keys.records();
    change(&mut records);
    match (SigningKeys::from_records(records), expected) {
        (Ok(_), None) => {}
        (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
        (result, _) => panic!("{result:?}, expected {expected:?}"),
    }
}

#[test]
fn keys_survive_their_records_in_any_order() {
    check(|_| (), None);
    check(|records| records.reverse(), None);
    let mut keys = keys();
    keys.rotate(Timestamp(2000), KEY_OVERLAP).unwrap();
    let again = SigningKeys::from_records(keys.records()).unwrap();
    assert_eq!(again.records(), keys.records());
    assert_eq!(again.jwks(), keys.jwks());
}

#[test]
fn records_whose_parts_do_not_belong_together_are_refused() {
    let foreign = keys().records().remove(0);
    check(|records| records[0].kid = foreign.kid.clone(), Some("does not follow from the public key"));
    check(|records| records[0].public[0] ^= 1, Some("does not follow from the public key"));
    check(|records| records[0].pkcs8 = foreign.pkcs8.clone(), Some("belongs to another public key"));
    check(|records| records[0].pkcs8 = Secret::default(), Some("no Ed25519 key"));
    check(|records| records[0].pkcs8 = Secret::new(vec![0x30; 48]), Some("no Ed25519 key"));
}

#[test]
fn exactly_one_key_signs() {
    check(Vec::clear, Some("0 of the stored"));
    check(|records| drop(records.remove(0)), Some("0 of the stored"));
    check(|records| records.push(keys().records().remove(0)), Some("2 of the stored"));
    check(|records| records[1].retires_at = None, Some("no Ed25519 key"));
}

#[test]
fn a_key_is_stored_once() {
    check(|records| records.push(records[1].clone()), Some("stored twice"));
    check(
        |records| {
            let copy = KeyRecord { retires_at: Some(Timestamp(9)), ..records[0].clone() };
            records.push(copy);
        },
        Some("stored twice"),
    );
}

#[test]
fn a_replaced_key_forgets_its_private_half() {
    let mut keys = keys();
    let old = keys.records().remove(0);
    assert_eq!(old.pkcs8.expose_bytes().len(), 48);
    let kid = keys.rotate(Timestamp(2000), Duration::from_secs(5)).unwrap();
    let records = keys.records();
    assert_eq!((records[0].kid.as_str(), records[0].made_at), (kid.as_str(), Timestamp(2000)));
    assert_eq!((records[0].retires_at, records[1].retires_at), (None, Some(Timestamp(7000))));
    assert_eq!((&records[1].kid, records[1].pkcs8.expose_bytes()), (&old.kid, &[][..]));
    // Also when an older store still had it.
    let kept = KeyRecord { pkcs8: old.pkcs8, ..records[1].clone() };
    let again = SigningKeys::from_records(vec![records[0].clone(), kept]).unwrap();
    assert!(again.records()[1].pkcs8.expose_bytes().is_empty());
}

#[test]
fn keys_are_dropped_at_the_end_of_their_overlap_and_not_before() {
    let mut keys = keys();
    let first = keys.active_kid().to_owned();
    keys.rotate(Timestamp(2000), Duration::from_secs(5)).unwrap();
    assert_eq!(keys.drop_expired(Timestamp(6999)), Vec::<String>::new());
    assert_eq!(keys.drop_expired(Timestamp(7000)), [first]);
    assert_eq!(keys.records().len(), 1);
}

#[test]
fn rotating_without_end_is_refused_until_a_key_retires() {
    let mut keys = keys();
    for turn in 1..KEYS_MAX {
        keys.rotate(Timestamp(1000 + turn as i64), Duration::from_secs(60)).unwrap();
    }
    let before = keys.records();
    let error = keys.rotate(Timestamp(2000), Duration::from_secs(60)).unwrap_err();
    assert!(matches!(error, KeyError::TooMany { until: Timestamp(61_001) }), "{error:?}");
    assert_eq!(keys.records(), before);
    keys.rotate(Timestamp(61_001), Duration::from_secs(60)).unwrap();
    assert_eq!(keys.records().len(), KEYS_MAX);
    SigningKeys::from_records(keys.records()).unwrap();
}

#[test]
fn a_stolen_key_is_retired_at_once_but_never_the_active_one() {
    let mut keys = keys();
    let first = keys.active_kid().to_owned();
    assert!(matches!(keys.retire(&first, Timestamp(1)), Err(KeyError::RetireActive { .. })));
    assert!(matches!(keys.retire("e0", Timestamp(1)), Err(KeyError::Unknown { .. })));
    keys.rotate(Timestamp(2000), KEY_OVERLAP).unwrap();
    keys.retire(&first, Timestamp(3000)).unwrap();
    assert_eq!(keys.records()[1].retires_at, Some(Timestamp(3000)));
    // Retiring again never gives time back.
    keys.retire(&first, Timestamp(9000)).unwrap();
    assert_eq!(keys.records()[1].retires_at, Some(Timestamp(3000)));
}

#[test]
fn the_key_set_shows_public_halves_only() {
    let mut keys = keys();
    keys.rotate(Timestamp(2000), KEY_OVERLAP).unwrap();
    let set = keys.jwks();
    let listed = set["keys"].as_array().unwrap();
    let kids: Vec<_> = keys.records().into_iter().map(|record| record.kid).collect();
    assert_eq!(listed.iter().map(|key| key["kid"].as_str().unwrap()).collect::<Vec<_>>(), kids);
    for key in listed {
        assert!(key.get("d").is_none());
        assert_eq!((&key["kty"], &key["crv"]), (&"OKP".into(), &"Ed25519".into()));
    }
}

#[test]
fn nothing_private_shows_in_debug_or_errors() {
    let keys = keys();
    let record = keys.records().remove(0);
    let seed = hex(&record.pkcs8.expose_bytes()[16..]);
    let decimal = format!("{:?}", &record.pkcs8.expose_bytes()[16..20]);
    let broken =
        KeyRecord { pkcs8: Secret::new(record.pkcs8.expose_bytes()[1..].to_vec()), ..record.clone() };
    let error = SigningKeys::from_records(vec![broken]).unwrap_err();
    for shown in [format!("{keys:?}"), format!("{record:?}"), format!("{error:?} {error}")] {
        assert!(!shown.contains(&seed) && !shown.contains(decimal.trim_matches(['[', ']'])), "{shown}");
    }
}

#[test]
fn only_ids_of_our_form_are_repeated() {
    assert!(is_kid("e0123456789abcdef"));
    for text in ["", "e", "e0123456789abcde", "e0123456789ABCDEF", "x0123456789abcdef", "e0123456789abcdef0"]
    {
        assert!(!is_kid(text), "{text}");
    }
}
