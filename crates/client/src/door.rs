//! The way to a house, its control socket or a port, and one exchange over it.
//!
//! Every exchange has a connection of its own: a house that was restarted meanwhile is not noticed by the
//! next one. Knows HTTP, not what is asked.

use crate::error::ClientError;
use bytes::Bytes;
use haus_model::Secret;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, IF_MATCH};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// Longest answer that is read at once, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where the house answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The control socket.
    Socket(PathBuf),
    /// `HOST:PORT` of the API.
    Port(String),
}

impl fmt::Display for Door {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Door::Socket(path) => path.display().fmt(formatter),
            Door::Port(authority) => formatter.write_str(authority),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub method: &'static str,
    pub path: String,
    pub body: Bytes,
    /// The access token.
    pub bearer: Option<Secret>,
    /// Only when the thing still has this revision.
    pub revision: Option<u64>,
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    pub status: u16,
    path: String,
    body: Incoming,
    connection: JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Answer {
    /// The whole body.
    pub(crate) async fn whole(mut self) -> Result<Bytes, ClientError> {
        let body = http_body_util::Limited::new(&mut self.body, ANSWER_BYTES_MAX);
        let collected = body.collect().await.map_err(|source| broke(&self.path, source))?;
        Ok(collected.to_bytes())
    }

    /// The next part of the body; none at its end.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| broke(&self.path, error.into()))?;
            // Trailers are none of ours.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

fn broke(path: &str, source: Box<dyn std::error::Error + Send + Sync>) -> ClientError {
    ClientError::Exchange { path: path.to_owned(), source }
}

impl Door {
    /// Asks and waits for the head of the answer.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, ClientError> {
        let request = self.request(&ask)?;
        let connect = |source| ClientError::Connect { door: self.to_string(), source };
        match self {
            Door::Socket(path) => {
                exchange(UnixStream::connect(path).await.map_err(connect)?, request, ask.path).await
            }
            Door::Port(authority) => {
                let stream = TcpStream::connect(authority).await.map_err(connect)?;
                // The request is written whole; waiting for more would only delay it.
                let _ = stream.set_nodelay(true);
                exchange(stream, request, ask.path).await
            }
        }
    }

    fn request(&self, ask: &Ask) -> Result<http::Request<Full<Bytes>>, ClientError> {
        let host = match self {
            Door::Socket(_) => "localhost",
            Door::Port(authority) => authority,
        };
        let mut request = http::Request::builder().method(ask.method).uri(&ask.path).header(HOST, host);
        if !ask.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(revision) = ask.revision {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        if let Some(token) = &ask.bearer {
            request = request.header(AUTHORIZATION, bearer(token, &ask.path)?);
        }
        request
            .body(Full::new(ask.body.clone()))
            .map_err(|source| ClientError::Request { path: ask.path.clone(), source })
    }
}

fn bearer(token: &Secret, path: &str) -> Result<HeaderValue, ClientError> {
    let text = Secret::new([b"Bearer ", token.expose_bytes()].concat());
    let mut value = HeaderValue::from_bytes(text.expose_bytes())
        .map_err(|error| ClientError::Request { path: path.to_owned(), source: error.into() })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: http::Request<Full<Bytes>>,
    path: String,
) -> Result<Answer, ClientError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broke(&path, error.into()))?;
    // An error of the connection shows as an error of the exchange.
    let connection = tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(|error| broke(&path, error.into()))?;
    let (head, body) = response.into_parts();
    Ok(Answer { status: head.status.as_u16(), path, body, connection })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(bearer: &str) -> Ask {
        Ask {
            method: "PUT",
            path: "/api/credentials/x".to_owned(),
            body: Bytes::from_static(b"{}"),
            bearer: Some(Secret::from(bearer.to_owned())),
            revision: Some(7),
        }
    }

    #[test]
    fn a_request_names_its_host_its_holder_and_the_revision_that_it_means() {
        let request = Door::Port("127.0.0.1:8000".to_owned()).request(&ask("abc.def")).unwrap();
        let header = |name: http::HeaderName| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            [header(HOST), header(AUTHORIZATION), header(IF_MATCH), header(CONTENT_TYPE)],
            ["127.0.0.1:8000", "Bearer abc.def", "\"7\"", "application/json"]
        );
        assert!(!format!("{request:?}").contains("abc.def"), "the token is marked as sensitive");
    }

    #[test]
    fn a_token_cannot_bring_a_header_of_its_own() {
        let error = Door::Port("h:1".to_owned()).request(&ask("abc\r\nX: 1")).unwrap_err();
        assert!(matches!(error, ClientError::Request { .. }), "{error:?}");
        assert!(!haus_model::error::chain(&error).contains("abc"), "{error:?}");
    }
}
