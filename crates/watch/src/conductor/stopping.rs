//! From a running process to its end: asked for or not, and what follows from it.
//!
//! How a process is made to end (signal, patience, kill) is the work of whoever carries out the stop.

use super::Conductor;
use super::slot::{Process, Stopping, Then};
use super::view::{Action, Change, Phase, Subject};
use haus_model::unit::format_duration;
use haus_model::{InstanceId, Timestamp};
use std::time::Duration;

/// Beyond the patience of the stop itself, what the report of the end may take.
const REPORT_GRACE: Duration = Duration::from_secs(5);

impl Conductor {
    /// Asks the process of a slot to end. When it is ending already, only what follows is replaced.
    pub(super) fn stop(&mut self, now: Timestamp, id: &InstanceId, then: Then, why: &str) {
        let Some(service) = self.services.get_mut(&id.service) else { return };
        let Some(slot) = service.slots.get_mut(&id.ordinal) else { return };
        let stop = slot.stop.unwrap_or(service.desired.stop);
        match (slot.process, &mut slot.stopping) {
            (Process::None, _) => {}
            (Process::Elsewhere, _) => self.turn_away(now, id, why),
            (Process::Queued, _) => {
                self.set_process(id, Process::None);
                self.after_stop(now, id, then, why, Duration::ZERO);
            }
            (Process::Spawning | Process::Running(_), Some(stopping)) => {
                stopping.then = then;
                self.enter(now, id, Phase::Stopping, why);
            }
            (Process::Spawning | Process::Running(_), None) => {
                let patience = stop.within.saturating_add(REPORT_GRACE);
                slot.stopping = Some(Stopping { then, overdue_at: Some(now.after(patience)) });
                let run = slot.view.run;
                // The change comes first, so that nobody is sent there any more when it ends.
                self.enter(now, id, Phase::Stopping, why);
                self.actions.push_back(Action::Stop { id: id.clone(), run, why: why.to_owned(), stop });
            }
        }
    }

    pub(super) fn note_ended(
        &mut self,
        now: Timestamp,
        id: &InstanceId,
        run: u64,
        success: bool,
        text: &str,
    ) {
        let Some(slot) = self.live_slot(id, run) else { return };
        let ran_for = match slot.process {
            Process::Running(since) => now.since(since),
            Process::None | Process::Queued | Process::Spawning | Process::Elsewhere => Duration::ZERO,
        };
        let stopping = slot.stopping.take();
        let why = slot.view.why.clone();
        slot.forget_run(None);
        slot.view.last_evidence = text.to_owned();
        self.set_process(id, Process::None);
        self.mark(&id.service);
        match stopping {
            Some(stopping) => self.after_stop(now, id, stopping.then, &format!("{why}; {text}"), ran_for),
            None if self.is_unwanted(id) => self.enter(now, id, Phase::Stopped, text),
            None => self.after_exit(now, id, success, text, ran_for),
        }
    }

    fn after_stop(&mut self, now: Timestamp, id: &InstanceId, then: Then, why: &str, ran_for: Duration) {
        match then {
            Then::Stay => self.enter(now, id, Phase::Stopped, why),
            Then::Again(why) => {
                if let Some(slot) = self.slot_mut(id) {
                    slot.start_why = why;
                }
                self.try_start(now, id);
            }
            Then::Recover(why) => self.after_exit(now, id, false, &why, ran_for),
        }
    }

    fn after_exit(&mut self, now: Timestamp, id: &InstanceId, success: bool, why: &str, ran_for: Duration) {
        let Some(slot) = self.slot_mut(id) else { return };
        let verdict = slot.rule.handle_exit(now, success, ran_for);
        self.follow_verdict(now, id, &verdict, why);
    }

    /// The exit of a stopping process has not been reported in time.
    pub(super) fn stop_overdue(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(slot) = self.slot_mut(id) else { return };
        let since = slot.view.since;
        let Some(stopping) = slot.stopping.as_mut().filter(|stopping| stopping.overdue_at.is_some()) else {
            return;
        };
        stopping.overdue_at = None;
        let waited = Duration::from_secs(now.since(since).as_secs());
        let why = format!(
            "{}; its end is not reported {} after it was asked",
            slot.view.why,
            format_duration(waited)
        );
        slot.view.why.clone_from(&why);
        let subject = Subject::Instance(id.clone());
        let change = Change { subject, at: now, from: Phase::Stopping, to: Phase::Stopping, why };
        self.actions.push_back(Action::Changed(change));
    }

    /// Takes the wish for a process away from a slot that has none (yet).
    pub(super) fn give_up_start(&mut self, now: Timestamp, id: &InstanceId, why: &str) {
        self.set_process(id, Process::None);
        let Some(slot) = self.slot_mut(id) else { return };
        slot.forget_run(None);
        match slot.view.phase {
            // How these ended says more than that nobody wants them any more.
            Phase::GivenUp | Phase::Completed | Phase::Stopped => {}
            Phase::Waiting
            | Phase::Preparing
            | Phase::Starting
            | Phase::Healthy
            | Phase::Degraded
            | Phase::Offline
            | Phase::BackingOff
            | Phase::Unwatched
            | Phase::Stopping => self.enter(now, id, Phase::Stopped, why),
        }
    }
}
