//! The keys that sign access tokens: opened from the ledger, made once, exchanged, forgotten.
//!
//! Threat: whoever has the private half is everybody. It is sealed by the vault wherever it is kept, and gone
//! from the ledger as soon as its successor signs.

use super::Guard;
use crate::api::Caller;
use crate::desk::Desk;
use arc_swap::ArcSwap;
use haus_api::identity::KeyRotated;
use haus_api::{Problem, ProblemCode};
use haus_identity::{KEY_OVERLAP, KeyError, KeyRecord, SigningKeys};
use haus_model::Secret;
use haus_store::{Batch, SigningKeyRow, Write};
use haus_trail::{Action, Outcome};
use std::collections::BTreeSet;
use std::time::Duration;

/// A signing key is exchanged after this time (180 days, as the zimmer document has it).
const KEY_LIFE: Duration = Duration::from_secs(180 * 24 * 60 * 60);

impl Guard {
    /// The keys; the first call opens them and what is revoked.
    ///
    /// # Errors
    /// The ledger or the vault is closed. The next call tries again.
    pub(super) async fn signing(&self, desk: &Desk) -> Result<&ArcSwap<SigningKeys>, Problem> {
        self.signing.get_or_try_init(|| self.open(desk)).await
    }

    /// The public halves (RFC 7517).
    ///
    /// # Errors
    /// The ledger or the vault is closed.
    pub(crate) async fn public_keys(&self, desk: &Desk) -> Result<serde_json::Value, Problem> {
        let mut keys = SigningKeys::clone(&self.signing(desk).await?.load());
        keys.drop_expired(desk.clock.wall());
        Ok(keys.jwks())
    }

    async fn open(&self, desk: &Desk) -> Result<ArcSwap<SigningKeys>, Problem> {
        let read = desk.registrar.read(|ledger| Ok((ledger.signing_keys()?, ledger.revocations()?)));
        let (rows, revocations) = read.await?;
        let now = desk.clock.wall();
        let is_over = |row: &SigningKeyRow| row.retires_at.is_some_and(|at| at <= now);
        let records: Vec<KeyRecord> = rows
            .into_iter()
            .filter(|row| !is_over(row))
            .map(|row| record(desk, row))
            .collect::<Result<_, _>>()?;
        let keys = if records.is_empty() {
            let keys = SigningKeys::generate(now).map_err(|error| broken(&error))?;
            let kid = keys.active_kid().to_owned();
            let caller = Caller::house("signing-key");
            let subject = format!("signing-key:{kid}");
            let entry = desk.registrar.entry(&caller, Action::KeyRotate, subject, Outcome::Allowed);
            let batch = Batch::of(rows_of(desk, &keys)?, entry.because("the house had no signing key"));
            desk.registrar.commit(batch).await?;
            keys
        } else {
            SigningKeys::from_records(records).map_err(|error| broken(&error))?
        };
        let mut memory = self.memory();
        for row in revocations {
            memory.revoke(row.what, row.until, row.why);
        }
        Ok(ArcSwap::from_pointee(keys))
    }

    /// Makes a new signing key. `stolen` ends every token that the old one signed, at once.
    ///
    /// # Errors
    /// It cannot be made or kept; then the old one goes on.
    pub(crate) async fn rotate_key(
        &self,
        desk: &Desk,
        caller: &Caller,
        stolen: bool,
        why: &str,
    ) -> Result<KeyRotated, Problem> {
        let signing = self.signing(desk).await?;
        let _turn = self.turning.lock().await;
        let mut keys = SigningKeys::clone(&signing.load());
        let now = desk.clock.wall();
        let overlap = if stolen { Duration::ZERO } else { KEY_OVERLAP };
        let key_id = keys.rotate(now, overlap).map_err(|error| broken(&error))?;
        let mut former: Vec<String> = Vec::new();
        for record in keys.records().into_iter().skip(1) {
            if stolen {
                // Keys before it may have been stolen with it.
                keys.retire(&record.kid, now).map_err(|error| broken(&error))?;
            }
            former.push(record.kid);
        }
        let subject = format!("signing-key:{key_id}");
        let entry = desk.registrar.entry(caller, Action::KeyRotate, subject, Outcome::Allowed).because(why);
        desk.registrar.commit(Batch::of(rows_of(desk, &keys)?, entry)).await?;
        signing.store(std::sync::Arc::new(keys));
        self.memory().verified.advance();
        Ok(KeyRotated { key_id, former, resealed: None, anchor_key: None, former_anchor_key: None })
    }

    /// Forgets keys whose overlap is over and exchanges one that has signed for long enough.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub(crate) async fn keep_up(&self, desk: &Desk) -> Result<(), Problem> {
        let signing = self.signing(desk).await?;
        let now = desk.clock.wall();
        self.memory().forget(now);
        if now.since(signing.load().active_since()) >= KEY_LIFE {
            let why = format!("it has signed for {} days", KEY_LIFE.as_secs() / 86_400);
            self.rotate_key(desk, &Caller::house("key-age"), false, &why).await?;
        }
        let _turn = self.turning.lock().await;
        let rows = desk.registrar.read(|ledger| ledger.signing_keys()).await?;
        let over = rows.into_iter().filter(|row| row.retires_at.is_some_and(|at| at <= now));
        let gone: BTreeSet<String> = over.map(|row| row.kid).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let deletes = gone.iter().map(|kid| Write::SigningKeyDelete { kid: kid.clone() }).collect();
        desk.registrar.commit(Batch { writes: deletes, entries: Vec::new() }).await?;
        let mut keys = SigningKeys::clone(&signing.load());
        keys.drop_expired(now);
        signing.store(std::sync::Arc::new(keys));
        Ok(())
    }
}

fn record(desk: &Desk, row: SigningKeyRow) -> Result<KeyRecord, Problem> {
    let pkcs8 = match row.retires_at {
        None => desk.vaulting.unseal_signing_key(&row.kid, &row.sealed)?,
        Some(_) => Secret::default(),
    };
    let SigningKeyRow { kid, sealed: _, public, made_at, retires_at } = row;
    Ok(KeyRecord { kid, pkcs8, public, made_at, retires_at })
}

/// Every key as a row; only the one that signs has a private half.
fn rows_of(desk: &Desk, keys: &SigningKeys) -> Result<Vec<Write>, Problem> {
    let row = |record: KeyRecord| {
        let KeyRecord { kid, pkcs8, public, made_at, retires_at } = record;
        let sealed = match retires_at {
            None => desk.vaulting.seal_signing_key(&kid, &pkcs8)?,
            Some(_) => Vec::new(),
        };
        Ok(Write::SigningKeyPut(Box::new(SigningKeyRow { kid, sealed, public, made_at, retires_at })))
    };
    keys.records().into_iter().map(row).collect()
}

fn broken(error: &KeyError) -> Problem {
    let told = crate::chain(error);
    match error {
        KeyError::TooMany { until } => {
            Problem::new(ProblemCode::Busy, told).with_hint(format!("the oldest of them ends at {until}"))
        }
        KeyError::Generate(_)
        | KeyError::Private { .. }
        | KeyError::Record { .. }
        | KeyError::Duplicate { .. }
        | KeyError::Active { .. }
        | KeyError::RetireActive { .. }
        | KeyError::Unknown { .. } => Problem::new(ProblemCode::VaultSealed, told)
            .with_hint("restore the database from a backup; until then nobody is let in"),
    }
}
