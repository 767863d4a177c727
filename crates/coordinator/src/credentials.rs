//! Credential values until the vault seals them: generated once into 0600 files, or read from
//! a file that the user keeps.
//!
//! Threat: whoever reads the state folder as root or as the house's account has the values
//! (the vault of a later release closes that). Nobody else may: the folder is 0700, files are
//! created 0600 and never printed; a value reaches a service only as a 0400 file of its own.

use crate::durable;
use crate::places::Places;
use haus_model::house::{Credential, CredentialSource, House};
use haus_model::service::Service;
use haus_supervise::Secret;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A credential file larger than this is a mistake.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// The alphabet of base64url (RFC 4648, section 5): 64 characters, 6 bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Why the value of a credential is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The user's file cannot be read.
    #[error("cannot read credential {name} from {}", path.display())]
    Read {
        /// The credential.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The user's file is empty or far too large.
    #[error("credential {name} in {} must have 1 to {VALUE_BYTES_MAX} bytes, {bytes} were read", path.display())]
    Size {
        /// The credential.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What it has.
        bytes: u64,
    },
    /// A generated value cannot be kept.
    #[error("cannot keep credential {name} in {}", path.display())]
    Write {
        /// The credential.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel gives no random bytes.
    #[error("cannot generate credential {name}: the kernel gives no random bytes")]
    Random {
        /// The credential.
        name: String,
    },
}

/// Makes the generated credentials that do not exist yet; returns the names of the new ones.
///
/// # Errors
/// The first that cannot be made. Those made before stay and are found again.
pub(crate) fn generate_missing(house: &House, places: &Places) -> Result<Vec<String>, CredentialError> {
    let mut made = Vec::new();
    for credential in house.credentials.values() {
        let CredentialSource::Generated { length } = credential.source else { continue };
        let path = places.credential_value(&credential.name);
        if path.exists() {
            continue;
        }
        let name = credential.name.to_string();
        let value = random_text(length).ok_or_else(|| CredentialError::Random { name: name.clone() })?;
        keep(&path, &value).map_err(|source| CredentialError::Write { name: name.clone(), path, source })?;
        made.push(name);
    }
    Ok(made)
}

/// The values of a service's credentials by file name.
///
/// # Errors
/// The first that cannot be read.
pub(crate) fn values(
    house: &House,
    service: &Service,
    root: &Path,
    places: &Places,
) -> Result<BTreeMap<String, Secret>, CredentialError> {
    let named = service
        .credentials
        .iter()
        .filter_map(|(file, name)| house.credentials.get(name).map(|credential| (file.clone(), credential)));
    named.map(|(file, credential)| Ok((file, value(credential, root, places)?))).collect()
}

fn value(credential: &Credential, root: &Path, places: &Places) -> Result<Secret, CredentialError> {
    let name = credential.name.to_string();
    let path = match &credential.source {
        CredentialSource::Generated { .. } => places.credential_value(&credential.name),
        CredentialSource::File { path } => root.join(path),
    };
    let read = |source| CredentialError::Read { name: name.clone(), path: path.clone(), source };
    let mut value = Vec::new();
    let file = fs::File::open(&path).map_err(read)?;
    file.take(VALUE_BYTES_MAX + 1).read_to_end(&mut value).map_err(read)?;
    let bytes = u64::try_from(value.len()).unwrap_or(u64::MAX);
    if !(1..=VALUE_BYTES_MAX).contains(&bytes) {
        return Err(CredentialError::Size { name, path, bytes });
    }
    // Editors end files with a line feed that is no part of a password.
    if value.last() == Some(&b'\n') {
        value.pop();
    }
    Ok(Secret::new(value))
}

fn random_text(length: u32) -> Option<Secret> {
    let mut bytes = vec![0u8; usize::try_from(length).ok()?];
    getrandom::fill(&mut bytes).ok()?;
    for byte in &mut bytes {
        // 256 is a multiple of 64, so taking the low six bits favours no character.
        *byte = ALPHABET[usize::from(*byte & 63)];
    }
    Some(Secret::new(bytes))
}

fn keep(path: &Path, value: &Secret) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    durable::replace(path, value.expose_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn generated_values_have_their_length_and_alphabet_and_differ() {
        let first = random_text(48).unwrap();
        assert_eq!(first.expose_bytes().len(), 48);
        assert!(first.expose_bytes().iter().all(|byte| ALPHABET.contains(byte)));
        assert!(first != random_text(48).unwrap());
    }

    #[test]
    fn a_kept_value_is_readable_by_its_owner_only() {
        let folder = std::env::temp_dir().join(format!("haus-credential-{}", std::process::id()));
        let path = folder.join("credentials").join("key");
        keep(&path, &Secret::new(b"value".to_vec())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        fs::remove_dir_all(folder).unwrap();
    }
}
