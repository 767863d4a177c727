//! One slot: what is known of the process in it, and when something is due for it.
//!
//! A slot holds facts and deadlines; what follows from them is decided by the conductor.

use super::desired::{DesiredService, ProbeRhythm};
use super::view::{InstanceView, Phase};
use crate::health::{HealthMachine, HealthPolicy};
use crate::random::Random;
use crate::recover::RestartRule;
use haus_model::service::Stop;
use haus_model::{InstanceId, Timestamp};
use std::time::Duration;

/// The first probe of a fresh process, and the first gap between two.
pub(super) const PROBE_GAP_FIRST: Duration = Duration::from_millis(50);
/// The longest gap between two probes of a process that is not healthy yet.
const PROBE_GAP_MOST: Duration = Duration::from_secs(1);
/// How long a process without a probe must live until it counts as healthy.
pub(super) const ALIVE_AFTER: Duration = Duration::from_millis(200);

/// The process of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// There is none.
    None,
    /// Asked for in an action that nobody has taken yet: it can still be withdrawn.
    Queued,
    /// Being started.
    Spawning,
    /// Started at this time.
    Running(Timestamp),
    /// Somebody else's: it may be there or not, and is neither started nor stopped.
    Elsewhere,
}

/// The probe of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probing {
    /// Not probed.
    Idle,
    /// The next one begins then.
    DueAt(Timestamp),
    /// One is under way; without an answer by then it counts as bad.
    UnderWayUntil(Timestamp),
}

/// What follows when a stopping process has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    Stay,
    /// A new start without delay.
    Again(String),
    /// The restart rule decides, as after a bad exit for this reason.
    Recover(String),
}

/// A process that was asked to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stopping {
    pub(super) then: Then,
    /// When the missing exit is worth a remark; none when it was made.
    pub(super) overdue_at: Option<Timestamp>,
}

/// One slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) view: InstanceView,
    pub(super) process: Process,
    /// The fingerprint that the live process was started with.
    pub(super) spec: String,
    /// How the live process is stopped, by the plan it was started under. None for one that was
    /// taken over until a plan names its service: that is most likely the plan it was started under.
    pub(super) stop: Option<Stop>,
    pub(super) rule: RestartRule,
    pub(super) health: HealthMachine,
    pub(super) jitter: Random,
    pub(super) probing: Probing,
    pub(super) probe_gap: Duration,
    /// Starting: when patience ends.
    pub(super) healthy_by: Option<Timestamp>,
    /// Starting without a probe: when being alive is enough.
    pub(super) alive_at: Option<Timestamp>,
    pub(super) stopping: Option<Stopping>,
    /// Why the next start happens.
    pub(super) start_why: String,
    /// Why the live process must be replaced.
    pub(super) outdated: Option<String>,
    /// Bad probes in a row, all with everything it needs ready: only those speak against itself.
    pub(super) bad_by_itself: u32,
    /// Not started since something is missing: nothing is tried until it is said to be there.
    pub(super) lacks: bool,
    /// Not wanted any more; removed when it has ended.
    pub(super) surplus: bool,
}

impl Slot {
    pub(super) fn new(now: Timestamp, id: InstanceId, service: &DesiredService, seed: u64) -> Slot {
        let name = id.to_string();
        Slot {
            view: InstanceView {
                id,
                run: 0,
                pid: None,
                phase: Phase::Stopped,
                since: now,
                why: "never started".to_owned(),
                health: Phase::Stopped.health(),
                restarts: 0,
                last_evidence: String::new(),
                next_try: None,
            },
            process: Process::None,
            spec: String::new(),
            stop: None,
            rule: RestartRule::new(service.recover, Random::for_name(seed, &name)),
            health: HealthMachine::new(policy(service.probe.as_ref())),
            jitter: Random::for_name(!seed, &name),
            probing: Probing::Idle,
            probe_gap: PROBE_GAP_FIRST,
            healthy_by: None,
            alive_at: None,
            stopping: None,
            start_why: "first start".to_owned(),
            outdated: None,
            bad_by_itself: 0,
            lacks: false,
            surplus: false,
        }
    }

    /// Whether it is somebody else's.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.process == Process::Elsewhere
    }

    /// Whether a process may exist.
    pub(super) fn is_live(&self) -> bool {
        match self.process {
            Process::None | Process::Queued => false,
            Process::Spawning | Process::Running(_) | Process::Elsewhere => true,
        }
    }

    /// Whether a live process waits for its replacement.
    pub(super) fn awaits_rollout(&self) -> bool {
        self.outdated.is_some() && self.process != Process::None && self.stopping.is_none()
    }

    /// Forgets everything that was known of the process before.
    pub(super) fn forget_run(&mut self, probe: Option<&ProbeRhythm>) {
        self.health = HealthMachine::new(policy(probe));
        self.probing = Probing::Idle;
        self.probe_gap = PROBE_GAP_FIRST;
        self.healthy_by = None;
        self.alive_at = None;
        self.stopping = None;
        self.stop = None;
        self.outdated = None;
        self.bad_by_itself = 0;
        self.lacks = false;
        self.view.pid = None;
        self.view.next_try = None;
    }

    /// The gap until the next probe of a process that is not healthy yet; the one after is longer.
    pub(super) fn next_probe_gap(&mut self, every: Duration) -> Duration {
        let gap = self.probe_gap.min(every);
        self.probe_gap = (self.probe_gap * 3 / 2).min(PROBE_GAP_MOST);
        gap
    }

    /// When something is due; only what the phase lets matter.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let probe = match self.probing {
            Probing::Idle => None,
            Probing::DueAt(at) | Probing::UnderWayUntil(at) => Some(at),
        };
        let due = match self.view.phase {
            Phase::Waiting
            | Phase::Preparing
            | Phase::GivenUp
            | Phase::Stopped
            | Phase::Completed
            | Phase::Unwatched => [None; 3],
            Phase::BackingOff => [self.view.next_try, None, None],
            Phase::Starting => [probe, self.healthy_by, self.alive_at],
            Phase::Healthy | Phase::Degraded | Phase::Offline => [probe, self.health.poll_timeout(), None],
            Phase::Stopping => [self.stopping.as_ref().and_then(|stopping| stopping.overdue_at), None, None],
        };
        due.into_iter().flatten().min()
    }
}

/// The thresholds that follow from a rhythm. Age is only the net below the probes, so its limits
/// are wide enough that in a slow rhythm the probes speak first.
pub(super) fn policy(probe: Option<&ProbeRhythm>) -> HealthPolicy {
    let usual = HealthPolicy::default();
    let Some(probe) = probe else { return usual };
    let rounds = |count: u32| probe.every.saturating_mul(count).saturating_add(probe.timeout);
    HealthPolicy {
        unhealthy_after: probe.unhealthy_after,
        healthy_after: probe.healthy_after,
        degraded_after_age: usual.degraded_after_age.max(rounds(2)),
        offline_after_age: usual.offline_after_age.max(rounds(probe.unhealthy_after.saturating_add(1))),
    }
}
