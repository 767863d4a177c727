//! Why a key ring cannot be opened, kept or replaced, and how to mend it. Never quotes a key or a passphrase.

use super::passphrase::SealedRingError;
use crate::key::KeyId;
use crate::ring::KeyRingError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why custody of the key ring failed.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// There is no ring. A new one may be made only when nothing has been sealed yet.
    #[error("there is no key ring in {place}: {remedy}")]
    Missing {
        /// Where it was looked for.
        place: String,
        /// What to do.
        remedy: String,
    },
    /// There is one already.
    #[error("there is a key ring in {} already and it is not overwritten; use it, or move it away", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// It can be read there, not changed.
    #[error("the key ring in {place} cannot be changed from here: {remedy}")]
    ReadOnly {
        /// Where it is.
        place: String,
        /// What to do.
        remedy: String,
    },
    /// Somebody else could read or exchange the file.
    #[error("refused to use the key ring in {}: {fault}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and how to mend it.
        fault: Fault,
    },
    /// Far too large for a key ring.
    #[error("{} has {bytes} bytes and is no key ring; see whether it is the right file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What it has.
        bytes: u64,
    },
    /// A name that no credential of a unit has.
    #[error(
        "`{name}` is no name of a systemd credential; use the one of `LoadCredential=NAME:FILE`, without a folder"
    )]
    CredentialName {
        /// As given.
        name: String,
    },
    /// The system refused reading.
    #[error("cannot read the key ring in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The system refused writing. What was kept before is still there.
    #[error("cannot keep the key ring in {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The text is no ring, or its keys are no secret.
    #[error("cannot use the key ring in {place}")]
    Ring {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        source: KeyRingError,
    },
    /// The sealed ring cannot be opened or made.
    #[error("cannot use the sealed key ring in {}", path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SealedRingError,
    },
    /// The new ring could open nothing that the kept one sealed.
    #[error(
        "refused to replace the key ring in {}: it has key {old} and none of the new ring with key {new}; whatever it sealed would be lost",
        path.display()
    )]
    Stranger {
        /// The file.
        path: PathBuf,
        /// The active key that is kept.
        old: KeyId,
        /// The active key that was to be kept.
        new: KeyId,
    },
    /// The ring is there, but behind a passphrase that nobody has named.
    #[error(
        "the key ring in {place} is sealed with a passphrase; name the file with it: --passphrase-file FILE"
    )]
    NeedsPassphrase {
        /// Where it is.
        place: String,
    },
    /// Only a ring behind a passphrase has one to change.
    #[error("the key ring in {place} has no passphrase to change")]
    NoPassphrase {
        /// Where it is.
        place: String,
    },
}

/// What is wrong with a file of a key ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A symbolic link, which somebody else could turn.
    Link,
    /// A folder, pipe, device or socket.
    NotAFile,
    /// It belongs to somebody else.
    Owner {
        /// To whom.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Others can read or write it.
    Mode {
        /// The lowest nine bits of its mode.
        mode: u32,
        /// What to set.
        wanted: u32,
    },
    /// Everybody can put another file in its place.
    Folder {
        /// The lowest nine bits of the folder's mode.
        mode: u32,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Link => f.write_str("it is a symbolic link; name the file itself"),
            Fault::NotAFile => f.write_str("it is not a plain file; name the file that holds the key ring"),
            Fault::Owner { owner, us } => write!(
                f,
                "it belongs to the account {owner} and we are {us}; see who put it there, then `chown {us}` it"
            ),
            Fault::Mode { mode, wanted } => write!(
                f,
                "others can get at it (mode {mode:04o}); `chmod {wanted:04o}` it, and rotate the keys if somebody may have read it"
            ),
            Fault::Folder { mode } => write!(
                f,
                "everybody can exchange it, its folder has mode {mode:04o}; `chmod o-w` the folder, then see whether the file is still yours"
            ),
        }
    }
}
