//! What follows from the state of a whole service: alerts, and the recovery ladder's second step, the last
//! good definition in the place of one that was given up.
//!
//! Which step comes is decided by `haus_watch::ladder`; here is what a definition is, and how it comes into
//! force.

use super::Engine;
use crate::accepted::Accepted;
use crate::alarms::SERVICE_REDEPLOYED;
use crate::ports::Held;
use crate::{durable, fingerprint, ports};
use haus_model::ServiceName;
use haus_model::alert::AlertLevel;
use haus_model::service::{RunsAs, Service};
use haus_store::EventKind;
use haus_watch::alert::{SERVICE_DEGRADED, SERVICE_GAVE_UP, SERVICE_LACKING, SERVICE_OFFLINE};
use haus_watch::conductor::{Phase, Target};
use haus_watch::ladder::{Ladder, Step};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What is kept over restarts. Definitions hold no secrets, so neither does this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    ladder: Ladder,
    /// Definitions by fingerprint: the last good one, and the one that may become it.
    definitions: BTreeMap<ServiceName, BTreeMap<String, Service>>,
    /// Services that run a definition other than the plan's, with its fingerprint and the reason.
    redeployed: BTreeMap<ServiceName, (String, String)>,
}

/// The memory of the ladder.
pub(super) struct Recovery {
    kept: Kept,
    path: PathBuf,
    /// Text that was written last; held while it is written.
    written: Arc<Mutex<String>>,
    /// What comes into force next is of our own making, or of the core before: no plan that somebody wrote.
    is_own_step: bool,
}

impl Recovery {
    /// Reads what an earlier core kept; nothing when there is nothing that can be understood.
    pub(super) fn open(state: &Path) -> Recovery {
        let path = state.join("ladder.json");
        let read = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let mut kept = read.unwrap_or_default();
        kept.ladder.handle_restart();
        Recovery { kept, path, written: Arc::default(), is_own_step: true }
    }

    /// Keeps it, on a thread that may wait for the disk. A write that fails is made up for by the next one;
    /// until then a crash forgets a good definition, no more.
    fn keep(&self) {
        let text = serde_json::to_string(&self.kept).expect("definitions are plain data");
        let (path, written) = (self.path.clone(), Arc::clone(&self.written));
        // Handed over in order, written in order: the pool's threads take turns at the lock.
        tokio::task::spawn_blocking(move || {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *written != text && durable::replace(&path, text.as_bytes(), 0o600).is_ok() {
                *written = text;
            }
        });
    }

    /// Forgets definitions that can never be brought back.
    fn prune(&mut self, name: &ServiceName, current: &str) {
        let good = self.kept.ladder.last_good(name).map(str::to_owned);
        if let Some(definitions) = self.kept.definitions.get_mut(name) {
            definitions.retain(|print, _| print == current || Some(print) == good.as_ref());
        }
    }
}

/// What a phase means for those who are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// All is well, or as it is wanted.
    None,
    /// Nothing can be said yet; what was said stays.
    Unsaid,
    Degraded,
    Offline,
    GaveUp,
}

fn fault(phase: Phase) -> Fault {
    match phase {
        Phase::Healthy | Phase::Unwatched | Phase::Completed | Phase::Stopped => Fault::None,
        // A restart of what was broken is not the end of being broken.
        Phase::Waiting | Phase::Preparing | Phase::Starting | Phase::Stopping => Fault::Unsaid,
        Phase::Degraded => Fault::Degraded,
        Phase::Offline | Phase::BackingOff => Fault::Offline,
        Phase::GivenUp => Fault::GaveUp,
    }
}

impl Engine {
    /// Tells alerts and the ladder how a service does.
    pub(super) fn watch_service(&mut self, name: &ServiceName) {
        let view = self.conductor.service(name);
        let Some((phase, why, lacks)) = view.map(|view| (view.phase, view.why, view.lacks)) else {
            return;
        };
        let Some(current) = self.house.services.get(name).cloned() else { return };
        let is_ours = match current.runs_as {
            RunsAs::Process => true,
            // Whoever keeps it running restarts it; it has no steps of recovery here.
            RunsAs::Systemd => false,
            RunsAs::Coordinator | RunsAs::External => return,
        };
        if self.draining {
            return;
        }
        let (now, print) = (self.clock.wall(), fingerprint::service_fingerprint(&current));
        if !is_ours {
            // Nor has it any of a time when it was ours.
            self.recovery.kept.ladder.keep_only(|other| other != name);
        } else if phase == Phase::Healthy {
            self.recovery.kept.ladder.handle_healthy(now, name, &print);
            self.recovery.kept.definitions.entry(name.clone()).or_default().insert(print.clone(), current);
            self.recovery.prune(name, &print);
        } else if phase != Phase::GivenUp {
            self.recovery.kept.ladder.handle_unhealthy(now, name);
        }
        let subject = name.as_str();
        let alarms = &self.desk.alarms;
        match fault(phase) {
            Fault::None => {
                for kind in [SERVICE_LACKING, SERVICE_DEGRADED, SERVICE_OFFLINE, SERVICE_GAVE_UP] {
                    alarms.clear(now, subject, kind, &why);
                }
            }
            // No fault of its own, and no restart helps: somebody has to bring what is missing.
            Fault::Unsaid if lacks => {
                alarms.raise(now, subject, SERVICE_LACKING, AlertLevel::Warning, &why);
            }
            Fault::Unsaid => {}
            Fault::Degraded => {
                alarms.raise(now, subject, SERVICE_DEGRADED, AlertLevel::Warning, &why);
                alarms.clear(now, subject, SERVICE_OFFLINE, &why);
                alarms.clear(now, subject, SERVICE_GAVE_UP, &why);
            }
            Fault::Offline => {
                alarms.raise(now, subject, SERVICE_OFFLINE, AlertLevel::Critical, &why);
                alarms.clear(now, subject, SERVICE_GAVE_UP, &why);
            }
            Fault::GaveUp => self.step_up(name, &print, &why),
        }
    }

    /// Tells of every service: at the start and after another plan.
    pub(super) fn watch_all(&mut self) {
        let now = self.clock.wall();
        let is_own_step = std::mem::take(&mut self.recovery.is_own_step);
        let house = &self.house;
        let kept = &mut self.recovery.kept;
        kept.ladder.keep_only(|name| house.services.contains_key(name));
        kept.definitions.retain(|name, _| house.services.contains_key(name));
        let is_in_force = |name: &ServiceName, print: &String| {
            house
                .services
                .get(name)
                .is_some_and(|service| fingerprint::service_fingerprint(service) == *print)
        };
        let over: Vec<ServiceName> = kept
            .redeployed
            .iter()
            // A plan that somebody wrote is in force as it is, also where it says what was good before.
            .filter(|(name, (print, _))| !is_own_step || !is_in_force(name, print))
            .map(|(name, _)| name.clone())
            .collect();
        for name in over {
            kept.redeployed.remove(&name);
            self.desk.alarms.clear(now, name.as_str(), SERVICE_REDEPLOYED, "another plan was taken over");
        }
        let names: Vec<ServiceName> = self.house.services.keys().cloned().collect();
        for name in names {
            // One that was given up before is told of when it is given up again: its start is tried anew.
            if self.conductor.service(&name).is_some_and(|view| view.phase != Phase::GivenUp) {
                self.watch_service(&name);
            }
        }
    }

    /// Restarts were given up: the last good definition, or nobody but a person.
    fn step_up(&mut self, name: &ServiceName, print: &str, why: &str) {
        let now = self.clock.wall();
        let step = self.recovery.kept.ladder.handle_gave_up(now, name, print);
        let outcome = match step {
            Step::Redeploy { fingerprint } => self.redeploy(name, &fingerprint, why),
            Step::StopAndAlert { why } => Err(why),
        };
        self.recovery.keep();
        match outcome {
            Ok(()) => {
                let told =
                    format!("runs its last good definition instead of the plan's, which was given up: {why}");
                self.note(EventKind::ServiceChange, name.as_str(), &told);
                self.desk.alarms.raise(now, name.as_str(), SERVICE_REDEPLOYED, AlertLevel::Warning, &told);
            }
            Err(no_step) => {
                let told = format!("{why}; {no_step}");
                self.desk.alarms.raise(now, name.as_str(), SERVICE_GAVE_UP, AlertLevel::Critical, &told);
            }
        }
    }

    /// Puts a definition in force for one service, until another plan is taken over.
    fn redeploy(&mut self, name: &ServiceName, print: &str, why: &str) -> Result<(), String> {
        let good = self.recovery.kept.definitions.get(name).and_then(|all| all.get(print)).cloned();
        let good = good.ok_or("its last good definition is not kept any more")?;
        if let Some(lack) = self.lack(&good) {
            return Err(format!("its last good definition does not fit the plan any more: {lack}"));
        }
        let mut house = self.house.clone();
        house.services.insert(name.clone(), good);
        let whereabouts = self.addresses.whereabouts().clone();
        let held = Held { running: &BTreeSet::new(), elsewhere: &whereabouts.ports_here() };
        let chosen = ports::choose(&house, &*self.store, &self.numbers, held)
            .map_err(|error| format!("no ports for its last good definition: {}", crate::chain(&error)))?;
        let former = self.recovery.kept.redeployed.insert(name.clone(), (print.to_owned(), why.to_owned()));
        let accepted = Accepted::new(self.root.clone(), house, whereabouts, &chosen.auto);
        self.recovery.is_own_step = true;
        let taken = self.take_over(accepted);
        self.recovery.is_own_step = false;
        if let Err(problem) = taken {
            match former {
                Some(former) => drop(self.recovery.kept.redeployed.insert(name.clone(), former)),
                None => drop(self.recovery.kept.redeployed.remove(name)),
            }
            return Err(format!("its last good definition is not in force: {}", problem.detail));
        }
        let now = self.clock.now();
        // What differs may be nothing that a process is started with; it was given up all the same.
        self.conductor.restart(
            now,
            Target::Service(name.clone()),
            "its last good definition is in force again",
        )
    }

    /// What an older definition needs and the plan lacks.
    fn lack(&self, good: &Service) -> Option<String> {
        let need = good.needs.iter().find(|need| !self.house.services.contains_key(*need));
        if let Some(need) = need {
            return Some(format!("it needs {need}, which is not in the plan"));
        }
        let has = |credential: &haus_model::CredentialName| {
            let planned = self.house.credentials.get(credential);
            planned.is_some_and(|planned| planned.scope.contains(&good.name))
        };
        let credential = good.credentials.values().find(|credential| !has(credential))?;
        Some(format!("it may not have credential {credential} any more"))
    }

    /// Makes definitions good that were healthy for long enough.
    pub(super) fn grow_ladder(&mut self) {
        let now = self.clock.wall();
        if self.recovery.kept.ladder.poll_timeout().is_some_and(|at| at <= now) {
            self.recovery.kept.ladder.handle_timeout(now);
            self.recovery.keep();
        }
    }

    /// When [`Self::grow_ladder`] has something to do, on the monotonic clock.
    pub(super) fn next_good(&self) -> Option<haus_model::Timestamp> {
        let at = self.recovery.kept.ladder.poll_timeout()?;
        Some(self.clock.now().after(at.since(self.clock.wall())))
    }

    /// Why a service is as it is, and that it does not run what the plan says.
    pub(super) fn why_in_full(&self, name: &ServiceName, why: String) -> String {
        match self.recovery.kept.redeployed.get(name) {
            Some((_, reason)) => {
                format!("{why}; runs its last good definition instead of the plan's: {reason}")
            }
            None => why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(phases: &[Phase], expected: Fault) {
        for phase in phases {
            assert_eq!(fault(*phase), expected, "{phase}");
        }
    }

    #[test]
    fn every_phase_has_its_fault() {
        check(&[Phase::Healthy, Phase::Completed, Phase::Stopped], Fault::None);
        check(&[Phase::Waiting, Phase::Preparing, Phase::Starting, Phase::Stopping], Fault::Unsaid);
        check(&[Phase::Degraded], Fault::Degraded);
        check(&[Phase::Offline, Phase::BackingOff], Fault::Offline);
        check(&[Phase::GivenUp], Fault::GaveUp);
    }

    #[tokio::test]
    async fn the_memory_comes_back_and_a_damaged_one_begins_anew() {
        let folder = std::env::temp_dir().join(format!("haus-ladder-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let name: ServiceName = "web".parse().unwrap();
        let service = crate::fixture::service("web", 1);
        let print = fingerprint::service_fingerprint(&service);
        let mut recovery = Recovery::open(&folder);
        recovery.kept.ladder.handle_healthy(haus_model::Timestamp(0), &name, &print);
        recovery.kept.ladder.handle_timeout(haus_model::Timestamp(60_000));
        let definitions = BTreeMap::from([(print.clone(), service.clone()), ("old".to_owned(), service)]);
        recovery.kept.definitions.insert(name.clone(), definitions);
        recovery.prune(&name, "another");
        recovery.keep();
        let written = Arc::clone(&recovery.written);
        tokio::task::spawn_blocking(move || {
            while written.lock().unwrap().is_empty() {
                std::thread::yield_now();
            }
        })
        .await
        .unwrap();
        let back = Recovery::open(&folder);
        assert_eq!(back.kept.ladder.last_good(&name), Some(print.as_str()));
        assert_eq!(back.kept.definitions[&name].keys().collect::<Vec<_>>(), [&print]);
        fs::write(folder.join("ladder.json"), "{").unwrap();
        assert_eq!(Recovery::open(&folder).kept, Kept::default());
        fs::remove_dir_all(folder).unwrap();
    }
}
