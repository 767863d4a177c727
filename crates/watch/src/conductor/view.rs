//! What the conductor says: phases, actions, changes and the views that people and the registry read.

use haus_model::health::HealthState;
use haus_model::service::Stop;
use haus_model::{InstanceId, ServiceName, Timestamp};
use std::fmt;

/// Where an instance or a service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Something that it needs is not ready, or something is missing without which no start makes sense.
    Waiting,
    /// The commands that run once before the first start are running.
    Preparing,
    /// Started, not yet known to be healthy.
    Starting,
    /// Probes are good.
    Healthy,
    /// Some probes failed.
    Degraded,
    /// It runs, but too many probes failed.
    Offline,
    /// It ended and will be started again.
    BackingOff,
    /// It ended too often; nothing is tried until somebody asks.
    GivenUp,
    /// Asked to end.
    Stopping,
    /// Ended because it should.
    Stopped,
    /// Ended well by itself and not meant to run again.
    Completed,
    /// Somebody else keeps it running, and nothing of it can be asked from here.
    Unwatched,
}

impl Phase {
    /// Every phase, in the order of their declaration.
    pub const ALL: [Phase; 12] = [
        Phase::Waiting,
        Phase::Preparing,
        Phase::Starting,
        Phase::Healthy,
        Phase::Degraded,
        Phase::Offline,
        Phase::BackingOff,
        Phase::GivenUp,
        Phase::Stopping,
        Phase::Stopped,
        Phase::Completed,
        Phase::Unwatched,
    ];

    /// The lower-case words used in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Preparing => "preparing",
            Phase::Starting => "starting",
            Phase::Healthy => "healthy",
            Phase::Degraded => "degraded",
            Phase::Offline => "offline",
            Phase::BackingOff => "backing off",
            Phase::GivenUp => "given up",
            Phase::Stopping => "stopping",
            Phase::Stopped => "stopped",
            Phase::Completed => "completed",
            Phase::Unwatched => "unwatched",
        }
    }

    /// What the gateway and the registry may think of an instance in this phase.
    pub fn health(self) -> HealthState {
        match self {
            Phase::Waiting | Phase::Preparing | Phase::Starting | Phase::Unwatched => HealthState::Unknown,
            Phase::Healthy => HealthState::Healthy,
            Phase::Degraded => HealthState::Degraded,
            // A stopping one still answers, but a request sent to it might not be answered any more.
            Phase::Offline
            | Phase::BackingOff
            | Phase::GivenUp
            | Phase::Stopping
            | Phase::Stopped
            | Phase::Completed => HealthState::Offline,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom a change is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// One instance.
    Instance(InstanceId),
    /// A service as a whole.
    Service(ServiceName),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Instance(id) => id.fmt(f),
            Subject::Service(name) => name.fmt(f),
        }
    }
}

/// Whom a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All instances of a service.
    Service(ServiceName),
    /// One instance.
    Instance(InstanceId),
}

/// One change of phase. `from` and `to` are the same when only the reason became worth recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whom it is about.
    pub subject: Subject,
    /// When.
    pub at: Timestamp,
    /// The phase before.
    pub from: Phase,
    /// The phase after.
    pub to: Phase,
    /// One sentence.
    pub why: String,
}

/// What is to be done by whoever drives the conductor, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the prepare commands of a service once; answer by `handle_prepared`.
    Prepare {
        /// The service.
        service: ServiceName,
        /// The fingerprint to remember when they end well.
        fingerprint: String,
    },
    /// Start a process; answer by `handle_spawned` or `handle_spawn_failed`.
    Spawn {
        /// The slot.
        id: InstanceId,
        /// The number of this run; every report about it carries it.
        run: u64,
    },
    /// Ask a process to end, and see that it does; answer by `handle_exited`.
    Stop {
        /// The slot.
        id: InstanceId,
        /// The run.
        run: u64,
        /// Why.
        why: String,
        /// How: by the plan that the process was started under, whatever later plans say.
        stop: Stop,
    },
    /// Probe an instance once; answer by `handle_probe`.
    Probe {
        /// The slot.
        id: InstanceId,
        /// The run.
        run: u64,
    },
    /// Something changed; to be recorded and shown.
    Changed(Change),
    /// After `drain`: nothing runs any more. Comes once and last.
    Drained,
}

/// One instance as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// The slot.
    pub id: InstanceId,
    /// The number of the last run; 0 before the first.
    pub run: u64,
    /// Process number while a process runs.
    pub pid: Option<u32>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// What may be thought of it.
    pub health: HealthState,
    /// Starts after the first one.
    pub restarts: u32,
    /// What the last probe of this run saw, or how the run ended; empty before either.
    pub last_evidence: String,
    /// When it is started again, while it backs off.
    pub next_try: Option<Timestamp>,
}

/// One service as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView<'a> {
    /// Its name.
    pub name: &'a ServiceName,
    /// Its phase, from those of its instances.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// Whether those who need it may start: an instance is healthy, or it has completed.
    pub ready: bool,
    /// Whether an instance is not started since something is missing that nobody but a person may bring.
    pub lacks: bool,
    /// Its instances in order.
    pub instances: Vec<&'a InstanceView>,
}
