//! How running instances take over a changed plan or a wished restart.
//!
//! Rolling replaces one instance at a time and goes on only while every new one is healthy, so a
//! plan that does not work costs at most one instance. The state is in the slots alone: whatever
//! is new and not healthy holds the rest back, and the rollout resumes when it becomes healthy.

use super::Conductor;
use super::desired::Keeper;
use super::service::Prepare;
use super::slot::{Process, Slot, Then};
use super::view::{Action, Change, Phase, Subject, Target};
use haus_model::service::Rollout;
use haus_model::{InstanceId, ServiceName, Timestamp};

impl Conductor {
    pub(super) fn advance_rollout(&mut self, now: Timestamp, name: &ServiceName) {
        let Some(service) = self.services.get(name).filter(|service| service.rolling) else { return };
        let rollout = service.desired.rollout;
        let waiting = service.slots.values().filter(|slot| slot.awaits_rollout());
        let waiting: Vec<InstanceId> = waiting.map(|slot| slot.view.id.clone()).collect();
        if waiting.is_empty() {
            // The last one is on its way; a halt would be about others that do not wait any more.
            return self.end_rollout(name);
        }
        if self.rollout_prepares(now, name, waiting.len()) {
            return;
        }
        match rollout {
            Rollout::Hold | Rollout::Replace => {
                for id in waiting {
                    self.replace(now, &id);
                }
            }
            Rollout::Rolling => self.roll_one(now, name, &waiting),
        }
    }

    fn end_rollout(&mut self, name: &ServiceName) {
        if let Some(service) = self.services.get_mut(name) {
            service.rolling = false;
            service.halted = None;
        }
    }

    /// Prepare commands run while the old instances still serve; true while they are not done.
    fn rollout_prepares(&mut self, now: Timestamp, name: &ServiceName, waiting: usize) -> bool {
        let Some(due) = self.prepare_due(name).cloned() else { return false };
        let Some(service) = self.services.get(name) else { return false };
        if let Prepare::Failed { fingerprint, text } = &service.prepare
            && *fingerprint == due
        {
            let why = format!("its prepare commands failed: {text}; {}", keep_running(waiting));
            self.halt(now, name, &why);
            return true;
        }
        self.start_prepare(name)
    }

    fn roll_one(&mut self, now: Timestamp, name: &ServiceName, waiting: &[InstanceId]) {
        let Some(service) = self.services.get(name) else { return };
        let is_new = |slot: &&Slot| !slot.awaits_rollout() && !slot.surplus;
        let is_well = |slot: &Slot| matches!(slot.view.phase, Phase::Healthy | Phase::Completed);
        let failing = |slot: &&Slot| matches!(slot.view.phase, Phase::BackingOff | Phase::GivenUp);
        let new = || service.slots.values().filter(is_new);
        if let Some(slot) = new().find(failing) {
            let why = format!(
                "{} is not healthy: {}; {}",
                slot.view.id,
                slot.view.why,
                keep_running(waiting.len())
            );
            return self.halt(now, name, &why);
        }
        // Nothing is known of an instance that was just taken over: it may be the one that serves.
        let unheard = |id: &InstanceId| {
            self.slot(id)
                .is_some_and(|slot| slot.view.phase == Phase::Starting && slot.view.last_evidence.is_empty())
        };
        if !new().all(is_well) || waiting.iter().any(unheard) {
            return;
        }
        // One that does not serve well is no loss.
        let ill = waiting.iter().find(|id| self.slot(id).is_some_and(|slot| !is_well(slot)));
        if let Some(id) = ill.or(waiting.first()).cloned() {
            self.replace(now, &id);
        }
    }

    fn replace(&mut self, now: Timestamp, id: &InstanceId) {
        if let Some(service) = self.services.get_mut(&id.service) {
            service.halted = None;
        }
        let why = self.slot(id).and_then(|slot| slot.outdated.clone()).unwrap_or_default();
        self.stop(now, id, Then::Again(why.clone()), &why);
    }

    fn halt(&mut self, now: Timestamp, name: &ServiceName, why: &str) {
        let Some(service) = self.services.get_mut(name) else { return };
        let why = format!("the rollout is halted: {why}");
        if service.halted.as_ref() != Some(&why) {
            service.halted = Some(why.clone());
            // Otherwise the coming change of phase tells it.
            if service.summary() == service.phase {
                let (subject, phase) = (Subject::Service(name.clone()), service.phase);
                self.actions.push_back(Action::Changed(Change {
                    subject,
                    at: now,
                    from: phase,
                    to: phase,
                    why,
                }));
            }
        }
    }

    /// Marks a slot for replacement; one without a process forgets its failures and starts at once.
    pub(super) fn outdate(&mut self, now: Timestamp, id: &InstanceId, why: &str) {
        let Some(service) = self.services.get_mut(&id.service) else { return };
        let Some(slot) = service.slots.get_mut(&id.ordinal) else { return };
        slot.rule.reset();
        if let Some(stopping) = &mut slot.stopping {
            stopping.then = Then::Again(why.to_owned());
        } else if slot.is_live() {
            slot.outdated = Some(why.to_owned());
            service.rolling = true;
        } else {
            self.wake(now, id, why);
        }
        self.mark(&id.service);
    }

    /// Lets a slot without a process start as soon as it may, whatever it was waiting for before.
    ///
    /// The start itself comes when every service has been looked at: its needs may be new, too.
    fn wake(&mut self, now: Timestamp, id: &InstanceId, why: &str) {
        // A start that nobody has taken yet is asked for anew, since it belongs to the plan before.
        self.set_process(id, Process::None);
        if let Some(slot) = self.slot_mut(id) {
            slot.view.next_try = None;
            slot.start_why = why.to_owned();
            self.woken.insert(id.clone());
            self.set_timer(now, id);
        }
    }

    pub(super) fn start_anew(&mut self, now: Timestamp, target: &Target, why: &str) -> Result<(), String> {
        if self.draining.is_some() {
            return Err("the house is going down".to_owned());
        }
        let name = match target {
            Target::Service(name) => name,
            Target::Instance(id) => &id.service,
        };
        let service = self.services.get_mut(name).ok_or_else(|| format!("there is no service {name}"))?;
        if service.leaving.is_some() {
            return Err(format!("{name} is being removed"));
        }
        match &service.desired.keeper {
            Keeper::Conductor => {}
            Keeper::Itself => {
                return Err(format!("{name} is the coordinator itself; restart it by ending it"));
            }
            Keeper::Elsewhere(places) => {
                let by = places.values().next().map_or("somebody else", |place| place.by.as_str());
                return Err(format!("{by} keeps {name} running, not this house's supervisor"));
            }
        }
        if let Target::Instance(id) = target
            && service.slots.get(&id.ordinal).is_none_or(|slot| slot.surplus)
        {
            let count = service.desired.instances;
            return Err(format!("there is no instance {id}; {name} has {count}"));
        }
        service.prepare_rule.reset();
        service.halted = None;
        if let Prepare::Failed { .. } = service.prepare {
            service.prepare = Prepare::Idle;
        }
        match target {
            Target::Service(name) => {
                for id in self.slot_ids(name) {
                    if !self.is_unwanted(&id) {
                        self.outdate(now, &id, why);
                    }
                }
            }
            Target::Instance(id) => {
                self.outdate(now, id, why);
                // Asked for by name, it does not wait for the others' turn.
                self.replace_if_waiting(now, id);
            }
        }
        Ok(())
    }

    fn replace_if_waiting(&mut self, now: Timestamp, id: &InstanceId) {
        if self.slot(id).is_some_and(Slot::awaits_rollout) {
            self.replace(now, id);
        }
    }
}

fn keep_running(instances: usize) -> String {
    match instances {
        1 => "1 instance keeps running as before".to_owned(),
        count => format!("{count} instances keep running as before"),
    }
}
