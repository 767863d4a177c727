//! How many requests there may be at once, of whom, and how long one may take; and that what was begun is
//! done to its end.
//!
//! Threat: strangers take every place and only sit in it. So they are counted apart from those who are known,
//! their bodies are small and have to be there before a place is taken, and nobody known has all places.
//! Whoever asks whether the house lives needs no place. And a caller that hangs up in the middle of a change
//! must not leave it half done: changes run in tasks of their own.

use super::held::until_sent;
use super::shares::{Full, Place, Shares, party_of};
use crate::api::caller::{Caller, Who};
use crate::api::input::whole;
use crate::api::refusal::Refusal;
use crate::guard;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use haus_api::{Problem, ProblemCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Requests of known callers that are worked on at the same time, and of one session among them.
const KNOWN_MAX: usize = 512;
const KNOWN_OWN_MAX: usize = 128;

/// Requests of strangers that are worked on at the same time, and of one address among them.
const STRANGERS_MAX: usize = 256;
const STRANGERS_OWN_MAX: usize = 32;

/// Requests of known callers that wait by their nature: for news, or for a service.
const LONG_MAX: usize = 8_192;
const LONG_OWN_MAX: usize = 2_048;

/// Strangers who wait for news.
const WATCHERS_MAX: usize = 128;
const WATCHERS_OWN_MAX: usize = 8;

/// Of what strangers have together, this machine's share: all its processes look like one.
const LOOPBACK_STRANGERS_MAX: usize = 192;
const LOOPBACK_WATCHERS_MAX: usize = 96;

/// Exports of the whole trail at the same time, each with its answer up to the last byte.
const EXPORTS_MAX: usize = 4;

/// How long a request may take that does not wait by its nature.
const PATIENCE: Duration = Duration::from_secs(30);

/// How large a stranger's body may be, and how long it may take: a token fits in, and comes in one piece.
const STRANGERS_BODY_BYTES_MAX: usize = 4 << 10;
const STRANGERS_BODY_PATIENCE: Duration = Duration::from_secs(5);

/// What answers in any crowd.
const ALWAYS: [&str; 2] = ["/health", "/ready"];

/// What waits by its nature has bounds of its own.
const WATCH: &str = "/api/watch";
const PROXY: &str = "/api/gateway/proxy";
const LONG: [&str; 3] = [WATCH, PROXY, "/control/"];

/// What holds its place until its answer has left.
const EXPORT: &str = "/api/trail/export";

/// Where strangers bring a body.
const COMING_IN: [&str; 2] = ["/api/identity/enrol", "/api/identity/refresh"];

/// The work on a request below.
pub(super) trait Work: Future<Output = Response> + Send + 'static {}

impl<F: Future<Output = Response> + Send + 'static> Work for F {}

/// Room for requests at one door.
pub(super) struct Bounds {
    known: Arc<Shares>,
    strangers: Arc<Shares>,
    long: Arc<Shares>,
    watchers: Arc<Shares>,
    exports: Arc<Shares>,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            known: Shares::new(KNOWN_MAX),
            strangers: Shares::new(STRANGERS_MAX),
            long: Shares::new(LONG_MAX),
            watchers: Shares::new(WATCHERS_MAX),
            exports: Shares::new(EXPORTS_MAX),
        }
    }
}

/// Who is counted as one.
struct Party {
    name: String,
    is_stranger: bool,
    is_local: bool,
}

impl Party {
    fn of(request: &Request) -> Party {
        let caller = request.extensions().get::<Caller>();
        let address = caller.and_then(|caller| caller.address.as_deref()?.parse::<IpAddr>().ok());
        let name = match caller.map(|caller| &caller.who) {
            Some(Who::Token(claims)) => claims.sid.clone(),
            Some(who @ (Who::Account { .. } | Who::House)) => format!("{who:?}"),
            Some(Who::Anonymous) | None => address.map_or_else(String::new, party_of),
        };
        Party {
            name,
            is_stranger: caller.is_none_or(|caller| matches!(caller.who, Who::Anonymous)),
            is_local: address.is_some_and(|address| address.to_canonical().is_loopback()),
        }
    }

    /// The larger share is for all of this machine together.
    fn share(&self, usual: usize, local: usize) -> usize {
        if self.is_local { local } else { usual }
    }
}

impl Bounds {
    /// A place for a request that waits by its nature.
    fn long(&self, party: &Party, path: &str) -> Result<Place, Problem> {
        let taken = if party.is_stranger && path.starts_with(WATCH) {
            self.watchers.take(&party.name, party.share(WATCHERS_OWN_MAX, LOOPBACK_WATCHERS_MAX))
        } else if party.is_stranger {
            self.strangers.take(&party.name, party.share(STRANGERS_OWN_MAX, LOOPBACK_STRANGERS_MAX))
        } else {
            self.long.take(&party.name, LONG_OWN_MAX)
        };
        taken.map_err(|full| busy(full, party))
    }

    /// A place for any other request.
    fn short(&self, party: &Party) -> Result<Place, Problem> {
        let taken = if party.is_stranger {
            self.strangers.take(&party.name, party.share(STRANGERS_OWN_MAX, LOOPBACK_STRANGERS_MAX))
        } else {
            self.known.take(&party.name, KNOWN_OWN_MAX)
        };
        taken.map_err(|full| busy(full, party))
    }
}

/// Lets a request in when there is room, and ends it when it takes too long.
pub(super) async fn bounded<F: Work>(
    bounds: &Bounds,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    if ALWAYS.contains(&request.uri().path()) {
        return next(request).await;
    }
    within(bounds, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn within<F: Work>(
    bounds: &Bounds,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Result<Response, Refusal> {
    let party = Party::of(&request);
    let request = if party.is_stranger { with_small_body(request).await? } else { request };
    let path = request.uri().path();
    if LONG.iter().any(|start| path.starts_with(start)) {
        let place = bounds.long(&party, path)?;
        let response = if path.starts_with(PROXY) || !changes(&request) {
            next(request).await
        } else {
            to_its_end(next(request), ()).await
        };
        return Ok(until_sent(response, place));
    }
    if path == EXPORT {
        let exports = bounds.exports.take("", EXPORTS_MAX).map_err(|full| busy(full, &party))?;
        return Ok(until_sent(next(request).await, exports));
    }
    let place = bounds.short(&party)?;
    let answer = if changes(&request) {
        // The place stays taken until the work is done, also when nobody waits for it any more.
        tokio::time::timeout(PATIENCE, to_its_end(next(request), place)).await
    } else {
        let _place = place;
        tokio::time::timeout(PATIENCE, next(request)).await
    };
    answer.map_err(|_| slow().into())
}

/// Whether a request may change something.
fn changes(request: &Request) -> bool {
    !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Works on a request in a task of its own: it goes on when the caller hangs up or has waited long enough.
async fn to_its_end<P: Send + 'static>(work: impl Work, place: P) -> Response {
    let work = async move {
        let _place = place;
        work.await
    };
    match tokio::spawn(work).await {
        Ok(response) => response,
        // A panic of the handler goes on to the layer that answers for it.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => {
                Refusal::from(Problem::new(ProblemCode::Unavailable, "the house is ending")).into_response()
            }
        },
    }
}

/// The same request with its body at hand. Strangers need one only to come in; whoever brings a larger one
/// elsewhere needs a token for what it is meant for.
async fn with_small_body(request: Request) -> Result<Request, Problem> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let read = whole(body, STRANGERS_BODY_BYTES_MAX, STRANGERS_BODY_PATIENCE).await;
    let is_coming_in = COMING_IN.contains(&parts.uri.path());
    let bytes = read.map_err(|problem| {
        let is_elsewhere = problem.code == ProblemCode::TooLarge && !is_coming_in;
        if is_elsewhere { guard::stranger() } else { problem }
    })?;
    let bytes = Bytes::copy_from_slice(bytes.expose_bytes());
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

fn busy(full: Full, party: &Party) -> Problem {
    let detail = match full {
        Full::Party if party.is_stranger => {
            "this address has as many requests under way as one may have without a token"
        }
        Full::Party => "this session has as many requests under way as one may have",
        Full::All => "more requests of this kind are under way than this coordinator takes",
    };
    let hint = if party.is_stranger {
        "ask again in a moment, or with a token: those who are known are counted apart"
    } else {
        "ask again in a moment"
    };
    Problem::new(ProblemCode::Unavailable, detail).with_hint(hint).with_retry_after(1)
}

fn slow() -> Problem {
    let detail = format!(
        "it took longer than {} s and nobody waits any more; a change goes on and may be done",
        PATIENCE.as_secs()
    );
    Problem::new(ProblemCode::Unavailable, detail)
        .with_hint("see whether it is done; sent again with its Idempotency-Key a POST gets the first answer")
        .with_retry_after(1)
}

#[cfg(test)]
mod tests;
