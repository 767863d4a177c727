//! As an envelope: the call and its answer as JSON (schema 2.3 of the zimmer document), whatever the service
//! answers.
//!
//! Threat: an answer is in memory as it came, as JSON and as the text of the envelope, until its caller has
//! taken it. So only some large ones are there at a time; small ones pass them by.

use super::bodies::{HEADER, ReadAlong, Watch};
use super::{allow, call, with_passed};
use crate::api::input::{JsonBody, whole};
use crate::api::{Caller, DeskState, Refusal, until_sent};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use haus_api::gateway::{ProxyRequest, ProxyResponse};
use haus_api::{Problem, ProblemCode};
use haus_gateway::{CallBody, RequestBody};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Methods that an envelope can name.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// The largest answer that is put into an envelope.
const ANSWER_BYTES_MAX: usize = 10 << 20;

/// Up to here an answer whose length is known needs no place, and how many of the others there are at a time.
const SMALL_BYTES_MAX: u64 = 64 << 10;
const LARGE_MAX: usize = 32;
static LARGE: Semaphore = Semaphore::const_new(LARGE_MAX);

/// The longest path.
const PATH_BYTES_MAX: usize = 8_192;

/// The longest that an answer may take.
const TIMEOUT_MAX_S: u64 = 300;

/// Calls a service and tells what it answered. `X-Haus-Log-Bodies` among `headers`, `yes` or `no`, says
/// whether the bodies go into the API's log, within what the plan's `api.log_bodies` lets; without secrets
/// that can be found by their names.
#[utoipa::path(post, path = "/api/gateway/proxy", tag = "gateway", operation_id = "proxyEnvelope",
    request_body = ProxyRequest,
    responses((status = 200,
        description = "the service answered; `status_code` says how", body = ProxyResponse),
        (status = 502, description = "no instance could be reached, or its answer broke off", body = Problem),
        (status = 503, description = "no instance can be used, or the breakers are open", body = Problem),
        (status = 504, description = "the service did not answer in time", body = Problem)))]
pub(super) async fn envelope(
    State(desk): DeskState,
    caller: Caller,
    JsonBody(wanted): JsonBody<ProxyRequest>,
) -> Result<axum::response::Response, Refusal> {
    allow(&desk, &caller, &wanted.service_name).await?;
    let begun = Instant::now();
    let timeout = timeout_of(wanted.timeout_seconds)?;
    let (service, path) = (wanted.service_name.clone(), wanted.path.clone());
    let mut request = request_of(wanted)?;
    let watch = Watch::wanted(&desk, &caller, &service, request.headers())?;
    request.headers_mut().remove(HEADER);
    if let Some(watch) = &watch {
        request =
            request.map(|body| ReadAlong::request(Body::new(body), watch).map_err(Into::into).boxed_unsync());
    }
    let outcome = call(&desk, &caller, &service, request, timeout).await;
    let left = timeout.saturating_sub(begun.elapsed()).max(Duration::from_secs(1));
    let read = match outcome.answer {
        Ok(answer) => read(along(answer, watch.as_ref()), left, &LARGE).await,
        Err(problem) => Err(problem),
    };
    let (status_code, headers, content, place) = match read {
        Ok(read) => read,
        Err(problem) => return Ok(with_passed(problem, outcome.passed)),
    };
    let mut response = Json(ProxyResponse {
        status_code,
        service_name: service,
        instance: outcome.instance.unwrap_or_default(),
        path,
        response_time_ms: begun.elapsed().as_secs_f64() * 1_000.0,
        attempts: outcome.attempts,
        data: content.data,
        data_base64: content.base64,
        headers,
        request_id: caller.request_id,
    })
    .into_response();
    response.extensions_mut().insert(outcome.passed);
    Ok(until_sent(response, place))
}

/// Room for an answer in memory; none is needed for a small one. One that has to wait stays with its service
/// meanwhile.
async fn room(
    size: Option<u64>,
    patience: Duration,
    large: &Semaphore,
) -> Result<Option<SemaphorePermit<'_>>, Problem> {
    if size.is_some_and(|bytes| bytes <= SMALL_BYTES_MAX) {
        return Ok(None);
    }
    match tokio::time::timeout(patience, large.acquire()).await {
        Ok(place) => Ok(place.ok()),
        Err(_) => {
            let detail = "other large answers were put into envelopes all the time that was allowed";
            Err(Problem::new(ProblemCode::Unavailable, detail)
                .with_hint("ask at /api/gateway/proxy/{service}/{path}, which passes it on as it comes")
                .with_retry_after(1))
        }
    }
}

fn timeout_of(seconds: u64) -> Result<Duration, Problem> {
    if (1..=TIMEOUT_MAX_S).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(invalid(format!("`timeout_seconds` is {seconds}; it is 1 to {TIMEOUT_MAX_S}")))
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::Invalid, detail).with_hint("GET /openapi.json describes the envelope")
}

/// The request as the service gets it.
fn request_of(wanted: ProxyRequest) -> Result<Request<RequestBody>, Problem> {
    let method = METHODS.into_iter().find(|method| method.as_str() == wanted.method);
    let method =
        method.ok_or_else(|| invalid("`method` is one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))?;
    if !wanted.path.starts_with('/') || wanted.path.len() > PATH_BYTES_MAX {
        return Err(invalid(format!("`path` begins with a slash and has at most {PATH_BYTES_MAX} bytes")));
    }
    let mut target = wanted.path;
    for (name, value) in &wanted.query_params {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(&format!("{}={}", encoded(name), encoded(value)));
    }
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in &wanted.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(invalid("a name or value in `headers` has characters that no header can have"));
        };
        request = request.header(name, value);
    }
    let (body, kind) = match (wanted.body, wanted.body_base64) {
        (Some(_), Some(_)) => return Err(invalid("a request has `body` or `body_base64`, not both")),
        (Some(json), None) => (json.to_string().into_bytes(), Some("application/json")),
        (None, Some(text)) => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|_| invalid("`body_base64` is no base64 (RFC 4648, section 4)"))?;
            (bytes, None)
        }
        (None, None) => (Vec::new(), None),
    };
    let has_kind = request.headers_ref().is_some_and(|headers| headers.contains_key(header::CONTENT_TYPE));
    if let Some(kind) = kind.filter(|_| !has_kind) {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    request.body(body).map_err(|_| invalid("`path` has characters that no path can have; encode them as %XX"))
}

/// Percent-encoded for a query (RFC 3986, section 2.3: all but the unreserved).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The answer's body, read along when its caller asked for it.
fn along(answer: Response<CallBody>, watch: Option<&Arc<Watch>>) -> Response<Body> {
    let answer = answer.map(Body::new);
    match watch {
        Some(watch) => {
            watch.answered(answer.headers());
            answer.map(|body| ReadAlong::answer(body, watch))
        }
        None => answer,
    }
}

/// A body as JSON can carry it.
#[derive(Debug, Default, PartialEq)]
struct Content {
    data: Option<Value>,
    base64: Option<String>,
}

/// Status, headers and body of an answer, and the place that it takes in memory.
type Read<'a> = (u16, BTreeMap<String, String>, Content, Option<SemaphorePermit<'a>>);

async fn read(answer: Response<Body>, patience: Duration, large: &Semaphore) -> Result<Read<'_>, Problem> {
    let begun = Instant::now();
    let size = axum::body::HttpBody::size_hint(answer.body()).exact();
    let place = room(size, patience, large).await?;
    let patience = patience.saturating_sub(begun.elapsed()).max(Duration::from_secs(1));
    let (parts, body) = answer.into_parts();
    let bytes = whole(body, ANSWER_BYTES_MAX, patience).await.map_err(|problem| {
        if problem.code == ProblemCode::TooLarge {
            let detail = format!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
            return Problem::new(ProblemCode::BadGateway, detail)
                .with_hint("ask at /api/gateway/proxy/{service}/{path}, which passes it on as it comes");
        }
        if problem.code == ProblemCode::RequestTimeout {
            let detail = format!("the answer began and did not end within {} s", patience.as_secs());
            return Problem::new(ProblemCode::GatewayTimeout, detail)
                .with_hint("allow more with `timeout_seconds`");
        }
        Problem::new(ProblemCode::BadGateway, "the service broke off in the middle of its answer")
            .with_hint("see the service's log")
    })?;
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &parts.headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let joined = headers.entry(name.as_str().to_owned()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(&text);
    }
    let content = content_of(&parts.headers, bytes.expose_bytes());
    Ok((parts.status.as_u16(), headers, content, place))
}

fn content_of(headers: &HeaderMap, bytes: &[u8]) -> Content {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = kind.ends_with("/json") || kind.ends_with("+json");
    let is_encoded = headers.contains_key(header::CONTENT_ENCODING);
    if bytes.is_empty() {
        return Content::default();
    }
    let text = std::str::from_utf8(bytes).ok().filter(|_| !is_encoded);
    let data = match text {
        Some(text) if is_json => serde_json::from_str(text).ok().or_else(|| Some(Value::from(text))),
        Some(text) if kind.is_empty() || kind.starts_with("text/") => Some(Value::from(text)),
        Some(_) | None => None,
    };
    let base64 = data.is_none().then(|| STANDARD.encode(bytes));
    Content { data, base64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(kind: &str, body: &[u8], expected: Value) {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        }
        let content = content_of(&headers, body);
        assert_eq!(json!([content.data, content.base64]), expected, "{kind}");
    }

    #[test]
    fn every_kind_of_answer_fits_into_the_envelope() {
        check("application/json", b"{\"a\":1}", json!([{ "a": 1 }, null]));
        check("application/problem+json; charset=utf-8", b"[]", json!([[], null]));
        check("application/json", b"{broken", json!(["{broken", null]));
        check("text/plain", "grüß".as_bytes(), json!(["grüß", null]));
        check("text/plain", b"\xff", json!([null, "/w=="]));
        check("image/png", b"png", json!([null, "cG5n"]));
        check("", b"plain", json!(["plain", null]));
        check("application/json", b"", json!([null, null]));
    }

    #[tokio::test(start_paused = true)]
    async fn only_some_large_answers_are_in_memory_and_small_ones_pass_them_by() {
        let large = Semaphore::new(1);
        let answer = |bytes: usize| Response::new(Body::from(vec![b'x'; bytes]));
        let patience = Duration::from_secs(2);
        let first = read(answer(65 << 10), patience, &large).await.unwrap();
        let refused = read(answer(65 << 10), patience, &large).await.unwrap_err();
        assert_eq!(refused.code, ProblemCode::Unavailable);
        assert!(read(answer(64 << 10), patience, &large).await.is_ok());
        drop(first);
        assert!(read(answer(65 << 10), patience, &large).await.is_ok());
    }

    fn wanted(json: Value) -> Result<Request<RequestBody>, Problem> {
        let mut whole = json!({ "service_name": "api", "path": "/" });
        whole.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        request_of(serde_json::from_value(whole).unwrap())
    }

    #[test]
    fn a_query_is_encoded_and_added_to_the_one_that_is_there() {
        let request =
            wanted(json!({ "path": "/a?x=1", "query_params": { "q": "a b&c=ü", "": "" } })).unwrap();
        assert_eq!(request.uri().to_string(), "/a?x=1&=&q=a%20b%26c%3D%C3%BC");
    }

    #[test]
    fn what_cannot_be_a_request_is_refused() {
        for bad in [
            json!({ "method": "CONNECT" }),
            json!({ "method": "get" }),
            json!({ "path": "http://evil.example/" }),
            json!({ "path": "/a b" }),
            json!({ "path": "/a\r\nx: y" }),
            json!({ "headers": { "a b": "c" } }),
            json!({ "headers": { "a": "b\r\nc: d" } }),
            json!({ "body": {}, "body_base64": "" }),
            json!({ "body_base64": "?" }),
        ] {
            let told = bad.to_string();
            assert_eq!(wanted(bad).unwrap_err().code, ProblemCode::Invalid, "{told}");
        }
        assert!(timeout_of(0).is_err() && timeout_of(301).is_err() && timeout_of(300).is_ok());
    }
}
