//! A request that somebody in our own process makes to a service: the road of a client's request, without a
//! socket before it and without a route.
//!
//! The caller may sit in another runtime. Everything that touches a connection therefore runs on the
//! gateway's, since connections are kept for the next request and must not end with the runtime of a caller.
//! It does not know who may call what; whoever calls has asked before.

use crate::access::{AccessRecord, RequestPath, Text};
use crate::answer::{check_protocol, path_fault};
use crate::body::AnswerBody;
use crate::call_body::CallBody;
use crate::client::ClientState;
use crate::forward::{Errand, Lookup, forward};
use crate::gateway::{Handle, Shared};
use crate::header::X_REQUEST_ID;
use crate::limits::HEAD_BYTES_MAX;
use crate::path::safe_path;
use crate::problem::Fault;
use crate::request::RequestLife;
use crate::table::RouteRule;
use crate::upload::{Inbound, RequestBody};
use haus_model::ServiceName;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// Longer than any answer may take; keeps sums of times within what the clock can hold.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// Characters of a caller's name in the record.
const CALLER_CHARS_MAX: usize = 128;

/// What a call needs to know beside its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOptions {
    /// How long the head of the answer may take, over all attempts; at most an hour counts.
    pub timeout: Duration,
    /// On whose behalf, for the record. What is no visible ASCII or beyond 128 characters is not kept.
    pub caller: String,
    /// Where the caller sits, told to the service as `X-Forwarded-For`; absent: on this machine.
    pub peer: Option<IpAddr>,
    /// The id that caller, service and log share; one is made when it is absent or harmful (6 to 128
    /// characters out of `A-Z a-z 0-9 . _ : -`).
    pub request_id: Option<String>,
}

/// What came of a call.
#[derive(Debug)]
pub struct Called {
    /// The service that was called.
    pub service: ServiceName,
    /// The instance that answered, or was asked last; absent when none was asked.
    pub instance: Option<String>,
    /// What the breaker of that instance was doing afterwards.
    pub breaker: Option<&'static str>,
    /// Instances asked.
    pub attempts: u32,
    /// The id that the service was told.
    pub request_id: String,
    /// From the call to the head of the answer, or to the problem.
    pub took: Duration,
    /// One sentence for each attempt that missed, and for the problem.
    pub why: Option<String>,
    /// The service's answer, whatever its status, without the headers of its connection; or why there is
    /// none.
    pub outcome: Result<Response<CallBody>, CallProblem>,
}

impl Called {
    /// The status that the service answered with; absent when the problem is ours.
    pub fn upstream_status(&self) -> Option<StatusCode> {
        self.outcome.as_ref().ok().map(Response::status)
    }
}

/// Why a call has no answer of the service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct CallProblem {
    /// 400, 404, 408, 413, 431, 501, 502, 503 or 504.
    pub status: StatusCode,
    /// A word that never changes, for programs: `no-instance`, `instance-timeout`, …
    pub code: &'static str,
    /// One sentence that says what is wrong and what to do.
    pub detail: String,
    /// When asking again may help (503 only).
    pub retry_after: Option<Duration>,
}

impl Handle {
    /// Sends one request to a service of [`Snapshot::services`](crate::Snapshot::services) by the same road
    /// as a client's: balancing, breaker, retries within the budget, hold, limits, record.
    ///
    /// The request's target must be a path with an optional query. `Authorization`, `Host`, what belongs to
    /// one connection and all claims about the way of the request are taken off; redirects are answers and
    /// are not followed. The body may be as large as
    /// [`Defaults::max_body_bytes`](crate::Defaults::max_body_bytes) allows.
    ///
    /// It works from any runtime; dropped, it gives the request up, as the answer's body does when it is
    /// dropped. It never fails: what goes wrong is the outcome. A drain of the gateway does not wait for
    /// calls.
    pub async fn call(
        &self,
        service: &ServiceName,
        request: Request<RequestBody>,
        options: CallOptions,
    ) -> Called {
        let begun = Instant::now();
        let id = self.shared.ids.keep_or_make(options.request_id.as_deref());
        let request_id = id.to_str().unwrap_or_default().to_owned();
        let (tell, told) = oneshot::channel();
        let errand =
            Carried { shared: Arc::clone(&self.shared), service: service.clone(), id, options, begun };
        let task = self.shared.runtime.spawn(errand.carry(request, tell));
        let mut leash = Leash(Some(task.abort_handle()));
        let called = told.await;
        // From here on the answer's body is what keeps the task going.
        leash.0 = None;
        called.unwrap_or_else(|_| Called {
            service: service.clone(),
            instance: None,
            breaker: None,
            attempts: 0,
            request_id,
            took: begun.elapsed(),
            why: None,
            outcome: Err(CallProblem {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "gateway-stopped",
                detail: "the gateway has stopped and carries no more calls; ask again when the house is up"
                    .to_owned(),
                retry_after: Some(Duration::from_secs(1)),
            }),
        })
    }
}

/// Ends the task of a call whose caller went away.
struct Leash(Option<AbortHandle>);

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// A call on the gateway's runtime.
struct Carried {
    shared: Arc<Shared>,
    service: ServiceName,
    id: HeaderValue,
    options: CallOptions,
    begun: Instant,
}

impl Carried {
    async fn carry(self, request: Request<RequestBody>, tell: oneshot::Sender<Called>) {
        let peer = self.options.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_canonical();
        let client = Arc::new(ClientState::new(peer, Arc::clone(&self.shared.coarse_ms)));
        let (parts, body) = request.into_parts();
        let record = self.first_record(&parts, peer);
        let sink = self.shared.sink();
        let mut life = RequestLife::begin(Arc::clone(&self.shared), sink, Arc::clone(&client), record);
        match self.ask(&mut life, parts, body).await {
            Ok(mut answer) => {
                answer.headers_mut().insert(X_REQUEST_ID, self.id.clone());
                life.record().status = answer.status().as_u16();
                let facts = self.facts(&mut life);
                let instance = life.record().instance.as_ref().map(ToString::to_string);
                client.begin_body();
                answer.body_mut().carry(life);
                let (parts, body) = answer.into_parts();
                let (body, pump) = CallBody::of(body, instance);
                // A caller that went away in this moment drops the body, and the pump notices.
                let _ = tell.send(facts(Ok(Response::from_parts(parts, body))));
                if let Some(pump) = pump {
                    pump.run(self.shared.limits.body_idle).await;
                }
            }
            Err(Refusal { problem, why }) => {
                life.note(&why);
                life.record().status = problem.status.as_u16();
                let facts = self.facts(&mut life);
                // Recorded and counted before anybody hears of it.
                drop(life);
                let _ = tell.send(facts(Err(problem)));
            }
        }
    }

    fn first_record(&self, parts: &Parts, peer: IpAddr) -> AccessRecord {
        let path = parts.uri.path_and_query().cloned();
        AccessRecord {
            at_ms: 0,
            request_id: Text::new(self.id.clone()),
            client: peer,
            caller: Some(shown_caller(&self.options.caller)),
            method: parts.method.clone(),
            host: Text::EMPTY,
            path: RequestPath::new(path.unwrap_or_else(|| PathAndQuery::from_static("/"))),
            route: None,
            service: None,
            instance: None,
            status: 0,
            attempts: 0,
            bytes_in: 0,
            bytes_out: 0,
            took_us: 0,
            why: None,
        }
    }

    async fn ask(
        &self,
        life: &mut RequestLife,
        mut parts: Parts,
        body: RequestBody,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let (service, defaults) = {
            let table = self.shared.table.load();
            (table.service(self.service.as_str()).cloned(), table.defaults)
        };
        let service = service.ok_or_else(|| unknown_service(&self.service))?;
        let timeout = self.options.timeout.min(TIMEOUT_MAX);
        let route = Arc::new(RouteRule::of_call(&service, timeout, &defaults));
        life.routed(&route);
        if parts.uri.scheme().is_some() || parts.uri.authority().is_some() {
            return Err(Fault::BadRequest { why: "its target names a host; only a path is passed on" }.into());
        }
        check_protocol(&parts)?;
        set_length(&mut parts, &body);
        check_size(&parts)?;
        let raw_path = parts.uri.path().to_owned();
        let path = safe_path(&raw_path).map_err(path_fault)?;
        let errand = Errand {
            service,
            route,
            lookup: Lookup::Service { name: self.service.as_str() },
            wire_path: &path.wire,
            host: None,
            parts,
            inbound: Inbound::Call(body),
        };
        Ok(forward(life, errand).await?)
    }

    /// Takes down what is known of the call; the outcome makes it whole.
    fn facts(
        &self,
        life: &mut RequestLife,
    ) -> impl FnOnce(Result<Response<CallBody>, CallProblem>) -> Called + use<> {
        let record = life.record();
        let instance = record.instance.as_ref().map(ToString::to_string);
        let (attempts, why) = (record.attempts, record.why.clone());
        let table = self.shared.table.load();
        let mut known =
            table.service(self.service.as_str()).into_iter().flat_map(|service| &service.instances);
        let asked = known.find(|known| Some(&*known.id) == instance.as_deref());
        let breaker = asked.map(|asked| asked.view(self.shared.clock.now()).state);
        let (service, took) = (self.service.clone(), self.begun.elapsed());
        let request_id = self.id.to_str().unwrap_or_default().to_owned();
        move |outcome| Called { service, instance, breaker, attempts, request_id, took, why, outcome }
    }
}

/// A problem for the caller, and the sentence for the record.
struct Refusal {
    problem: CallProblem,
    why: String,
}

fn unknown_service(service: &ServiceName) -> Refusal {
    let why = format!(
        "no service {service} can be called: it is unknown, or listens on a socket file as the coordinator itself \
         does; `haus services` lists what there is"
    );
    let problem = CallProblem {
        status: StatusCode::NOT_FOUND,
        code: "no-service",
        detail: why.clone(),
        retry_after: None,
    };
    Refusal { problem, why }
}

impl From<Fault> for Refusal {
    /// A call has no route, so advice about routes is put in other words.
    fn from(fault: Fault) -> Refusal {
        let detail = match &fault {
            Fault::BodyTooLarge { limit_bytes } => format!(
                "the request body is larger than the {limit_bytes} bytes a call may have; send less, or use a route of the \
                 service with a larger `max_body`"
            ),
            Fault::Timeout { instance, waited } => format!(
                "instance {instance} gave no answer within {} ms; allow the call more time if that is normal",
                waited.as_millis()
            ),
            Fault::HeadTooLarge => {
                format!("the request has more than {} KiB of headers; send fewer", HEAD_BYTES_MAX / 1024)
            }
            Fault::BadRequest { .. }
            | Fault::NoRoute { .. }
            | Fault::MethodNotAllowed
            | Fault::ClientTimeout { .. }
            | Fault::TargetTooLong
            | Fault::Upgrade { .. }
            | Fault::Unreachable { .. }
            | Fault::NoInstance { .. }
            | Fault::NoFile
            | Fault::FolderRefused { .. }
            | Fault::FileUnreadable { .. } => fault.sentence(),
        };
        let retry_after = match &fault {
            Fault::NoInstance { retry_after, .. } => Some((*retry_after).max(Duration::from_secs(1))),
            Fault::BadRequest { .. }
            | Fault::NoRoute { .. }
            | Fault::MethodNotAllowed
            | Fault::ClientTimeout { .. }
            | Fault::BodyTooLarge { .. }
            | Fault::TargetTooLong
            | Fault::HeadTooLarge
            | Fault::Upgrade { .. }
            | Fault::Unreachable { .. }
            | Fault::Timeout { .. }
            | Fault::NoFile
            | Fault::FolderRefused { .. }
            | Fault::FileUnreadable { .. } => None,
        };
        let problem = CallProblem { status: fault.status(), code: fault.code(), detail, retry_after };
        Refusal { problem, why: fault.record() }
    }
}

/// The body alone says how long it is: a header that says something else would end one request early and
/// make another out of the rest.
fn set_length(parts: &mut Parts, body: &RequestBody) {
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST] {
        parts.headers.remove(name);
    }
    // Services may wait for the length of a body that such a method usually has.
    let has_body =
        !body.is_end_stream() || [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method);
    let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    if let Some(length) = length.filter(|_| has_body) {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn check_size(parts: &Parts) -> Result<(), Fault> {
    let of_headers = |headers: &HeaderMap| {
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
    };
    let target_bytes = parts.uri.path_and_query().map_or(1, |target| target.as_str().len());
    if target_bytes > HEAD_BYTES_MAX {
        return Err(Fault::TargetTooLong);
    }
    if of_headers(&parts.headers) + target_bytes > HEAD_BYTES_MAX {
        return Err(Fault::HeadTooLarge);
    }
    Ok(())
}

fn shown_caller(caller: &str) -> Arc<str> {
    caller.chars().filter(char::is_ascii_graphic).take(CALLER_CHARS_MAX).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty, Full};

    fn check(method: Method, body: RequestBody, expected: Option<&str>) {
        let request = Request::builder().method(&method).header("content-length", "7").header("host", "evil");
        let (mut parts, body) = request.body(body).unwrap().into_parts();
        set_length(&mut parts, &body);
        assert_eq!(parts.headers.get("content-length").map(|value| value.to_str().unwrap()), expected);
        assert!(!parts.headers.contains_key("host"));
    }

    #[test]
    fn the_body_alone_says_how_long_it_is() {
        let empty = || RequestBody::new(Empty::new().map_err(|never| match never {}));
        let full = RequestBody::new(Full::new(Bytes::from("abc")).map_err(|never| match never {}));
        check(Method::GET, empty(), None);
        check(Method::POST, empty(), Some("0"));
        check(Method::POST, full, Some("3"));
    }

    #[test]
    fn a_caller_cannot_break_the_line_it_is_written_on() {
        assert_eq!(&*shown_caller("zimmer-05\n sta\u{7}rt ü"), "zimmer-05start");
        assert_eq!(shown_caller(&"x".repeat(500)).len(), CALLER_CHARS_MAX);
    }
}
