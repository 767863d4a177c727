//! Keeping the registry: who is where, until when that may be believed, and how services are as a whole.

use super::Engine;
use super::ask::internal;
use crate::directory::{Row, Standing};
use crate::plan;
use crate::snapshot::Seen;
use haus_api::Problem;
use haus_model::health::HealthState;
use haus_model::service::{RunsAs, Service};
use haus_model::{InstanceId, ServiceName, Timestamp};
use haus_store::{EventKind, NewEvent};
use haus_watch::conductor::{ServiceView, Subject};
use haus_watch::registry::{Entry, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a probed instance stays in the registry without a good probe (the house `zimmer`'s
/// document: offline after 90 s without a sign of life).
const LEASE: Duration = Duration::from_secs(90);

impl Engine {
    /// Enters an instance as the conductor sees it, or takes it out when it is gone.
    pub(super) fn register(&mut self, id: &InstanceId, why: &str) {
        self.restanding.insert(id.service.clone());
        if self.runs_outside(&id.service) {
            // One of ours that was there before the plan said so.
            self.desk.directory.remove(id, "it runs somewhere else from now on");
            return;
        }
        let Some(view) = self.conductor.instance(id) else {
            self.desk.directory.remove(id, why);
            return;
        };
        let now = self.clock.now();
        let main_port = self.house.services.get(&id.service).and_then(|service| service.main_port().cloned());
        let placed = self.addresses.whereabouts().placed(id);
        let mut metadata = BTreeMap::new();
        if let Some(placed) = placed {
            metadata.insert("host".to_owned(), placed.host.to_string());
            metadata.extend(placed.unit.iter().map(|unit| ("unit".to_owned(), unit.clone())));
        }
        let is_ours = !self.is_placed(&id.service);
        let entry = Entry {
            id: id.clone(),
            origin: if is_ours { Origin::Supervised } else { Origin::Placed },
            name: None,
            version: None,
            metadata,
            weight: 1,
            load: None,
            run: view.run,
            address: self.addresses.address_of(id).unwrap_or_default().to_owned(),
            ports: self.addresses.ports(id),
            main_port,
            state: view.health,
            phase: view.phase.as_str().to_owned(),
            since: view.since,
            why: view.why.clone(),
            lease_until: self.lease(id, now),
            revision: 0,
        };
        self.desk.directory.put(entry);
    }

    /// Enters every instance: after a start and after another plan.
    pub(super) fn register_all(&mut self) {
        let rows = self.desk.directory.seen().rows;
        let known = rows.iter().map(Row::entry).filter(|entry| match entry.origin {
            Origin::Supervised | Origin::Placed => true,
            Origin::Announced => false,
        });
        let known: Vec<InstanceId> = known.map(|entry| entry.id.clone()).collect();
        let there: Vec<InstanceId> = self.conductor.instances().map(|view| view.id.clone()).collect();
        for id in known.iter().chain(&there) {
            self.register(id, "no longer in the plan");
        }
        self.restanding.extend(self.house.services.keys().cloned());
    }

    /// A good probe is a sign of life.
    pub(super) fn renew(&mut self, now: Timestamp, id: &InstanceId, run: u64) {
        let is_this_run = self.conductor.instance(id).is_some_and(|view| view.run == run);
        let Some(until) = self.lease(id, now).filter(|_| is_this_run) else { return };
        if !self.desk.directory.renew(id, until) {
            self.register(id, "a probe was good");
            self.stale = true;
        }
    }

    /// Takes out whoever gave no sign of life for too long.
    pub(super) fn expire(&mut self, now: Timestamp) {
        for id in self.desk.directory.expire(now) {
            let why = "no good probe for a long time: taken out of the registry until the next one";
            self.event(NewEvent::new(self.clock.wall(), EventKind::Probe, id.to_string(), why));
            self.stale = true;
        }
    }

    /// Only a probed instance that runs needs a lease: of others the parent tells the end.
    fn lease(&self, id: &InstanceId, now: Timestamp) -> Option<Timestamp> {
        let check = self.house.services.get(&id.service)?.health.as_ref()?;
        let runs = self.conductor.instance(id)?.pid.is_some();
        let is_probed = !matches!(check.probe, haus_model::health::ProbeKind::Process);
        // A first start may take as long as the plan allows.
        let span = LEASE.max(check.every * 3).max(check.start + check.timeout);
        (runs && is_probed).then(|| now.after(span))
    }

    /// Whether the instances of a service register themselves.
    pub(super) fn runs_outside(&self, name: &ServiceName) -> bool {
        self.house.services.get(name).is_some_and(|service| service.runs_as.registers_itself())
    }

    /// Whether the instances of a service were put on hosts and are kept running there.
    pub(super) fn is_placed(&self, name: &ServiceName) -> bool {
        self.house.services.get(name).is_some_and(|service| service.runs_as == RunsAs::Systemd)
    }

    /// The conductor only stands in for external services; what becomes of them is told by who registers.
    pub(super) fn is_external(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Instance(id) => self.runs_outside(&id.service),
            Subject::Service(name) => self.runs_outside(name),
        }
    }

    /// Instances that announced themselves changed: shows them to the gateway, and to those who need them.
    pub(super) fn follow_announced(&mut self) {
        // Before the directory is read: what changes from here on is told again.
        self.desk.directory.taken_up();
        (self.stale, self.stale_outside) = (true, false);
        let outside = self.desk.directory.outside();
        let names = self.house.services.keys().filter(|name| self.runs_outside(name));
        let present: BTreeSet<ServiceName> = names
            .filter(|name| match outside.get(*name) {
                Some(HealthState::Healthy) => true,
                // Who uses it already goes on; nobody begins with it.
                Some(HealthState::Degraded) => self.present.contains(*name),
                Some(HealthState::Unknown | HealthState::Offline) | None => false,
            })
            .cloned()
            .collect();
        if present != self.present {
            self.present = present;
            let now = self.clock.now();
            self.conductor.set_desired(now, plan::desired(&self.house, &self.addresses, &self.present));
        }
    }

    /// Everybody whom the gateway may send a request to.
    pub(super) fn seen(&self) -> BTreeMap<ServiceName, Vec<Seen>> {
        let rows = self.desk.directory.seen().rows;
        let mut seen: BTreeMap<ServiceName, Vec<Seen>> = BTreeMap::new();
        for view in self.conductor.instances().filter(|view| !self.runs_outside(&view.id.service)) {
            let row =
                rows.binary_search_by(|row| row.entry().id.cmp(&view.id)).ok().map(|index| &rows[index]);
            let why = match row {
                Some(_) => format!("{}, {}", view.phase, view.why),
                None => format!("{}, but no good probe for a long time", view.phase),
            };
            seen.entry(view.id.service.clone()).or_default().push(Seen {
                id: view.id.clone(),
                name: view.id.to_string(),
                run: view.run,
                address: None,
                weight: row.map_or(1, |row| row.entry().weight),
                state: row.map_or(HealthState::Offline, |row| {
                    match (row.entry().state, row.entry().origin) {
                        // It runs whether it was asked yet or not: nothing is known against it.
                        (HealthState::Unknown, Origin::Placed) => HealthState::Degraded,
                        (state, Origin::Placed | Origin::Supervised | Origin::Announced) => state,
                    }
                }),
                why,
            });
        }
        for row in rows.iter().filter(|row| row.entry().origin == Origin::Announced) {
            let entry = row.entry();
            let port = entry.main_port.as_ref().and_then(|name| entry.ports.get(name));
            let (Ok(ip), Some(port)) = (entry.address.parse(), port) else { continue };
            seen.entry(entry.id.service.clone()).or_default().push(Seen {
                id: entry.id.clone(),
                name: row.frame.name().to_owned(),
                run: entry.run,
                address: Some(std::net::SocketAddr::new(ip, *port)),
                weight: entry.weight,
                // Nothing is known against one that an earlier core knew; whoever was heard comes first.
                state: if row.is_recalled() { HealthState::Degraded } else { entry.state },
                why: format!("{}, {}", entry.phase, entry.why),
            });
        }
        seen
    }

    /// Tells the directory how services are as a whole.
    pub(super) fn tell_standings(&mut self) {
        let (mut standings, mut gone) = (Vec::new(), Vec::new());
        for name in std::mem::take(&mut self.restanding) {
            match self.conductor.service(&name).filter(|_| !self.runs_outside(&name)) {
                Some(view) => standings.push((name.clone(), standing(&view))),
                None => gone.push(name),
            }
        }
        if !standings.is_empty() || !gone.is_empty() {
            self.desk.directory.note_standings(standings, &gone);
        }
    }

    /// Why a service is as it is. Of an external one the conductor knows nothing.
    pub(super) fn why(&self, view: &ServiceView<'_>) -> String {
        if !self.runs_outside(view.name) {
            return view.why.clone();
        }
        let seen = self.desk.directory.seen_of(view.name);
        seen.standings.get(view.name).map_or_else(
            || "no instance has registered; it runs somewhere else".to_owned(),
            |standing| standing.why.clone(),
        )
    }

    /// The configuration of an instance with its variables filled in.
    pub(super) fn config(&self, id: &InstanceId) -> Result<Option<serde_json::Value>, Problem> {
        let Some(service) = self.house.services.get(&id.service) else { return Ok(None) };
        let Some(config) = &service.config else { return Ok(None) };
        let account = |service: &Service| self.account(service);
        let filled = self.workshop(&account).fill_json(service, id, config);
        let filled = filled.map_err(|error| internal("fill in the configuration", &error))?;
        serde_json::to_value(filled).map(Some).map_err(|error| internal("write the configuration", &error))
    }
}

/// A service as a whole, from the conductor's view.
fn standing(view: &ServiceView<'_>) -> Standing {
    Standing {
        phase: view.phase.as_str().to_owned(),
        health: super::view::service_health(view.phase, view.instances.iter().map(|view| view.health)),
        since: view.since,
        why: view.why.clone(),
    }
}
