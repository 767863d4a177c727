//! `/api/identity`: coming in, staying in, going out.

use super::input::JsonBody;
use super::{Answer, Confidential, DeskState, Refusal, confidential};
use crate::api::{Caller, Who};
use crate::desk::Desk;
use crate::guard;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use haus_api::Problem;
use haus_api::identity::{EnrolRequest, RefreshRequest, Tokens, WhoAmI};
use haus_model::Scope;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(enrol))
        .routes(routes!(refresh))
        .routes(routes!(revoke))
        .routes(routes!(keys))
        .routes(routes!(whoami))
}

/// An answer that no cache and no memory of ours keeps.
type SecretAnswer<T> = Result<(Extension<Confidential>, Json<T>), Refusal>;

/// Exchanges a one-time token for an access token and a refresh token.
#[utoipa::path(post, path = "/api/identity/enrol", tag = "identity", operation_id = "enrol", security(()),
    request_body = EnrolRequest,
    responses((status = 200,
        description = "the session has begun; its tokens are shown this once", body = Tokens),
        (status = 410, description = "the token was used before, or is too old", body = Problem)))]
async fn enrol(
    State(desk): DeskState,
    caller: Caller,
    JsonBody(request): JsonBody<EnrolRequest>,
) -> SecretAnswer<Tokens> {
    let tokens = desk.guard.enrol(&desk, &caller, &request.token, request.instance.as_deref()).await?;
    Ok(confidential(tokens))
}

/// Exchanges a refresh token for the next pair. The one that was sent is worthless afterwards; sent again it
/// ends the session, since somebody must have a copy.
#[utoipa::path(post, path = "/api/identity/refresh", tag = "identity", operation_id = "refresh", security(()),
    request_body = RefreshRequest,
    responses((status = 200, description = "the session goes on with these tokens", body = Tokens),
        (status = 410, description = "the token is too old", body = Problem)))]
async fn refresh(
    State(desk): DeskState,
    caller: Caller,
    JsonBody(request): JsonBody<RefreshRequest>,
) -> SecretAnswer<Tokens> {
    let tokens = desk.guard.refresh(&desk, &caller, &request.refresh_token).await?;
    Ok(confidential(tokens))
}

/// Ends the caller's own session: its refresh token and everything signed for it.
#[utoipa::path(post, path = "/api/identity/revoke", tag = "identity", operation_id = "revoke",
    responses((status = 204, description = "the session has ended"),
        (status = 404, description = "it had ended before", body = Problem),
        (status = 422, description = "an account on the control socket has no session", body = Problem)))]
async fn revoke(State(desk): DeskState, caller: Caller) -> Result<StatusCode, Refusal> {
    desk.guard.leave(&desk, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The public halves of the keys that sign access tokens, as a JWK set (RFC 7517).
#[utoipa::path(get, path = "/api/identity/keys", tag = "identity", operation_id = "identityKeys",
    security((), ("bearer" = [])),
    responses((status = 200,
        description = "the key that signs first, then those that still verify", body = Object)))]
async fn keys(State(desk): DeskState) -> Answer<serde_json::Value> {
    Ok(Json(desk.guard.public_keys(&desk).await?))
}

/// Who asks, and what it may do.
#[utoipa::path(get, path = "/api/identity/whoami", tag = "identity", operation_id = "whoami",
    responses((status = 200, description = "the caller as the house knows it", body = WhoAmI)))]
async fn whoami(caller: Caller) -> Answer<WhoAmI> {
    let (scopes, expires_at) = match &caller.who {
        Who::Anonymous => return Err(guard::stranger().into()),
        Who::Token(claims) => (claims.scope.clone(), Some(claims.expires_at().to_string())),
        Who::Account { .. } | Who::House => (vec![Scope::Admin], None),
    };
    Ok(Json(WhoAmI {
        subject: caller.actor(),
        service: caller.service().cloned(),
        instance: caller.instance().map(str::to_owned),
        scopes,
        expires_at,
    }))
}
