//! Signatures over bytes that are no token, for records that outlive their store. A prefix keeps the two
//! apart: no bytes that somebody makes us sign here can ever be the signing input of a token, which is ASCII
//! from `eyJ` on. It does not know what the bytes say.

use crate::SigningKeys;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

/// Put before the bytes that are signed. The NUL at its end occurs in no token.
const PREFIX: &[u8] = b"haus-signed-bytes-v1\0";

impl SigningKeys {
    /// Signs bytes with the active key; returns its id and the signature (Ed25519 over a fixed prefix and the
    /// bytes, see `docs/formats/tokens.md`). Who keeps the signature longer than the key keeps the public key
    /// with it.
    pub fn sign_bytes(&self, bytes: &[u8]) -> (String, [u8; 64]) {
        let signature = self.pair().sign(&[PREFIX, bytes].concat());
        let signature = signature.as_ref().try_into().expect("a signature of Ed25519 has 64 bytes");
        (self.active_kid().to_owned(), signature)
    }

    /// Whether `signature` was made by [`SigningKeys::sign_bytes`] over these bytes with the private half of
    /// `public`.
    pub fn verify_bytes(public: &[u8; 32], bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, public).verify(&[PREFIX, bytes].concat(), signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::Timestamp;

    /// Signs `signed` and looks whether the signature, changed by `change`, is taken for `shown`.
    #[track_caller]
    fn check(signed: &[u8], shown: &[u8], change: fn(&mut [u8; 64]), expected: bool) {
        let keys = SigningKeys::generate(Timestamp(0)).unwrap();
        let (kid, mut signature) = keys.sign_bytes(signed);
        assert_eq!(kid, keys.active_kid());
        change(&mut signature);
        assert_eq!(SigningKeys::verify_bytes(&keys.records()[0].public, shown, &signature), expected);
    }

    #[test]
    fn only_the_same_bytes_and_signature_are_taken() {
        check(b"head", b"head", |_| (), true);
        check(b"", b"", |_| (), true);
        check(b"head", b"heaD", |_| (), false);
        check(b"head", b"head ", |_| (), false);
        check(b"head", b"head", |signature| signature[0] ^= 1, false);
        check(b"head", b"head", |signature| signature[63] ^= 0x80, false);
    }

    #[test]
    fn a_signature_of_another_length_or_key_is_refused() {
        let keys = SigningKeys::generate(Timestamp(0)).unwrap();
        let public = keys.records()[0].public;
        let (_, signature) = keys.sign_bytes(b"head");
        assert!(!SigningKeys::verify_bytes(&public, b"head", &signature[..63]));
        assert!(!SigningKeys::verify_bytes(&public, b"head", &[]));
        let other = SigningKeys::generate(Timestamp(0)).unwrap().records()[0].public;
        assert!(!SigningKeys::verify_bytes(&other, b"head", &signature));
        assert!(!SigningKeys::verify_bytes(&[0; 32], b"head", &[0; 64]), "a point of small order");
    }
}
