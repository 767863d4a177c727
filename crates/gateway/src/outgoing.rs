//! Turning a client's request into ours: path, headers, body.

use crate::gateway::Shared;
use crate::header::{X_REQUEST_ID, set_forwarded, strip_hop_by_hop};
use crate::limits::REPLAY_BYTES_MAX;
use crate::problem::Fault;
use crate::request::RequestLife;
use crate::table::RouteRule;
use crate::upload::{Inbound, Upload};
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

/// Whether sending it twice means the same as sending it once (RFC 9110, section 9.2.2).
pub(crate) fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::TRACE].contains(method)
}

/// Changes the head from the client's to ours.
///
/// # Errors
/// The path cannot be written as a target.
pub(crate) fn prepare_head(
    parts: &mut Parts,
    route: &RouteRule,
    wire_path: &str,
    host: Option<&HeaderValue>,
    life: &mut RequestLife,
) -> Result<(), Fault> {
    if parts.uri.authority().is_some() || parts.uri.path() != wire_path {
        parts.uri = target(wire_path, parts.uri.query())?;
    }
    parts.version = Version::HTTP_11;
    let headers = &mut parts.headers;
    strip_hop_by_hop(headers);
    for name in &route.deny_headers {
        headers.remove(name);
    }
    // The gateway has answered `100-continue` itself as soon as it reads the body.
    headers.remove(header::EXPECT);
    set_forwarded(headers, &life.client().forwarded_for, host);
    headers.insert(X_REQUEST_ID, life.record().request_id.to_header());
    if host.is_none() {
        // HTTP/1.0 may come without; HTTP/1.1, which we speak, may not.
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    Ok(())
}

fn target(path: &str, query: Option<&str>) -> Result<Uri, Fault> {
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let target =
        PathAndQuery::try_from(text).map_err(|_| Fault::BadRequest { why: "its target is no path" })?;
    Ok(Uri::from(target))
}

/// Takes the body: checks what it declares, and reads it in when it is small and may be needed twice.
pub(crate) async fn prepare_upload(
    life: &mut RequestLife,
    route: &RouteRule,
    parts: &Parts,
    inbound: Inbound,
    may_replay: bool,
) -> Result<Upload, Fault> {
    if inbound.is_end_stream() {
        return Ok(Upload::Empty);
    }
    let declared = inbound.declared_bytes(&parts.headers);
    if declared.is_some_and(|bytes| bytes > route.max_body_bytes) {
        return Err(Fault::BodyTooLarge { limit_bytes: route.max_body_bytes });
    }
    if let Some(length) = declared.filter(|bytes| may_replay && *bytes <= REPLAY_BYTES_MAX) {
        let bytes = Box::pin(read_whole(life.shared(), inbound, length)).await?;
        life.record().bytes_in = bytes.len() as u64;
        return Ok(Upload::Whole(Some(bytes)));
    }
    let (upload, progress) = Upload::stream(inbound, route.max_body_bytes, life.shared().clock);
    life.upload = Some(progress);
    Ok(upload)
}

/// Reads a body whose declared length was found small. The HTTP library holds a client to it, and nobody but
/// us a call.
async fn read_whole(shared: &Shared, mut inbound: Inbound, length: u64) -> Result<Bytes, Fault> {
    let waited = shared.limits.body_idle;
    let mut whole = BytesMut::new();
    while let Some(frame) =
        timeout(waited, inbound.frame()).await.map_err(|_| Fault::ClientTimeout { waited })?
    {
        let frame = frame.map_err(|_| Fault::BadRequest { why: "its body broke off" })?;
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
        if whole.len() as u64 > length {
            break;
        }
    }
    if whole.len() as u64 != length {
        return Err(Fault::BadRequest { why: "its body is not as long as announced" });
    }
    Ok(whole.freeze())
}
