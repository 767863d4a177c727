//! From a wanted slot to a running process: needs first, then the prepare commands, then the start.
//!
//! It does not judge whether the process is healthy, and never ends one.

use super::Conductor;
use super::desired::Keeper;
use super::service::{Prepare, Standing};
use super::slot::{ALIVE_AFTER, PROBE_GAP_FIRST, Probing, Process, Slot};
use super::view::{Action, Phase};
use crate::recover::Verdict;
use haus_model::{InstanceId, ServiceName, Timestamp};

/// How well a need must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// For a first start, and to blame a service for its own state: an instance is healthy.
    Ready,
    /// For a restart: an instance answers. One failed probe of a database must not keep everybody
    /// from coming back.
    Usable,
}

impl Conductor {
    /// What keeps a service from starting, one phrase for each need: `redis (starting)`.
    pub(super) fn blockers(&self, name: &ServiceName, strictness: Strictness) -> Vec<String> {
        let Some(service) = self.services.get(name) else { return Vec::new() };
        let needs = service.desired.needs.iter().filter(|need| *need != name);
        needs.filter_map(|need| self.blocker(need, strictness)).collect()
    }

    fn blocker(&self, need: &ServiceName, strictness: Strictness) -> Option<String> {
        let Some(service) = self.services.get(need) else {
            return Some(format!("{need}, which is not in the plan"));
        };
        match service.standing() {
            Standing::Ready => None,
            Standing::Usable if strictness == Strictness::Usable => None,
            Standing::Usable => Some(format!("{need} (degraded)")),
            Standing::NotReady(_) if service.leaving.is_some() => {
                Some(format!("{need}, which is being removed"))
            }
            Standing::NotReady(Phase::GivenUp) => {
                Some(format!("{need}, which was given up: {}", service.why()))
            }
            Standing::NotReady(phase) => Some(match service.lack() {
                Some(lack) => format!("{need}, which {lack}"),
                None => format!("{need} ({phase})"),
            }),
        }
    }

    /// Brings every slot on its way that is wanted, has no process and does not back off.
    pub(super) fn advance_starts(&mut self, now: Timestamp, name: &ServiceName) {
        let Some(service) = self.services.get(name) else { return };
        let asleep = [Phase::Stopped, Phase::Waiting, Phase::Preparing];
        let nobody_sleeps = asleep.iter().all(|phase| service.count(*phase) == 0);
        if service.leaving.is_some() || (nobody_sleeps && self.woken.is_empty()) {
            return;
        }
        let may_start = |slot: &&Slot| match asleep.contains(&slot.view.phase) && !slot.lacks {
            true => true,
            false => self.woken.contains(&slot.view.id),
        };
        let slots = service.slots.values().filter(|slot| !slot.surplus).filter(may_start);
        let ids: Vec<InstanceId> = slots.map(|slot| slot.view.id.clone()).collect();
        for id in ids {
            self.woken.remove(&id);
            self.try_start(now, &id);
        }
    }

    /// Starts a slot without a process, or says what it waits for.
    pub(super) fn try_start(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(slot) = self.slot_mut(id).filter(|slot| slot.process == Process::None) else { return };
        slot.view.next_try = None;
        slot.lacks = false;
        let strictness = if slot.view.run == 0 { Strictness::Ready } else { Strictness::Usable };
        if self.is_unwanted(id) {
            return;
        }
        match self.services.get(&id.service).map(|service| &service.desired.keeper) {
            Some(Keeper::Itself) => {
                return self.enter(now, id, Phase::Healthy, "it is the coordinator itself");
            }
            Some(Keeper::Elsewhere(_)) => return self.turn_to(now, id),
            Some(Keeper::Conductor) | None => {}
        }
        let blockers = self.blockers(&id.service, strictness);
        if !blockers.is_empty() {
            return self.enter(now, id, Phase::Waiting, format!("waits for {}", blockers.join(", ")));
        }
        match self.start_prepare(&id.service) {
            true => self.enter(now, id, Phase::Preparing, "its prepare commands run"),
            false => self.spawn(now, id),
        }
    }

    /// The fingerprint of prepare commands that have to run before the next start.
    pub(super) fn prepare_due(&self, name: &ServiceName) -> Option<&String> {
        let wanted = self.services.get(name)?.desired.prepare.as_ref()?;
        (self.prepared.get(name) != Some(wanted)).then_some(wanted)
    }

    /// Sees that due prepare commands run; false when none are due.
    pub(super) fn start_prepare(&mut self, name: &ServiceName) -> bool {
        let Some(fingerprint) = self.prepare_due(name).cloned() else { return false };
        let Some(service) = self.services.get_mut(name) else { return false };
        match service.prepare {
            Prepare::Running(_) => {}
            Prepare::Idle | Prepare::Failed { .. } => {
                service.prepare = Prepare::Running(fingerprint.clone());
                self.actions.push_back(Action::Prepare { service: name.clone(), fingerprint });
            }
        }
        true
    }

    pub(super) fn note_prepared(&mut self, now: Timestamp, name: &ServiceName, result: Result<(), String>) {
        let Some(service) = self.services.get_mut(name) else { return };
        let Prepare::Running(fingerprint) = service.prepare.clone() else { return };
        service.prepare = Prepare::Idle;
        self.mark(name);
        match result {
            Ok(()) => {
                self.prepared.insert(name.clone(), fingerprint);
            }
            // Commands of an older plan may fail as they like.
            Err(_) if self.prepare_due(name) != Some(&fingerprint) => {}
            Err(text) => self.prepare_failed(now, name, fingerprint, &text),
        }
    }

    fn prepare_failed(&mut self, now: Timestamp, name: &ServiceName, fingerprint: String, text: &str) {
        let Some(service) = self.services.get_mut(name) else { return };
        service.prepare = Prepare::Failed { fingerprint, text: text.to_owned() };
        let ids = service.slots.values().filter(|slot| slot.view.phase == Phase::Preparing);
        let ids: Vec<InstanceId> = ids.map(|slot| slot.view.id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let why = format!("prepare failed: {text}");
        let verdict = service.prepare_rule.handle_exit(now, false, std::time::Duration::ZERO);
        for id in ids {
            self.follow_verdict(now, &id, &verdict, &why);
        }
    }

    /// Carries out what a restart rule says.
    pub(super) fn follow_verdict(&mut self, now: Timestamp, id: &InstanceId, verdict: &Verdict, why: &str) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.view.last_evidence = why.to_owned();
        match verdict {
            Verdict::RestartAt(at) => {
                slot.view.next_try = Some(*at);
                slot.start_why = format!("started again after: {why}");
                self.enter(now, id, Phase::BackingOff, why);
            }
            Verdict::Done => self.enter(now, id, Phase::Completed, why),
            Verdict::GiveUp { why: rule } => {
                self.enter(now, id, Phase::GivenUp, format!("{rule}; last: {why}"));
            }
        }
    }

    fn spawn(&mut self, now: Timestamp, id: &InstanceId) {
        let run = self.next_run;
        let Some(service) = self.services.get_mut(&id.service) else { return };
        let Some(slot) = service.slots.get_mut(&id.ordinal) else { return };
        self.next_run += 1;
        slot.forget_run(service.desired.probe.as_ref());
        slot.spec.clone_from(&service.desired.spec);
        slot.view.restarts += u32::from(slot.view.run != 0);
        slot.view.run = run;
        // What was seen of the run before says nothing about this one.
        slot.view.last_evidence.clear();
        slot.process = Process::Queued;
        let why = std::mem::replace(&mut slot.start_why, "started again".to_owned());
        self.enter(now, id, Phase::Starting, why);
        self.actions.push_back(Action::Spawn { id: id.clone(), run });
    }

    /// Whoever drives takes the start on, by the plan as it is now.
    pub(super) fn hand_over(&mut self, id: &InstanceId) {
        self.set_process(id, Process::Spawning);
        let Some(service) = self.services.get_mut(&id.service) else { return };
        if let Some(slot) = service.slots.get_mut(&id.ordinal) {
            slot.stop = Some(service.desired.stop);
        }
    }

    pub(super) fn note_spawned(&mut self, now: Timestamp, id: &InstanceId, run: u64, pid: u32) {
        let probe = self.services.get(&id.service).and_then(|service| service.desired.probe);
        let Some(slot) = self.live_slot(id, run) else { return };
        slot.view.pid = Some(pid);
        if slot.process != Process::Spawning {
            return;
        }
        match probe {
            Some(probe) => {
                let gap = slot.next_probe_gap(probe.every).min(PROBE_GAP_FIRST);
                slot.probing = Probing::DueAt(now.after(gap));
                slot.healthy_by = Some(now.after(probe.start));
            }
            None => slot.alive_at = Some(now.after(ALIVE_AFTER)),
        }
        self.set_process(id, Process::Running(now));
        self.set_timer(now, id);
    }
}
