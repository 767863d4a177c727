//! Who may do what: one-time tokens, sessions, signing keys, revocations, and the limit on those who guess.
//!
//! Threat: a stranger who guesses tokens, a thief who has a copy of one, a service that reaches for another's
//! things, and one who locks others out by failing where they come from. Guessing is slowed down and
//! recorded, but a token is looked at before its sender is: a good one always passes. A copied refresh token
//! ends its session at the second use; every refusal of somebody known is an entry in the trail before the
//! answer leaves, whatever noise strangers make. It knows no HTTP; the words of the answers do.

mod enrol;
mod flood;
mod memory;
mod signing;
mod tokens;

use crate::alarms::TRAIL_FLOOD;
use crate::announcing::is_local;
use crate::api::{Caller, Who};
use crate::desk::Desk;
use arc_swap::ArcSwap;
use flood::{Flood, Taken};
use haus_api::{Problem, ProblemCode};
use haus_identity::{Claims, LimitKey, RetryAfter, SigningKeys, TokenError, TokenHash};
use haus_model::alert::AlertLevel;
use haus_model::house::Anonymous;
use haus_model::{Scope, Secret, ServiceName};
use haus_store::Batch;
use haus_trail::{Action, Outcome};
use memory::Memory;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// What an unknown caller is told to do.
const HOW_TO_COME_IN: &str =
    "send `Authorization: Bearer TOKEN`; POST /api/identity/enrol exchanges a one-time token for one";

/// How often keys and revocations are looked after.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// The use cases of identity.
#[derive(Default)]
pub(crate) struct Guard {
    /// Opened at the first use, so that a ledger that cannot be read closes the API and not the house.
    signing: OnceCell<ArcSwap<SigningKeys>>,
    memory: Mutex<Memory>,
    flood: Mutex<Flood>,
    /// Keys are exchanged by one at a time.
    turning: tokio::sync::Mutex<()>,
}

impl Guard {
    /// Whose token this is. `caller` is who asks as far as the connection tells.
    ///
    /// # Errors
    /// 401 when it is not valid, 429 when it is not and its sender has failed too often, 503 when nobody can
    /// tell.
    pub(crate) async fn identify(
        &self,
        desk: &Desk,
        token: &Secret,
        caller: &Caller,
    ) -> Result<Arc<Claims>, Problem> {
        let signing = self.signing(desk).await?;
        // Invalid UTF-8 cannot come out of a header that was read as text.
        let text = std::str::from_utf8(token.expose_bytes()).unwrap_or_default();
        let (now, hash) = (desk.clock.wall(), TokenHash::of(text));
        let epoch = {
            let mut memory = self.memory();
            if let Some(claims) = memory.verified.get(now, &hash) {
                return Ok(claims);
            }
            memory.verified.epoch()
        };
        let house = desk.house();
        let (audience, issuer) =
            (haus_identity::audience_of(&house.name), haus_identity::issuer_of(&house.name));
        let verified = signing.load().verify(text, now, &audience, &issuer);
        let (known, why) = match verified {
            Ok(claims) => {
                let why = self.memory().why_revoked(&claims, now);
                let Some(why) = why else {
                    let (claims, key) = (Arc::new(claims), key_of(caller, text));
                    let mut memory = self.memory();
                    memory.verified.insert(now, epoch, hash, Arc::clone(&claims));
                    memory.failures.succeed(desk.clock.now(), key);
                    return Ok(claims);
                };
                (Known::As(format!("token:{}", claims.sid)), why)
            }
            // It was ours: its holder is late and guesses nothing. Only this token is slowed down.
            Err(error @ TokenError::Expired { .. }) => (Known::Late(own_key(&hash)), error.to_string()),
            Err(error) => (Known::Not(key_of(caller, text)), error.to_string()),
        };
        self.refuse(desk, caller, Action::TokenRefuse, ("token", known), &why).await?;
        Err(Problem::new(ProblemCode::Unauthorized, "the access token is not valid, or not any more")
            .with_hint(
                "POST /api/identity/refresh gives a new one for the refresh token; without one enrol again",
            ))
    }

    /// Lets a caller pass who has this scope. Everybody else is refused, and whoever is known leaves an
    /// entry.
    ///
    /// # Errors 401 when nobody knows who asks, 403 when it is not allowed, 429 when it was refused too
    /// often, 503 when the refusal cannot be recorded.
    pub(crate) async fn require(
        &self,
        desk: &Desk,
        caller: &Caller,
        scope: &Scope,
        action: Action,
        subject: &str,
    ) -> Result<(), Problem> {
        if caller.allows(scope) {
            return Ok(());
        }
        let why = format!("scope {scope} is needed");
        Err(self.denied(desk, caller, action, subject, &why).await)
    }

    /// Lets a caller see who is where and how they are: whoever is known at all, since that is how services
    /// find each other, and strangers when the plan lets them.
    ///
    /// # Errors
    /// 401 when nobody knows who asks.
    pub(crate) fn look(&self, desk: &Desk, caller: &Caller) -> Result<(), Problem> {
        match (&caller.who, desk.house().api.anonymous) {
            (Who::Anonymous, Anonymous::None) => Err(stranger()),
            (Who::Anonymous, Anonymous::Registry)
            | (Who::Token(_) | Who::Account { .. } | Who::House, Anonymous::Registry | Anonymous::None) => {
                Ok(())
            }
        }
    }

    /// Lets a caller see how the house does as a whole: whoever has scope `read`, and strangers when the plan
    /// lets them see the registry.
    ///
    /// # Errors
    /// As for [`Guard::require`].
    pub(crate) async fn oversee(&self, desk: &Desk, caller: &Caller, subject: &str) -> Result<(), Problem> {
        match desk.house().api.anonymous {
            Anonymous::Registry => Ok(()),
            Anonymous::None => self.require(desk, caller, &Scope::Read, Action::Admin, subject).await,
        }
    }

    /// The answer to a caller who may not: 403 with its entry on disk, 401 for a stranger.
    pub(crate) async fn denied(
        &self,
        desk: &Desk,
        caller: &Caller,
        action: Action,
        subject: &str,
        why: &str,
    ) -> Problem {
        if let Who::Anonymous = caller.who {
            return stranger();
        }
        let (now, actor) = (desk.clock.now(), caller.actor());
        let key = own_key(&TokenHash::of(&actor));
        {
            let mut memory = self.memory();
            if let Err(wait) = memory.denials.allowed(now, key) {
                return slow_down(wait, &format!("{actor} was refused too often"));
            }
            memory.denials.fail(now, key);
        }
        let entry = desk.registrar.entry(caller, action, subject, Outcome::Denied).because(why);
        if let Err(problem) = desk.registrar.commit(Batch::entry(entry)).await {
            return problem;
        }
        if action == Action::CredentialRead {
            let house = desk.house();
            let known = caller.service().filter(|name| house.services.contains_key(*name));
            desk.meters.credential_read(known.map_or("none", ServiceName::as_str), "denied");
        }
        Problem::new(ProblemCode::Forbidden, format!("{actor} may not do this to {subject}: {why}"))
            .with_hint("an administrator gives a token with more scopes: `haus token create`")
    }

    /// Counts and records a token that is not accepted. It is refused whether or not that can be written.
    ///
    /// # Errors
    /// 429 without an entry when as much was not accepted before from there, or of the same token.
    async fn refuse(
        &self,
        desk: &Desk,
        caller: &Caller,
        action: Action,
        (subject, known): (&str, Known),
        why: &str,
    ) -> Result<(), Problem> {
        let now = desk.clock.now();
        let (blocked, unwritten) = {
            let mut memory = self.memory();
            match &known {
                Known::As(name) => {
                    let key = own_key(&TokenHash::of(name));
                    let told = |wait| slow_down(wait, "a token that has ended was shown too often");
                    memory.worn.allowed(now, key).map_err(told)?;
                    (memory.worn.fail(now, key), 0)
                }
                Known::Late(key) | Known::Not(key) => {
                    let told = |wait| slow_down(wait, "too many wrong tokens came from there");
                    memory.failures.allowed(now, *key).map_err(told)?;
                    let blocked = memory.failures.fail(now, *key);
                    let Some(unwritten) = memory.entries.take(now) else { return Ok(()) };
                    (blocked, unwritten)
                }
            }
        };
        let mut entry = desk.registrar.entry(caller, action, subject, Outcome::Denied).because(why);
        if let Some(length) = blocked {
            entry = entry.detail("blocked_s", length.as_secs().to_string());
        }
        if unwritten > 0 {
            entry = entry.detail("refused_without_entry", unwritten.to_string());
        }
        // Nothing was given, so nothing depends on the entry.
        let _ = desk.registrar.commit(Batch::entry(entry)).await;
        Ok(())
    }

    /// Lets a caller make so many entries. Only holders of tokens are bounded: the house itself and its
    /// account on the machine have rules of their own.
    ///
    /// # Errors
    /// As for [`Guard::may_grow`].
    pub(crate) fn may_write(&self, desk: &Desk, caller: &Caller, entries: usize) -> Result<(), Problem> {
        match &caller.who {
            Who::Token(claims) => self.may_grow(desk, &claims.sub, entries),
            Who::Anonymous | Who::Account { .. } | Who::House => Ok(()),
        }
    }

    /// Lets somebody make so many entries by what they may do. Whoever makes too many for too long is told
    /// of by an alert, much later has to wait.
    ///
    /// # Errors
    /// 429 when the trail has more of this actor than any honest load makes.
    pub(crate) fn may_grow(&self, desk: &Desk, actor: &str, entries: usize) -> Result<(), Problem> {
        let taken = self.flood().take(desk.clock.now(), actor, entries);
        match taken {
            Taken::Fine => Ok(()),
            Taken::Loud(beyond) => {
                let why = format!(
                    "{actor} made the audit trail grow by {beyond} entries more than a steady reader does"
                );
                let subject = flood::subject_of(actor);
                desk.alarms.raise(desk.clock.wall(), &subject, TRAIL_FLOOD, AlertLevel::Warning, &why);
                Ok(())
            }
            Taken::Full(wait) => {
                let wait = RetryAfter(wait);
                let why =
                    format!("{actor} has filled the audit trail with its reads, registrations and refreshes");
                Err(slow_down(wait, &why).with_hint(
                    "keep values for `ttl_s` seconds, or ask with If-None-Match, which costs no entry",
                ))
            }
        }
    }

    fn flood(&self) -> MutexGuard<'_, Flood> {
        self.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing in there is left half done by a panic.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the keys early, so that the first caller need not wait, then looks after them as long as the API
/// runs.
pub(crate) async fn upkeep(desk: Arc<Desk>) {
    let mut told = String::new();
    loop {
        let calm = desk.guard.flood().calmed(desk.clock.now());
        for subject in calm {
            desk.alarms.clear(desk.clock.wall(), &subject, TRAIL_FLOOD, "it writes as little as others do");
        }
        match desk.guard.keep_up(&desk).await {
            Ok(()) => told.clear(),
            // Once for each reason, not once a minute.
            Err(problem) if problem.detail != told => {
                desk.note(&format!("signing keys cannot be looked after: {}", problem.detail));
                told = problem.detail;
            }
            Err(_) => {}
        }
        tokio::time::sleep(UPKEEP_EVERY).await;
    }
}

/// The answer to somebody unknown, who leaves no entry: anybody can knock as often as they like.
pub(crate) fn stranger() -> Problem {
    Problem::new(ProblemCode::Unauthorized, "this needs a token, and none was sent").with_hint(HOW_TO_COME_IN)
}

fn slow_down(wait: RetryAfter, why: &str) -> Problem {
    Problem::new(
        ProblemCode::TooManyRequests,
        format!("{why}; nothing of it is looked at for {} s", wait.seconds()),
    )
    .with_hint("wait, then send a valid token")
    .with_retry_after(wait.seconds().max(1))
}

/// Who is behind a token that is not accepted.
enum Known {
    /// Something that the house let in once, by its name in the trail: its entry is always written.
    As(String),
    /// Somebody whose token has run out. That happens all the time, and its refresh is on record.
    Late(LimitKey),
    /// Nobody.
    Not(LimitKey),
}

/// Whose failures count together, by the connection and what was shown. Who comes from an address of this
/// machine sits behind it with all services of the house, as behind loopback.
fn key_of(caller: &Caller, presented: &str) -> LimitKey {
    match (&caller.who, &caller.address) {
        (Who::Account { uid }, _) => LimitKey::Account(*uid),
        (Who::Anonymous | Who::Token(_) | Who::House, address) => {
            let address = address.as_deref().and_then(|address| address.parse::<IpAddr>().ok());
            let elsewhere = address.filter(|address| !is_local(address.to_canonical()));
            LimitKey::of_peer(elsewhere.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), presented)
        }
    }
}

/// What was shown counts alone, wherever it comes from.
fn own_key(hash: &TokenHash) -> LimitKey {
    LimitKey::Presented(hash.0[..8].try_into().expect("SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests;
