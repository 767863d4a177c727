//! The answers that the gateway gives itself: one sentence that says what is wrong and what to do,
//! as RFC 9457 JSON for programs and as a small page for people.

use crate::body::AnswerBody;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use std::time::Duration;

/// Why a request gets no answer from a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request breaks the rules of HTTP, or ours; the text says which.
    BadRequest { why: &'static str },
    /// Nothing is routed here.
    NoRoute { host: String },
    /// A method that a file does not know.
    MethodNotAllowed,
    /// The client sent nothing for this long.
    ClientTimeout { waited: Duration },
    /// The body is larger than the route allows.
    BodyTooLarge { limit_bytes: u64 },
    /// The target is longer than any client should need.
    TargetTooLong,
    /// Too many or too long headers.
    HeadTooLarge,
    /// A protocol change that is not offered.
    Upgrade { protocol: String },
    /// The instance could not be reached or broke off; `what` continues "instance …".
    Unreachable { instance: String, what: String },
    /// No instance may be asked.
    NoInstance { service: String, why: String, retry_after: Duration },
    /// The instance did not answer in time.
    Timeout { instance: String, waited: Duration },
    /// A file is missing below a route.
    NoFile,
    /// The folder of a route is not what its plan means. To the visitor it is a missing file; `why` names
    /// folders and accounts and is only for the record.
    FolderRefused { why: String },
    /// A file cannot be read; `what` names the reason of the system.
    FileUnreadable { what: String },
}

impl Fault {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Fault::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Fault::NoRoute { .. } | Fault::NoFile | Fault::FolderRefused { .. } => StatusCode::NOT_FOUND,
            Fault::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Fault::ClientTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Fault::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Fault::TargetTooLong => StatusCode::URI_TOO_LONG,
            Fault::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Fault::Upgrade { .. } => StatusCode::NOT_IMPLEMENTED,
            Fault::Unreachable { .. } => StatusCode::BAD_GATEWAY,
            Fault::NoInstance { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Fault::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Fault::FileUnreadable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Last part of the type URN; never changes once published.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Fault::BadRequest { .. } => "bad-request",
            Fault::NoRoute { .. } => "no-route",
            Fault::NoFile | Fault::FolderRefused { .. } => "no-file",
            Fault::MethodNotAllowed => "method-not-allowed",
            Fault::ClientTimeout { .. } => "client-timeout",
            Fault::BodyTooLarge { .. } => "body-too-large",
            Fault::TargetTooLong => "target-too-long",
            Fault::HeadTooLarge => "head-too-large",
            Fault::Upgrade { .. } => "upgrade-not-offered",
            Fault::Unreachable { .. } => "instance-unreachable",
            Fault::NoInstance { .. } => "no-instance",
            Fault::Timeout { .. } => "instance-timeout",
            Fault::FileUnreadable { .. } => "file-unreadable",
        }
    }

    /// The sentence for the log.
    pub(crate) fn record(&self) -> String {
        if let Fault::FolderRefused { why } = self { why.clone() } else { self.sentence() }
    }

    /// The sentence for programs.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Fault::BadRequest { why } => format!("the request is not understood: {why}"),
            Fault::NoRoute { host } => {
                format!("nothing is routed for host `{host}` and this path; `haus status` lists the routes")
            }
            Fault::NoFile | Fault::FolderRefused { .. } => "there is no such file on this route".to_owned(),
            Fault::MethodNotAllowed => "files are only read: use GET or HEAD".to_owned(),
            Fault::ClientTimeout { waited } => {
                format!("no byte of the request body arrived for {} s; send it again", waited.as_secs())
            }
            Fault::BodyTooLarge { limit_bytes } => format!(
                "the request body is larger than the {limit_bytes} bytes this route allows; raise `max_body` of the route or send less"
            ),
            Fault::TargetTooLong => "the request target is too long; send data in the body".to_owned(),
            Fault::HeadTooLarge => {
                "the request has more than 100 headers or 32 KiB of them; delete cookies for this site"
                    .to_owned()
            }
            Fault::Upgrade { protocol } => {
                format!("switching to `{protocol}` is not offered here yet; ask for it with plain HTTP/1.1")
            }
            Fault::Unreachable { instance, what } => {
                format!("instance {instance} {what}; `haus logs` of its service shows its side")
            }
            Fault::NoInstance { service, why, .. } => {
                format!("service {service} has no usable instance: {why}; try again shortly")
            }
            Fault::Timeout { instance, waited } => format!(
                "instance {instance} gave no answer within {}; raise `timeout` of the route if that is normal",
                seconds(*waited)
            ),
            Fault::FileUnreadable { what } => format!("the file cannot be read: {what}"),
        }
    }

    /// The same sentence in German, for the page.
    fn sentence_german(&self) -> String {
        match self {
            Fault::BadRequest { .. } => "Die Anfrage ist nicht verständlich".to_owned(),
            Fault::NoRoute { host } => format!("Für `{host}` und diesen Pfad ist kein Dienst eingetragen"),
            Fault::NoFile | Fault::FolderRefused { .. } => "Diese Datei gibt es hier nicht".to_owned(),
            Fault::MethodNotAllowed => "Dateien können nur gelesen werden".to_owned(),
            Fault::ClientTimeout { waited } => {
                format!(
                    "{} s lang kam nichts mehr von der Anfrage an; bitte noch einmal senden",
                    waited.as_secs()
                )
            }
            Fault::BodyTooLarge { limit_bytes } => {
                format!("Die Anfrage ist größer als die erlaubten {limit_bytes} Bytes")
            }
            Fault::TargetTooLong => "Die Adresse ist zu lang".to_owned(),
            Fault::HeadTooLarge => {
                "Die Kopfzeilen der Anfrage sind zu groß; Cookies dieser Seite löschen hilft".to_owned()
            }
            Fault::Upgrade { protocol } => {
                format!("Der Wechsel zu `{protocol}` wird hier noch nicht angeboten")
            }
            Fault::Unreachable { instance, .. } => format!("Die Instanz {instance} ist nicht erreichbar"),
            Fault::NoInstance { service, .. } => {
                format!(
                    "Der Dienst {service} hat gerade keine nutzbare Instanz; bitte gleich noch einmal versuchen"
                )
            }
            Fault::Timeout { instance, waited } => {
                format!("Die Instanz {instance} hat nicht innerhalb von {} geantwortet", seconds(*waited))
            }
            Fault::FileUnreadable { .. } => "Die Datei kann nicht gelesen werden".to_owned(),
        }
    }

    /// The whole answer. `accept` decides between page and JSON.
    pub(crate) fn answer(&self, accept: Option<&HeaderValue>, request_id: &str) -> Response<AnswerBody> {
        let (kind, text) = if wants_page(accept) {
            ("text/html; charset=utf-8", self.page(request_id))
        } else {
            ("application/problem+json", self.json(request_id))
        };
        let mut answer = Response::new(AnswerBody::full(Bytes::from(text)));
        *answer.status_mut() = self.status();
        self.headers(kind, answer.headers_mut());
        answer
    }

    /// For a connection whose head could not be read: a complete answer as bytes, the last one on it.
    pub(crate) fn raw_answer(&self, request_id: &str) -> Vec<u8> {
        let status = self.status();
        let body = self.json(request_id);
        format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
             connection: close\r\nx-request-id: {request_id}\r\ncontent-length: {}\r\n\r\n{body}",
            status.as_u16(),
            status.canonical_reason().unwrap_or("Error"),
            body.len(),
        )
        .into_bytes()
    }

    fn headers(&self, kind: &'static str, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Fault::NoInstance { retry_after, .. } = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        }
        if matches!(self, Fault::BadRequest { .. }) {
            // Who sends such a request may mean the rest of its bytes differently than we read them.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if matches!(self, Fault::MethodNotAllowed) {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
    }

    fn json(&self, request_id: &str) -> String {
        let status = self.status();
        format!(
            "{{\"type\":\"urn:hausmeister:problem:{}\",\"title\":\"{}\",\"status\":{},\"detail\":\"{}\",\"request_id\":\"{}\"}}\n",
            self.code(),
            status.canonical_reason().unwrap_or("Error"),
            status.as_u16(),
            json_text(&self.sentence()),
            json_text(request_id),
        )
    }

    fn page(&self, request_id: &str) -> String {
        let status = self.status();
        let reason = status.canonical_reason().unwrap_or("Error");
        format!(
            "<!doctype html><html lang=\"de\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{code} {reason}</title><style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:40em;margin:15vh auto;padding:0 1em}}\
             small{{color:#666}}</style><h1>{code}</h1><p>{german}.</p><p lang=\"en\">{english}.</p><p><small>{id}</small></p></html>\n",
            code = status.as_u16(),
            german = html_text(&self.sentence_german()),
            english = html_text(&capital(&self.sentence())),
            id = html_text(request_id),
        )
    }
}

/// A span for people: `300 ms` below a second, `30 s` above.
fn seconds(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        format!("{} ms", span.as_millis())
    } else {
        format!("{} s", span.as_secs())
    }
}

/// Browsers name `text/html` first or early; programs say `*/*` or their own type.
fn wants_page(accept: Option<&HeaderValue>) -> bool {
    accept.and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("text/html"))
}

fn capital(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn json_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            control if control < ' ' => escaped.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => escaped.push(other),
        }
    }
    escaped
}

fn html_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
