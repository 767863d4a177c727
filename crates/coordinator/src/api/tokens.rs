//! `/api/tokens`: what administrators let in, and take back.

use super::input::{JsonBody, Path, Query};
use super::{Answer, Confidential, DeskState, Refusal, confidential};
use crate::api::Caller;
use crate::desk::Desk;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use haus_api::identity::{KeyRotated, TokenCreate, TokenCreated, TokenView};
use haus_api::page::{LIMIT_DEFAULT, LIMIT_MAX, Page, PageQuery};
use haus_api::{Problem, ProblemCode};
use haus_model::Scope;
use haus_trail::Action;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(rotate_key)).routes(routes!(take_back))
}

/// Makes a one-time token for a service, one of its instances, or a person.
#[utoipa::path(post, path = "/api/tokens", tag = "tokens", operation_id = "createToken",
    request_body = TokenCreate,
    responses((status = 201, description = "the token, shown this once", body = TokenCreated),
        (status = 409, description = "too many are open", body = Problem)))]
async fn create(
    State(desk): DeskState,
    caller: Caller,
    JsonBody(request): JsonBody<TokenCreate>,
) -> Result<(StatusCode, (Extension<Confidential>, Json<TokenCreated>)), Refusal> {
    desk.guard.require(&desk, &caller, &Scope::Admin, Action::TokenIssue, "tokens").await?;
    let created = desk.guard.create_token(&desk, &caller, request).await?;
    Ok((StatusCode::CREATED, confidential(created)))
}

/// Open one-time tokens and sessions, the newest first; never the tokens themselves.
#[utoipa::path(get, path = "/api/tokens", tag = "tokens", operation_id = "listTokens", params(PageQuery),
    responses((status = 200, description = "one page of them", body = Page<TokenView>)))]
async fn list(
    State(desk): DeskState,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Answer<Page<TokenView>> {
    desk.guard.require(&desk, &caller, &Scope::Read, Action::Admin, "tokens").await?;
    let (skip, limit) = (query.skip.unwrap_or(0), query.limit.unwrap_or(LIMIT_DEFAULT));
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("`limit` is {limit}; a page has 1 to {LIMIT_MAX} items");
        return Err(Problem::new(ProblemCode::Invalid, detail).into());
    }
    let all = desk.guard.tokens(&desk).await?;
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let [from, most] = [skip, limit].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    let items = all.into_iter().skip(from).take(most).collect();
    Ok(Json(Page { total, skip, limit, items }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RotateQuery {
    /// The key was stolen: everything that it signed ends at once, instead of within a quarter of an hour.
    emergency: Option<bool>,
}

/// Makes a new key for signing access tokens.
#[utoipa::path(post, path = "/api/tokens/rotate-key", tag = "tokens", operation_id = "rotateSigningKey",
    params(RotateQuery),
    responses((status = 200, description = "the new key signs", body = KeyRotated),
        (status = 409, description = "too many former keys still verify", body = Problem)))]
async fn rotate_key(
    State(desk): DeskState,
    caller: Caller,
    Query(query): Query<RotateQuery>,
) -> Answer<KeyRotated> {
    desk.guard.require(&desk, &caller, &Scope::Admin, Action::KeyRotate, "signing-key").await?;
    let stolen = query.emergency.unwrap_or(false);
    let why = if stolen { "an administrator ended the former key at once" } else { "an administrator asked" };
    Ok(Json(desk.guard.rotate_key(&desk, &caller, stolen, why).await?))
}

/// Takes an unused one-time token back, or ends a session with everything signed for it.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "tokens", operation_id = "deleteToken",
    params(("id" = String, Path, description = "of the one-time token or the session")),
    responses((status = 204, description = "it opens nothing any more"),
        (status = 409, description = "it was being used just now", body = Problem)))]
async fn take_back(
    State(desk): DeskState,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let subject = format!("token:{id}");
    desk.guard.require(&desk, &caller, &Scope::Admin, Action::TokenRevoke, &subject).await?;
    desk.guard.take_back(&desk, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
