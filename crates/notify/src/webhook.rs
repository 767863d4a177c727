//! An alert as one POST: signed, bounded, never redirected. Knows no retries; it only says what is worth
//! one.

use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{Context, origin};
use crate::tls::Protocol;
use crate::{DeliverError, Job, Receipt, body};

/// So much of a refusal's body is read.
const REFUSAL_BYTES_MAX: usize = 4096;
/// So long a refusal's body is waited for: the status has already decided.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);
/// A receiver may ask to be left alone for at most this long.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// The road.
#[derive(Clone, Copy)]
pub(crate) struct Hook<'a> {
    pub(crate) url: &'a str,
    pub(crate) signed: bool,
}

pub(crate) async fn deliver(
    context: &Context,
    job: &Job<'_>,
    hook: Hook<'_>,
) -> Result<Receipt, DeliverError> {
    let target = Target::parse(context, hook.url)?;
    let request = request(context, job, hook, &target)?;
    let exchanged = tokio::time::timeout(job.within, async {
        if target.tls {
            let config = job.trust.client_config(Protocol::Http).await.map_err(|why| context.passing(why))?;
            let stream = target.connect(context).await?;
            let name = ServerName::try_from(target.host.clone()).map_err(|_| {
                context.permanent("the host of the address is no name that TLS knows; correct it")
            })?;
            let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
                let said = context.said(&error.to_string());
                context.passing(format!(
                    "TLS fails: {said}; check the receiver's certificate and this machine's clock"
                ))
            })?;
            exchange(context, stream, request).await
        } else {
            exchange(context, target.connect(context).await?, request).await
        }
    });
    let status = exchanged.await.unwrap_or_else(|_| Err(context.timeout()))?;
    Ok(Receipt { evidence: format!("HTTP {} from {}", status.as_u16(), origin(hook.url)) })
}

struct Target {
    tls: bool,
    /// Without the brackets of IPv6.
    host: String,
    port: u16,
    /// As the `Host` header has it.
    authority: String,
    path: String,
}

impl Target {
    fn parse(context: &Context, url: &str) -> Result<Target, DeliverError> {
        let wrong = |why: &str| context.permanent(format!("{why}; correct the receiver's url in the plan"));
        let uri: Uri = url.parse().map_err(|_| wrong("the address cannot be read"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("the address begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("the address has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("the address holds a user or password, which a webhook does not get"));
        }
        let bracketed = authority.host();
        let host = bracketed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bracketed);
        if host.is_empty() {
            return Err(wrong("the address has no host"));
        }
        Ok(Target {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    async fn connect(&self, context: &Context) -> Result<TcpStream, DeliverError> {
        let opened = TcpStream::connect((self.host.as_str(), self.port)).await;
        opened.map_err(|error| {
            let said = context.said(&error.to_string());
            context.passing(format!("no connection: {said}; check address, network and receiver"))
        })
    }
}

fn request(
    context: &Context,
    job: &Job<'_>,
    hook: Hook<'_>,
    target: &Target,
) -> Result<Request<Full<Bytes>>, DeliverError> {
    let sent_at = body::now();
    let text = body::text(job, &sent_at);
    let event = format!("{}.{}", job.message.kind, job.message.state.as_str());
    let mut builder = Request::post(target.path.as_str())
        .header(header::HOST, target.authority.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("hausmeister/", env!("CARGO_PKG_VERSION")))
        .header("x-webhook-id", header_value(&job.message.id))
        .header("x-webhook-event", header_value(&event))
        .header("x-webhook-timestamp", header_value(&sent_at))
        .header("x-delivery-id", header_value(&job.delivery.id));
    match (&job.keys.secret, hook.signed) {
        (Some(key), _) => {
            builder = builder.header("x-webhook-signature", signature(key.expose_bytes(), &text));
        }
        // Sending without would teach the receiver to take unsigned ones.
        (None, true) => return Err(context.passing("its signing key is not there; look at the credential")),
        (None, false) => {}
    }
    builder.body(Full::new(Bytes::from(text))).map_err(|_| {
        context.permanent("the address cannot be asked for over HTTP; correct the receiver's url in the plan")
    })
}

/// `sha256=` and the HMAC-SHA256 (RFC 2104) of the body in hexadecimal.
fn signature(key: &[u8], text: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// Visible ASCII stays; everything else becomes `_`, so that no text can end a header.
fn header_value(text: &str) -> HeaderValue {
    let visible: String =
        text.chars().take(256).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    HeaderValue::from_str(&visible).expect("visible ASCII is a header value")
}

/// Sends and judges. The body of a success is not read: the receiver has it, whatever else it says.
async fn exchange<S>(
    context: &Context,
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, DeliverError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: hyper::Error| {
        let said = context.said(&haus_model::error::chain(&error));
        context.passing(format!("no proper answer over HTTP/1.1: {said}; look what listens there"))
    };
    let mut http = hyper::client::conn::http1::Builder::new();
    let opened = http.max_buf_size(64 * 1024).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status.is_success() { Ok(status) } else { Err(refusal(context, response).await) }
    };
    tokio::pin!(connection, answer);
    let mut ended = false;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            _ = &mut connection, if !ended => ended = true,
        }
    }
}

async fn refusal(context: &Context, response: Response<Incoming>) -> DeliverError {
    let status = response.status();
    let retry_after = retry_after(response.headers(), jiff::Timestamp::now());
    let text = read_some(response.into_body()).await;
    let said = match context.said(&String::from_utf8_lossy(&text)) {
        said if said.is_empty() => String::new(),
        said => format!(" ({said})"),
    };
    let advice = if status.is_redirection() {
        "redirects are not followed, since they would take the alert elsewhere; put the new address into the plan"
    } else if is_passing(status) {
        "it is tried again"
    } else {
        "it is not tried again; check the receiver's url and key"
    };
    let what = format!("it answered HTTP {}{said}; {advice}", status.as_u16());
    DeliverError { retry_after, ..context.error(what, is_passing(status)) }
}

/// Client errors stay, but for those that speak of time (RFC 9110, 6585, 8470); server errors pass.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// The beginning of a body, as far as it comes in time.
async fn read_some(mut body: Incoming) -> Vec<u8> {
    let mut text = Vec::new();
    let read = async {
        while text.len() < REFUSAL_BYTES_MAX {
            let Some(Ok(frame)) = body.frame().await else { break };
            if let Ok(data) = frame.into_data() {
                let room = REFUSAL_BYTES_MAX - text.len();
                text.extend_from_slice(&data[..data.len().min(room)]);
            }
        }
    };
    // Too late is as good as nothing: the words are only decoration.
    let _ = tokio::time::timeout(REFUSAL_WAIT, read).await;
    text
}

/// Seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO)
        }
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected_s: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        let now = "2026-11-21T03:00:00Z".parse().unwrap();
        assert_eq!(retry_after(&headers, now), expected_s.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn a_wish_to_be_left_alone_is_seconds_or_a_date() {
        check("120", Some(120));
        check("Sat, 21 Nov 2026 03:01:00 GMT", Some(60));
        check("Sat, 21 Nov 2026 02:00:00 GMT", Some(0));
        check("99999999999", Some(86_400));
        check("soon", None);
        check("-5", None);
    }

    #[test]
    fn a_signature_is_the_one_of_the_published_vector() {
        // RFC 4231, test case 2.
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(b"Jefe", b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn a_header_cannot_be_ended_by_a_text() {
        assert_eq!(header_value("a\r\nX-Admin: yes").to_str().unwrap(), "a__X-Admin:_yes");
    }
}
