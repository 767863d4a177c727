//! Credentials as the ledger has them, without their values, by id: so that a change needs no read before it
//! and none after it.
//!
//! It follows the commits, in their order: what a commit tells of a row replaces it, what a commit may have
//! changed otherwise is forgotten and read again. What was read while something was committed is not kept.

use haus_store::{CredentialRow, Ledger, RotationRow, StoreError, Write};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Credentials that are kept at most.
const CARDS_MAX: usize = 4_096;

/// A credential and its rotation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Card {
    /// The credential.
    pub row: CredentialRow,
    /// The rotation that is under way, else the last one.
    pub rotation: Option<RotationRow>,
}

/// The cabinet.
#[derive(Default)]
pub(super) struct Cabinet {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Grows with every commit that touches a credential.
    generation: u64,
    cards: HashMap<String, Arc<Card>>,
}

/// What a batch does to credentials.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Whose rows the commit tells anew.
    told: bool,
    /// Ids of those of which it tells nothing.
    otherwise: Vec<String>,
    /// Ids of those that were read, and when.
    used: Vec<(Vec<String>, haus_model::Timestamp)>,
}

impl Touched {
    /// By these writes.
    pub(super) fn by(writes: &[Write]) -> Touched {
        let mut touched = Touched::default();
        for write in writes {
            touched.add(write);
        }
        touched
    }

    /// Whether there is nothing to follow.
    pub(super) fn is_nothing(&self) -> bool {
        !self.told && self.otherwise.is_empty() && self.used.is_empty()
    }

    fn add(&mut self, write: &Write) {
        match write {
            Write::CredentialUpdate { .. } => self.told = true,
            Write::CredentialCreate(row, _) => self.otherwise.push(row.id.clone()),
            Write::CredentialDelete { id, .. } => self.otherwise.push(id.clone()),
            Write::VersionAdd(version) => self.otherwise.push(version.credential.clone()),
            Write::VersionPromote { credential, .. }
            | Write::VersionRetire { credential, .. }
            | Write::VersionReseal { credential, .. } => self.otherwise.push(credential.clone()),
            Write::RotationPut(rotation) => self.otherwise.push(rotation.credential.clone()),
            Write::CredentialUsed { ids, at } => self.used.push((ids.clone(), *at)),
            Write::EnrolmentPut(_)
            | Write::EnrolmentTake { .. }
            | Write::EnrolmentDelete { .. }
            | Write::SessionPut(_)
            | Write::SessionRefresh { .. }
            | Write::SessionEnd { .. }
            | Write::Revoke(_)
            | Write::SigningKeyPut(_)
            | Write::SigningKeyDelete { .. }
            | Write::AnnouncedPut(_)
            | Write::AnnouncedDelete { .. }
            | Write::HealthAppend(_)
            | Write::AlertStatePut(_)
            | Write::DeliveryPut(_)
            | Write::DeliveryDelete { .. }
            | Write::SilencePut(_)
            | Write::SilenceDelete { .. }
            | Write::IdempotentPut(_) => {}
        }
    }
}

impl Cabinet {
    /// What is kept of a credential.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Card>> {
        self.kept().cards.get(id).cloned()
    }

    /// Reads a credential and keeps it. Blocks.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) fn load(&self, ledger: &dyn Ledger, id: &str) -> Result<Option<Arc<Card>>, StoreError> {
        // Looked at before the reading: what changes meanwhile is not kept.
        let generation = self.kept().generation;
        let card = read(ledger, id)?.map(Arc::new);
        if let Some(card) = &card {
            self.keep(generation, Arc::clone(card));
        }
        Ok(card)
    }

    fn keep(&self, generation: u64, card: Arc<Card>) {
        let mut kept = self.kept();
        if kept.generation != generation {
            return;
        }
        if kept.cards.len() >= CARDS_MAX {
            kept.cards.clear();
        }
        kept.cards.insert(card.row.id.clone(), card);
    }

    /// Follows a commit; called in the order of the commits. `changed` are the rows that it tells.
    pub(super) fn follow(&self, touched: &Touched, changed: &[CredentialRow]) {
        let mut kept = self.kept();
        kept.generation += 1;
        for row in changed {
            if let Some(card) = kept.cards.get_mut(&row.id) {
                Arc::make_mut(card).row = row.clone();
            }
        }
        for (ids, at) in &touched.used {
            for id in ids {
                let Some(card) = kept.cards.get_mut(id) else { continue };
                let row = &mut Arc::make_mut(card).row;
                row.last_used_at = row.last_used_at.max(Some(*at));
            }
        }
        for id in &touched.otherwise {
            kept.cards.remove(id);
        }
    }

    /// Nobody knows what a commit did: the disk may have it or not.
    pub(super) fn forget_all(&self) {
        let mut kept = self.kept();
        kept.generation += 1;
        kept.cards.clear();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(ledger: &dyn Ledger, id: &str) -> Result<Option<Card>, StoreError> {
    let Some(row) = ledger.credential(id)? else { return Ok(None) };
    let rotations = ledger.rotations(Some(id))?;
    // The newest comes first, and there is at most one that is open.
    let open = rotations.iter().position(|rotation| rotation.ended_at.is_none());
    let rotation = rotations.into_iter().nth(open.unwrap_or(0));
    Ok(Some(Card { row, rotation }))
}

#[cfg(test)]
mod tests;
