//! The typed client of a running house: HTTP over its control socket.
//!
//! Knows the API's types and the socket, nothing of how a house works inside.

mod error;

pub use error::ClientError;

use bytes::Bytes;
use haus_api::Problem;
use haus_api::control::{self, Done, Events, Reloaded, RestartRequest};
use haus_api::status::HouseStatus;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What to read of the journal.
#[derive(Clone, Debug, Default)]
pub struct EventsQuery {
    /// Only of this service or instance.
    pub subject: Option<String>,
    /// Only what came after this event.
    pub after_seq: Option<u64>,
    /// At most so many; the newest when `after_seq` is absent.
    pub limit: Option<usize>,
    /// How long to wait for a first event.
    pub wait: Option<Duration>,
}

impl EventsQuery {
    fn path(&self) -> String {
        let mut path = format!("{}?limit={}", control::EVENTS, self.limit.unwrap_or(50));
        if let Some(subject) = &self.subject {
            path.push_str(&format!("&subject={}", escaped(subject)));
        }
        if let Some(after) = self.after_seq {
            path.push_str(&format!("&after={after}"));
        }
        if let Some(wait) = self.wait.filter(|wait| !wait.is_zero()) {
            path.push_str(&format!("&wait_ms={}", wait.as_millis()));
        }
        path
    }
}

/// Text as the value of a query parameter; whether it names anything is for the house to say.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// A running house behind its control socket. Every call opens one connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
}

impl Client {
    /// A client of the house behind this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Client {
        Client { socket: socket.into(), patience: Duration::from_secs(30) }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The state of the whole house.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<HouseStatus, ClientError> {
        self.call("GET", control::STATUS, Bytes::new(), self.patience).await
    }

    /// Events of the journal, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, query: &EventsQuery) -> Result<Events, ClientError> {
        let wait = query.wait.unwrap_or_default();
        let path = query.path();
        self.call("GET", &path, Bytes::new(), self.patience + wait).await
    }

    /// Restarts a service or an instance.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn restart(&self, request: &RestartRequest) -> Result<Done, ClientError> {
        self.post(control::RESTART, request).await
    }

    /// Reads the plan again and applies the difference.
    ///
    /// # Errors
    /// See [`ClientError`]; a plan with errors is [`haus_api::ProblemCode::PlanRefused`].
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.post(control::RELOAD, &()).await
    }

    /// Asks the house to drain and end.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn down(&self) -> Result<Done, ClientError> {
        self.post(control::DOWN, &()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|source| ClientError::Shape { path: path.to_owned(), source })?;
        self.call("POST", path, body.into(), self.patience).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<T, ClientError> {
        let answer = tokio::time::timeout(within, self.exchange(method, path, body));
        let (status, bytes) =
            answer.await.map_err(|_| ClientError::Timeout { path: path.to_owned(), within })??;
        let shape = |source| ClientError::Shape { path: path.to_owned(), source };
        if (200..300).contains(&status) {
            return serde_json::from_slice(&bytes).map_err(shape);
        }
        let problem: Problem = serde_json::from_slice(&bytes).map_err(shape)?;
        Err(ClientError::Refused { problem: Box::new(problem) })
    }

    async fn exchange(&self, method: &str, path: &str, body: Bytes) -> Result<(u16, Bytes), ClientError> {
        let broke = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Exchange {
            path: path.to_owned(),
            source,
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "localhost")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|source| ClientError::Request { path: path.to_owned(), source })?;
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Connect { socket: self.socket.clone(), source })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broke(error.into()))?;
        // Ends with the sender; an error here shows as an error of the exchange below.
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| broke(error.into()))?;
        let status = response.status().as_u16();
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let bytes = body.collect().await.map_err(broke)?.to_bytes();
        connection.abort();
        Ok((status, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &EventsQuery, expected: &str) {
        let path = query.path();
        assert_eq!(path, expected);
        assert!(path.parse::<http::Uri>().is_ok(), "{path}");
    }

    #[test]
    fn a_query_without_wishes_asks_for_the_newest_fifty() {
        check(&EventsQuery::default(), "/control/events?limit=50");
    }

    #[test]
    fn a_follower_asks_for_what_comes_after() {
        let query = EventsQuery {
            subject: Some("web/2".to_owned()),
            after_seq: Some(7),
            limit: Some(1_000),
            wait: Some(Duration::from_secs(2)),
        };
        check(&query, "/control/events?limit=1000&subject=web/2&after=7&wait_ms=2000");
    }

    #[test]
    fn no_subject_can_break_the_request() {
        let query = EventsQuery { subject: Some("a b&limit=9\n#ü".to_owned()), ..EventsQuery::default() };
        check(&query, "/control/events?limit=50&subject=a%20b%26limit%3D9%0A%23%C3%BC");
    }
}
