//! AES-256-GCM and HKDF-SHA256 over fixed sizes. It does not know what it protects: key, nonce and associated
//! data are arguments.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

/// Bytes of every key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of every nonce (96 bits, NIST SP 800-38D section 8.2.2).
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes of every tag (128 bits, never shortened).
pub(crate) const TAG_BYTES: usize = 16;

/// The salt of every derivation: names format and version, so that no other program's keys coincide.
const SALT: &[u8] = b"haus vault 1";

/// A key that was opened or drawn, in memory that is zeroed.
pub(crate) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// A key that is ready for AES-256-GCM. Its copy of the bytes is cleansed when dropped (by AWS-LC).
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Cipher {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256-GCM takes every key of 32 bytes");
        Cipher(LessSafeKey::new(key))
    }

    /// Encrypts in place and gives the tag. A nonce must not come twice with one key.
    pub(crate) fn seal(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], value: &mut [u8]) -> [u8; TAG_BYTES] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), value);
        let tag = tag.expect("a value within its limit is within AES-GCM's limit of 64 GiB");
        tag.as_ref().try_into().expect("a tag of AES-256-GCM has 16 bytes")
    }

    /// Decrypts `sealed`, which is the ciphertext and after it the tag, into `value`, which has the
    /// ciphertext's length. None when the tag does not belong to it; `value` is then of no use. The tag is
    /// compared in constant time (by AWS-LC).
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        sealed: &[u8],
        value: &mut [u8],
    ) -> Option<()> {
        let (ciphertext, tag) = sealed.split_at_checked(value.len())?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, value).ok()
    }
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// HKDF-SHA256 (RFC 5869) of `key`; `info` separates purposes.
pub(crate) fn derive(key: &[u8; KEY_BYTES], info: &[&[u8]]) -> KeyBytes {
    let mut derived = Zeroizing::new([0u8; KEY_BYTES]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(key);
    let expanded = extracted.expand(info, Length).expect("32 bytes are less than 255 blocks");
    expanded.fill(&mut derived[..]).expect("the length is the one that was asked for");
    derived
}
