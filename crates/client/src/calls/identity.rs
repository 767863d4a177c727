//! `/api/identity` and `/api/tokens`.

use crate::path::Path;
use crate::{Client, ClientError};
use haus_api::identity::{EnrolRequest, KeyRotated, TokenCreate, TokenCreated, TokenView, Tokens, WhoAmI};
use haus_api::page::{LIMIT_MAX, Page};
use haus_model::Secret;

impl Client {
    /// Comes in with a one-time token; [`Client::with_tokens`] takes the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn enrol(&self, token: Secret, instance: Option<String>) -> Result<Tokens, ClientError> {
        self.post(Path::new("/api/identity/enrol"), &EnrolRequest { token, instance }).await
    }

    /// Ends the session of the token that asks.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn end_session(&self) -> Result<(), ClientError> {
        let path = Path::new("/api/identity/revoke").build();
        let (status, bytes) =
            self.exchange("POST", path.clone(), bytes::Bytes::new(), None, self.patience).await?;
        crate::succeeded(&path, status, &bytes)
    }

    /// Who asks, as the house sees it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn who_am_i(&self) -> Result<WhoAmI, ClientError> {
        self.get(Path::new("/api/identity/whoami")).await
    }

    /// The public halves of the signing keys (RFC 7517).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn signing_keys(&self) -> Result<serde_json::Value, ClientError> {
        self.get(Path::new("/api/identity/keys")).await
    }

    /// Makes a one-time token. Its text is shown this once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_token(&self, wanted: &TokenCreate) -> Result<TokenCreated, ClientError> {
        self.post(Path::new("/api/tokens"), wanted).await
    }

    /// All open one-time tokens and sessions.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn all_tokens(&self) -> Result<Vec<TokenView>, ClientError> {
        let mut found: Vec<TokenView> = Vec::new();
        loop {
            let path =
                Path::new("/api/tokens").query("skip", Some(found.len())).query("limit", Some(LIMIT_MAX));
            let page: Page<TokenView> = self.get(path).await?;
            let is_last = page.items.is_empty();
            found.extend(page.items);
            if is_last || u64::try_from(found.len()).unwrap_or(u64::MAX) >= page.total {
                return Ok(found);
            }
        }
    }

    /// Takes back a one-time token, or ends a session.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke_token(&self, id: &str) -> Result<(), ClientError> {
        self.delete(Path::new("/api/tokens").segment(id)).await
    }

    /// Makes a new signing key; `is_stolen` ends everything that the former ones signed, at once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_signing_key(&self, is_stolen: bool) -> Result<KeyRotated, ClientError> {
        let path = Path::new("/api/tokens/rotate-key").query("emergency", is_stolen.then_some(true));
        self.call("POST", path.build(), bytes::Bytes::new(), None, self.patience).await
    }
}
