//! Carrying out what the conductor decides.

use super::arm::Arming;
use super::{Engine, Exit};
use crate::ports;
use crate::progress::Progress;
use haus_api::control::Done;
use haus_model::service::Service;
use haus_model::{InstanceId, Secret};
use haus_store::{EventKind, NewEvent};
use haus_supervise::{LinkError, Order, SpawnSpec, account};
use haus_watch::conductor::{Action, Change, Subject};
use std::collections::BTreeMap;

impl Engine {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Prepare { service, fingerprint } => self.prepare(&service, fingerprint),
            Action::Spawn { id, run } => match self.house.services.get(&id.service).cloned() {
                Some(service) => self.arm(Arming::Instance { id: id.clone(), run }, &service, &id),
                None => self.not_spawned(&id, run, "the service is no longer in the plan".to_owned()),
            },
            // The parent does not know of it yet: an order to stop would be lost, and the start would follow.
            Action::Stop { id, run, why, stop: _ } if self.disarm(&id, run) => {
                self.not_spawned(&id, run, format!("called off: {why}"));
            }
            Action::Stop { id, run: _, why, stop } => {
                let within_ms = u64::try_from(stop.within.as_millis()).unwrap_or(u64::MAX);
                let told = format!("asked to end: {why}");
                self.event(NewEvent::new(self.clock.wall(), EventKind::Exit, id.to_string(), told));
                self.order(&Order::Stop { key: id.to_string(), signal: stop.signal.number(), within_ms });
            }
            Action::Probe { id, run } => self.probe(&id, run),
            Action::Changed(change) => self.changed(&change),
            Action::Drained => self.drained(),
        }
    }

    /// Orders a start whose files are there.
    pub(super) fn spawn(
        &mut self,
        id: &InstanceId,
        run: u64,
        files: &BTreeMap<String, Secret>,
    ) -> Result<(), String> {
        let Some(service) = self.house.services.get(&id.service) else {
            return Err("the service is no longer in the plan".to_owned());
        };
        ports::check_before_start(service, &self.addresses.ports(id))?;
        let account = |service: &Service| self.account(service);
        let order = self
            .workshop(&account)
            .instance(service, id, run, files)
            .map_err(|error| crate::chain(&error))?;
        self.order_start(order)
    }

    /// The account of a service: its own unless the plan names one; none when we are not root.
    pub(super) fn account(&self, service: &Service) -> Option<String> {
        if !crate::is_root() {
            return None;
        }
        let own = || account::own_name(self.house.name.as_str(), service.name.as_str());
        Some(service.user.clone().unwrap_or_else(own))
    }

    fn changed(&mut self, change: &Change) {
        self.stale = true;
        if self.is_external(&change.subject) {
            return;
        }
        match &change.subject {
            Subject::Instance(id) => self.register(id, &change.why),
            Subject::Service(name) => self.watch_service(name),
        }
        // A service with one instance has one story: its instance's. It is told by the service's name.
        let single = |name| self.house.services.get(name).is_none_or(|service| service.instances == 1);
        let shown = match &change.subject {
            Subject::Instance(id) if single(&id.service) => id.service.to_string(),
            Subject::Instance(id) => id.to_string(),
            Subject::Service(name) => {
                if single(name) && self.conductor.instances().any(|view| view.id.service == *name) {
                    return;
                }
                name.to_string()
            }
        };
        let why = change.why.clone();
        let event =
            NewEvent::new(self.clock.wall_of(change.at), EventKind::ServiceChange, shown.clone(), why);
        self.event(event.change(change.from.as_str(), change.to.as_str()));
        if matches!(change.subject, Subject::Service(_)) {
            // The terminal shows the instances; the journal has the whole.
            return;
        }
        let count = self.count();
        self.observer.tell(Progress::Changed {
            subject: shown,
            from: change.from.as_str(),
            to: change.to.as_str(),
            why: change.why.clone(),
            count,
        });
    }

    /// Sends a start. An order that does not fit a frame would otherwise wait for ever.
    pub(super) fn order_start(&self, order: SpawnSpec) -> Result<(), String> {
        match self.sender.send(&Order::Spawn(Box::new(order))) {
            Err(error @ LinkError::Frame { .. }) => Err(crate::chain(&error)),
            // A parent that is gone shows as an input soon after.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn drained(&mut self) {
        self.event(
            NewEvent::new(self.clock.wall(), EventKind::House, "house", "every service has ended")
                .change("draining", "down"),
        );
        self.observer.tell(Progress::Drained);
        self.exit = Some(Exit::Drained);
    }

    pub(super) fn down(&mut self) -> Done {
        let message = if self.draining { "the house is already going down" } else { "the house goes down" };
        if !self.draining {
            // The parent must know: a core that dies now is not to bring the house up again.
            let reason = "asked by haus down".to_owned();
            self.order(&Order::Draining { reason, within_ms: self.drain_within_ms() });
        }
        self.drain("asked by haus down");
        Done { message: message.to_owned() }
    }
}
