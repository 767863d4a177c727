//! `/health`, `/ready` and everything below `/api/health`.
//!
//! Threat: these are asked by strangers and by machines, often. Nothing here asks the engine for more than a
//! word, and the database is tried at most once in a while, whoever asks.

use super::input::{Query, shown};
use super::roll::{self, Known};
use super::{Answer, Caller, DeskState, Refusal, ask};
use crate::desk::Desk;
use crate::engine::Ask;
use axum::Json;
use axum::extract::State;
use haus_api::health::{
    HealthHistory, HealthHistoryQuery, HealthTransition, Ready, SystemHealth, SystemService,
};
use haus_api::page;
use haus_api::registry::{Health, ServicesHealth};
use haus_api::{Problem, ProblemCode};
use haus_model::Timestamp;
use haus_model::health::HealthState;
use haus_store::HealthQuery;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long the engine may take for a word: longer means that it decides nothing.
const ENGINE_PATIENCE: Duration = Duration::from_secs(2);

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
        .routes(routes!(system))
        .routes(routes!(system_alias))
        .routes(routes!(services))
        .routes(routes!(history))
}

/// Whether the coordinator answers, and whether what it did last could be kept.
#[utoipa::path(get, path = "/health", tag = "health", operation_id = "health", security(()),
    responses((status = 200, description = "it answers", body = Health)))]
async fn health(State(desk): DeskState) -> Answer<Health> {
    let writable = desk.store.health().writable && desk.journal.health().failing.is_none();
    Ok(Json(Health {
        status: if writable { HealthState::Healthy } else { HealthState::Degraded },
        timestamp: desk.clock.wall().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        house: desk.house().name.to_string(),
    }))
}

/// Whether it can be relied on: the engine decides, and the database takes what it does.
#[utoipa::path(get, path = "/ready", tag = "health", operation_id = "ready", security(()),
    responses((status = 200, description = "it is ready", body = Ready),
        (status = 503, description = "it is not, with the reason", body = Problem)))]
async fn ready(State(desk): DeskState) -> Answer<Ready> {
    let refused = |why: String| {
        Problem::new(ProblemCode::Unavailable, format!("the coordinator is not ready: {why}"))
            .with_hint("services run on; `haus status` and `haus events` tell more")
            .with_retry_after(5)
    };
    let alive = tokio::time::timeout(ENGINE_PATIENCE, ask(&desk, Ask::Alive)).await;
    let draining = alive.map_err(|_| {
        refused(format!("the engine gives no answer within {} s", ENGINE_PATIENCE.as_secs()))
    })??;
    if draining {
        return Err(refused("the house is going down".to_owned()).into());
    }
    let tried = desk.trial.last(&desk).await;
    match &tried.error {
        Some(error) => Err(refused(format!("the database refuses: {error}")).into()),
        None => Ok(Json(Ready { status: "ready".to_owned(), timestamp: desk.clock.wall().to_string() })),
    }
}

/// The whole house in one answer.
#[utoipa::path(get, path = "/api/health/system", tag = "health", operation_id = "systemHealth",
    responses((status = 200, description = "how the house is; `status` tells", body = SystemHealth)))]
async fn system(State(desk): DeskState, caller: Caller) -> Answer<SystemHealth> {
    desk.guard.look(&desk, &caller)?;
    let (roll, tried) = (roll::call(&desk), desk.trial.last(&desk).await);
    let [healthy, degraded, offline, unknown] = counts(&roll.services);
    let told = |at: Timestamp| desk.clock.wall_of(at).to_string();
    let services = roll.services.iter().map(|known| SystemService {
        name: known.name.clone(),
        status: known.standing.health,
        last_check: known.last_check().map(told),
        response_time_ms: known.slowest_ms(),
        error_message: (known.standing.health != HealthState::Healthy).then(|| known.standing.why.clone()),
    });
    let of_services = whole(&roll.services);
    let status = if tried.error.is_some() { of_services.max(HealthState::Degraded) } else { of_services };
    Ok(Json(SystemHealth {
        status,
        timestamp: desk.clock.wall().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        house: desk.house().name.to_string(),
        services_healthy: healthy,
        services_degraded: degraded,
        services_offline: offline,
        services_unknown: unknown,
        services_total: roll.services.len(),
        services: services.collect(),
        database_status: if tried.error.is_some() { "unavailable" } else { "connected" }.to_owned(),
        database_error: tried.error.clone(),
        database_latency_ms: tried.took.as_secs_f64() * 1_000.0,
        redis_status: "not used".to_owned(),
    }))
}

/// The same under the short path of the zimmer document.
#[utoipa::path(get, path = "/api/health", tag = "health", operation_id = "systemHealthShort",
    responses((status = 200, description = "how the house is; `status` tells", body = SystemHealth)))]
async fn system_alias(state: DeskState, caller: Caller) -> Answer<SystemHealth> {
    system(state, caller).await
}

/// The health of every service.
#[utoipa::path(get, path = "/api/health/services", tag = "health", operation_id = "servicesHealth",
    responses((status = 200, description = "every service", body = ServicesHealth)))]
async fn services(State(desk): DeskState, caller: Caller) -> Answer<ServicesHealth> {
    desk.guard.look(&desk, &caller)?;
    let roll = roll::call(&desk);
    let [healthy, degraded, offline, unknown] = counts(&roll.services);
    Ok(Json(ServicesHealth {
        status: whole(&roll.services),
        timestamp: desk.clock.wall().to_string(),
        services_healthy: healthy,
        services_degraded: degraded,
        services_offline: offline,
        services_unknown: unknown,
        services_total: roll.services.len(),
        services: roll.services.iter().map(|known| known.health(desk.clock)).collect(),
    }))
}

/// Changes of health of services and instances, the newest first, for as long as the plan's `api.history`
/// says.
#[utoipa::path(get, path = "/api/health/history", tag = "health", operation_id = "healthHistory",
    params(HealthHistoryQuery),
    responses((status = 200, description = "changes of health", body = HealthHistory)))]
async fn history(
    State(desk): DeskState,
    caller: Caller,
    Query(query): Query<HealthHistoryQuery>,
) -> Answer<HealthHistory> {
    desk.guard.look(&desk, &caller)?;
    let limit = limit(query.limit)?;
    let wanted = HealthQuery {
        service: query.service.as_deref().map(service).transpose()?,
        since: query.since.as_deref().map(|text| time("since", text)).transpose()?,
        until: query.until.as_deref().map(|text| time("until", text)).transpose()?,
        before_seq: query.before,
        // One more tells whether there is another page.
        limit: limit + 1,
    };
    let mut rows = desk.registrar.read(move |ledger| ledger.health_history(&wanted)).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().map(|row| row.seq).filter(|_| has_more);
    let items = rows.into_iter().map(|row| HealthTransition {
        seq: row.seq,
        at: row.at.to_string(),
        service: row.service,
        instance: row.instance,
        from: row.from,
        to: row.to,
        why: row.why,
    });
    Ok(Json(HealthHistory { items: items.collect(), next, lost: desk.directory.turns_lost() }))
}

fn limit(wanted: Option<u64>) -> Result<usize, Refusal> {
    let limit = wanted.unwrap_or(page::LIMIT_DEFAULT);
    if !(1..=page::LIMIT_MAX).contains(&limit) {
        return Err(invalid(
            format!("`limit` is {limit}"),
            format!("ask for 1 to {} items", page::LIMIT_MAX),
        ));
    }
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn service(name: &str) -> Result<haus_model::ServiceName, Refusal> {
    let told =
        |error| invalid(format!("`{}` can be no service: {error}", shown(name)), "name one".to_owned());
    name.parse().map_err(told)
}

fn time(what: &str, text: &str) -> Result<Timestamp, Refusal> {
    let read: Result<jiff::Timestamp, jiff::Error> = text.parse();
    read.map(|at| Timestamp(at.as_millisecond())).map_err(|_| {
        let hint = "write it as RFC 3339 does: 2026-03-01T12:00:00Z".to_owned();
        invalid(format!("`{what}` is no time: {}", shown(text)), hint)
    })
}

fn invalid(detail: String, hint: String) -> Refusal {
    Problem::new(ProblemCode::Invalid, detail).with_hint(hint).into()
}

/// How many are healthy, degraded, offline, unknown.
fn counts(services: &[Known]) -> [usize; 4] {
    let states = [HealthState::Healthy, HealthState::Degraded, HealthState::Offline, HealthState::Unknown];
    states.map(|state| services.iter().filter(|known| known.standing.health == state).count())
}

/// The house is as well as its worst service.
fn whole(services: &[Known]) -> HealthState {
    let [_, degraded, offline, unknown] = counts(services);
    if offline > 0 {
        HealthState::Offline
    } else if degraded + unknown > 0 {
        HealthState::Degraded
    } else {
        HealthState::Healthy
    }
}

#[cfg(test)]
mod tests;
