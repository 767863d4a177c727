//! Sealing and opening: what opens, and that nothing else does.

use super::*;
use crate::entropy::tests::{CountedEntropy, NoEntropy};
use crate::sealed::OVERHEAD_BYTES;
use proptest::prelude::*;

const HERE: Binding<'_> = Binding { house: "zimmer", credential: "c-1", version: 3, owner: "postgres" };

fn ring() -> KeyRing {
    KeyRing::generate(&mut CountedEntropy::default()).unwrap()
}

fn sealed(ring: &KeyRing, value: &[u8]) -> Sealed {
    seal(ring, &HERE, &Secret::new(value.to_vec()), &mut CountedEntropy::default()).unwrap()
}

fn check(binding: Binding<'_>, expected: Result<&[u8], OpenError>) {
    let ring = ring();
    let opened = open(&ring, &binding, &sealed(&ring, b"value"));
    assert_eq!(opened.as_ref().map(Secret::expose_bytes), expected.as_ref().copied(), "{binding:?}");
}

#[test]
fn a_value_opens_only_where_it_was_sealed_for() {
    check(HERE, Ok(b"value"));
    check(Binding { house: "zimmer2", ..HERE }, Err(OpenError::Tampered));
    check(Binding { credential: "c-2", ..HERE }, Err(OpenError::Tampered));
    check(Binding { version: 4, ..HERE }, Err(OpenError::Tampered));
    check(Binding { owner: "redis", ..HERE }, Err(OpenError::Tampered));
    check(Binding { owner: "", ..HERE }, Err(OpenError::Tampered));
}

#[test]
fn values_have_one_byte_to_a_mebibyte() {
    let seal_of = |bytes: usize| {
        let value = Secret::new(vec![7; bytes]);
        seal(&ring(), &HERE, &value, &mut CountedEntropy::default()).map(|sealed| sealed.to_bytes().len())
    };
    assert_eq!(seal_of(0), Err(SealError::Size { bytes: 0 }));
    assert_eq!(seal_of(1), Ok(1 + OVERHEAD_BYTES));
    assert_eq!(seal_of(VALUE_BYTES_MAX), Ok(VALUE_BYTES_MAX + OVERHEAD_BYTES));
    assert_eq!(seal_of(VALUE_BYTES_MAX + 1), Err(SealError::Size { bytes: VALUE_BYTES_MAX + 1 }));
}

#[test]
fn another_ring_says_which_key_is_missing() {
    let mut entropy = CountedEntropy::default();
    let (first, second) =
        (KeyRing::generate(&mut entropy).unwrap(), KeyRing::generate(&mut entropy).unwrap());
    let sealed = sealed(&first, b"value");
    let missing = Some(OpenError::UnknownKey(*first.active()));
    assert_eq!(open(&second, &HERE, &sealed).err(), missing);
    assert_eq!(rewrap(&second, &HERE, &sealed, &mut entropy).err(), missing);
}

#[test]
fn wrapping_anew_changes_the_wrapped_key_and_nothing_else() {
    let mut entropy = CountedEntropy::default();
    let mut ring = KeyRing::generate(&mut entropy).unwrap();
    let before = seal(&ring, &HERE, &Secret::new(b"value".to_vec()), &mut entropy).unwrap();
    assert_eq!(rewrap(&ring, &HERE, &before, &mut entropy), Ok(None));
    let old = *ring.active();
    let new = ring.rotate(&mut entropy).unwrap();
    let after = rewrap(&ring, &HERE, &before, &mut entropy).unwrap().expect("an old key");
    assert_eq!((*before.key_id(), *after.key_id()), (old, new));
    assert_eq!((before.nonce, &before.body), (after.nonce, &after.body));
    assert_ne!((before.wrap_nonce, before.wrapped), (after.wrap_nonce, after.wrapped));
    // Until the old key is retired both open, so a crash between any two rows harms nothing.
    for sealed in [&before, &after] {
        assert_eq!(open(&ring, &HERE, sealed).unwrap().expose_bytes(), b"value");
    }
    ring.retire(&old).unwrap();
    assert_eq!(open(&ring, &HERE, &before).err(), Some(OpenError::UnknownKey(old)));
    assert_eq!(open(&ring, &HERE, &after).unwrap().expose_bytes(), b"value");
}

#[test]
fn wrapping_anew_refuses_what_belongs_elsewhere() {
    let mut entropy = CountedEntropy::default();
    let mut ring = KeyRing::generate(&mut entropy).unwrap();
    let sealed = seal(&ring, &HERE, &Secret::new(b"value".to_vec()), &mut entropy).unwrap();
    ring.rotate(&mut entropy).unwrap();
    let elsewhere = Binding { credential: "c-2", ..HERE };
    assert_eq!(rewrap(&ring, &elsewhere, &sealed, &mut entropy), Err(OpenError::Tampered));
    assert_eq!(
        rewrap(&ring, &HERE, &sealed, &mut NoEntropy),
        Err(OpenError::Entropy(EntropyError::Unavailable))
    );
}

#[test]
fn without_random_bytes_nothing_is_sealed() {
    let refused = seal(&ring(), &HERE, &Secret::new(vec![1]), &mut NoEntropy);
    assert_eq!(refused, Err(SealError::Entropy(EntropyError::Unavailable)));
}

#[test]
fn the_same_value_twice_has_no_bytes_in_common_to_tell_by() {
    let (ring, value) = (ring(), Secret::new(b"value".to_vec()));
    let mut entropy = CountedEntropy::default();
    let first = seal(&ring, &HERE, &value, &mut entropy).unwrap();
    let second = seal(&ring, &HERE, &value, &mut entropy).unwrap();
    assert_ne!(first.nonce, second.nonce);
    assert_ne!(first.wrap_nonce, second.wrap_nonce);
    assert_ne!(first.body, second.body);
    assert_ne!(first.wrapped, second.wrapped);
}

#[test]
fn every_single_flipped_bit_keeps_it_closed() {
    let ring = ring();
    let bytes = sealed(&ring, b"correct horse").to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let opened = Sealed::from_bytes(&changed).ok().and_then(|sealed| open(&ring, &HERE, &sealed).ok());
        assert_eq!(opened, None, "bit {bit}");
    }
}

#[test]
fn neither_debug_nor_errors_show_a_value() {
    let ring = ring();
    let sealed = sealed(&ring, b"hunter2hunter2");
    let error = open(&ring, &Binding { version: 9, ..HERE }, &sealed).unwrap_err();
    let large = seal(&ring, &HERE, &Secret::new(b"hunter2".repeat(200_000)), &mut NoEntropy).unwrap_err();
    let shown = format!("{sealed:?} {error:?} {error} {large:?} {large}");
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117, 110"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_sealed_opens_and_reads_back(
        value in proptest::collection::vec(any::<u8>(), 1..3_000),
        house in "[a-z]{1,20}", credential in "\\PC{1,40}", owner in "\\PC{0,40}", version in any::<u64>(),
        rotations in 0usize..3,
    ) {
        let mut entropy = CountedEntropy::default();
        let mut ring = KeyRing::generate(&mut entropy).unwrap();
        let binding = Binding { house: &house, credential: &credential, version, owner: &owner };
        let value = Secret::new(value);
        let mut sealed = seal(&ring, &binding, &value, &mut entropy).unwrap();
        for _ in 0..rotations {
            ring.rotate(&mut entropy).unwrap();
            sealed = rewrap(&ring, &binding, &sealed, &mut entropy).unwrap().expect("an old key");
        }
        prop_assert_eq!(&Sealed::from_bytes(&sealed.to_bytes()).unwrap(), &sealed);
        prop_assert_eq!(open(&ring, &binding, &sealed).unwrap(), value);
    }

    #[test]
    fn no_bytes_make_reading_and_opening_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&b"HVS1"[..], &bytes].concat();
        if let Ok(sealed) = Sealed::from_bytes(&bytes) {
            prop_assert!(open(&ring(), &HERE, &sealed).is_err());
        }
    }
}
