//! `/api/services`: registering, reporting, leaving, and who is there.

use super::input::{JsonBody, Path, Query};
use super::{Answer, Caller, Confidential, DeskState, Refusal, confidential, roll};
use crate::announcing;
use crate::desk::Desk;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use haus_api::health::ServiceCheck;
use haus_api::instance::{
    Heartbeat, HeartbeatQuery, HeartbeatSeen, InstanceQuery, InstanceUpdate, Register, Registered,
    Registration, ServiceDetail, ServiceQuery, ServicesQuery,
};
use haus_api::registry::{Instance, Services};
use haus_api::{Problem, ProblemCode};
use haus_model::ServiceName;
use paging::Page;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(register_alias))
        .routes(routes!(list))
        .routes(routes!(detail, update, deregister))
        .routes(routes!(check))
        .routes(routes!(heartbeat))
}

/// Instances on a page of the list when nothing is said.
const LISTED_DEFAULT: usize = 500;

/// Instances on a page of one service, with their words.
const DETAILED_DEFAULT: usize = 100;

type Entered = Result<(StatusCode, (Extension<Confidential>, Json<Registered>)), Refusal>;

/// Enters an instance of a service. The answer holds the service's credentials, its configuration from the
/// plan, and how often to report. Registering again with the same `instance` replaces what was said before.
#[utoipa::path(post, path = "/api/services/register", tag = "registry", operation_id = "registerService",
    security(("bearer" = ["registry:write:{name}"])),
    request_body = Register,
    responses((status = 201, description = "it is registered, on disk", body = Registered),
        (status = 409, description = "its address belongs to somebody else", body = Problem),
        (status = 410, description = "one of its credentials has expired", body = Problem)))]
async fn register(State(desk): DeskState, caller: Caller, JsonBody(request): JsonBody<Register>) -> Entered {
    let registered = announcing::register(&desk, &caller, request).await?;
    Ok((StatusCode::CREATED, confidential(registered)))
}

/// The same under the short path of the zimmer document.
#[utoipa::path(post, path = "/api/register", tag = "registry", operation_id = "register",
    security(("bearer" = ["registry:write:{name}"])),
    request_body = Register,
    responses((status = 201, description = "it is registered, on disk", body = Registered),
        (status = 409, description = "its address belongs to somebody else", body = Problem),
        (status = 410, description = "one of its credentials has expired", body = Problem)))]
async fn register_alias(state: DeskState, caller: Caller, body: JsonBody<Register>) -> Entered {
    register(state, caller, body).await
}

/// Every service with its instances, in pages; what an instance says of itself stands in the service alone.
#[utoipa::path(get, path = "/api/services", tag = "registry", operation_id = "listServices", params(ServicesQuery),
    responses((status = 200, description = "services by name", body = Services),
        (status = 422, description = "there is no such state or page", body = Problem)))]
async fn list(
    State(desk): DeskState,
    caller: Caller,
    Query(query): Query<ServicesQuery>,
) -> Answer<Services> {
    desk.guard.look(&desk, &caller)?;
    let states = ["healthy", "degraded", "offline", "unknown"];
    if let Some(wanted) = query.status_filter.as_deref().filter(|wanted| !states.contains(wanted)) {
        let wanted = super::input::shown(wanted);
        return Err(Problem::new(ProblemCode::Invalid, format!("`{wanted}` is no state of a service"))
            .with_hint(format!("use one of {}", states.join(", ")))
            .into());
    }
    let roll = roll::call(&desk);
    let is_wanted = |known: &&roll::Known| {
        query.status_filter.as_deref().is_none_or(|wanted| wanted == known.standing.health.as_str())
    };
    let page = Page::new(query.limit, query.after.as_deref(), LISTED_DEFAULT)?;
    let (services, next) = page.of_all(roll.services.iter().filter(is_wanted), desk.clock);
    Ok(Json(Services { revision: roll.revision, services, next }))
}

/// One service: its instances, what they said, its requests through the gateway.
#[utoipa::path(get, path = "/api/services/{name}", tag = "registry", operation_id = "getService",
    params(("name" = String, Path, description = "the service"), ServiceQuery),
    responses((status = 200, description = "the service", body = ServiceDetail),
        (status = 422, description = "there is no such page", body = Problem),
        (status = 404, description = "there is no such service", body = Problem)))]
async fn detail(
    State(desk): DeskState,
    caller: Caller,
    Path(name): Path<ServiceName>,
    Query(query): Query<ServiceQuery>,
) -> Answer<ServiceDetail> {
    desk.guard.look(&desk, &caller)?;
    let (_, known) = roll::find(&desk, &name)?;
    let (rows, next) = Page::new(query.limit, query.after.as_deref(), DETAILED_DEFAULT)?.of_one(&known);
    let members = rows.iter().filter_map(|row| {
        let instance = row.entry().name.clone()?;
        Some((desk.directory.member(&name, &instance)?, instance))
    });
    let registrations = members.map(|(member, instance)| Registration {
        instance,
        registered_at: member.registered_at.to_string(),
        updated_at: member.updated_at.to_string(),
        description: member.said.description,
        environment: member.said.environment,
        dependencies: member.said.dependencies,
        health_check: member.said.health,
    });
    let counted = desk.gateway.stats().services.get(name.as_str()).copied().unwrap_or_default();
    let beat_at = known.last_beat();
    let finished = counted.latency.count();
    Ok(Json(ServiceDetail {
        registrations: registrations.collect(),
        service: known.listed(rows.iter().map(|row| crate::answer::row(row, desk.clock)).collect()),
        next,
        last_heartbeat: beat_at.map(|at| desk.clock.wall_of(at).to_string()),
        time_since_heartbeat_seconds: beat_at.map(|at| desk.clock.now().since(at).as_secs_f64()),
        heartbeat_count: known.rows.iter().map(|row| row.note.beats).sum(),
        request_count: counted.requests,
        error_count: counted.failures,
        error_rate: share(counted.failures as f64, counted.requests),
        avg_response_time_ms: share(counted.latency.sum().as_secs_f64() * 1_000.0, finished),
    }))
}

/// A part of nothing is nothing.
fn share(part: f64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part / of as f64 }
}

/// The health of one service and of each of its instances.
#[utoipa::path(get, path = "/api/services/{name}/health", tag = "registry", operation_id = "getServiceHealth",
    params(("name" = String, Path, description = "the service")),
    responses((status = 200, description = "its health", body = ServiceCheck),
        (status = 404, description = "there is no such service", body = Problem)))]
async fn check(
    State(desk): DeskState,
    caller: Caller,
    Path(name): Path<ServiceName>,
) -> Answer<ServiceCheck> {
    desk.guard.look(&desk, &caller)?;
    let (_, known) = roll::find(&desk, &name)?;
    Ok(Json(known.check(desk.clock)))
}

/// A sign of life. Without one for two intervals an instance is degraded, for three it is offline, and a day
/// later it is forgotten.
#[utoipa::path(post, path = "/api/services/{name}/heartbeat", tag = "registry", operation_id = "heartbeat",
    security(("bearer" = ["registry:write:{name}"])),
    params(("name" = String, Path, description = "the service"), HeartbeatQuery),
    request_body = Option<Heartbeat>,
    responses((status = 200, description = "it was heard", body = HeartbeatSeen),
        (status = 404, description = "it is not registered: register again", body = Problem)))]
async fn heartbeat(
    State(desk): DeskState,
    caller: Caller,
    Path(name): Path<ServiceName>,
    Query(query): Query<HeartbeatQuery>,
    body: Option<JsonBody<Heartbeat>>,
) -> Answer<HeartbeatSeen> {
    let said = body.map(|JsonBody(said)| said).unwrap_or_default();
    let said = Heartbeat {
        instance: said.instance.or(query.instance),
        load: said.load,
        response_time_ms: said.response_time_ms.or(query.response_time_ms),
    };
    Ok(Json(announcing::heartbeat(&desk, &caller, &name, &said).await?))
}

/// Changes what an instance said when it registered.
#[utoipa::path(patch, path = "/api/services/{name}", tag = "registry", operation_id = "updateService",
    security(("bearer" = ["registry:write:{name}"])),
    params(("name" = String, Path, description = "the service")), request_body = InstanceUpdate,
    responses((status = 200, description = "the instance as it is now", body = Instance),
        (status = 404, description = "it is not registered", body = Problem),
        (status = 409, description = "the plan says so, or the address belongs to somebody else", body = Problem)))]
async fn update(
    State(desk): DeskState,
    caller: Caller,
    Path(name): Path<ServiceName>,
    JsonBody(request): JsonBody<InstanceUpdate>,
) -> Answer<Instance> {
    let id = announcing::update(&desk, &caller, &name, &request).await?;
    let row = desk.directory.row(&id).ok_or_else(|| {
        Problem::new(ProblemCode::NotFound, format!("{id} has left the registry meanwhile"))
            .with_hint("what it says is kept for when it comes back")
    })?;
    Ok(Json(crate::answer::row(&row, desk.clock)))
}

/// Takes an instance out of the registry. One that the house runs stays: what it said of itself is forgotten.
#[utoipa::path(delete, path = "/api/services/{name}", tag = "registry", operation_id = "deregisterService",
    security(("bearer" = ["registry:write:{name}"])),
    params(("name" = String, Path, description = "the service"), InstanceQuery),
    responses((status = 204, description = "it is gone"),
        (status = 404, description = "it is not registered", body = Problem)))]
async fn deregister(
    State(desk): DeskState,
    caller: Caller,
    Path(name): Path<ServiceName>,
    Query(query): Query<InstanceQuery>,
) -> Result<StatusCode, Refusal> {
    announcing::deregister(&desk, &caller, &name, query.instance.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

mod paging;
#[cfg(test)]
mod tests;
