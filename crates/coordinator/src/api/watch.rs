//! `/api/watch`: what changes in the registry, by long poll or as server-sent events.
//!
//! Threat: a watcher that never reads. It costs no memory: a stream asks the directory for what is new only
//! when the connection has taken what came before, and whoever is behind further than the log reaches is told
//! to begin anew. A stream ends with the token that it was asked with, and after an hour; it goes on with
//! `Last-Event-ID`.

use super::input::Query;
use super::{Caller, DeskState, Refusal, Who};
use crate::desk::Desk;
use crate::directory::Frame;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use haus_api::watch::{Changes, WatchQuery};
use haus_api::{Problem, ProblemCode};
use haus_model::ServiceName;
use http_body::Frame as BodyFrame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Seconds that a long poll waits when nothing is said.
const WAIT_S_DEFAULT: u64 = 30;

/// Seconds that it may wait.
const WAIT_S_MAX: u64 = 60;

/// Something is sent at least so often, so that both ends notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a stream lives.
const STREAM_MAX: Duration = Duration::from_secs(3_600);

/// Bytes that are put together for one write, about.
const CHUNK_BYTES: usize = 64 << 10;

/// Changes in one answer of a long poll; the rest comes with the next.
const CHANGES_MAX: usize = 1_000;

/// Bytes of changes in one answer of a long poll, about: a slow reader keeps them in memory.
const ANSWER_BYTES: usize = 256 << 10;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(watch))
}

/// Changes after a revision: waits for the first one. With `Accept: text/event-stream` all that follow, as
/// events `change` (and `reset`, when the log does not reach back that far); `Last-Event-ID` goes on where a
/// stream ended.
#[utoipa::path(get, path = "/api/watch", tag = "registry", operation_id = "watch",
    params(WatchQuery, ("Last-Event-ID" = Option<u64>, Header, description = "the last revision that was seen")),
    responses((status = 200, description = "what has changed; nothing when the time was over", content(
        (Changes = "application/json"), (String = "text/event-stream")))))]
async fn watch(
    State(desk): DeskState,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<WatchQuery>,
) -> Result<Response, Refusal> {
    desk.guard.look(&desk, &caller)?;
    let service = query.service.as_deref().map(service).transpose()?;
    let wait_s = query.wait_s.unwrap_or(WAIT_S_DEFAULT);
    if wait_s > WAIT_S_MAX {
        return Err(Problem::new(ProblemCode::Invalid, format!("`wait_s` is more than {WAIT_S_MAX}"))
            .with_hint("wait for up to a minute, and ask again")
            .into());
    }
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
    let receiver = desk.directory.subscribe();
    let revision = last.or(query.revision).unwrap_or_else(|| desk.directory.revision());
    let feed = Feed { desk: Arc::clone(&desk), receiver, revision, service };
    if wants_events(&headers) {
        return Ok(stream(feed, Instant::now() + lifetime(&desk, &caller)));
    }
    Ok(poll(feed, Duration::from_secs(wait_s)).await)
}

fn service(name: &str) -> Result<ServiceName, Problem> {
    name.parse().map_err(|error| {
        let shown = super::input::shown(name);
        Problem::new(ProblemCode::Invalid, format!("`{shown}` can be no service: {error}"))
            .with_hint("GET /api/services lists them")
    })
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// Nobody goes on watching with a token that is worth nothing any more.
fn lifetime(desk: &Desk, caller: &Caller) -> Duration {
    match &caller.who {
        Who::Token(claims) => claims.expires_at().since(desk.clock.wall()).min(STREAM_MAX),
        Who::Anonymous | Who::Account { .. } | Who::House => STREAM_MAX,
    }
}

/// One watcher.
struct Feed {
    desk: Arc<Desk>,
    receiver: Receiver<u64>,
    /// What it has seen.
    revision: u64,
    service: Option<ServiceName>,
}

/// What is new.
struct News {
    /// Changes that it wants, oldest first.
    frames: Vec<Arc<Frame>>,
    /// The log does not reach back to what it has seen.
    reset: bool,
}

impl Feed {
    /// What has happened since; the feed has seen it then. At most so many changes.
    fn news(&mut self, most: usize) -> News {
        // Marked first: what comes after it wakes again.
        self.receiver.mark_unchanged();
        let since = self.desk.directory.since(self.revision);
        let Some(frames) = since.frames else {
            self.revision = since.revision;
            return News { frames: Vec::new(), reset: true };
        };
        let mut wanted = Vec::new();
        for frame in frames {
            if wanted.len() == most {
                break;
            }
            self.revision = frame.revision();
            if self.service.as_ref().is_none_or(|service| frame.service() == service) {
                wanted.push(frame);
            }
        }
        News { frames: wanted, reset: false }
    }

    /// Whether something may be new by now; waits for it until `until`.
    async fn wait(&mut self, until: Instant) -> bool {
        if self.revision != self.desk.directory.revision() {
            return true;
        }
        // The directory lives as long as the desk that this feed holds.
        tokio::time::timeout_at(until, self.receiver.changed()).await.is_ok()
    }
}

async fn poll(mut feed: Feed, wait: Duration) -> Response {
    let until = Instant::now() + wait;
    loop {
        let news = feed.news(CHANGES_MAX);
        let is_over = !news.frames.is_empty() || news.reset;
        if is_over || !feed.wait(until).await {
            let body = changes(&mut feed, &news);
            let kind = HeaderValue::from_static("application/json");
            return ([(header::CONTENT_TYPE, kind)], body).into_response();
        }
    }
}

/// The same text as [`Changes`] in JSON, put together from changes that are written already. The feed is put
/// back to the last of them that had room.
fn changes(feed: &mut Feed, news: &News) -> Bytes {
    let mut list = BytesMut::new();
    for (index, frame) in news.frames.iter().enumerate() {
        if index > 0 {
            list.put_u8(b',');
        }
        list.put_slice(&frame.json(feed.desk.clock));
        if list.len() >= ANSWER_BYTES && index + 1 < news.frames.len() {
            feed.revision = frame.revision();
            break;
        }
    }
    let head = format!("{{\"revision\":{},\"reset\":{},\"changes\":[", feed.revision, news.reset);
    let mut text = BytesMut::with_capacity(head.len() + list.len() + 2);
    text.put_slice(head.as_bytes());
    text.put_slice(&list);
    text.put_slice(b"]}");
    text.freeze()
}

fn stream(feed: Feed, until: Instant) -> Response {
    let first = Bytes::from(format!("retry: 1000\n: revision {}\n\n", feed.revision));
    let next = Box::pin(async move { Some((first, feed)) });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies of the nginx kind keep events back otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::new(Events { next: Some(next), until })).into_response()
}

/// The next piece of a stream, with the feed that goes on; none at its end.
type Piece = Pin<Box<dyn Future<Output = Option<(Bytes, Feed)>> + Send>>;

/// The body of a stream: the next piece is asked for when the one before was taken.
struct Events {
    next: Option<Piece>,
    until: Instant,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        let Some(next) = self.next.as_mut() else { return Poll::Ready(None) };
        match next.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.next = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some((piece, feed))) => {
                let until = self.until;
                self.next = Some(Box::pin(following(feed, until)));
                Poll::Ready(Some(Ok(BodyFrame::data(piece))))
            }
        }
    }
}

/// What comes next: news, or a word that the connection is alive; nothing when the stream's time is over.
async fn following(mut feed: Feed, until: Instant) -> Option<(Bytes, Feed)> {
    let alive_at = Instant::now() + HEARTBEAT;
    loop {
        if Instant::now() >= until {
            return None;
        }
        let news = feed.news(usize::MAX);
        if news.reset {
            let revision = feed.revision;
            let text = format!("event: reset\nid: {revision}\ndata: {{\"revision\":{revision}}}\n\n");
            return Some((Bytes::from(text), feed));
        }
        if !news.frames.is_empty() {
            return Some((events(&mut feed, &news.frames), feed));
        }
        if !feed.wait(alive_at.min(until)).await && Instant::now() >= alive_at {
            let text = format!(": revision {}\n\n", feed.revision);
            return Some((Bytes::from(text), feed));
        }
    }
}

/// Changes in one piece, up to about [`CHUNK_BYTES`]; the feed is put back to the last of them.
fn events(feed: &mut Feed, frames: &[Arc<Frame>]) -> Bytes {
    let clock = feed.desk.clock;
    if let [one] = frames {
        return one.event(clock);
    }
    let mut text = BytesMut::new();
    for (index, frame) in frames.iter().enumerate() {
        text.put_slice(&frame.event(clock));
        if text.len() >= CHUNK_BYTES && index + 1 < frames.len() {
            feed.revision = frame.revision();
            break;
        }
    }
    text.freeze()
}

#[cfg(test)]
mod tests;
