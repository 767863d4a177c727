//! What each service may read, sealed, in memory: so that handing out needs one write and no read.
//!
//! Threat: a core dump or a swapped page shows what is here. It is sealed bytes only; values exist for the
//! time of one request. What is here is dropped as soon as a commit may have changed it.

use super::row;
use crate::fingerprint;
use haus_model::{CredentialName, ServiceName, Timestamp};
use haus_store::{CredentialRow, Ledger, StoreError, VersionRow};
use haus_vault::rotation::Rotation;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Services that are kept in memory at most.
const SERVICES_MAX: usize = 4_096;

/// One credential that a service may have.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// The credential.
    pub row: CredentialRow,
    /// The version to use.
    pub version: VersionRow,
    /// One that is valid beside it.
    pub previous: Option<VersionRow>,
}

impl Held {
    /// The version beside, while it is valid.
    pub(crate) fn beside(&self, now: Timestamp) -> Option<&VersionRow> {
        self.previous.as_ref().filter(|previous| row::is_valid_beside(previous, now))
    }
}

/// Everything that one service may have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holding {
    /// By name and owner.
    pub credentials: Vec<Held>,
    /// Changes with every version and every change of scope or expiry.
    pub revision: String,
}

impl Holding {
    /// The credential of the plan with this name.
    pub(crate) fn of_plan(&self, name: &CredentialName) -> Option<&Held> {
        self.credentials.iter().find(|held| held.row.owner.is_none() && held.row.name == name.as_str())
    }
}

/// The shelf.
pub(crate) struct Shelf {
    ledger: Arc<dyn Ledger>,
    generation: Arc<AtomicU64>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    generation: u64,
    services: HashMap<ServiceName, Arc<Holding>>,
}

impl Shelf {
    /// An empty shelf over this ledger; `generation` grows with every change.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, generation: Arc<AtomicU64>) -> Shelf {
        Shelf { ledger, generation, kept: Mutex::default() }
    }

    /// What is kept of a service, if it is still so.
    pub(crate) fn get(&self, service: &ServiceName) -> Option<Arc<Holding>> {
        let kept = self.kept();
        let fresh = kept.generation == self.generation.load(Ordering::SeqCst);
        kept.services.get(service).filter(|_| fresh).cloned()
    }

    /// Reads what a service may have. Blocks.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn load(&self, service: &ServiceName) -> Result<Arc<Holding>, StoreError> {
        // Looked at before the reading: what changes meanwhile makes it old at once.
        let generation = self.generation.load(Ordering::SeqCst);
        let holding = Arc::new(read(&*self.ledger, service)?);
        let mut kept = self.kept();
        if kept.generation != generation || kept.services.len() >= SERVICES_MAX {
            kept.services.clear();
            kept.generation = generation;
        }
        kept.services.insert(service.clone(), Arc::clone(&holding));
        Ok(holding)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(ledger: &dyn Ledger, service: &ServiceName) -> Result<Holding, StoreError> {
    let rows = ledger.readable_by(service)?;
    let rotations: Vec<Rotation> = ledger
        .rotations(None)?
        .iter()
        .filter_map(|row| serde_json::from_str(&row.state).ok())
        .filter(is_on_its_way)
        .collect();
    let mut credentials = Vec::with_capacity(rows.len());
    for (row, versions) in rows {
        let mut versions = versions.into_iter();
        let Some(current) = versions.next() else { continue };
        let rotation = rotations.iter().find(|rotation| rotation.credential == row.id);
        let next = match rotation {
            Some(rotation) if rotation.to_version != current.version => {
                let all = ledger.versions(&row.id)?;
                let next = all.into_iter().find(|version| version.version == rotation.to_version);
                next.map(|next| (next, !rotation.overlap.is_zero()))
            }
            Some(_) | None => None,
        };
        // While a new value is being brought out its readers get it already: their server may know no other.
        let held = match next {
            Some((version, overlaps)) => Held { row, version, previous: overlaps.then_some(current) },
            None => Held { row, version: current, previous: versions.next() },
        };
        credentials.push(held);
    }
    let facts: Vec<_> = credentials
        .iter()
        .map(|held| {
            let previous = held.previous.as_ref().map(|version| (version.version, version.valid_until));
            (&held.row.id, held.version.version, previous, held.row.expires_at)
        })
        .collect();
    let revision = fingerprint::digest(&facts);
    Ok(Holding { credentials, revision })
}

/// The version of a credential that is served now, as of its rotation.
///
/// # Errors
/// The ledger cannot be read.
pub(super) fn served(ledger: &dyn Ledger, row: CredentialRow) -> Result<Option<Held>, StoreError> {
    let open = ledger.rotations(None)?.into_iter().filter(|rotation| rotation.credential == row.id);
    let mut rotations = open.filter_map(|rotation| serde_json::from_str::<Rotation>(&rotation.state).ok());
    let number = rotations.find(is_on_its_way).map_or(row.version, |rotation| rotation.to_version);
    let mut versions = ledger.versions(&row.id)?.into_iter();
    let version = versions.find(|version| version.version == number);
    Ok(version.map(|version| Held { row, version, previous: None }))
}

/// Whether consumers are to have the new version although it is not the current one yet, as the table of
/// docs/formats/vault.md says.
fn is_on_its_way(rotation: &Rotation) -> bool {
    rotation.serving() == rotation.to_version
}
