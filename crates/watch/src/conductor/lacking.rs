//! Starts that are not tried because something is missing that no try would bring: a credential without a
//! value, a vault that is closed. Nothing has ended, so no restart rule hears of it; the slot waits until
//! whoever drives says that it is there. What is missing, and when it came, is the driver's knowledge.

use super::Conductor;
use super::service::Prepare;
use super::view::Phase;
use haus_model::{InstanceId, ServiceName, Timestamp};

/// Why a slot starts that has waited so.
const SUPPLIED: &str = "it has what it waited for";

impl Conductor {
    /// A process was not started since something is missing; `why` says what: `waits for credential key`.
    /// Nothing is tried until [`Self::handle_supplied`], a restart or another plan.
    pub fn handle_lacking(&mut self, now: Timestamp, id: &InstanceId, run: u64, why: &str) {
        self.note_lacking(now, id, run, why);
        self.settle(now);
    }

    /// The same of the prepare commands of a service.
    pub fn handle_prepare_lacking(&mut self, now: Timestamp, service: &ServiceName, why: &str) {
        self.note_prepare_lacking(now, service, why);
        self.settle(now);
    }

    /// What a service waits for has changed, but not come.
    pub fn handle_still_lacking(&mut self, now: Timestamp, service: &ServiceName, why: &str) {
        for id in self.lacking_slots(service) {
            self.enter(now, &id, Phase::Waiting, why);
        }
        self.mark_dependants(service);
        self.settle(now);
    }

    /// What a service lacked is there: those of its slots that waited for it start.
    pub fn handle_supplied(&mut self, now: Timestamp, service: &ServiceName) {
        let ids = self.lacking_slots(service);
        if let Some(known) = self.services.get_mut(service)
            && matches!(known.prepare, Prepare::Failed { .. })
        {
            known.prepare = Prepare::Idle;
            self.mark(service);
        }
        for id in ids {
            self.woken.insert(id);
            self.mark(service);
        }
        self.settle(now);
    }

    fn lacking_slots(&self, service: &ServiceName) -> Vec<InstanceId> {
        let slots = self.services.get(service).map(|service| service.slots.values());
        let lacking = slots.into_iter().flatten().filter(|slot| slot.lacks);
        lacking.map(|slot| slot.view.id.clone()).collect()
    }

    fn note_lacking(&mut self, now: Timestamp, id: &InstanceId, run: u64, why: &str) {
        let is_unwanted = self.is_unwanted(id);
        let Some(slot) = self.live_slot(id, run) else { return };
        if is_unwanted || slot.stopping.is_some() {
            return self.note_ended(now, id, run, false, &format!("was not started: {why}"));
        }
        slot.forget_run(None);
        // There was no run.
        match slot.view.restarts.checked_sub(1) {
            Some(restarts) => slot.view.restarts = restarts,
            None => slot.view.run = 0,
        }
        why.clone_into(&mut slot.view.last_evidence);
        self.lack(now, id, why);
    }

    fn note_prepare_lacking(&mut self, now: Timestamp, name: &ServiceName, why: &str) {
        let Some(service) = self.services.get_mut(name) else { return };
        let Prepare::Running(fingerprint) = service.prepare.clone() else { return };
        service.prepare = Prepare::Idle;
        self.mark(name);
        // Commands of an older plan may lack what they like.
        if self.prepare_due(name) != Some(&fingerprint) {
            return;
        }
        let Some(service) = self.services.get_mut(name) else { return };
        // A rollout is halted by it; whatever runs goes on.
        service.prepare = Prepare::Failed { fingerprint, text: why.to_owned() };
        let ids = service.slots.values().filter(|slot| slot.view.phase == Phase::Preparing);
        for id in ids.map(|slot| slot.view.id.clone()).collect::<Vec<_>>() {
            self.lack(now, &id, why);
        }
    }

    fn lack(&mut self, now: Timestamp, id: &InstanceId, why: &str) {
        self.set_process(id, super::slot::Process::None);
        if let Some(slot) = self.slot_mut(id) {
            slot.lacks = true;
            SUPPLIED.clone_into(&mut slot.start_why);
        }
        self.enter(now, id, Phase::Waiting, why);
    }
}
