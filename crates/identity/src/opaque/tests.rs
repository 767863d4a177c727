//! Opaque tokens: every way to spoil one, and none to lose a good one.

use super::*;
use proptest::prelude::*;

const ZERO: &str = "haus_en_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_";

fn text_of(kind: OpaqueKind, random: [u8; 32]) -> String {
    let (text, _) = mint(kind, &random);
    String::from_utf8(text.expose_bytes().to_vec()).unwrap()
}

/// Reads a good enrolment token after a change.
#[track_caller]
fn check(change: impl Fn(&mut String), expected: Result<(), OpaqueError>) {
    let mut text = text_of(OpaqueKind::Enrolment, [7; 32]);
    change(&mut text);
    assert_eq!(parse(OpaqueKind::Enrolment, &text).map(|_| ()), expected, "{text}");
}

#[test]
fn a_token_is_a_prefix_43_characters_and_a_check_sum() {
    let text = text_of(OpaqueKind::Enrolment, [0; 32]);
    assert_eq!(text, format!("{ZERO}{}", sum_of(ZERO.trim_end_matches('_'))));
    assert_eq!(text.len(), TEXT_BYTES);
    check(|_| (), Ok(()));
}

#[test]
fn what_is_wrong_with_a_text_is_told() {
    let expected = OpaqueKind::Enrolment;
    let length = |characters| Err(OpaqueError::Length { expected, characters });
    check(String::clear, Err(OpaqueError::Prefix { expected }));
    check(|text| *text = text.to_uppercase(), Err(OpaqueError::Prefix { expected }));
    check(|text| text.insert(0, ' '), Err(OpaqueError::Prefix { expected }));
    let found = OpaqueKind::Refresh;
    check(|text| *text = text_of(found, [7; 32]), Err(OpaqueError::Kind { expected, found }));
    check(|text| text.truncate(30), length(30));
    check(|text| text.push('\n'), length(61));
    check(|text| text.push_str(&"x".repeat(100_000)), length(100_060));
    check(|text| text.replace_range(20..21, "+"), Err(OpaqueError::Character { expected }));
    check(|text| text.replace_range(20..21, "é"), Err(OpaqueError::Character { expected }));
    check(|text| text.replace_range(51..52, "-"), Err(OpaqueError::Character { expected }));
    check(|text| text.replace_range(20..21, "x"), Err(OpaqueError::Sum { expected }));
    check(|text| text.replace_range(52..60, "00000000"), Err(OpaqueError::Sum { expected }));
}

#[test]
fn the_second_spelling_of_the_same_bits_is_refused_even_with_its_own_sum() {
    let body = ZERO.trim_end_matches('_');
    let other = format!("{}B", &body[..50]);
    let text = format!("{other}_{}", sum_of(&other));
    let expected = OpaqueKind::Enrolment;
    assert_eq!(parse(expected, &text).unwrap_err(), OpaqueError::Character { expected });
}

#[test]
fn a_check_sum_in_capitals_is_refused() {
    let text = text_of(OpaqueKind::Refresh, [9; 32]);
    let shouted = format!("{}{}", &text[..52], text[52..].to_uppercase());
    assert!(shouted != text, "this sum has letters");
    assert!(parse(OpaqueKind::Refresh, &shouted).is_err());
}

#[test]
fn a_token_made_of_nothing_but_underscores_and_dashes_is_read() {
    for random in [[0xff; 32], [0xfb; 32]] {
        let text = text_of(OpaqueKind::Refresh, random);
        assert!(text[8..51].contains(['_', '-']), "{text}");
        assert_eq!(parse(OpaqueKind::Refresh, &text), Ok(TokenHash::of(&text)));
    }
}

#[test]
fn errors_repeat_nothing_of_the_text() {
    let secret = "hunter2-hunter2-hunter2";
    for text in [
        secret.to_owned(),
        format!("haus_en_{secret}"),
        format!("haus_en_{secret:x<51}"),
        format!("{ZERO}{secret}"),
    ] {
        let error = parse(OpaqueKind::Enrolment, &text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn a_token_of_either_kind_is_recognised() {
    for kind in OpaqueKind::ALL {
        let text = text_of(kind, [3; 32]);
        assert_eq!(Opaque::recognise(&text), Ok(Opaque { kind, hash: TokenHash::of(&text) }));
    }
    assert!(Opaque::recognise("eyJhbGciOiJFZERTQSJ9.e30.x").is_err());
}

#[test]
fn hashes_are_64_digits_and_debug_shows_eight() {
    let hash = TokenHash::of("abc");
    // SHA-256 of "abc", FIPS 180-4.
    let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hash.to_string(), digits);
    assert_eq!(format!("{hash:?}"), "TokenHash(ba7816bf…)");
    assert_eq!(serde_json::to_string(&hash).unwrap(), format!("\"{digits}\""));
    assert_eq!(serde_json::from_str::<TokenHash>(&format!("\"{digits}\"")).unwrap(), hash);
    assert_eq!(digits.to_uppercase().parse::<TokenHash>(), Err(TokenHashError));
    assert_ne!(hash, TokenHash::of("abd"));
}

proptest! {
    #[test]
    fn every_token_reads_back_and_one_changed_character_never_does(
        random: [u8; 32], at in 0..TEXT_BYTES, other in "[ -~]"
    ) {
        for kind in OpaqueKind::ALL {
            let (secret, hash) = mint(kind, &random);
            let text = String::from_utf8(secret.expose_bytes().to_vec()).unwrap();
            prop_assert_eq!(parse(kind, &text), Ok(hash));
            let mut changed = text.clone();
            changed.replace_range(at..=at, &other);
            prop_assert_eq!(parse(kind, &changed).is_ok(), changed == text);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(haus_(en|re)_)?\\PC{0,60}") {
        let _ = Opaque::recognise(&text);
    }
}
