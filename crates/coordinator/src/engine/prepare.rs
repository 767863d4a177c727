//! The commands that run once before the first start: one after the other, each a short
//! process of the parent's under the service's own account.

use super::Engine;
use super::arm::Arming;
use super::lacking::Missing;
use crate::spawn::prepare_key;
use haus_model::service::Service;
use haus_model::{InstanceId, Secret, ServiceName};
use haus_store::{EventKind, NewEvent};
use haus_supervise::Order;
use std::collections::BTreeMap;
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
        let service = preparing.service.clone();
        let id = InstanceId { service: service.name.clone(), ordinal: 1 };
        let run = self.next_prepare_run;
        self.next_prepare_run += 1;
        self.preparing.insert(run, preparing);
        self.arm(Arming::Step { run }, &service, &id);
    }

    /// The files of a step are there, or cannot be had.
    pub(super) fn step_armed(&mut self, run: u64, files: Result<BTreeMap<String, Secret>, Missing>) {
        // Nothing new begins in a house that comes to its end.
        if self.draining {
            self.preparing.remove(&run);
            return;
        }
        let ordered = match files {
            Ok(files) => self.order_step(run, &files),
            Err(missing) => {
                if let Some(preparing) = self.preparing.remove(&run) {
                    self.prepare_lacks(&preparing.service.name, missing);
                }
                return;
            }
        };
        if let Err(why) = ordered
            && let Some(preparing) = self.preparing.remove(&run)
        {
            let now = self.clock.now();
            self.conductor.handle_prepared(now, &preparing.service.name, Err(why));
        }
    }

    fn order_step(&self, run: u64, files: &BTreeMap<String, Secret>) -> Result<(), String> {
        let Some(preparing) = self.preparing.get(&run) else { return Ok(()) };
        let account = |service: &Service| self.account(service);
        let order = self.workshop(&account).prepare(&preparing.service, preparing.step, run, files);
        self.order_start(order.map_err(|error| crate::chain(&error))?)
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
