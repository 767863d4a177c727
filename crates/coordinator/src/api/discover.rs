//! `/api/discover`: one instance to use now, and all others.
//!
//! Turns are counted for each service by itself, so that two instances differ by at most one whoever else is
//! asked for.

use super::input::{Query, shown};
use super::{Answer, Caller, DeskState, roll};
use crate::answer;
use crate::desk::Desk;
use crate::directory::Row;
use axum::Json;
use axum::extract::State;
use haus_api::instance::DiscoverQuery;
use haus_api::registry::Discovery;
use haus_api::{Problem, ProblemCode};
use haus_model::ServiceName;
use haus_model::health::HealthState;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How requests are spread, in words for whoever does it without us.
const HINT: &str = "round-robin by weight over healthy endpoints, then degraded ones";

/// Instances in one answer; the turns go round all of them.
const ENDPOINTS_MAX: usize = 100;

/// Instances that are named when none can be used.
const NAMED_MAX: usize = 3;

/// Seconds after which asking again may help.
const RETRY_AFTER_S: u64 = 5;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(discover))
}

/// One instance to use, whose turn it is, and all that can be used.
#[utoipa::path(get, path = "/api/discover", tag = "registry", operation_id = "discover", params(DiscoverQuery),
    responses((status = 200, description = "where it is", body = Discovery),
        (status = 404, description = "there is no such service", body = Problem),
        (status = 503, description = "none of its instances can be used, with the reason of each; Retry-After", body = Problem)))]
async fn discover(
    State(desk): DeskState,
    caller: Caller,
    Query(query): Query<DiscoverQuery>,
) -> Answer<Discovery> {
    let name = wanted(query)?;
    desk.guard.look(&desk, &caller)?;
    let (revision, known) = roll::find(&desk, &name)?;
    let usable = usable(&known.rows);
    let best = usable.first().map(|row| row.entry().state);
    // Only those of the best state take turns; the others stand by.
    let (first, rest) =
        usable.split_at(usable.iter().take_while(|row| Some(row.entry().state) == best).count());
    let weights: Vec<u32> = first.iter().map(|row| row.entry().weight).collect();
    let turn = if first.is_empty() { None } else { answer::turn_of(desk.directory.turn(&name), &weights) };
    let Some(turn) = turn else { return Err(nobody(&known).into()) };
    let chosen = first[turn];
    let endpoints = first[turn..].iter().chain(&first[..turn]).chain(rest).take(ENDPOINTS_MAX);
    Ok(Json(Discovery {
        address: chosen.entry().address.clone(),
        port: port(chosen),
        health: chosen.entry().state,
        load: load(&desk, &known.rows, chosen),
        balancing: HINT.to_owned(),
        endpoints: endpoints.map(|row| answer::row(row, desk.clock)).collect(),
        revision,
        name,
    }))
}

/// Nobody of the service can be used: who is there, and why not.
fn nobody(known: &roll::Known) -> Problem {
    let told = known.rows.iter().take(NAMED_MAX).map(|row| {
        let entry = row.entry();
        format!("{} is {}: {}", row.frame.name(), entry.state, entry.why)
    });
    let mut told: Vec<String> = told.collect();
    if known.rows.len() > NAMED_MAX {
        told.push(format!("{} more", known.rows.len() - NAMED_MAX));
    }
    let why = if told.is_empty() { known.standing.why.clone() } else { told.join("; ") };
    Problem::new(ProblemCode::Unavailable, format!("{} cannot be reached: {why}", known.name))
        .with_hint(format!("ask again, or wait for it: GET /api/watch?service={}", known.name))
        .with_retry_after(RETRY_AFTER_S)
}

fn wanted(query: DiscoverQuery) -> Result<ServiceName, Problem> {
    let wanted = match (query.service, query.service_name) {
        (Some(one), Some(other)) if one != other => {
            return Err(Problem::new(ProblemCode::Invalid, "`service` and `service_name` name two services")
                .with_hint("name one: ?service=NAME"));
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => {
            return Err(Problem::new(ProblemCode::Invalid, "the query names no service")
                .with_hint("name one: ?service=NAME"));
        }
    };
    wanted.parse().map_err(|error| {
        Problem::new(ProblemCode::NotFound, format!("there is no service `{}`: {error}", shown(&wanted)))
            .with_hint("GET /api/services lists them")
    })
}

/// Those that can be used, the healthy ones first; those that an earlier core knew come last.
fn usable(rows: &[Row]) -> Vec<&Row> {
    let of = |wanted| rows.iter().filter(move |row| row.entry().state == wanted);
    let recalled = rows.iter().filter(|row| row.is_recalled());
    of(HealthState::Healthy).chain(of(HealthState::Degraded)).chain(recalled).collect()
}

fn port(row: &Row) -> Option<u16> {
    let entry = row.entry();
    entry.main_port.as_ref().and_then(|name| entry.ports.get(name)).copied()
}

/// How busy an instance is: what it said, else its part of the requests that the gateway has under way at the
/// service.
fn load(desk: &Desk, rows: &[Row], chosen: &Row) -> f64 {
    if let Some(said) = chosen.note.load {
        return said.clamp(0.0, 1.0);
    }
    if rows.len() < 2 {
        return 0.0;
    }
    let in_flight = desk.directory.in_flight(&desk.gateway);
    let count = |row: &Row| in_flight.get(row.frame.name()).copied().unwrap_or(0);
    match rows.iter().map(count).sum::<u64>() {
        0 => 0.0,
        all => count(chosen) as f64 / all as f64,
    }
}
