//! Bodies of a call for the API's log, when the plan lets them be logged: cleaned and cut.
//!
//! Threat: a password in a log. Only what has a form in which secrets can be found by their names is shown,
//! JSON and forms; of everything else only the size is told. Names that hint at a secret lose their values,
//! and values that look like a token are taken out wherever they stand.

use crate::api::Caller;
use crate::api_log::Bodies;
use crate::desk::Desk;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, header};
use haus_api::{Problem, ProblemCode};
use haus_model::ServiceName;
use haus_model::house::LogBodies;
use http_body::{Frame, SizeHint};
use serde_json::Value;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

/// The header by which a caller asks for its bodies to be logged: `yes`.
pub(super) const HEADER: &str = "x-haus-log-bodies";

/// Bytes that are shown of a body (the zimmer document's cap).
const SHOWN_BYTES_MAX: usize = 10_000;

/// Bytes that are read along to clean them. What is larger is not shown: half a JSON text cannot be
/// understood.
const READ_BYTES_MAX: usize = 64 << 10;

/// Parts of names whose values are secret, without dashes and underscores.
const SECRET_PARTS: [&str; 13] = [
    "passw",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "authorization",
    "credential",
    "cookie",
    "session",
    "privatekey",
    "signature",
    "bearer",
    "otp",
];

/// Names whose values are secret as a whole.
const SECRET_NAMES: [&str; 4] = ["pin", "key", "auth", "pwd"];

/// How values begin that are secret under any name.
const SECRET_STARTS: [&str; 8] =
    ["haus_en_", "haus_re_", "eyJ", "Bearer ", "Basic ", "ghp_", "sk-", "-----BEGIN"];

const HIDDEN: &str = "***";

/// A body as the log shows it.
fn shown(headers: &HeaderMap, body: &Seen) -> Option<String> {
    let Seen { bytes, total } = body;
    if *total == 0 {
        return None;
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_plain = !headers.contains_key(header::CONTENT_ENCODING) && *total == bytes.len() as u64;
    let cleaned = match kind.as_str() {
        _ if !is_plain => None,
        "application/x-www-form-urlencoded" => std::str::from_utf8(bytes).ok().map(clean_form),
        _ if kind.ends_with("/json") || kind.ends_with("+json") => clean_json(bytes),
        _ => None,
    };
    let mut text = cleaned.unwrap_or_else(|| format!("({total} bytes that are not shown)"));
    if text.len() > SHOWN_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    Some(text)
}

fn clean_json(bytes: &[u8]) -> Option<String> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    clean(&mut value);
    Some(value.to_string())
}

fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if is_secret_name(name) {
                    *value = Value::from(HIDDEN);
                } else {
                    clean(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::String(text) if is_secret_text(text) => *value = Value::from(HIDDEN),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn clean_form(text: &str) -> String {
    let pairs = text.split('&').map(|pair| match pair.split_once('=') {
        // An encoded name could hide what it is.
        Some((name, value)) if !is_secret_name(name) && !name.contains('%') && !is_secret_text(value) => {
            pair.to_owned()
        }
        Some((name, _)) => format!("{name}={HIDDEN}"),
        None => HIDDEN.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    SECRET_NAMES.contains(&plain.as_str()) || SECRET_PARTS.iter().any(|part| plain.contains(part))
}

fn is_secret_text(text: &str) -> bool {
    SECRET_STARTS.iter().any(|start| text.contains(start))
}

/// What was read along of a body.
#[derive(Clone, Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    total: u64,
}

impl Seen {
    fn add(&mut self, data: &Bytes) {
        self.total += data.len() as u64;
        if self.total <= READ_BYTES_MAX as u64 {
            self.bytes.extend_from_slice(data);
        }
    }
}

/// Both bodies of a call; written down when nobody reads them any more.
pub(super) struct Watch {
    desk: Arc<Desk>,
    request_id: String,
    service: String,
    request_headers: HeaderMap,
    answer_headers: OnceLock<HeaderMap>,
    request: Mutex<Seen>,
    answer: Mutex<Seen>,
}

impl Watch {
    /// Watches a call when the plan and its caller want it.
    ///
    /// # Errors
    /// The header says neither yes nor no.
    pub(super) fn wanted(
        desk: &Arc<Desk>,
        caller: &Caller,
        service: &ServiceName,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Watch>>, Problem> {
        let asked = match headers.get(HEADER).map(HeaderValue::as_bytes) {
            None => None,
            Some(b"no") => Some(false),
            Some(b"yes") => Some(true),
            Some(_) => return Err(Problem::new(ProblemCode::Invalid, "X-Haus-Log-Bodies is `yes` or `no`")),
        };
        // What others sent is in a body as well, so the plan has the word, and a caller only within it.
        let is_wanted = match desk.house().api.log_bodies {
            LogBodies::Never => false,
            LogBodies::Asked => asked == Some(true),
            LogBodies::Always => asked != Some(false),
        };
        if !is_wanted {
            return Ok(None);
        }
        Ok(Some(Arc::new(Watch {
            desk: Arc::clone(desk),
            request_id: caller.request_id.clone(),
            service: service.to_string(),
            request_headers: headers.clone(),
            answer_headers: OnceLock::new(),
            request: Mutex::default(),
            answer: Mutex::default(),
        })))
    }

    /// The kind of the answer's body is known.
    pub(super) fn answered(&self, headers: &HeaderMap) {
        // There is one answer.
        let _ = self.answer_headers.set(headers.clone());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let read = |seen: &Mutex<Seen>| seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer_body = self.answer_headers.get().and_then(|headers| shown(headers, &read(&self.answer)));
        self.desk.api_log.record_bodies(Bodies {
            at: self.desk.clock.wall().to_string(),
            request_id: self.request_id.clone(),
            service: self.service.clone(),
            request_body: shown(&self.request_headers, &read(&self.request)),
            answer_body,
        });
    }
}

/// A body that is read along.
pub(super) struct ReadAlong {
    body: Body,
    watch: Arc<Watch>,
    pick: fn(&Watch) -> &Mutex<Seen>,
}

impl ReadAlong {
    /// Reads the request's body along.
    pub(super) fn request(body: Body, watch: &Arc<Watch>) -> Body {
        Body::new(ReadAlong { body, watch: Arc::clone(watch), pick: |watch| &watch.request })
    }

    /// Reads the answer's body along.
    pub(super) fn answer(body: Body, watch: &Arc<Watch>) -> Body {
        Body::new(ReadAlong { body, watch: Arc::clone(watch), pick: |watch| &watch.answer })
    }
}

impl HttpBody for ReadAlong {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            (self.pick)(&self.watch).lock().unwrap_or_else(PoisonError::into_inner).add(data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        seen.add(&Bytes::copy_from_slice(bytes));
        seen
    }

    fn check(kind: &'static str, body: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        assert_eq!(shown(&headers, &seen(body.as_bytes())).as_deref(), expected, "{body}");
    }

    #[test]
    fn names_and_values_that_hint_at_a_secret_are_hidden_at_any_depth() {
        const JSON: &str = "application/json; charset=utf-8";
        check(JSON, r#"{"a":1,"Pass-Word":"x"}"#, Some(r#"{"Pass-Word":"***","a":1}"#));
        check(
            JSON,
            r#"[{"db_password":{"deep":1}},{"shipping":"x"}]"#,
            Some(r#"[{"db_password":"***"},{"shipping":"x"}]"#),
        );
        check(JSON, r#"{"note":"use Bearer abc"}"#, Some(r#"{"note":"***"}"#));
        check(
            JSON,
            r#"{"API_KEY":7,"key":"k","monkey":"m"}"#,
            Some(r#"{"API_KEY":"***","key":"***","monkey":"m"}"#),
        );
        check(
            "application/x-www-form-urlencoded",
            "a=1&token=x&p%61ss=y&z",
            Some("a=1&token=***&p%61ss=***&***"),
        );
    }

    #[test]
    fn what_cannot_be_cleaned_is_not_shown() {
        check("text/plain", "password: x", Some("(11 bytes that are not shown)"));
        check("application/json", "{broken password", Some("(16 bytes that are not shown)"));
        check("application/json", "", None);
        let large = seen(format!("[\"{}\"]", "x".repeat(70_000)).as_bytes());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert_eq!(shown(&headers, &large).as_deref(), Some("(70004 bytes that are not shown)"));
        let long = seen(format!("[\"{}\"]", "ü".repeat(9_000)).as_bytes());
        let text = shown(&headers, &long).unwrap();
        assert!(text.len() <= SHOWN_BYTES_MAX && text.ends_with('…'), "{}", text.len());
    }
}
