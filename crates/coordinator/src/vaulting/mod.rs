//! Credentials: sealed, handed out with an entry in the trail, kept in step with the plan.
//!
//! Threat: whoever can read the database, a backup or the memory of this process wants the values; whoever
//! holds a token wants those of another service; whoever was handed a value wants nobody to know. So values
//! are sealed outside of one request, the scope decides for each credential, and nothing is opened before the
//! entry that tells of it is on disk. It does not know HTTP; who may ask is the caller's proof, what may be
//! had is decided here.

mod create;
mod deploy;
mod hand_out;
mod import;
mod keys;
mod lack;
mod rewrap;
mod row;
mod sealing;
mod shelf;
mod sync;

pub(crate) use create::NewCredential;
pub(crate) use import::file as value_of_file;
pub use keys::{KeyPlace, KeysError};
pub(crate) use keys::{Keys, choose};
pub(crate) use row::{expired, expiry, fresh_id, has_expired, subject};
pub(crate) use sealing::keep_sealed;
pub(crate) use shelf::{Held, Holding};

use crate::registrar::Registrar;
use haus_api::{Problem, ProblemCode};
use haus_model::{CredentialName, HouseName, Secret, ServiceName, Timestamp};
use haus_store::{CredentialRow, Ledger, VersionRow, VersionState};
use haus_vault::{Binding, OpenError, SealError, Sealed, SystemEntropy};
use shelf::Shelf;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// Seconds for which the holder of a value may keep it in memory (the zimmer document's client cache).
pub(crate) const VALUES_TTL_S: u64 = 300;

/// The use cases of credentials.
pub(crate) struct Vaulting {
    house: HouseName,
    keys: Keys,
    shelf: Arc<Shelf>,
    /// Why credentials of the plan have no value, or not the one of their file.
    faults: Mutex<BTreeMap<CredentialName, String>>,
    /// The plan is brought in step by one at a time.
    syncing: tokio::sync::Mutex<()>,
    /// The key ring is being rotated.
    rewrapping: AtomicBool,
}

impl Vaulting {
    /// The vault of a house with its keys.
    pub(crate) fn new(
        house: HouseName,
        keys: Keys,
        ledger: Arc<dyn Ledger>,
        registrar: &Registrar,
    ) -> Vaulting {
        Vaulting {
            house,
            keys,
            shelf: Arc::new(Shelf::new(ledger, registrar.generation())),
            faults: Mutex::default(),
            syncing: tokio::sync::Mutex::new(()),
            rewrapping: AtomicBool::new(false),
        }
    }

    /// The key ring in force and where it is kept.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Opens a version of a credential. Whoever calls it has the entry on disk.
    ///
    /// # Errors
    /// The vault is closed, the version has ended, or it was changed outside.
    pub(crate) fn unseal(&self, row: &CredentialRow, version: &VersionRow) -> Result<Secret, Problem> {
        let binding = self.binding(row, version.version);
        self.open(&binding, &version.sealed, || {
            format!("version {} of credential `{}`", version.version, row.name)
        })
    }

    /// Seals a value as a further version, pending. It is on disk when the caller has committed it.
    ///
    /// # Errors
    /// The vault is closed, or the value is too large or empty.
    pub(crate) fn seal_version(
        &self,
        row: &CredentialRow,
        version: u64,
        value: &Secret,
        at: Timestamp,
    ) -> Result<VersionRow, Problem> {
        let sealed = self.seal(&self.binding(row, version), value)?;
        Ok(VersionRow {
            credential: row.id.clone(),
            version,
            state: VersionState::Pending,
            key_id: sealed.key_id().to_string(),
            sealed: sealed.to_bytes(),
            created_at: at,
            valid_until: None,
        })
    }

    /// Seals the private half of a signing key for the ledger.
    ///
    /// # Errors
    /// The vault is closed.
    pub(crate) fn seal_signing_key(&self, kid: &str, private: &Secret) -> Result<Vec<u8>, Problem> {
        let id = signing_key(kid);
        Ok(self.seal(&self.binding_of(&id, 1, ""), private)?.to_bytes())
    }

    /// Opens the private half of a signing key.
    ///
    /// # Errors
    /// The vault is closed, or the key was changed outside.
    pub(crate) fn unseal_signing_key(&self, kid: &str, sealed: &[u8]) -> Result<Secret, Problem> {
        let id = signing_key(kid);
        self.open(&self.binding_of(&id, 1, ""), sealed, || format!("signing key {kid}"))
    }

    /// Changes with everything that would change what the service reads. Reads the ledger when nothing is
    /// kept in memory: some hundred microseconds.
    pub(crate) fn revision_for(&self, service: &ServiceName) -> String {
        let holding = self.shelf.get(service).map_or_else(|| self.shelf.load(service), Ok);
        holding.map(|holding| holding.revision.clone()).unwrap_or_default()
    }

    /// What a service may have, from memory or the ledger.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) async fn holding(
        &self,
        registrar: &Registrar,
        service: &ServiceName,
    ) -> Result<Arc<Holding>, Problem> {
        if let Some(holding) = self.shelf.get(service) {
            return Ok(holding);
        }
        let (shelf, service) = (Arc::clone(&self.shelf), service.clone());
        registrar.read(move |_| shelf.load(&service)).await
    }

    /// Why a credential of the plan has no value.
    fn fault(&self, name: &CredentialName) -> Option<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn binding<'a>(&'a self, row: &'a CredentialRow, version: u64) -> Binding<'a> {
        self.binding_of(&row.id, version, row::owner(row))
    }

    fn binding_of<'a>(&'a self, credential: &'a str, version: u64, owner: &'a str) -> Binding<'a> {
        Binding { house: self.house.as_str(), credential, version, owner }
    }

    fn seal(&self, binding: &Binding<'_>, value: &Secret) -> Result<Sealed, Problem> {
        let ring = self.keys.ring()?;
        haus_vault::seal(&ring, binding, value, &mut SystemEntropy).map_err(|error| {
            let code = match error {
                SealError::Size { .. } => ProblemCode::Invalid,
                SealError::Binding(_) | SealError::Entropy(_) => ProblemCode::Internal,
            };
            Problem::new(code, crate::chain(&error)).with_hint("nothing was kept")
        })
    }

    fn open(
        &self,
        binding: &Binding<'_>,
        sealed: &[u8],
        what: impl Fn() -> String,
    ) -> Result<Secret, Problem> {
        let ring = self.keys.ring()?;
        let refused = |code, why: String| {
            Problem::new(code, format!("{} stays closed: {why}", what()))
                .with_hint("restore the database or the key ring from a backup, or give it a new value")
        };
        let sealed =
            Sealed::from_bytes(sealed).map_err(|error| refused(ProblemCode::Internal, error.to_string()))?;
        haus_vault::open(&ring, binding, &sealed).map_err(|error| {
            let code = match error {
                OpenError::UnknownKey(_) => ProblemCode::VaultSealed,
                OpenError::Tampered | OpenError::Binding(_) | OpenError::Entropy(_) => ProblemCode::Internal,
            };
            refused(code, crate::chain(&error))
        })
    }
}

/// What a signing key's seal is bound to in the place of a credential's id.
fn signing_key(kid: &str) -> String {
    format!("signing-key:{kid}")
}

#[cfg(test)]
mod tests;
