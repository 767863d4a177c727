//! What a seal is bound to, and its bytes as associated data. It does not know what the words mean.

/// Bytes that house, credential id and owner may each have.
pub const BINDING_TEXT_BYTES_MAX: usize = 255;

/// Begins all associated data; the digit is the version of the format.
const PREFIX: &[u8] = b"haus vault 1";

/// Where a sealed value belongs. It opens only for exactly the same binding, so that a row that was moved in
/// the database to another credential, version, owner or house is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The house's name.
    pub house: &'a str,
    /// The credential's id (not its name, which may be given to another one later).
    pub credential: &'a str,
    /// The version, from 1.
    pub version: u64,
    /// The service or person that it belongs to; empty for none.
    pub owner: &'a str,
}

/// Why a binding is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} of a sealed credential must have {least} to {BINDING_TEXT_BYTES_MAX} bytes, it has {bytes}")]
pub struct BindingError {
    /// Which field.
    pub field: &'static str,
    /// What it must have at least.
    pub least: usize,
    /// What it has.
    pub bytes: usize,
}

/// What a ciphertext is for: one for the other must not open.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// The value under its data key.
    Value,
    /// The data key under the key with this id.
    DataKey(crate::key::KeyId),
}

impl Binding<'_> {
    /// The associated data: prefix, purpose, then each field with its length before it, so that no two
    /// bindings have the same bytes.
    pub(crate) fn associated_data(&self, purpose: Purpose) -> Result<Vec<u8>, BindingError> {
        let mut bytes = Vec::with_capacity(64 + self.house.len() + self.credential.len() + self.owner.len());
        bytes.extend_from_slice(PREFIX);
        bytes.push(match purpose {
            Purpose::Value => 1,
            Purpose::DataKey(_) => 2,
        });
        let fields =
            [("the house", self.house, 1), ("the id", self.credential, 1), ("the owner", self.owner, 0)];
        for (field, text, least) in fields {
            if !(least..=BINDING_TEXT_BYTES_MAX).contains(&text.len()) {
                return Err(BindingError { field, least, bytes: text.len() });
            }
            bytes.push(u8::try_from(text.len()).expect("255 is the most"));
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&self.version.to_be_bytes());
        match purpose {
            Purpose::Value => {}
            Purpose::DataKey(id) => bytes.extend_from_slice(&id.0),
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn check(house: &str, credential: &str, owner: &str, expected: Option<&'static str>) {
        let binding = Binding { house, credential, version: 1, owner };
        let refused = binding.associated_data(Purpose::Value).err().map(|error| error.field);
        assert_eq!(refused, expected);
    }

    #[test]
    fn house_and_id_must_be_there_and_nothing_may_be_long() {
        let long = "x".repeat(256);
        check("h", "c", "", None);
        check(&long[..255], &long[..255], &long[..255], None);
        check("", "c", "o", Some("the house"));
        check("h", "", "o", Some("the id"));
        check(&long, "c", "o", Some("the house"));
        check("h", &long, "o", Some("the id"));
        check("h", "c", &long, Some("the owner"));
    }

    #[test]
    fn text_cannot_wander_from_one_field_to_the_next() {
        let id = crate::key::KeyId([7; 8]);
        let mut seen = BTreeSet::new();
        let mut written = 0;
        for (house, credential, owner) in
            [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ("abc", "d", ""), ("a", "bcd", "")]
        {
            for version in [1, 2, u64::MAX] {
                for purpose in [Purpose::Value, Purpose::DataKey(id)] {
                    let binding = Binding { house, credential, version, owner };
                    seen.insert(binding.associated_data(purpose).unwrap());
                    written += 1;
                }
            }
        }
        assert_eq!(seen.len(), written);
    }
}
