//! Tokens that say nothing: a kind, 256 random bits and a check sum. Whoever takes them keeps only their
//! hash. It does not know what a token is bound to, how long it lives or whether it was used.

use crate::encoding::{base64url, from_base64url, from_hex, hex};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use haus_model::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// `haus_en_`, which every kind has as long as this.
const PREFIX_BYTES: usize = 8;
/// 32 bytes as base64url.
const RANDOM_BYTES: usize = 43;
/// Four bytes as hexadecimal.
const SUM_BYTES: usize = 8;
/// Prefix, random part, one underscore, check sum.
const TEXT_BYTES: usize = PREFIX_BYTES + RANDOM_BYTES + 1 + SUM_BYTES;

/// What an opaque token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpaqueKind {
    /// Exchanged once for an access and a refresh token.
    Enrolment,
    /// Exchanged for the next pair, each time for a new one.
    Refresh,
}

impl OpaqueKind {
    /// All of them.
    pub const ALL: [OpaqueKind; 2] = [OpaqueKind::Enrolment, OpaqueKind::Refresh];

    /// How the text begins. Scanners for leaked secrets can look for it.
    pub fn prefix(self) -> &'static str {
        match self {
            OpaqueKind::Enrolment => "haus_en_",
            OpaqueKind::Refresh => "haus_re_",
        }
    }

    /// The word in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            OpaqueKind::Enrolment => "enrolment token",
            OpaqueKind::Refresh => "refresh token",
        }
    }
}

impl fmt::Display for OpaqueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no such token. Says nothing of the text but its length: it may be a mistyped secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// Begins like no token of ours.
    #[error("this is no {expected}: it does not begin with `{}`", expected.prefix())]
    Prefix {
        /// What was asked for.
        expected: OpaqueKind,
    },
    /// A token of ours, but of another kind.
    #[error("this is a {found} (`{}…`) where a {expected} (`{}…`) belongs", found.prefix(), expected.prefix())]
    Kind {
        /// What was asked for.
        expected: OpaqueKind,
        /// What it is.
        found: OpaqueKind,
    },
    /// Cut off, or with something around it.
    #[error(
        "a {expected} has 60 characters, this has {characters}; look for a part that is missing, or a blank"
    )]
    Length {
        /// What was asked for.
        expected: OpaqueKind,
        /// How many there are.
        characters: usize,
    },
    /// A character that does not occur in tokens, or one spelling of the bits that we do not write.
    #[error("this {expected} has a character that does not belong there; copy it again")]
    Character {
        /// What was asked for.
        expected: OpaqueKind,
    },
    /// The check sum tells that it was mistyped. A wrong but unspoilt token passes here and is found nowhere
    /// later.
    #[error("this {expected} is mistyped: its last 8 characters do not fit the rest; copy it again")]
    Sum {
        /// What was asked for.
        expected: OpaqueKind,
    },
}

/// A token that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// What it is for.
    pub kind: OpaqueKind,
    /// What is looked up.
    pub hash: TokenHash,
}

impl Opaque {
    /// Reads a token of any kind, for whoever does not know which one to expect.
    ///
    /// # Errors
    /// As [`parse`]; a text that begins like none of ours is judged as an enrolment token.
    pub fn recognise(text: &str) -> Result<Opaque, OpaqueError> {
        let kind = kind_of(text).unwrap_or(OpaqueKind::Enrolment);
        Ok(Opaque { kind, hash: parse(kind, text)? })
    }
}

/// Makes a token out of 256 random bits. The text is handed over once and then forgotten; the hash is kept.
pub fn mint(kind: OpaqueKind, random: &[u8; 32]) -> (Secret, TokenHash) {
    // Of the full size at once: a growing buffer would leave a copy of the secret behind.
    let mut text = String::with_capacity(TEXT_BYTES);
    text.push_str(kind.prefix());
    let encoded = Secret::from(base64url(random));
    text.push_str(std::str::from_utf8(encoded.expose_bytes()).expect("base64url is ASCII"));
    let sum = sum_of(&text);
    text.push('_');
    text.push_str(&sum);
    let hash = TokenHash::of(&text);
    (Secret::from(text), hash)
}

/// Reads a token of one kind and returns the hash to look it up by.
///
/// Everything stands at a fixed place; nothing is split at `_`, which the random part may contain.
///
/// # Errors
/// What is wrong with the text, as far as it can be told without knowing any token.
pub fn parse(kind: OpaqueKind, text: &str) -> Result<TokenHash, OpaqueError> {
    match kind_of(text) {
        Some(found) if found == kind => {}
        Some(found) => return Err(OpaqueError::Kind { expected: kind, found }),
        None => return Err(OpaqueError::Prefix { expected: kind }),
    }
    let character = OpaqueError::Character { expected: kind };
    let characters = text.chars().count();
    if characters != TEXT_BYTES {
        return Err(OpaqueError::Length { expected: kind, characters });
    }
    // ASCII, so the byte positions below are borders of characters.
    if !text.is_ascii() {
        return Err(character);
    }
    let (body, sum) = text.split_at(PREFIX_BYTES + RANDOM_BYTES);
    let random = from_base64url(&body[PREFIX_BYTES..]).map(Secret::new);
    let digits = sum.strip_prefix('_').filter(|digits| from_hex::<4>(digits).is_some());
    let (Some(_), Some(digits)) = (random, digits) else { return Err(character) };
    if verify_slices_are_equal(digits.as_bytes(), sum_of(body).as_bytes()).is_err() {
        return Err(OpaqueError::Sum { expected: kind });
    }
    Ok(TokenHash::of(text))
}

fn kind_of(text: &str) -> Option<OpaqueKind> {
    OpaqueKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))
}

/// The check sum over prefix and random part: the first four bytes of their SHA-256.
fn sum_of(body: &str) -> String {
    hex(&digest(&SHA256, body.as_bytes()).as_ref()[..4])
}

/// The SHA-256 of a whole token as text, so `printf %s TOKEN | sha256sum` finds its record. The token has 256
/// random bits; a slow hash, as passwords need, would protect nothing more.
#[derive(Clone, Copy)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of any token, opaque or signed.
    pub fn of(text: &str) -> TokenHash {
        TokenHash(digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// In constant time: how long it takes says nothing about where two hashes differ.
impl PartialEq for TokenHash {
    fn eq(&self, other: &TokenHash) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for TokenHash {}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", hex(&self.0[..4]))
    }
}

/// A text that is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hash of a token is written with 64 lower-case hexadecimal digits")]
pub struct TokenHashError;

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<TokenHash, TokenHashError> {
        from_hex(text).map(TokenHash).ok_or(TokenHashError)
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TokenHash, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
