//! The tokens of somebody who came in over a port, renewed before they end.
//!
//! Refresh tokens are used once: showing one twice ends the session. So one renewal at a time, and everybody
//! else waits for it.

use crate::door::{Ask, Door};
use crate::error::ClientError;
use crate::{decoded, encoded};
use bytes::Bytes;
use haus_api::identity::{RefreshRequest, Tokens};
use haus_model::Secret;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Where a refresh token is exchanged.
const REFRESH: &str = "/api/identity/refresh";

/// How long before its end an access token is renewed, at most.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// What shows who asks.
#[derive(Debug)]
pub(crate) struct Session {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    access: Secret,
    refresh: Option<Secret>,
    renew_at: Option<Instant>,
    /// Grows with each renewal.
    round: u64,
}

/// An access token and the renewal that it came from.
pub(crate) struct Shown {
    pub access: Secret,
    round: u64,
}

impl Session {
    /// A session that renews itself.
    pub(crate) fn new(tokens: Tokens) -> Session {
        Session { held: Mutex::new(held(tokens, 0)) }
    }

    /// A token that ends when it ends.
    pub(crate) fn fixed(access: Secret) -> Session {
        Session { held: Mutex::new(Held { access, refresh: None, renew_at: None, round: 0 }) }
    }

    /// The access token, renewed when its end is near.
    pub(crate) async fn access(&self, door: &Door, patience: Duration) -> Result<Shown, ClientError> {
        let mut held = self.held.lock().await;
        if held.renew_at.is_some_and(|at| at <= Instant::now()) {
            renew(&mut held, door, patience).await?;
        }
        Ok(Shown { access: held.access.clone(), round: held.round })
    }

    /// Another access token than the one that was refused; none when there is no way to get one.
    pub(crate) async fn another(
        &self,
        refused: &Shown,
        door: &Door,
        patience: Duration,
    ) -> Result<Option<Shown>, ClientError> {
        let mut held = self.held.lock().await;
        if held.round == refused.round {
            if held.refresh.is_none() {
                return Ok(None);
            }
            renew(&mut held, door, patience).await?;
        }
        Ok(Some(Shown { access: held.access.clone(), round: held.round }))
    }

    /// The refresh token as it is at this moment.
    pub(crate) async fn refresh_token(&self) -> Option<Secret> {
        self.held.lock().await.refresh.clone()
    }
}

fn held(tokens: Tokens, round: u64) -> Held {
    let life = Duration::from_secs(tokens.expires_in);
    let renew_at = Instant::now().checked_add(life - AHEAD_MAX.min(life / 2));
    Held { access: tokens.access_token, refresh: Some(tokens.refresh_token), renew_at, round }
}

async fn renew(holding: &mut Held, door: &Door, patience: Duration) -> Result<(), ClientError> {
    let Some(refresh_token) = holding.refresh.clone() else { return Ok(()) };
    let path = REFRESH.to_owned();
    let body = encoded(&path, &RefreshRequest { refresh_token })?;
    let tokens: Tokens = exchange(door, path, body, patience).await?;
    *holding = held(tokens, holding.round + 1);
    Ok(())
}

async fn exchange(door: &Door, path: String, body: Bytes, within: Duration) -> Result<Tokens, ClientError> {
    let ask = Ask { method: "POST", path: path.clone(), body, bearer: None, revision: None };
    let whole = async {
        let answer = door.ask(ask).await?;
        let status = answer.status;
        Ok((status, answer.whole().await?))
    };
    let timeout = |_| ClientError::Timeout { path: path.clone(), within };
    let (status, bytes) = tokio::time::timeout(within, whole).await.map_err(timeout)??;
    decoded(&path, status, &bytes)
}
