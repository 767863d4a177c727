//! A small house for the unit tests of this crate, and a desk for the tests of handlers.

mod desk;
mod engine;

pub(crate) use desk::{Answer, TestDesk};

use haus_model::alert::Alerting;
use haus_model::house::{ApiSettings, GatewaySettings, House};
use haus_model::service::{Limits, NewCredential, PortNumber, Recover, Rollout, RunsAs, Service, Stop};
use haus_model::template::{Piece, Template, Variable};
use haus_model::{InstanceId, PortName};
use std::collections::BTreeMap;

/// A service with one `auto` port `http` that prints the port.
pub(crate) fn service(name: &str, instances: u32) -> Service {
    let port =
        Template { pieces: vec![Piece::Text("--port=".into()), Piece::Variable(Variable::Port(None))] };
    Service {
        name: name.parse().unwrap(),
        about: None,
        runs_as: RunsAs::Process,
        run: vec![Template::literal("serve"), port],
        user: None,
        folder: "rooms".into(),
        prepare: Vec::new(),
        ports: BTreeMap::from([("http".parse().unwrap(), PortNumber::Auto)]),
        address: "127.0.0.1".into(),
        data: vec!["db".into()],
        links: BTreeMap::new(),
        config: None,
        env: BTreeMap::new(),
        credentials: BTreeMap::new(),
        new_credential: NewCredential::default(),
        health: None,
        needs: Vec::new(),
        instances,
        limits: Limits::default(),
        rollout: Rollout::Replace,
        recover: Recover::default(),
        stop: Stop::default(),
        deployment: None,
    }
}

/// A house of these services.
pub(crate) fn house(services: Vec<Service>) -> House {
    House {
        name: "test".parse().unwrap(),
        title: None,
        stage: "default".parse().unwrap(),
        domain: "test.localhost".into(),
        gateway: GatewaySettings::default(),
        services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        routes: BTreeMap::new(),
        credentials: BTreeMap::new(),
        api: ApiSettings::default(),
        alerts: Alerting::default(),
        maintenance: Vec::new(),
        hosts: BTreeMap::new(),
        networks: BTreeMap::new(),
    }
}

/// Ports from 20001 upwards in the order of services and ordinals.
pub(crate) fn ports(house: &House) -> BTreeMap<(InstanceId, PortName), u16> {
    let ids = house.services.values().flat_map(|service| {
        (1..=service.instances).map(|ordinal| InstanceId { service: service.name.clone(), ordinal })
    });
    ids.zip(20_001..).map(|(id, port)| ((id, "http".parse().unwrap()), port)).collect()
}
