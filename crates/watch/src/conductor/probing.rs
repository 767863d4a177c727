//! What probes, silence and time say about a running process.
//!
//! It decides when an instance is healthy, degraded or offline, and when it is to be replaced; the
//! stop and the new start are others' work.

use super::slot::{ALIVE_AFTER, PROBE_GAP_FIRST, Probing, Process, Then};
use super::starting::Strictness;
use super::view::{Action, Phase};
use super::{Conductor, ProbeRhythm};
use crate::health::{HealthMachine, Transition};
use crate::schedule;
use haus_model::health::{HealthState, ProbeOutcome};
use haus_model::service::Restart;
use haus_model::unit::format_duration;
use haus_model::{InstanceId, Timestamp};
use std::time::Duration;

/// What is said of a process that no probe looks at.
pub(super) const PROCESS_ONLY: &str = "the process runs; nothing else is known";

/// Beyond its own timeout, what a probe may take to come back before it is taken for lost.
const PROBE_GRACE: Duration = Duration::from_secs(5);

impl Conductor {
    pub(super) fn rhythm(&self, id: &InstanceId) -> Option<ProbeRhythm> {
        self.services.get(&id.service)?.desired.probe_of(id.ordinal)
    }

    pub(super) fn slot_timeout(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(slot) = self.slot(id) else { return };
        match slot.view.phase {
            Phase::BackingOff => self.try_start(now, id),
            Phase::Starting => self.starting_timeout(now, id),
            Phase::Healthy | Phase::Degraded | Phase::Offline => {
                self.probe_timeout(now, id);
                let silent = self.slot_mut(id).and_then(|slot| slot.health.handle_timeout(now));
                if let Some(transition) = silent {
                    self.follow_health(now, id, &transition, None);
                }
            }
            Phase::Stopping => self.stop_overdue(now, id),
            Phase::Waiting
            | Phase::Preparing
            | Phase::GivenUp
            | Phase::Stopped
            | Phase::Completed
            | Phase::Unwatched => {}
        }
    }

    fn starting_timeout(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(slot) = self.slot(id) else { return };
        if slot.alive_at.is_some_and(|at| at <= now) {
            return self.enter_healthy(now, id, PROCESS_ONLY);
        }
        // On the way out nobody waits for it to become healthy.
        if slot.healthy_by.is_none_or(|at| now < at) || self.is_unwanted(id) {
            if let Some(slot) = self.slot_mut(id).filter(|slot| slot.healthy_by.is_some_and(|at| at <= now)) {
                slot.healthy_by = None;
            }
            return self.probe_timeout(now, id);
        }
        let start = self.rhythm(id).map_or(Duration::ZERO, |rhythm| rhythm.start);
        let last = match slot.view.last_evidence.as_str() {
            "" => "; no probe was answered".to_owned(),
            evidence => format!("; last: {evidence}"),
        };
        let why = format!("not healthy within {}{last}", format_duration(start));
        if slot.is_elsewhere() {
            return self.not_heard(now, id, &why);
        }
        self.stop(now, id, Then::Recover(why.clone()), &why);
    }

    /// Begins a due probe, or takes one that never answered for a bad one.
    fn probe_timeout(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(slot) = self.slot(id) else { return };
        match slot.probing {
            Probing::DueAt(at) if at <= now => self.send_probe(now, id),
            Probing::UnderWayUntil(at) if at <= now => {
                let outcome =
                    ProbeOutcome { ok: false, evidence: "the probe never answered".to_owned(), took_ms: 0 };
                let run = slot.view.run;
                self.note_probe(now, id, run, &outcome);
            }
            Probing::Idle | Probing::DueAt(_) | Probing::UnderWayUntil(_) => {}
        }
    }

    pub(super) fn send_probe(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(rhythm) = self.rhythm(id) else { return };
        let Some(slot) = self.slot_mut(id) else { return };
        slot.probing = Probing::UnderWayUntil(now.after(rhythm.timeout).after(PROBE_GRACE));
        let run = slot.view.run;
        self.actions.push_back(Action::Probe { id: id.clone(), run });
        self.set_timer(now, id);
    }

    pub(super) fn note_probe(&mut self, now: Timestamp, id: &InstanceId, run: u64, outcome: &ProbeOutcome) {
        let Some(rhythm) = self.rhythm(id) else { return };
        let Some(slot) = self.live_slot(id, run) else { return };
        let (Process::Running(_) | Process::Elsewhere) = slot.process else { return };
        match slot.view.phase {
            Phase::Starting => self.probe_while_starting(now, id, rhythm, outcome),
            Phase::Healthy | Phase::Degraded | Phase::Offline => {
                let next = schedule::jittered(rhythm.every, &mut slot.jitter);
                slot.probing = Probing::DueAt(now.after(next));
                slot.view.last_evidence.clone_from(&outcome.evidence);
                self.probe_while_running(now, id, outcome);
            }
            // The answer comes too late to matter.
            Phase::Stopping
            | Phase::Waiting
            | Phase::Preparing
            | Phase::BackingOff
            | Phase::GivenUp
            | Phase::Stopped
            | Phase::Completed
            | Phase::Unwatched => {}
        }
        self.set_timer(now, id);
    }

    fn probe_while_starting(
        &mut self,
        now: Timestamp,
        id: &InstanceId,
        rhythm: ProbeRhythm,
        outcome: &ProbeOutcome,
    ) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.view.last_evidence.clone_from(&outcome.evidence);
        let gap = slot.next_probe_gap(rhythm.every);
        slot.probing = Probing::DueAt(now.after(gap));
        if outcome.ok {
            slot.health.handle_probe(now, true);
            if slot.health.state() == HealthState::Healthy {
                self.enter_healthy(now, id, &outcome.evidence);
            }
        } else {
            // A process that is not up yet has nothing to be blamed for; good ones count anew.
            slot.health = HealthMachine::new(super::slot::policy(Some(&rhythm)));
        }
        // A rollout waits for the first word about each instance.
        if self.services.get(&id.service).is_some_and(|service| service.rolling) {
            self.mark(&id.service);
        }
    }

    fn enter_healthy(&mut self, now: Timestamp, id: &InstanceId, why: &str) {
        let rhythm = self.rhythm(id);
        let Some(slot) = self.slot_mut(id) else { return };
        slot.healthy_by = None;
        slot.alive_at = None;
        let offset = |rhythm: ProbeRhythm| schedule::first_offset(&id.to_string(), rhythm.every);
        slot.probing = rhythm.map_or(Probing::Idle, |rhythm| {
            Probing::DueAt(now.after(offset(rhythm).max(PROBE_GAP_FIRST.min(rhythm.every))))
        });
        self.enter(now, id, Phase::Healthy, why);
    }

    fn probe_while_running(&mut self, now: Timestamp, id: &InstanceId, outcome: &ProbeOutcome) {
        let by_itself = !outcome.ok && self.blockers(&id.service, Strictness::Ready).is_empty();
        let Some(slot) = self.slot_mut(id) else { return };
        slot.bad_by_itself = if by_itself { slot.bad_by_itself.saturating_add(1) } else { 0 };
        let transition = slot.health.handle_probe(now, outcome.ok);
        if !outcome.ok && slot.health.state() == HealthState::Offline {
            self.judge_offline(now, id, &outcome.evidence);
        } else if let Some(transition) = transition {
            self.follow_health(now, id, &transition, Some(&outcome.evidence));
        }
    }

    fn follow_health(
        &mut self,
        now: Timestamp,
        id: &InstanceId,
        transition: &Transition,
        evidence: Option<&str>,
    ) {
        let phase = match transition.to {
            HealthState::Unknown => return,
            HealthState::Healthy => Phase::Healthy,
            HealthState::Degraded => Phase::Degraded,
            HealthState::Offline => Phase::Offline,
        };
        let why = match evidence {
            Some(evidence) => format!("{}: {evidence}", transition.why),
            None => transition.why.clone(),
        };
        self.enter(now, id, phase, why);
    }

    /// Replaces an instance that is offline by its own fault, or says why it is left alone.
    fn judge_offline(&mut self, now: Timestamp, id: &InstanceId, evidence: &str) {
        let Some(service) = self.services.get(&id.service) else { return };
        let Some(slot) = self.slot(id) else { return };
        let failed = match slot.health.bad_in_a_row() {
            1 => format!("a probe failed: {evidence}"),
            count => format!("{count} probes failed: {evidence}"),
        };
        let enough = service.desired.probe.map_or(1, |rhythm| rhythm.unhealthy_after.max(1));
        let is_blamed = slot.bad_by_itself >= enough;
        let elsewhere =
            service.desired.elsewhere(id.ordinal).map(|place| format!("{} restarts it", place.by));
        let never = service.desired.recover.restart == Restart::Never;
        let blockers = self.blockers(&id.service, Strictness::Ready);
        let spared = if self.is_unwanted(id) {
            Some("it is on its way out".to_owned())
        } else if !blockers.is_empty() {
            Some(format!("it needs {}", blockers.join(", ")))
        } else if elsewhere.is_some() {
            elsewhere
        } else if never {
            // Ending a process that nobody would start again helps nobody.
            Some("its rule says never".to_owned())
        } else {
            None
        };
        let why = match spared {
            Some(reason) => format!("{failed}; not restarted, since {reason}"),
            None => failed.clone(),
        };
        let is_spared = why != failed;
        self.enter(now, id, Phase::Offline, why);
        if is_blamed && !is_spared {
            self.stop(now, id, Then::Recover(failed.clone()), &failed);
        }
    }

    pub(super) fn note_sign_of_life(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(slot) = self.slot_mut(id) else { return };
        let (Process::Running(_) | Process::Elsewhere) = slot.process else { return };
        match slot.view.phase {
            Phase::Healthy | Phase::Degraded | Phase::Offline => {
                slot.view.last_evidence = "a sign of life came".to_owned();
                if let Some(transition) = slot.health.handle_sign_of_life(now) {
                    self.follow_health(now, id, &transition, None);
                }
                self.set_timer(now, id);
            }
            Phase::Waiting
            | Phase::Preparing
            | Phase::Starting
            | Phase::BackingOff
            | Phase::GivenUp
            | Phase::Stopping
            | Phase::Stopped
            | Phase::Completed
            | Phase::Unwatched => {}
        }
    }

    /// Begins to look at a running process in another rhythm, or without any.
    pub(super) fn change_rhythm(&mut self, now: Timestamp, id: &InstanceId, rhythm: Option<ProbeRhythm>) {
        let Some(slot) = self.slot_mut(id) else { return };
        match rhythm {
            Some(rhythm) => slot.health.set_policy(super::slot::policy(Some(&rhythm))),
            // Without probes silence means nothing.
            None => slot.health = HealthMachine::new(super::slot::policy(None)),
        }
        let (Process::Running(_) | Process::Elsewhere) = slot.process else { return };
        match (slot.view.phase, rhythm) {
            (Phase::Starting, Some(rhythm)) => {
                slot.alive_at = None;
                slot.healthy_by = Some(now.after(rhythm.start));
                self.send_probe(now, id);
            }
            (Phase::Starting, None) => {
                slot.probing = Probing::Idle;
                slot.healthy_by = None;
                slot.alive_at = Some(now.after(ALIVE_AFTER));
            }
            (Phase::Healthy | Phase::Degraded | Phase::Offline, Some(_)) => self.send_probe(now, id),
            (Phase::Healthy | Phase::Degraded | Phase::Offline, None) => {
                self.enter_healthy(now, id, PROCESS_ONLY);
            }
            (
                Phase::Waiting
                | Phase::Preparing
                | Phase::BackingOff
                | Phase::GivenUp
                | Phase::Stopping
                | Phase::Stopped
                | Phase::Completed
                | Phase::Unwatched,
                _,
            ) => {}
        }
        self.set_timer(now, id);
    }
}
