//! Instances that somebody else keeps running: systemd on a host, or another house's supervisor.
//!
//! They have a slot like all others, so health, needs and alerts treat them alike. But they are neither
//! started nor stopped, they wait for nothing, and being offline is the end of what is done about them here.

use super::Conductor;
use super::desired::{DesiredService, Elsewhere};
use super::slot::Process;
use super::view::Phase;
use haus_model::{InstanceId, Timestamp};

impl Conductor {
    fn elsewhere(&self, id: &InstanceId) -> Option<Elsewhere> {
        self.services.get(&id.service)?.desired.elsewhere(id.ordinal).cloned()
    }

    /// Begins to look at an instance where it is, whatever was known of it before.
    pub(super) fn turn_to(&mut self, now: Timestamp, id: &InstanceId) {
        let (Some(place), rhythm, run) = (self.elsewhere(id), self.rhythm(id), self.next_run) else { return };
        let Some(slot) = self.slot_mut(id) else { return };
        slot.forget_run(rhythm.as_ref());
        slot.spec.clone_from(&place.spec);
        slot.view.last_evidence.clear();
        if let Some(absent) = place.absent {
            self.set_process(id, Process::None);
            return self.enter(now, id, Phase::Offline, absent);
        }
        slot.view.run = run;
        slot.healthy_by = rhythm.map(|rhythm| now.after(rhythm.start));
        self.next_run += 1;
        self.set_process(id, Process::Elsewhere);
        if rhythm.is_none() {
            let why = format!("looked after by {}; it cannot be asked from here", place.by);
            return self.enter(now, id, Phase::Unwatched, why);
        }
        // A fresh start has to be told also when one was under way.
        self.enter(now, id, Phase::Starting, format!("looked after by {}; not asked yet", place.by));
        self.send_probe(now, id);
    }

    /// Takes over another plan for an instance that was somebody else's before, too.
    pub(super) fn look_elsewhere(
        &mut self,
        now: Timestamp,
        id: &InstanceId,
        old: &DesiredService,
        new: &DesiredService,
    ) {
        // Once the process that we had there ourselves has ended, its place is looked at anyway.
        let Some(slot) = self.slot(id).filter(|slot| slot.is_elsewhere() || !slot.is_live()) else { return };
        let (before, after) = (old.probe_of(id.ordinal), new.probe_of(id.ordinal));
        let has_moved = new.elsewhere(id.ordinal).is_some_and(|place| place.spec != slot.spec);
        if has_moved || before.is_some() != after.is_some() {
            self.turn_to(now, id);
        } else if before != after {
            self.change_rhythm(now, id, after);
        }
    }

    /// Looks at an instance no more. It runs on, or not: that is somebody else's.
    pub(super) fn turn_away(&mut self, now: Timestamp, id: &InstanceId, why: &str) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.forget_run(None);
        self.set_process(id, Process::None);
        self.enter(now, id, Phase::Stopped, why);
        self.mark(&id.service);
    }

    /// Patience has ended before it was healthy for the first time.
    pub(super) fn not_heard(&mut self, now: Timestamp, id: &InstanceId, why: &str) {
        let by = self.elsewhere(id).map_or_else(|| "somebody else".to_owned(), |place| place.by);
        if let Some(slot) = self.slot_mut(id) {
            slot.healthy_by = None;
        }
        self.enter(now, id, Phase::Offline, format!("{why}; {by} looks after it"));
    }
}
