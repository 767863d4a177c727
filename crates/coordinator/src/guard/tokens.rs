//! Tokens that let somebody in, made by administrators and by the house for its own instances; and taking
//! them back.

use super::Guard;
use super::enrol::{OWN_SESSION, check_instance};
use crate::api::Caller;
use crate::desk::Desk;
use crate::random;
use haus_api::identity::{TokenCreate, TokenCreated, TokenView};
use haus_api::{Problem, ProblemCode};
use haus_identity::OpaqueKind;
use haus_model::house::House;
use haus_model::{InstanceId, Scope, Secret, ServiceName};
use haus_store::{Batch, Conflict, EnrolmentRow, SessionRow, Write};
use haus_trail::{Action, NewEntry, Outcome};
use std::time::Duration;

/// A one-time token can be used for a day unless its maker says otherwise.
const ENROLMENT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Thirty days: what is not used by then was forgotten.
const ENROLMENT_TTL_MAX_S: u64 = 30 * 24 * 60 * 60;

/// Open one-time tokens and sessions that an administrator may have at the same time.
const OPEN_MAX: usize = 10_000;

/// Tries to let an instance in while its former tokens are being used.
const TRIES: usize = 4;

/// What a service may do: read its own values, register itself, call those that it needs.
pub(super) fn service_scopes(house: &House, name: &ServiceName) -> Vec<Scope> {
    let needs = house.services.get(name).map(|service| service.needs.as_slice()).unwrap_or_default();
    let calls = needs.iter().map(|need| Scope::GatewayCall(Some(need.clone())));
    [Scope::CredentialRead(name.clone()), Scope::RegistryWrite(name.clone())]
        .into_iter()
        .chain(calls)
        .collect()
}

impl Guard {
    /// Makes a one-time token.
    ///
    /// # Errors
    /// 422 when the request contradicts itself or the plan, 409 when too many are open, 503 without a trail.
    pub(crate) async fn create_token(
        &self,
        desk: &Desk,
        caller: &Caller,
        request: TokenCreate,
    ) -> Result<TokenCreated, Problem> {
        let house = desk.house();
        let (subject, scopes) = holder_of(&house, &request)?;
        let lifetime = lifetime_of(request.expires_in_s)?;
        let now = desk.clock.wall();
        let open = desk.registrar.read(move |ledger| Ok(ledger.enrolments(now)?.len())).await?;
        if open >= OPEN_MAX {
            let detail = format!("{open} one-time tokens are open");
            return Err(Problem::new(ProblemCode::Conflict, detail)
                .with_hint("take some back with DELETE /api/tokens/{id}, or wait until they have expired"));
        }
        let id = format!("e-{}", random::id()?);
        let (token, hash) = haus_identity::mint(OpaqueKind::Enrolment, &random::bytes()?);
        let row = EnrolmentRow {
            id: id.clone(),
            hash: hash.0,
            subject: subject.clone(),
            service: request.service,
            instance: request.instance,
            scopes: scopes.clone(),
            made_by: caller.actor(),
            created_at: now,
            expires_at: now.after(lifetime),
            used_at: None,
        };
        let expires_at = row.expires_at.to_string();
        let entry = desk.registrar.entry(caller, Action::TokenIssue, format!("token:{id}"), Outcome::Allowed);
        let entry = told(entry, &subject, &scopes);
        desk.registrar.commit(Batch::of(vec![Write::EnrolmentPut(Box::new(row))], entry)).await?;
        Ok(TokenCreated { id, token, subject, expires_at, scopes })
    }

    /// A one-time token for an instance that is about to be started. Everything that its former run was let
    /// in by ends: that run is over.
    ///
    /// # Errors
    /// The instance is not in the plan, or the trail cannot be written.
    pub(crate) async fn enrolment_for(&self, desk: &Desk, id: &InstanceId) -> Result<Secret, Problem> {
        let house = desk.house();
        if !house.services.contains_key(&id.service) {
            let detail = format!("{id} gets no token: there is no service {} in the plan", id.service);
            return Err(Problem::new(ProblemCode::NotFound, detail));
        }
        let (subject, scopes) = (format!("service:{id}"), service_scopes(&house, &id.service));
        let caller = Caller::house("spawn");
        let mut tries = 1;
        loop {
            let now = desk.clock.wall();
            let mut writes = self.former_run(desk, &subject).await?;
            let token_id = format!("e-{}", random::id()?);
            let (token, hash) = haus_identity::mint(OpaqueKind::Enrolment, &random::bytes()?);
            writes.push(Write::EnrolmentPut(Box::new(EnrolmentRow {
                id: token_id.clone(),
                hash: hash.0,
                subject: subject.clone(),
                service: Some(id.service.clone()),
                instance: Some(id.ordinal.to_string()),
                scopes: scopes.clone(),
                made_by: "house".to_owned(),
                created_at: now,
                expires_at: now.after(ENROLMENT_TTL),
                used_at: None,
            })));
            let name = format!("token:{token_id}");
            let entry = desk.registrar.entry(&caller, Action::TokenIssue, name, Outcome::Allowed);
            match desk.registrar.try_commit(Batch::of(writes, told(entry, &subject, &scopes))).await? {
                Ok(_) => return Ok(token),
                // A former token was used just now; what came of it ends in the next try.
                Err(conflict) if tries == TRIES => return Err(crate::registrar::refused(&conflict)),
                Err(_) => tries += 1,
            }
        }
    }

    /// What ends the tokens and sessions that the house gave to this instance before.
    async fn former_run(&self, desk: &Desk, subject: &str) -> Result<Vec<Write>, Problem> {
        let now = desk.clock.wall();
        let own = subject.to_owned();
        let read = desk.registrar.read(move |ledger| {
            let tokens = ledger.enrolments(now)?.into_iter();
            let tokens: Vec<_> =
                tokens.filter(|row| row.subject == own && row.made_by == "house").map(|row| row.id).collect();
            let sessions = ledger.sessions(now)?.into_iter();
            let sessions: Vec<_> = sessions
                .filter(|row| row.subject == own && row.sid.starts_with(OWN_SESSION))
                .map(|row| row.sid)
                .collect();
            Ok((tokens, sessions))
        });
        let (tokens, sessions) = read.await?;
        let taken_back = tokens.into_iter().map(|id| Write::EnrolmentDelete { id });
        let ended = sessions.iter().flat_map(|sid| self.ending(desk, sid, "the instance was started anew"));
        Ok(taken_back.chain(ended).collect())
    }

    /// Open one-time tokens and sessions, the newest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) async fn tokens(&self, desk: &Desk) -> Result<Vec<TokenView>, Problem> {
        let now = desk.clock.wall();
        let read = desk.registrar.read(move |ledger| Ok((ledger.enrolments(now)?, ledger.sessions(now)?)));
        let (enrolments, sessions) = read.await?;
        let mut views: Vec<_> =
            enrolments.into_iter().map(|row| (row.created_at, of_enrolment(row))).collect();
        views.extend(sessions.into_iter().map(|row| (row.created_at, of_session(row))));
        views.sort_by(|(at, view), (other_at, other)| (other_at, &view.id).cmp(&(at, &other.id)));
        Ok(views.into_iter().map(|(_, view)| view).collect())
    }

    /// Takes a one-time token back, or ends a session with everything signed for it.
    ///
    /// # Errors
    /// 404 when there is no such one, 503 without a trail.
    pub(crate) async fn take_back(&self, desk: &Desk, caller: &Caller, id: &str) -> Result<(), Problem> {
        let unknown = || {
            Problem::new(ProblemCode::NotFound, format!("there is no open token or session `{}`", shown(id)))
                .with_hint("GET /api/tokens lists them")
        };
        let now = desk.clock.wall();
        let wanted = id.to_owned();
        let read = desk.registrar.read(move |ledger| {
            let is_token = ledger.enrolments(now)?.iter().any(|row| row.id == wanted);
            Ok((is_token, ledger.sessions(now)?.iter().any(|row| row.sid == wanted)))
        });
        match read.await? {
            (true, _) => {
                let name = format!("token:{id}");
                let entry = desk.registrar.entry(caller, Action::TokenRevoke, name, Outcome::Allowed);
                let write = Write::EnrolmentDelete { id: id.to_owned() };
                match desk.registrar.try_commit(Batch::of(vec![write], entry)).await? {
                    Ok(_) => Ok(()),
                    Err(Conflict::Missing(_)) => Err(unknown()),
                    Err(
                        conflict @ (Conflict::Used(_)
                        | Conflict::Exists(_)
                        | Conflict::Revision(_)
                        | Conflict::Expired(_)),
                    ) => Err(crate::registrar::refused(&conflict)
                        .with_hint("it became a session: GET /api/tokens lists it")),
                }
            }
            (false, true) => self.end_session(desk, caller, id, "an administrator ended it").await,
            (false, false) => Err(unknown()),
        }
    }
}

/// Who a token is for and what it allows.
fn holder_of(house: &House, request: &TokenCreate) -> Result<(String, Vec<Scope>), Problem> {
    let refused =
        |detail: String, hint: &str| Err(Problem::new(ProblemCode::Invalid, detail).with_hint(hint));
    let mut scopes = Vec::new();
    let subject = match (&request.service, &request.name) {
        (Some(_), Some(_)) => {
            return refused(
                "a token is for a service or for a name, not for both".into(),
                "leave one of them out",
            );
        }
        (None, None) => return refused("the token is for nobody".into(), "say `service` or `name`"),
        (Some(service), None) => {
            if !house.services.contains_key(service) {
                let hint = "add it to the plan; `as: external` is for one that runs somewhere else";
                return refused(format!("there is no service `{service}` in the plan"), hint);
            }
            scopes = service_scopes(house, service);
            match &request.instance {
                Some(instance) => {
                    check_instance(instance)?;
                    format!("service:{service}/{instance}")
                }
                None => format!("service:{service}"),
            }
        }
        (None, Some(name)) => {
            if let Err(error) = haus_model::id::check_name(name) {
                return refused(format!("`name` is none: {error}"), "use a name such as `backup-script`");
            }
            if request.instance.is_some() {
                return refused("only a service has instances".into(), "leave `instance` out");
            }
            if request.scopes.is_empty() {
                return refused("the token would allow nothing".into(), "say `scopes`, such as [\"read\"]");
            }
            format!("token:{name}")
        }
    };
    for scope in &request.scopes {
        if let Some(service) = service_of(scope).filter(|service| !house.services.contains_key(*service)) {
            let detail = format!("scope {scope} names a service that the plan does not have: {service}");
            return refused(detail, "see `haus services`");
        }
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    Ok((subject, scopes))
}

fn service_of(scope: &Scope) -> Option<&ServiceName> {
    match scope {
        Scope::CredentialRead(service) | Scope::RegistryWrite(service) => Some(service),
        Scope::GatewayCall(service) => service.as_ref(),
        Scope::Read | Scope::Admin => None,
    }
}

fn lifetime_of(wanted_s: Option<u64>) -> Result<Duration, Problem> {
    match wanted_s {
        None => Ok(ENROLMENT_TTL),
        Some(seconds) if (1..=ENROLMENT_TTL_MAX_S).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Some(seconds) => {
            let detail = format!(
                "`expires_in_s` is {seconds}; a one-time token lives 1 to {ENROLMENT_TTL_MAX_S} seconds"
            );
            Err(Problem::new(ProblemCode::Invalid, detail).with_hint(
                "leave it out for a day; the session that comes of it lasts as long as it is refreshed",
            ))
        }
    }
}

fn told(entry: NewEntry, subject: &str, scopes: &[Scope]) -> NewEntry {
    let words: Vec<String> = scopes.iter().map(Scope::to_string).collect();
    entry.detail("for", subject).detail("scopes", words.join(" "))
}

/// Part of a text that somebody sent, for an answer to them.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn of_enrolment(row: EnrolmentRow) -> TokenView {
    TokenView {
        id: row.id,
        kind: "enrolment".to_owned(),
        subject: row.subject,
        scopes: row.scopes,
        created_at: row.created_at.to_string(),
        used_at: None,
        expires_at: row.expires_at.to_string(),
        made_by: Some(row.made_by),
    }
}

fn of_session(row: SessionRow) -> TokenView {
    TokenView {
        id: row.sid,
        kind: "session".to_owned(),
        subject: row.subject,
        scopes: row.scopes,
        created_at: row.created_at.to_string(),
        used_at: Some(row.refreshed_at.to_string()),
        expires_at: row.expires_at.to_string(),
        made_by: None,
    }
}
