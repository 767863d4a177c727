//! Sealing, opening and re-wrapping one version of a credential. It does not know where sealed bytes are kept
//! nor who may have the value.

use crate::binding::{Binding, BindingError, Purpose};
use crate::cipher::{Cipher, KEY_BYTES, KeyBytes, NONCE_BYTES, TAG_BYTES};
use crate::entropy::{Entropy, EntropyError};
use crate::key::{Key, KeyId};
use crate::ring::KeyRing;
use crate::sealed::{Sealed, VALUE_BYTES_MAX, WRAPPED_BYTES};
use haus_model::Secret;
use zeroize::Zeroizing;

/// Why a value cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Empty, or too large for a credential.
    #[error("the value of a credential must have 1 to {VALUE_BYTES_MAX} bytes, it has {bytes}")]
    Size {
        /// What it has.
        bytes: usize,
    },
    /// It would be bound to something that cannot be.
    #[error("cannot seal the credential")]
    Binding(#[source] BindingError),
    /// There are no random bytes.
    #[error("cannot seal the credential")]
    Entropy(#[source] EntropyError),
}

/// Why a sealed value cannot be opened or wrapped anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its key is not in the ring.
    #[error(
        "the credential is sealed under key {0}, which is not in the key ring; put the key ring back that belongs to this database"
    )]
    UnknownKey(KeyId),
    /// It was changed, or belongs to another credential, version, owner or house. Nothing more can be known.
    #[error(
        "the sealed credential was changed or belongs elsewhere, so it stays closed; restore it from a backup or give it a new value"
    )]
    Tampered,
    /// Nothing can be sealed for such a binding.
    #[error("cannot open the credential")]
    Binding(#[source] BindingError),
    /// There are no random bytes to wrap it anew.
    #[error("cannot wrap the credential's key anew")]
    Entropy(#[source] EntropyError),
}

/// Seals a value under a new data key, and the data key under the active key of the ring.
///
/// # Errors
/// When value or binding are outside their limits, or there are no random bytes.
pub fn seal(
    ring: &KeyRing,
    binding: &Binding<'_>,
    value: &Secret,
    entropy: &mut dyn Entropy,
) -> Result<Sealed, SealError> {
    let plain = value.expose_bytes();
    if !(1..=VALUE_BYTES_MAX).contains(&plain.len()) {
        return Err(SealError::Size { bytes: plain.len() });
    }
    let aad = binding.associated_data(Purpose::Value).map_err(SealError::Binding)?;
    let mut data_key: KeyBytes = Zeroizing::new([0u8; KEY_BYTES]);
    entropy.fill(&mut data_key[..]).map_err(SealError::Entropy)?;
    let nonce = draw_nonce(entropy).map_err(SealError::Entropy)?;
    // Room for the tag from the start: a buffer that grows would leave the value behind in freed memory.
    let mut body = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_BYTES));
    body.extend_from_slice(plain);
    let tag = Cipher::new(&data_key).seal(nonce, &aad, &mut body);
    body.extend_from_slice(&tag);
    let key = ring.active_key();
    let wrap_nonce = draw_nonce(entropy).map_err(SealError::Entropy)?;
    let wrapped = wrap(key, binding, wrap_nonce, &data_key).map_err(SealError::Binding)?;
    Ok(Sealed { key_id: key.id, wrap_nonce, wrapped, nonce, body: std::mem::take(&mut *body) })
}

/// Opens a sealed value for the binding that it was sealed for.
///
/// # Errors
/// When the ring lacks its key, or anything about it or the binding is not as it was sealed.
pub fn open(ring: &KeyRing, binding: &Binding<'_>, sealed: &Sealed) -> Result<Secret, OpenError> {
    let aad = binding.associated_data(Purpose::Value).map_err(OpenError::Binding)?;
    let data_key = unwrap(ring, binding, sealed)?;
    let mut value = Zeroizing::new(vec![0u8; sealed.value_len()]);
    let opened = Cipher::new(&data_key).open(sealed.nonce, &aad, &sealed.body, &mut value);
    opened.ok_or(OpenError::Tampered)?;
    Ok(Secret::new(std::mem::take(&mut *value)))
}

/// Wraps the data key anew under the active key; nonce, ciphertext and tag of the value stay as they are.
/// None when it is wrapped with the active key already. The value itself is not opened, so its damage is
/// found by [`open`].
///
/// # Errors
/// When the ring lacks its key, the wrapped key or the binding is not as it was sealed, or there are no
/// random bytes.
pub fn rewrap(
    ring: &KeyRing,
    binding: &Binding<'_>,
    sealed: &Sealed,
    entropy: &mut dyn Entropy,
) -> Result<Option<Sealed>, OpenError> {
    let key = ring.active_key();
    if sealed.key_id == key.id {
        return Ok(None);
    }
    let data_key = unwrap(ring, binding, sealed)?;
    let wrap_nonce = draw_nonce(entropy).map_err(OpenError::Entropy)?;
    let wrapped = wrap(key, binding, wrap_nonce, &data_key).map_err(OpenError::Binding)?;
    Ok(Some(Sealed { key_id: key.id, wrap_nonce, wrapped, nonce: sealed.nonce, body: sealed.body.clone() }))
}

fn draw_nonce(entropy: &mut dyn Entropy) -> Result<[u8; NONCE_BYTES], EntropyError> {
    let mut nonce = [0u8; NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    Ok(nonce)
}

fn wrap(
    key: &Key,
    binding: &Binding<'_>,
    nonce: [u8; NONCE_BYTES],
    data_key: &KeyBytes,
) -> Result<[u8; WRAPPED_BYTES], BindingError> {
    let aad = binding.associated_data(Purpose::DataKey(key.id))?;
    let mut wrapped = [0u8; WRAPPED_BYTES];
    wrapped[..KEY_BYTES].copy_from_slice(&data_key[..]);
    let tag = key.wrap().seal(nonce, &aad, &mut wrapped[..KEY_BYTES]);
    wrapped[KEY_BYTES..].copy_from_slice(&tag);
    Ok(wrapped)
}

fn unwrap(ring: &KeyRing, binding: &Binding<'_>, sealed: &Sealed) -> Result<KeyBytes, OpenError> {
    let key = ring.key(&sealed.key_id).ok_or(OpenError::UnknownKey(sealed.key_id))?;
    let aad = binding.associated_data(Purpose::DataKey(key.id)).map_err(OpenError::Binding)?;
    let mut data_key: KeyBytes = Zeroizing::new([0u8; KEY_BYTES]);
    let opened = key.wrap().open(sealed.wrap_nonce, &aad, &sealed.wrapped, &mut data_key[..]);
    opened.ok_or(OpenError::Tampered)?;
    Ok(data_key)
}

#[cfg(test)]
mod tests;
