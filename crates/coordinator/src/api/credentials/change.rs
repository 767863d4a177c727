//! Changing, rotating and deleting one credential, guarded by `If-Match`.

use super::super::input::{JsonBody, Path};
use super::super::{Caller, DeskState, Refusal, bad};
use super::view::Shown;
use super::{owned, unknown};
use crate::desk::Desk;
use crate::vaulting::subject;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use haus_api::credential::{Credential, CredentialUpdate, RotateRequest, RotationView};
use haus_api::{Problem, ProblemCode};
use haus_model::{Secret, Timestamp};
use haus_store::{Batch, CredentialChange, CredentialOrigin, CredentialRow, Write};
use haus_trail::{Action, Outcome};
use std::sync::Arc;

/// Bytes of an object of the owner's own.
const METADATA_BYTES_MAX: usize = 8 << 10;

/// Change a credential. A new value begins a rotation; the plan's own allow only that.
#[utoipa::path(put, path = "/api/credentials/{id}", tag = "credentials", operation_id = "replaceCredential",
    params(("id" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "its ETag, to change only what you saw")),
    request_body = CredentialUpdate,
    responses((status = 200, description = "changed", body = Credential, headers(("ETag" = String, description = "its revision"))),
        (status = 400, description = "the request is not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope admin is needed", body = Problem),
        (status = 404, description = "there is none of this id", body = Problem),
        (status = 409, description = "the plan says it, or a rotation is under way", body = Problem),
        (status = 412, description = "it was changed meanwhile", body = Problem),
        (status = 413, description = "the body is too large", body = Problem),
        (status = 415, description = "the body is not JSON", body = Problem),
        (status = 422, description = "a value in it is not allowed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the trail cannot be written, or the vault is closed", body = Problem)))]
pub(super) async fn put(
    State(desk): DeskState,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<CredentialUpdate>,
) -> Result<Shown, Refusal> {
    Ok(update(&desk, &caller, &id, &headers, body).await?)
}

/// The same: a field that is absent stays in both.
#[utoipa::path(patch, path = "/api/credentials/{id}", tag = "credentials", operation_id = "updateCredential",
    params(("id" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "its ETag, to change only what you saw")),
    request_body = CredentialUpdate,
    responses((status = 200, description = "changed", body = Credential, headers(("ETag" = String, description = "its revision"))),
        (status = 400, description = "the request is not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope admin is needed", body = Problem),
        (status = 404, description = "there is none of this id", body = Problem),
        (status = 409, description = "the plan says it, or a rotation is under way", body = Problem),
        (status = 412, description = "it was changed meanwhile", body = Problem),
        (status = 413, description = "the body is too large", body = Problem),
        (status = 415, description = "the body is not JSON", body = Problem),
        (status = 422, description = "a value in it is not allowed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the trail cannot be written, or the vault is closed", body = Problem)))]
pub(super) async fn patch(
    State(desk): DeskState,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<CredentialUpdate>,
) -> Result<Shown, Refusal> {
    Ok(update(&desk, &caller, &id, &headers, body).await?)
}

/// Delete a credential with all its versions. What the plan names cannot be deleted.
#[utoipa::path(delete, path = "/api/credentials/{id}", tag = "credentials", operation_id = "deleteCredential",
    params(("id" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "its ETag, to delete only what you saw")),
    responses((status = 204, description = "it is gone"),
        (status = 400, description = "the request is not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope admin is needed", body = Problem),
        (status = 404, description = "there is none of this id", body = Problem),
        (status = 409, description = "the plan names it, or a rotation is under way", body = Problem),
        (status = 412, description = "it was changed meanwhile", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the trail cannot be written", body = Problem)))]
pub(super) async fn delete(
    State(desk): DeskState,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let card = owned(&desk, &caller, Action::CredentialDelete, &id).await?;
    let row = &card.row;
    let if_revision = if_match(&headers)?;
    let house = desk.house();
    if row.origin == CredentialOrigin::Plan && house.credentials.contains_key(row.name.as_str()) {
        return Err(Problem::new(ProblemCode::Conflict, format!("the plan names credential `{}`", row.name))
            .with_hint("take it out of the plan and `haus reload`, then delete it")
            .into());
    }
    let open = card.rotation.as_ref().filter(|rotation| rotation.ended_at.is_none());
    let step = open.map(|open| crate::rotating::ends_with_its_credential(row, open)).transpose()?;
    let entry = desk.registrar.entry(&caller, Action::CredentialDelete, subject(row), Outcome::Allowed);
    let mut entry = entry.detail("id", row.id.clone());
    if let (Some(open), Some(step)) = (open, step) {
        entry = entry.detail("rotation", open.id.clone()).detail("step", step);
    }
    // With it go all its versions and its rotation, in the same transaction.
    let write = Write::CredentialDelete { id: row.id.clone(), if_revision };
    desk.registrar.commit(Batch::of(vec![write], entry)).await?;
    desk.rotating.forget(&desk, row, open.map(|open| open.id.as_str()));
    Ok(StatusCode::NO_CONTENT)
}

/// Rotate a credential: to the given value, or to a generated one. Answers when it has begun.
#[utoipa::path(post, path = "/api/credentials/{id}/rotate", tag = "credentials", operation_id = "rotateCredential",
    params(("id" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "its ETag, to rotate only what you saw")),
    request_body(content = Option<RotateRequest>),
    responses((status = 202, description = "it has begun", body = RotationView),
        (status = 400, description = "the request is not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope admin is needed", body = Problem),
        (status = 404, description = "there is none of this id", body = Problem),
        (status = 409, description = "a rotation is under way, or its file says the value", body = Problem),
        (status = 412, description = "it was changed meanwhile", body = Problem),
        (status = 413, description = "the body is too large", body = Problem),
        (status = 415, description = "the body is not JSON", body = Problem),
        (status = 422, description = "a value in it is not allowed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the trail cannot be written, or the vault is closed", body = Problem)))]
pub(super) async fn rotate(
    State(desk): DeskState,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Option<JsonBody<RotateRequest>>,
) -> Result<Response, Refusal> {
    // The original took the value from the address, where logs keep it. Whoever still sends it there must not
    // believe that it is in force.
    if uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(bad("a rotation takes nothing from the address")
            .with_hint("the value belongs into the body")
            .into());
    }
    let card = owned(&desk, &caller, Action::CredentialRotate, &id).await?;
    is_at(&card.row, if_match(&headers)?)?;
    let body = body.map(|JsonBody(body)| body).unwrap_or_default();
    let view = begin(&desk, &caller, &card.row, body.value, body.emergency).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(view)).into_response())
}

async fn update(
    desk: &Arc<Desk>,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    body: CredentialUpdate,
) -> Result<Shown, Problem> {
    let card = owned(desk, caller, Action::CredentialUpdate, id).await?;
    let row = &card.row;
    let if_revision = if_match(headers)?;
    is_at(row, if_revision)?;
    check_terms(body.description.as_ref().and_then(|text| text.as_deref()), body.rotate_days.flatten())?;
    let now = desk.clock.wall();
    let expires_at = match &body.expires_at {
        Some(Some(text)) => Some(Some(future(text, now)?)),
        Some(None) => Some(None),
        None => None,
    };
    let house = desk.house();
    let scope = body.scope.map(|scope| with_owner(row, scope));
    if let Some(stranger) = scope.iter().flatten().find(|service| !house.services.contains_key(*service)) {
        return Err(Problem::new(ProblemCode::Invalid, format!("the plan has no service `{stranger}`"))
            .with_hint("name a service of the plan; `haus services` (GET /api/services) lists them"));
    }
    let change = CredentialChange {
        description: body.description,
        metadata: metadata(body.metadata)?,
        kind: None,
        scope,
        expires_at,
        rotation_required: body.rotation_required,
        rotate_days: body.rotate_days,
    };
    let terms = CredentialChange { rotation_required: None, ..change.clone() };
    if row.origin == CredentialOrigin::Plan && terms != CredentialChange::default() {
        return Err(Problem::new(
            ProblemCode::Conflict,
            format!("the plan says what credential `{}` is", row.name),
        )
        .with_hint("change the plan and `haus reload`; only value and rotation_required change here"));
    }
    let mut after = None;
    if change != CredentialChange::default() {
        let entry = desk.registrar.entry(caller, Action::CredentialUpdate, subject(row), Outcome::Allowed);
        let entry = entry.detail("id", row.id.clone()).detail("fields", fields(&change));
        let (id, change) = (row.id.clone(), Box::new(change));
        let write = Write::CredentialUpdate { id, if_revision, change, at: now };
        after = desk.registrar.commit(Batch::of(vec![write], entry)).await?.changed.pop();
    }
    if let Some(value) = body.value {
        begin(desk, caller, row, Some(value), false).await?;
        after = None;
    }
    if let Some(after) = after {
        return Ok(Shown::of(after, card.rotation.clone()));
    }
    let card = desk.registrar.card(&row.id).await?.ok_or_else(|| unknown(&row.id))?;
    Ok(Shown::of(card.row.clone(), card.rotation.clone()))
}

/// Begins a rotation.
async fn begin(
    desk: &Arc<Desk>,
    caller: &Caller,
    row: &CredentialRow,
    value: Option<Secret>,
    emergency: bool,
) -> Result<RotationView, Problem> {
    if value.as_ref().is_some_and(|value| !(1..=65_536).contains(&value.expose_bytes().len())) {
        return Err(Problem::new(ProblemCode::Invalid, "value must have 1 to 65536 bytes"));
    }
    desk.rotating.begin(desk, caller, &row.id, value, emergency).await
}

fn with_owner(row: &CredentialRow, scope: Vec<haus_model::ServiceName>) -> Vec<haus_model::ServiceName> {
    let mut all: Vec<_> = row.owner.iter().cloned().collect();
    for service in scope {
        if !all.contains(&service) {
            all.push(service);
        }
    }
    all
}

fn fields(change: &CredentialChange) -> String {
    let said = [
        ("description", change.description.is_some()),
        ("metadata", change.metadata.is_some()),
        ("scope", change.scope.is_some()),
        ("expires_at", change.expires_at.is_some()),
        ("rotation_required", change.rotation_required.is_some()),
        ("rotate_days", change.rotate_days.is_some()),
    ];
    let said: Vec<&str> = said.into_iter().filter(|(_, is_said)| *is_said).map(|(name, _)| name).collect();
    said.join(" ")
}

/// The revision of `If-Match` (RFC 9110, section 13.1.1); none when any will do.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let value = value.to_str().unwrap_or("").trim();
    if value == "*" {
        return Ok(None);
    }
    let digits = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let revision = digits.and_then(|digits| digits.parse().ok());
    // Some other tag, or a weak one, is none that this resource ever had.
    revision.map(Some).ok_or_else(|| {
        Problem::new(ProblemCode::PreconditionFailed, "If-Match is no ETag of a credential")
            .with_hint("send the ETag of the last answer as it is, with its quotes")
    })
}

fn is_at(row: &CredentialRow, wanted: Option<u64>) -> Result<(), Problem> {
    match wanted {
        Some(wanted) if wanted != row.revision => {
            Err(crate::registrar::refused(&haus_store::Conflict::Revision(row.revision)))
        }
        Some(_) | None => Ok(()),
    }
}

/// Terms that every credential must keep.
pub(super) fn check_terms(description: Option<&str>, rotate_days: Option<u32>) -> Result<(), Problem> {
    if description.is_some_and(|text| text.chars().count() > 1_024) {
        return Err(Problem::new(ProblemCode::Invalid, "description must have at most 1024 characters"));
    }
    if rotate_days.is_some_and(|days| !(1..=3_650).contains(&days)) {
        return Err(Problem::new(ProblemCode::Invalid, "rotate_days must be 1 to 3650"));
    }
    Ok(())
}

/// A time to come.
pub(super) fn future(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let invalid = |detail: &str| Problem::new(ProblemCode::Invalid, detail);
    let at: jiff::Timestamp = text
        .parse()
        .map_err(|_| invalid("expires_at is no time of RFC 3339, such as 2030-01-31T12:00:00Z"))?;
    let at = Timestamp(at.as_millisecond());
    if at <= now {
        return Err(invalid("expires_at lies in the past; delete the credential instead"));
    }
    Ok(at)
}

/// An object of the owner's own, as it is kept.
pub(super) fn metadata(
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
) -> Result<Option<String>, Problem> {
    let Some(metadata) = metadata else { return Ok(None) };
    let text = serde_json::to_string(&metadata).expect("an object of JSON values is JSON");
    if text.len() > METADATA_BYTES_MAX {
        let detail = format!("metadata must have at most {METADATA_BYTES_MAX} bytes, it has {}", text.len());
        return Err(Problem::new(ProblemCode::Invalid, detail));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<Option<u64>>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, value.parse().unwrap());
        assert_eq!(if_match(&headers).ok(), expected, "{value}");
    }

    #[test]
    fn only_an_etag_of_ours_matches() {
        check("*", Some(None));
        check("\"7\"", Some(Some(7)));
        check("7", None);
        check("W/\"7\"", None);
        check("\"seven\"", None);
        assert_eq!(if_match(&HeaderMap::new()).ok(), Some(None));
    }

    #[test]
    fn an_expiry_lies_ahead() {
        let now = Timestamp(1_795_230_000_000);
        assert_eq!(future("2026-11-21T03:00:01Z", now).unwrap(), Timestamp(1_795_230_001_000));
        for refused in ["2026-11-21T03:00:00Z", "tomorrow", "2026-11-21", ""] {
            assert!(future(refused, now).is_err(), "{refused}");
        }
    }
}
