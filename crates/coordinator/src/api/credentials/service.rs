//! `GET /api/credentials/service/{name}`: the one answer with values, for the service itself.
//!
//! Threat: another service, a cache or a log gets the answer. Only the service's own token opens it, with its
//! entry on disk first; nothing may store it; asking again with the ETag costs no value and leaves none
//! behind.

use super::super::input::{Path, Query};
use super::super::{Caller, Confidential, DeskState, Refusal, bad};
use super::view;
use crate::desk::Desk;
use crate::vaulting::{Vaulting, has_expired};
use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use haus_api::Problem;
use haus_api::credential::{Credential, ServiceCredentials};
use haus_model::{Scope, ServiceName};
use haus_store::{Conflict, CredentialQuery};
use haus_trail::Action;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfServiceQuery {
    /// Only the credentials of this name: the others may be read although one has expired.
    credential: Option<String>,
}

/// What is answered: values to the service itself, metadata to an administrator.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only the document is made from it")]
enum OfService {
    /// With values.
    Values(ServiceCredentials),
    /// Without.
    Metadata(Vec<Credential>),
}

/// The credentials of a service. Its own token with `cred:read:NAME` gets the values, an administrator their
/// metadata. A 304 hands nothing out and leaves no entry in the trail; every 200 with values does, before it
/// is sent.
#[utoipa::path(get, path = "/api/credentials/service/{name}", tag = "credentials",
    operation_id = "serviceCredentials",
    params(OfServiceQuery, ("name" = String, Path, description = "the service"),
        ("If-None-Match" = Option<String>, Header, description = "the ETag of what the caller has")),
    responses((status = 200, description = "values for the service, metadata for an administrator", body = OfService,
            headers(("ETag" = String, description = "changes with every rotation"),
                ("Cache-Control" = String, description = "no-store"))),
        (status = 304, description = "nothing has changed"),
        (status = 400, description = "the request is not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "a token of another service", body = Problem),
        (status = 404, description = "there is no such service or credential", body = Problem),
        (status = 410, description = "a credential has expired", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the trail cannot be written, or the vault is closed", body = Problem)))]
pub(super) async fn of_service(
    State(desk): DeskState,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<OfServiceQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let service: ServiceName = name.parse().map_err(|error| bad(format!("the service's name: {error}")))?;
    if Vaulting::may_have_values(&caller, &service) {
        return values(&desk, &caller, &service, query.credential.as_deref(), &headers).await;
    }
    let subject = format!("service:{service}");
    if !caller.allows(&Scope::Admin) {
        let scope = Scope::CredentialRead(service.clone());
        // A token of another service may hold the scope and is refused all the same.
        if caller.allows(&scope) {
            let why = "only the service itself may read its values";
            return Err(desk
                .guard
                .denied(&desk, &caller, Action::CredentialRead, &subject, why)
                .await
                .into());
        }
        desk.guard.require(&desk, &caller, &scope, Action::CredentialRead, &subject).await?;
    }
    metadata(&desk, service, query.credential).await
}

async fn values(
    desk: &Desk,
    caller: &Caller,
    service: &ServiceName,
    name: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let holding = desk.vaulting.holding(&desk.registrar, service).await?;
    let wanted = || holding.credentials.iter().filter(|held| name.is_none_or(|name| held.row.name == name));
    let tag = format!("\"{}\"", holding.revision);
    // What has expired is told also to those who still hold it; the refusal's entry comes with the full
    // answer.
    let now = desk.clock.wall();
    let is_expired = wanted().any(|held| has_expired(&held.row, now));
    if !is_expired && is_none_match(headers, &tag) {
        return Ok(sealed(StatusCode::NOT_MODIFIED.into_response(), Some(&tag)));
    }
    let answer = desk.vaulting.some_for_service(desk, caller, service, name).await?;
    let tag = format!("\"{}\"", answer.revision);
    Ok(sealed((Extension(Confidential), Json(answer)).into_response(), Some(&tag)))
}

async fn metadata(desk: &Desk, service: ServiceName, name: Option<String>) -> Result<Response, Refusal> {
    if !desk.house().services.contains_key(&service) {
        return Err(crate::registrar::refused(&Conflict::Missing(format!("service {service}"))).into());
    }
    let query = CredentialQuery { service: Some(service), name, limit: 1_000, ..CredentialQuery::default() };
    let (rows, _) = desk.registrar.read(move |ledger| ledger.credentials(&query)).await?;
    let items: Vec<Credential> = rows.into_iter().map(|row| view::credential(row, None)).collect();
    Ok(sealed(Json(items).into_response(), None))
}

/// With the ETag, and never stored anywhere.
fn sealed(mut response: Response, tag: Option<&str>) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("authorization"));
    if let Some(Ok(tag)) = tag.map(HeaderValue::from_str) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Whether the caller has this already (RFC 9110, section 13.1.2).
fn is_none_match(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or("");
    given.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == tag)
}
