//! What is told about each request, and the port it is told to. Knows neither file nor format.

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Receives one record per request, after its answer has ended.
///
/// It is called on the request's own task: it must not block and must not wait; a sink that writes hands
/// the record to a queue. Records of different connections arrive in any order and from any thread.
pub trait AccessSink: Send + Sync {
    /// Takes a record.
    fn record(&self, record: AccessRecord);
}

/// One finished request.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// When its head was complete, milliseconds since 1970 (wall clock).
    pub at_ms: i64,
    /// The id that client, upstream and log share.
    pub request_id: Text,
    /// Who asked.
    pub client: IpAddr,
    /// On whose behalf, when the request came by [`Handle::call`](crate::Handle::call): visible ASCII, no
    /// spaces.
    pub caller: Option<Arc<str>>,
    /// The method.
    pub method: Method,
    /// The host as asked for; empty when none was named.
    pub host: Text,
    /// The path, without query: queries carry secrets too often.
    pub path: RequestPath,
    /// The route's name; absent when none matched.
    pub route: Option<Arc<str>>,
    /// The service; absent for files and unmatched requests.
    pub service: Option<Arc<str>>,
    /// The instance that answered, or was asked last.
    pub instance: Option<Arc<str>>,
    /// Status sent; 499 when the client left before there was one.
    pub status: u16,
    /// Instances asked.
    pub attempts: u32,
    /// Request body bytes read from the client.
    pub bytes_in: u64,
    /// Answer body bytes passed to the client.
    pub bytes_out: u64,
    /// From the complete head to the end of the answer.
    pub took_us: u64,
    /// One sentence when something went wrong or was repeated.
    pub why: Option<String>,
}

/// Text that shares its bytes with the request it came from, so that a record copies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(HeaderValue);

impl Text {
    pub(crate) const EMPTY: Text = Text(HeaderValue::from_static(""));

    pub(crate) fn new(value: HeaderValue) -> Text {
        Text(value)
    }

    pub(crate) fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The text; empty when it is no visible ASCII.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("")
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request path that shares its bytes with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath(PathAndQuery);

impl RequestPath {
    pub(crate) fn new(path: PathAndQuery) -> RequestPath {
        RequestPath(path)
    }

    /// The path without its query.
    pub fn as_str(&self) -> &str {
        self.0.path()
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A sink that keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAccessLog;

impl AccessSink for NoAccessLog {
    fn record(&self, _record: AccessRecord) {}
}
