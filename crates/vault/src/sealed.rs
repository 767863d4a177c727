//! The bytes of one sealed version: layout and limits. It does not know keys; only `seal` makes and opens
//! one.

use crate::cipher::{KEY_BYTES, NONCE_BYTES, TAG_BYTES};
use crate::key::{ID_BYTES, KeyId};
use std::fmt;

/// Bytes that a value may have at most (1 MiB).
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Bytes that a sealed value has beyond the value itself.
pub const OVERHEAD_BYTES: usize =
    MAGIC.len() + ID_BYTES + NONCE_BYTES + WRAPPED_BYTES + NONCE_BYTES + TAG_BYTES;

/// Bytes of a wrapped data key: ciphertext and tag.
pub(crate) const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// The first bytes; the digit is the version of the format.
const MAGIC: [u8; 4] = *b"HVS1";

/// One version of a credential, sealed. Not secret, but it belongs to exactly one [`crate::Binding`].
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    pub(crate) key_id: KeyId,
    pub(crate) wrap_nonce: [u8; NONCE_BYTES],
    pub(crate) wrapped: [u8; WRAPPED_BYTES],
    pub(crate) nonce: [u8; NONCE_BYTES],
    /// Ciphertext and tag.
    pub(crate) body: Vec<u8>,
}

/// Why bytes are no sealed value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Shorter or longer than every sealed value.
    #[error(
        "a sealed credential has {least} to {most} bytes, this one has {bytes}; it was cut off or is something else",
        least = OVERHEAD_BYTES + 1,
        most = OVERHEAD_BYTES + VALUE_BYTES_MAX
    )]
    Length {
        /// What it has.
        bytes: usize,
    },
    /// Other first bytes.
    #[error("this is no sealed credential of format 1; it is damaged, or of a newer release")]
    Magic,
}

impl Sealed {
    /// The key that its data key is wrapped with.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Bytes of the value inside.
    pub fn value_len(&self) -> usize {
        self.body.len() - TAG_BYTES
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&MAGIC[..], &self.key_id.0, &self.wrap_nonce, &self.wrapped, &self.nonce, &self.body].concat()
    }

    /// Reads what [`Sealed::to_bytes`] writes. Nothing is verified but the outer shape: opening does that.
    ///
    /// # Errors
    /// When the bytes cannot be a sealed value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Sealed, FormatError> {
        let length = FormatError::Length { bytes: bytes.len() };
        if !(OVERHEAD_BYTES + 1..=OVERHEAD_BYTES + VALUE_BYTES_MAX).contains(&bytes.len()) {
            return Err(length);
        }
        let (magic, rest) = bytes.split_first_chunk().ok_or(length.clone())?;
        if *magic != MAGIC {
            return Err(FormatError::Magic);
        }
        let (key_id, rest) = rest.split_first_chunk().ok_or(length.clone())?;
        let (wrap_nonce, rest) = rest.split_first_chunk().ok_or(length.clone())?;
        let (wrapped, rest) = rest.split_first_chunk().ok_or(length.clone())?;
        let (nonce, body) = rest.split_first_chunk().ok_or(length)?;
        Ok(Sealed {
            key_id: KeyId(*key_id),
            wrap_nonce: *wrap_nonce,
            wrapped: *wrapped,
            nonce: *nonce,
            body: body.to_vec(),
        })
    }
}

impl fmt::Debug for Sealed {
    /// Key and length; the ciphertext helps nobody in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Sealed");
        shown.field("key_id", &self.key_id).field("value_len", &self.value_len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Option<FormatError>) {
        assert_eq!(Sealed::from_bytes(bytes).err(), expected);
    }

    fn shaped(value_bytes: usize) -> Vec<u8> {
        [&MAGIC[..], &vec![9; OVERHEAD_BYTES - MAGIC.len() + value_bytes]].concat()
    }

    #[test]
    fn the_overhead_is_a_hundred_bytes_as_documented() {
        assert_eq!(OVERHEAD_BYTES, 100);
    }

    #[test]
    fn only_the_shape_of_one_to_a_mebibyte_is_read() {
        check(&shaped(1), None);
        check(&shaped(VALUE_BYTES_MAX), None);
        check(&[], Some(FormatError::Length { bytes: 0 }));
        check(&shaped(0), Some(FormatError::Length { bytes: 100 }));
        check(&shaped(VALUE_BYTES_MAX + 1), Some(FormatError::Length { bytes: 100 + VALUE_BYTES_MAX + 1 }));
        check(&[&b"HVS2"[..], &[9; 120]].concat(), Some(FormatError::Magic));
    }

    #[test]
    fn bytes_read_back_as_they_were() {
        let bytes: Vec<u8> = [&MAGIC[..], &(0..150).collect::<Vec<u8>>()].concat();
        assert_eq!(Sealed::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    }
}
