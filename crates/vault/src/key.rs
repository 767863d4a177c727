//! One key-encryption key and its id; which keys are too weak to be one. It does not know rings and files.

use crate::cipher::{self, Cipher, KEY_BYTES, KeyBytes};
use crate::entropy::{Entropy, EntropyError};
use aws_lc_rs::digest::{SHA256, digest};
use haus_model::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of an id.
pub(crate) const ID_BYTES: usize = 8;

/// Different byte values that a key of 32 random bytes has at least. Some 30 are usual; fewer than 16 come
/// once in 10^14 keys or more rarely.
const DISTINCT_MIN: usize = 16;

/// Draws until the source counts as broken.
const DRAWS_MAX: u32 = 4;

/// Texts whose SHA-256 somebody has surely used as a key.
const KNOWN_TEXTS: [&str; 12] = [
    "",
    "admin",
    "change-me",
    "change_me",
    "changeme",
    "default",
    "hausmeister",
    "key",
    "password",
    "secret",
    "test",
    "zimmer-13",
];

/// The id of a key: `k` and the first 16 hexadecimal digits of the SHA-256 of its 32 bytes. Not secret:
/// whoever can compute it has the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("k")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no id of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key is the letter k and 16 hexadecimal digits in lower case")]
pub struct KeyIdError;

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<KeyId, KeyIdError> {
        let digits = text.strip_prefix('k').ok_or(KeyIdError)?.as_bytes();
        if digits.len() != 2 * ID_BYTES || digits.iter().any(u8::is_ascii_uppercase) {
            return Err(KeyIdError);
        }
        let mut id = [0u8; ID_BYTES];
        read_hexadecimal(digits, &mut id).ok_or(KeyIdError)?;
        Ok(KeyId(id))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyId, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A key of the ring, with what is computed from it once.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    bytes: KeyBytes,
    wrap: Arc<Cipher>,
}

impl Key {
    /// Takes 32 bytes that are a key; whether they are a good one is [`is_weak`]'s question.
    pub(crate) fn new(bytes: KeyBytes) -> Key {
        let mut id = [0u8; ID_BYTES];
        id.copy_from_slice(&digest(&SHA256, &bytes[..]).as_ref()[..ID_BYTES]);
        // The bytes of the ring are never an AES key themselves: one key, one purpose.
        let wrap = Arc::new(Cipher::new(&cipher::derive(&bytes, &[b"wrap"])));
        Key { id: KeyId(id), bytes, wrap }
    }

    /// Draws a key.
    ///
    /// # Errors
    /// When the source fails, or gives weak keys again and again.
    pub(crate) fn draw(entropy: &mut dyn Entropy) -> Result<Key, EntropyError> {
        for _ in 0..DRAWS_MAX {
            let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
            entropy.fill(&mut bytes[..])?;
            if !is_weak(&bytes) {
                return Ok(Key::new(bytes));
            }
        }
        Err(EntropyError::Weak)
    }

    /// What data keys are wrapped with.
    pub(crate) fn wrap(&self) -> &Cipher {
        &self.wrap
    }

    /// 32 bytes for another purpose, from which neither the key nor other purposes' bytes can be found.
    pub(crate) fn derive(&self, purpose: &str) -> Secret {
        Secret::new(cipher::derive(&self.bytes, &[b"derive\0", purpose.as_bytes()]).to_vec())
    }

    /// Appends the key as 64 hexadecimal digits.
    pub(crate) fn write_hexadecimal(&self, text: &mut Vec<u8>) {
        for byte in self.bytes.iter() {
            text.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
    }
}

/// Whether a key is one that people choose and chance does not: few different bytes, a period, even steps,
/// readable text, or the hash of a word from every list.
pub(crate) fn is_weak(key: &[u8; KEY_BYTES]) -> bool {
    let mut seen = [false; 256];
    key.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let few = seen.iter().filter(|seen| **seen).count() < DISTINCT_MIN;
    let periodic = [8, 16].into_iter().any(|period| key[period..] == key[..KEY_BYTES - period]);
    let step = key[1].wrapping_sub(key[0]);
    let even = key.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    let readable = key.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ' || *byte == 0);
    let known = KNOWN_TEXTS.iter().any(|text| digest(&SHA256, text.as_bytes()).as_ref() == key);
    few || periodic || even || readable || known
}

/// Reads pairs of hexadecimal digits into all of `bytes`; none when there are others or more or fewer.
pub(crate) fn read_hexadecimal(digits: &[u8], bytes: &mut [u8]) -> Option<()> {
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::tests::{CountedEntropy, NoEntropy, ZeroEntropy};

    fn check(key: [u8; KEY_BYTES], weak: bool) {
        assert_eq!(is_weak(&key), weak, "{key:?}");
    }

    fn text(text: &str) -> [u8; KEY_BYTES] {
        std::array::from_fn(|at| text.as_bytes().get(at).copied().unwrap_or(0))
    }

    #[test]
    fn keys_that_people_choose_are_weak() {
        check([0; 32], true);
        check([255; 32], true);
        check(text("changeme"), true);
        check(text("correct horse battery staple 42!"), true);
        check(std::array::from_fn(|at| u8::try_from(at).unwrap()), true);
        check(std::array::from_fn(|at| u8::try_from(200 - 3 * at).unwrap()), true);
        check(
            std::array::from_fn(|at| *b"\x09\x4d\x1f\xfa\x01\x80\x3f\x05qwertyui".get(at % 16).unwrap()),
            true,
        );
        let mut hashed = [0u8; 32];
        hashed.copy_from_slice(digest(&SHA256, b"changeme").as_ref());
        check(hashed, true);
    }

    #[test]
    fn drawn_keys_are_not_weak() {
        let mut entropy = CountedEntropy::default();
        for _ in 0..1_000 {
            let mut key = [0u8; 32];
            entropy.fill(&mut key).unwrap();
            check(key, false);
        }
    }

    #[test]
    fn a_source_without_randomness_gives_no_key() {
        assert_eq!(Key::draw(&mut ZeroEntropy).err(), Some(EntropyError::Weak));
        assert_eq!(Key::draw(&mut NoEntropy).err(), Some(EntropyError::Unavailable));
    }

    #[test]
    fn an_id_reads_back_and_nothing_else_does() {
        let id = Key::draw(&mut CountedEntropy::default()).unwrap().id;
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(serde_json::from_str::<KeyId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        for text in
            ["", "k", "k0123456789abcde", "k0123456789abcdeF", "x0123456789abcdef", "k0123456789abcdef0"]
        {
            assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text}");
        }
    }
}
