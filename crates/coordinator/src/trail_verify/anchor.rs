//! An anchor from a file: whether it was signed, and by which key.
//!
//! Anybody can sign with a key of their own. So the key is named by its fingerprint for people to compare,
//! and demanded when the caller knows which one it must be.

use haus_trail::{Anchor, AnchorError, SignedAnchor};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

/// Bytes of an anchor's file that are read; longer ones are no anchors.
const FILE_BYTES_MAX: u64 = 8 << 10;

/// SHA-256 of a public key, by which people compare keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a public key.
    pub fn of(public_key: &[u8]) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, public_key).as_ref());
        Fingerprint(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A text that is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 64 hexadecimal digits")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Fingerprint, FingerprintError> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let pairs = text.as_bytes().chunks_exact(2);
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() {
            return Err(FingerprintError);
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(FingerprintError);
            };
            *byte = (high << 4 | low) as u8;
        }
        Ok(Fingerprint(bytes))
    }
}

/// An anchor whose signature fits the key that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedAnchor {
    /// The anchor.
    pub anchor: Anchor,
    /// Whose signature it is.
    pub fingerprint: Fingerprint,
}

/// Why an anchor is not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnchorFileError {
    /// The file cannot be read.
    #[error("cannot read the anchor {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What stands in it is no anchor.
    #[error("{} holds no anchor", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: AnchorError,
    },
    /// The signature does not fit: the anchor was changed.
    #[error("the anchor {} was changed or never signed: its signature does not fit", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// The entry that it claims to hold.
        seq: u64,
    },
    /// Signed, but by somebody else.
    #[error(
        "the anchor {} is signed by the key {found}, not by {wanted}; after `haus vault rotate-key` this is \
         right: then an entry `key-rotate` of the trail names the new key in `anchor_key`",
        path.display()
    )]
    OtherKey {
        /// The file.
        path: PathBuf,
        /// Who signed.
        found: Fingerprint,
        /// Who should have.
        wanted: Fingerprint,
    },
}

impl AnchorFileError {
    /// True when the anchor can be read and is not to be believed: a finding, no wrong use.
    pub fn is_finding(&self) -> bool {
        match self {
            AnchorFileError::Signature { .. } | AnchorFileError::OtherKey { .. } => true,
            AnchorFileError::Read { .. } | AnchorFileError::Form { .. } => false,
        }
    }
}

/// Reads an anchor and checks its signature; with `wanted` also that this key made it.
///
/// # Errors
/// It cannot be read, is no anchor, or is not to be believed.
pub fn read_anchor(path: &Path, wanted: Option<Fingerprint>) -> Result<CheckedAnchor, AnchorFileError> {
    let unreadable = |source| AnchorFileError::Read { path: path.to_owned(), source };
    let form = |source| AnchorFileError::Form { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    let anchor = Anchor::from_text(&String::from_utf8_lossy(&bytes)).map_err(form)?;
    let mut fingerprint = None;
    let check = |signed: &SignedAnchor| {
        fingerprint = Some(Fingerprint::of(&signed.public_key));
        UnparsedPublicKey::new(&ED25519, &signed.public_key)
            .verify(&signed.message, &signed.signature)
            .is_ok()
    };
    let checked = anchor.verify(&anchor.house, check);
    let unsigned = || AnchorFileError::Signature { path: path.to_owned(), seq: anchor.head.seq };
    match (checked, fingerprint) {
        (Ok(_), Some(found)) => match wanted {
            Some(wanted) if wanted != found => {
                Err(AnchorFileError::OtherKey { path: path.to_owned(), found, wanted })
            }
            Some(_) | None => Ok(CheckedAnchor { anchor, fingerprint: found }),
        },
        (Err(AnchorError::Signature { .. }), _) | (Ok(_), None) => Err(unsigned()),
        (
            Err(
                source @ (AnchorError::TooLong { .. }
                | AnchorError::NotAnAnchor(_)
                | AnchorError::NotHex { .. }
                | AnchorError::KeyId
                | AnchorError::OtherHouse { .. }),
            ),
            _,
        ) => Err(form(source)),
    }
}
