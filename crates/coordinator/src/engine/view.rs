//! The engine's state in the types of the API.

use super::Engine;
use crate::answer;
use crate::directory::{Row, Tally};
use crate::spawn::Workshop;
use haus_api::status::{HouseStatus, InstanceStatus, ServiceStatus, StoreStatus};
use haus_model::ServiceName;
use haus_model::health::HealthState;
use haus_model::service::Service;
use haus_watch::conductor::{InstanceView, Phase, ServiceView};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a status may be shown again while nothing has happened.
const SHOWN_FOR: Duration = Duration::from_millis(250);

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

    /// The state of the house, made once for all who ask within a moment.
    pub(super) fn shown(&mut self) -> Arc<HouseStatus> {
        let now = self.clock.now();
        match &self.shown {
            Some((at, status)) if now.since(*at) < SHOWN_FOR => Arc::clone(status),
            Some(_) | None => {
                let status = Arc::new(self.status());
                self.shown = Some((now, Arc::clone(&status)));
                status
            }
        }
    }

    fn status(&self) -> HouseStatus {
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
            ready: self.counted().all(|view| view.ready),
            revision: self.desk.directory.revision(),
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
        let rows = self.desk.directory.seen().rows;
        let views = self.conductor.services();
        views
            .map(|view| {
                let service = self.house.services.get(view.name);
                if self.runs_outside(view.name) {
                    return self.outside(&view, &rows, urls.remove(view.name.as_str()).unwrap_or_default());
                }
                ServiceStatus {
                    name: view.name.clone(),
                    about: service.and_then(|service| service.about.clone()),
                    phase: view.phase.as_str().to_owned(),
                    health: service_health(view.phase, view.instances.iter().map(|view| view.health)),
                    since: self.clock.wall_of(view.since),
                    why: self.why_in_full(view.name, view.why),
                    needs: service.map(|service| service.needs.clone()).unwrap_or_default(),
                    urls: urls.remove(view.name.as_str()).unwrap_or_default(),
                    instances: view.instances.iter().map(|view| self.instance(view, &rows)).collect(),
                }
            })
            .collect()
    }

    /// A service whose instances register themselves.
    fn outside(&self, view: &ServiceView<'_>, rows: &[Row], urls: Vec<String>) -> ServiceStatus {
        let seen = self.desk.directory.seen_of(view.name);
        let standing = seen.standings.get(view.name);
        let service = self.house.services.get(view.name);
        let instances = rows.iter().filter(|row| row.entry().id.service == *view.name);
        ServiceStatus {
            name: view.name.clone(),
            about: service.and_then(|service| service.about.clone()),
            phase: standing.map_or("waiting".to_owned(), |standing| standing.phase.clone()),
            health: standing.map_or(HealthState::Unknown, |standing| standing.health),
            since: self.clock.wall_of(standing.map_or(view.since, |standing| standing.since)),
            why: self.why(view),
            needs: service.map(|service| service.needs.clone()).unwrap_or_default(),
            urls,
            instances: instances.map(|row| self.announced(row)).collect(),
        }
    }

    fn announced(&self, row: &Row) -> InstanceStatus {
        let entry = row.entry();
        InstanceStatus {
            id: entry.id.clone(),
            name: row.frame.name().to_owned(),
            run: entry.run,
            pid: None,
            phase: entry.phase.clone(),
            health: entry.state,
            since: self.clock.wall_of(entry.since),
            why: entry.why.clone(),
            restarts: 0,
            address: entry.address.clone(),
            ports: entry.ports.iter().map(|(name, number)| (name.to_string(), *number)).collect(),
            evidence: row.note.probed.as_ref().map(|probed| probed.evidence.clone()),
            next_try: None,
            main_port: entry.main_port.as_ref().and_then(|name| entry.ports.get(name)).copied(),
            lease_until: None,
            revision: entry.revision,
            host: None,
        }
    }

    fn instance(&self, view: &InstanceView, rows: &[Row]) -> InstanceStatus {
        let ports = self.addresses.ports(&view.id);
        let row = rows.binary_search_by(|row| row.entry().id.cmp(&view.id)).ok().map(|index| &rows[index]);
        InstanceStatus {
            id: view.id.clone(),
            name: view.id.to_string(),
            run: view.run,
            pid: view.pid,
            phase: view.phase.as_str().to_owned(),
            health: view.health,
            since: self.clock.wall_of(view.since),
            why: view.why.clone(),
            restarts: view.restarts,
            address: self.addresses.address_of(&view.id).unwrap_or_default().to_owned(),
            ports: ports.into_iter().map(|(name, number)| (name.to_string(), number)).collect(),
            evidence: (!view.last_evidence.is_empty()).then(|| view.last_evidence.clone()),
            next_try: view.next_try.map(|at| self.clock.wall_of(at)),
            main_port: self.addresses.port(&view.id, None),
            lease_until: row.and_then(|row| row.note.lease_until).map(|at| self.clock.wall_of(at)),
            revision: row.map_or(0, |row| row.entry().revision),
            host: self.addresses.whereabouts().placed(&view.id).map(|placed| placed.host.clone()),
        }
    }

    /// The services by which the house is whole: those that it runs, and of the others those that have been
    /// there. Nobody promised that somebody else's process comes.
    pub(super) fn counted(&self) -> impl Iterator<Item = ServiceView<'_>> {
        let is_awaited =
            |name: &ServiceName| self.runs_outside(name) && self.desk.directory.standing(name).is_none();
        self.conductor.services().filter(move |view| !is_awaited(view.name))
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
        answer::urls(&self.house, self.gateway_address.port())
    }
}

/// A service by its instances, see [`Tally::health`]; one without instances, or that has done its work, by
/// its phase.
pub(super) fn service_health(phase: Phase, instances: impl Iterator<Item = HealthState>) -> HealthState {
    let mut instances = instances.peekable();
    if instances.peek().is_none() || phase == Phase::Completed {
        return phase.health();
    }
    instances.collect::<Tally>().health()
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
