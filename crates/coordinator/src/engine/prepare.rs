//! The commands that run once before the first start: one after the other, each a short
//! process of the parent's under the service's own account.

use super::Engine;
use crate::credentials;
use crate::spawn::prepare_key;
use haus_model::ServiceName;
use haus_model::service::Service;
use haus_store::{EventKind, NewEvent};
use haus_supervise::Order;
use std::time::Duration;

/// A step that takes longer is ended: a command that waits for input would wait for ever.
const STEP_MAX: Duration = Duration::from_secs(30 * 60);

/// One service whose commands are running, as the plan was when they began: a reload in
/// between must not mix the steps of two plans.
pub(super) struct Preparing {
    service: Box<Service>,
    fingerprint: String,
    step: usize,
    /// When the running step is ended.
    until: haus_model::Timestamp,
}

impl Engine {
    pub(super) fn prepare(&mut self, name: &ServiceName, fingerprint: String) {
        let now = self.clock.now();
        let service = self.house.services.get(name);
        let Some(service) = service.filter(|service| !service.prepare.is_empty()).cloned() else {
            self.conductor.handle_prepared(now, name, Err("the plan has changed meanwhile".to_owned()));
            return;
        };
        let until = now.after(STEP_MAX);
        self.step(Preparing { service: Box::new(service), fingerprint, step: 0, until });
    }

    fn step(&mut self, preparing: Preparing) {
        let name = preparing.service.name.clone();
        if let Err(why) = self.order_step(preparing) {
            let now = self.clock.now();
            self.conductor.handle_prepared(now, &name, Err(why));
        }
    }

    fn order_step(&mut self, preparing: Preparing) -> Result<(), String> {
        let service = &*preparing.service;
        let values = credentials::values(&self.house, service, &self.root, &self.places)
            .map_err(|error| crate::chain(&error))?;
        let run = self.next_prepare_run;
        let account = |service: &Service| self.account(service);
        let order = self
            .workshop(&account)
            .prepare(service, preparing.step, run, &values)
            .map_err(|error| crate::chain(&error))?;
        self.order_start(order)?;
        self.next_prepare_run += 1;
        self.preparing.insert(run, preparing);
        Ok(())
    }

    /// Ends steps that take too long.
    pub(super) fn end_long_steps(&mut self, now: haus_model::Timestamp) {
        let long = self.preparing.values().filter(|preparing| preparing.until <= now);
        for preparing in long {
            let key = prepare_key(&preparing.service, preparing.step);
            self.order(&Order::StopAsSpecified { key });
        }
    }

    /// When the next step takes too long.
    pub(super) fn next_long_step(&self) -> Option<haus_model::Timestamp> {
        self.preparing.values().map(|preparing| preparing.until).min()
    }

    pub(super) fn prepare_ended(&mut self, run: u64, outcome: Result<(), String>) {
        let Some(mut preparing) = self.preparing.remove(&run) else { return };
        let now = self.clock.now();
        let name = preparing.service.name.clone();
        let key = prepare_key(&preparing.service, preparing.step);
        let is_last = preparing.step + 1 >= preparing.service.prepare.len();
        match outcome {
            Err(why) => {
                let limit = if preparing.until <= now {
                    format!(" after {} s", STEP_MAX.as_secs())
                } else {
                    String::new()
                };
                let why = format!("{key} failed{limit}: {why}; see `haus logs {name}`");
                self.conductor.handle_prepared(now, &name, Err(why));
            }
            Ok(()) if is_last => self.prepared(&preparing),
            // Nothing new begins in a house that comes to its end.
            Ok(()) if self.draining => {}
            Ok(()) => {
                preparing.step += 1;
                preparing.until = now.after(STEP_MAX);
                self.step(preparing);
            }
        }
    }

    fn prepared(&mut self, preparing: &Preparing) {
        let name = &preparing.service.name;
        // Kept before it is believed: a crash in between repeats the commands, never skips them.
        let kept = self.store.set_prepared(name, &preparing.fingerprint);
        let outcome =
            kept.map_err(|error| format!("cannot remember that it is prepared: {}", crate::chain(&error)));
        if outcome.is_ok() {
            self.event(NewEvent::new(self.clock.wall(), EventKind::Spawn, name.to_string(), "prepared"));
        }
        let now = self.clock.now();
        self.conductor.handle_prepared(now, name, outcome);
    }
}
