//! Rotating the key ring: a new active key, everything wrapped anew, the old key forgotten. No value is
//! opened.
//!
//! Threat: a copy of the old key ring. After a rotation it opens nothing of the present database; what was
//! copied together with it stays open, so the credentials themselves must be rotated when both were taken. A
//! kill at any point leaves a ring that opens everything: the new ring is on disk before anything is sealed
//! with it, the old key leaves it only after nothing on disk needs it any more.

use super::{Vaulting, signing_key};
use crate::api::Caller;
use crate::desk::Desk;
use crate::registrar::refused;
use haus_api::{Problem, ProblemCode};
use haus_store::{Batch, CredentialRow, SigningKeyRow, VersionRow, Write};
use haus_trail::{Action, NewEntry, Outcome};
use haus_vault::custody::CustodyError;
use haus_vault::{KeyRing, Sealed, SystemEntropy};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Versions that are wrapped anew in one transaction.
const STEP: usize = 128;

/// How long one transaction may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rounds in which somebody else's writes may come between, before it is left to the next start.
const ROUNDS_MAX: u32 = 1_000;

impl Vaulting {
    /// Begins a rotation of the key ring: the new ring is on disk and in force when this returns.
    /// [`Self::rewrap`] does the rest.
    ///
    /// # Errors
    /// Another one is under way, the ring cannot be changed where it is kept, or the trail cannot be written.
    pub(crate) async fn rotate_ring(&self, desk: &Arc<Desk>, caller: &Caller) -> Result<(), Problem> {
        let ring = self.keys.ring()?;
        if ring.ids().len() > 1 || self.rewrapping.load(Ordering::SeqCst) {
            return Err(Problem::new(ProblemCode::Busy, "the key ring is being rotated already")
                .with_hint("`haus vault status` shows how far it is"));
        }
        let mut next = KeyRing::clone(&ring);
        let id = next.rotate(&mut SystemEntropy).map_err(|error| ring_problem(&error))?;
        // Announced first: a rotation that nobody can prove must not happen.
        let entry = desk.registrar.entry(caller, Action::KeyRotate, "house", Outcome::Allowed);
        let entry =
            entry.because("begun").detail("from", ring.active().to_string()).detail("to", id.to_string());
        let entry = with_anchor_key(entry, &next);
        desk.registrar.commit(Batch::entry(entry)).await?;
        self.exchange(desk, next).await
    }

    /// Wraps everything under the active key and forgets the others. Does nothing when there are none; goes
    /// on where an earlier one was cut off.
    ///
    /// # Errors
    /// Why it could not be finished; everything still opens, and the next start goes on.
    pub(crate) async fn rewrap(&self, desk: &Arc<Desk>, caller: &Caller) -> Result<(), Problem> {
        let ring = self.keys.ring()?;
        let old: Vec<_> = ring.ids().into_iter().filter(|id| id != ring.active()).collect();
        if old.is_empty() {
            return Ok(());
        }
        if self.rewrapping.swap(true, Ordering::SeqCst) {
            return Err(Problem::new(ProblemCode::Busy, "the key ring is being rotated already"));
        }
        let outcome = self.rewrap_all(desk, caller, &ring).await;
        self.rewrapping.store(false, Ordering::SeqCst);
        outcome
    }

    /// Versions that still need an older key.
    ///
    /// # Errors
    /// The ledger cannot be read, or the vault is closed.
    pub(crate) async fn under_old_keys(&self, desk: &Desk) -> Result<u64, Problem> {
        let active = self.keys.ring()?.active().to_string();
        let versions = desk.registrar.read(move |ledger| ledger.versions_not_under(&active, 10_000)).await?;
        Ok(u64::try_from(versions.len()).unwrap_or(u64::MAX))
    }

    async fn rewrap_all(
        &self,
        desk: &Arc<Desk>,
        caller: &Caller,
        ring: &Arc<KeyRing>,
    ) -> Result<(), Problem> {
        // From here on nothing new comes under an old key, also nothing that was sealed a moment ago.
        desk.registrar.only_seal_under(*ring.active());
        // The writer works in order: behind this entry nothing handed over before is still on its way.
        let entry = desk.registrar.entry(caller, Action::KeyRotate, "house", Outcome::Allowed);
        let entry = entry.because("wrapping anew").detail("to", ring.active().to_string());
        desk.registrar
            .commit_within(Batch::entry(entry), PATIENCE)
            .await?
            .map_err(|conflict| refused(&conflict))?;
        let mut wrapped = 0;
        for round in 0.. {
            let active = ring.active().to_string();
            let read = move |ledger: &dyn haus_store::Ledger| {
                let versions = ledger.versions_not_under(&active, STEP)?;
                let mut rows = Vec::with_capacity(versions.len());
                for version in versions {
                    rows.extend(ledger.credential(&version.credential)?.map(|row| (row, version)));
                }
                Ok(rows)
            };
            let rows = desk.registrar.read(read).await?;
            if rows.is_empty() {
                break;
            }
            if round > ROUNDS_MAX.saturating_add(wrapped) {
                return Err(unfinished("credentials change all the time"));
            }
            wrapped += self.rewrap_some(desk, ring, rows).await?;
        }
        self.rewrap_signing_keys(desk, ring).await?;
        renew_anchor(desk).await?;
        let mut kept = KeyRing::clone(ring);
        for id in ring.ids().iter().filter(|id| *id != ring.active()) {
            kept.retire(id).map_err(|error| ring_problem(&error))?;
        }
        self.exchange(desk, kept).await?;
        let entry = desk.registrar.entry(caller, Action::KeyRotate, "house", Outcome::Allowed);
        let entry = entry.because("finished").detail("to", ring.active().to_string());
        let entry = with_anchor_key(entry.detail("versions", wrapped.to_string()), ring);
        desk.registrar
            .commit_within(Batch::entry(entry), PATIENCE)
            .await?
            .map_err(|conflict| refused(&conflict))?;
        desk.note(&format!(
            "the key ring was rotated: {wrapped} sealed versions are under key {}",
            ring.active()
        ));
        Ok(())
    }

    /// One transaction; when somebody else's write came between, one by one.
    async fn rewrap_some(
        &self,
        desk: &Desk,
        ring: &KeyRing,
        rows: Vec<(CredentialRow, VersionRow)>,
    ) -> Result<u32, Problem> {
        let mut writes = Vec::with_capacity(rows.len());
        for (row, version) in &rows {
            let binding = self.binding(row, version.version);
            let what = || format!("version {} of credential `{}`", version.version, row.name);
            let Some(to) = again(ring, &binding, &version.sealed).map_err(|why| stuck(&what(), &why))? else {
                continue;
            };
            writes.push(Write::VersionReseal {
                credential: row.id.clone(),
                version: version.version,
                from: version.sealed.clone(),
                key_id: to.key_id().to_string(),
                to: to.to_bytes(),
            });
        }
        let count = u32::try_from(writes.len()).unwrap_or(u32::MAX);
        let all = Batch { writes: writes.clone(), entries: Vec::new() };
        if desk.registrar.commit_within(all, PATIENCE).await?.is_ok() {
            return Ok(count);
        }
        let mut done = 0;
        for write in writes {
            let one = Batch { writes: vec![write], entries: Vec::new() };
            // One that changed or went meanwhile is met again, or is gone.
            done += u32::from(desk.registrar.commit_within(one, PATIENCE).await?.is_ok());
        }
        Ok(done)
    }

    async fn rewrap_signing_keys(&self, desk: &Desk, ring: &KeyRing) -> Result<(), Problem> {
        for row in desk.registrar.read(|ledger| ledger.signing_keys()).await? {
            // A key that only verifies has no private half.
            if row.sealed.is_empty() {
                continue;
            }
            let id = signing_key(&row.kid);
            let again = again(ring, &self.binding_of(&id, 1, ""), &row.sealed);
            let Some(to) = again.map_err(|why| stuck(&format!("signing key {}", row.kid), &why))? else {
                continue;
            };
            let write = Write::SigningKeyPut(Box::new(SigningKeyRow { sealed: to.to_bytes(), ..row }));
            let batch = Batch { writes: vec![write], entries: Vec::new() };
            desk.registrar.commit_within(batch, PATIENCE).await?.map_err(|conflict| refused(&conflict))?;
        }
        Ok(())
    }

    /// Puts another ring in force, on disk first.
    async fn exchange(&self, desk: &Arc<Desk>, ring: KeyRing) -> Result<(), Problem> {
        let desk = Arc::clone(desk);
        let replace = move || desk.vaulting.keys.replace(ring);
        let replaced = tokio::task::spawn_blocking(replace).await.map_err(|error| {
            Problem::new(ProblemCode::Internal, format!("keeping the key ring broke off: {error}"))
        })?;
        replaced.map_err(|error| {
            let code = match error {
                CustodyError::ReadOnly { .. } => ProblemCode::Conflict,
                CustodyError::Missing { .. }
                | CustodyError::Exists { .. }
                | CustodyError::Unsafe { .. }
                | CustodyError::TooLarge { .. }
                | CustodyError::CredentialName { .. }
                | CustodyError::Read { .. }
                | CustodyError::Write { .. }
                | CustodyError::Ring { .. }
                | CustodyError::Sealed { .. }
                | CustodyError::Stranger { .. }
                | CustodyError::NoPassphrase { .. }
                | CustodyError::NeedsPassphrase { .. } => ProblemCode::Internal,
            };
            Problem::new(code, crate::chain(&error))
                .with_hint("the key ring is as it was, and everything opens")
        })
    }
}

/// The anchor of the trail is signed by the new key before the old one, which signed it so far, is forgotten.
async fn renew_anchor(desk: &Arc<Desk>) -> Result<(), Problem> {
    let (keeper, pulse) = (crate::opening::keeper(desk), desk.registrar.pulse());
    let renewed = tokio::task::spawn_blocking(move || keeper.renew(&pulse)).await;
    let renewed = renewed.unwrap_or_else(|error| Err(error.to_string()));
    renewed.map(drop).map_err(|why| unfinished(&format!("the trail's anchor was not renewed: {why}")))
}

/// Whoever demands a key of the anchors finds here which one took its place.
fn with_anchor_key(entry: NewEntry, ring: &KeyRing) -> NewEntry {
    match crate::anchor::public_key(ring) {
        Some(key) => entry.detail("anchor_key", key),
        None => entry,
    }
}

/// The same under the active key; none when it is under it already.
fn again(ring: &KeyRing, binding: &haus_vault::Binding<'_>, sealed: &[u8]) -> Result<Option<Sealed>, String> {
    let sealed = Sealed::from_bytes(sealed).map_err(|error| error.to_string())?;
    haus_vault::rewrap(ring, binding, &sealed, &mut SystemEntropy).map_err(|error| crate::chain(&error))
}

fn stuck(what: &str, why: &str) -> Problem {
    Problem::new(ProblemCode::Internal, format!("{what} cannot be wrapped anew: {why}")).with_hint(
        "the old key stays in the ring; restore or delete that credential, then rotate the key again",
    )
}

fn unfinished(why: &str) -> Problem {
    Problem::new(ProblemCode::Busy, format!("the rotation of the key ring is not finished: {why}"))
        .with_hint("both keys stay in the ring; the next start goes on")
}

fn ring_problem(error: &haus_vault::KeyRingError) -> Problem {
    Problem::new(ProblemCode::Internal, format!("the key ring cannot be rotated: {}", crate::chain(error)))
        .with_hint("the key ring is as it was")
}
