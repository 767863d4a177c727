//! Straight through: any method, any body, the service's own answer. Bodies are not collected here, so that
//! large ones and streams pass.

use super::bodies::{HEADER, ReadAlong, Watch};
use super::{allow, call, with_passed};
use crate::api::input::shown;
use crate::api::refusal::{Refusal, bad};
use crate::api::{Caller, DeskState};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use haus_api::{Problem, ProblemCode};
use haus_model::ServiceName;
use http_body_util::BodyExt;
use std::time::Duration;

/// The path under which services are called.
const PREFIX: &str = "/api/gateway/proxy/";

/// How long the head of an answer may take, unless the caller says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest that a caller may allow.
const TIMEOUT_MAX_S: u64 = 300;

/// How long the caller wants to wait, in seconds.
const TIMEOUT_HEADER: &str = "x-haus-timeout";

/// Calls the root of a service.
#[utoipa::path(method(get, head, post, put, patch, delete, options), path = "/api/gateway/proxy/{service}",
    tag = "gateway", operation_id = "proxyRoot",
    params(("service" = String, Path, description = "whom to call"),
        ("X-Haus-Timeout" = Option<u64>, Header, minimum = 1, maximum = 300,
            description = "seconds until the head of the answer, 1 to 300; 30 when absent"),
        ("X-Haus-Log-Bodies" = Option<String>, Header, pattern = "^(yes|no)$",
            description = "whether the bodies go into the API's log, within what the plan's `api.log_bodies` lets; without secrets that \
             can be found by their names")),
    responses((status = "default",
        description = "whatever the service answers; `X-Haus-Instance` names the instance"),
        (status = 200, description = "the service's own answer", content_type = "*/*"),
        (status = 502, description = "no instance could be reached", body = Problem),
        (status = 503, description = "no instance can be used, or the breakers are open", body = Problem),
        (status = 504, description = "the service did not answer in time", body = Problem)))]
pub(super) async fn root(state: DeskState, caller: Caller, request: Request) -> Result<Response, Refusal> {
    pass(state, caller, request).await
}

/// Calls any other path of a service. The rest of the path and the query are passed on as they are.
#[utoipa::path(method(get, head, post, put, patch, delete, options),
    path = "/api/gateway/proxy/{service}/{*path}",
    tag = "gateway", operation_id = "proxy",
    params(("service" = String, Path, description = "whom to call"),
        ("path" = String, Path, description = "the path at the service, with its slashes"),
        ("X-Haus-Timeout" = Option<u64>, Header, minimum = 1, maximum = 300,
            description = "seconds until the head of the answer, 1 to 300; 30 when absent"),
        ("X-Haus-Log-Bodies" = Option<String>, Header, pattern = "^(yes|no)$",
            description = "whether the bodies go into the API's log, within what the plan's `api.log_bodies` lets; without secrets that \
             can be found by their names")),
    responses((status = "default",
        description = "whatever the service answers; `X-Haus-Instance` names the instance"),
        (status = 200, description = "the service's own answer", content_type = "*/*"),
        (status = 502, description = "no instance could be reached", body = Problem),
        (status = 503, description = "no instance can be used, or the breakers are open", body = Problem),
        (status = 504, description = "the service did not answer in time", body = Problem)))]
pub(super) async fn below(state: DeskState, caller: Caller, request: Request) -> Result<Response, Refusal> {
    pass(state, caller, request).await
}

async fn pass(State(desk): DeskState, caller: Caller, request: Request) -> Result<Response, Refusal> {
    let (service, target) = split(request.uri())?;
    allow(&desk, &caller, &service).await?;
    let timeout = timeout_of(request.headers())?;
    let watch = Watch::wanted(&desk, &caller, &service, request.headers())?;
    let (mut parts, mut body) = request.into_parts();
    parts.uri = target;
    parts.headers.remove(TIMEOUT_HEADER);
    parts.headers.remove(HEADER);
    if let Some(watch) = &watch {
        body = ReadAlong::request(body, watch);
    }
    // What the layers know of the request is nobody else's business.
    parts.extensions.clear();
    let body = body.map_err(Into::into).boxed_unsync();
    let outcome = call(&desk, &caller, &service, Request::from_parts(parts, body), timeout).await;
    let answer = match outcome.answer {
        Ok(answer) => answer,
        Err(problem) => return Ok(with_passed(problem, outcome.passed)),
    };
    let mut answer = answer.map(Body::new);
    if let Some(watch) = &watch {
        watch.answered(answer.headers());
        answer = answer.map(|body| ReadAlong::answer(body, watch));
    }
    let headers = answer.headers_mut();
    if let Some(instance) = outcome.instance.and_then(|id| HeaderValue::from_str(&id).ok()) {
        headers.insert("x-haus-instance", instance);
    }
    headers.insert("x-haus-attempts", HeaderValue::from(outcome.attempts));
    answer.extensions_mut().insert(outcome.passed);
    Ok(answer)
}

/// The service and what is asked of it. The path stays as it was sent: taking it apart and putting it
/// together again would make another one of it. The gateway refuses what tries to leave it.
fn split(uri: &Uri) -> Result<(ServiceName, Uri), Problem> {
    let rest = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
    let service = name.parse().map_err(|error| {
        Problem::new(ProblemCode::NotFound, format!("there is no service `{}`: {error}", shown(name)))
            .with_hint("GET /api/services lists them")
    })?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("/{path}{query}").parse();
    Ok((service, target.map_err(|error| bad(format!("the path cannot be passed on: {error}")))?))
}

fn timeout_of(headers: &HeaderMap) -> Result<Duration, Problem> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(TIMEOUT) };
    let seconds = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    match seconds {
        Some(seconds) if (1..=TIMEOUT_MAX_S).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Some(_) | None => {
            let detail = format!("X-Haus-Timeout is a number of seconds from 1 to {TIMEOUT_MAX_S}");
            Err(Problem::new(ProblemCode::Invalid, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expected: Option<(&str, &str)>) {
        let found = split(&uri.parse().unwrap()).ok();
        let found = found.map(|(service, target)| (service.to_string(), target.to_string()));
        assert_eq!(found, expected.map(|(service, target)| (service.to_owned(), target.to_owned())), "{uri}");
    }

    #[test]
    fn the_rest_of_the_path_stays_as_it_was_sent() {
        check("/api/gateway/proxy/api", Some(("api", "/")));
        check("/api/gateway/proxy/api/", Some(("api", "/")));
        check("/api/gateway/proxy/api?a=1&b=%2F", Some(("api", "/?a=1&b=%2F")));
        check("/api/gateway/proxy/api/v1//x%2Fy/?q", Some(("api", "/v1//x%2Fy/?q")));
        check("/api/gateway/proxy/api//evil.example/x", Some(("api", "//evil.example/x")));
        check("/api/gateway/proxy/API/x", None);
        check("/api/gateway/proxy//x", None);
    }
}
