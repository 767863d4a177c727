//! Whether others understand the same by our tokens and keys: the vectors of RFC 8037, those of the format
//! document (signed by a Python program after RFC 8032, section 6, that shares no code with ours),
//! `jsonwebtoken` as a reader and writer, and the bare signature check of aws-lc-rs.

use crate::house::{
    KID, NOW, PUBLIC, claims, decode, encode, forge, header, keys, pkcs8, public, token, verify_at,
};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use haus_identity::{Claims, OpaqueKind, SigningKeys, TokenError, TokenHash, mint, parse};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};

/// The page that promises the vectors below to other programs.
const DOCUMENT: &str = include_str!("../../../../docs/formats/tokens.md");

/// A vector that the page has to show too, so that neither is changed alone.
#[track_caller]
fn check(ours: &str, vector: &str) {
    assert_eq!(ours, vector);
    assert!(DOCUMENT.contains(vector), "docs/formats/tokens.md does not show {vector}");
}

/// Our token as `jsonwebtoken` reads it, without the clock of the machine.
fn read_elsewhere(token: &str, key: &DecodingKey) -> jsonwebtoken::errors::Result<Claims> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.set_audience(&["haus:zimmer:api"]);
    validation.set_issuer(&["haus:zimmer"]);
    jsonwebtoken::decode(token, key, &validation).map(|data| data.claims)
}

#[test]
fn an_independent_program_signs_the_same_token() {
    let header = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6ImUyMWZlMzFkZmExNTRhMjYxIn0";
    let payload = "eyJpc3MiOiJoYXVzOnppbW1lciIsImF1ZCI6ImhhdXM6emltbWVyOmFwaSIsInN1YiI6InNlcnZpY2U6YXBpLzEiLCJqdGkiOiJq\
                   LTEiLCJpYXQiOjE3OTUyMzAwMDAsIm5iZiI6MTc5NTIzMDAwMCwiZXhwIjoxNzk1MjMwOTAwLCJzY29wZSI6ImNyZWQ6cmVhZDph\
                   cGkgcmVnaXN0cnk6d3JpdGU6YXBpIiwic2VydmljZSI6ImFwaSIsImluc3RhbmNlIjoiMSIsInNpZCI6InMtMSJ9";
    let signature = "R3-FU-ZU-FM-wuRkXupV_MlCy8R9O092B-j7eqZfx7IW_cAreqKJjn-XvRpM8O07sZl-E8hlZ3Rnm_kM8HjhBw";
    check(&token(), &format!("{header}.{payload}.{signature}"));
}

#[test]
fn an_independent_program_signs_the_same_bytes() {
    let bytes = b"Example of Ed25519 signing";
    let (kid, signature) = keys().sign_bytes(bytes);
    assert_eq!(kid, KID);
    check(
        &encode(signature),
        "DjL8kPb-TlRnAQ248ejNFDotUBRyhUULnkMZtiFw48NW-lkSjmGxkkwvJFmKjsp2eOuhbDQica5bfsxWlP1dCQ",
    );
    assert!(SigningKeys::verify_bytes(&public(), bytes, &signature));
}

#[test]
fn an_independent_program_mints_the_same_opaque_tokens() {
    let ascending = std::array::from_fn(|index| index as u8);
    for (kind, random, text, hash) in [
        (
            OpaqueKind::Enrolment,
            ascending,
            "haus_en_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_f2371f16",
            "2d90a6a7ccf257761ff60de9ef3edff0a9798b2686bcd65f6cb684d7f97fb820",
        ),
        (
            OpaqueKind::Refresh,
            [0xff; 32],
            "haus_re___________________________________________8_66177103",
            "d2df5f7cb20ec98fe26375b490dee54fa8d6744e6f022eb9139d71de61b9e80f",
        ),
    ] {
        let (secret, minted) = mint(kind, &random);
        check(std::str::from_utf8(secret.expose_bytes()).unwrap(), text);
        check(&minted.to_string(), hash);
        assert_eq!(parse(kind, text), Ok(minted));
        assert_eq!(minted, TokenHash::of(text));
    }
}

#[test]
fn the_key_of_rfc_8037_has_the_public_half_and_the_id_of_the_page() {
    let set = keys().jwks();
    assert_eq!(set["keys"][0]["x"], PUBLIC);
    check(set["keys"][0]["kid"].as_str().unwrap(), KID);
}

#[test]
fn the_signature_of_rfc_8037_is_right_but_no_token_of_ours() {
    // Appendix A.4: a JWS without `typ` and `kid` around a sentence.
    let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let set: JwkSet = serde_json::from_value(keys().jwks()).unwrap();
    let key = DecodingKey::from_jwk(&set.keys[0]).unwrap();
    let is_right = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::EdDSA);
    assert_eq!(is_right, Ok(true));
    let refused = verify_at(&format!("{message}.{signature}"), NOW);
    assert!(matches!(refused, Err(TokenError::Malformed { .. })), "{refused:?}");
    // Nor does a signature over other bytes become one over ours.
    assert!(!SigningKeys::verify_bytes(&public(), message.as_bytes(), &decode(signature)));
}

#[test]
fn the_key_set_is_enough_for_others_to_read_our_tokens() {
    let set: JwkSet = serde_json::from_value(keys().jwks()).unwrap();
    let key = DecodingKey::from_jwk(set.find(KID).unwrap()).unwrap();
    assert_eq!(read_elsewhere(&token(), &key), Ok(claims()));
    let stranger = SigningKeys::generate(NOW).unwrap();
    let other = DecodingKey::from_ed_der(&stranger.records()[0].public);
    assert!(read_elsewhere(&token(), &other).is_err());
}

#[test]
fn the_bare_signature_check_accepts_our_tokens() {
    let token = token();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let key = UnparsedPublicKey::new(&ED25519, public());
    assert!(key.verify(message.as_bytes(), &decode(signature)).is_ok());
    assert!(key.verify(&message.as_bytes()[1..], &decode(signature)).is_err());
}

#[test]
fn tokens_of_others_with_our_key_are_read() {
    let head = Header { typ: Some("at+jwt".into()), kid: Some(KID.into()), ..Header::new(Algorithm::EdDSA) };
    let theirs = jsonwebtoken::encode(&head, &claims(), &EncodingKey::from_ed_der(&pkcs8())).unwrap();
    assert_eq!(verify_at(&theirs, NOW), Ok(claims()));
    // The bare signer puts the fields into another order, which is as good.
    let ours = forge(header(), serde_json::to_string(&claims()).unwrap());
    assert_ne!(ours, theirs);
    assert_eq!(verify_at(&ours, NOW), Ok(claims()));
}
