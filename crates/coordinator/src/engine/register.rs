//! Keeping the registry: who is where, until when that may be believed.

use super::Engine;
use haus_model::{InstanceId, Timestamp};
use haus_store::{EventKind, NewEvent};
use haus_watch::registry::Entry;
use std::time::Duration;

/// How long a probed instance stays in the registry without a good probe (the house `zimmer`'s
/// document: offline after 90 s without a sign of life).
const LEASE: Duration = Duration::from_secs(90);

impl Engine {
    /// Enters an instance as the conductor sees it, or takes it out when it is gone.
    pub(super) fn register(&mut self, id: &InstanceId, why: &str) {
        let Some(view) = self.conductor.instance(id) else {
            self.registry.remove(id, why);
            return;
        };
        let now = self.clock.now();
        let main_port = self.house.services.get(&id.service).and_then(|service| service.main_port().cloned());
        let entry = Entry {
            id: id.clone(),
            run: view.run,
            address: self.addresses.address(&id.service).unwrap_or_default().to_owned(),
            ports: self.addresses.ports(id),
            main_port,
            state: view.health,
            phase: view.phase.as_str().to_owned(),
            since: view.since,
            why: view.why.clone(),
            lease_until: self.lease(id, now),
            revision: 0,
        };
        self.registry.put(entry);
    }

    /// Enters every instance: after a start and after another plan.
    pub(super) fn register_all(&mut self) {
        let known: Vec<InstanceId> = self.registry.entries().map(|entry| entry.id.clone()).collect();
        let there: Vec<InstanceId> = self.conductor.instances().map(|view| view.id.clone()).collect();
        for id in known.iter().chain(&there) {
            self.register(id, "no longer in the plan");
        }
    }

    /// A good probe is a sign of life.
    pub(super) fn renew(&mut self, now: Timestamp, id: &InstanceId, run: u64) {
        let is_this_run = self.conductor.instance(id).is_some_and(|view| view.run == run);
        let Some(until) = self.lease(id, now).filter(|_| is_this_run) else { return };
        if !self.registry.renew(id, until) {
            self.register(id, "a probe was good");
            self.stale = true;
        }
    }

    /// Takes out whoever gave no sign of life for too long.
    pub(super) fn expire(&mut self, now: Timestamp) {
        for id in self.registry.expire(now) {
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
}
