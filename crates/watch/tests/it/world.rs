//! A small world around a conductor: processes that live and die, answers that come or are late.
//!
//! It keeps its own books from the actions alone and checks after every step what must always hold.

use haus_model::health::ProbeOutcome;
use haus_model::service::Stop;
use haus_model::{InstanceId, ServiceName, Timestamp};
use haus_watch::conductor::{Action, Change, Conductor, Desired, Keeper, Phase, Subject, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) struct World {
    pub(crate) conductor: Conductor,
    pub(crate) now: Timestamp,
    /// Processes that exist (or are being made), by slot; the value is the run.
    live: BTreeMap<InstanceId, u64>,
    last_run: u64,
    /// How each live run has to be stopped; absent while no plan has named its service.
    stops: BTreeMap<u64, Stop>,
    spawning: Vec<(InstanceId, u64)>,
    probing: Vec<(InstanceId, u64)>,
    stopping: Vec<(InstanceId, u64)>,
    preparing: Vec<ServiceName>,
    phases: BTreeMap<Subject, Phase>,
    /// What each service needs, by the last plan that named it.
    needs: BTreeMap<ServiceName, Vec<ServiceName>>,
    /// How it is stopped, by the same plan.
    planned_stop: BTreeMap<ServiceName, Stop>,
    /// Whether it is not a process of ours, by the same plan.
    external: BTreeMap<ServiceName, Keeper>,
    desired: Desired,
    draining: bool,
    drained: bool,
}

pub(crate) const DRAIN: &str = "the house goes down";

impl World {
    pub(crate) fn new(seed: u64) -> World {
        World {
            conductor: Conductor::new(seed, 1, BTreeMap::new()),
            now: Timestamp(0),
            live: BTreeMap::new(),
            last_run: 0,
            stops: BTreeMap::new(),
            spawning: Vec::new(),
            probing: Vec::new(),
            stopping: Vec::new(),
            preparing: Vec::new(),
            phases: BTreeMap::new(),
            needs: BTreeMap::new(),
            planned_stop: BTreeMap::new(),
            external: BTreeMap::new(),
            desired: Desired::default(),
            draining: false,
            drained: false,
        }
    }

    pub(crate) fn set_desired(&mut self, desired: Desired) {
        if !self.draining {
            for (name, service) in &desired.services {
                self.needs.insert(name.clone(), service.needs.clone());
                self.planned_stop.insert(name.clone(), service.stop);
                self.external.insert(name.clone(), service.keeper.clone());
            }
            self.desired = desired.clone();
            self.note_stops();
        }
        self.conductor.set_desired(self.now, desired);
        self.observe();
    }

    pub(crate) fn adopt(&mut self, id: &InstanceId, spec: &str) {
        // What is somebody else's is nobody's child.
        if !self.live.contains_key(id) && !self.is_elsewhere(&id.service) && !self.draining {
            self.last_run += 1;
            self.live.insert(id.clone(), self.last_run);
            self.note_stops();
            self.conductor.adopt(self.now, id, self.last_run, spec, Timestamp(self.now.0 - 5_000));
            // A start that was asked for and not taken yet belongs to nobody any more.
            self.observe();
        }
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        while let Some(at) = self.conductor.poll_timeout().filter(|at| *at <= end) {
            self.fire(at);
        }
        self.now = end;
    }

    /// Goes to the next deadline; false when there is none.
    pub(crate) fn fire_next(&mut self) -> bool {
        let next = self.conductor.poll_timeout();
        next.into_iter().for_each(|at| self.fire(at));
        next.is_some()
    }

    fn fire(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        self.conductor.handle_timeout(self.now);
        if let Some(next) = self.conductor.poll_timeout() {
            assert!(next > self.now, "the next deadline {} is not after {}", next.0, self.now.0);
        }
        self.observe();
    }

    pub(crate) fn answer_spawn(&mut self, pick: usize, ok: bool) {
        let Some((id, run)) = take(&mut self.spawning, pick) else { return };
        if ok {
            self.conductor.handle_spawned(self.now, &id, run, 7);
        } else if pick % 2 == 1 {
            self.forget(&id, run);
            self.conductor.handle_lacking(self.now, &id, run, "waits for credential key");
        } else {
            self.forget(&id, run);
            self.conductor.handle_spawn_failed(self.now, &id, run, "no such file".to_owned());
        }
        self.observe();
    }

    pub(crate) fn answer_probe(&mut self, pick: usize, ok: bool) {
        let Some((id, run)) = take(&mut self.probing, pick) else { return };
        let outcome = ProbeOutcome { ok, evidence: "seen".to_owned(), took_ms: 1 };
        self.conductor.handle_probe(self.now, &id, run, &outcome);
        self.observe();
    }

    pub(crate) fn answer_prepare(&mut self, pick: usize, ok: bool) {
        let Some(service) = take(&mut self.preparing, pick) else { return };
        let result = if ok { Ok(()) } else { Err("exit code 1".to_owned()) };
        if !ok && pick % 2 == 1 {
            self.conductor.handle_prepare_lacking(self.now, &service, "waits for credential key");
        } else {
            self.conductor.handle_prepared(self.now, &service, result);
        }
        self.observe();
    }

    pub(crate) fn answer_stop(&mut self, pick: usize) {
        let Some((id, run)) = take(&mut self.stopping, pick) else { return };
        self.end(&id, run, false);
    }

    /// A process ends by itself.
    pub(crate) fn exit(&mut self, pick: usize, success: bool) {
        let spawning: BTreeSet<_> = self.spawning.iter().cloned().collect();
        let live = self.live.iter().map(|(id, run)| (id.clone(), *run));
        let mut running: Vec<_> = live.filter(|entry| !spawning.contains(entry)).collect();
        let Some((id, run)) = take(&mut running, pick) else { return };
        self.end(&id, run, success);
    }

    fn end(&mut self, id: &InstanceId, run: u64, success: bool) {
        self.forget(id, run);
        self.conductor.handle_exited(self.now, id, run, success, "exit code".to_owned());
        self.observe();
    }

    fn forget(&mut self, id: &InstanceId, run: u64) {
        self.live.remove(id);
        self.stops.remove(&run);
        self.spawning.retain(|entry| entry.1 != run);
        self.stopping.retain(|entry| entry.1 != run);
    }

    pub(crate) fn restart(&mut self, target: Target) {
        // Whether it is possible does not matter here.
        let _ = self.conductor.restart(self.now, target, "asked for");
        self.observe();
    }

    /// What a service may lack comes, or turns out to be something else.
    pub(crate) fn supply(&mut self, service: &ServiceName, comes: bool) {
        if comes {
            self.conductor.handle_supplied(self.now, service);
        } else {
            self.conductor.handle_still_lacking(self.now, service, "waits for credential other");
        }
        self.observe();
    }

    pub(crate) fn sign_of_life(&mut self, id: &InstanceId) {
        self.conductor.handle_sign_of_life(self.now, id);
        self.observe();
    }

    /// Reports about a run that is over must not change anything.
    pub(crate) fn stale_reports(&mut self, id: &InstanceId) {
        let Some(run) = self.conductor.instance(id).map(|view| view.run).filter(|run| *run > 0) else {
            return;
        };
        let before = self.conductor.instance(id).cloned();
        let old = run - 1;
        let outcome = ProbeOutcome { ok: false, evidence: "late".to_owned(), took_ms: 1 };
        self.conductor.handle_probe(self.now, id, old, &outcome);
        self.conductor.handle_spawned(self.now, id, old, 9);
        self.conductor.handle_spawn_failed(self.now, id, old, "late".to_owned());
        self.conductor.handle_exited(self.now, id, old, false, "late".to_owned());
        self.conductor.handle_lacking(self.now, id, old, "late");
        assert_eq!(self.conductor.instance(id).cloned(), before);
        assert_eq!(self.conductor.poll_action(), None, "a late report has a consequence");
    }

    pub(crate) fn drain(&mut self) {
        self.conductor.drain(self.now, DRAIN);
        self.draining = true;
        self.observe();
    }

    /// Everything is answered well until nothing moves any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20_000 {
            if self.answer_everything() {
                continue;
            }
            if self.conductor.all_settled() {
                return;
            }
            assert!(self.fire_next(), "nothing is due, but it is not settled: {}", self.picture());
        }
        panic!("it does not settle: {}", self.picture());
    }

    /// Everything is answered well for a while: time in which what nobody here restarts gets well by itself.
    pub(crate) fn go_on(&mut self, span: Duration) {
        let until = self.now.after(span);
        loop {
            if self.answer_everything() {
                continue;
            }
            if self.conductor.poll_timeout().is_none_or(|next| next > until) {
                return;
            }
            self.fire_next();
        }
    }

    /// Every process that is asked to end does so; then the drain has to be over.
    pub(crate) fn finish_drain(&mut self) {
        self.drain();
        for _ in 0..20_000 {
            if self.drained {
                assert!(self.conductor.is_drained() && self.live.is_empty());
                assert_eq!(self.conductor.poll_timeout(), None, "something is due after the end");
                return;
            }
            if self.spawning.is_empty() && self.stopping.is_empty() {
                assert!(self.fire_next(), "the drain hangs: {}", self.picture());
            }
            self.answer_spawn(0, true);
            self.answer_stop(0);
        }
        panic!("the drain does not end: {}", self.picture());
    }

    fn answer_everything(&mut self) -> bool {
        let waiting = self.spawning.len() + self.probing.len() + self.stopping.len() + self.preparing.len();
        self.answer_spawn(0, true);
        self.answer_probe(0, true);
        self.answer_stop(0);
        self.answer_prepare(0, true);
        waiting > 0
    }

    pub(crate) fn picture(&self) -> String {
        let instances: Vec<String> = self
            .conductor
            .instances()
            .map(|view| format!("{}: {} ({})", view.id, view.phase, view.why))
            .collect();
        format!("at {}ms: {}", self.now.0, instances.join(", "))
    }

    /// Takes all actions and checks each of them, then the views.
    fn observe(&mut self) {
        while let Some(action) = self.conductor.poll_action() {
            assert!(!self.drained, "{action:?} after the end");
            match action {
                Action::Changed(change) => self.changed(change),
                Action::Spawn { id, run } => self.spawned(id, run),
                Action::Stop { id, run, why, stop } => self.stopped(id, run, &why, stop),
                Action::Probe { id, run } => {
                    let elsewhere = self.is_elsewhere(&id.service);
                    let known = self.conductor.instance(&id).map(|view| view.run).filter(|_| elsewhere);
                    let live = self.live.get(&id).copied().or(known);
                    assert_eq!(live, Some(run), "a probe of {id}, which does not run");
                    self.probing.retain(|entry| entry.0 != id);
                    self.probing.push((id, run));
                }
                Action::Prepare { service, .. } => {
                    assert!(
                        !self.draining && !self.preparing.contains(&service),
                        "{service} is prepared twice"
                    );
                    self.preparing.push(service);
                }
                Action::Drained => {
                    assert!(self.draining && self.live.is_empty(), "drained too early: {}", self.picture());
                    self.drained = true;
                }
            }
        }
        // Runs of somebody else's instances are counted as well.
        let runs = self.conductor.instances().map(|view| view.run);
        self.last_run = runs.fold(self.last_run, u64::max);
        // A service that comes back after its removal brings its own needs.
        self.needs.retain(|name, _| self.conductor.service(name).is_some());
        self.planned_stop.retain(|name, _| self.conductor.service(name).is_some());
        self.check_views();
    }

    fn changed(&mut self, change: Change) {
        assert!(!change.why.is_empty(), "{change:?} has no reason");
        assert_eq!(change.at, self.now);
        let before = self.phases.insert(change.subject.clone(), change.to).unwrap_or(Phase::Stopped);
        assert_eq!(change.from, before, "{change:?} does not follow what was told before");
    }

    fn spawned(&mut self, id: InstanceId, run: u64) {
        assert!(!self.draining, "{id} is started while the house goes down");
        assert!(run > self.last_run, "run {run} of {id} was there before");
        assert_eq!(self.live.get(&id), None, "a second live run of {id}");
        let view = self.conductor.instance(&id).unwrap();
        assert!(view.phase == Phase::Starting && !view.why.is_empty());
        let service = &self.desired.services[&id.service];
        assert!(id.ordinal <= service.instances && service.keeper == Keeper::Conductor, "nobody wants {id}");
        if view.restarts == 0 {
            for need in &service.needs {
                let ready = self.conductor.service(need).is_some_and(|need| need.ready);
                assert!(ready, "{id} starts without {need}: {}", self.picture());
            }
        }
        self.last_run = run;
        self.live.insert(id.clone(), run);
        self.note_stops();
        self.spawning.push((id, run));
    }

    fn stopped(&mut self, id: InstanceId, run: u64, why: &str, stop: Stop) {
        assert!(!why.is_empty());
        assert_eq!(self.live.get(&id), Some(&run), "{id} is stopped and does not run");
        assert!(!self.stopping.iter().any(|entry| entry.1 == run), "{id} is stopped twice");
        let planned = self.stops.get(&run).or(self.planned_stop.get(&id.service));
        let expected = planned.copied().unwrap_or_default();
        assert_eq!(stop, expected, "{id} is not stopped as it was started");
        if why == DRAIN {
            for holder in self.live.keys() {
                assert!(!self.needs_that(&holder.service, &id.service), "{id} is stopped before {holder}");
            }
        }
        self.stopping.push((id, run));
    }

    fn is_elsewhere(&self, service: &ServiceName) -> bool {
        matches!(self.external.get(service), Some(Keeper::Elsewhere(_)))
    }

    /// A run is stopped by the first plan that names its service while it lives.
    fn note_stops(&mut self) {
        for (id, run) in &self.live {
            if let Some(service) = self.desired.services.get(&id.service) {
                self.stops.entry(*run).or_insert(service.stop);
            }
        }
    }

    /// Whether `service` needs `other`, also by way of others.
    fn needs_that(&self, service: &ServiceName, other: &ServiceName) -> bool {
        // What was removed long ago holds nobody.
        let there = |name: &&ServiceName| self.conductor.service(name).is_some();
        let needs = self.needs.get(service).into_iter().flatten().filter(there);
        needs.clone().any(|need| need == other || self.needs_that(need, other))
    }

    fn check_views(&self) {
        let now = self.conductor.services();
        for service in now {
            assert!(service.instances.is_empty() || !service.why.is_empty());
            let told = self.phases.get(&Subject::Service(service.name.clone())).copied();
            assert_eq!(service.phase, told.unwrap_or(Phase::Stopped), "{}", service.name);
            for view in service.instances {
                let told = self.phases.get(&Subject::Instance(view.id.clone())).copied();
                assert_eq!(view.phase, told.unwrap_or(Phase::Stopped), "{}", view.id);
                assert_eq!(view.health, view.phase.health());
                assert!(view.since <= self.now && !view.why.is_empty());
                let keeper = self.external.get(service.name).cloned().unwrap_or_default();
                let elsewhere = self.is_elsewhere(service.name);
                let runs = match view.phase {
                    Phase::Stopping => true,
                    // A process of an earlier plan may still be there.
                    Phase::Starting | Phase::Degraded | Phase::Offline => {
                        !elsewhere || self.live.contains_key(&view.id)
                    }
                    Phase::Healthy => keeper == Keeper::Conductor || self.live.contains_key(&view.id),
                    Phase::Waiting
                    | Phase::Preparing
                    | Phase::BackingOff
                    | Phase::GivenUp
                    | Phase::Stopped
                    | Phase::Unwatched
                    | Phase::Completed => false,
                };
                assert_eq!(self.live.get(&view.id), Some(&view.run).filter(|_| runs), "{}", self.picture());
                assert!(view.pid.is_none() || runs, "{} has a process number and no process", view.id);
                assert_eq!(view.next_try.is_some(), view.phase == Phase::BackingOff, "{}", self.picture());
            }
        }
    }
}

fn take<T>(from: &mut Vec<T>, pick: usize) -> Option<T> {
    if from.is_empty() { None } else { Some(from.remove(pick % from.len())) }
}
