//! `Idempotency-Key`: a POST that is sent again with the same key gets the first answer instead of being done
//! twice.
//!
//! Threat: an answer with a secret must not lie in the database to be asked for again, and what was asked
//! must not be guessed from it. Answers with a secret are not kept, only that there was one; the mark of a
//! request is keyed by the ring. That it was done is kept in the transaction of the act itself, and the
//! answer after it: when a core dies between both, the repetition is told that it was done, and does nothing.

use super::keeping::{Kept, Mark, Memory, Turn};
use crate::api::caller::{Caller, Who};
use crate::api::input::whole_bytes;
use crate::api::refusal::{Refusal, bad};
use crate::api::{BODY_BYTES_MAX, Confidential};
use crate::desk::Desk;
use crate::registrar::Claim;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use haus_api::{Problem, ProblemCode};
use haus_model::Timestamp;
use haus_store::{Batch, IdempotentAnswer, Ledger, StoreError, Write};
use std::time::Duration;

/// The header.
const KEY: &str = "idempotency-key";

/// Longest key.
const KEY_BYTES_MAX: usize = 255;

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The largest answer that is kept.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// What is passed on to a service with its key, which is that service's business.
const PASSED_ON: &str = "/api/gateway/proxy";

/// What may be done twice by its nature, and comes so often that nothing of it is to be kept.
const HEARTBEAT: &str = "/heartbeat";

/// Answers a repeated request from memory.
pub(super) async fn once<F: Future<Output = Response>>(
    desk: &Desk,
    memory: &Memory,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let path = request.uri().path();
    let is_meant =
        request.method() == Method::POST && !path.starts_with(PASSED_ON) && !path.ends_with(HEARTBEAT);
    let caller = request.extensions().get::<Caller>().filter(|caller| !matches!(caller.who, Who::Anonymous));
    // A stranger's key could be anybody's; the two things that strangers may POST work once by themselves.
    let (true, Some(caller)) = (is_meant, caller) else { return next(request).await };
    let actor = actor_of(caller);
    let key = match key_of(request.headers()) {
        Ok(Some(key)) => key,
        Ok(None) => return next(request).await,
        Err(problem) => return Refusal::from(problem).into_response(),
    };
    let turn = match memory.turn(actor, key, desk.clock.wall()) {
        Ok(turn) => turn,
        Err(problem) => return Refusal::from(problem).into_response(),
    };
    answer_once(desk, &turn, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

/// Whose key it is: two sessions of one name have nothing to do with each other.
fn actor_of(caller: &Caller) -> String {
    match &caller.who {
        Who::Token(claims) => format!("{} {}", claims.sub, claims.sid),
        Who::Anonymous | Who::Account { .. } | Who::House => caller.actor(),
    }
}

async fn answer_once<F: Future<Output = Response>>(
    desk: &Desk,
    turn: &Turn<'_>,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let body = whole_bytes(body, BODY_BYTES_MAX).await?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mark = Mark::of(&*desk.vaulting.keys().ring()?, &parts.method, target, &body);
    let now = desk.clock.wall();
    let (actor, key) = (turn.actor().to_owned(), turn.key().to_owned());
    let (key, found) = desk.registrar.read(move |ledger| find(ledger, &actor, &key, now)).await?;
    if let Some(kept) = found {
        return repeat(&kept, &mark).map_err(Refusal::from);
    }
    let until = now.after(KEPT_FOR);
    let caller = turn.actor().to_owned();
    let done = IdempotentAnswer { caller, key, request: mark.newest(), status: 0, body: Vec::new(), until };
    let request_id = parts.extensions.get::<Caller>().map_or("", |caller| &caller.request_id);
    let claim = Claim::new(request_id, done.clone());
    let response = claim.during(next(Request::from_parts(parts, Body::from(body)))).await;
    // What was refused has changed nothing and may be asked again with the same key.
    if !response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let (response, kept) = if response.extensions().get::<Confidential>().is_some() {
        (response, Some(Kept::secret()))
    } else {
        split(response).await?
    };
    let Some(kept) = kept else { return Ok(response) };
    let body = kept.to_bytes();
    turn.spend(until, body.len());
    let answer = IdempotentAnswer { status: status.as_u16(), body, ..done };
    let batch = Batch { writes: vec![Write::IdempotentPut(Box::new(answer))], entries: Vec::new() };
    if let Err(problem) = desk.registrar.commit(batch).await {
        // The act is done and on record, and so is that it was done; only its answer is not.
        let actor = turn.actor();
        desk.note(&format!("an answer to {actor} was not kept for repetitions: {}", problem.detail));
    }
    Ok(response)
}

/// The answer that is kept, and the name in the ledger for the next one. An answer that has had its time
/// stands there until it is swept; the next one takes a name beside it, with a blank that no key has.
fn find(
    ledger: &dyn Ledger,
    actor: &str,
    key: &str,
    now: Timestamp,
) -> Result<(String, Option<IdempotentAnswer>), StoreError> {
    let mut name = key.to_owned();
    let mut number = 1_u64;
    loop {
        match ledger.idempotent(actor, &name)? {
            Some(kept) if kept.until <= now => {
                name = format!("{key} {number}");
                number += 1;
            }
            found => return Ok((name, found)),
        }
    }
}

/// The answer as it was kept, or why there is none.
fn repeat(answer: &IdempotentAnswer, mark: &Mark) -> Result<Response, Problem> {
    if !mark.is(&answer.request) {
        let detail =
            "this Idempotency-Key was used with another path or body, or before the key ring was rotated";
        return Err(Problem::new(ProblemCode::IdempotencyMismatch, detail)
            .with_hint("take a new key for a new request"));
    }
    let gone = |why: &str| {
        Problem::new(ProblemCode::Conflict, format!("this was done before; its answer {why}"))
            .with_hint("take back what the first request made, then ask with a new key")
    };
    if answer.status == 0 {
        return Err(gone("was lost when the house ended before it was kept"));
    }
    let kept = Kept::of(&answer.body).ok_or_else(|| gone("cannot be read any more"))?;
    if kept.secret {
        return Err(gone("held a secret and was not kept"));
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let has_body = !kept.body.is_empty();
    let mut response = (status, kept.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in [(header::ETAG, kept.etag), (header::LOCATION, kept.location)] {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(name, value);
        }
    }
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

/// The answer and a copy of its body, when it is one to be kept.
async fn split(response: Response) -> Result<(Response, Option<Kept>), Problem> {
    let length = axum::body::HttpBody::size_hint(response.body()).exact();
    let is_json = |headers: &HeaderMap| {
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
    };
    let is_small = length.is_some_and(|length| length <= ANSWER_BYTES_MAX as u64);
    if !is_small || !(length == Some(0) || is_json(response.headers())) {
        return Ok((response, None));
    }
    let (parts, body) = response.into_parts();
    let bytes = whole_bytes(body, ANSWER_BYTES_MAX).await?;
    let told = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (etag, location) = (told(header::ETAG), told(header::LOCATION));
    let kept =
        String::from_utf8(bytes.to_vec()).ok().map(|body| Kept { etag, location, secret: false, body });
    Ok((Response::from_parts(parts, Body::from(bytes)), kept))
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if values.next().is_some() || !is_plain || !(1..=KEY_BYTES_MAX).contains(&text.len()) {
        let detail =
            format!("Idempotency-Key has 1 to {KEY_BYTES_MAX} visible ASCII characters, and comes once");
        return Err(bad(detail).with_hint("take a random UUID"));
    }
    Ok(Some(text.to_owned()))
}
