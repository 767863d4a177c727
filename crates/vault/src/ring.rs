//! The key ring: one active key, older ones that only open, and its text. It does not know where the text is
//! kept.

use crate::cipher::KEY_BYTES;
use crate::entropy::{Entropy, EntropyError};
use crate::key::{Key, KeyId, is_weak, read_hexadecimal};
use aws_lc_rs::digest::{SHA256, digest};
use haus_model::Secret;
use std::fmt;
use zeroize::Zeroizing;

/// Keys that one ring holds at most; each rotation adds one until old ones are retired.
pub const KEYS_MAX: usize = 16;

/// Bytes that the text of a ring has at most: far more than [`KEYS_MAX`] lines need.
pub(crate) const TEXT_BYTES_MAX: usize = 4 << 10;

const HEADER: &str = "haus key ring 1";

/// The keys that data keys are wrapped with: the active one wraps, all of them open.
#[derive(Clone)]
pub struct KeyRing {
    /// The active key first, then the others, the newest first. Never empty, ids differ.
    keys: Vec<Key>,
}

/// Why a text is no key ring, or a ring cannot be changed so. Never quotes the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// There is nothing.
    #[error("the key ring is empty; put the saved copy back, an empty one cannot open anything")]
    Empty,
    /// More than a ring can have.
    #[error(
        "the key ring is longer than {TEXT_BYTES_MAX} bytes, so it is something else; put the saved copy back"
    )]
    TooLong,
    /// Bytes that are no text.
    #[error("the key ring is not text; a bare key must be written as 64 hexadecimal digits")]
    NotText,
    /// One word, but not 32 bytes as hexadecimal digits.
    #[error(
        "a bare key has 64 hexadecimal digits (32 bytes), this is a word of {characters} characters; make one with `openssl rand -hex 32`"
    )]
    BareKey {
        /// What the word has.
        characters: usize,
    },
    /// The first line is another one.
    #[error("the key ring does not begin with `{HEADER}`; it is damaged, or of a newer release")]
    Header,
    /// A line is neither an active nor an old key.
    #[error(
        "line {line} of the key ring is not `active ID KEY` or `old ID KEY` with a key of 64 hexadecimal digits"
    )]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// Id and key of a line do not belong together.
    #[error("line {line} of the key ring is damaged: its id is not that of its key; put the saved copy back")]
    WrongId {
        /// Its number, from 1.
        line: usize,
    },
    /// A key that is no secret.
    #[error(
        "key {id} is not random (zeroes, a pattern, readable text or a well-known word); make one with `openssl rand -hex 32`"
    )]
    Weak {
        /// Which.
        id: KeyId,
    },
    /// A key stands there twice.
    #[error("key {id} is in the key ring twice; remove one of the lines")]
    Twice {
        /// Which.
        id: KeyId,
    },
    /// Not exactly one active key, or not in the first place.
    #[error("the key ring must have one active key, on its second line, and only old ones after it")]
    Active,
    /// More keys than a ring holds.
    #[error(
        "the key ring holds at most {KEYS_MAX} keys; retire old ones first (after everything was wrapped anew)"
    )]
    TooMany,
    /// The active key cannot be retired.
    #[error("key {id} is the active one and cannot be retired; rotate the key ring first")]
    RetireActive {
        /// Which.
        id: KeyId,
    },
    /// There is no such key.
    #[error("key {id} is not in the key ring")]
    Unknown {
        /// Which.
        id: KeyId,
    },
    /// No new key can be drawn.
    #[error("cannot draw a key")]
    Entropy(#[source] EntropyError),
}

impl KeyRing {
    /// A new ring of one key.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn generate(entropy: &mut dyn Entropy) -> Result<KeyRing, EntropyError> {
        Ok(KeyRing { keys: vec![Key::draw(entropy)?] })
    }

    /// Reads what [`KeyRing::render`] writes, or a bare key of 64 hexadecimal digits. White space at the end
    /// does not count.
    ///
    /// # Errors
    /// When the text is neither, or a key in it is no secret.
    pub fn parse(text: &Secret) -> Result<KeyRing, KeyRingError> {
        if text.expose_bytes().len() > TEXT_BYTES_MAX {
            return Err(KeyRingError::TooLong);
        }
        let text = std::str::from_utf8(text.expose_bytes()).map_err(|_| KeyRingError::NotText)?.trim_end();
        if text.is_empty() {
            return Err(KeyRingError::Empty);
        }
        let keys =
            if text.contains(char::is_whitespace) { read_lines(text)? } else { vec![read_bare(text)?] };
        Ok(KeyRing { keys })
    }

    /// The ring as text: `haus key ring 1`, then a line for each key.
    pub fn render(&self) -> Secret {
        // Enough from the start, so that no shorter copy of the text stays behind in memory.
        let mut text = Vec::with_capacity(HEADER.len() + 1 + self.keys.len() * 96);
        text.extend_from_slice(HEADER.as_bytes());
        text.push(b'\n');
        for (at, key) in self.keys.iter().enumerate() {
            text.extend_from_slice(if at == 0 { b"active " } else { b"old " });
            text.extend_from_slice(key.id.to_string().as_bytes());
            text.push(b' ');
            key.write_hexadecimal(&mut text);
            text.push(b'\n');
        }
        Secret::new(text)
    }

    /// The key that wraps.
    pub fn active(&self) -> &KeyId {
        &self.active_key().id
    }

    /// All keys: the active one, then the others, the newest first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(|key| key.id).collect()
    }

    /// Adds a new active key; the one before only opens from now on. Changes only this value: keep the ring
    /// ([`crate::custody::replace`]) before anything is sealed with it.
    ///
    /// # Errors
    /// When the ring is full or there are no random bytes; it is then as before.
    pub fn rotate(&mut self, entropy: &mut dyn Entropy) -> Result<KeyId, KeyRingError> {
        if self.keys.len() >= KEYS_MAX {
            return Err(KeyRingError::TooMany);
        }
        let key = Key::draw(entropy).map_err(KeyRingError::Entropy)?;
        let id = key.id;
        if self.key(&id).is_some() {
            return Err(KeyRingError::Twice { id });
        }
        self.keys.insert(0, key);
        Ok(id)
    }

    /// Forgets a key that wraps nothing any more. What is still wrapped with it is lost.
    ///
    /// # Errors
    /// When it is the active key or none of the ring.
    pub fn retire(&mut self, id: &KeyId) -> Result<(), KeyRingError> {
        match self.keys.iter().position(|key| key.id == *id) {
            None => Err(KeyRingError::Unknown { id: *id }),
            Some(0) => Err(KeyRingError::RetireActive { id: *id }),
            Some(at) => {
                self.keys.remove(at);
                Ok(())
            }
        }
    }

    /// What tells people which ring this is, for the record of who keeps a copy: 32 hexadecimal digits in
    /// groups, from the ids in their order. Not secret.
    pub fn fingerprint(&self) -> String {
        let ids: String = self.keys.iter().map(|key| format!("{}\n", key.id)).collect();
        let hash = digest(&SHA256, ids.as_bytes());
        let groups: Vec<String> =
            hash.as_ref()[..16].chunks(2).map(|pair| format!("{:02x}{:02x}", pair[0], pair[1])).collect();
        groups.join("-")
    }

    /// 32 bytes for another purpose, such as `trail anchor`, derived from the key `id` by HKDF-SHA256 (RFC
    /// 5869). None when the ring has no such key.
    pub fn derive(&self, id: &KeyId, purpose: &str) -> Option<Secret> {
        self.key(id).map(|key| key.derive(purpose))
    }

    pub(crate) fn active_key(&self) -> &Key {
        self.keys.first().expect("a key ring is never empty")
    }

    pub(crate) fn key(&self, id: &KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == *id)
    }
}

impl fmt::Debug for KeyRing {
    /// The ids; never the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("ids", &self.ids()).finish_non_exhaustive()
    }
}

fn read_bare(word: &str) -> Result<Key, KeyRingError> {
    let bare = KeyRingError::BareKey { characters: word.chars().count() };
    strong(read_key(word).ok_or(bare)?)
}

fn read_lines(text: &str) -> Result<Vec<Key>, KeyRingError> {
    let mut lines = text.lines().map(str::trim_end);
    if lines.next() != Some(HEADER) {
        return Err(KeyRingError::Header);
    }
    let mut keys: Vec<Key> = Vec::new();
    for (at, text) in lines.enumerate() {
        let line = at + 2;
        let words: Vec<&str> = text.split(' ').collect();
        let &[state, id, key] = &words[..] else { return Err(KeyRingError::Line { line }) };
        let id: KeyId = id.parse().map_err(|_| KeyRingError::Line { line })?;
        let key = strong(read_key(key).ok_or(KeyRingError::Line { line })?)?;
        match (state, at) {
            ("active", 0) | ("old", 1..) => {}
            ("active" | "old", _) => return Err(KeyRingError::Active),
            _ => return Err(KeyRingError::Line { line }),
        }
        if key.id != id {
            return Err(KeyRingError::WrongId { line });
        }
        if keys.iter().any(|other| other.id == id) {
            return Err(KeyRingError::Twice { id });
        }
        if keys.len() == KEYS_MAX {
            return Err(KeyRingError::TooMany);
        }
        keys.push(key);
    }
    if keys.is_empty() { Err(KeyRingError::Active) } else { Ok(keys) }
}

fn read_key(digits: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
    read_hexadecimal(digits.as_bytes(), &mut bytes[..])?;
    Some(bytes)
}

fn strong(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Result<Key, KeyRingError> {
    let weak = is_weak(&bytes);
    let key = Key::new(bytes);
    if weak { Err(KeyRingError::Weak { id: key.id }) } else { Ok(key) }
}

#[cfg(test)]
mod tests;
