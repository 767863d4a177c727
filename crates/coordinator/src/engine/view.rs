//! The engine's state in the types of the API.

use super::Engine;
use crate::spawn::Workshop;
use haus_api::status::{HouseStatus, InstanceStatus, ServiceStatus, StoreStatus};
use haus_model::health::HealthState;
use haus_model::route::RouteTarget;
use haus_model::service::{RunsAs, Service};
use haus_watch::conductor::{InstanceView, Phase};
use std::collections::BTreeMap;

impl Engine {
    pub(super) fn workshop<'a>(&'a self, account: &'a dyn Fn(&Service) -> Option<String>) -> Workshop<'a> {
        Workshop {
            house: &self.house,
            root: &self.root,
            places: &self.places,
            addresses: &self.addresses,
            account,
            own_user: &self.own_user,
        }
    }

    pub(super) fn status(&self) -> HouseStatus {
        let services: Vec<ServiceStatus> = self.services();
        let journal = self.journal.health();
        let store = self.store.health();
        HouseStatus {
            house: self.house.name.to_string(),
            title: self.house.title.clone(),
            stage: self.house.stage.to_string(),
            domain: self.house.domain.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: self.clock.wall(),
            core_since: self.clock.wall_of(haus_model::Timestamp(0)),
            parent_pid: self.parent_pid,
            core_pid: std::process::id(),
            folder: self.root.display().to_string(),
            gateway: self.gateway_address.to_string(),
            draining: self.draining,
            ready: self.conductor.services().all(|view| view.ready),
            revision: self.registry.revision(),
            store: StoreStatus {
                writable: store.writable && journal.failing.is_none(),
                last_error: journal.failing.or(store.last_error),
                events_lost: journal.lost,
            },
            services,
        }
    }

    fn services(&self) -> Vec<ServiceStatus> {
        let mut urls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, url) in self.urls() {
            urls.entry(name).or_default().push(url);
        }
        let views = self.conductor.services();
        views
            .map(|view| {
                let service = self.house.services.get(view.name);
                ServiceStatus {
                    name: view.name.clone(),
                    about: service.and_then(|service| service.about.clone()),
                    phase: view.phase.as_str().to_owned(),
                    health: service_health(view.phase, view.instances.iter().map(|view| view.health)),
                    since: self.clock.wall_of(view.since),
                    why: view.why,
                    needs: service.map(|service| service.needs.clone()).unwrap_or_default(),
                    urls: urls.remove(view.name.as_str()).unwrap_or_default(),
                    instances: view.instances.iter().map(|view| self.instance(view)).collect(),
                }
            })
            .collect()
    }

    fn instance(&self, view: &InstanceView) -> InstanceStatus {
        let ports = self.addresses.ports(&view.id);
        let entry = self.registry.get(&view.id);
        InstanceStatus {
            id: view.id.clone(),
            run: view.run,
            pid: view.pid,
            phase: view.phase.as_str().to_owned(),
            health: view.health,
            since: self.clock.wall_of(view.since),
            why: view.why.clone(),
            restarts: view.restarts,
            address: self.addresses.address(&view.id.service).unwrap_or_default().to_owned(),
            ports: ports.into_iter().map(|(name, number)| (name.to_string(), number)).collect(),
            evidence: (!view.last_evidence.is_empty()).then(|| view.last_evidence.clone()),
            next_try: view.next_try.map(|at| self.clock.wall_of(at)),
            main_port: self.addresses.port(&view.id, None),
            lease_until: entry.and_then(|entry| entry.lease_until).map(|at| self.clock.wall_of(at)),
            revision: entry.map_or(0, |entry| entry.revision),
        }
    }

    /// One address per service, for the summary: a name of its own before a path of a shared one.
    pub(super) fn first_urls(&self) -> Vec<(String, String)> {
        let mut urls = self.urls();
        let rank = |(name, url): &(String, String)| (name.clone(), !url.contains(name.as_str()), url.len());
        urls.sort_by_key(rank);
        urls.dedup_by(|second, first| second.0 == first.0);
        urls
    }

    /// Service and address of every route, in the order of the plan's hosts.
    pub(super) fn urls(&self) -> Vec<(String, String)> {
        let port = self.gateway_address.port();
        let coordinator = self.house.services.values().find(|service| service.runs_as == RunsAs::Coordinator);
        let mut urls = Vec::new();
        for (host, paths) in &self.house.routes {
            for (path, route) in paths {
                let name = match &route.target {
                    RouteTarget::Service { service, .. } => service.to_string(),
                    RouteTarget::Coordinator => {
                        coordinator.map_or_else(|| "haus".to_owned(), |service| service.name.to_string())
                    }
                    RouteTarget::Files { .. } => "files".to_owned(),
                };
                let port = if port == 80 { String::new() } else { format!(":{port}") };
                urls.push((name, format!("http://{host}{port}{path}")));
            }
        }
        urls
    }
}

/// A service is healthy when every instance is, degraded while at least one can be used, and
/// unknown while nothing is known against it.
fn service_health(phase: Phase, instances: impl Iterator<Item = HealthState>) -> HealthState {
    let states: Vec<HealthState> = instances.collect();
    let any = |wanted| states.contains(&wanted);
    if states.is_empty() || phase == Phase::Completed {
        phase.health()
    } else if states.iter().all(|state| *state == HealthState::Healthy) {
        HealthState::Healthy
    } else if any(HealthState::Healthy) || any(HealthState::Degraded) {
        HealthState::Degraded
    } else if any(HealthState::Unknown) {
        HealthState::Unknown
    } else {
        HealthState::Offline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthState::{Degraded, Healthy, Offline, Unknown};

    fn check(instances: &[HealthState], expected: HealthState) {
        let found = service_health(Phase::Starting, instances.iter().copied());
        assert_eq!(found, expected, "{instances:?}");
    }

    #[test]
    fn a_service_is_as_healthy_as_its_visitors_find_it() {
        check(&[Healthy, Healthy], Healthy);
        check(&[Healthy, Offline], Degraded);
        check(&[Healthy, Unknown], Degraded);
        check(&[Degraded], Degraded);
        check(&[Unknown, Offline], Unknown);
        check(&[Offline, Offline], Offline);
        check(&[], Unknown);
    }
}
