//! `/api/alerts`: what is wrong, who was told, and quiet for those who ask for it.
//!
//! Threat: somebody who silences the alert about himself. So quiet needs `admin`, ends by itself, and has
//! its entry.

use super::input::{JsonBody, Path, Query};
use super::{Answer, Caller, DeskState, Refusal};
use crate::desk::Desk;
use crate::vaulting::fresh_id;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use haus_api::alert::{Alerts, AlertsQuery, Silence, SilenceRequest};
use haus_api::{Problem, ProblemCode};
use haus_model::{Scope, ServiceName};
use haus_store::{Batch, SilenceRow, Write};
use haus_trail::{Action, Outcome};
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest silence: 30 days. Who needs more asks again, and so remembers.
const SILENCE_S_MAX: u64 = 30 * 86_400;

/// Silences at the same time.
const SILENCES_MAX: usize = 100;

/// Characters of a reason.
const WHY_CHARS_MAX: usize = 512;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(alerts)).routes(routes!(silence)).routes(routes!(end_silence))
}

/// Alerts, silences, open maintenance windows and messages on their way.
#[utoipa::path(get, path = "/api/alerts", tag = "alerts", operation_id = "listAlerts",
    security(("bearer" = ["read"])), params(AlertsQuery),
    responses((status = 200, description = "everything that is wrong or being told, or what is over", body = Alerts),
        (status = 401, description = "no token, or one that is not valid", body = Problem),
        (status = 403, description = "the token does not allow it", body = Problem),
        (status = 422, description = "a value is not allowed", body = Problem),
        (status = 429, description = "too many wrong tokens", body = Problem),
        (status = 503, description = "the audit trail cannot be written", body = Problem)))]
async fn alerts(State(desk): DeskState, caller: Caller, Query(query): Query<AlertsQuery>) -> Answer<Alerts> {
    desk.guard.require(&desk, &caller, &Scope::Read, Action::Admin, "alerts").await?;
    let mut shown = desk.alarms.shown(desk.clock.wall());
    match query.state.as_deref() {
        None | Some("present") => {}
        Some("past") => shown.alerts = desk.alarms.past(),
        Some(_) => return Err(Problem::new(ProblemCode::Invalid, "state must be present or past").into()),
    }
    Ok(Json(shown))
}

/// Nobody is told of a service, or of anything, for a while. What still lasts at the end is told then.
#[utoipa::path(post, path = "/api/alerts/silences", tag = "alerts", operation_id = "silenceAlerts",
    security(("bearer" = ["admin"])), request_body = SilenceRequest,
    responses((status = 201, description = "it is quiet", body = Silence),
        (status = 400, description = "the request cannot be understood", body = Problem),
        (status = 401, description = "no token, or one that is not valid", body = Problem),
        (status = 403, description = "the token does not allow it", body = Problem),
        (status = 404, description = "there is no such service", body = Problem),
        (status = 408, description = "the body did not arrive in time", body = Problem),
        (status = 409, description = "too many silences", body = Problem),
        (status = 413, description = "the body is too large", body = Problem),
        (status = 415, description = "the body is not JSON", body = Problem),
        (status = 422, description = "a value is not allowed", body = Problem),
        (status = 429, description = "too many wrong tokens", body = Problem),
        (status = 503, description = "the audit trail cannot be written", body = Problem)))]
async fn silence(
    State(desk): DeskState,
    caller: Caller,
    JsonBody(request): JsonBody<SilenceRequest>,
) -> Result<(StatusCode, Json<Silence>), Refusal> {
    desk.guard.require(&desk, &caller, &Scope::Admin, Action::AlertSilence, "alerts").await?;
    let row = row(&desk, &caller, &request)?;
    let about = row.service.as_ref().map_or_else(|| "house".to_owned(), |name| format!("service:{name}"));
    let entry = desk.registrar.entry(&caller, Action::AlertSilence, about, Outcome::Allowed);
    let entry = entry
        .because(row.why.clone())
        .detail("silence", row.id.clone())
        .detail("until", row.until.to_string());
    desk.registrar.commit(Batch::of(vec![Write::SilencePut(Box::new(row.clone()))], entry)).await?;
    let answer = Silence {
        id: row.id.clone(),
        service: row.service.as_ref().map(ToString::to_string),
        until: row.until.to_string(),
        why: row.why.clone(),
        made_by: row.made_by.clone(),
    };
    desk.alarms.silence(desk.clock.wall(), row);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Ends a silence before its time.
#[utoipa::path(delete, path = "/api/alerts/silences/{id}", tag = "alerts", operation_id = "endSilence",
    security(("bearer" = ["admin"])), params(("id" = String, Path, description = "the silence")),
    responses((status = 204, description = "it is over"),
        (status = 400, description = "the request cannot be understood", body = Problem),
        (status = 401, description = "no token, or one that is not valid", body = Problem),
        (status = 403, description = "the token does not allow it", body = Problem),
        (status = 404, description = "there is no such silence", body = Problem),
        (status = 429, description = "too many wrong tokens", body = Problem),
        (status = 503, description = "the audit trail cannot be written", body = Problem)))]
async fn end_silence(
    State(desk): DeskState,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    desk.guard.require(&desk, &caller, &Scope::Admin, Action::AlertSilence, "alerts").await?;
    let known = desk.alarms.shown(desk.clock.wall()).silences.into_iter().find(|one| one.id == id);
    let known = known.ok_or_else(|| {
        Problem::new(ProblemCode::NotFound, "there is no silence of this id")
            .with_hint("GET /api/alerts lists them")
    })?;
    let about = known.service.map_or_else(|| "house".to_owned(), |name| format!("service:{name}"));
    let entry = desk.registrar.entry(&caller, Action::AlertSilence, about, Outcome::Allowed);
    let entry = entry.because("it was ended before its time").detail("silence", id.clone());
    desk.registrar.commit(Batch::of(vec![Write::SilenceDelete { id: id.clone() }], entry)).await?;
    desk.alarms.end_silence(desk.clock.wall(), &id);
    Ok(StatusCode::NO_CONTENT)
}

fn row(desk: &Desk, caller: &Caller, request: &SilenceRequest) -> Result<SilenceRow, Problem> {
    let invalid = |detail: String| Problem::new(ProblemCode::Invalid, detail);
    if !(1..=SILENCE_S_MAX).contains(&request.for_s) {
        return Err(invalid(format!("`for_s` is 1 to {SILENCE_S_MAX} seconds, not {}", request.for_s)));
    }
    let why = request.why.trim();
    let chars = why.chars().count();
    if !(1..=WHY_CHARS_MAX).contains(&chars) || why.chars().any(char::is_control) {
        let detail = format!("`why` has 1 to {WHY_CHARS_MAX} characters on one line, {chars} were given");
        return Err(invalid(detail).with_hint("say for whoever wonders why nobody was told"));
    }
    let service = request.service.as_deref().map(|name| known_service(desk, name)).transpose()?;
    let now = desk.clock.wall();
    if desk.alarms.shown(now).silences.len() >= SILENCES_MAX {
        return Err(Problem::new(
            ProblemCode::Conflict,
            format!("there are {SILENCES_MAX} silences already"),
        )
        .with_hint("end some: DELETE /api/alerts/silences/{id}"));
    }
    Ok(SilenceRow {
        id: fresh_id()?,
        service,
        until: now.after(Duration::from_secs(request.for_s)),
        why: why.to_owned(),
        made_by: caller.actor(),
        created_at: now,
    })
}

fn known_service(desk: &Desk, name: &str) -> Result<ServiceName, Problem> {
    let unknown = || {
        Problem::new(ProblemCode::NotFound, "there is no service of this name in the house")
            .with_hint("`haus services` (GET /api/services) lists them")
    };
    let name: ServiceName = name.parse().map_err(|_| unknown())?;
    if desk.house().services.contains_key(&name) { Ok(name) } else { Err(unknown()) }
}

#[cfg(test)]
mod tests;
