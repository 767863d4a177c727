//! A house with fixed keys, its claims, and the means to make tokens by hand that `sign` would never make.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haus_identity::{Claims, Grant, KeyRecord, SigningKeys, TokenError};
use haus_model::{InstanceId, Secret, Timestamp};
use serde_json::{Value, json};

/// When the tokens of these tests are made.
pub(crate) const NOW: Timestamp = Timestamp(1_795_230_000_000);

/// The private key of RFC 8037, appendix A.1. Known to everybody.
const SEED: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
    0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// The `x` of RFC 8037, appendix A.2.
pub(crate) const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// The id that follows from [`PUBLIC`].
pub(crate) const KID: &str = "e21fe31dfa154a261";

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// PKCS#8 v1 around the seed (RFC 8410, section 7).
pub(crate) fn pkcs8() -> Vec<u8> {
    let head = [0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    [&head[..], &SEED].concat()
}

pub(crate) fn public() -> [u8; 32] {
    decode(PUBLIC).try_into().unwrap()
}

pub(crate) fn keys() -> SigningKeys {
    let pkcs8 = Secret::new(pkcs8());
    let record =
        KeyRecord { kid: KID.into(), pkcs8, public: public(), made_at: Timestamp(0), retires_at: None };
    SigningKeys::from_records(vec![record]).unwrap()
}

pub(crate) fn claims() -> Claims {
    let id: InstanceId = "api/1".parse().unwrap();
    let scope = ["cred:read:api", "registry:write:api"].map(|scope| scope.parse().unwrap());
    let grant = Grant { subject: id.into(), scope: scope.into(), sid: "s-1".into(), jti: "j-1".into() };
    Claims::issue(&"zimmer".parse().unwrap(), grant, NOW)
}

pub(crate) fn token() -> String {
    String::from_utf8(keys().sign(&claims()).unwrap().expose_bytes().to_vec()).unwrap()
}

pub(crate) fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": KID })
}

/// A token out of any two texts, rightly signed with the key of the house.
pub(crate) fn forge(header: impl ToString, payload: impl ToString) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(payload.to_string()));
    let signature = Ed25519KeyPair::from_pkcs8(&pkcs8()).unwrap().sign(message.as_bytes());
    format!("{message}.{}", encode(signature.as_ref()))
}

/// What the house says to a token at a time.
pub(crate) fn verify_at(token: &str, now: Timestamp) -> Result<Claims, TokenError> {
    keys().verify(token, now, "haus:zimmer:api", "haus:zimmer")
}
