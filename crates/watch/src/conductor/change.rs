//! From one plan to the next, and from the processes of an earlier core to slots.
//!
//! Only the difference is carried out: what is the same in both is not touched. The order of ends
//! and starts is decided elsewhere.

use super::Conductor;
use super::desired::{Desired, DesiredService, Keeper};
use super::service::Service;
use super::slot::{Process, Slot, Then};
use super::view::{Action, Phase};
use haus_model::service::{Recover, Rollout, Stop};
use haus_model::{InstanceId, ServiceName, Timestamp};
use std::collections::BTreeMap;

/// A service of which only a running process is known.
fn unknown_service() -> DesiredService {
    DesiredService {
        needs: Vec::new(),
        instances: 0,
        spec: String::new(),
        prepare: None,
        probe: None,
        recover: Recover::default(),
        rollout: Rollout::Replace,
        stop: Stop::default(),
        keeper: Keeper::Conductor,
    }
}

impl Conductor {
    pub(super) fn change_desired(&mut self, now: Timestamp, desired: Desired) {
        let is_removed = |name: &&ServiceName| !desired.services.contains_key(*name);
        let removed: Vec<ServiceName> = self
            .services
            .iter()
            .filter(|(name, service)| is_removed(name) && service.leaving.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        self.has_plan = true;
        self.levels = levels(&desired);
        self.dependants.clear();
        for (name, service) in &desired.services {
            for need in &service.needs {
                self.dependants.entry(need.clone()).or_default().insert(name.clone());
            }
        }
        for (name, service) in desired.services {
            self.change_service(now, &name, service);
            self.mark(&name);
        }
        self.begin_leaving(now, &removed, "removed from the plan");
    }

    fn change_service(&mut self, now: Timestamp, name: &ServiceName, desired: DesiredService) {
        let seed = self.seed;
        let known = self.services.entry(name.clone());
        let service = known.or_insert_with(|| Service::new(now, name, unknown_service(), seed));
        service.leaving = None;
        service.halted = None;
        self.held.remove(name);
        self.released.remove(name);
        let old = std::mem::replace(&mut service.desired, desired);
        let new = service.desired.clone();
        service.prepare_rule.set_recover(new.recover);
        if old.prepare != new.prepare {
            service.prepare_rule.reset();
        }
        for slot in service.slots.values_mut() {
            slot.rule.set_recover(new.recover);
        }
        for id in self.slot_ids(name) {
            self.change_slot(now, &id, &old, &new);
        }
        self.add_slots(now, name, &new);
    }

    fn change_slot(&mut self, now: Timestamp, id: &InstanceId, old: &DesiredService, new: &DesiredService) {
        if let Some(slot) = self.slot_mut(id).filter(|slot| slot.is_live()) {
            slot.stop.get_or_insert(new.stop);
        }
        if id.ordinal > new.slots_wanted() {
            return self.drop_slot(now, id);
        }
        self.set_surplus(id, false);
        let Some(slot) = self.slot_mut(id) else { return };
        if let Some(stopping) = &mut slot.stopping
            && stopping.then == Then::Stay
        {
            stopping.then = Then::Again("wanted again".to_owned());
        }
        if new.elsewhere(id.ordinal).is_some() && old.elsewhere(id.ordinal).is_some() {
            return self.look_elsewhere(now, id, old, new);
        }
        if old.probe != new.probe {
            self.change_rhythm(now, id, new.probe);
        }
        let Some(slot) = self.slot(id) else { return };
        let differs = match slot.process {
            Process::None => old.spec != new.spec || old.prepare != new.prepare,
            Process::Queued | Process::Spawning | Process::Running(_) | Process::Elsewhere => {
                slot.spec != new.spec
            }
        };
        if std::mem::discriminant(&old.keeper) != std::mem::discriminant(&new.keeper) {
            self.change_keeper(now, id, &new.keeper);
        } else if differs {
            self.outdate(now, id, "the plan changed");
        } else if old.spec != new.spec
            && let Some(slot) = self.slot_mut(id)
        {
            // The plan went back to what the process still runs with.
            slot.outdated = None;
        }
    }

    fn change_keeper(&mut self, now: Timestamp, id: &InstanceId, keeper: &Keeper) {
        let why = match keeper {
            Keeper::Conductor => "it is a process of its own",
            Keeper::Itself => "it is the coordinator itself",
            Keeper::Elsewhere(_) => "somebody else keeps it running",
        };
        if let Some(slot) = self.slot_mut(id) {
            slot.start_why = why.to_owned();
        }
        match self.slot(id).map(|slot| slot.process) {
            Some(Process::None | Process::Queued) => {
                self.set_process(id, Process::None);
                self.enter(now, id, Phase::Stopped, why);
            }
            Some(Process::Elsewhere) => self.turn_away(now, id, why),
            Some(Process::Spawning | Process::Running(_)) => {
                self.stop(now, id, Then::Again(why.to_owned()), why);
            }
            None => {}
        }
    }

    fn add_slots(&mut self, now: Timestamp, name: &ServiceName, desired: &DesiredService) {
        for ordinal in 1..=desired.slots_wanted() {
            let id = InstanceId { service: name.clone(), ordinal };
            if self.slot(&id).is_none() {
                self.add_slot(now, &id, desired);
            }
        }
    }

    fn add_slot(&mut self, now: Timestamp, id: &InstanceId, desired: &DesiredService) {
        let slot = Slot::new(now, id.clone(), desired, self.seed);
        let Some(service) = self.services.get_mut(&id.service) else { return };
        service.count_in(slot.view.phase);
        self.counts[slot.view.phase as usize] += 1;
        service.slots.insert(id.ordinal, slot);
        self.mark(&id.service);
    }

    fn drop_slot(&mut self, now: Timestamp, id: &InstanceId) {
        let why = "fewer instances are wanted";
        self.set_surplus(id, true);
        let Some(slot) = self.slot(id) else { return };
        if slot.is_live() {
            self.stop(now, id, Then::Stay, why);
        } else {
            self.give_up_start(now, id, why);
        }
        self.mark(&id.service);
    }

    /// A surplus slot is none of the service's any more: it does not count for its phase.
    fn set_surplus(&mut self, id: &InstanceId, surplus: bool) {
        let Some(service) = self.services.get_mut(&id.service) else { return };
        let Some(slot) = service.slots.get_mut(&id.ordinal) else { return };
        let phase = slot.view.phase;
        match (std::mem::replace(&mut slot.surplus, surplus), surplus) {
            (false, true) => service.count_out(phase),
            (true, false) => service.count_in(phase),
            (false, false) | (true, true) => {}
        }
    }

    /// Takes slots out that nobody wants and that have ended.
    pub(super) fn forget_surplus(&mut self, now: Timestamp, name: &ServiceName) {
        let Some(service) = self.services.get(name) else { return };
        // Surplus slots are the last ones, so the walk ends at the first wanted one.
        let surplus = service.slots.values().rev().take_while(|slot| slot.surplus);
        let ended = surplus.filter(|slot| slot.process == Process::None).map(|slot| slot.view.id.clone());
        for id in ended.collect::<Vec<_>>() {
            self.forget_slot(now, &id);
        }
    }

    pub(super) fn take_over(
        &mut self,
        now: Timestamp,
        id: &InstanceId,
        run: u64,
        spec: &str,
        started: Timestamp,
    ) {
        self.next_run = self.next_run.max(run.saturating_add(1));
        let seed = self.seed;
        let service = self.services.entry(id.service.clone());
        let service = service.or_insert_with(|| Service::new(now, &id.service, unknown_service(), seed));
        let desired = service.desired.clone();
        let is_planned = self.levels.contains_key(&id.service);
        if service.slots.get(&id.ordinal).is_some_and(Slot::is_live) {
            if self.slot(id).is_some_and(|slot| slot.view.run != run) {
                let why = "another run of this instance is alive".to_owned();
                self.actions.push_back(Action::Stop { id: id.clone(), run, why, stop: desired.stop });
            }
            return;
        }
        if !service.slots.contains_key(&id.ordinal) {
            self.add_slot(now, id, &desired);
        }
        let Some(slot) = self.slot_mut(id) else { return };
        slot.forget_run(desired.probe.as_ref());
        slot.view.run = run;
        spec.clone_into(&mut slot.spec);
        slot.stop = is_planned.then_some(desired.stop);
        self.set_process(id, Process::Running(started));
        self.enter(now, id, Phase::Starting, "found running after the core came back");
        self.change_rhythm(now, id, desired.probe);
        self.place_taken_over(now, id, &desired);
    }

    /// Decides whether a process that was taken over may stay.
    fn place_taken_over(&mut self, now: Timestamp, id: &InstanceId, desired: &DesiredService) {
        let name = &id.service;
        let leaving = self.services.get(name).and_then(|service| service.leaving.as_ref());
        if let Some(leaving) = leaving {
            let why = leaving.why.clone();
            if self.released.contains(name) || self.drained {
                self.stop(now, id, Then::Stay, &why);
            }
        } else if !self.has_plan {
            // The first plan decides.
        } else if !self.levels.contains_key(name) {
            self.begin_leaving(now, std::slice::from_ref(name), "not in the plan");
        } else if id.ordinal > desired.slots_wanted() {
            self.drop_slot(now, id);
        } else if desired.keeper != Keeper::Conductor {
            self.change_keeper(now, id, &desired.keeper);
        } else if self.slot(id).is_some_and(|slot| slot.spec != desired.spec) {
            self.outdate(now, id, "it runs with an older plan");
        }
    }
}

/// How long the longest chain of needs below each service is. Services in a cycle, which no checked
/// plan has, come last: they can never start.
fn levels(desired: &Desired) -> BTreeMap<ServiceName, usize> {
    let known = |need: &&ServiceName| desired.services.contains_key(*need);
    let mut open: BTreeMap<&ServiceName, usize> = BTreeMap::new();
    let mut dependants: BTreeMap<&ServiceName, Vec<&ServiceName>> = BTreeMap::new();
    for (name, service) in &desired.services {
        let needs = service.needs.iter().filter(known);
        open.insert(name, needs.clone().count());
        needs.for_each(|need| dependants.entry(need).or_default().push(name));
    }
    let mut levels: BTreeMap<ServiceName, usize> = BTreeMap::new();
    let mut layer: Vec<&ServiceName> =
        open.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut level = 0;
    while !layer.is_empty() {
        let mut next = Vec::new();
        for name in layer {
            levels.insert(name.clone(), level);
            for dependant in dependants.get(name).into_iter().flatten() {
                let Some(count) = open.get_mut(dependant) else { continue };
                *count -= 1;
                if *count == 0 {
                    next.push(*dependant);
                }
            }
        }
        layer = next;
        level += 1;
    }
    for name in desired.services.keys() {
        levels.entry(name.clone()).or_insert(level);
    }
    levels
}
