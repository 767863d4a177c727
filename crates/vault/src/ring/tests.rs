//! Reading, writing and changing a key ring.

use super::*;
use crate::entropy::tests::CountedEntropy;
use proptest::prelude::*;

const KEY: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";

fn check(text: &str, expected: Result<usize, KeyRingError>) {
    let read = KeyRing::parse(&Secret::from(text.to_owned()));
    assert_eq!(read.map(|ring| ring.ids().len()), expected);
}

fn ring_of(keys: usize) -> KeyRing {
    let mut entropy = CountedEntropy::default();
    let mut ring = KeyRing::generate(&mut entropy).unwrap();
    for _ in 1..keys {
        ring.rotate(&mut entropy).unwrap();
    }
    ring
}

fn text_of(ring: &KeyRing) -> String {
    String::from_utf8(ring.render().expose_bytes().to_vec()).unwrap()
}

#[test]
fn a_bare_key_is_a_ring_of_one() {
    check(KEY, Ok(1));
    check(&format!("{KEY}\r\n\n"), Ok(1));
    check(&KEY.to_uppercase(), Ok(1));
    check(&KEY[..62], Err(KeyRingError::BareKey { characters: 62 }));
    check(&format!("{KEY}00"), Err(KeyRingError::BareKey { characters: 66 }));
    check(&KEY.replace('6', "g"), Err(KeyRingError::BareKey { characters: 64 }));
    check("changeme", Err(KeyRingError::BareKey { characters: 8 }));
}

#[test]
fn what_is_no_ring_is_refused_with_its_fault() {
    let id = ring_of(1).ids()[0];
    let good = text_of(&ring_of(1));
    let key = good.trim_end().rsplit(' ').next().unwrap();
    check("", Err(KeyRingError::Empty));
    check(" \n", Err(KeyRingError::Empty));
    check("haus key ring 2\nactive x y", Err(KeyRingError::Header));
    check("haus key ring 1", Err(KeyRingError::Active));
    check("haus key ring 1\nactive k12 00", Err(KeyRingError::Line { line: 2 }));
    check(&format!("haus key ring 1\nnew {id} {key}"), Err(KeyRingError::Line { line: 2 }));
    check(&format!("haus key ring 1\nactive {id} {key} x"), Err(KeyRingError::Line { line: 2 }));
    check(&format!("haus key ring 1\nold {id} {key}"), Err(KeyRingError::Active));
    check(&format!("{good}active {id} {key}"), Err(KeyRingError::Active));
    check(&format!("{good}old {id} {key}"), Err(KeyRingError::Twice { id }));
    check(&format!("haus key ring 1\nactive {id} {KEY}"), Err(KeyRingError::WrongId { line: 2 }));
    check(&"x".repeat(TEXT_BYTES_MAX + 1), Err(KeyRingError::TooLong));
    assert_eq!(KeyRing::parse(&Secret::new(vec![0xff; 32])).err(), Some(KeyRingError::NotText));
}

#[test]
fn keys_that_are_no_secret_are_refused() {
    for key in ["00".repeat(32), "ab".repeat(32), "6368616e67656d65".repeat(4)] {
        let refused = KeyRing::parse(&Secret::from(key)).err();
        assert!(matches!(refused, Some(KeyRingError::Weak { .. })), "{refused:?}");
    }
}

#[test]
fn a_full_ring_reads_back_and_takes_no_more() {
    let mut ring = ring_of(KEYS_MAX);
    assert_eq!(KeyRing::parse(&ring.render()).unwrap().ids(), ring.ids());
    assert_eq!(ring.rotate(&mut CountedEntropy::default()), Err(KeyRingError::TooMany));
    assert_eq!(ring.ids().len(), KEYS_MAX);
    let one_more = format!("{}old {} {KEY}\n", text_of(&ring), "k1c8bd1a8b3b8f0f5");
    assert!(KeyRing::parse(&Secret::from(one_more)).is_err());
}

#[test]
fn rotating_puts_the_new_key_first_and_retiring_takes_only_old_ones() {
    let mut ring = ring_of(2);
    let [active, old] = ring.ids()[..] else { panic!("two keys") };
    assert_eq!(*ring.active(), active);
    assert_eq!(ring.retire(&active), Err(KeyRingError::RetireActive { id: active }));
    let before = ring.fingerprint();
    assert_eq!(ring.retire(&old), Ok(()));
    assert_eq!(ring.retire(&old), Err(KeyRingError::Unknown { id: old }));
    assert_eq!(ring.ids(), [active]);
    assert_ne!(ring.fingerprint(), before);
    assert_eq!(ring.fingerprint().len(), 39);
}

#[test]
fn a_source_that_repeats_itself_does_not_rotate_the_ring() {
    let mut ring = KeyRing::generate(&mut CountedEntropy::default()).unwrap();
    let id = *ring.active();
    assert_eq!(ring.rotate(&mut CountedEntropy::default()), Err(KeyRingError::Twice { id }));
}

#[test]
fn derived_bytes_differ_by_purpose_and_key_and_are_not_the_key() {
    let ring = ring_of(2);
    let [new, old] = ring.ids()[..] else { panic!("two keys") };
    let derive = |id, purpose| ring.derive(id, purpose).unwrap().expose_bytes().to_vec();
    let all = [derive(&new, "a"), derive(&new, "b"), derive(&old, "a"), derive(&new, "")];
    for (at, bytes) in all.iter().enumerate() {
        assert_eq!(bytes.len(), 32);
        assert!(!all[..at].contains(bytes));
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text_of(&ring).contains(&digits));
    }
    assert!(ring.derive(&ring_of(3).ids()[0], "a").is_none());
}

#[test]
fn neither_debug_nor_errors_show_a_key() {
    let ring = ring_of(2);
    let text = text_of(&ring);
    let keys: Vec<&str> = text.lines().skip(1).filter_map(|line| line.rsplit(' ').next()).collect();
    let broken = text.replace("old ", "odd ");
    let error = KeyRing::parse(&Secret::from(broken)).unwrap_err();
    for shown in [format!("{ring:?}"), format!("{error:?} {error}"), ring.fingerprint()] {
        assert!(keys.iter().all(|key| !shown.contains(&key[..16])), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_and_what_it_reads_reads_back(
        text in "(haus key ring 1\n)?((active|old) k[0-9a-f]{16} [0-9a-f]{64}\n){0,3}\\PC{0,40}"
    ) {
        if let Ok(ring) = KeyRing::parse(&Secret::from(text)) {
            prop_assert_eq!(KeyRing::parse(&ring.render()).unwrap().ids(), ring.ids());
        }
    }

    #[test]
    fn no_single_changed_character_of_a_ring_goes_unnoticed(at in 0usize..230, to in 33u8..127) {
        let text = text_of(&ring_of(2));
        let mut changed = text.clone().into_bytes();
        let at = at % (text.len() - 1);
        prop_assume!(!changed[at].eq_ignore_ascii_case(&to));
        changed[at] = to;
        prop_assert!(KeyRing::parse(&Secret::new(changed)).is_err());
    }
}
