//! Generated values: text of a length out of an alphabet that every program accepts. It does not know what
//! for.

use crate::entropy::{Entropy, EntropyError};
use crate::sealed::VALUE_BYTES_MAX;
use haus_model::Secret;
use zeroize::Zeroizing;

/// The alphabet of base64url (RFC 4648, section 5): 64 characters, 6 bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Why no value was generated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// A length that a value cannot have.
    #[error("a generated value must have 1 to {VALUE_BYTES_MAX} characters, {length} were asked for")]
    Length {
        /// What was asked for.
        length: u32,
    },
    /// There are no random bytes.
    #[error("cannot generate a value")]
    Entropy(#[source] EntropyError),
}

/// Text of `length` characters out of `A-Z a-z 0-9 - _`, each worth 6 bits: 43 characters are worth 258.
///
/// # Errors
/// When no value can be so long or short, or there are no random bytes.
pub fn text(length: u32, entropy: &mut dyn Entropy) -> Result<Secret, GenerateError> {
    let bytes = usize::try_from(length).ok().filter(|bytes| (1..=VALUE_BYTES_MAX).contains(bytes));
    let bytes = bytes.ok_or(GenerateError::Length { length })?;
    let mut value = Zeroizing::new(vec![0u8; bytes]);
    entropy.fill(&mut value).map_err(GenerateError::Entropy)?;
    for byte in value.iter_mut() {
        // 256 is a multiple of 64, so taking the low six bits favours no character.
        *byte = ALPHABET[usize::from(*byte & 63)];
    }
    Ok(Secret::new(std::mem::take(&mut *value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::tests::{CountedEntropy, NoEntropy};

    fn check(length: u32, expected: Result<usize, GenerateError>) {
        let made = text(length, &mut CountedEntropy::default());
        assert_eq!(made.map(|value| value.expose_bytes().len()), expected);
    }

    #[test]
    fn a_value_has_the_length_that_was_asked_for() {
        check(1, Ok(1));
        check(48, Ok(48));
        check(1 << 20, Ok(1 << 20));
        check(0, Err(GenerateError::Length { length: 0 }));
        check((1 << 20) + 1, Err(GenerateError::Length { length: (1 << 20) + 1 }));
        check(u32::MAX, Err(GenerateError::Length { length: u32::MAX }));
    }

    #[test]
    fn every_character_of_the_alphabet_comes_and_no_other() {
        let value = text(64 * 200, &mut CountedEntropy::default()).unwrap();
        let mut counts = [0u32; 256];
        value.expose_bytes().iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        for (byte, count) in counts.into_iter().enumerate() {
            let expected = if ALPHABET.contains(&u8::try_from(byte).unwrap()) { 120..=300 } else { 0..=0 };
            assert!(expected.contains(&count), "character {byte} came {count} times");
        }
    }

    #[test]
    fn values_differ() {
        let mut entropy = crate::SystemEntropy;
        assert!(text(43, &mut entropy).unwrap() != text(43, &mut entropy).unwrap());
    }

    #[test]
    fn without_random_bytes_there_is_no_value() {
        let refused = text(8, &mut NoEntropy).err();
        assert_eq!(refused, Some(GenerateError::Entropy(EntropyError::Unavailable)));
    }
}
