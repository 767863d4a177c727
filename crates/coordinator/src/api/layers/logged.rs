//! Counts every request, and writes a line in the API's log for each that changes, fails or goes on to a
//! service.

use super::named::RequestId;
use crate::api::caller::Caller;
use crate::api_log::{Line, Passed};
use crate::desk::Desk;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;
use haus_api::Problem;
use std::time::{Duration, Instant};

/// Writes the line when the answer's head is known.
pub(super) async fn logged(
    desk: &Desk,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let begun = Instant::now();
    let (method, path, id) =
        (request.method().clone(), request.uri().path().to_owned(), RequestId::of(&request));
    let template = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let _under_way = desk.meters.under_way();
    let bytes_in = axum::body::HttpBody::size_hint(request.body()).exact();
    let mut response = next(request).await;
    let endpoint = template.as_deref().unwrap_or("none");
    desk.meters.answered(known(&method), endpoint, response.status().as_u16(), begun.elapsed());
    let passed = response.extensions_mut().remove::<Passed>();
    let only_read = (method == Method::GET || method == Method::HEAD) && response.status().as_u16() < 400;
    if only_read && passed.is_none() {
        return response;
    }
    let caller = response.extensions().get::<Caller>();
    let problem = response.extensions().get::<Box<Problem>>();
    desk.api_log.record(Line {
        at: desk.clock.wall(),
        request_id: id,
        caller: caller.map_or_else(|| "unknown".to_owned(), Caller::actor),
        address: caller.and_then(|caller| caller.address.clone()),
        method: method.to_string(),
        path,
        status: response.status().as_u16(),
        took_ms: ms(begun.elapsed()),
        bytes_in,
        error: problem.map(|problem| problem.detail.clone()),
        passed,
    });
    response
}

/// Milliseconds with three places: more would only look exact.
fn ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

/// The method as a label: a caller can send any word.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
