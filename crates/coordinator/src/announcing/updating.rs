//! After the registration: heartbeats, changes, and leaving.

use super::place::{Place, unknown};
use super::registering::{crowded, free, own, room};
use super::{Said, address, all_left, meant, row, tell};
use crate::api::Caller;
use crate::desk::Desk;
use crate::directory::{Beat, Member};
use haus_api::instance::{Heartbeat, HeartbeatSeen, InstanceUpdate};
use haus_api::{Problem, ProblemCode};
use haus_model::house::House;
use haus_model::{InstanceId, ServiceName};
use haus_store::{Batch, Conflict, Write};
use haus_trail::{Action, Outcome};
use std::sync::Arc;

/// Takes a heartbeat.
///
/// # Errors
/// 401, 403 for whoever may not; 404 when it has not registered; 422 for a number that is none.
pub(crate) async fn heartbeat(
    desk: &Arc<Desk>,
    caller: &Caller,
    service: &ServiceName,
    said: &Heartbeat,
) -> Result<HeartbeatSeen, Problem> {
    let beat = beat(said)?;
    let house = desk.house();
    let who = (service, said.instance.as_deref());
    let place = meant(desk, &house, caller, Action::ServiceUpdate, who).await?;
    match &place {
        Place::Supervised(id) if desk.directory.supervised_beat(id, &beat) => {}
        Place::Supervised(id) => {
            let detail = format!("{id} is not in the registry at the moment");
            return Err(Problem::new(ProblemCode::NotFound, detail)
                .with_hint("it comes back with its next good probe; see GET /api/health/services"));
        }
        Place::Announced(name) => {
            let changes = desk.directory.beat(service, name, &beat);
            tell(desk, &changes.ok_or_else(|| unknown(service, Some(name)))?);
        }
    }
    Ok(HeartbeatSeen {
        id: format!("{service}/{}", place.name()),
        timestamp: desk.clock.wall().to_string(),
        heartbeat_interval_s: house.api.heartbeat.as_secs(),
        credentials_revision: revision(desk, service).await,
    })
}

/// Looks at the ledger when nothing is kept in memory, which may block.
async fn revision(desk: &Arc<Desk>, service: &ServiceName) -> String {
    let (own, service) = (Arc::clone(desk), service.clone());
    // Who gets no revision asks for its credentials as always.
    tokio::task::spawn_blocking(move || own.vaulting.revision_for(&service)).await.unwrap_or_default()
}

fn beat(said: &Heartbeat) -> Result<Beat, Problem> {
    let invalid = |what: &str, range: &str| {
        Problem::new(ProblemCode::Invalid, format!("`{what}` is out of its range"))
            .with_hint(format!("send {range}"))
    };
    if said.load.is_some_and(|load| !(0.0..=1.0).contains(&load)) {
        return Err(invalid("load", "0 for idle up to 1 for busy"));
    }
    if said.response_time_ms.is_some_and(|took| !took.is_finite() || took < 0.0) {
        return Err(invalid("response_time_ms", "milliseconds, 0 or more"));
    }
    Ok(Beat { load: said.load, response_ms: said.response_time_ms })
}

/// Changes what an instance said when it registered.
///
/// # Errors
/// As for a registration; 404 when it has not registered.
pub(crate) async fn update(
    desk: &Desk,
    caller: &Caller,
    service: &ServiceName,
    request: &InstanceUpdate,
) -> Result<InstanceId, Problem> {
    let house = desk.house();
    let who = (service, request.instance.as_deref());
    let place = meant(desk, &house, caller, Action::ServiceUpdate, who).await?;
    let name = place.name();
    let _alone = desk.directory.alone(service, &name).await;
    let ip = match &request.address {
        Some(host) => Some(address::resolve(host, request.port.unwrap_or(1)).await?),
        None => None,
    };
    match &place {
        Place::Supervised(id) => {
            if request.port.is_some() || request.address.is_some() {
                let detail = format!("the plan says where {id} listens, and the house has told it so");
                return Err(Problem::new(ProblemCode::Conflict, detail).with_hint(
                    "change `ports` or `address` of the service in the plan, then `haus reload`",
                ));
            }
            let former = desk.directory.described(id).ok_or_else(|| unknown(service, Some(&name)))?;
            let said = former.updated(request, None)?;
            let now = desk.clock.wall();
            let member = Member { ordinal: id.ordinal, run: 0, said, registered_at: now, updated_at: now };
            keep(desk, caller, (service, &name), &member).await?;
            desk.directory.describe(id, member.said);
            Ok(id.clone())
        }
        Place::Announced(_) => {
            let former =
                desk.directory.member(service, &name).ok_or_else(|| unknown(service, Some(&name)))?;
            let said = former.said.updated(request, ip)?;
            if former.said.reached() != said.reached() {
                own(desk, caller, Action::ServiceUpdate, service, said.ip).await?;
            }
            room(desk.directory.filled(service), &said, Some(&former.said))
                .map_err(|why| crowded(service, &why))?;
            let member = moved(desk, caller, (service, &name), former, said)?;
            let id = member.id(service);
            keep(desk, caller, (service, &name), &member).await?;
            announce(desk, &house, (service, &name), member);
            Ok(id)
        }
    }
}

/// The registration with what it says now; another address must be free, and counts as another process.
fn moved(
    desk: &Desk,
    caller: &Caller,
    (service, name): (&ServiceName, &str),
    former: Member,
    said: Said,
) -> Result<Member, Problem> {
    let mut run = former.run;
    if former.said.reached() != said.reached() {
        run += 1;
        if let Some(other) = free(desk, caller, (service, name), &said)?.first() {
            let detail = format!("{} is registered by {service}/{other}", said.reached());
            return Err(Problem::new(ProblemCode::Conflict, detail)
                .with_hint("deregister that one first, or register anew, which replaces it"));
        }
    }
    Ok(Member { run, said, updated_at: desk.clock.wall(), ..former })
}

async fn keep(
    desk: &Desk,
    caller: &Caller,
    (service, name): (&ServiceName, &str),
    member: &Member,
) -> Result<(), Problem> {
    desk.guard.may_write(desk, caller, 1)?;
    let subject = format!("service:{service}/{name}");
    let entry = desk.registrar.entry(caller, Action::ServiceUpdate, subject, Outcome::Allowed);
    let entry = entry
        .detail("address", member.said.reached().to_string())
        .detail("version", member.said.version.clone());
    let write = Write::AnnouncedPut(Box::new(row(service, name, member)?));
    desk.registrar.commit(Batch::of(vec![write], entry)).await.map(drop)
}

fn announce(desk: &Desk, house: &House, who: (&ServiceName, &str), member: Member) {
    tell(desk, &desk.directory.announce(who, member, house.api.heartbeat));
}

/// Takes an instance out of the registry. One that the house runs stays there; what it said of itself is
/// forgotten.
///
/// # Errors
/// 401, 403 for whoever may not; 404 when it has not registered; 503 when it cannot be kept.
pub(crate) async fn deregister(
    desk: &Desk,
    caller: &Caller,
    service: &ServiceName,
    instance: Option<&str>,
) -> Result<(), Problem> {
    let house = desk.house();
    let place = meant(desk, &house, caller, Action::ServiceDeregister, (service, instance)).await?;
    let name = place.name();
    let _alone = desk.directory.alone(service, &name).await;
    let is_known = match &place {
        Place::Supervised(id) => desk.directory.described(id).is_some(),
        Place::Announced(_) => desk.directory.member(service, &name).is_some(),
    };
    if !is_known {
        return Err(unknown(service, Some(&name)));
    }
    let subject = format!("service:{service}/{name}");
    let entry = desk.registrar.entry(caller, Action::ServiceDeregister, subject, Outcome::Allowed);
    let write = Write::AnnouncedDelete { service: service.clone(), instance: name.clone() };
    match desk.registrar.try_commit(Batch::of(vec![write], entry)).await? {
        // On disk it is gone already: what follows brings memory in step.
        Ok(_) | Err(Conflict::Missing(_)) => {}
        Err(conflict) => return Err(crate::registrar::refused(&conflict)),
    }
    match &place {
        Place::Supervised(id) => desk.directory.forget_described(id),
        Place::Announced(_) => {
            let why = format!("it was deregistered by {}", caller.actor());
            tell(desk, &desk.directory.retract(service, &name, &why));
            all_left(desk, service, &why);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(load: Option<f64>, response_time_ms: Option<f64>, expected: bool) {
        let said = Heartbeat { instance: None, load, response_time_ms };
        assert_eq!(beat(&said).is_ok(), expected, "{said:?}");
    }

    #[test]
    fn a_heartbeat_says_sane_numbers_or_is_refused() {
        check(None, None, true);
        check(Some(0.0), Some(0.0), true);
        check(Some(1.0), Some(12.5), true);
        for load in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            check(Some(load), None, false);
        }
        for took in [-1.0, f64::NAN, f64::INFINITY] {
            check(None, Some(took), false);
        }
    }
}
