//! Bytes that must not show: no `Display`, a `Debug` without content, zeroed when dropped.
//! It does not know what the bytes are for; on the wire they travel as hexadecimal text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// Secret bytes, for example the value of a credential on its way into a file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership, so that the only copy is the one that will be zeroed.
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    /// The bytes themselves. The name is long so that every use stands out in review.
    pub fn expose_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Secret {
        Secret::new(bytes)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(hidden)")
    }
}

/// Writes hexadecimal straight into the serializer, so that no second buffer holds the value.
struct Hexadecimal<'bytes>(&'bytes [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hexadecimal(&self.0))
    }
}

struct HexadecimalVisitor;

impl de::Visitor<'_> for HexadecimalVisitor {
    type Value = Secret;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("hexadecimal text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        // The error must not quote the text, as serde's own helpers would.
        let refuse = || E::custom("not hexadecimal text");
        if !text.len().is_multiple_of(2) {
            return Err(refuse());
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
        for pair in text.as_bytes().chunks_exact(2) {
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Err(refuse()) };
            bytes.push((high << 4 | low) as u8);
        }
        Ok(Secret(bytes))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        deserializer.deserialize_str(HexadecimalVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Option<&[u8]>) {
        let read: Option<Secret> = serde_json::from_str(json).ok();
        assert_eq!(read.as_ref().map(Secret::expose_bytes), expected, "{json}");
    }

    #[test]
    fn only_pairs_of_hexadecimal_digits_are_read() {
        check("\"00ff7a\"", Some(&[0, 255, 122]));
        check("\"\"", Some(&[]));
        check("\"0\"", None);
        check("\"zz\"", None);
        check("\"é\"", None);
        check("[1,2]", None);
    }

    #[test]
    fn a_secret_shows_neither_in_debug_nor_in_errors() {
        let secret = Secret::from(String::from("hunter2"));
        assert!(!format!("{secret:?}").contains("hunter2"));
        let failure = serde_json::from_str::<Secret>("\"hunter2\"").expect_err("not hexadecimal");
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }

    #[test]
    fn bytes_survive_the_wire() {
        let secret = Secret::new((0..=255).collect());
        let text = serde_json::to_string(&secret).expect("writes");
        assert_eq!(serde_json::from_str::<Secret>(&text).expect("reads"), secret);
    }
}
