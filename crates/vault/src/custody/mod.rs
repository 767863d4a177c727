//! Where the key ring is kept: a file, a systemd credential, a file behind a passphrase, or the environment.
//! It does not know the database that the ring belongs to: whoever finds no ring must look there before
//! making a new one.

mod error;
mod file;
pub mod passphrase;

pub use error::{CustodyError, Fault};

use crate::entropy::SystemEntropy;
use crate::ring::KeyRing;
use haus_model::Secret;
use passphrase::Cost;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The variable of [`Custody::Environment`].
pub const VARIABLE: &str = "HAUS_KEY_RING";

/// Bytes that a kept ring has at most, sealed or not.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Where the key ring is kept.
#[derive(Clone, Debug)]
pub enum Custody {
    /// A file of its own, readable by us alone (0600).
    File(PathBuf),
    /// `$CREDENTIALS_DIRECTORY/NAME`, which systemd fills from `LoadCredential=` or
    /// `LoadCredentialEncrypted=`. It can only be read, so the ring cannot be rotated from here.
    SystemdCredential {
        /// Its name in the unit.
        name: String,
    },
    /// A file that is sealed with a passphrase (Argon2id).
    Passphrase {
        /// The file.
        file: PathBuf,
        /// The passphrase; how it got here is the caller's business.
        passphrase: Secret,
    },
    /// The variable [`VARIABLE`]. Works, but is warned of: every program of the same account can read it.
    Environment,
}

/// A ring that was opened, and what is not well about where it is kept.
#[derive(Debug)]
pub struct Opened {
    /// The ring.
    pub ring: KeyRing,
    /// Sentences for the log; none of them secret.
    pub warnings: Vec<String>,
}

/// What the process brings from outside, as an argument for tests.
#[derive(Default)]
struct Surroundings {
    credentials_directory: Option<PathBuf>,
    variable: Option<OsString>,
}

impl Surroundings {
    fn of_process(custody: &Custody) -> Surroundings {
        match custody {
            Custody::File(_) | Custody::Passphrase { .. } => Surroundings::default(),
            Custody::SystemdCredential { .. } => Surroundings {
                credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
                variable: None,
            },
            Custody::Environment => {
                Surroundings { credentials_directory: None, variable: std::env::var_os(VARIABLE) }
            }
        }
    }
}

/// Opens the key ring. With [`Custody::Passphrase`] this takes some tenths of a second and 64 MiB.
///
/// # Errors
/// [`CustodyError::Missing`] when there is none; others when it may not be used or cannot be read. A file
/// that others can read is refused: its content counts as known to them.
pub fn open(custody: &Custody) -> Result<Opened, CustodyError> {
    open_in(custody, Surroundings::of_process(custody))
}

/// Keeps a new ring where there is none.
///
/// # Errors
/// [`CustodyError::Exists`] when there is one, [`CustodyError::ReadOnly`] where nothing can be kept, and when
/// writing failed; then there is still none.
pub fn create(custody: &Custody, ring: &KeyRing) -> Result<(), CustodyError> {
    match custody {
        Custody::File(path) => file::write_new(path, &ring.render()),
        Custody::Passphrase { file, passphrase } => {
            // Looked at before the cost is paid; that nothing comes in between is write_new's business.
            if file.symlink_metadata().is_ok() {
                return Err(CustodyError::Exists { path: file.clone() });
            }
            file::write_new(file, &seal_for(file, ring, passphrase, Cost::default())?)
        }
        Custody::SystemdCredential { .. } | Custody::Environment => Err(read_only(custody)),
    }
}

/// Replaces the kept ring; a crash leaves the old one or the new one. The old one is opened first: what
/// cannot be read, needs another passphrase or has no key in common with `ring` is not overwritten. Only one
/// process may do this at a time (the holder of the house's lock).
///
/// # Errors
/// When there is no ring to replace, it cannot be opened, has nothing in common with `ring`, or writing
/// failed.
pub fn replace(custody: &Custody, ring: &KeyRing) -> Result<(), CustodyError> {
    match custody {
        Custody::File(path) => {
            let old = open(custody)?.ring;
            refuse_stranger(path, &old, ring)?;
            file::write_over(path, &ring.render())
        }
        Custody::Passphrase { file, passphrase } => {
            let (old, cost, _) = open_sealed(file, passphrase)?;
            refuse_stranger(file, &old, ring)?;
            file::write_over(file, &seal_for(file, ring, passphrase, cost)?)
        }
        Custody::SystemdCredential { .. } | Custody::Environment => Err(read_only(custody)),
    }
}

/// Gives a sealed ring another passphrase, with the default cost; a crash leaves the old one or the new one.
/// Copies made before still open with the old passphrase, so rotate the ring as well when that one is known
/// to others.
///
/// # Errors
/// When it is not kept behind a passphrase, the old one does not open it, the new one is weak, or writing
/// failed.
pub fn change_passphrase(custody: &Custody, passphrase: &Secret) -> Result<(), CustodyError> {
    match custody {
        Custody::Passphrase { file, passphrase: old } => {
            let (ring, _, _) = open_sealed(file, old)?;
            file::write_over(file, &seal_for(file, &ring, passphrase, Cost::default())?)
        }
        Custody::File(_) | Custody::SystemdCredential { .. } | Custody::Environment => {
            Err(CustodyError::NoPassphrase { place: place(custody) })
        }
    }
}

/// Where it is kept, for people.
pub fn place(custody: &Custody) -> String {
    match custody {
        Custody::File(path) => path.display().to_string(),
        Custody::SystemdCredential { name } => format!("the systemd credential {name}"),
        Custody::Passphrase { file, .. } => format!("{} (behind a passphrase)", file.display()),
        Custody::Environment => format!("the environment variable {VARIABLE}"),
    }
}

fn open_in(custody: &Custody, surroundings: Surroundings) -> Result<Opened, CustodyError> {
    match custody {
        Custody::File(path) => {
            let file::Read { content, warnings } = file::read(path, file::Rules::Own)?;
            Ok(Opened { ring: parse(custody, &content)?, warnings })
        }
        Custody::SystemdCredential { name } => {
            if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
                return Err(CustodyError::CredentialName { name: name.clone() });
            }
            let missing = || CustodyError::Missing {
                place: place(custody),
                remedy: format!(
                    "add `LoadCredential={name}:FILE` to the unit, with a FILE that holds the key ring"
                ),
            };
            let folder = surroundings.credentials_directory.ok_or_else(missing)?;
            let read = file::read(&folder.join(name), file::Rules::Systemd);
            if matches!(read, Err(CustodyError::Missing { .. })) {
                return Err(missing());
            }
            let file::Read { content, warnings } = read?;
            Ok(Opened { ring: parse(custody, &content)?, warnings })
        }
        Custody::Passphrase { file, passphrase } => {
            let (ring, _, warnings) = open_sealed(file, passphrase)?;
            Ok(Opened { ring, warnings })
        }
        Custody::Environment => {
            let missing = || CustodyError::Missing {
                place: place(custody),
                remedy: String::from("set it, or keep the key ring in a file"),
            };
            let content = Secret::new(surroundings.variable.ok_or_else(missing)?.into_vec());
            let warning = format!(
                "the key ring comes from the environment variable {VARIABLE}, which every program of this account can \
                 read and which cannot be rotated; keep it in a file of mode 0600 or a systemd credential"
            );
            Ok(Opened { ring: parse(custody, &content)?, warnings: vec![warning] })
        }
    }
}

fn parse(custody: &Custody, content: &Secret) -> Result<KeyRing, CustodyError> {
    let sealed = passphrase::FORMAT.as_bytes();
    if content.expose_bytes().windows(sealed.len()).any(|part| part == sealed) {
        return Err(CustodyError::NeedsPassphrase { place: place(custody) });
    }
    let refused = |source| CustodyError::Ring { place: place(custody), source };
    KeyRing::parse(content).map_err(refused)
}

fn open_sealed(
    path: &std::path::Path,
    passphrase: &Secret,
) -> Result<(KeyRing, Cost, Vec<String>), CustodyError> {
    let file::Read { content, warnings } = file::read(path, file::Rules::Own)?;
    let refused = |source| CustodyError::Sealed { path: path.to_owned(), source };
    let (ring, cost) = passphrase::open_ring(&content, passphrase).map_err(refused)?;
    Ok((ring, cost, warnings))
}

fn seal_for(
    path: &std::path::Path,
    ring: &KeyRing,
    passphrase: &Secret,
    cost: Cost,
) -> Result<Secret, CustodyError> {
    let refused = |source| CustodyError::Sealed { path: path.to_owned(), source };
    passphrase::seal_ring(ring, passphrase, cost, &mut SystemEntropy).map_err(refused)
}

fn refuse_stranger(path: &std::path::Path, old: &KeyRing, new: &KeyRing) -> Result<(), CustodyError> {
    if new.ids().iter().any(|id| old.key(id).is_some()) {
        return Ok(());
    }
    Err(CustodyError::Stranger { path: path.to_owned(), old: *old.active(), new: *new.active() })
}

fn read_only(custody: &Custody) -> CustodyError {
    let remedy = match custody {
        Custody::SystemdCredential { name } => {
            format!(
                "write the new ring to the file that `LoadCredential={name}:FILE` names and restart, or move to a key ring file"
            )
        }
        Custody::Environment => String::from("move it to a key ring file"),
        Custody::File(_) | Custody::Passphrase { .. } => String::from("move it to another file"),
    };
    CustodyError::ReadOnly { place: place(custody), remedy }
}

#[cfg(test)]
mod tests;
