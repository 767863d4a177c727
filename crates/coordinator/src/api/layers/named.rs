//! The id of a request: the caller's when it is sane, else a new one; in the answer's header, its problem,
//! the log and the trail.

use crate::random;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use haus_api::Problem;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The header that names a request, ours or the caller's.
const REQUEST_ID: &str = "x-request-id";

/// Longest id that is taken over from a caller.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// The request's id.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub String);

impl RequestId {
    /// The id of a request that has gone through the layer.
    pub(crate) fn of(request: &Request) -> String {
        request.extensions().get::<RequestId>().map_or_else(fresh, |id| id.0.clone())
    }
}

/// Gives every request an id, and every answer the same.
pub(super) async fn named(mut request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_sane(id));
    let id = given.map_or_else(fresh, str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Box<Problem>>() {
        response = with_id(response, *problem, &id);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The same problem, with the request's id in its body.
fn with_id(response: Response, mut problem: Problem, id: &str) -> Response {
    problem.request_id = Some(id.to_owned());
    let Ok(body) = serde_json::to_vec(&problem) else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

fn is_sane(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(plain)
}

/// An id only has to be told apart: the kernel is asked once per process, the rest is counted.
fn fresh() -> String {
    static PROCESS: LazyLock<Option<[u8; 8]>> = LazyLock::new(|| random::bytes().ok());
    static COUNT: AtomicU64 = AtomicU64::new(0);
    match *PROCESS {
        Some(process) => {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            format!("{:016x}{count:016x}", u64::from_be_bytes(process))
        }
        // Without random bytes everything secret is refused anyway.
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, expected: bool) {
        assert_eq!(is_sane(id), expected, "{id:?}");
    }

    #[test]
    fn an_id_of_a_caller_is_taken_over_when_it_fits_on_a_line() {
        check("7f3c-1", true);
        check("a.b_c:d", true);
        check(&"x".repeat(64), true);
        check(&"x".repeat(65), false);
        check("", false);
        check("a b", false);
        check("a\nb", false);
        check("ä", false);
    }
}
