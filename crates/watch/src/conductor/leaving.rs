//! The way out, for removed services and for the whole house: those that need others end first.
//!
//! A leaving service is held by every leaving service that needs it and is not gone. What is held
//! by nobody is released, its processes end, it is gone, and those that it needs are held by one
//! less. So each service is looked at once for each need, whatever the size of the house.

use super::Conductor;
use super::desired::Keeper;
use super::service::{Leaving, Prepare};
use super::slot::{Slot, Then};
use super::view::Phase;
use haus_model::{InstanceId, ServiceName, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

impl Conductor {
    /// Puts services on their way out; those without a process are cancelled at once.
    pub(super) fn begin_leaving(&mut self, now: Timestamp, names: &[ServiceName], why: &str) {
        for name in names {
            let Some(service) = self.services.get_mut(name) else { continue };
            if service.leaving.is_some() {
                continue;
            }
            service.leaving = Some(Leaving { why: why.to_owned(), held_by: 0 });
            service.rolling = false;
            service.halted = None;
            let is_ours = service.desired.keeper == Keeper::Conductor;
            for id in self.slot_ids(name) {
                let Some(slot) = self.slot_mut(&id) else { continue };
                if let Some(stopping) = &mut slot.stopping {
                    stopping.then = Then::Stay;
                } else if !slot.is_live() && is_ours {
                    self.give_up_start(now, &id, why);
                }
            }
            self.held.insert(name.clone());
        }
        self.count_holders();
    }

    /// Counts anew who is held by how many; also after services changed their mind about leaving.
    pub(super) fn count_holders(&mut self) {
        let waiting: BTreeSet<ServiceName> = self.held.union(&self.released).cloned().collect();
        let mut holders: BTreeMap<ServiceName, usize> = BTreeMap::new();
        for name in &waiting {
            for need in self.distinct_needs(name) {
                *holders.entry(need).or_default() += 1;
            }
        }
        for name in waiting {
            let Some(leaving) = self.services.get_mut(&name).and_then(|service| service.leaving.as_mut())
            else {
                continue;
            };
            leaving.held_by = holders.get(&name).copied().unwrap_or(0);
            self.mark(&name);
        }
    }

    pub(super) fn distinct_needs(&self, name: &ServiceName) -> BTreeSet<ServiceName> {
        let needs = self.services.get(name).map(|service| service.desired.needs.iter());
        needs.into_iter().flatten().filter(|need| *need != name).cloned().collect()
    }

    pub(super) fn slot_ids(&self, name: &ServiceName) -> Vec<InstanceId> {
        let slots = self.services.get(name).map(|service| service.slots.values());
        slots.into_iter().flatten().map(|slot| slot.view.id.clone()).collect()
    }

    pub(super) fn advance_leaving(&mut self, now: Timestamp, name: &ServiceName) {
        let held_by =
            self.services.get(name).and_then(|service| service.leaving.as_ref()).map(|out| out.held_by);
        if held_by == Some(0) && self.held.contains(name) {
            self.release(now, name);
        }
        let Some(service) = self.services.get(name) else { return };
        // A removed service whose prepare commands still run could come back before they end.
        let preparing = matches!(service.prepare, Prepare::Running(_)) && self.draining.is_none();
        if service.live == 0 && !preparing && self.released.remove(name) {
            self.let_go(now, name);
        }
    }

    pub(super) fn release(&mut self, now: Timestamp, name: &ServiceName) {
        self.held.remove(name);
        self.released.insert(name.clone());
        let leaving = self.services.get(name).and_then(|service| service.leaving.as_ref());
        let why = leaving.map_or_else(String::new, |leaving| leaving.why.clone());
        for id in self.slot_ids(name) {
            match self.slot(&id).is_some_and(Slot::is_live) {
                true => self.stop(now, &id, Then::Stay, &why),
                false => self.give_up_start(now, &id, &why),
            }
        }
        self.mark(name);
    }

    /// Nothing of the service runs any more.
    fn let_go(&mut self, now: Timestamp, name: &ServiceName) {
        for need in self.distinct_needs(name) {
            let leaving = self.services.get_mut(&need).and_then(|service| service.leaving.as_mut());
            if let Some(leaving) = leaving {
                leaving.held_by = leaving.held_by.saturating_sub(1);
                self.mark(&need);
            }
        }
        if self.draining.is_none() {
            for id in self.slot_ids(name) {
                self.forget_slot(now, &id);
            }
            self.summarise(now, name);
            self.services.remove(name);
        }
    }

    /// Takes a slot without a process out of the house.
    pub(super) fn forget_slot(&mut self, now: Timestamp, id: &InstanceId) {
        // Whatever it was before, the last that is told of it is that it is not there.
        if self.slot(id).is_some_and(|slot| slot.view.phase != Phase::Stopped) {
            self.enter(now, id, Phase::Stopped, "nobody wants it any more");
        }
        let Some(service) = self.services.get_mut(&id.service) else { return };
        let Some(slot) = service.slots.remove(&id.ordinal) else { return };
        self.woken.remove(id);
        if !slot.surplus {
            service.count_out(slot.view.phase);
        }
        self.counts[slot.view.phase as usize] -= 1;
        self.set_timer(now, id);
        self.mark(&id.service);
    }
}
