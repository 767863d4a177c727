//! The mark that a request with an `Idempotency-Key` was done, kept in the very transaction of what it does:
//! whoever sends it again after a crash is told so, and nothing is done twice.
//!
//! It travels with the task that works on the request, so that no use case has to know of it.

use haus_store::{Batch, IdempotentAnswer, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

tokio::task_local! {
    static CLAIM: Claim;
}

/// The mark of one request.
#[derive(Clone)]
pub(crate) struct Claim {
    request_id: Arc<str>,
    /// None once it is kept.
    waiting: Arc<Mutex<Option<Box<IdempotentAnswer>>>>,
}

impl Claim {
    /// A mark that waits for the first act of its request.
    pub(crate) fn new(request_id: &str, answer: IdempotentAnswer) -> Claim {
        Claim { request_id: request_id.into(), waiting: Arc::new(Mutex::new(Some(Box::new(answer)))) }
    }

    /// Works on the request.
    pub(crate) async fn during<F: Future>(&self, work: F) -> F::Output {
        CLAIM.scope(self.clone(), work).await
    }

    /// The mark that belongs to this batch, when it is the first act of a request that has one.
    pub(super) fn of(batch: &Batch) -> Option<Claim> {
        // That something was read is no act: what is asked for may still be refused.
        if !batch.writes.iter().any(|write| !matches!(write, Write::CredentialUsed { .. })) {
            return None;
        }
        let claim = CLAIM.try_with(Claim::clone).ok()?;
        // What the house does by the way, such as making its first signing key, tells of another request.
        let is_own = |claim: &Claim| {
            batch.entries.iter().any(|entry| entry.request_id.as_deref() == Some(&*claim.request_id))
        };
        Some(claim).filter(|claim| is_own(claim) && claim.waiting().is_some())
    }

    /// The write that keeps it.
    pub(super) fn write(&self) -> Option<Write> {
        self.waiting().clone().map(Write::IdempotentPut)
    }

    /// It is kept, or may be.
    pub(super) fn kept(&self) {
        *self.waiting() = None;
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Box<IdempotentAnswer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::Timestamp;
    use haus_trail::{Action, NewEntry, Outcome};

    fn batch(request: &str, write: Write) -> Batch {
        let entry = NewEntry::new(Timestamp(1), "token:x", Action::Admin, "house", Outcome::Allowed);
        Batch::of(vec![write], entry.request(request))
    }

    async fn check(batch: Batch, expected: bool) {
        let (caller, key) = ("a".to_owned(), "k".to_owned());
        let answer = IdempotentAnswer {
            caller,
            key,
            request: [4; 32],
            status: 0,
            body: Vec::new(),
            until: Timestamp(9),
        };
        assert!(Claim::of(&batch).is_none(), "nothing is marked outside of a request");
        let claim = Claim::new("r-1", answer);
        claim
            .during(async {
                let found = Claim::of(&batch);
                assert_eq!(found.is_some(), expected, "{batch:?}");
                if let Some(found) = found {
                    assert!(matches!(found.write(), Some(Write::IdempotentPut(_))));
                    found.kept();
                    assert!(Claim::of(&batch).is_none(), "the first act has it, and no other");
                }
            })
            .await;
    }

    #[tokio::test]
    async fn the_first_act_of_the_request_itself_is_marked() {
        let act = || Write::AlertStatePut("{}".to_owned());
        check(batch("r-1", act()), true).await;
        check(batch("upkeep", act()), false).await;
        check(batch("r-1", Write::CredentialUsed { ids: Vec::new(), at: Timestamp(1) }), false).await;
    }
}
