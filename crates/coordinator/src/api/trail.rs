//! `/api/trail`: reading the audit trail, its end, and all of it as JSON lines.
//!
//! Threat: the trail tells who did what, so it is for those who may read everything; an export that ends
//! early must not look whole, so it goes up to a head that is fixed before the first line and ends with the
//! entry of itself; and who asks for one and does not read it must not hold anything that others need: it is
//! read step by step, as it is taken.

use super::input::Query;
use super::{Answer, Caller, DeskState, Refusal};
use crate::desk::Desk;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use haus_api::trail::{Trail, TrailEntry, TrailHead, TrailQuery};
use haus_api::{Problem, ProblemCode};
use haus_model::Scope;
use haus_store::{Batch, TrailQuery as StoreQuery};
use haus_trail::{Action, Entry, Head, Outcome};
use hyper::body::{Body as HttpBody, Bytes, Frame};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Entries of one answer at most, and when nothing is said.
const LIMIT_MAX: u64 = 1_000;
const LIMIT_DEFAULT: u64 = 50;

/// Entries that are read at once for an export, and pieces that wait for a slow reader.
const EXPORT_STEP: usize = 500;
const EXPORT_WAITING: usize = 2;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(trail)).routes(routes!(export)).routes(routes!(head))
}

/// Entries of the audit trail.
#[utoipa::path(get, path = "/api/trail", tag = "trail", operation_id = "readTrail", params(TrailQuery),
    responses((status = 200, description = "entries and the end of the chain", body = Trail),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope read is needed", body = Problem),
        (status = 422, description = "a value in it is not allowed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the ledger cannot be read", body = Problem)))]
async fn trail(State(desk): DeskState, caller: Caller, Query(query): Query<TrailQuery>) -> Answer<Trail> {
    desk.guard.require(&desk, &caller, &Scope::Read, Action::Admin, "trail").await?;
    let query = asked(query)?;
    let read = desk.registrar.read(move |ledger| Ok((ledger.trail(&query)?, ledger.trail_head()?)));
    let (entries, head) = read.await?;
    Ok(Json(Trail { entries: entries.iter().map(shown).collect(), head: end(&head) }))
}

/// The end of the audit trail: the number and the hash of its last entry.
#[utoipa::path(get, path = "/api/trail/head", tag = "trail", operation_id = "trailHead",
    responses((status = 200, description = "the end of the chain", body = TrailHead),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope read is needed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the ledger cannot be read", body = Problem)))]
async fn head(State(desk): DeskState, caller: Caller) -> Answer<TrailHead> {
    desk.guard.require(&desk, &caller, &Scope::Read, Action::Admin, "trail").await?;
    let head = desk.registrar.read(|ledger| ledger.trail_head()).await?;
    Ok(Json(end(&head)))
}

/// The whole audit trail as JSON lines, in the form that `haus trail verify` reads; its last line is the
/// entry of this export.
#[utoipa::path(get, path = "/api/trail/export", tag = "trail", operation_id = "exportTrail",
    responses((status = 200, description = "one entry per line", body = String, content_type = "application/jsonl",
            headers(("X-Trail-Head" = String, description = "number and hash of the last line"))),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope read is needed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the trail cannot be read or written", body = Problem)))]
async fn export(State(desk): DeskState, caller: Caller) -> Result<Response, Refusal> {
    desk.guard.require(&desk, &caller, &Scope::Read, Action::TrailExport, "trail").await?;
    let entry = desk.registrar.entry(&caller, Action::TrailExport, "trail", Outcome::Allowed);
    let committed = desk.registrar.commit(Batch::entry(entry)).await?;
    let Some(head) = committed.head else {
        return Err(
            Problem::new(ProblemCode::Internal, "the entry of the export has no place in the trail").into()
        );
    };
    let first = desk.registrar.read(|ledger| ledger.trail_start()).await?;
    let (sender, lines) = mpsc::channel(EXPORT_WAITING);
    let told = Arc::clone(&desk);
    tokio::spawn(async move {
        if let Err(problem) = send_lines(&told, first.seq, head, &sender).await {
            told.note(&format!("an export of the trail broke off: {}", problem.detail));
            // The reader gets an error in the place of the rest: it must not take the part for the whole.
            let _ = sender.send(Err(std::io::Error::other("the trail cannot be read"))).await;
        }
    });
    let mut response = Body::new(Lines(lines)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&format!("{} {}", head.seq, head.hash)) {
        headers.insert("x-trail-head", value);
    }
    Ok(response)
}

/// Pieces of lines as a body.
struct Lines(mpsc::Receiver<Result<Bytes, std::io::Error>>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Reads up to the head; ends early without an error when nobody listens any more. No thread is held while
/// the reader takes its time.
async fn send_lines(
    desk: &Desk,
    mut after: u64,
    head: Head,
    sender: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) -> Result<(), Problem> {
    while after < head.seq {
        let query = StoreQuery {
            after: Some(after),
            before: Some(head.seq.saturating_add(1)),
            limit: EXPORT_STEP,
            ..StoreQuery::default()
        };
        let entries = desk.registrar.read(move |ledger| ledger.trail(&query)).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        after = last.seq;
        let piece: String = entries.iter().map(|entry| entry.to_line() + "\n").collect();
        if sender.send(Ok(Bytes::from(piece))).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn asked(query: TrailQuery) -> Result<StoreQuery, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("limit must be 1 to {LIMIT_MAX}, it is {limit}");
        return Err(Problem::new(ProblemCode::Invalid, detail));
    }
    let action = query.action.map(|action| action.parse()).transpose();
    let action = action
        .map_err(|error: haus_trail::UnknownAction| Problem::new(ProblemCode::Invalid, error.to_string()))?;
    Ok(StoreQuery {
        newest_first: query.after.is_none(),
        after: query.after,
        before: query.before,
        subject: query.subject,
        actor: query.actor,
        action,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    })
}

/// An entry as it is answered.
pub(super) fn shown(entry: &Entry) -> TrailEntry {
    let told = &entry.entry;
    let (kind, id) = told.subject.split_once(':').unwrap_or((&told.subject, ""));
    TrailEntry {
        seq: entry.seq,
        timestamp: told.at.to_string(),
        actor: told.actor.clone(),
        action: told.action.as_str().to_owned(),
        entity_type: kind.to_owned(),
        entity_id: id.to_owned(),
        outcome: told.outcome.as_str().to_owned(),
        request_id: told.request_id.clone(),
        ip_address: told.address.clone(),
        why: told.why.clone(),
        changes: told.details.clone(),
        prev_hash: entry.prev.to_string(),
        hash: entry.hash.to_string(),
    }
}

fn end(head: &Head) -> TrailHead {
    TrailHead { seq: head.seq, hash: head.hash.to_string() }
}
