//! A key ring sealed with a passphrase: format, cost, limits. It does not know where the bytes are kept.

use crate::cipher::{Cipher, KEY_BYTES, KeyBytes, NONCE_BYTES, TAG_BYTES};
use crate::entropy::{Entropy, EntropyError};
use crate::key::read_hexadecimal;
use crate::ring::{KeyRing, KeyRingError, TEXT_BYTES_MAX};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use haus_model::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Characters that a passphrase has at least when a ring is sealed; opening takes any.
pub const PASSPHRASE_CHARACTERS_MIN: usize = 12;
/// Bytes that a passphrase has at most.
pub const PASSPHRASE_BYTES_MAX: usize = 1_024;

pub(super) const FORMAT: &str = "haus sealed key ring 1";
const SALT_BYTES: usize = 16;
/// Different bytes that a passphrase has at least: `aaaaaaaaaaaa` is long and no secret.
const PASSPHRASE_DISTINCT_MIN: usize = 5;

/// What opening costs (RFC 9106, Argon2id version 0x13). The numbers stand in the file, so the limits here
/// also bound what a file put there by somebody else can make us spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Memory in KiB: 19,456 to 1,048,576.
    pub memory_kib: u32,
    /// Passes over it: 2 to 16, and passes times memory at most 4 GiB.
    pub passes: u32,
    /// Lanes: 1 to 4.
    pub lanes: u32,
}

impl Default for Cost {
    /// 64 MiB, 3 passes, 1 lane.
    fn default() -> Cost {
        Cost { memory_kib: 64 << 10, passes: 3, lanes: 1 }
    }
}

impl Cost {
    /// The cheapest that is accepted (19 MiB, 2 passes: what OWASP names as the least).
    pub const LEAST: Cost = Cost { memory_kib: 19 << 10, passes: 2, lanes: 1 };

    fn is_within_limits(self) -> bool {
        (Cost::LEAST.memory_kib..=1 << 20).contains(&self.memory_kib)
            && (Cost::LEAST.passes..=16).contains(&self.passes)
            && (1..=4).contains(&self.lanes)
            && u64::from(self.memory_kib) * u64::from(self.passes) <= 4 << 20
    }
}

/// Why a sealed ring cannot be opened or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedRingError {
    /// Not our format.
    #[error(
        "it is no sealed key ring of format 1; it is damaged, or of a newer release, or a plain key ring"
    )]
    Format,
    /// A cost outside the limits.
    #[error(
        "its cost is outside the limits (memory {memory_kib} KiB, {passes} passes, {lanes} lanes); it was changed, put the saved copy back"
    )]
    Cost {
        /// As found.
        memory_kib: u32,
        /// As found.
        passes: u32,
        /// As found.
        lanes: u32,
    },
    /// The passphrase does not open it, or it was changed; the two cannot be told apart.
    #[error("the passphrase does not open it, or it was changed; try again, or put the saved copy back")]
    Closed,
    /// A passphrase that would be guessed.
    #[error(
        "the passphrase is too easily guessed; take at least {PASSPHRASE_CHARACTERS_MIN} characters, for example five random words"
    )]
    Weak,
    /// A passphrase that is none.
    #[error("a passphrase has 1 to {PASSPHRASE_BYTES_MAX} bytes; take a shorter one")]
    Length,
    /// There is not enough memory for its cost.
    #[error("there are not {memory_kib} KiB of memory free for its cost")]
    Memory {
        /// What it takes.
        memory_kib: u32,
    },
    /// It opens, but what is inside is no ring.
    #[error("its content is damaged")]
    Ring(#[source] KeyRingError),
    /// There are no random bytes.
    #[error("cannot draw salt and nonce")]
    Entropy(#[source] EntropyError),
}

/// The file: one JSON object. Format, cost and salt are bound to the seal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    nonce: String,
    sealed: String,
}

/// Seals a ring with a passphrase.
///
/// # Errors
/// When passphrase or cost are outside their limits, or memory or random bytes are missing.
pub fn seal_ring(
    ring: &KeyRing,
    passphrase: &Secret,
    cost: Cost,
    entropy: &mut dyn Entropy,
) -> Result<Secret, SealedRingError> {
    if is_guessable(passphrase.expose_bytes()) {
        return Err(SealedRingError::Weak);
    }
    let mut salt = [0u8; SALT_BYTES];
    let mut nonce = [0u8; NONCE_BYTES];
    entropy.fill(&mut salt).map_err(SealedRingError::Entropy)?;
    entropy.fill(&mut nonce).map_err(SealedRingError::Entropy)?;
    let key = stretch(passphrase, &salt, cost)?;
    let plain = ring.render();
    let mut sealed = Zeroizing::new(Vec::with_capacity(plain.expose_bytes().len() + TAG_BYTES));
    sealed.extend_from_slice(plain.expose_bytes());
    let tag = Cipher::new(&key).seal(nonce, &associated_data(&salt, cost), &mut sealed);
    sealed.extend_from_slice(&tag);
    let document = Document {
        format: FORMAT.to_owned(),
        kdf: String::from("argon2id"),
        memory_kib: cost.memory_kib,
        passes: cost.passes,
        lanes: cost.lanes,
        salt: hexadecimal(&salt),
        nonce: hexadecimal(&nonce),
        sealed: hexadecimal(&sealed),
    };
    let mut text = serde_json::to_string_pretty(&document).expect("texts and numbers are always JSON");
    text.push('\n');
    Ok(Secret::from(text))
}

/// Opens what [`seal_ring`] made; gives its cost as well, so that it can be sealed again alike.
///
/// # Errors
/// When the bytes are not of this format, cost too much, or the passphrase is another one.
pub fn open_ring(content: &Secret, passphrase: &Secret) -> Result<(KeyRing, Cost), SealedRingError> {
    let document: Document =
        serde_json::from_slice(content.expose_bytes()).map_err(|_| SealedRingError::Format)?;
    if document.format != FORMAT || document.kdf != "argon2id" {
        return Err(SealedRingError::Format);
    }
    let Document { memory_kib, passes, lanes, .. } = document;
    let cost = Cost { memory_kib, passes, lanes };
    let mut salt = [0u8; SALT_BYTES];
    let mut nonce = [0u8; NONCE_BYTES];
    read_hexadecimal(document.salt.as_bytes(), &mut salt).ok_or(SealedRingError::Format)?;
    read_hexadecimal(document.nonce.as_bytes(), &mut nonce).ok_or(SealedRingError::Format)?;
    let plain_bytes = (document.sealed.len() / 2).checked_sub(TAG_BYTES).ok_or(SealedRingError::Format)?;
    if plain_bytes > TEXT_BYTES_MAX {
        return Err(SealedRingError::Format);
    }
    let mut sealed = vec![0u8; plain_bytes + TAG_BYTES];
    read_hexadecimal(document.sealed.as_bytes(), &mut sealed).ok_or(SealedRingError::Format)?;
    let key = stretch(passphrase, &salt, cost)?;
    let mut plain = Zeroizing::new(vec![0u8; plain_bytes]);
    let opened = Cipher::new(&key).open(nonce, &associated_data(&salt, cost), &sealed, &mut plain);
    opened.ok_or(SealedRingError::Closed)?;
    let ring = KeyRing::parse(&Secret::new(std::mem::take(&mut *plain))).map_err(SealedRingError::Ring)?;
    Ok((ring, cost))
}

/// Argon2id over memory that is zeroed afterwards.
fn stretch(passphrase: &Secret, salt: &[u8; SALT_BYTES], cost: Cost) -> Result<KeyBytes, SealedRingError> {
    let Cost { memory_kib, passes, lanes } = cost;
    if !cost.is_within_limits() {
        return Err(SealedRingError::Cost { memory_kib, passes, lanes });
    }
    if !(1..=PASSPHRASE_BYTES_MAX).contains(&passphrase.expose_bytes().len()) {
        return Err(SealedRingError::Length);
    }
    let params =
        Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).expect("our limits are within Argon2's");
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(params.block_count()).map_err(|_| SealedRingError::Memory { memory_kib })?;
    blocks.resize(params.block_count(), Block::default());
    let mut blocks = Zeroizing::new(blocks);
    let mut key: KeyBytes = Zeroizing::new([0u8; KEY_BYTES]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let done = argon.hash_password_into_with_memory(
        passphrase.expose_bytes(),
        salt,
        &mut key[..],
        blocks.as_mut_slice(),
    );
    done.expect("lengths are within Argon2's limits and the memory has its size");
    Ok(key)
}

/// Format, purpose (3, beside 1 and 2 of the sealed credentials), salt and cost.
fn associated_data(salt: &[u8; SALT_BYTES], cost: Cost) -> Vec<u8> {
    let mut bytes = b"haus vault 1\x03".to_vec();
    bytes.extend_from_slice(salt);
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes
}

fn is_guessable(passphrase: &[u8]) -> bool {
    // Bytes that begin a character (UTF-8); the passphrase is not copied into a text for this.
    let characters = passphrase.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    let mut seen = [false; 256];
    passphrase.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    characters < PASSPHRASE_CHARACTERS_MIN || different < PASSPHRASE_DISTINCT_MIN
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
