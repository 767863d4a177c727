//! The life of a whole house: what is prepared, started, probed, restarted and stopped, and when.
//!
//! The conductor decides and never acts. Whoever drives it reports what happened (`handle_*`),
//! carries out what [`Conductor::poll_action`] gives, and calls [`Conductor::handle_timeout`] when
//! [`Conductor::poll_timeout`] has passed. It knows services only as [`Desired`]: no commands, no
//! ports, no sockets, no clock. A report about an earlier run of an instance is ignored.

mod change;
mod desired;
mod elsewhere;
mod lacking;
mod leaving;
mod probing;
mod rollout;
mod service;
mod settle;
mod slot;
mod starting;
mod stopping;
mod view;

pub use desired::{Desired, DesiredService, Elsewhere, Keeper, ProbeRhythm};
pub use view::{Action, Change, InstanceView, Phase, ServiceView, Subject, Target};

use crate::timer::Timers;
use haus_model::health::ProbeOutcome;
use haus_model::{InstanceId, ServiceName, Timestamp};
use service::{Prepare, Service};
use slot::{Process, Slot};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The state machine over all services.
#[derive(Debug)]
pub struct Conductor {
    seed: u64,
    next_run: u64,
    /// Fingerprints of prepare commands that ended well.
    prepared: BTreeMap<ServiceName, String>,
    services: BTreeMap<ServiceName, Service>,
    /// Who needs a service, by what was desired last.
    dependants: BTreeMap<ServiceName, BTreeSet<ServiceName>>,
    /// How long the longest chain of needs below a service is.
    levels: BTreeMap<ServiceName, usize>,
    timers: Timers<InstanceId>,
    actions: VecDeque<Action>,
    /// Services to look at again before the current call ends, those without needs first.
    dirty: BTreeSet<(usize, ServiceName)>,
    /// Slots without a process that were asked to start whatever their phase says.
    woken: BTreeSet<InstanceId>,
    /// Leaving services that are still held by others, and those that are being stopped.
    held: BTreeSet<ServiceName>,
    released: BTreeSet<ServiceName>,
    /// How many instances of the whole house are in each phase.
    counts: [usize; Phase::ALL.len()],
    has_plan: bool,
    draining: Option<String>,
    drained: bool,
}

impl Conductor {
    /// An empty house. Runs are numbered from `first_run`; `prepared` has the fingerprints of the
    /// prepare commands that ended well in earlier lives.
    pub fn new(seed: u64, first_run: u64, prepared: BTreeMap<ServiceName, String>) -> Conductor {
        Conductor {
            seed,
            // 0 stands for "no run yet".
            next_run: first_run.max(1),
            prepared,
            services: BTreeMap::new(),
            dependants: BTreeMap::new(),
            levels: BTreeMap::new(),
            timers: Timers::default(),
            actions: VecDeque::new(),
            dirty: BTreeSet::new(),
            woken: BTreeSet::new(),
            held: BTreeSet::new(),
            released: BTreeSet::new(),
            counts: [0; Phase::ALL.len()],
            has_plan: false,
            draining: None,
            drained: false,
        }
    }

    /// Says what should run from now on. Only the difference is carried out; ignored after `drain`.
    pub fn set_desired(&mut self, now: Timestamp, desired: Desired) {
        if self.draining.is_none() {
            self.change_desired(now, desired);
            self.settle(now);
        }
    }

    /// Takes over a process that an earlier core started at `started`. Call it before the first
    /// `set_desired`; `handle_spawned` then tells its process number. It is probed at once, and
    /// replaced like after a change when its `spec` is another one. A second live run of an
    /// instance is stopped.
    pub fn adopt(&mut self, now: Timestamp, id: &InstanceId, run: u64, spec: &str, started: Timestamp) {
        self.take_over(now, id, run, spec, started);
        self.settle(now);
    }

    /// The prepare commands of a service ended; `Err` says how they failed.
    pub fn handle_prepared(&mut self, now: Timestamp, service: &ServiceName, result: Result<(), String>) {
        self.note_prepared(now, service, result);
        self.settle(now);
    }

    /// A process was started.
    pub fn handle_spawned(&mut self, now: Timestamp, id: &InstanceId, run: u64, pid: u32) {
        self.note_spawned(now, id, run, pid);
        self.settle(now);
    }

    /// A process could not be started.
    pub fn handle_spawn_failed(&mut self, now: Timestamp, id: &InstanceId, run: u64, why: String) {
        self.note_ended(now, id, run, false, &format!("could not be started: {why}"));
        self.settle(now);
    }

    /// A process ended; `text` says how: `exit code 3`, `killed by SIGKILL`.
    pub fn handle_exited(&mut self, now: Timestamp, id: &InstanceId, run: u64, success: bool, text: String) {
        self.note_ended(now, id, run, success, &text);
        self.settle(now);
    }

    /// A probe ended.
    pub fn handle_probe(&mut self, now: Timestamp, id: &InstanceId, run: u64, outcome: &ProbeOutcome) {
        self.note_probe(now, id, run, outcome);
        self.settle(now);
    }

    /// An instance reported by itself. That proves life, not that its probes would be good.
    pub fn handle_sign_of_life(&mut self, now: Timestamp, id: &InstanceId) {
        self.note_sign_of_life(now, id);
        self.settle(now);
    }

    /// Restarts a service (by its rollout) or one instance, also after it was given up.
    ///
    /// # Errors
    /// One sentence saying why that is not possible.
    pub fn restart(&mut self, now: Timestamp, target: Target, why: &str) -> Result<(), String> {
        self.start_anew(now, &target, why)?;
        self.settle(now);
        Ok(())
    }

    /// Stops everything, those that need others first; afterwards nothing is started any more.
    ///
    /// Prepare commands under way are not waited for: whoever runs them ends them.
    pub fn drain(&mut self, now: Timestamp, why: &str) {
        if self.draining.is_none() {
            self.draining = Some(why.to_owned());
            let names: Vec<ServiceName> = self.services.keys().cloned().collect();
            self.begin_leaving(now, &names, why);
            self.settle(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for id in self.timers.take_due(now) {
            self.slot_timeout(now, &id);
            self.set_timer(now, &id);
        }
        self.settle(now);
    }

    /// When `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// The next thing to do. What has become pointless since it was asked for is left out.
    pub fn poll_action(&mut self) -> Option<Action> {
        while let Some(action) = self.actions.pop_front() {
            if self.is_still_meant(&action) {
                return Some(action);
            }
        }
        None
    }

    /// All instances in the order of their ids.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceView> {
        self.services.values().flat_map(|service| service.slots.values().map(|slot| &slot.view))
    }

    /// One instance.
    pub fn instance(&self, id: &InstanceId) -> Option<&InstanceView> {
        self.slot(id).map(|slot| &slot.view)
    }

    /// All services in the order of their names.
    pub fn services(&self) -> impl Iterator<Item = ServiceView<'_>> {
        self.services.iter().map(|(name, service)| service.view(name))
    }

    /// One service.
    pub fn service(&self, name: &ServiceName) -> Option<ServiceView<'_>> {
        self.services.get_key_value(name).map(|(name, service)| service.view(name))
    }

    /// Whether `drain` is over: nothing runs any more.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    fn slot(&self, id: &InstanceId) -> Option<&Slot> {
        self.services.get(&id.service)?.slots.get(&id.ordinal)
    }

    fn slot_mut(&mut self, id: &InstanceId) -> Option<&mut Slot> {
        self.services.get_mut(&id.service)?.slots.get_mut(&id.ordinal)
    }

    /// The slot when a process of this very run may exist.
    fn live_slot(&mut self, id: &InstanceId, run: u64) -> Option<&mut Slot> {
        self.slot_mut(id).filter(|slot| slot.view.run == run && slot.is_live())
    }

    /// Whether nothing is to be started in a slot: its service leaves or is in no plan yet, or there
    /// are too many.
    fn is_unwanted(&self, id: &InstanceId) -> bool {
        let unplanned = !self.levels.contains_key(&id.service);
        self.services.get(&id.service).is_none_or(|service| {
            let surplus = service.slots.get(&id.ordinal).is_none_or(|slot| slot.surplus);
            unplanned || service.leaving.is_some() || surplus
        })
    }

    fn set_timer(&mut self, now: Timestamp, id: &InstanceId) {
        // Never in the past, so that a driver that sleeps until the deadline cannot spin.
        let soonest = Timestamp(now.0.saturating_add(1));
        let deadline = self.slot(id).and_then(Slot::deadline).map(|at| at.max(soonest));
        self.timers.set(id, deadline);
    }

    fn set_process(&mut self, id: &InstanceId, process: Process) {
        let Some(service) = self.services.get_mut(&id.service) else { return };
        let Some(slot) = service.slots.get_mut(&id.ordinal) else { return };
        service.live -= usize::from(slot.is_live());
        slot.process = process;
        service.live += usize::from(slot.is_live());
    }

    fn mark(&mut self, service: &ServiceName) {
        let level = self.levels.get(service).copied().unwrap_or(0);
        self.dirty.insert((level, service.clone()));
    }

    /// Enters a phase, or gives the phase another reason. Only a new phase is announced.
    fn enter(&mut self, now: Timestamp, id: &InstanceId, phase: Phase, why: impl Into<String>) {
        let Some(service) = self.services.get_mut(&id.service) else { return };
        let Some(slot) = service.slots.get_mut(&id.ordinal) else { return };
        let from = std::mem::replace(&mut slot.view.phase, phase);
        slot.view.why = why.into();
        slot.view.health = phase.health();
        slot.lacks &= phase == Phase::Waiting;
        if from != phase {
            slot.view.since = now;
            let why = slot.view.why.clone();
            if !slot.surplus {
                service.count_out(from);
                service.count_in(phase);
            }
            self.counts[from as usize] -= 1;
            self.counts[phase as usize] += 1;
            let subject = Subject::Instance(id.clone());
            self.actions.push_back(Action::Changed(Change { subject, at: now, from, to: phase, why }));
            self.mark(&id.service);
        }
        self.set_timer(now, id);
    }

    fn is_still_meant(&mut self, action: &Action) -> bool {
        match action {
            Action::Changed(_) | Action::Drained => true,
            Action::Spawn { id, run } => {
                let queued = |slot: &&Slot| slot.view.run == *run && slot.process == Process::Queued;
                let meant = self.slot(id).filter(queued).is_some();
                if meant {
                    self.hand_over(id);
                }
                meant
            }
            Action::Probe { id, run } => self.live_slot(id, *run).is_some(),
            // A run that is not the slot's own is a second one that was never adopted.
            Action::Stop { id, run, .. } => {
                self.slot(id).is_none_or(|slot| slot.view.run != *run || slot.is_live())
            }
            Action::Prepare { service, fingerprint } => {
                let running = Prepare::Running(fingerprint.clone());
                let Some(service) = self.services.get_mut(service) else { return false };
                let meant = service.leaving.is_none() && service.prepare == running;
                if !meant && service.prepare == running {
                    service.prepare = Prepare::Idle;
                }
                meant
            }
        }
    }
}
