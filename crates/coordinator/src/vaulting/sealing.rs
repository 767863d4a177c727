//! Keeping what was sealed, also while the key ring is being rotated: then it is sealed anew under the new
//! key.
//!
//! Threat: a value under a key that the ring is about to forget. The registrar refuses it; nobody else has to
//! ask again for that.

use crate::desk::Desk;
use haus_api::{Problem, ProblemCode};
use haus_store::{Batch, Committed};
use std::time::Duration;

/// How often a value is sealed anew while the key ring changes.
const SEAL_TRIES: u32 = 20;

/// Pause between two of these; the change itself takes some milliseconds.
const SEAL_PAUSE: Duration = Duration::from_millis(10);

/// Seals and keeps: `make` is called for every try.
///
/// # Errors
/// As of sealing and of [`crate::registrar::Registrar::commit`].
pub(crate) async fn keep_sealed(
    desk: &Desk,
    mut make: impl FnMut() -> Result<Batch, Problem>,
) -> Result<Committed, Problem> {
    let mut tries_left = SEAL_TRIES;
    loop {
        match desk.registrar.commit(make()?).await {
            Err(problem) if problem.code == ProblemCode::Busy && tries_left > 0 => {
                tries_left -= 1;
                tokio::time::sleep(SEAL_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, TestDesk};
    use haus_model::Secret;
    use haus_store::{SigningKeyRow, Write};
    use haus_vault::SystemEntropy;

    #[tokio::test]
    async fn what_is_sealed_while_the_ring_changes_is_sealed_anew_and_kept_once() {
        let desk = TestDesk::of(fixture::house(vec![fixture::service("api", 1)]));
        let vaulting = &desk.desk.vaulting;
        let mut ring = haus_vault::KeyRing::clone(&*vaulting.keys().ring().unwrap());
        ring.rotate(&mut SystemEntropy).unwrap();
        desk.desk.registrar.only_seal_under(*ring.active());
        let (active, mut ring, mut tries) = (*ring.active(), Some(ring), 0);
        let make = || {
            tries += 1;
            if tries == 3 {
                vaulting.keys().replace(ring.take().unwrap()).unwrap();
            }
            let sealed = vaulting.seal_signing_key("k", &Secret::from("private".to_owned()))?;
            let now = desk.desk.clock.wall();
            let row =
                SigningKeyRow { kid: "k".into(), sealed, public: [1; 32], made_at: now, retires_at: None };
            Ok(Batch { writes: vec![Write::SigningKeyPut(Box::new(row))], entries: Vec::new() })
        };
        keep_sealed(&desk.desk, make).await.unwrap();
        assert_eq!(tries, 3);
        let kept = desk.desk.ledger.signing_keys().unwrap();
        let kept = kept.iter().find(|row| row.kid == "k").unwrap();
        assert_eq!(*haus_vault::Sealed::from_bytes(&kept.sealed).unwrap().key_id(), active);
    }
}
