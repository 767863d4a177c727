//! Why a token or a key is refused. No error holds a token or any part of one that its sender chose freely: a
//! `kid` is repeated only after it was found to have the form of one of ours.

use haus_model::Timestamp;

/// Why an access token is refused, or could not be made.
///
/// The texts are for the log of the house. A caller over the network learns only that its token was refused
/// and, for [`TokenError::Expired`], that it should refresh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than any token of ours.
    #[error(
        "the access token has {bytes} bytes, more than {}; send only the token itself",
        crate::TOKEN_BYTES_MAX
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Not the text form of `docs/formats/tokens.md`.
    #[error("the access token is not well-formed: {what}; ask for a new one")]
    Malformed {
        /// Which part is wrong, and how.
        what: &'static str,
    },
    /// The header names another algorithm than EdDSA, for example `none` or HS256.
    #[error("the access token is not signed with EdDSA, which is the only algorithm of this house")]
    Algorithm,
    /// No key of that id is known.
    #[error(
        "the access token is signed with key {kid}, which this house does not have; refresh or enrol again"
    )]
    UnknownKey {
        /// The id in the header.
        kid: String,
    },
    /// The key was replaced and its overlap is over.
    #[error("the access token is signed with key {kid}, which was retired at {at}; refresh it")]
    RetiredKey {
        /// The id in the header.
        kid: String,
        /// Since when the key verifies nothing.
        at: Timestamp,
    },
    /// The signature does not belong to these bytes and that key.
    #[error("the signature of the access token is wrong; it was changed, or made by somebody else")]
    Signature,
    /// Its time is over.
    #[error("the access token expired at {at}; refresh it")]
    Expired {
        /// The first moment at which it is refused.
        at: Timestamp,
    },
    /// It was made in the future, or must not be used yet.
    #[error("the access token is not valid before {at}; compare the clocks of both machines")]
    NotYet {
        /// From when on it may be used, before any leeway.
        at: Timestamp,
    },
    /// It is meant for somebody else.
    #[error("the access token is meant for another audience than `{expected}`")]
    Audience {
        /// Who we are.
        expected: String,
    },
    /// Another house made it.
    #[error("the access token comes from another issuer than `{expected}`")]
    Issuer {
        /// Whose tokens are taken.
        expected: String,
    },
    /// The signature is right, but the content contradicts itself or our rules.
    #[error("the claims of the access token do not hold: {what}")]
    Claims {
        /// The rule that is broken.
        what: &'static str,
    },
    /// The signing itself failed.
    #[error("cannot sign an access token with key {kid}: {reason}")]
    Sign {
        /// The active key.
        kid: String,
        /// What the library says; never the key or the claims.
        reason: String,
    },
}

/// Why signing keys cannot be made, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system gave no randomness, or the library no key.
    #[error("cannot make a new signing key; see whether the system's random source works")]
    Generate(#[source] aws_lc_rs::error::Unspecified),
    /// The stored private key cannot be read.
    #[error(
        "the stored private half of signing key {kid} is no Ed25519 key in PKCS#8; restore the key records"
    )]
    Private {
        /// The record.
        kid: String,
        /// What the library says; never the key.
        #[source]
        source: aws_lc_rs::error::KeyRejected,
    },
    /// The parts of a record do not belong together.
    #[error("signing key {kid} is not consistent: {what}; restore the key records")]
    Record {
        /// The record.
        kid: String,
        /// What does not fit.
        what: &'static str,
    },
    /// Not exactly one key that signs.
    #[error(
        "{count} of the stored signing keys are active, where exactly one has to be; restore the key records"
    )]
    Active {
        /// How many there are.
        count: usize,
    },
    /// Two records with one id.
    #[error("signing key {kid} is stored twice; restore the key records")]
    Duplicate {
        /// The id.
        kid: String,
    },
    /// Rotated so often that too many old keys still verify.
    #[error(
        "cannot keep more than {} signing keys; wait until {until}, when the next one retires, or retire one now",
        crate::KEYS_MAX
    )]
    TooMany {
        /// When the first of them retires.
        until: Timestamp,
    },
    /// The key that signs cannot be taken away without a new one.
    #[error("signing key {kid} is the active one; rotate with an overlap of zero instead")]
    RetireActive {
        /// The id.
        kid: String,
    },
    /// No such key.
    #[error("there is no signing key {kid}")]
    Unknown {
        /// The id that was asked for.
        kid: String,
    },
}
