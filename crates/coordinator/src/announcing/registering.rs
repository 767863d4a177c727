//! One registration, from the request to the answer: who it is, whether its address is its own, its
//! configuration and credentials, then the disk, and only then everybody else.

use super::address::{self, Taken};
use super::place::Place;
use super::{Said, place, placed, row, said, tell};
use crate::api::{Caller, ask};
use crate::desk::Desk;
use crate::directory::{Filled, Member};
use crate::engine::Ask;
use crate::vaulting::Vaulting;
use haus_api::credential::ServiceCredential;
use haus_api::instance::{Register, Registered};
use haus_api::{Problem, ProblemCode};
use haus_model::health::HealthState;
use haus_model::house::House;
use haus_model::{InstanceId, ServiceName};
use haus_store::{AnnouncedRow, Batch, Conflict, Write};
use haus_trail::{Action, Outcome};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Instances that may have registered, all services together.
const INSTANCES_MAX: usize = 20_000;

/// The last places of [`INSTANCES_MAX`] are kept for services that have few instances.
const RESERVED: usize = 5_000;

/// What counts as few: as long as there are [`RESERVED`] places, nobody can keep so many of a service out.
const FEW: usize = 64;

/// Instances of one service.
const INSTANCES_OF_SERVICE_MAX: usize = 5_000;

/// Bytes of what all instances of a service say of themselves: metadata, descriptions, dependencies.
const BYTES_OF_SERVICE_MAX: usize = 2 << 20;

/// Enters an instance. It is on disk when this returns.
///
/// # Errors
/// 401, 403 for whoever may not; 409 when the address belongs to somebody else or too many are there; 410
/// when a credential has expired; 422 when something it says is not allowed; 503 when it cannot be kept.
pub(crate) async fn register(desk: &Desk, caller: &Caller, request: Register) -> Result<Registered, Problem> {
    let house = desk.house();
    let service = request.name.clone();
    let who = (&service, request.instance.as_deref());
    let named = placed(desk, &house, caller, Action::ServiceRegister, who).await?;
    let ip = address::resolve(&request.address, request.port).await?;
    let said = Said::new(&request, ip)?;
    let place = named.unwrap_or_else(|| unnamed(desk, &house, &service, said.reached()));
    if let Place::Announced(_) = &place {
        own(desk, caller, Action::ServiceRegister, &service, ip).await?;
    }
    let config = config(desk, &house, &service, &place).await?;
    let (credentials, credentials_missing) = credentials(desk, caller, &request).await?;
    let registered = match &place {
        Place::Supervised(id) => describe(desk, caller, id, said).await?,
        Place::Announced(instance) => announce(desk, caller, &house, (&service, instance), said).await?,
    };
    let instance = place.name();
    Ok(Registered {
        id: format!("{service}/{instance}"),
        name: service,
        instance,
        status: registered.status,
        registered_at: registered.at.to_string(),
        heartbeat_interval_s: house.api.heartbeat.as_secs(),
        credentials,
        credentials_missing,
        config,
        revision: desk.directory.revision(),
    })
}

/// Whether the caller may speak for this address; who may not is on record.
pub(super) async fn own(
    desk: &Desk,
    caller: &Caller,
    act: Action,
    service: &ServiceName,
    ip: IpAddr,
) -> Result<(), Problem> {
    let Err(why) = address::of_caller(caller, ip) else { return Ok(()) };
    let problem = desk.guard.denied(desk, caller, act, &format!("service:{service}"), &why).await;
    if problem.code != ProblemCode::Forbidden {
        return Err(problem);
    }
    Err(problem.with_hint(
        "give `address` as the address that this house sees you at, or register with a token of scope `admin`",
    ))
}

struct Done {
    status: HealthState,
    at: haus_model::Timestamp,
}

/// Who it is when neither the token nor the request says so: the one copy that the house runs, if it speaks
/// of that one's port, else a name made of its address.
fn unnamed(desk: &Desk, house: &House, service: &ServiceName, address: SocketAddr) -> Place {
    let first = InstanceId { service: service.clone(), ordinal: 1 };
    let is_it = place::supervised(house, service) == Some(1)
        && desk.directory.supervised_at(address.port()).iter().any(|(_, id)| *id == first);
    if is_it && address::is_local(address.ip()) {
        return Place::Supervised(first);
    }
    Place::Announced(said::id_from(address))
}

/// Notes what a supervised instance says of itself. Where it is, the house knows better.
async fn describe(desk: &Desk, caller: &Caller, id: &InstanceId, mut said: Said) -> Result<Done, Problem> {
    let name = id.ordinal.to_string();
    let _alone = desk.directory.alone(&id.service, &name).await;
    let now = desk.clock.wall();
    let row = desk.directory.row(id);
    if let Some(row) = &row
        && !row.entry().ports.values().any(|port| *port == said.port)
    {
        let ports: Vec<String> =
            row.entry().ports.iter().map(|(name, port)| format!("{name} {port}")).collect();
        let detail = format!("port {} is none of {id}: the plan gives it {}", said.port, told(&ports));
        return Err(Problem::new(ProblemCode::Invalid, detail).with_hint(
            "listen on ${port} of the plan, which is also in the environment as PORT, and register that",
        ));
    }
    said.run = row.as_ref().map(|row| row.entry().run);
    let status = row.as_ref().map_or(HealthState::Unknown, |row| row.entry().state);
    let member = Member { ordinal: id.ordinal, run: 0, said, registered_at: now, updated_at: now };
    let kept = super::row(&id.service, &name, &member)?;
    keep(desk, caller, kept, &member, &[]).await?;
    desk.directory.describe(id, member.said);
    desk.directory.supervised_beat(id, &crate::directory::Beat::default());
    Ok(Done { status, at: now })
}

fn told(ports: &[String]) -> String {
    if ports.is_empty() { "none".to_owned() } else { ports.join(", ") }
}

/// Enters an instance that the house does not run.
async fn announce(
    desk: &Desk,
    caller: &Caller,
    house: &House,
    (service, instance): (&ServiceName, &str),
    said: Said,
) -> Result<Done, Problem> {
    let _alone = desk.directory.alone(service, instance).await;
    let replaced = free(desk, caller, (service, instance), &said)?;
    let former = desk.directory.member(service, instance);
    let now = desk.clock.wall();
    room(desk.directory.filled(service), &said, former.as_ref().map(|former| &former.said))
        .map_err(|why| crowded(service, &why))?;
    let member = match former {
        Some(former) => Member { run: former.run + 1, said, updated_at: now, ..former },
        None => {
            let ordinal = desk.directory.next_ordinal(service);
            Member { ordinal, run: 1, said, registered_at: now, updated_at: now }
        }
    };
    let kept = row(service, instance, &member)?;
    let at = member.registered_at;
    keep(desk, caller, kept, &member, &replaced).await?;
    for other in &replaced {
        let why = format!("{instance} has registered at its address");
        tell(desk, &desk.directory.retract(service, other, &why));
    }
    let changes = desk.directory.announce((service, instance), member, house.api.heartbeat);
    tell(desk, &changes);
    let id = desk.directory.member(service, instance).map(|member| member.id(service));
    let row = id.and_then(|id| desk.directory.row(&id));
    Ok(Done { status: row.map_or(HealthState::Unknown, |row| row.entry().state), at })
}

/// Puts a registration on disk, with its entry.
async fn keep(
    desk: &Desk,
    caller: &Caller,
    kept: AnnouncedRow,
    member: &Member,
    replaced: &[String],
) -> Result<(), Problem> {
    desk.guard.may_write(desk, caller, 1)?;
    let subject = format!("service:{}/{}", kept.service, kept.instance);
    let entry = desk.registrar.entry(caller, Action::ServiceRegister, subject, Outcome::Allowed);
    let mut entry = entry
        .detail("address", member.said.reached().to_string())
        .detail("version", member.said.version.clone());
    if !replaced.is_empty() {
        entry = entry.detail("replaces", replaced.join(", "));
    }
    let subject = (kept.service.clone(), Write::AnnouncedPut(Box::new(kept)));
    let gone = replaced
        .iter()
        .map(|instance| Write::AnnouncedDelete { service: subject.0.clone(), instance: instance.clone() });
    let writes = gone.chain([subject.1.clone()]).collect();
    match desk.registrar.try_commit(Batch::of(writes, entry.clone())).await? {
        Ok(_) => Ok(()),
        // One that is replaced is off the disk already.
        Err(Conflict::Missing(_)) => desk.registrar.commit(Batch::of(vec![subject.1], entry)).await.map(drop),
        Err(conflict) => Err(crate::registrar::refused(&conflict)),
    }
}

/// Whether the address is nobody else's. Gives the instances of the same service that stood there before:
/// only one process can listen there, so they are gone.
pub(super) fn free(
    desk: &Desk,
    caller: &Caller,
    (service, instance): (&ServiceName, &str),
    said: &Said,
) -> Result<Vec<String>, Problem> {
    let address = said.reached();
    address::not_taken(address, address::is_local(address.ip()), &taken(desk, address.port()))?;
    let Some((other, name, state)) = desk.directory.holder_of(address) else { return Ok(Vec::new()) };
    if other == *service && name == instance {
        return Ok(Vec::new());
    }
    let may_replace = caller.is_admin() || caller.instance().is_none();
    if other == *service && (may_replace || state == HealthState::Offline) {
        return Ok(vec![name]);
    }
    let detail = format!("{address} is registered by {other}/{name}, which is {state}");
    Err(Problem::new(ProblemCode::Conflict, detail).with_hint(format!(
        "register the address that this instance itself listens on, or deregister the other: DELETE /api/services/{other}?instance={name}"
    )))
}

/// Whose this port is on this machine: ours, or that of an instance which the house runs.
fn taken(desk: &Desk, port: u16) -> Taken {
    let mut taken: Taken = vec![(desk.gateway_address, "the gateway of this house".to_owned())];
    for (address, id) in desk.directory.supervised_at(port) {
        if let Ok(ip) = address.parse() {
            taken.push((SocketAddr::new(ip, port), id.to_string()));
        }
    }
    taken
}

/// Whether what an instance says still fits, in place of what it said before.
///
/// # Errors
/// What is full.
pub(super) fn room(filled: Filled, said: &Said, former: Option<&Said>) -> Result<(), String> {
    let Filled { all, of_service, bytes } = filled;
    if former.is_none() && of_service >= INSTANCES_OF_SERVICE_MAX {
        return Err(format!("{of_service} of its instances have registered, which is the most"));
    }
    let most = if of_service < FEW { INSTANCES_MAX } else { INSTANCES_MAX - RESERVED };
    if former.is_none() && all >= most {
        return Err(format!("{all} instances of all services have registered, {of_service} of them its own"));
    }
    let (now, before) = (said.bytes(), former.map_or(0, Said::bytes));
    // Whoever says no more than before may always report.
    if now > before && bytes - before.min(bytes) + now > BYTES_OF_SERVICE_MAX {
        return Err(format!(
            "what its instances say of themselves takes {bytes} bytes of {BYTES_OF_SERVICE_MAX}"
        ));
    }
    Ok(())
}

/// The refusal of an instance for which there is no room.
pub(super) fn crowded(service: &ServiceName, why: &str) -> Problem {
    Problem::new(ProblemCode::Conflict, format!("there is no room for an instance of {service}: {why}"))
        .with_hint(
            "deregister those that are gone, give `instance` the same name at every start, and keep metadata short",
        )
}

/// The service's configuration from the plan, with its variables filled in; an empty object when it has none.
async fn config(
    desk: &Desk,
    house: &House,
    service: &ServiceName,
    place: &Place,
) -> Result<serde_json::Value, Problem> {
    let empty = || serde_json::Value::Object(serde_json::Map::new());
    if house.services.get(service).is_none_or(|service| service.config.is_none()) {
        return Ok(empty());
    }
    let id = match place {
        Place::Supervised(id) => id.clone(),
        Place::Announced(_) => InstanceId { service: service.clone(), ordinal: 1 },
    };
    Ok(ask(desk, |reply| Ask::Config(id, reply)).await??.unwrap_or_else(empty))
}

/// What the service may have of what it wants, and what it may not. Only its own token gets values; whoever
/// registers for it gets none.
async fn credentials(
    desk: &Desk,
    caller: &Caller,
    request: &Register,
) -> Result<(Vec<ServiceCredential>, Vec<String>), Problem> {
    if !Vaulting::may_have_values(caller, &request.name) {
        return Ok((Vec::new(), request.credentials_needed.clone()));
    }
    if request.credentials_needed.is_empty() {
        let all = desk.vaulting.for_service(desk, caller, &request.name).await?;
        return Ok((all.credentials, Vec::new()));
    }
    let house = desk.house();
    let files = house.services.get(&request.name).map(|service| &service.credentials);
    let (mut found, mut missing, mut had) = (Vec::new(), Vec::new(), BTreeSet::new());
    for wanted in &request.credentials_needed {
        // The plan's file names are the names that a service knows its credentials by.
        let by_file = files.and_then(|files| files.get(wanted)).map(|name| name.as_str().to_owned());
        let name = by_file.unwrap_or_else(|| wanted.to_lowercase());
        if !had.insert(name.clone()) {
            continue;
        }
        match desk.vaulting.some_for_service(desk, caller, &request.name, Some(&name)).await {
            Ok(some) => found.extend(some.credentials),
            Err(problem) if problem.code == ProblemCode::NotFound => missing.push(wanted.clone()),
            Err(problem) => return Err(problem),
        }
    }
    Ok((found, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(metadata_bytes: usize) -> Said {
        let pairs: std::collections::BTreeMap<String, String> =
            (0..metadata_bytes / 500).map(|n| (format!("{n:02}"), "x".repeat(498))).collect();
        let body = serde_json::json!({ "name": "scanner", "port": 9000, "metadata": pairs });
        Said::new(&serde_json::from_value(body).unwrap(), IpAddr::from([10, 0, 0, 7])).unwrap()
    }

    #[track_caller]
    fn check((all, of_service, bytes): (usize, usize, usize), said: &Said, expected: bool) {
        let found = room(Filled { all, of_service, bytes }, said, None);
        assert_eq!(found.is_ok(), expected, "{all}, {of_service}, {bytes}: {found:?}");
    }

    #[test]
    fn no_service_takes_the_place_of_the_others() {
        let plain = said(0);
        check((4_999, 4_999, 0), &plain, true);
        check((5_000, 5_000, 0), &plain, false);
        check((15_000, 100, 0), &plain, false);
        check((15_000, 63, 0), &plain, true);
        check((19_999, 0, 0), &plain, true);
        check((20_000, 0, 0), &plain, false);
        check((10, 10, BYTES_OF_SERVICE_MAX - 3_000), &said(2_000), true);
        check((10, 10, BYTES_OF_SERVICE_MAX - 1_000), &said(2_000), false);
    }

    #[test]
    fn whoever_is_there_may_always_say_as_much_again() {
        let full =
            Filled { all: INSTANCES_MAX, of_service: INSTANCES_OF_SERVICE_MAX, bytes: BYTES_OF_SERVICE_MAX };
        assert!(room(full, &said(2_000), Some(&said(2_000))).is_ok());
        assert!(room(full, &said(500), Some(&said(2_000))).is_ok());
        assert!(room(full, &said(2_500), Some(&said(2_000))).is_err());
    }
}
