//! Coming in, staying in, going out: a one-time token becomes a session, a refresh token becomes the next
//! one.
//!
//! Threat: a copy of a token. A one-time token works once, and its second use is on record. A refresh token
//! works once too: whoever shows an exchanged one ends the session for thief and owner alike, since nobody
//! can tell them apart. So an answer that was lost on its way costs a session; a service gets a new one when
//! it is restarted.

use super::{Guard, HOW_TO_COME_IN, Known, key_of, stranger};
use crate::api::{Caller, Who};
use crate::desk::Desk;
use crate::random;
use haus_api::identity::Tokens;
use haus_api::{Problem, ProblemCode};
use haus_identity::{
    ACCESS_TTL, Claims, Grant, LEEWAY, OpaqueKind, REFRESH_TTL, SUBJECT_BYTES_MAX, Subject, TokenHash,
};
use haus_model::{Scope, Secret, ServiceName};
use haus_store::{Batch, Conflict, EnrolmentRow, RevocationRow, SessionRow, Write};
use haus_trail::{Action, Outcome};

/// Sessions of instances that the house itself let in begin with this, so that their next start ends them.
pub(super) const OWN_SESSION: &str = "h-";

/// All other sessions.
const SESSION: &str = "s-";

/// Who a session is for.
struct Holder {
    subject: Subject,
    scopes: Vec<Scope>,
}

impl Holder {
    fn of(service: Option<&ServiceName>, instance: Option<&str>, name: &str, scopes: &[Scope]) -> Holder {
        let subject = match service {
            Some(service) => {
                Subject::Service { service: service.clone(), instance: instance.map(str::to_owned) }
            }
            None => Subject::Token { name: name.strip_prefix("token:").unwrap_or(name).to_owned() },
        };
        Holder { subject, scopes: scopes.to_vec() }
    }
}

impl Guard {
    /// Exchanges a one-time token for a session.
    ///
    /// # Errors 401 for a token that nobody made, 410 for one that was used or is too old, 403 when its
    /// service is gone, 422 when it is bound to another instance, 429 after too many wrong ones.
    pub(crate) async fn enrol(
        &self,
        desk: &Desk,
        caller: &Caller,
        token: &Secret,
        instance: Option<&str>,
    ) -> Result<Tokens, Problem> {
        let hash = self.recognise(desk, caller, OpaqueKind::Enrolment, token).await?;
        let row = desk.registrar.read(move |ledger| ledger.enrolment(&hash.0)).await?;
        let Some(row) = row else {
            return Err(self.unknown_token(desk, caller, OpaqueKind::Enrolment, token).await);
        };
        let now = desk.clock.wall();
        let about = (format!("token:{}", row.id), row.subject.clone());
        if row.used_at.is_some() || row.expires_at <= now {
            let why = if row.used_at.is_some() { "it was used before" } else { "it is too old" };
            return Err(self.worn_out(desk, caller, Action::TokenEnrol, &about, why).await);
        }
        self.still_planned(desk, caller, Action::TokenEnrol, &about, row.service.as_ref()).await?;
        let instance = instance_of(&row, instance)?;
        let holder = Holder::of(row.service.as_ref(), instance, &row.subject, &row.scopes);
        let prefix = if row.made_by == "house" { OWN_SESSION } else { SESSION };
        let sid = format!("{prefix}{}", random::id()?);
        let (refresh, refresh_hash) = haus_identity::mint(OpaqueKind::Refresh, &random::bytes()?);
        let (tokens, jti) = self.issue(desk, &holder, &sid, refresh).await?;
        let session = SessionRow {
            sid: sid.clone(),
            subject: tokens.subject.clone(),
            service: row.service.clone(),
            instance: instance.map(str::to_owned),
            scopes: row.scopes.clone(),
            refresh: refresh_hash.0,
            former: None,
            created_at: now,
            refreshed_at: now,
            expires_at: now.after(REFRESH_TTL),
            ended_at: None,
        };
        let entry = desk.registrar.entry(caller, Action::TokenEnrol, about.0.clone(), Outcome::Allowed);
        let mut entry = entry.detail("session", sid).detail("jti", jti);
        entry.actor.clone_from(&tokens.subject);
        let writes =
            vec![Write::EnrolmentTake { hash: hash.0, at: now }, Write::SessionPut(Box::new(session))];
        match desk.registrar.try_commit(Batch::of(writes, entry)).await? {
            Ok(_) => Ok(tokens),
            Err(Conflict::Used(_) | Conflict::Expired(_) | Conflict::Missing(_)) => {
                Err(self.worn_out(desk, caller, Action::TokenEnrol, &about, "somebody else was faster").await)
            }
            Err(conflict @ (Conflict::Exists(_) | Conflict::Revision(_))) => {
                Err(crate::registrar::refused(&conflict))
            }
        }
    }

    /// Exchanges a refresh token for the next pair.
    ///
    /// # Errors 401 for a token that nobody made, was exchanged before (which ends its session) or whose
    /// session has ended, 410 when it is too old, 403 when its service is gone, 429 after too many wrong
    /// ones.
    pub(crate) async fn refresh(
        &self,
        desk: &Desk,
        caller: &Caller,
        token: &Secret,
    ) -> Result<Tokens, Problem> {
        let hash = self.recognise(desk, caller, OpaqueKind::Refresh, token).await?;
        let row = desk.registrar.read(move |ledger| ledger.session_of(&hash.0)).await?;
        let Some(row) = row else {
            return Err(self.unknown_token(desk, caller, OpaqueKind::Refresh, token).await);
        };
        if row.ended_at.is_some() {
            let subject = format!("token:{}", row.sid);
            let known = Known::As(subject.clone());
            let why = "its session has ended";
            self.refuse(desk, caller, Action::TokenRefresh, (&subject, known), why).await?;
            return Err(session_over());
        }
        if TokenHash(row.refresh) != hash {
            return Err(self.copied(desk, caller, &row).await);
        }
        let now = desk.clock.wall();
        let about = (format!("token:{}", row.sid), row.subject.clone());
        if row.expires_at <= now {
            return Err(self.worn_out(desk, caller, Action::TokenRefresh, &about, "it is too old").await);
        }
        self.still_planned(desk, caller, Action::TokenRefresh, &about, row.service.as_ref()).await?;
        self.may_grow(desk, &row.subject, 1)?;
        let holder = Holder::of(row.service.as_ref(), row.instance.as_deref(), &row.subject, &row.scopes);
        let (refresh, next) = haus_identity::mint(OpaqueKind::Refresh, &random::bytes()?);
        let (tokens, jti) = self.issue(desk, &holder, &row.sid, refresh).await?;
        let entry = desk.registrar.entry(caller, Action::TokenRefresh, about.0.clone(), Outcome::Allowed);
        let mut entry = entry.detail("jti", jti);
        entry.actor.clone_from(&row.subject);
        let write =
            Write::SessionRefresh { from: hash.0, to: next.0, at: now, expires_at: now.after(REFRESH_TTL) };
        match desk.registrar.try_commit(Batch::of(vec![write], entry)).await? {
            Ok(_) => Ok(tokens),
            Err(Conflict::Used(_)) => Err(self.copied(desk, caller, &row).await),
            Err(Conflict::Missing(_)) => Err(session_over()),
            Err(conflict @ (Conflict::Expired(_) | Conflict::Exists(_) | Conflict::Revision(_))) => {
                Err(crate::registrar::refused(&conflict))
            }
        }
    }

    /// Ends the caller's own session.
    ///
    /// # Errors
    /// There is none, or the trail cannot be written.
    pub(crate) async fn leave(&self, desk: &Desk, caller: &Caller) -> Result<(), Problem> {
        let claims = match &caller.who {
            Who::Token(claims) => claims,
            Who::Anonymous => return Err(stranger()),
            Who::Account { .. } | Who::House => {
                let detail = "an account on the control socket has no session that could end";
                return Err(Problem::new(ProblemCode::Invalid, detail)
                    .with_hint("DELETE /api/tokens/{id} ends the session of somebody else"));
            }
        };
        self.end_session(desk, caller, &claims.sid, "its holder left").await
    }

    /// Ends a session and everything that was signed for it.
    ///
    /// # Errors
    /// There is no such session, or the trail cannot be written.
    pub(super) async fn end_session(
        &self,
        desk: &Desk,
        caller: &Caller,
        sid: &str,
        why: &str,
    ) -> Result<(), Problem> {
        let entry =
            desk.registrar.entry(caller, Action::TokenRevoke, format!("token:{sid}"), Outcome::Allowed);
        let batch = Batch::of(self.ending(desk, sid, why), entry.because(why));
        desk.registrar.commit(batch).await.map(drop)
    }

    /// The writes that end a session. In memory it has ended when this returns: should the disk refuse,
    /// nobody profits from it.
    pub(super) fn ending(&self, desk: &Desk, sid: &str, why: &str) -> Vec<Write> {
        let now = desk.clock.wall();
        let (what, until) = (format!("sid:{sid}"), now.after(ACCESS_TTL + LEEWAY));
        self.memory().revoke(what.clone(), until, why.to_owned());
        let revoked = RevocationRow { what, at: now, until, why: why.to_owned() };
        vec![Write::SessionEnd { sid: sid.to_owned(), at: now }, Write::Revoke(Box::new(revoked))]
    }

    /// The hash of a token of this kind, when it is one.
    async fn recognise(
        &self,
        desk: &Desk,
        caller: &Caller,
        kind: OpaqueKind,
        token: &Secret,
    ) -> Result<TokenHash, Problem> {
        let text = std::str::from_utf8(token.expose_bytes()).unwrap_or_default();
        match haus_identity::parse(kind, text) {
            Ok(hash) => Ok(hash),
            Err(error) => {
                let told = error.to_string();
                let known = Known::Not(key_of(caller, text));
                self.refuse(desk, caller, Action::TokenRefuse, (kind.as_str(), known), &told).await?;
                Err(Problem::new(ProblemCode::Unauthorized, told)
                    .with_hint("copy the whole token, without blanks around it"))
            }
        }
    }

    async fn unknown_token(&self, desk: &Desk, caller: &Caller, kind: OpaqueKind, token: &Secret) -> Problem {
        let text = std::str::from_utf8(token.expose_bytes()).unwrap_or_default();
        let known = Known::Not(key_of(caller, text));
        let refused =
            self.refuse(desk, caller, Action::TokenRefuse, (kind.as_str(), known), "nobody knows it").await;
        if let Err(problem) = refused {
            return problem;
        }
        let detail =
            format!("this {kind} is unknown: it was taken back, swept away, or belongs to another house");
        Problem::new(ProblemCode::Unauthorized, detail)
            .with_hint("an administrator makes a one-time token with `haus token create`")
    }

    /// A token that was good once: its holder is told so, and the trail that somebody tried.
    async fn worn_out(
        &self,
        desk: &Desk,
        caller: &Caller,
        action: Action,
        (subject, holder): &(String, String),
        why: &str,
    ) -> Problem {
        let why = format!("{why}; it was for {holder}");
        let known = Known::As(subject.clone());
        if let Err(problem) = self.refuse(desk, caller, action, (subject, known), &why).await {
            return problem;
        }
        Problem::new(ProblemCode::Expired, format!("this token cannot be used any more: {why}")).with_hint(
            "an administrator makes a new one with `haus token create`; restarting a service gives it one",
        )
    }

    /// Refuses the tokens of a service that the plan has no more.
    async fn still_planned(
        &self,
        desk: &Desk,
        caller: &Caller,
        action: Action,
        (subject, holder): &(String, String),
        service: Option<&ServiceName>,
    ) -> Result<(), Problem> {
        let Some(service) = service else { return Ok(()) };
        if desk.house().services.contains_key(service) {
            return Ok(());
        }
        let why = format!("service {service} is not in the plan any more");
        let known = Known::As(subject.clone());
        self.refuse(desk, caller, action, (subject, known), &why).await?;
        Err(Problem::new(ProblemCode::Forbidden, format!("{holder} is not let in: {why}"))
            .with_hint("put the service into the plan again, or take the token back"))
    }

    /// An exchanged refresh token was shown again: two have it, and one of them is a thief.
    async fn copied(&self, desk: &Desk, caller: &Caller, row: &SessionRow) -> Problem {
        let why = "a refresh token was shown a second time, so somebody has a copy of it";
        let subject = format!("token:{}", row.sid);
        let entry = desk.registrar.entry(caller, Action::TokenRevoke, subject, Outcome::Denied);
        let entry = entry.because(why).detail("holder", row.subject.clone());
        let batch = Batch::of(self.ending(desk, &row.sid, why), entry);
        if let Err(problem) = desk.registrar.commit(batch).await {
            return problem;
        }
        desk.note(&format!("the session of {} was ended: {why}", row.subject));
        Problem::new(ProblemCode::Unauthorized, format!("{why}; the session has ended"))
            .with_hint("enrol again, and look for who else reads the place where the token is kept")
    }

    /// An access token for a session, and what goes with it.
    async fn issue(
        &self,
        desk: &Desk,
        holder: &Holder,
        sid: &str,
        refresh_token: Secret,
    ) -> Result<(Tokens, String), Problem> {
        let signing = self.signing(desk).await?;
        let jti = random::id()?;
        let grant = Grant {
            subject: holder.subject.clone(),
            scope: holder.scopes.clone(),
            sid: sid.to_owned(),
            jti: jti.clone(),
        };
        let claims = Claims::issue(&desk.house().name, grant, desk.clock.wall());
        let access_token = signing.load().sign(&claims).map_err(|error| {
            Problem::new(ProblemCode::Invalid, format!("no access token can be made: {error}"))
                .with_hint("give the token fewer scopes")
        })?;
        let words: Vec<String> = holder.scopes.iter().map(Scope::to_string).collect();
        let tokens = Tokens {
            access_token,
            token_type: "Bearer".to_owned(),
            expires_in: ACCESS_TTL.as_secs(),
            refresh_token,
            refresh_expires_in: REFRESH_TTL.as_secs(),
            scope: words.join(" "),
            subject: holder.subject.to_string(),
        };
        Ok((tokens, jti))
    }
}

/// The instance that a session is for: the one that the token names, or that its holder names.
fn instance_of<'a>(row: &'a EnrolmentRow, wanted: Option<&'a str>) -> Result<Option<&'a str>, Problem> {
    let refused =
        |detail: String, hint: &str| Err(Problem::new(ProblemCode::Invalid, detail).with_hint(hint));
    match (&row.service, &row.instance, wanted) {
        (_, _, None) => Ok(row.instance.as_deref()),
        (None, _, Some(_)) => {
            refused(format!("{} is no service and has no instances", row.subject), "leave `instance` out")
        }
        (Some(_), Some(bound), Some(wanted)) if bound == wanted => Ok(Some(wanted)),
        (Some(_), Some(bound), Some(_)) => {
            refused(format!("this token is bound to instance {bound}"), "leave `instance` out")
        }
        (Some(_), None, Some(wanted)) => {
            check_instance(wanted)?;
            Ok(Some(wanted))
        }
    }
}

/// Checks the id of an instance: it stands in paths, logs and the subject of a token.
pub(super) fn check_instance(id: &str) -> Result<(), Problem> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = id.as_bytes();
    let fits = bytes.len() <= 63 && bytes.len() < SUBJECT_BYTES_MAX;
    if fits && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().copied().all(inner) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::Invalid,
        "an instance has 1 to 63 letters, digits, dots, dashes and underscores",
    )
    .with_hint("begin and end it with a letter or digit, as in `1` or `blue-2`"))
}

fn session_over() -> Problem {
    Problem::new(ProblemCode::Unauthorized, "the session of this refresh token has ended")
        .with_hint(HOW_TO_COME_IN)
}
