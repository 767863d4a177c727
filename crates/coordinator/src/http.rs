//! The HTTP side: the read-only API for everybody on this machine, the control API for the
//! house's own account and root.
//!
//! Threat: any process of the machine can reach the gateway and the read-only API; it learns
//! names, addresses and states, never values, and changes nothing. The control socket checks
//! the peer's user id by the kernel's word (SO_PEERCRED), not by file modes alone.

use crate::answer;
use crate::engine::{Ask, Input};
use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use haus_api::control::{self, Event, Events, RestartRequest};
use haus_api::status::HouseStatus;
use haus_api::{Problem, ProblemCode};
use haus_model::{InstanceId, ServiceName, Timestamp};
use haus_store::{EventQuery, Store};
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Events in one answer.
const EVENTS_MAX: usize = 10_000;

/// The longest that a reader of events may wait for something new.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Context {
    /// To the engine.
    pub inputs: mpsc::UnboundedSender<Input>,
    /// For reading events.
    pub store: Arc<dyn Store>,
    /// Number of the last kept event.
    pub kept: watch::Receiver<u64>,
    /// Whose turn it is in `/api/discover`.
    pub turns: Arc<AtomicU64>,
}

/// The read-only API.
pub(crate) fn public(context: Context) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/api/health", get(health))
        .route("/api/services", get(services))
        .route("/api/discover", get(discover))
        .route("/api/health/services", get(services_health))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(context)
}

/// The control API of the command line.
pub(crate) fn control(context: Context) -> Router {
    Router::new()
        .route(control::STATUS, get(status))
        .route(control::EVENTS, get(events))
        .route(control::RESTART, post(restart))
        .route(control::RELOAD, post(reload))
        .route(control::DOWN, post(down))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(context)
}

/// A problem as an answer.
pub(crate) fn refuse(problem: Problem) -> Response {
    Refusal(problem).into_response()
}

struct Refusal(Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, haus_api::problem::MEDIA_TYPE)], Json(self.0)).into_response()
    }
}

type Answer<T> = Result<Json<T>, Refusal>;

async fn unknown(uri: Uri) -> Refusal {
    let detail = format!("there is nothing at {}", uri.path());
    let hint =
        "the read-only API has /health, /api/services, /api/discover?service=NAME, /api/health/services";
    Problem::new(ProblemCode::NotFound, detail).with_hint(hint).into()
}

async fn wrong_method(method: axum::http::Method, uri: Uri) -> Refusal {
    Problem::new(ProblemCode::MethodNotAllowed, format!("{method} is not offered at {}", uri.path())).into()
}

async fn ask<T>(context: &Context, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    let gone = || Problem::new(ProblemCode::Internal, "the house is ending and answers nothing any more");
    context.inputs.send(Input::Ask(make(reply))).map_err(|_| gone())?;
    Ok(answer.await.map_err(|_| gone())?)
}

async fn house(context: &Context) -> Result<HouseStatus, Refusal> {
    ask(context, Ask::Status).await
}

async fn health(State(context): State<Context>) -> Answer<haus_api::registry::Health> {
    Ok(Json(answer::health(&house(&context).await?)))
}

async fn services(State(context): State<Context>) -> Answer<haus_api::registry::Services> {
    Ok(Json(answer::services(&house(&context).await?)))
}

async fn services_health(State(context): State<Context>) -> Answer<haus_api::registry::ServicesHealth> {
    Ok(Json(answer::services_health(&house(&context).await?)))
}

#[derive(Deserialize)]
struct DiscoverQuery {
    service: Option<String>,
    service_name: Option<String>,
}

async fn discover(
    State(context): State<Context>,
    query: Result<Query<DiscoverQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<haus_api::registry::Discovery> {
    let Query(query) = query.map_err(|error| bad(&error.body_text()))?;
    let wanted = query.service.or(query.service_name);
    let wanted = wanted.ok_or_else(|| bad("the query names no service: ?service=NAME"))?;
    let name: ServiceName = wanted.parse().map_err(|error| bad(&format!("`{wanted}`: {error}")))?;
    let turn = context.turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Ok(Json(answer::discover(&house(&context).await?, &name, turn)?))
}

fn bad(detail: &str) -> Refusal {
    Problem::new(ProblemCode::BadRequest, detail).into()
}

async fn status(State(context): State<Context>) -> Answer<HouseStatus> {
    Ok(Json(house(&context).await?))
}

#[derive(Deserialize)]
struct EventsParameters {
    subject: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
    wait_ms: Option<u64>,
}

async fn events(
    State(context): State<Context>,
    query: Result<Query<EventsParameters>, axum::extract::rejection::QueryRejection>,
) -> Answer<Events> {
    let Query(parameters) = query.map_err(|error| bad(&error.body_text()))?;
    let wait = Duration::from_millis(parameters.wait_ms.unwrap_or(0)).min(WAIT_MAX);
    let deadline = tokio::time::Instant::now() + wait;
    let mut kept = context.kept.clone();
    loop {
        kept.mark_unchanged();
        let found = read_events(&context, &parameters).await?;
        if !found.events.is_empty() || wait.is_zero() {
            return Ok(Json(found));
        }
        // Either something new was kept, or the patience is over.
        match tokio::time::timeout_at(deadline, kept.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Ok(Json(found)),
        }
    }
}

async fn read_events(context: &Context, parameters: &EventsParameters) -> Result<Events, Refusal> {
    let subject = parameters.subject.clone();
    let instance: Option<InstanceId> = subject.as_ref().and_then(|subject| subject.parse().ok());
    let service = match (&instance, &subject) {
        (Some(id), _) => Some(id.service.clone()),
        (None, Some(subject)) => {
            Some(subject.parse().map_err(|error| bad(&format!("`{subject}`: {error}")))?)
        }
        (None, None) => None,
    };
    let query = EventQuery {
        after_seq: parameters.after,
        service,
        limit: parameters.limit.unwrap_or(100).min(EVENTS_MAX),
        newest_first: parameters.after.is_none(),
        ..EventQuery::default()
    };
    let store = Arc::clone(&context.store);
    let read = tokio::task::spawn_blocking(move || store.events(&query)).await;
    let internal =
        |error: String| Problem::new(ProblemCode::Internal, format!("cannot read events: {error}"));
    let mut found =
        read.map_err(|error| internal(error.to_string()))?.map_err(|error| internal(crate::chain(&error)))?;
    found.sort_by_key(|event| event.seq);
    let last_seq = found.last().map(|event| event.seq).or(parameters.after).unwrap_or(0);
    let wanted = |event: &haus_store::Event| {
        instance
            .as_ref()
            .is_none_or(|id| event.subject == id.to_string() || event.subject == id.service.as_str())
    };
    let events = found.into_iter().filter(wanted).map(event).collect();
    Ok(Events { events, last_seq })
}

fn event(event: haus_store::Event) -> Event {
    Event {
        seq: event.seq,
        at: Timestamp(event.at.0),
        kind: event.kind.as_str().to_owned(),
        subject: event.subject,
        from: event.from,
        to: event.to,
        why: event.why,
    }
}

async fn restart(
    State(context): State<Context>,
    body: Result<Json<RestartRequest>, axum::extract::rejection::JsonRejection>,
) -> Answer<control::Done> {
    let Json(request) = body.map_err(|error| bad(&error.body_text()))?;
    Ok(Json(ask(&context, |reply| Ask::Restart(request, reply)).await??))
}

async fn reload(State(context): State<Context>) -> Answer<control::Reloaded> {
    Ok(Json(ask(&context, Ask::Reload).await??))
}

async fn down(State(context): State<Context>) -> Answer<control::Done> {
    Ok(Json(ask(&context, Ask::Down).await?))
}
