//! `/api/vault`: which keys the credentials are sealed with, and changing them.
//!
//! Threat: the key ring must never leave. Ids and fingerprints are hashes; changing the ring is for
//! administrators and stands in the trail before anything is done.

use super::{Answer, Caller, DeskState};
use crate::anchor;
use crate::desk::Desk;
use axum::Json;
use axum::extract::State;
use haus_api::Problem;
use haus_api::identity::KeyRotated;
use haus_api::vault::VaultStatus;
use haus_model::Scope;
use haus_trail::Action;
use haus_vault::KeyId;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(rotate_key))
}

/// Which keys the credentials are sealed with.
#[utoipa::path(get, path = "/api/vault", tag = "vault", operation_id = "vaultStatus",
    responses((status = 200, description = "the state of the keys", body = VaultStatus),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope read is needed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the vault is closed", body = Problem)))]
async fn status(State(desk): DeskState, caller: Caller) -> Answer<VaultStatus> {
    desk.guard.require(&desk, &caller, &Scope::Read, Action::Admin, "vault").await?;
    let keys = desk.vaulting.keys();
    let ring = keys.ring()?;
    Ok(Json(VaultStatus {
        place: keys.place(),
        active_key: ring.active().to_string(),
        old_keys: ring.ids().iter().skip(1).map(KeyId::to_string).collect(),
        fingerprint: ring.fingerprint(),
        under_old_keys: desk.vaulting.under_old_keys(&desk).await?,
        anchor_key: anchor::public_key(&ring),
        warnings: keys.warnings().to_vec(),
    }))
}

/// Change the key that credentials are sealed with: everything is wrapped anew while the house goes on. What
/// is not done when this answers goes on by itself, also after a crash; `former` are then the keys that are
/// still needed. The key that anchors of the trail are signed with changes too; both of its public halves are
/// answered.
#[utoipa::path(post, path = "/api/vault/rotate-key", tag = "vault", operation_id = "rotateVaultKey",
    responses((status = 200, description = "the new key is in force", body = KeyRotated),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope admin is needed", body = Problem),
        (status = 409, description = "a rotation is under way, or the ring cannot be changed where it is kept", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 500, description = "something cannot be wrapped anew, or the ring cannot be kept", body = Problem),
        (status = 503, description = "the trail cannot be written, or the vault is closed", body = Problem)))]
async fn rotate_key(State(desk): DeskState, caller: Caller) -> Answer<KeyRotated> {
    desk.guard.require(&desk, &caller, &Scope::Admin, Action::KeyRotate, "vault").await?;
    let before = desk.vaulting.under_old_keys(&desk).await?;
    let former_anchor_key = anchor::public_key(&*desk.vaulting.keys().ring()?);
    desk.vaulting.rotate_ring(&desk, &caller).await?;
    let again = desk.vaulting.under_old_keys(&desk).await?.max(before);
    // In a task of its own: it goes on when the caller leaves.
    let (worker, who) = (Arc::clone(&desk), caller);
    let task = tokio::spawn(async move { worker.vaulting.rewrap(&worker, &who).await });
    task.await.map_err(|error| {
        Problem::new(haus_api::ProblemCode::Internal, format!("wrapping anew broke off: {error}"))
            .with_hint("both keys stay in the ring; the next start goes on")
    })??;
    let ring = desk.vaulting.keys().ring()?;
    Ok(Json(KeyRotated {
        key_id: ring.active().to_string(),
        former: ring.ids().iter().skip(1).map(KeyId::to_string).collect(),
        resealed: Some(again),
        anchor_key: anchor::public_key(&ring),
        former_anchor_key,
    }))
}
