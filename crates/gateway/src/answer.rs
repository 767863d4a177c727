//! From a request to its answer: read the head, find the route, apply its rules, hand over.

use crate::access::{AccessRecord, AccessSink, RequestPath, Text};
use crate::body::AnswerBody;
use crate::client::ClientState;
use crate::forward::{Errand, Lookup, forward};
use crate::gateway::Shared;
use crate::header::{X_REQUEST_ID, host_key, text_of};
use crate::path::{PathFault, SafePath, safe_path, strip_prefix};
use crate::problem::Fault;
use crate::request::RequestLife;
use crate::table::{Goal, RouteRule};
use crate::upload::Inbound;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use std::borrow::Cow;
use std::sync::Arc;

/// Answers one request. Never fails: what goes wrong becomes the answer.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    sink: Arc<dyn AccessSink>,
    client: Arc<ClientState>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let (parts, incoming) = request.into_parts();
    let id = shared.ids.accept_or_make(&parts.headers);
    let accept = parts.headers.get(header::ACCEPT).cloned();
    let record = first_record(&parts, &id, &client);
    let mut life = RequestLife::begin(Arc::clone(&shared), sink, Arc::clone(&client), record);
    let mut route = None;
    let mut answer = match route_and_go(&shared, &client, &mut life, &mut route, parts, incoming).await {
        Ok(answer) => answer,
        Err(fault) => {
            life.note(&fault.record());
            fault.answer(accept.as_ref(), id.to_str().unwrap_or(""))
        }
    };
    if let Some(route) = route {
        for (name, value) in &route.answer_headers {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer.headers_mut().insert(X_REQUEST_ID, id);
    life.record().status = answer.status().as_u16();
    client.begin_body();
    answer.body_mut().carry(life);
    answer
}

fn first_record(parts: &Parts, id: &HeaderValue, client: &ClientState) -> AccessRecord {
    let path = parts.uri.path_and_query().cloned();
    AccessRecord {
        at_ms: 0,
        request_id: Text::new(id.clone()),
        client: client.address,
        caller: None,
        method: parts.method.clone(),
        host: text_of(parts.headers.get(header::HOST)),
        path: RequestPath::new(path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"))),
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

async fn route_and_go(
    shared: &Arc<Shared>,
    client: &ClientState,
    life: &mut RequestLife,
    used: &mut Option<Arc<RouteRule>>,
    mut parts: Parts,
    incoming: Incoming,
) -> Result<Response<AnswerBody>, Fault> {
    check_framing(client, &parts)?;
    check_protocol(&parts)?;
    let host = named_host(life, &mut parts)?;
    let raw_path = parts.uri.path().to_owned();
    let path = safe_path(&raw_path).map_err(path_fault)?;
    let key = host.as_ref().map_or(Ok(Cow::Borrowed("")), |host| {
        let text = host.to_str().ok().and_then(host_key);
        text.ok_or(Fault::BadRequest { why: "its host is no host name" })
    })?;
    let found = shared.table.load().find(&key, &path.text).cloned();
    let Some(route) = found else {
        return Err(Fault::NoRoute { host: key.into_owned() });
    };
    life.routed(&route);
    let route = used.insert(route);
    match &route.goal {
        Goal::Files(files) => {
            let text = strip_text(&path, route.strip.as_deref());
            // Boxed, as all rarer roads are: the future of every request is moved several times.
            Box::pin(files.answer(&parts.method, &parts.headers, &text)).await
        }
        Goal::Service(service) => {
            let wire_path = match &route.strip {
                Some(strip) => strip_prefix(&path, strip),
                None => Cow::Borrowed(&*path.wire),
            };
            let errand = Errand {
                service: Arc::clone(service),
                route: Arc::clone(route),
                lookup: Lookup::Route { host_key: &key, path: &path.text },
                wire_path: &wire_path,
                host: host.as_ref(),
                parts,
                inbound: Inbound::Client(incoming),
            };
            forward(life, errand).await
        }
    }
}

/// What the HTTP library lets pass and we do not.
fn check_framing(client: &ClientState, parts: &Parts) -> Result<(), Fault> {
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if client.head_has_two_lengths(parts.method.as_str()) {
            return Err(Fault::BadRequest { why: "it has both Content-Length and Transfer-Encoding" });
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::BadRequest { why: "its Transfer-Encoding is not just `chunked`" });
        }
    }
    client.forget_head();
    Ok(())
}

pub(crate) fn check_protocol(parts: &Parts) -> Result<(), Fault> {
    if parts.method == Method::CONNECT {
        return Err(Fault::Upgrade { protocol: "CONNECT".to_owned() });
    }
    // An offer of h2c may be ignored (RFC 9110, section 7.8); curl makes it. WebSocket clients would
    // only stumble over a plain answer, so they are told.
    match parts.headers.get(header::UPGRADE).map(HeaderValue::as_bytes) {
        Some(offer) if !offer.eq_ignore_ascii_case(b"h2c") => {
            Err(Fault::Upgrade { protocol: String::from_utf8_lossy(offer).into_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

/// The host that is meant. The one in an absolute target counts more than the header
/// (RFC 9112, section 3.2.2).
fn named_host(life: &mut RequestLife, parts: &mut Parts) -> Result<Option<HeaderValue>, Fault> {
    let mut named = parts.headers.get_all(header::HOST).iter();
    let first = named.next().cloned();
    if named.next().is_some() {
        return Err(Fault::BadRequest { why: "it names its host twice" });
    }
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.map_err(|_| Fault::BadRequest { why: "its host is no host name" })?;
        parts.headers.insert(header::HOST, host.clone());
        life.record().host = Text::new(host.clone());
        return Ok(Some(host));
    }
    if first.is_none() && parts.version != Version::HTTP_10 {
        return Err(Fault::BadRequest { why: "it names no host, which HTTP/1.1 demands" });
    }
    Ok(first)
}

pub(crate) fn path_fault(fault: PathFault) -> Fault {
    let why = match fault {
        PathFault::Form => "its target is no path",
        PathFault::Escape => "its path has a `%` without two hexadecimal digits",
        PathFault::Control => "its path has a control character",
        PathFault::Climb => "its path climbs out of the root",
    };
    Fault::BadRequest { why }
}

/// The decoded path below `strip`, for files.
fn strip_text<'a>(path: &'a SafePath<'_>, strip: Option<&str>) -> Cow<'a, str> {
    let strip = strip.unwrap_or("").trim_end_matches('/');
    match path.text.strip_prefix(strip) {
        Some("") => Cow::Borrowed("/"),
        Some(rest) if rest.starts_with('/') => Cow::Borrowed(rest),
        Some(_) | None => Cow::Borrowed(&path.text),
    }
}
