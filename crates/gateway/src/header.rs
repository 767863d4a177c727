//! Header rules: what belongs to one connection only, what a client may not claim, what we add.

use crate::access::Text;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Removes what belongs to one connection only (RFC 9110, section 7.6.1), and whatever `Connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    remove_all(headers, is_hop_by_hop);
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Claims about the way a request came. The gateway is the edge, nobody trusted stands before it,
/// so these are removed, and some of them said anew.
fn is_claim(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-forwarded-proto"
            | "x-real-ip"
    )
}

/// Looking at each of the few headers there is costs less than asking the map for all that might be.
fn remove_all(headers: &mut HeaderMap, is_unwanted: fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| is_unwanted(name.as_str())) {
        let name = name.clone();
        headers.remove(name);
    }
}

/// `Connection: host` or `content-length` would let a client take away what the message needs.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            match HeaderName::from_bytes(token.trim_ascii()) {
                Ok(header::HOST | header::CONTENT_LENGTH | header::CONNECTION) | Err(_) => {}
                Ok(name) => names.push(name),
            }
        }
    }
    names
}

/// Replaces all claims about the way of the request by what is known here.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, client: &HeaderValue, host: Option<&HeaderValue>) {
    remove_all(headers, is_claim);
    headers.insert(X_FORWARDED_FOR, client.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
}

/// Makes request ids: a part that differs between starts, and a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    start: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> RequestIds {
        let random = RandomState::new().hash_one(0_u8);
        RequestIds { start: (random >> 40) as u32, next: AtomicU64::new(1) }
    }

    /// The client's id when it is harmless, else a new one.
    pub(crate) fn accept_or_make(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(X_REQUEST_ID) {
            Some(id) if is_request_id(id.as_bytes()) => id.clone(),
            Some(_) | None => self.make(),
        }
    }

    /// The id that somebody of ours gave when it is harmless, else a new one.
    pub(crate) fn keep_or_make(&self, id: Option<&str>) -> HeaderValue {
        let kept = id.filter(|id| is_request_id(id.as_bytes()));
        kept.and_then(|id| HeaderValue::from_str(id).ok()).unwrap_or_else(|| self.make())
    }

    pub(crate) fn make(&self) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"000000-0000000000";
        let mut number =
            (u64::from(self.start) << 40) | (self.next.fetch_add(1, Ordering::Relaxed) & 0xff_ffff_ffff);
        for place in text.iter_mut().rev().filter(|place| **place != b'-') {
            *place = DIGITS[(number & 15) as usize];
            number >>= 4;
        }
        HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
    }
}

fn is_request_id(text: &[u8]) -> bool {
    (6..=128).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(byte))
}

/// The host a header names, made comparable: lower case, no port, no final dot. `None`: no host name.
pub(crate) fn host_key(value: &str) -> Option<std::borrow::Cow<'_, str>> {
    let name = if value.starts_with('[') {
        let end = value.find(']')?;
        (value[end + 1..].is_empty() || is_port(&value[end + 1..])).then(|| &value[..=end])?
    } else {
        match value.find(':') {
            Some(at) => is_port(&value[at..]).then(|| &value[..at])?,
            None => value,
        }
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte);
    if name.is_empty() || name.len() > 255 || !name.bytes().all(allowed) {
        return None;
    }
    Some(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    })
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|port| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The text of a header for the record; empty when there is none.
pub(crate) fn text_of(value: Option<&HeaderValue>) -> Text {
    value.map_or(Text::EMPTY, |value| Text::new(value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[track_caller]
    fn check(given: &[(&'static str, &'static str)], expected: &[(&'static str, &'static str)]) {
        let mut found = headers(given);
        strip_hop_by_hop(&mut found);
        assert_eq!(found, headers(expected));
    }

    #[test]
    fn headers_of_one_connection_are_removed() {
        check(
            &[("te", "trailers"), ("upgrade", "x"), ("keep-alive", "timeout=5"), ("accept", "a")],
            &[("accept", "a")],
        );
        check(&[("transfer-encoding", "chunked"), ("proxy-authorization", "b"), ("x", "1")], &[("x", "1")]);
    }

    #[test]
    fn headers_that_connection_names_are_removed_but_not_the_frame() {
        check(
            &[
                ("connection", "X-One, close"),
                ("connection", "x-two"),
                ("x-one", "1"),
                ("x-two", "2"),
                ("x", "3"),
            ],
            &[("x", "3")],
        );
        check(
            &[("connection", "host, content-length, bad name"), ("host", "h"), ("content-length", "1")],
            &[("host", "h"), ("content-length", "1")],
        );
    }

    #[test]
    fn claims_of_the_client_are_replaced() {
        let mut found = headers(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
        ]);
        let client = HeaderValue::from_static("127.0.0.1");
        set_forwarded(&mut found, &client, Some(&HeaderValue::from_static("shop.example")));
        let expected = headers(&[
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "shop.example"),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn request_ids_are_kept_when_harmless_and_differ_when_made() {
        let ids = RequestIds::new();
        let kept = ids.accept_or_make(&headers(&[("x-request-id", "abc.DEF:12-3_x")]));
        assert_eq!(kept, "abc.DEF:12-3_x");
        for bad in ["short", "with space", "semi;colon", "ümlaut"] {
            let mut map = HeaderMap::new();
            map.insert(X_REQUEST_ID, HeaderValue::from_bytes(bad.as_bytes()).unwrap());
            assert!(is_request_id(ids.accept_or_make(&map).as_bytes()));
            assert_ne!(ids.accept_or_make(&map), bad);
        }
        assert_ne!(ids.make(), ids.make());
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_final_dot() {
        for (given, expected) in [
            ("Shop.Example", Some("shop.example")),
            ("shop.example:8080", Some("shop.example")),
            ("shop.example.", Some("shop.example")),
            ("[::1]:8080", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("", None),
            (":80", None),
            ("a b", None),
            ("shop.example:http", None),
            ("user@shop.example", None),
            ("[::1", None),
            ("[::1]x", None),
            ("a/b", None),
        ] {
            assert_eq!(host_key(given).as_deref(), expected, "{given}");
        }
    }
}
