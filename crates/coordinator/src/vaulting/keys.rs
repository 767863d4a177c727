//! The key ring of a running house: where it is kept, opened once at the start, exchanged by a rotation.
//!
//! Threat: whoever has the key ring and the database has every credential. So the ring is never in the
//! database, in a log, in an argument or in an answer; a file of it that others can read is refused. A
//! database whose ring is missing or belongs to another house stays closed: making a new ring would lock its
//! credentials up for ever.

use arc_swap::ArcSwapOption;
use haus_api::{Problem, ProblemCode};
use haus_model::Secret;
use haus_store::{CredentialQuery, Ledger, StoreError};
use haus_vault::custody::{self, Custody, CustodyError};
use haus_vault::{KeyId, KeyRing, SystemEntropy};
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the systemd credential that is looked for.
pub(crate) const SYSTEMD_CREDENTIAL: &str = "haus-key-ring";

/// Bytes of a passphrase file at most.
const PASSPHRASE_BYTES_MAX: u64 = 4 << 10;

/// Versions that are looked at to tell whether the ring belongs to the database.
const VERSIONS_LOOKED_AT: usize = 4_096;

/// Where the key ring is, as far as somebody said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPlace {
    /// Its file instead of `keyring` in the state folder.
    pub file: Option<PathBuf>,
    /// The file with the passphrase that the ring's file is sealed with.
    pub passphrase_file: Option<PathBuf>,
}

/// Why the house's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The ring is not where it should be, or may not be used.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The database has sealed credentials, and the ring that opens them is not there.
    #[error("the database {} has sealed credentials, and their key ring is missing", database.display())]
    Lost {
        /// The database.
        database: PathBuf,
        /// Where the ring was looked for.
        #[source]
        source: CustodyError,
    },
    /// The ring is there and lacks keys.
    #[error("credentials in {} are sealed under key {key}, which is not in the key ring in {place}", database.display())]
    Stranger {
        /// The database.
        database: PathBuf,
        /// The key.
        key: String,
        /// Where the ring is.
        place: String,
    },
    /// The file with the passphrase cannot be used.
    #[error("cannot use the passphrase file {}", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There are no random bytes for a new ring.
    #[error("cannot make a key ring")]
    Entropy(#[from] haus_vault::EntropyError),
    /// The database does not tell what it has.
    #[error("cannot see whether the key ring belongs to the database")]
    Store(#[from] StoreError),
}

impl KeysError {
    /// What to do.
    pub fn remedy(&self) -> String {
        match self {
            KeysError::Custody(_) => "nothing was started; the text above says how to mend it".to_owned(),
            KeysError::Lost { .. } => "put the saved copy of the key ring back there; without it the credentials in \
                 this database are lost, and a new one opens none of them"
                .to_owned(),
            KeysError::Stranger { .. } => {
                "put the key ring back that belongs to this database, or the database that belongs to this key ring"
                    .to_owned()
            }
            KeysError::Passphrase { path, .. } => {
                format!("write the passphrase there, then `chmod 600 {}`", path.display())
            }
            KeysError::Entropy(_) => "see whether the getrandom system call is forbidden here".to_owned(),
            KeysError::Store(_) => "see the disk below the state folder".to_owned(),
        }
    }
}

/// The key ring in force and where it is kept.
pub(crate) struct Keys {
    custody: Custody,
    ring: ArcSwapOption<KeyRing>,
    /// Why there is none.
    closed: Option<String>,
    warnings: Vec<String>,
}

impl Keys {
    /// Opens the key ring; makes one when the database has sealed nothing yet.
    ///
    /// # Errors
    /// Why the credentials of this database cannot be used.
    pub(crate) fn open(custody: Custody, ledger: &dyn Ledger, database: &Path) -> Result<Keys, KeysError> {
        let opened = match custody::open(&custody) {
            Ok(opened) => opened,
            Err(source @ CustodyError::Missing { .. }) => {
                if has_sealed(ledger)? {
                    return Err(KeysError::Lost { database: database.to_owned(), source });
                }
                custody::create(&custody, &KeyRing::generate(&mut SystemEntropy)?)?;
                // Read back: what cannot be read again must not seal anything.
                custody::open(&custody)?
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(key) = stranger(&opened.ring, ledger)? {
            let place = custody::place(&custody);
            return Err(KeysError::Stranger { database: database.to_owned(), key, place });
        }
        let ring = ArcSwapOption::from_pointee(opened.ring);
        Ok(Keys { custody, ring, closed: None, warnings: opened.warnings })
    }

    /// No ring: everything sealed stays closed, for this reason.
    pub(crate) fn closed(why: String) -> Keys {
        let custody = Custody::File(PathBuf::new());
        Keys { custody, ring: ArcSwapOption::empty(), closed: Some(why), warnings: Vec::new() }
    }

    /// The ring in force.
    ///
    /// # Errors
    /// The vault is closed.
    pub(crate) fn ring(&self) -> Result<Arc<KeyRing>, Problem> {
        self.ring.load_full().ok_or_else(|| {
            let why = self.closed.as_deref().unwrap_or("there is no key ring");
            Problem::new(ProblemCode::VaultSealed, format!("the vault is closed: {why}"))
                .with_hint("mend what the text says, then bring the house down and up again")
        })
    }

    /// Keeps another ring in the place of this one, on disk first. Blocks.
    ///
    /// # Errors
    /// It cannot be kept; the old one stays in force.
    pub(crate) fn replace(&self, ring: KeyRing) -> Result<(), CustodyError> {
        custody::replace(&self.custody, &ring)?;
        self.ring.store(Some(Arc::new(ring)));
        Ok(())
    }

    /// Where it is kept, for people.
    pub(crate) fn place(&self) -> String {
        custody::place(&self.custody)
    }

    /// What is not well about where it is kept.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Chooses where the ring is: what was said, then what the service manager gives, then the environment, then
/// a file.
///
/// # Errors
/// The passphrase cannot be read.
pub(crate) fn choose(place: &KeyPlace, usual: PathBuf) -> Result<Custody, KeysError> {
    let file = place.file.clone().unwrap_or(usual);
    if let Some(path) = &place.passphrase_file {
        return Ok(Custody::Passphrase { file, passphrase: passphrase(path)? });
    }
    if place.file.is_some() {
        return Ok(Custody::File(file));
    }
    let given = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    if given.is_some_and(|folder| folder.join(SYSTEMD_CREDENTIAL).exists()) {
        return Ok(Custody::SystemdCredential { name: SYSTEMD_CREDENTIAL.to_owned() });
    }
    if std::env::var_os(custody::VARIABLE).is_some() {
        return Ok(Custody::Environment);
    }
    Ok(Custody::File(file))
}

/// The first line of a file that nobody else can read or turn.
fn passphrase(path: &Path) -> Result<Secret, KeysError> {
    let failed = |source| KeysError::Passphrase { path: path.to_owned(), source };
    let refused = |why: String| failed(io::Error::new(io::ErrorKind::PermissionDenied, why));
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("flags of open fit into an int");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let own = rustix::process::geteuid().as_raw();
    if !about.is_file() {
        return Err(refused("it is no plain file".to_owned()));
    }
    if about.uid() != own && about.uid() != 0 {
        return Err(refused(format!("it belongs to the account {}", about.uid())));
    }
    // A group may read it where systemd hands it out with an access list; nobody else may ever.
    if about.mode() & 0o037 != 0 {
        return Err(refused(format!("others can read or write it (mode {:04o})", about.mode() & 0o777)));
    }
    let mut text = Vec::with_capacity(usize::try_from(PASSPHRASE_BYTES_MAX).expect("some kilobytes") + 1);
    let read = file.take(PASSPHRASE_BYTES_MAX + 1).read_to_end(&mut text);
    while text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        text.pop();
    }
    let text = Secret::new(text);
    read.map_err(failed)?;
    let bytes = u64::try_from(text.expose_bytes().len()).unwrap_or(u64::MAX);
    if !(1..=PASSPHRASE_BYTES_MAX).contains(&bytes) {
        return Err(refused(format!(
            "a passphrase has 1 to {PASSPHRASE_BYTES_MAX} bytes, {bytes} were read"
        )));
    }
    Ok(text)
}

/// Whether the database has anything that only a key ring opens.
fn has_sealed(ledger: &dyn Ledger) -> Result<bool, StoreError> {
    let (_, credentials) = ledger.credentials(&CredentialQuery { limit: 1, ..CredentialQuery::default() })?;
    Ok(credentials > 0 || !ledger.signing_keys()?.is_empty())
}

/// A key that something is sealed under and that the ring lacks.
fn stranger(ring: &KeyRing, ledger: &dyn Ledger) -> Result<Option<String>, StoreError> {
    let ids: Vec<String> = ring.ids().iter().map(KeyId::to_string).collect();
    let versions = ledger.versions_not_under(&ring.active().to_string(), VERSIONS_LOOKED_AT)?;
    let missing = versions.into_iter().map(|version| version.key_id).find(|key| !ids.contains(key));
    if missing.is_some() {
        return Ok(missing);
    }
    let sealed = ledger.signing_keys()?.into_iter();
    let keys = sealed.filter_map(|row| haus_vault::Sealed::from_bytes(&row.sealed).ok());
    Ok(keys.map(|sealed| sealed.key_id().to_string()).find(|key| !ids.contains(key)))
}
