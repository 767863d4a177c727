//! `/api/gateway/proxy`: one service calls another, as an envelope or straight through.
//!
//! Threat: a caller who reaches what its scope does not name, or with our name. So the scope names the
//! service, the gateway calls only instances that it knows, takes off `Authorization`, `Host` and every claim
//! about the way, and follows no redirect. A call is a line in the API's log; a refused one is an entry in
//! the trail.

mod bodies;
mod envelope;
mod passthrough;

use super::Caller;
use super::refusal::Refusal;
use crate::api_log::Passed;
use crate::desk::Desk;
use axum::http::{Request, Response};
use axum::routing::any;
use haus_api::{Problem, ProblemCode};
use haus_gateway::{CallBody, CallOptions, CallProblem, Called, RequestBody};
use haus_model::{Scope, ServiceName};
use haus_trail::Action;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(envelope::envelope))
        .routes(routes!(passthrough::root))
        .routes(routes!(passthrough::below))
        // "The rest of the path" is never nothing, so the bare slash needs a route of its own.
        .route("/api/gateway/proxy/{service}/", any(passthrough::root))
}

/// Lets a caller through to a service, or not.
///
/// # Errors
/// 401 for a stranger, 403 with an entry for a token without the scope.
async fn allow(desk: &Desk, caller: &Caller, service: &ServiceName) -> Result<(), Problem> {
    let scope = Scope::GatewayCall(Some(service.clone()));
    desk.guard.require(desk, caller, &scope, Action::GatewayCall, &format!("service:{service}")).await
}

/// What became of a call, for the log, whatever becomes of the answer.
struct Outcome {
    passed: Passed,
    instance: Option<String>,
    attempts: u32,
    answer: Result<Response<CallBody>, Problem>,
}

/// Calls a service.
async fn call(
    desk: &Desk,
    caller: &Caller,
    service: &ServiceName,
    request: Request<RequestBody>,
    timeout: Duration,
) -> Outcome {
    let options = CallOptions {
        timeout,
        caller: caller.actor(),
        peer: caller.address.as_deref().and_then(|address| address.parse().ok()),
        request_id: Some(caller.request_id.clone()),
    };
    let called = desk.gateway.call(service, request, options).await;
    let upstream_status = called.upstream_status().map(|status| status.as_u16());
    let Called { service, instance, breaker, attempts, request_id: _, took: _, why, outcome } = called;
    let answer = outcome.map_err(|problem| refused(&problem));
    let bytes_out =
        answer.as_ref().ok().and_then(|answer| axum::body::HttpBody::size_hint(answer.body()).exact());
    let passed = Passed {
        service: service.to_string(),
        instance: instance.clone(),
        upstream_status,
        attempts,
        breaker,
        bytes_out,
        why,
    };
    Outcome { passed, instance, attempts, answer }
}

/// The gateway's own refusal in the words of the API.
fn refused(problem: &CallProblem) -> Problem {
    let (code, hint) = match problem.status.as_u16() {
        404 => (
            ProblemCode::NotFound,
            "GET /api/services lists the services; one without ports cannot be called",
        ),
        408 => (ProblemCode::RequestTimeout, "send the body faster, or a smaller one"),
        413 | 414 | 431 => (ProblemCode::TooLarge, "send less, or use a route of the service for more"),
        502 => (ProblemCode::BadGateway, "see `haus status` and the service's log"),
        503 => (ProblemCode::Unavailable, "see `haus status` for why no instance can be used"),
        504 => (ProblemCode::GatewayTimeout, "allow more time, or see why the service is slow"),
        400 | 501 => (ProblemCode::BadRequest, "send a plain HTTP request with a normal path"),
        _ => (ProblemCode::Internal, "see the log of the gateway"),
    };
    let told = Problem::new(code, problem.detail.clone()).with_hint(hint);
    match problem.retry_after {
        Some(wait) => told.with_retry_after(wait.as_secs().max(1)),
        None if code == ProblemCode::Unavailable => told.with_retry_after(1),
        None => told,
    }
}

/// The refusal with what the log wants to know.
fn with_passed(problem: Problem, passed: Passed) -> axum::response::Response {
    use axum::response::IntoResponse;
    let mut response = Refusal::from(problem).into_response();
    response.extensions_mut().insert(passed);
    response
}

#[cfg(test)]
mod tests;
