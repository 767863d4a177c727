//! `/api/credentials`: making, listing, changing and rotating credentials. Values come in here and never go
//! out.
//!
//! Threat: an administrator's answer in a log, a proxy or a browser must not hold a password. So no answer of
//! these operations has a value in it, none may be stored, and errors quote no body.

mod audit;
mod change;
mod service;
mod view;

use super::input::{JsonBody, Path, Query};
use super::{Answer, Caller, DeskState, Refusal};
use crate::desk::Desk;
use crate::registrar::Card;
use crate::vaulting::{NewCredential, subject};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use haus_api::credential::{Credential, CredentialCreate, CredentialsQuery, Version};
use haus_api::page::{LIMIT_DEFAULT, LIMIT_MAX, Page, SortOrder};
use haus_api::{Problem, ProblemCode};
use haus_model::{Scope, ServiceName};
use haus_store::{CredentialQuery, SortBy};
use haus_trail::Action;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use view::Shown;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(create_too))
        .routes(routes!(one, change::put, change::patch, change::delete))
        .routes(routes!(versions))
        .routes(routes!(change::rotate))
        .routes(routes!(audit::audit))
        .routes(routes!(service::of_service))
}

/// Make a credential for a service. The value is given or generated; it is sealed and never answered.
#[utoipa::path(post, path = "/api/credentials", tag = "credentials", operation_id = "createCredential",
    request_body = CredentialCreate,
    responses((status = 201, description = "it is there", body = Credential,
            headers(("ETag" = String, description = "its revision"), ("Location" = String, description = "its path"))),
        (status = 400, description = "the body is no JSON", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope admin is needed", body = Problem),
        (status = 404, description = "the plan has no such credential to give", body = Problem),
        (status = 409, description = "owner and name are taken, or the plan makes it", body = Problem),
        (status = 413, description = "the body is too large", body = Problem),
        (status = 415, description = "the body is not JSON", body = Problem),
        (status = 422, description = "a value in it is not allowed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the trail cannot be written, or the vault is closed", body = Problem)))]
async fn create(
    State(desk): DeskState,
    caller: Caller,
    JsonBody(body): JsonBody<CredentialCreate>,
) -> Result<Response, Refusal> {
    let name = body.name.to_lowercase();
    let name = match &body.service_name {
        Some(owner) => format!("credential:{owner}/{name}"),
        None => format!("credential:{name}"),
    };
    desk.guard.require(&desk, &caller, &Scope::Admin, Action::CredentialCreate, &name).await?;
    let new = checked(&desk, body)?;
    let row = desk.vaulting.create(&desk, &caller, new).await?;
    let location = format!("/api/credentials/{}", row.id);
    let mut response = (StatusCode::CREATED, Shown::of(row, None)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The same under the path of the document.
#[utoipa::path(post, path = "/api/credentials/create", tag = "credentials", operation_id = "createCredentialAlias",
    request_body = CredentialCreate,
    responses((status = 201, description = "it is there", body = Credential),
        (status = 400, description = "the body is no JSON", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope admin is needed", body = Problem),
        (status = 404, description = "the plan has no such credential to give", body = Problem),
        (status = 409, description = "owner and name are taken, or the plan makes it", body = Problem),
        (status = 413, description = "the body is too large", body = Problem),
        (status = 415, description = "the body is not JSON", body = Problem),
        (status = 422, description = "a value in it is not allowed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the trail cannot be written, or the vault is closed", body = Problem)))]
async fn create_too(
    desk: DeskState,
    caller: Caller,
    body: JsonBody<CredentialCreate>,
) -> Result<Response, Refusal> {
    create(desk, caller, body).await
}

/// Credentials without their values. A service sees those that it may have, others need the scope `read`.
#[utoipa::path(get, path = "/api/credentials", tag = "credentials", operation_id = "listCredentials",
    params(CredentialsQuery),
    responses((status = 200, description = "a page of them", body = Page<Credential>),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope read is needed", body = Problem),
        (status = 422, description = "a value in it is not allowed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the ledger cannot be read", body = Problem)))]
async fn list(
    State(desk): DeskState,
    caller: Caller,
    Query(query): Query<CredentialsQuery>,
) -> Answer<Page<Credential>> {
    let mut query = asked(query)?;
    match own_service(&caller) {
        // Its own list, whatever else it asks for.
        Some(own) if query.service.as_ref().is_none_or(|service| *service == own) => {
            query.service = Some(own);
        }
        Some(_) | None => {
            desk.guard.require(&desk, &caller, &Scope::Read, Action::CredentialRead, "credential:*").await?;
        }
    }
    let (skip, limit) = (query.skip, query.limit);
    let read = desk.registrar.read(move |ledger| {
        let (rows, total) = ledger.credentials(&query)?;
        Ok((rows, total, ledger.rotations(None)?))
    });
    let (rows, total, rotations) = read.await?;
    let items = rows.into_iter().map(|row| {
        let rotation = rotations.iter().find(|rotation| rotation.credential == row.id).cloned();
        view::credential(row, rotation)
    });
    Ok(Json(Page { total, skip, limit, items: items.collect() }))
}

/// One credential without its value.
#[utoipa::path(get, path = "/api/credentials/{id}", tag = "credentials", operation_id = "getCredential",
    params(("id" = String, Path, description = "its id")),
    responses((status = 200, description = "the credential", body = Credential,
            headers(("ETag" = String, description = "its revision"))),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope read is needed", body = Problem),
        (status = 404, description = "there is none of this id", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the ledger cannot be read", body = Problem)))]
async fn one(State(desk): DeskState, caller: Caller, Path(id): Path<String>) -> Result<Shown, Refusal> {
    let Card { row, rotation } = Card::clone(&*readable(&desk, &caller, &id).await?);
    Ok(Shown::of(row, rotation))
}

/// Its versions without their values, the oldest first.
#[utoipa::path(get, path = "/api/credentials/{id}/versions", tag = "credentials",
    operation_id = "listCredentialVersions", params(("id" = String, Path, description = "its id")),
    responses((status = 200, description = "the versions", body = Vec<Version>),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope read is needed", body = Problem),
        (status = 404, description = "there is none of this id", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the ledger cannot be read", body = Problem)))]
async fn versions(State(desk): DeskState, caller: Caller, Path(id): Path<String>) -> Answer<Vec<Version>> {
    let card = readable(&desk, &caller, &id).await?;
    let versions = desk.registrar.read(move |ledger| ledger.versions(&card.row.id)).await?;
    Ok(Json(versions.into_iter().map(view::version).collect()))
}

/// The credential of a path, for whoever may see its metadata. A stranger does not learn which ids there are.
async fn readable(desk: &Desk, caller: &Caller, id: &str) -> Result<Arc<Card>, Problem> {
    let card = desk.registrar.card(id).await?;
    let own = own_service(caller);
    match card {
        Some(card) if own.is_some_and(|own| card.row.scope.contains(&own)) => Ok(card),
        card => {
            let named = card.as_ref().map_or_else(|| "credential:*".to_owned(), |card| subject(&card.row));
            desk.guard.require(desk, caller, &Scope::Read, Action::CredentialRead, &named).await?;
            card.ok_or_else(|| unknown(id))
        }
    }
}

/// The credential of a path, for an administrator.
async fn owned(desk: &Desk, caller: &Caller, action: Action, id: &str) -> Result<Arc<Card>, Problem> {
    let card = desk.registrar.card(id).await?;
    let named = card.as_ref().map_or_else(|| "credential:*".to_owned(), |card| subject(&card.row));
    desk.guard.require(desk, caller, &Scope::Admin, action, &named).await?;
    card.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Problem {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    Problem::new(ProblemCode::NotFound, format!("there is no credential `{shown}`"))
        .with_hint("GET /api/credentials lists them with their ids")
}

/// The service whose own token this is, with the scope for its credentials.
fn own_service(caller: &Caller) -> Option<ServiceName> {
    let service = caller.service()?;
    caller.allows(&Scope::CredentialRead(service.clone())).then(|| service.clone())
}

/// A query that can be asked.
fn asked(query: CredentialsQuery) -> Result<CredentialQuery, Problem> {
    let invalid = |detail: String| Problem::new(ProblemCode::Invalid, detail);
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(invalid(format!("limit must be 1 to {LIMIT_MAX}, it is {limit}")));
    }
    let sort_by = match query.sort_by.as_deref() {
        None | Some("name") => SortBy::Name,
        Some("created_at") => SortBy::CreatedAt,
        Some("updated_at") => SortBy::UpdatedAt,
        Some("expires_at") => SortBy::ExpiresAt,
        Some(_) => {
            return Err(invalid("sort_by must be name, created_at, updated_at or expires_at".to_owned()));
        }
    };
    let service = query.service.map(|service| service.parse::<ServiceName>()).transpose();
    let kind = query.credential_type.map(|kind| kind.parse()).transpose();
    Ok(CredentialQuery {
        service: service.map_err(|error| invalid(format!("service: {error}")))?,
        kind: kind.map_err(|error: haus_model::credential::UnknownKind| invalid(error.to_string()))?,
        name: query.name.map(|name| name.to_lowercase()),
        expires_before: None,
        skip: query.skip.unwrap_or(0),
        limit,
        sort_by,
        descending: query.sort_order.unwrap_or_default() == SortOrder::Desc,
    })
}

/// What is wanted, once every value in it is allowed.
fn checked(desk: &Desk, body: CredentialCreate) -> Result<NewCredential, Problem> {
    let invalid = |detail: &str| Problem::new(ProblemCode::Invalid, detail);
    let name = body.name.to_lowercase();
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '.');
    if !(1..=255).contains(&name.len()) || !name.chars().all(is_sign) || name.starts_with(['-', '_', '.']) {
        return Err(invalid(
            "name must have 1 to 255 letters, digits, `-`, `_` or `.`, and begin with a letter or digit; \
             capital letters become small ones",
        ));
    }
    if body.value.is_some() && body.length.is_some() {
        return Err(invalid("value and length exclude each other: length is that of a generated value"));
    }
    if body.value.as_ref().is_some_and(|value| !(1..=65_536).contains(&value.expose_bytes().len())) {
        return Err(invalid("value must have 1 to 65536 bytes"));
    }
    if body.length.is_some_and(|length| !(16..=4_096).contains(&length)) {
        return Err(invalid("length must be 16 to 4096"));
    }
    change::check_terms(body.description.as_deref(), body.rotate_days)?;
    let now = desk.clock.wall();
    let expires_at = match (&body.expires_at, body.ttl_s) {
        (Some(_), Some(_)) => return Err(invalid("expires_at and ttl_s exclude each other")),
        (Some(text), None) => Some(change::future(text, now)?),
        (None, Some(0)) => return Err(invalid("ttl_s must be at least 1")),
        (None, Some(seconds)) => Some(now.after(std::time::Duration::from_secs(seconds))),
        (None, None) => None,
    };
    let house = desk.house();
    let named = body.scope.iter().chain(&body.service_name);
    if let Some(stranger) = named.into_iter().find(|service| !house.services.contains_key(*service)) {
        return Err(invalid(&format!("the plan has no service `{stranger}`"))
            .with_hint("name a service of the plan; `haus services` (GET /api/services) lists them"));
    }
    Ok(NewCredential {
        name,
        kind: body.credential_type,
        owner: body.service_name,
        value: body.value,
        length: body.length,
        description: body.description,
        metadata: change::metadata(body.metadata)?.unwrap_or_else(|| "{}".to_owned()),
        scope: body.scope,
        expires_at,
        rotation_required: body.rotation_required,
        rotate_days: body.rotate_days,
    })
}

#[cfg(test)]
mod tests;
