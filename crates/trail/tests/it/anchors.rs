//! Anchors: their text, their signature (made here with Ed25519), and what they say about a trail.

use crate::sample::{plain_trail, verify};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use haus_model::{HouseName, Timestamp};
use haus_trail::{Anchor, AnchorError, Fault, Hash, Head, SignedAnchor, Verifier};
use proptest::prelude::*;
use std::error::Error as _;

/// The key of the tests and of the vectors: the seed is 32 times 07.
fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// An anchor of `head`, signed by the test's key.
pub(crate) fn anchor_of(head: Head) -> Anchor {
    let public: String = key().public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Anchor {
        house: "zimmer".parse().unwrap(),
        head,
        at: Timestamp(1_795_230_123_456),
        key_id: "trail-1".into(),
        public_key: public,
        signature: String::new(),
    }
    .signed(|bytes| key().sign(bytes).as_ref().to_vec())
}

/// Believes the test's key only.
pub(crate) fn believed(signed: &SignedAnchor) -> bool {
    let trusted = key().public_key().as_ref().to_vec();
    let public = UnparsedPublicKey::new(&ED25519, &trusted);
    signed.public_key == trusted && public.verify(&signed.message, &signed.signature).is_ok()
}

fn zimmer() -> HouseName {
    "zimmer".parse().unwrap()
}

/// Changes the text of a good anchor; `expected` is the error, or nothing when it is believed all the same.
fn check(change: impl FnOnce(String) -> String, expected: &str) {
    let text = change(anchor_of(plain_trail(3)[2].head()).to_text());
    let result = Anchor::from_text(&text).and_then(|anchor| anchor.verify(&zimmer(), believed));
    let told = result.err().map(|error| match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    });
    assert_eq!(told.unwrap_or_default(), expected);
}

const NOT_SIGNED: &str =
    "the anchor of entry 3 is not signed by a key that is trusted here (its key: trail-1)";

#[test]
fn an_anchor_is_believed_as_it_was_signed() {
    check(|text| text, "");
    check(|text| text.replace(',', ",\n  "), "");
    check(|text| text.trim_end().into(), "");
}

#[test]
fn any_changed_member_spoils_the_signature() {
    check(|text| text.replace(r#""seq":3"#, r#""seq":4"#), &NOT_SIGNED.replace("entry 3", "entry 4"));
    check(|text| text.replace(r#""at":1"#, r#""at":2"#), NOT_SIGNED);
    check(|text| text.replace("trail-1", "trail-2"), &NOT_SIGNED.replace("trail-1", "trail-2"));
    let hash = plain_trail(3)[2].hash.to_string();
    check(|text| text.replace(&hash, &"0".repeat(64)), NOT_SIGNED);
}

#[test]
fn a_key_that_is_not_known_from_elsewhere_is_refused() {
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let public: String = stranger.public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let anchor = Anchor { public_key: public, ..anchor_of(Head::GENESIS) };
    let anchor = anchor.signed(|bytes| stranger.sign(bytes).as_ref().to_vec());
    assert!(matches!(anchor.verify(&zimmer(), believed), Err(AnchorError::Signature { seq: 0, .. })));
}

#[test]
fn an_anchor_of_another_house_is_refused() {
    check(|text| text.replace("zimmer", "bitgrid"), "the anchor belongs to the house bitgrid, not to zimmer");
}

#[test]
fn texts_that_are_no_anchor_say_so() {
    let no_anchor = |cause: &str| format!("the text is not an anchor of a trail: {cause}");
    check(|_| String::new(), &no_anchor("EOF while parsing a value at line 1 column 0"));
    check(
        |text| text.replace("key_id", "kid"),
        &no_anchor(
            "unknown field `kid`, expected one of `house`, `seq`, `hash`, `at`, `key_id`, `public_key`, \
             `signature` at line 1 column 124",
        ),
    );
    check(
        |_| " ".repeat(5000),
        "the anchor has 5000 bytes, the longest possible has 4096: this is another file",
    );
    let hex = |member: &str| {
        format!("the anchor's {member} is not an even number of lower-case hex digits, at least two")
    };
    check(|text| text.replace(r#""signature":""#, r#""signature":"X"#), &hex("signature"));
    check(|text| text.replace(r#""public_key":""#, r#""public_key":"0"#), &hex("public_key"));
    let key_id = "the anchor's key_id is not 1 to 128 visible ASCII characters";
    check(|text| text.replace("trail-1", "trail\\u001b"), key_id);
    check(|text| text.replace("trail-1", ""), key_id);
}

#[test]
fn an_unsigned_anchor_is_not_believed() {
    let anchor = Anchor { signature: String::new(), ..anchor_of(Head::GENESIS) };
    let error = anchor.verify(&zimmer(), |_| true).unwrap_err();
    assert!(matches!(error, AnchorError::NotHex { member: "signature" }));
}

#[test]
fn an_anchor_in_the_middle_holds_what_is_before_it() {
    let trail = plain_trail(9);
    for entry in &trail {
        assert!(verify(Head::GENESIS, &trail, Some(&entry.head())).is_sound());
        let other = Head { seq: entry.seq, hash: Hash([1; 32]) };
        let faults = verify(Head::GENESIS, &trail, Some(&other)).faults;
        assert_eq!(faults, [Fault::AnchorDiffers { seq: entry.seq }]);
    }
}

#[test]
fn an_anchor_from_before_the_start_says_nothing() {
    let trail = plain_trail(9);
    let start = trail[4].head();
    assert!(verify(start, &trail[5..], Some(&start)).is_sound());
    let faults = verify(start, &trail[5..], Some(&trail[3].head())).faults;
    assert_eq!(faults, [Fault::AnchorTooOld { seq: 4, start: 5 }]);
    let faults = verify(Head { hash: Hash([1; 32]), ..start }, &[], Some(&start)).faults;
    assert_eq!(faults, [Fault::AnchorDiffers { seq: 5 }]);
}

#[test]
fn constant_memory_finds_the_same_for_the_announced_entry() {
    let trail = plain_trail(9);
    let finish = |anchor: Head| {
        let mut verifier = Verifier::with_anchor_at(Head::GENESIS, 4);
        trail.iter().for_each(|entry| assert_eq!(verifier.check(entry), None));
        verifier.finish(Some(&anchor)).faults
    };
    assert_eq!(finish(trail[3].head()), []);
    assert_eq!(finish(trail[8].head()), []);
    assert_eq!(finish(Head { seq: 4, hash: Hash([1; 32]) }), [Fault::AnchorDiffers { seq: 4 }]);
    assert_eq!(finish(trail[4].head()), [Fault::AnchorNotMet { seq: 5 }]);
    assert_eq!(
        finish(Head { seq: 10, hash: Hash([1; 32]) }),
        [Fault::TooShort { anchor_seq: 10, last_seq: 9 }]
    );
}

proptest! {
    #[test]
    fn anchors_come_back_from_text_and_json(
        seq in any::<u64>(), hash in any::<[u8; 32]>(), at in any::<i64>(), key_id in "[!-~]{1,128}",
    ) {
        let anchor = Anchor { at: Timestamp(at), key_id, ..anchor_of(Head { seq, hash: Hash(hash) }) };
        let text = anchor.to_text();
        prop_assert_eq!(Anchor::from_text(&text).unwrap(), anchor.clone());
        let json = serde_json::to_string(&anchor).unwrap();
        prop_assert_eq!(&json, text.trim_end());
        prop_assert_eq!(serde_json::from_str::<Anchor>(&json).unwrap(), anchor);
    }

    #[test]
    fn no_text_makes_the_anchor_reader_panic(noise in any::<String>(), cut in any::<prop::sample::Index>()) {
        let text = anchor_of(Head::GENESIS).to_text();
        let hostile = format!("{}{noise}", &text[..cut.index(text.len())]);
        prop_assert!(Anchor::from_text(&hostile).is_err());
    }
}
