//! The room as a member of its house: it enrols with its one-time token, registers, tells how busy it is, and
//! leaves. It knows the coordinator's paths, not how a request is sent; time is an argument.
//!
//! All of it happens in a thread of its own, with pauses that grow while nobody answers: a room works without
//! the coordinator. Tokens stay in memory and are never printed.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::{Ask, Told};
use crate::say;

const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(60);
/// Beats that the coordinator may ask for; whatever else it says, a room neither storms nor forgets it.
const INTERVAL: [f64; 2] = [1.0, 300.0];
/// An access token is exchanged when a fifth of its life is left.
const RENEW_AT: f64 = 0.8;
/// Statuses after which the same token will not be taken another time.
const FINAL: [u16; 6] = [400, 401, 403, 409, 410, 422];

/// How a request reaches the coordinator.
pub(crate) type Send = Box<dyn FnMut(&Ask<'_>) -> io::Result<Told> + std::marker::Send>;

/// Who the member is.
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) port: u16,
    /// The file with the one-time token.
    pub(crate) enrolment: Option<PathBuf>,
}

/// Everything that one instance says to the coordinator. Deliberately without `Debug`: it holds tokens.
pub(crate) struct Member {
    identity: Identity,
    send: Send,
    tokens: Option<Tokens>,
    /// The one-time token that was used or refused.
    spent: Option<String>,
    registered: bool,
    failures: u32,
    state: String,
}

struct Tokens {
    access: String,
    refresh: String,
    renew_at: Instant,
}

/// Why a step did not succeed; the text holds no secret.
struct NotYet {
    why: String,
    status: Option<u16>,
    pause: Duration,
}

impl NotYet {
    fn later(why: String) -> NotYet {
        NotYet { why, status: None, pause: PAUSE_MOST }
    }

    fn is_final(&self) -> bool {
        self.status.is_some_and(|status| FINAL.contains(&status))
    }
}

impl Member {
    pub(crate) fn new(identity: Identity, send: Send) -> Member {
        let state = "not registered yet".to_owned();
        Member { identity, send, tokens: None, spent: None, registered: false, failures: 0, state }
    }

    /// One act towards being known; gives the time until the next one. `spread`, 0 to 1, keeps rooms that
    /// lost the coordinator at the same moment from coming back at the same moment.
    pub(crate) fn step(&mut self, now: Instant, load: f64, spread: f64) -> Duration {
        match self.try_step(now, load) {
            Ok(pause) => {
                self.failures = 0;
                pause
            }
            Err(error) => {
                let grown = PAUSE_FIRST.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MOST);
                self.failures += 1;
                let before = if self.registered { "registered, but: " } else { "not registered: " };
                self.tell(format!("{before}{}", error.why));
                grown.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0).max(error.pause)
            }
        }
    }

    /// Deregisters, if there is something to end.
    pub(crate) fn leave(&mut self) {
        if std::mem::take(&mut self.registered) {
            let path = format!("/api/services/{}", self.identity.name);
            // Its entry ages out when this fails; an end is not delayed for it.
            let left = self.ask("DELETE", &path, None).is_ok();
            self.tell(if left { "deregistered".to_owned() } else { "left without a word".to_owned() });
        }
    }

    fn try_step(&mut self, now: Instant, load: f64) -> Result<Duration, NotYet> {
        if self.tokens.as_ref().is_none_or(|tokens| now >= tokens.renew_at) {
            self.come_in(now)?;
        }
        if self.registered { self.heartbeat(load) } else { self.register() }
    }

    /// Gets an access token: for the refresh token, else for the one-time token that the house delivered.
    fn come_in(&mut self, now: Instant) -> Result<(), NotYet> {
        let answer = match self.tokens.as_ref().map(|tokens| tokens.refresh.clone()) {
            None => self.enrol()?,
            Some(refresh) => {
                let body = json!({ "refresh_token": refresh });
                match self.ask("POST", "/api/identity/refresh", Some(body)) {
                    Ok(answer) => answer,
                    // Ended by somebody: only a new one-time token opens the door again.
                    Err(refused) if refused.is_final() => {
                        self.tokens = None;
                        self.enrol()?
                    }
                    Err(other) => return Err(other),
                }
            }
        };
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let life = answer["expires_in"].as_f64().filter(|life| (0.0..1e9).contains(life));
        let (Some(access), Some(refresh), Some(life)) = (text("access_token"), text("refresh_token"), life)
        else {
            return Err(NotYet::later("an answer without tokens".to_owned()));
        };
        let renew_at = now + Duration::from_secs_f64(RENEW_AT * life);
        self.tokens = Some(Tokens { access, refresh, renew_at });
        Ok(())
    }

    fn enrol(&mut self) -> Result<Value, NotYet> {
        let file = self.identity.enrolment.as_ref();
        let file = file.ok_or_else(|| NotYet::later("the house delivered no one-time token".to_owned()))?;
        let token = std::fs::read_to_string(file)
            .map_err(|error| NotYet::later(format!("the one-time token cannot be read: {}", error.kind())))?;
        let token = token.trim().to_owned();
        if self.spent.as_ref() == Some(&token) {
            // Showing it again would only be counted as an attack.
            return Err(NotYet::later(
                "the one-time token is used; a new one comes with the next start".to_owned(),
            ));
        }
        let answer = self.ask("POST", "/api/identity/enrol", Some(json!({ "token": token })));
        if answer.as_ref().err().is_none_or(NotYet::is_final) {
            self.spent = Some(token);
        }
        answer
    }

    fn register(&mut self) -> Result<Duration, NotYet> {
        let body = json!({
            "name": self.identity.name,
            "port": self.identity.port,
            "version": env!("CARGO_PKG_VERSION"),
            "health_endpoint": "/health",
            "metadata": { "language": "Rust" },
        });
        // The answer holds this room's credentials as well; they are in its files already and not kept here.
        let answer = self.ask("POST", "/api/services/register", Some(body))?;
        self.registered = true;
        self.seen(&answer)
    }

    fn heartbeat(&mut self, load: f64) -> Result<Duration, NotYet> {
        let path = format!("/api/services/{}/heartbeat", self.identity.name);
        let load = (load.clamp(0.0, 1.0) * 1000.0).round() / 1000.0;
        match self.ask("POST", &path, Some(json!({ "load": load }))) {
            Ok(answer) => self.seen(&answer),
            // A coordinator that lost its memory: register again at once.
            Err(error) if error.status == Some(404) => {
                self.registered = false;
                Ok(Duration::ZERO)
            }
            Err(other) => Err(other),
        }
    }

    /// Tells who the coordinator takes us for, and gives the time until the next heartbeat.
    fn seen(&mut self, answer: &Value) -> Result<Duration, NotYet> {
        let seconds = answer["heartbeat_interval_s"].as_f64();
        let seconds =
            seconds.ok_or_else(|| NotYet::later("an answer without heartbeat interval".to_owned()))?;
        self.tell(format!("registered as {}", answer["id"].as_str().unwrap_or_default()));
        Ok(Duration::from_secs_f64(seconds.clamp(INTERVAL[0], INTERVAL[1])))
    }

    fn ask(&mut self, method: &'static str, path: &str, body: Option<Value>) -> Result<Value, NotYet> {
        // Who comes in has no valid token yet, and an old one would be refused before the new one is looked
        // at.
        let comes_in = path.starts_with("/api/identity/");
        let token = self.tokens.as_ref().filter(|_| !comes_in).map(|tokens| tokens.access.as_str());
        let told = (self.send)(&Ask { method, path, body, token }).map_err(|error| NotYet {
            why: format!("no answer: {}", error.kind()),
            status: None,
            pause: Duration::ZERO,
        })?;
        if (200..300).contains(&told.status) {
            return Ok(told.body);
        }
        if let (401, false, Some(tokens)) = (told.status, comes_in, self.tokens.as_mut()) {
            // Taken back or too old: exchanged at the next step.
            tokens.renew_at = Instant::now();
        }
        // The code is one of a fixed list; the detail may name things that are nobody's business.
        let code: String = told.body["code"].as_str().unwrap_or_default().chars().take(40).collect();
        let pause = told.body["retry_after_s"].as_f64().unwrap_or_default().clamp(0.0, INTERVAL[1]);
        Err(NotYet {
            why: format!("{path} answered {} {code}", told.status),
            status: Some(told.status),
            pause: Duration::from_secs_f64(pause),
        })
    }

    /// One line per change, not one per try.
    fn tell(&mut self, state: String) {
        if state != self.state {
            say(&format!("member: {state}"));
            self.state = state;
        }
    }
}

#[cfg(test)]
mod tests;
