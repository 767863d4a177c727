//! The roll of services: those of the plan and those that registered without being in it, each with its state
//! and its instances at one moment. Reads the directory once and holds nothing.

use crate::answer;
use crate::clock::Clock;
use crate::desk::Desk;
use crate::directory::{Row, Standing};
use haus_api::health::ServiceCheck;
use haus_api::registry::{Instance, Service, ServiceHealth};
use haus_api::{Problem, ProblemCode};
use haus_model::house::House;
use haus_model::{ServiceName, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Instances of a service whose last probe is told in the health of all services.
const EVIDENCE_MAX: usize = 100;

/// Instances in the health of one service.
const CHECKS_MAX: usize = 500;

/// The whole roll.
pub(super) struct Roll {
    /// The registry's revision.
    pub revision: u64,
    /// Services by name.
    pub services: Vec<Known>,
}

/// One service.
pub(super) struct Known {
    /// Its name.
    pub name: ServiceName,
    /// What it does.
    pub about: Option<String>,
    /// What it needs.
    pub needs: Vec<ServiceName>,
    /// Where it can be reached through the gateway.
    pub urls: Vec<String>,
    /// How it is as a whole.
    pub standing: Arc<Standing>,
    /// Its instances.
    pub rows: Vec<Row>,
}

impl Known {
    /// The service as it is listed, with these of its instances.
    pub(super) fn listed(&self, instances: Vec<Instance>) -> Service {
        Service {
            name: self.name.clone(),
            about: self.about.clone(),
            status: self.standing.health,
            urls: self.urls.clone(),
            dependencies: self.needs.clone(),
            instances,
        }
    }

    /// Its health in one line.
    pub(super) fn health(&self, clock: Clock) -> ServiceHealth {
        let evidence = self.worst(EVIDENCE_MAX).into_iter().filter_map(|row| {
            let probed = row.note.probed.as_ref()?;
            Some((row.frame.name().to_owned(), probed.evidence.clone()))
        });
        ServiceHealth {
            name: self.name.clone(),
            status: self.standing.health,
            since: clock.wall_of(self.standing.since).to_string(),
            why: self.standing.why.clone(),
            evidence: evidence.collect(),
        }
    }

    /// Its health with that of each instance.
    pub(super) fn check(&self, clock: Clock) -> ServiceCheck {
        let shown = self.worst(CHECKS_MAX).into_iter();
        ServiceCheck {
            service_name: self.name.clone(),
            status: self.standing.health,
            healthy: self.standing.health == haus_model::health::HealthState::Healthy,
            since: clock.wall_of(self.standing.since).to_string(),
            why: self.standing.why.clone(),
            last_heartbeat: self.last_beat().map(|at| clock.wall_of(at).to_string()),
            response_time_ms: self.slowest_ms(),
            instances: shown.map(|row| answer::instance_health(row, clock)).collect(),
        }
    }

    /// All rows, or the worst ones when there are too many.
    fn worst(&self, most: usize) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        if rows.len() > most {
            rows.sort_by_key(|row| std::cmp::Reverse(row.entry().state));
            rows.truncate(most);
        }
        rows
    }

    /// The last heartbeat of any instance, monotonic.
    pub(super) fn last_beat(&self) -> Option<Timestamp> {
        self.rows.iter().filter_map(|row| row.note.beat_at).max()
    }

    /// The last sign of life that was looked for or given, monotonic.
    pub(super) fn last_check(&self) -> Option<Timestamp> {
        let probes = self.rows.iter().filter_map(|row| row.note.probed.as_ref()).map(|probed| probed.at);
        probes.chain(self.last_beat()).max()
    }

    /// The slowest of the last probes, or of what instances reported.
    pub(super) fn slowest_ms(&self) -> Option<f64> {
        self.rows.iter().filter_map(answer::response_ms).reduce(f64::max)
    }
}

/// Every service.
pub(super) fn call(desk: &Desk) -> Roll {
    let (house, seen) = (desk.house(), desk.directory.seen());
    let mut urls: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, url) in answer::urls(&house, desk.gateway_address.port()) {
        urls.entry(name).or_default().push(url);
    }
    let mut rows: BTreeMap<ServiceName, Vec<Row>> = BTreeMap::new();
    for row in seen.rows {
        rows.entry(row.frame.service().clone()).or_default().push(row);
    }
    let names: BTreeSet<ServiceName> = house.services.keys().chain(seen.standings.keys()).cloned().collect();
    let services = names.into_iter().map(|name| {
        let of_service = (rows.remove(&name).unwrap_or_default(), seen.standings.get(&name).cloned());
        let urls = urls.remove(name.as_str()).unwrap_or_default();
        known(&house, name, of_service, urls)
    });
    Roll { revision: seen.revision, services: services.collect() }
}

/// One service.
///
/// # Errors
/// It is neither in the plan nor registered.
pub(super) fn find(desk: &Desk, name: &ServiceName) -> Result<(u64, Known), Problem> {
    let (house, mut seen) = (desk.house(), desk.directory.seen_of(name));
    let standing = seen.standings.remove(name);
    if !house.services.contains_key(name) && standing.is_none() {
        let detail = format!("there is no service `{name}` in house {}", house.name);
        return Err(Problem::new(ProblemCode::NotFound, detail).with_hint("GET /api/services lists them"));
    }
    let urls = answer::urls(&house, desk.gateway_address.port()).into_iter();
    let urls = urls.filter(|(owner, _)| owner == name.as_str()).map(|(_, url)| url).collect();
    Ok((seen.revision, known(&house, name.clone(), (seen.rows, standing), urls)))
}

fn known(
    house: &House,
    name: ServiceName,
    (rows, standing): (Vec<Row>, Option<Arc<Standing>>),
    urls: Vec<String>,
) -> Known {
    let service = house.services.get(&name);
    let runs_outside = service.is_none_or(|service| service.runs_as.registers_itself());
    Known {
        about: service.and_then(|service| service.about.clone()),
        needs: service.map(|service| service.needs.clone()).unwrap_or_default(),
        urls,
        standing: standing.unwrap_or_else(|| answer::unheard(runs_outside)),
        rows,
        name,
    }
}
