//! One instance that announced itself: what it said, and its entry in the registry.

use crate::announcing::Said;
use haus_model::{InstanceId, PortName, ServiceName, Timestamp};
use haus_watch::announced::{AnnouncedView, NewInstance};
use haus_watch::registry::{Entry, Origin};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The name of the one port that an instance registers.
const PORT_NAME: &str = "http";

/// One instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    /// Its number in the registry.
    pub ordinal: u32,
    /// Counts its registrations, so that the gateway begins anew with a new process.
    pub run: u64,
    /// What it said.
    pub said: Said,
    /// When it registered first, wall clock.
    pub registered_at: Timestamp,
    /// When it registered or changed something last, wall clock.
    pub updated_at: Timestamp,
}

impl Member {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.said.reached()
    }

    /// Its slot.
    pub(crate) fn id(&self, service: &ServiceName) -> InstanceId {
        InstanceId { service: service.clone(), ordinal: self.ordinal }
    }

    /// What the machine of ageing wants to know.
    pub(super) fn aging(&self, service: &ServiceName, instance: &str, heartbeat: Duration) -> NewInstance {
        NewInstance {
            service: service.clone(),
            instance: instance.to_owned(),
            heartbeat,
            probed: self.said.health.is_some(),
            weight: self.said.weight,
        }
    }

    /// Its entry.
    pub(super) fn entry(&self, view: &AnnouncedView<'_>) -> Entry {
        let port: PortName = PORT_NAME.parse().expect("a name");
        Entry {
            id: self.id(view.service),
            origin: Origin::Announced,
            name: Some(view.instance.to_owned()),
            version: Some(self.said.version.clone()),
            metadata: self.said.metadata.clone(),
            weight: self.said.weight,
            load: view.load,
            run: self.run,
            address: self.said.ip.to_string(),
            ports: BTreeMap::from([(port.clone(), self.said.port)]),
            main_port: Some(port),
            state: view.state,
            phase: view.state.to_string(),
            since: view.since,
            why: view.why.to_owned(),
            lease_until: None,
            revision: 0,
        }
    }
}
