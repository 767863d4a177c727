//! Every way to a token that is not ours, not for us, or not now.

use crate::house::{NOW, claims, decode, encode, forge, header, public, token, verify_at};
use aws_lc_rs::hmac;
use haus_identity::{TOKEN_BYTES_MAX, TokenError};
use haus_model::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

#[track_caller]
fn check(token: &str, expected: &TokenError) {
    let error = verify_at(token, NOW).unwrap_err();
    assert_eq!(&error, expected);
    let shown = format!("{error} {error:?}");
    let parts = token.split('.').filter(|part| part.len() > 8);
    for part in parts {
        assert!(!shown.contains(part), "the error repeats the token: {shown}");
    }
}

/// A rightly signed token whose header has this field.
#[track_caller]
fn check_header(field: &str, value: Value, expected: &TokenError) {
    let mut header = header();
    header[field] = value;
    check(&forge(header, payload()), expected);
}

/// A rightly signed token whose claims have this field.
#[track_caller]
fn check_claim(field: &str, value: Value, expected: &TokenError) {
    let mut payload = payload();
    payload[field] = value;
    check(&forge(header(), payload), expected);
}

fn payload() -> Value {
    serde_json::to_value(claims()).expect("claims are JSON")
}

fn malformed(what: &'static str) -> TokenError {
    TokenError::Malformed { what }
}

#[test]
fn a_token_made_by_hand_like_ours_is_accepted() {
    assert_eq!(verify_at(&forge(header(), payload()), NOW), Ok(claims()));
    assert_eq!(verify_at(&token(), NOW), Ok(claims()));
}

#[test]
fn a_token_without_algorithm_is_refused() {
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let message = format!(
            "{}.{}",
            encode(json!({ "alg": name, "typ": "at+jwt", "kid": crate::house::KID }).to_string()),
            encode(payload().to_string())
        );
        check(&format!("{message}."), &TokenError::Algorithm);
    }
}

#[test]
fn the_public_key_is_no_shared_secret() {
    for name in ["HS256", "HS384", "HS512"] {
        let head = json!({ "alg": name, "typ": "at+jwt", "kid": crate::house::KID });
        let message = format!("{}.{}", encode(head.to_string()), encode(payload().to_string()));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &public());
        let mac = hmac::sign(&secret, message.as_bytes());
        check(&format!("{message}.{}", encode(mac.as_ref())), &TokenError::Algorithm);
        // And with the right name but a MAC in the place of the signature.
        let message = format!("{}.{}", encode(header().to_string()), encode(payload().to_string()));
        let mac = hmac::sign(&secret, message.as_bytes());
        check(&format!("{message}.{}", encode(mac.as_ref())), &TokenError::Signature);
    }
}

#[test]
fn other_algorithms_are_refused_by_name() {
    for name in ["RS256", "ES256", "PS256", "Ed25519", "Ed448", "eddsa", "EdDSA "] {
        check_header("alg", json!(name), &TokenError::Algorithm);
    }
}

#[test]
fn a_header_brings_neither_keys_nor_conditions() {
    let refused = malformed("the header has other fields than alg, typ and kid");
    check_header("jwk", json!({ "kty": "OKP", "crv": "Ed25519", "x": crate::house::PUBLIC }), &refused);
    check_header("jku", json!("http://127.0.0.1/keys"), &refused);
    check_header("x5c", json!([]), &refused);
    check_header("crit", json!(["exp"]), &refused);
    check_header("b64", json!(false), &refused);
    check_header("zip", json!("DEF"), &refused);
    check_header("alg", json!(["EdDSA"]), &refused);
    check_header("alg", Value::Null, &refused);
    let twice = format!(r#"{{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, crate::house::KID);
    check(&forge(twice, payload()), &refused);
    check(&forge("[]", payload()), &refused);
    check(&forge("", payload()), &refused);
    check(&forge(format!("{}{}", header(), header()), payload()), &refused);
}

#[test]
fn other_kinds_of_jwt_are_no_access_tokens() {
    check_header("typ", json!("JWT"), &malformed("its type is not at+jwt"));
    check_header("typ", Value::Null, &malformed("its type is not at+jwt"));
}

#[test]
fn unknown_keys_are_named_and_other_texts_are_not_repeated() {
    let kid = "e0123456789abcdef";
    check_header("kid", json!(kid), &TokenError::UnknownKey { kid: kid.into() });
    for text in ["", "../../etc/passwd", "e'; drop table keys; --", "E21FE31DFA154A261"] {
        check_header("kid", json!(text), &malformed("it names no key of the form e…"));
    }
    check_header("kid", Value::Null, &malformed("it names no key of the form e…"));
}

#[test]
fn a_token_of_another_audience_or_house_is_refused() {
    let audience = TokenError::Audience { expected: "haus:zimmer:api".into() };
    let issuer = TokenError::Issuer { expected: "haus:zimmer".into() };
    for other in ["", "haus:zimmer", "haus:zimmer:api ", "haus:zimmer:api:x", "HAUS:ZIMMER:API", "*"] {
        check_claim("aud", json!(other), &audience);
    }
    for other in ["", "haus:", "haus:zimmer2", "haus:garten", "haus:zimmer\u{0}"] {
        check_claim("iss", json!(other), &issuer);
    }
}

#[test]
fn an_audience_is_one_text() {
    let refused = malformed("the claims are not those of an access token");
    check_claim("aud", json!(["haus:zimmer:api", "haus:garten:api"]), &refused);
    check_claim("aud", Value::Null, &refused);
    for missing in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "scope", "sid"] {
        let mut payload = payload();
        payload.as_object_mut().unwrap().remove(missing);
        check(&forge(header(), payload), &refused);
    }
    let twice = payload().to_string().replacen('{', r#"{"sub":"token:root","#, 1);
    check(&forge(header(), twice), &refused);
    check_claim("exp", json!("1795230900"), &refused);
    check_claim("exp", json!(1_795_230_900.5), &refused);
    check_claim("exp", json!(1e300), &refused);
    check_claim("scope", json!("admin root"), &refused);
    check_claim("service", json!("../vault"), &refused);
}

#[test]
fn a_token_expires_to_the_millisecond() {
    let last = Timestamp(NOW.0 + 15 * 60 * 1000 - 1);
    assert_eq!(verify_at(&token(), last), Ok(claims()));
    let at = Timestamp(last.0 + 1);
    assert_eq!(verify_at(&token(), at), Err(TokenError::Expired { at }));
}

#[test]
fn a_token_from_the_future_is_refused_beyond_half_a_minute() {
    let iat = claims().iat;
    let in_31_seconds = TokenError::NotYet { at: Timestamp((iat + 31) * 1000) };
    check_claim("nbf", json!(iat + 31), &in_31_seconds);
    check_claim("iat", json!(iat + 31), &in_31_seconds);
    let mut payload = payload();
    payload["iat"] = json!(iat + 30);
    assert!(verify_at(&forge(header(), payload), NOW).is_ok());
}

#[test]
fn a_rightly_signed_token_still_obeys_the_rules() {
    check_claim(
        "exp",
        json!(claims().exp + 1),
        &TokenError::Claims { what: "it lives longer than access tokens may" },
    );
    let other = TokenError::Claims { what: "sub names another service or instance than the claims" };
    check_claim("service", json!("vault"), &other);
    check_claim("sub", json!("service:vault/1"), &other);
}

#[test]
fn claims_that_a_later_version_may_add_are_passed_over() {
    let mut payload = payload();
    payload["later"] = json!({ "x": 1 });
    assert_eq!(verify_at(&forge(header(), payload), NOW), Ok(claims()));
}

#[test]
fn an_oversized_token_is_refused_before_it_is_read() {
    let bytes = TOKEN_BYTES_MAX + 1;
    check(&"a".repeat(bytes), &TokenError::TooLong { bytes });
    let mut payload = payload();
    payload["pad"] = json!("x".repeat(4000));
    let token = forge(header(), payload);
    check(&token, &TokenError::TooLong { bytes: token.len() });
}

#[test]
fn parts_are_three_and_none_has_a_second_spelling() {
    let good = token();
    let [head, payload, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let three = malformed("it has no three parts");
    check("", &three);
    check("abc", &three);
    check(&format!("{head}.{payload}"), &three);
    check(&format!("{good}.{signature}"), &malformed("it has more than three parts"));
    check(&format!("{head}=.{payload}.{signature}"), &malformed("the header is not base64url"));
    check(&format!(" {good}"), &malformed("the header is not base64url"));
    check(&format!("{head}.{payload}=.{signature}"), &malformed("the claims are not base64url"));
    check(&format!("{good}=="), &malformed("the signature is not base64url"));
    check(&format!("{good}\n"), &malformed("the signature is not base64url"));
    check(&format!("Bearer {good}"), &malformed("the header is not base64url"));
}

#[test]
fn unused_bits_at_the_end_of_a_signature_are_zero() {
    // 64 bytes are 86 characters, whose last one has four unused bits.
    let good = token();
    let last = good.chars().last().unwrap();
    let same_bits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = same_bits.find(last).unwrap();
    assert_eq!(index % 16, 0);
    let other = &same_bits[index + 1..=index + 1];
    check(&format!("{}{other}", &good[..good.len() - 1]), &malformed("the signature is not base64url"));
}

#[test]
fn a_signature_is_taken_in_one_form_only() {
    // S + L verifies as well where S is not compared with the order of the group (RFC 8032, section 5.1.7).
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let good = token();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let mut signature = decode(signature);
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    check(&format!("{message}.{}", encode(&signature)), &TokenError::Signature);
    check(&format!("{message}."), &TokenError::Signature);
    check(
        &format!("{message}.{}", encode(&decode(good.rsplit_once('.').unwrap().1)[..63])),
        &TokenError::Signature,
    );
}

proptest! {
    #[test]
    fn a_token_with_one_changed_character_is_refused(at in 0_usize..400, other in "[A-Za-z0-9_.-]") {
        let good = token();
        let at = at % good.len();
        let mut changed = good.clone();
        changed.replace_range(at..=at, &other);
        prop_assert_eq!(verify_at(&changed, NOW).is_ok(), changed == good);
    }

    #[test]
    fn no_text_makes_the_reader_panic(header in "\\PC{0,40}", payload in "\\PC{0,40}", raw in "\\PC{0,80}") {
        let _ = verify_at(&raw, NOW);
        prop_assert!(verify_at(&forge(header, &payload), NOW).is_err());
        prop_assert!(verify_at(&forge(crate::house::header(), &payload), NOW).is_err());
    }
}
