//! Writes to the ledger on behalf of use cases: on disk within a second, or refused with the reason. Reads
//! beside it.
//!
//! Nothing secret is read and nothing is changed unless its entry in the trail is on disk first. It knows
//! neither values nor keys, only under which key new sealed bytes must be.

mod cabinet;
mod claim;
mod tray;

pub(crate) use cabinet::Card;
pub(crate) use claim::Claim;

use crate::anchor::Pulse;
use crate::api::Caller;
use cabinet::{Cabinet, Touched};
use haus_api::{Problem, ProblemCode};
use haus_store::{Batch, Committed, Conflict, Ledger, StoreError, Write};
use haus_trail::{Action, NewEntry, Outcome};
use haus_vault::{KeyId, Sealed};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tray::Tray;

/// Longer than this nobody waits for the disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// Seconds after which asking again makes sense while the trail cannot be written.
const RETRY_AFTER_S: u64 = 5;

/// What becomes of a batch.
type Written = Result<Committed, StoreError>;

/// The registrar.
pub(crate) struct Registrar {
    ledger: Arc<dyn Ledger>,
    clock: crate::clock::Clock,
    generation: Arc<AtomicU64>,
    pulse: Arc<Pulse>,
    cabinet: Arc<Cabinet>,
    tray: Arc<Tray<Written>>,
    /// The key that new seals must be under; none while any of the ring will do.
    sealing: Mutex<Option<KeyId>>,
}

impl Registrar {
    /// A registrar over this ledger.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, clock: crate::clock::Clock) -> Registrar {
        Registrar {
            ledger,
            clock,
            generation: Arc::default(),
            pulse: Arc::default(),
            cabinet: Arc::default(),
            tray: Arc::default(),
            sealing: Mutex::new(None),
        }
    }

    /// A number that grows after every commit that may change what a credential's reader gets.
    pub(crate) fn generation(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.generation)
    }

    /// Tells how far the trail has come.
    pub(crate) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// Serves the runtime inside of which it is called best: the one of the API.
    pub(crate) fn serve(&self) {
        self.tray.serve();
    }

    /// Keeps a batch and returns when the disk has it.
    ///
    /// # Errors
    /// The precondition that does not hold, or why the trail cannot be written.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<Committed, Problem> {
        self.try_commit(batch).await?.map_err(|conflict| refused(&conflict))
    }

    /// The same for those who have a use for the precondition that does not hold.
    ///
    /// # Errors
    /// Why the trail cannot be written.
    pub(crate) async fn try_commit(&self, batch: Batch) -> Result<Result<Committed, Conflict>, Problem> {
        self.commit_within(batch, PATIENCE).await
    }

    /// The same with another patience, for what nobody waits for.
    ///
    /// # Errors
    /// Why the trail cannot be written.
    pub(crate) async fn commit_within(
        &self,
        mut batch: Batch,
        patience: Duration,
    ) -> Result<Result<Committed, Conflict>, Problem> {
        let claim = Claim::of(&batch);
        batch.writes.extend(claim.as_ref().and_then(Claim::write));
        let (reply, mut answer) = oneshot::channel();
        let tray = self.tray.is_served_here().then(|| Arc::clone(&self.tray));
        self.submit(batch, move |outcome| match tray {
            Some(tray) => tray.put(reply, outcome),
            // Who asked may have gone.
            None => drop(reply.send(outcome)),
        })?;
        let answer = match tokio::time::timeout(patience, &mut answer).await {
            Ok(answer) => answer.map_err(|_| TryRecvError::Closed),
            Err(_) => {
                // A busy runtime may have been late, not the disk: then the answer lies in the tray.
                self.tray.hand_on();
                answer.try_recv()
            }
        };
        if let (Some(claim), Ok(Ok(_)) | Err(TryRecvError::Empty)) = (claim, &answer) {
            claim.kept();
        }
        match answer {
            Ok(Ok(committed)) => Ok(Ok(committed)),
            Ok(Err(StoreError::Conflict { conflict })) => Ok(Err(conflict)),
            Ok(Err(error)) => Err(unavailable(&crate::chain(&error))),
            Err(TryRecvError::Closed) => Err(unavailable("the ledger has ended")),
            Err(TryRecvError::Empty) => Err(unavailable(&format!(
                "the disk did not confirm within {} ms; what was asked may still be done",
                patience.as_millis()
            ))),
        }
    }

    /// Hands a batch over. Returns at once; `done` is called on the writer's thread.
    fn submit(&self, batch: Batch, done: impl FnOnce(Written) + Send + 'static) -> Result<(), Problem> {
        // Held while the batch is handed over: after the key has changed nothing sealed before it can follow.
        let sealing = self.sealing();
        if let Some(active) = *sealing
            && batch.writes.iter().filter_map(sealed_under).any(|key| key != active)
        {
            return Err(Problem::new(
                ProblemCode::Busy,
                "the key ring was rotated while this was being sealed",
            )
            .with_hint("ask again; nothing was changed")
            .with_retry_after(1));
        }
        let changes = batch.writes.iter().any(changes_what_is_read);
        let touched = Touched::by(&batch.writes);
        let (generation, pulse) = (Arc::clone(&self.generation), Arc::clone(&self.pulse));
        let cabinet = Arc::clone(&self.cabinet);
        let told = Box::new(move |outcome: Written| {
            if !touched.is_nothing() {
                match &outcome {
                    Ok(committed) => cabinet.follow(&touched, &committed.changed),
                    Err(StoreError::Conflict { .. }) => {}
                    Err(_) => cabinet.forget_all(),
                }
            }
            if changes {
                // Also after an error: the disk may have it.
                generation.fetch_add(1, Ordering::SeqCst);
            }
            if let Ok(Committed { head: Some(head), .. }) = &outcome {
                pulse.tell(head.seq);
            }
            done(outcome);
        });
        self.ledger.submit(batch, told);
        Ok(())
    }

    /// From here on whatever is sealed must be under this key.
    pub(crate) fn only_seal_under(&self, key: KeyId) {
        *self.sealing() = Some(key);
    }

    fn sealing(&self) -> MutexGuard<'_, Option<KeyId>> {
        self.sealing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Reads from the ledger, on a thread that may block.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let ledger = Arc::clone(&self.ledger);
        let read = tokio::task::spawn_blocking(move || work(&*ledger)).await;
        let read = read.map_err(|error| {
            Problem::new(ProblemCode::Internal, format!("reading the ledger broke off: {error}"))
        })?;
        read.map_err(|error| unreadable(&error))
    }

    /// A credential without its value, and its rotation: from memory, or read.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn card(&self, id: &str) -> Result<Option<Arc<Card>>, Problem> {
        if let Some(card) = self.cabinet.get(id) {
            return Ok(Some(card));
        }
        let (cabinet, id) = (Arc::clone(&self.cabinet), id.to_owned());
        self.read(move |ledger| cabinet.load(ledger, &id)).await
    }

    /// An entry that tells who did it and from where.
    pub(crate) fn entry(
        &self,
        caller: &Caller,
        action: Action,
        subject: impl Into<String>,
        outcome: Outcome,
    ) -> NewEntry {
        let entry = NewEntry::new(self.clock.wall(), caller.actor(), action, subject, outcome);
        let entry = entry.request(caller.request_id.clone());
        match &caller.address {
            Some(address) => entry.from_address(address.clone()),
            None => entry,
        }
    }
}

/// A precondition that does not hold, as an answer.
pub(crate) fn refused(conflict: &Conflict) -> Problem {
    let detail = conflict.to_string();
    match conflict {
        Conflict::Exists(_) => Problem::new(ProblemCode::Conflict, detail)
            .with_hint("change or remove the one that is there, or choose another name"),
        Conflict::Missing(_) => {
            Problem::new(ProblemCode::NotFound, detail).with_hint("list what there is, and name one of these")
        }
        Conflict::Revision(_) => Problem::new(ProblemCode::PreconditionFailed, detail)
            .with_hint("GET it again and send its new ETag as If-Match"),
        Conflict::Used(_) => Problem::new(ProblemCode::Conflict, detail)
            .with_hint("read it again; somebody else was first, or this was done before"),
        Conflict::Expired(_) => {
            Problem::new(ProblemCode::Expired, detail).with_hint("ask an administrator for a new one")
        }
    }
}

/// The trail cannot be written, so nothing is done.
fn unavailable(why: &str) -> Problem {
    Problem::new(ProblemCode::TrailUnavailable, format!("nothing is handed out or changed without its entry: {why}"))
        .with_hint("see the space and the health of the disk below the state folder; `haus status` tells when it works again")
        .with_retry_after(RETRY_AFTER_S)
}

/// The ledger cannot be read.
fn unreadable(error: &StoreError) -> Problem {
    Problem::new(ProblemCode::TrailUnavailable, format!("the ledger cannot be read: {}", crate::chain(error)))
        .with_hint("see the disk below the state folder; a damaged database is restored from a backup")
        .with_retry_after(RETRY_AFTER_S)
}

/// The key that a write brings sealed bytes under.
fn sealed_under(write: &Write) -> Option<KeyId> {
    match write {
        Write::CredentialCreate(_, version) | Write::VersionAdd(version) => version.key_id.parse().ok(),
        Write::VersionReseal { key_id, .. } => key_id.parse().ok(),
        Write::SigningKeyPut(row) => Sealed::from_bytes(&row.sealed).ok().map(|sealed| *sealed.key_id()),
        Write::CredentialUpdate { .. }
        | Write::CredentialDelete { .. }
        | Write::CredentialUsed { .. }
        | Write::VersionPromote { .. }
        | Write::VersionRetire { .. }
        | Write::RotationPut(_)
        | Write::EnrolmentPut(_)
        | Write::EnrolmentTake { .. }
        | Write::EnrolmentDelete { .. }
        | Write::SessionPut(_)
        | Write::SessionRefresh { .. }
        | Write::SessionEnd { .. }
        | Write::Revoke(_)
        | Write::SigningKeyDelete { .. }
        | Write::AnnouncedPut(_)
        | Write::AnnouncedDelete { .. }
        | Write::HealthAppend(_)
        | Write::AlertStatePut(_)
        | Write::DeliveryPut(_)
        | Write::DeliveryDelete { .. }
        | Write::SilencePut(_)
        | Write::SilenceDelete { .. }
        | Write::IdempotentPut(_) => None,
    }
}

/// Whether a reader of credentials may get something else after this write.
fn changes_what_is_read(write: &Write) -> bool {
    match write {
        Write::CredentialCreate(..)
        | Write::CredentialUpdate { .. }
        | Write::CredentialDelete { .. }
        | Write::VersionAdd(_)
        | Write::VersionPromote { .. }
        | Write::VersionRetire { .. }
        | Write::VersionReseal { .. }
        | Write::RotationPut(_) => true,
        // When it was read last is of no interest to who reads it.
        Write::CredentialUsed { .. }
        | Write::EnrolmentPut(_)
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
        | Write::IdempotentPut(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(conflict: Conflict, code: ProblemCode) {
        let problem = refused(&conflict);
        assert_eq!(problem.code, code);
        assert_eq!(problem.detail, conflict.to_string());
        assert!(problem.hint.is_some());
    }

    #[test]
    fn every_precondition_has_its_status() {
        check(Conflict::Exists("credential `key`".into()), ProblemCode::Conflict);
        check(Conflict::Missing("credential `key`".into()), ProblemCode::NotFound);
        check(Conflict::Revision(7), ProblemCode::PreconditionFailed);
        check(Conflict::Used("version 2 of credential x".into()), ProblemCode::Conflict);
        check(Conflict::Expired("enrolment token e-7".into()), ProblemCode::Expired);
    }

    #[tokio::test]
    async fn a_ledger_that_cannot_be_used_refuses_at_once_with_the_reason() {
        let ledger = Arc::new(haus_store::ClosedLedger::new("the disk is gone"));
        let registrar = Registrar::new(ledger, crate::clock::Clock::start());
        let entry = registrar.entry(&Caller::house("test"), Action::Admin, "house", Outcome::Allowed);
        let problem = registrar.commit(Batch::entry(entry)).await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::TrailUnavailable);
        assert!(problem.detail.contains("the disk is gone"), "{}", problem.detail);
        let problem = registrar.read(|ledger| ledger.trail_head()).await.unwrap_err();
        assert!(problem.detail.contains("the disk is gone"), "{}", problem.detail);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_lies_in_the_tray_when_the_time_is_over_counts() {
        let ledger = Arc::new(haus_store::ClosedLedger::new("the disk is gone"));
        let registrar = Registrar::new(ledger, crate::clock::Clock::start());
        registrar.serve();
        let entry = registrar.entry(&Caller::house("test"), Action::Admin, "house", Outcome::Allowed);
        // The ledger answers while it is handed the batch; nobody has emptied the tray since.
        let answer = registrar.commit_within(Batch::entry(entry), Duration::ZERO).await;
        let problem = answer.unwrap_err();
        assert!(problem.detail.contains("the disk is gone"), "{}", problem.detail);
    }
}
