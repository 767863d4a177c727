//! Registration: an instance says where it is, is told what it needs, and reports from then on.
//!
//! Threat: a stranger who fills the registry, the holder of one token who takes the place of another service,
//! and a registration that is acknowledged and lost. So nothing is entered without the scope
//! `registry:write:SERVICE`, what is entered is on disk with its entry in the trail first, and an address
//! that belongs to somebody else is refused. Heartbeats are neither kept nor recorded: they come too often,
//! and their absence tells enough.

mod address;
mod history;
mod place;
mod registering;
mod rounds;
mod said;
mod updating;

pub(crate) use address::is_local;
pub(crate) use registering::register;
pub(crate) use said::Said;
pub(crate) use updating::{deregister, heartbeat, update};

use crate::api::Caller;
use crate::desk::Desk;
use crate::directory::Member;
use haus_api::{Problem, ProblemCode};
use haus_model::alert::AlertLevel;
use haus_model::health::HealthState;
use haus_model::house::House;
use haus_model::{InstanceId, Scope, ServiceName};
use haus_store::{AnnouncedRow, Batch, EventKind, NewEvent, Write};
use haus_trail::{Action, Outcome};
use haus_watch::alert::{SERVICE_DEGRADED, SERVICE_OFFLINE};
use haus_watch::announced::AnnouncedChange;
use haus_watch::registry::ANNOUNCED_ORDINAL_FIRST;
use place::{NoPlace, Place};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Begins to age, to ask and to write down. Call it once, inside the runtime that is to do it.
pub(crate) fn start(desk: &Arc<Desk>) {
    tokio::spawn(rounds::run(Arc::clone(desk)));
    tokio::spawn(history::run(Arc::clone(desk)));
}

/// Enters who had registered with an earlier core: unknown until the next sign of life. Blocks; for the
/// start.
pub(crate) fn restore(desk: &Desk) {
    let rows = match desk.ledger.announced() {
        Ok(rows) => rows,
        Err(error) => {
            desk.note(&format!("who had registered cannot be read: {}", crate::chain(&error)));
            return;
        }
    };
    let heartbeat = desk.house().api.heartbeat;
    for row in rows {
        let said: Said = match serde_json::from_str(&row.body) {
            Ok(said) => said,
            Err(error) => {
                let name = format!("{}/{}", row.service, row.instance);
                desk.note(&format!("{name} has to register again, its registration cannot be read: {error}"));
                continue;
            }
        };
        if row.ordinal < ANNOUNCED_ORDINAL_FIRST {
            let id = InstanceId { service: row.service, ordinal: row.ordinal };
            desk.directory.describe(&id, said);
            continue;
        }
        let member = Member {
            ordinal: row.ordinal,
            run: 0,
            said,
            registered_at: row.registered_at,
            updated_at: row.updated_at,
        };
        let changes = desk.directory.restore((&row.service, &row.instance), member, heartbeat);
        tell(desk, &changes);
    }
}

/// Tells the journal and the alerts what became of announced instances. Watchers and the history have it
/// already.
pub(crate) fn tell(desk: &Desk, changes: &[AnnouncedChange]) {
    if changes.is_empty() {
        return;
    }
    sound(desk, changes);
    for change in changes {
        let subject = format!("{}/{}", change.service, change.instance);
        let at = desk.clock.wall_of(change.at);
        let event = NewEvent::new(at, EventKind::ServiceChange, subject, change.why.clone());
        let to = change.to.map_or("gone", HealthState::as_str);
        desk.journal.record(event.change(change.from.as_str(), to));
    }
}

/// Raises and clears the alerts of services that run somewhere else; of the others the engine tells.
fn sound(desk: &Desk, changes: &[AnnouncedChange]) {
    let (house, now) = (desk.house(), desk.clock.wall());
    let is_outside = |name: &ServiceName| {
        house.services.get(name).is_some_and(|service| service.runs_as.registers_itself())
    };
    let changed: BTreeMap<&ServiceName, &AnnouncedChange> =
        changes.iter().map(|change| (&change.service, change)).filter(|(name, _)| is_outside(name)).collect();
    for (name, change) in changed {
        let standing = desk.directory.standing(name);
        let (subject, alarms) = (name.as_str(), &desk.alarms);
        let why = standing.as_ref().map_or(change.why.as_str(), |standing| standing.why.as_str());
        match standing.as_ref().map(|standing| standing.health) {
            Some(HealthState::Offline) => {
                alarms.raise(now, subject, SERVICE_OFFLINE, AlertLevel::Critical, why);
            }
            Some(HealthState::Degraded) => {
                alarms.raise(now, subject, SERVICE_DEGRADED, AlertLevel::Warning, why);
                alarms.clear(now, subject, SERVICE_OFFLINE, why);
            }
            // Whoever was forgotten because nobody heard of it is not well for that.
            None if change.from == HealthState::Offline => {}
            Some(HealthState::Healthy) | None => {
                alarms.clear(now, subject, SERVICE_DEGRADED, why);
                alarms.clear(now, subject, SERVICE_OFFLINE, why);
            }
            // Known from before a restart: what was told of it stays until it is heard.
            Some(HealthState::Unknown) => {}
        }
    }
}

/// Clears the alerts of a service whose last instance somebody has deregistered: nobody misses it any more.
fn all_left(desk: &Desk, service: &ServiceName, why: &str) {
    let house = desk.house();
    let is_outside = house.services.get(service).is_none_or(|service| service.runs_as.registers_itself());
    if is_outside && desk.directory.standing(service).is_none() {
        let now = desk.clock.wall();
        desk.alarms.clear(now, service.as_str(), SERVICE_DEGRADED, why);
        desk.alarms.clear(now, service.as_str(), SERVICE_OFFLINE, why);
    }
}

/// Takes those off the disk that were forgotten.
fn written_off(desk: &Arc<Desk>, changes: Vec<AnnouncedChange>) {
    let gone: Vec<AnnouncedChange> = changes.into_iter().filter(|change| change.to.is_none()).collect();
    if gone.is_empty() {
        return;
    }
    let desk = Arc::clone(desk);
    tokio::spawn(async move {
        let caller = Caller::house("age");
        for AnnouncedChange { service, instance, why, .. } in gone {
            let _alone = desk.directory.alone(&service, &instance).await;
            // It may have come back meanwhile.
            if desk.directory.member(&service, &instance).is_some() {
                continue;
            }
            let subject = format!("service:{service}/{instance}");
            let entry = desk.registrar.entry(&caller, Action::ServiceExpire, subject, Outcome::Allowed);
            let write = Write::AnnouncedDelete { service: service.clone(), instance: instance.clone() };
            // What stays on disk is restored by the next core and forgotten again.
            if let Err(problem) = desk.registrar.commit(Batch::of(vec![write], entry.because(why))).await {
                desk.note(&format!("{service}/{instance} stays registered on disk: {}", problem.detail));
            }
        }
    });
}

/// The instance that a request means, by its token and its words.
async fn placed(
    desk: &Desk,
    house: &House,
    caller: &Caller,
    act: Action,
    (service, wanted): (&ServiceName, Option<&str>),
) -> Result<Option<Place>, Problem> {
    let subject = format!("service:{service}");
    desk.guard.require(desk, caller, &Scope::RegistryWrite(service.clone()), act, &subject).await?;
    // Who may do everything may speak for everybody.
    let bound = if caller.is_admin() { None } else { caller.instance() };
    match place::named(house, service, bound, wanted) {
        Ok(place) => Ok(place),
        Err(NoPlace::Refused(problem)) => Err(*problem),
        Err(NoPlace::Bound(bound)) => {
            let subject = format!("service:{service}/{}", wanted.unwrap_or_default());
            let why = format!("this token speaks for {service}/{bound} only");
            Err(desk.guard.denied(desk, caller, act, &subject, &why).await)
        }
    }
}

/// The same when somebody must be meant: the only one when nobody is named.
async fn meant(
    desk: &Desk,
    house: &House,
    caller: &Caller,
    act: Action,
    (service, wanted): (&ServiceName, Option<&str>),
) -> Result<Place, Problem> {
    if let Some(place) = placed(desk, house, caller, act, (service, wanted)).await? {
        return Ok(place);
    }
    place::only(house, service, &desk.directory.first_two(service))
}

/// The row of a registration.
fn row(service: &ServiceName, instance: &str, member: &Member) -> Result<AnnouncedRow, Problem> {
    let body = serde_json::to_string(&member.said).map_err(|error| {
        Problem::new(ProblemCode::Internal, format!("the registration of {service}/{instance}: {error}"))
    })?;
    Ok(AnnouncedRow {
        service: service.clone(),
        instance: instance.to_owned(),
        ordinal: member.ordinal,
        body,
        registered_at: member.registered_at,
        updated_at: member.updated_at,
    })
}
