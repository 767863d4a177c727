//! What one event means for everybody else: every cascade of the conductor runs through here.
//!
//! Each report changes one slot and marks its service. Then marked services are looked at, those
//! without needs first, until nothing is marked: they tell their dependants what became of them,
//! start what can start, go on with a rollout, or end.

use super::Conductor;
use super::desired::Keeper;
use super::service::{Service, Standing};
use super::view::{Action, Change, Phase, Subject};
use haus_model::{ServiceName, Timestamp};
use std::collections::BTreeMap;

impl Conductor {
    pub(super) fn settle(&mut self, now: Timestamp) {
        loop {
            while let Some((_, name)) = self.dirty.pop_first() {
                if self.services.get(&name).is_some_and(|service| service.leaving.is_some()) {
                    self.summarise(now, &name);
                    self.advance_leaving(now, &name);
                } else {
                    self.forget_surplus(now, &name);
                    self.advance_starts(now, &name);
                    self.advance_rollout(now, &name);
                    // Last, so that an instance that is replaced on the spot makes no stir.
                    self.summarise(now, &name);
                }
            }
            // Services that hold each other in a circle would wait for ever: one has to go first.
            let stuck = if self.released.is_empty() { self.held.first().cloned() } else { None };
            match stuck {
                Some(name) => self.release(now, &name),
                None => break,
            }
        }
        if self.draining.is_some() && !self.drained && self.released.is_empty() {
            self.drained = true;
            self.actions.push_back(Action::Drained);
        }
    }

    /// Derives the phase of a service and tells those who need it.
    pub(super) fn summarise(&mut self, now: Timestamp, name: &ServiceName) {
        let Some(service) = self.services.get_mut(name) else { return self.mark_dependants(name) };
        let (from, to) = (service.phase, service.summary());
        if from != to {
            service.phase = to;
            service.since = now;
            let subject = Subject::Service(name.clone());
            let change = Change { subject, at: now, from, to, why: service.why() };
            self.actions.push_back(Action::Changed(change));
        }
        let standing = service.standing();
        if standing != service.told {
            service.told = standing;
            self.mark_dependants(name);
        }
    }

    pub(super) fn mark_dependants(&mut self, name: &ServiceName) {
        let dependants: Vec<ServiceName> = self.dependants.get(name).into_iter().flatten().cloned().collect();
        for dependant in dependants {
            self.mark(&dependant);
        }
    }

    /// Whether nothing is under way: every service is healthy, completed or given up, or it waits
    /// for (or suffers from) one that will not come back by itself.
    pub fn all_settled(&self) -> bool {
        let moving = [Phase::Preparing, Phase::Starting, Phase::BackingOff, Phase::Stopping, Phase::Degraded];
        if moving.iter().any(|phase| self.counts[*phase as usize] > 0) {
            return false;
        }
        if self.counts[Phase::Waiting as usize] + self.counts[Phase::Offline as usize] == 0 {
            return true;
        }
        let mut hopeless = BTreeMap::new();
        self.services.iter().all(|(name, service)| {
            service.count(Phase::Waiting) + service.count(Phase::Offline) == 0
                || self.is_blocked_for_good(name, service, &mut hopeless)
        })
    }

    fn is_blocked_for_good(
        &self,
        name: &ServiceName,
        service: &Service,
        known: &mut BTreeMap<ServiceName, bool>,
    ) -> bool {
        if let Some(answer) = known.get(name) {
            return *answer;
        }
        // Nobody knows when what is missing comes, nor when somebody else sees to his own.
        if service.lack().is_some() || matches!(service.desired.keeper, Keeper::Elsewhere(_)) {
            known.insert(name.clone(), true);
            return true;
        }
        // In a circle of needs nobody ever starts.
        known.insert(name.clone(), true);
        let answer = service.desired.needs.iter().filter(|need| *need != name).any(|need| {
            let Some(needed) = self.services.get(need) else { return true };
            match needed.standing() {
                Standing::Ready | Standing::Usable => false,
                Standing::NotReady(Phase::GivenUp) => true,
                Standing::NotReady(Phase::Waiting | Phase::Offline) => {
                    self.is_blocked_for_good(need, needed, known)
                }
                Standing::NotReady(_) => needed.wanted() == 0,
            }
        });
        known.insert(name.clone(), answer);
        answer
    }
}
