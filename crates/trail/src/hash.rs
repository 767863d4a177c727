//! The hash of an entry: SHA-256 and its text form. Knows nothing of what is hashed.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A SHA-256 hash (FIPS 180-4). Written as 64 lower-case hex digits, in text and in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// Why a text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hex digits in lower case, this text has another form")]
pub struct HashError;

impl Hash {
    /// What the first entry of a trail continues: 32 zero bytes.
    pub const GENESIS: Hash = Hash([0; 32]);
}

/// Appends bytes as lower-case hex digits.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Reads lower-case hex digits; `None` when the text is anything else.
///
/// Upper case is refused, so that one value has one text and an equal text means an equal value.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(64);
        push_hex(&mut text, &self.0);
        f.write_str(&text)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Hash, HashError> {
        // The length first: a hostile text of megabytes is not decoded.
        if text.len() != 64 {
            return Err(HashError);
        }
        let bytes = from_hex(text).ok_or(HashError)?;
        bytes.try_into().map(Hash).map_err(|_| HashError)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Hash, HashError>) {
        assert_eq!(text.parse::<Hash>(), expected);
    }

    #[test]
    fn sixty_four_zeros_are_genesis() {
        check(&"0".repeat(64), Ok(Hash::GENESIS));
        assert_eq!(Hash::GENESIS.to_string(), "0".repeat(64));
    }

    #[test]
    fn every_byte_comes_back_from_its_text() {
        let hash = Hash(std::array::from_fn(|at| u8::try_from(at * 8 + 7).expect("below 256")));
        check(&hash.to_string(), Ok(hash));
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), hash);
    }

    #[test]
    fn other_texts_are_refused() {
        check("", Err(HashError));
        check(&"0".repeat(63), Err(HashError));
        check(&"0".repeat(66), Err(HashError));
        check(&"A".repeat(64), Err(HashError));
        check(&"g".repeat(64), Err(HashError));
        check(&"ä".repeat(32), Err(HashError));
        check(&format!("+{}", "0".repeat(63)), Err(HashError));
    }
}
