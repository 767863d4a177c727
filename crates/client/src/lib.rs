//! The typed client of a running house: HTTP over its control socket, or over its port with a token.
//!
//! Knows the API's types and how to reach it, nothing of how a house works inside. One module per part of the
//! API below `calls/`.

mod calls;
mod door;
mod error;
mod path;
mod session;

pub use calls::{CredentialChange, CredentialFilter, EventsQuery};
pub use error::ClientError;

use bytes::Bytes;
use door::{Answer, Ask, Door};
use haus_api::Problem;
use haus_api::identity::Tokens;
use haus_model::Secret;
use path::Path;
use serde::Serialize;
use serde::de::DeserializeOwned;
use session::Session;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer may take when nothing else is said.
const PATIENCE: Duration = Duration::from_secs(30);

/// A house behind its control socket or its port. Every call opens one connection; clones share the session.
#[derive(Clone, Debug)]
pub struct Client {
    door: Door,
    patience: Duration,
    session: Option<Arc<Session>>,
}

impl Client {
    /// A client of the house behind this control socket. The house knows who asks by the account of the
    /// process.
    pub fn new(socket: impl Into<PathBuf>) -> Client {
        Client { door: Door::Socket(socket.into()), patience: PATIENCE, session: None }
    }

    /// A client of the house at this address, such as `http://127.0.0.1:8000`; without a token it learns what
    /// the plan lets everybody learn.
    ///
    /// # Errors
    /// [`ClientError::Address`]: it is not `http://HOST:PORT`.
    pub fn at(base: &str) -> Result<Client, ClientError> {
        let authority = authority(base)?;
        Ok(Client { door: Door::Port(authority), patience: PATIENCE, session: None })
    }

    /// The same as whoever holds these tokens. They are renewed shortly before they end, and when the house
    /// refuses them; [`Client::refresh_token`] tells what to keep for the next start.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Tokens) -> Client {
        self.session = Some(Arc::new(Session::new(tokens)));
        self
    }

    /// The same with an access token that nothing renews.
    #[must_use]
    pub fn with_access_token(mut self, token: Secret) -> Client {
        self.session = Some(Arc::new(Session::fixed(token)));
        self
    }

    /// The same with another patience for each answer.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Client {
        self.patience = patience;
        self
    }

    /// The refresh token in force: every renewal brings a new one and ends the former.
    pub async fn refresh_token(&self) -> Option<Secret> {
        self.session.as_ref()?.refresh_token().await
    }

    async fn get<T: DeserializeOwned>(&self, path: Path) -> Result<T, ClientError> {
        self.call("GET", path.build(), Bytes::new(), None, self.patience).await
    }

    async fn post<T: DeserializeOwned>(&self, path: Path, body: &impl Serialize) -> Result<T, ClientError> {
        let path = path.build();
        let body = encoded(&path, body)?;
        self.call("POST", path, body, None, self.patience).await
    }

    async fn delete(&self, path: Path) -> Result<(), ClientError> {
        let path = path.build();
        let (status, bytes) =
            self.exchange("DELETE", path.clone(), Bytes::new(), None, self.patience).await?;
        succeeded(&path, status, &bytes)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: String,
        body: Bytes,
        revision: Option<u64>,
        within: Duration,
    ) -> Result<T, ClientError> {
        let (status, bytes) = self.exchange(method, path.clone(), body, revision, within).await?;
        decoded(&path, status, &bytes)
    }

    /// One question and its whole answer.
    async fn exchange(
        &self,
        method: &'static str,
        path: String,
        body: Bytes,
        revision: Option<u64>,
        within: Duration,
    ) -> Result<(u16, Bytes), ClientError> {
        let ask = Ask { method, path: path.clone(), body, bearer: None, revision };
        let whole = async {
            let answer = self.ask(ask).await?;
            let status = answer.status;
            Ok((status, answer.whole().await?))
        };
        tokio::time::timeout(within, whole).await.map_err(|_| ClientError::Timeout { path, within })?
    }

    /// Asks, with the token of the session. A refused token is renewed and the question asked once more: a
    /// house that does not know who asks has done nothing.
    async fn ask(&self, ask: Ask) -> Result<Answer, ClientError> {
        let Some(session) = &self.session else { return self.door.ask(ask).await };
        let shown = session.access(&self.door, self.patience).await?;
        let answer = self.door.ask(Ask { bearer: Some(shown.access.clone()), ..ask.clone() }).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        match session.another(&shown, &self.door, self.patience).await? {
            Some(fresh) => self.door.ask(Ask { bearer: Some(fresh.access), ..ask }).await,
            None => Ok(answer),
        }
    }
}

/// `HOST:PORT` of a base address.
fn authority(base: &str) -> Result<String, ClientError> {
    let bad = |why| ClientError::Address { base: base.to_owned(), why };
    if base.starts_with("https://") {
        return Err(bad(
            "houses speak plain HTTP on their port; encrypt the way there, for example with ssh -L",
        ));
    }
    let rest = base.strip_prefix("http://").ok_or_else(|| bad("it does not begin with http://"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let uri: http::uri::Authority = rest.parse().map_err(|_| bad("it is not http://HOST:PORT"))?;
    match uri.port_u16() {
        Some(port) if port > 0 && !uri.as_str().contains('@') => Ok(uri.to_string()),
        Some(_) | None => Err(bad("it is not http://HOST:PORT")),
    }
}

/// A body that is wiped when it was sent.
struct Wiped(Secret);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose_bytes()
    }
}

fn encoded(path: &str, body: &impl Serialize) -> Result<Bytes, ClientError> {
    let bytes = serde_json::to_vec(body)
        .map_err(|source| ClientError::Unsendable { path: path.to_owned(), source })?;
    Ok(Bytes::from_owner(Wiped(Secret::new(bytes))))
}

fn decoded<T: DeserializeOwned>(path: &str, status: u16, bytes: &[u8]) -> Result<T, ClientError> {
    if !(200..300).contains(&status) {
        return Err(refused(path, bytes));
    }
    serde_json::from_slice(bytes).map_err(|source| ClientError::Shape { path: path.to_owned(), source })
}

fn succeeded(path: &str, status: u16, bytes: &[u8]) -> Result<(), ClientError> {
    if (200..300).contains(&status) { Ok(()) } else { Err(refused(path, bytes)) }
}

fn refused(path: &str, bytes: &[u8]) -> ClientError {
    match serde_json::from_slice::<Problem>(bytes) {
        Ok(problem) => ClientError::Refused { problem: Box::new(problem) },
        Err(source) => ClientError::Shape { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, expected: Option<&str>) {
        assert_eq!(authority(base).ok().as_deref(), expected, "{base}");
    }

    #[test]
    fn only_a_plain_host_with_its_port_is_an_address() {
        check("http://127.0.0.1:8000", Some("127.0.0.1:8000"));
        check("http://[::1]:8000/", Some("[::1]:8000"));
        check("http://api.home.localhost:80", Some("api.home.localhost:80"));
        for base in [
            "https://h:1",
            "127.0.0.1:8000",
            "http://h",
            "http://h:0",
            "http://h:99999",
            "http://u:p@h:1",
            "http://h:1/api",
            "http://",
            "http://h:1 x",
        ] {
            check(base, None);
        }
    }
}
