//! Rows of tokens, sessions, keys and repeated requests. Hashes and sealed bytes, never a token.

use haus_model::{Scope, ServiceName, Timestamp};

/// A one-time token that lets a service or person in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentRow {
    /// For lists and for taking it back.
    pub id: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// Who comes in by it: `service:api/1`, `token:backup-script`.
    pub subject: String,
    /// The service that it is bound to.
    pub service: Option<ServiceName>,
    /// The instance that it is bound to.
    pub instance: Option<String>,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// Somebody who came in: the family of its refresh tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id; every access token carries it.
    pub sid: String,
    /// Who: `service:api/1`.
    pub subject: String,
    /// The service.
    pub service: Option<ServiceName>,
    /// The instance.
    pub instance: Option<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the refresh token that is valid.
    pub refresh: [u8; 32],
    /// SHA-256 of the one before, to notice that somebody has a copy.
    pub former: Option<[u8; 32]>,
    /// When it began.
    pub created_at: Timestamp,
    /// When a refresh token was exchanged last.
    pub refreshed_at: Timestamp,
    /// Until when the refresh token can be used.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

/// Something signed that is no longer valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// `jti:…` for one token, `sid:…` for all of a session.
    pub what: String,
    /// When.
    pub at: Timestamp,
    /// When it may be forgotten.
    pub until: Timestamp,
    /// Why.
    pub why: String,
}

/// A signing key, its private half sealed by the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// Its id.
    pub kid: String,
    /// The private half, sealed.
    pub sealed: Vec<u8>,
    /// The public half (Ed25519).
    pub public: [u8; 32],
    /// When it was made.
    pub made_at: Timestamp,
    /// After this time it verifies nothing any more; none: it is the one that signs.
    pub retires_at: Option<Timestamp>,
}

/// What a request was answered, for those who ask the same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentAnswer {
    /// Who asked.
    pub caller: String,
    /// The key that the caller chose.
    pub key: String,
    /// SHA-256 of method, path and body: the same key with another request is a mistake.
    pub request: [u8; 32],
    /// HTTP status.
    pub status: u16,
    /// The body. Answers that carry a secret are never kept.
    pub body: Vec<u8>,
    /// Until when it is kept.
    pub until: Timestamp,
}
