//! Public answers, made from the state of the house. Pure.

use haus_api::registry::{Discovery, Health, Instance, Service, ServiceHealth, Services, ServicesHealth};
use haus_api::status::{HouseStatus, InstanceStatus, ServiceStatus};
use haus_api::{Problem, ProblemCode};
use haus_model::ServiceName;
use haus_model::health::HealthState;

/// `GET /health`
pub(crate) fn health(house: &HouseStatus) -> Health {
    Health {
        status: if house.store.writable { HealthState::Healthy } else { HealthState::Degraded },
        timestamp: house.at.to_string(),
        version: house.version.clone(),
        house: house.house.clone(),
    }
}

/// `GET /api/services`
pub(crate) fn services(house: &HouseStatus) -> Services {
    Services { revision: house.revision, services: house.services.iter().map(service).collect() }
}

/// `GET /api/health/services`
pub(crate) fn services_health(house: &HouseStatus) -> ServicesHealth {
    let count = |state| house.services.iter().filter(|service| service.health == state).count();
    let [healthy, degraded, offline, unknown] =
        [HealthState::Healthy, HealthState::Degraded, HealthState::Offline, HealthState::Unknown].map(count);
    let status = if offline > 0 {
        HealthState::Offline
    } else if degraded + unknown > 0 {
        HealthState::Degraded
    } else {
        HealthState::Healthy
    };
    ServicesHealth {
        status,
        timestamp: house.at.to_string(),
        services_healthy: healthy,
        services_degraded: degraded,
        services_offline: offline,
        services_unknown: unknown,
        services_total: house.services.len(),
        services: house.services.iter().map(service_health).collect(),
    }
}

/// `GET /api/discover`: `turn` grows by one per call, so that usable instances take turns.
///
/// # Errors
/// The service is not in the plan.
pub(crate) fn discover(house: &HouseStatus, name: &ServiceName, turn: u64) -> Result<Discovery, Problem> {
    let service = house.services.iter().find(|service| service.name == *name).ok_or_else(|| {
        Problem::new(ProblemCode::NotFound, format!("there is no service `{name}` in house {}", house.house))
            .with_hint("GET /api/services lists them")
    })?;
    let states: Vec<HealthState> = service.instances.iter().map(|instance| instance.health).collect();
    let chosen = haus_watch::balance::next(turn, &states, &[]);
    let mut usable: Vec<&InstanceStatus> = service
        .instances
        .iter()
        .filter(|instance| matches!(instance.health, HealthState::Healthy | HealthState::Degraded))
        .collect();
    usable.sort_by_key(|instance| instance.health);
    let shown = chosen.map_or_else(|| service.instances.first(), |index| service.instances.get(index));
    Ok(Discovery {
        name: name.clone(),
        address: shown.map(|instance| instance.address.clone()).unwrap_or_default(),
        port: shown.and_then(|instance| instance.main_port),
        health: shown.map_or(service.health, |instance| instance.health),
        balancing: "round-robin over healthy endpoints, then degraded ones".to_owned(),
        endpoints: usable.into_iter().map(instance).collect(),
        revision: house.revision,
    })
}

fn service(service: &ServiceStatus) -> Service {
    Service {
        name: service.name.clone(),
        about: service.about.clone(),
        status: service.health,
        urls: service.urls.clone(),
        dependencies: service.needs.clone(),
        instances: service.instances.iter().map(instance).collect(),
    }
}

fn instance(instance: &InstanceStatus) -> Instance {
    Instance {
        id: instance.id.clone(),
        run: instance.run,
        address: instance.address.clone(),
        port: instance.main_port,
        ports: instance.ports.clone(),
        health: instance.health,
        since: instance.since.to_string(),
        why: instance.why.clone(),
        lease_until: instance.lease_until.map(|until| until.to_string()),
        revision: instance.revision,
    }
}

fn service_health(service: &ServiceStatus) -> ServiceHealth {
    let evidence = service
        .instances
        .iter()
        .filter_map(|instance| instance.evidence.clone().map(|evidence| (instance.id.to_string(), evidence)));
    ServiceHealth {
        name: service.name.clone(),
        status: service.health,
        since: service.since.to_string(),
        why: service.why.clone(),
        evidence: evidence.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::{InstanceId, Timestamp};
    use std::collections::BTreeMap;

    fn instance(ordinal: u32, health: HealthState) -> InstanceStatus {
        InstanceStatus {
            id: InstanceId { service: "api".parse().unwrap(), ordinal },
            run: 1,
            pid: Some(1),
            phase: health.to_string(),
            health,
            since: Timestamp(0),
            why: "test".into(),
            restarts: 0,
            address: "127.0.0.1".into(),
            ports: BTreeMap::from([("http".into(), 20_000 + u16::try_from(ordinal).unwrap())]),
            evidence: None,
            next_try: None,
            main_port: Some(20_000 + u16::try_from(ordinal).unwrap()),
            lease_until: None,
            revision: 1,
        }
    }

    fn house(states: &[HealthState]) -> HouseStatus {
        let instances = (1..).zip(states).map(|(ordinal, state)| instance(ordinal, *state)).collect();
        let service = ServiceStatus {
            name: "api".parse().unwrap(),
            about: None,
            phase: "healthy".into(),
            health: states.iter().copied().max().unwrap_or(HealthState::Unknown),
            since: Timestamp(0),
            why: "test".into(),
            needs: Vec::new(),
            urls: Vec::new(),
            instances,
        };
        HouseStatus {
            house: "test".into(),
            title: None,
            stage: "default".into(),
            domain: "test.localhost".into(),
            version: "0".into(),
            at: Timestamp(0),
            core_since: Timestamp(0),
            parent_pid: 1,
            core_pid: 2,
            folder: "/".into(),
            gateway: "127.0.0.1:8080".into(),
            draining: false,
            ready: true,
            revision: 9,
            store: haus_api::status::StoreStatus { writable: true, last_error: None, events_lost: 0 },
            services: vec![service],
        }
    }

    #[test]
    fn discovery_gives_usable_instances_their_turn() {
        use HealthState::{Healthy, Offline};
        let house = house(&[Healthy, Offline, Healthy]);
        let name = "api".parse().unwrap();
        let ports: Vec<_> = (0..4).map(|turn| discover(&house, &name, turn).unwrap().port.unwrap()).collect();
        assert_eq!(ports, [20_001, 20_003, 20_001, 20_003]);
        assert_eq!(discover(&house, &name, 0).unwrap().endpoints.len(), 2);
    }

    #[test]
    fn an_unknown_service_is_a_problem_with_a_hint() {
        let problem = discover(&house(&[]), &"nobody".parse().unwrap(), 0).unwrap_err();
        assert_eq!((problem.status, problem.code), (404, ProblemCode::NotFound));
        assert!(problem.hint.is_some());
    }

    #[test]
    fn the_house_is_as_healthy_as_its_worst_service() {
        assert_eq!(services_health(&house(&[HealthState::Healthy])).status, HealthState::Healthy);
        assert_eq!(services_health(&house(&[HealthState::Degraded])).status, HealthState::Degraded);
        let offline = services_health(&house(&[HealthState::Offline]));
        assert_eq!(
            (offline.status, offline.services_offline, offline.services_total),
            (HealthState::Offline, 1, 1)
        );
    }
}
