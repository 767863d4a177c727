//! The control API of the command line, for the house's own account and root.
//!
//! Threat: whoever speaks here can stop the house. The socket checks the peer's user id by the kernel's word
//! (SO_PEERCRED), not by file modes alone.

use crate::api::input::{JsonBody, Query};
use crate::api::{Answer, Caller, Refusal, Who, ask, bad, house};
use crate::desk::Desk;
use crate::engine::Ask;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use haus_api::control::{self, Event, Events, RestartRequest};
use haus_api::status::HouseStatus;
use haus_api::{Problem, ProblemCode};
use haus_model::resource::SecretVersion;
use haus_model::{InstanceId, Timestamp};
use haus_store::{Batch, EventQuery};
use haus_trail::{Action, Outcome};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Events in one answer.
const EVENTS_MAX: usize = 10_000;

/// The longest that a reader of events may wait for something new.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The control API of the command line; everything else that the control socket answers is the API itself.
pub(crate) fn control() -> Router<Arc<Desk>> {
    Router::new()
        .route(control::STATUS, get(status))
        .route(control::EVENTS, get(events))
        .route(control::RESTART, post(restart))
        .route(control::RELOAD, post(reload))
        .route(control::DOWN, post(down))
        .route(control::DEPLOYABLE, get(deployable))
        .route(control::DEPLOY_VALUE, post(deploy_value))
}

async fn status(State(desk): State<Arc<Desk>>) -> Answer<HouseStatus> {
    Ok(Json(HouseStatus::clone(&*house(&desk).await?)))
}

#[derive(Deserialize)]
struct EventsParameters {
    subject: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
    wait_ms: Option<u64>,
}

async fn events(State(desk): State<Arc<Desk>>, Query(parameters): Query<EventsParameters>) -> Answer<Events> {
    let wait = Duration::from_millis(parameters.wait_ms.unwrap_or(0)).min(WAIT_MAX);
    let deadline = tokio::time::Instant::now() + wait;
    let mut kept = desk.kept.clone();
    loop {
        kept.mark_unchanged();
        let found = read_events(&desk, &parameters).await?;
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

async fn read_events(desk: &Desk, parameters: &EventsParameters) -> Result<Events, Refusal> {
    let subject = parameters.subject.clone();
    let instance: Option<InstanceId> = subject.as_ref().and_then(|subject| subject.parse().ok());
    let service = match (&instance, &subject) {
        (Some(id), _) => Some(id.service.clone()),
        (None, Some(subject)) => Some(subject.parse().map_err(|error| bad(format!("`{subject}`: {error}")))?),
        (None, None) => None,
    };
    let query = EventQuery {
        after_seq: parameters.after,
        service,
        limit: parameters.limit.unwrap_or(100).min(EVENTS_MAX),
        newest_first: parameters.after.is_none(),
        ..EventQuery::default()
    };
    let store = Arc::clone(&desk.store);
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
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    JsonBody(request): JsonBody<RestartRequest>,
) -> Answer<control::Done> {
    let subject = format!("service:{}", request.target);
    let done = ask(&desk, |reply| Ask::Restart(request, reply)).await?;
    on_record(&desk, &caller, "restart", &subject, done.as_ref().err()).await;
    Ok(Json(done?))
}

async fn reload(State(desk): State<Arc<Desk>>, caller: Caller) -> Answer<control::Reloaded> {
    let done = ask(&desk, Ask::Reload).await?;
    on_record(&desk, &caller, "reload", "house", done.as_ref().err()).await;
    Ok(Json(done?))
}

async fn down(State(desk): State<Arc<Desk>>, caller: Caller) -> Answer<control::Done> {
    // Before the act: afterwards nobody may be there to write it.
    on_record(&desk, &caller, "down", "house", None).await;
    Ok(Json(ask(&desk, Ask::Down).await?))
}

async fn deployable(State(desk): State<Arc<Desk>>, caller: Caller) -> Answer<control::Deployable> {
    own_account(&caller)?;
    let plan = desk.plan.load_full();
    Ok(Json(desk.vaulting.deployable(&desk.bench(), &plan.house, &plan.root).await?))
}

/// The one answer with a value for an administrator: what `haus apply` brings to a host.
///
/// Threat: a token of an administrator that was stolen must not be worth every password. Tokens get nothing
/// here; the peer is the house's own account or root on this machine, who could open the key ring anyway.
async fn deploy_value(
    State(desk): State<Arc<Desk>>,
    caller: Caller,
    JsonBody(wanted): JsonBody<SecretVersion>,
) -> Answer<control::DeployValue> {
    own_account(&caller)?;
    let value = desk.vaulting.value_for_host(&desk.bench(), &caller, &desk.house(), &wanted).await?;
    Ok(Json(control::DeployValue { value }))
}

fn own_account(caller: &Caller) -> Result<(), Problem> {
    match caller.who {
        Who::Account { .. } => Ok(()),
        Who::Anonymous | Who::Token(_) | Who::House => Err(Problem::new(
            ProblemCode::Forbidden,
            "values for hosts are given to the house's own account and root alone, not for a token",
        )
        .with_hint("run `haus apply` on this machine without a token")),
    }
}

/// Writes down what an administrator did. The act does not depend on it: nothing secret is read, and a house
/// that cannot be stopped or mended because its disk is full would be worse than a missing entry.
async fn on_record(desk: &Desk, caller: &Caller, act: &str, subject: &str, failed: Option<&Problem>) {
    let outcome = if failed.is_some() { Outcome::Failed } else { Outcome::Allowed };
    let entry = desk.registrar.entry(caller, Action::Admin, subject, outcome).detail("act", act);
    let entry = match failed {
        Some(problem) => entry.because(problem.detail.clone()),
        None => entry,
    };
    if let Err(problem) = desk.registrar.commit(Batch::entry(entry)).await {
        desk.note(&format!("{act} by {} is not in the audit trail: {}", caller.actor(), problem.detail));
    }
}
