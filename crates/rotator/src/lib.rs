//! Makes a server know the new value of a credential: PostgreSQL roles and Redis ACL users.
//!
//! Four steps, each of which may be repeated after any interruption: [`tell_new`], [`prove`],
//! [`retire_old`], and [`tell_old`] as the way back. The account changes its own password, so no
//! administrator's credential is needed. This crate knows neither vault nor plan nor the order of a
//! rotation, and keeps nothing: every call opens its own connection and ends within the time that it was
//! given. Why these clients: docs/decisions/0011.

mod error;
mod postgres;
mod redis;
mod resp;
mod watched;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use haus_model::Secret;

pub use error::{Attempt, RotateError, RotateErrorKind, Said};

/// A server, and how long one step with it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it listens; the connection is plain TCP, so loopback or a network that is trusted.
    pub address: SocketAddr,
    /// Limit for the whole step, with all its connections.
    pub within: Duration,
}

/// Whose password it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account<'a> {
    /// A PostgreSQL role that may log in. It has one password: the old one ends when the new one begins.
    Postgres {
        /// The role; any name that PostgreSQL takes.
        role: &'a str,
        /// The database that it may connect to.
        database: &'a str,
    },
    /// A Redis ACL user (Redis 6 or newer) that may use `ACL SETUSER`. It may have several passwords.
    Redis {
        /// The user; `default` is the one of `requirepass`.
        user: &'a str,
    },
}

impl fmt::Display for Account<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Postgres { role, database } => {
                write!(
                    formatter,
                    "PostgreSQL role `{}` (database `{}`)",
                    role.escape_debug(),
                    database.escape_debug()
                )
            }
            Account::Redis { user } => write!(formatter, "Redis user `{}`", user.escape_debug()),
        }
    }
}

/// Makes `new` valid. The account logs in with `old`; when that is refused and `new` is accepted, an earlier
/// try had come so far, and all is well.
///
/// For PostgreSQL only a SCRAM-SHA-256 verifier (RFC 5803) travels, for Redis only a SHA-256 hash, so the
/// value stands in no log of statements. With Redis `old` stays valid beside it until [`retire_old`].
///
/// # Errors
/// [`RotateError`]; after [`RotateErrorKind::Timeout`] and [`RotateErrorKind::Unreachable`] the server may
/// know `new` or not: repeat this, or [`tell_old`].
pub async fn tell_new(
    server: &Server,
    account: &Account<'_>,
    old: &Secret,
    new: &Secret,
) -> Result<(), RotateError> {
    let step = Step { attempt: Attempt::TellNew, server, account, secrets: &[old, new] };
    step.run(async {
        match account {
            Account::Postgres { role, database } => {
                let login = postgres::Login { step: &step, role, database };
                postgres::change(&login, postgres::Change { from: old, to: new }).await
            }
            Account::Redis { user } => redis::add(&step, user, redis::Pair { add: new, beside: old }).await,
        }
    })
    .await
}

/// Logs in with `value` and asks a harmless question (`SELECT 1`, `PING`).
///
/// A server that takes the login without asking for the password proves nothing, and is an error.
///
/// # Errors
/// [`RotateError`]; [`RotateErrorKind::Refused`] when `value` is not the password.
pub async fn prove(server: &Server, account: &Account<'_>, value: &Secret) -> Result<(), RotateError> {
    let step = Step { attempt: Attempt::Prove, server, account, secrets: &[value] };
    step.run(async {
        match account {
            Account::Postgres { role, database } => {
                let login = postgres::Login { step: &step, role, database };
                postgres::prove(&login, value).await
            }
            Account::Redis { user } => redis::prove(&step, user, value).await,
        }
    })
    .await
}

/// Ends `old`; the account logs in with `new`. For PostgreSQL there is nothing to do, and nothing is asked.
///
/// Connections that were opened with `old` live on with both servers; only new logins are refused. When
/// `old` and `new` are equal nothing is removed.
///
/// # Errors
/// [`RotateError`]; `old` may then still be valid.
pub async fn retire_old(
    server: &Server,
    account: &Account<'_>,
    new: &Secret,
    old: &Secret,
) -> Result<(), RotateError> {
    let step = Step { attempt: Attempt::RetireOld, server, account, secrets: &[old, new] };
    match account {
        Account::Postgres { .. } => Ok(()),
        Account::Redis { user } => {
            step.run(redis::remove(&step, user, redis::Removal { keep: new, remove: old })).await
        }
    }
}

/// The way back: makes `old` valid and ends `new`, wherever [`tell_new`] was interrupted.
///
/// # Errors
/// [`RotateError`], as with [`tell_new`].
pub async fn tell_old(
    server: &Server,
    account: &Account<'_>,
    old: &Secret,
    new: &Secret,
) -> Result<(), RotateError> {
    let step = Step { attempt: Attempt::TellOld, server, account, secrets: &[old, new] };
    step.run(async {
        match account {
            Account::Postgres { role, database } => {
                let login = postgres::Login { step: &step, role, database };
                postgres::change(&login, postgres::Change { from: new, to: old }).await
            }
            Account::Redis { user } => {
                redis::add(&step, user, redis::Pair { add: old, beside: new }).await?;
                let removal = redis::Removal { keep: old, remove: new };
                redis::remove(&step, user, removal).await
            }
        }
    })
    .await
}

/// What every error of one call says, and the secrets that none may show.
pub(crate) struct Step<'a> {
    attempt: Attempt,
    server: &'a Server,
    account: &'a Account<'a>,
    secrets: &'a [&'a Secret],
}

impl Step<'_> {
    async fn run(&self, work: impl Future<Output = Result<(), RotateError>>) -> Result<(), RotateError> {
        let limited = tokio::time::timeout(self.server.within, work).await;
        limited.unwrap_or_else(|_| Err(self.error(RotateErrorKind::Timeout)))
    }

    fn error(&self, kind: RotateErrorKind) -> RotateError {
        RotateError::new(self, kind, None)
    }

    /// The same with what the server or the system said, without the secrets.
    fn error_saying(&self, kind: RotateErrorKind, text: &str) -> RotateError {
        RotateError::new(self, kind, Some(Said::without(text, self.secrets)))
    }
}
