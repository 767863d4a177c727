//! What became of each host, and what is told on the way. Plain data; how it is printed is not known here.

use crate::host::HostError;
use crate::shown::shown;
use haus_acts::wire::{Finished, Left, Progress, Recovered};
use haus_model::Finding;
use haus_model::HostName;
use haus_model::host_code::HostCode;
use haus_model::resource::ResourceId;

/// What went wrong on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What, where, why, and what to do.
    pub finding: Finding,
    /// The resource that it is about.
    pub resource: Option<ResourceId>,
    /// Last lines of what a command said, fit to be shown.
    pub evidence: Vec<String>,
}

impl Fault {
    pub(crate) fn new(host: &HostName, code: HostCode, message: String, remedy: &str) -> Box<Fault> {
        let finding = code.finding(format!("host {host}"), message, remedy);
        Box::new(Fault { finding, resource: None, evidence: Vec::new() })
    }

    /// From an error of a session. Nothing that the host said gets into it raw.
    pub fn of(host: &HostName, error: &HostError) -> Box<Fault> {
        match error {
            HostError::Refused(refusal) => {
                let message = shown(&format!("{}: {}", refusal.what, refusal.why));
                let mut fault = Fault::new(host, refusal.code, message, &shown(&refusal.remedy));
                fault.resource = refusal.resource.clone();
                fault.evidence = refusal.evidence.iter().map(|line| shown(line)).collect();
                fault
            }
            HostError::Road(road) => Fault::new(host, road.code, road.to_string(), &road.remedy),
            HostError::Blob { hash, source } => Fault::new(
                host,
                HostCode::ActFailed,
                format!("read the blob {} for the host: {source}", hash.short()),
                "plan again: the file changed or is gone",
            ),
        }
    }
}

/// What became of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostOutcome {
    /// Everything is done and proven.
    Done {
        /// Changes that were carried out.
        changes: u32,
    },
    /// There was nothing to do.
    Unchanged,
    /// Nothing was changed.
    Refused(Box<Fault>),
    /// Something failed, and the whole was taken back.
    RolledBack {
        /// What failed.
        fault: Box<Fault>,
        /// What is not as it was before, and why. Empty when everything is.
        left: Vec<Left>,
    },
    /// It was asked to stop. What was done stays, and the next apply goes on from there.
    Stopped {
        /// Changes that were carried out.
        done: u32,
        /// Changes in all.
        of: u32,
    },
    /// Nobody can say what is there.
    Unknown {
        /// What failed.
        fault: Box<Fault>,
        /// What to look at.
        look_at: String,
    },
    /// It was not begun.
    NotTried {
        /// Why.
        because: String,
        /// What to do.
        remedy: String,
    },
}

impl HostOutcome {
    /// Whether the host is as the plan wants it.
    pub fn is_good(&self) -> bool {
        match self {
            HostOutcome::Done { .. } | HostOutcome::Unchanged => true,
            HostOutcome::Refused(_)
            | HostOutcome::RolledBack { .. }
            | HostOutcome::Stopped { .. }
            | HostOutcome::Unknown { .. }
            | HostOutcome::NotTried { .. } => false,
        }
    }

    /// The exit code of a run in which this is the worst: 0, 3 refused, 4 failed and taken back, 5 unknown.
    pub fn exit_code(&self) -> u8 {
        match self {
            HostOutcome::Done { .. } | HostOutcome::Unchanged => 0,
            HostOutcome::Refused(_) | HostOutcome::NotTried { .. } => 3,
            HostOutcome::RolledBack { left, .. } if left.is_empty() => 4,
            HostOutcome::RolledBack { .. } | HostOutcome::Unknown { .. } => 5,
            // It is known what is there, and it is not what was wanted.
            HostOutcome::Stopped { .. } => 3,
        }
    }
}

/// What is told while a host is worked on.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection is opened.
    Connecting,
    /// An apply that did not end was brought into order.
    Recovered(Recovered),
    /// A blob is sent.
    Sending {
        /// Its size.
        bytes: u64,
    },
    /// A change begins.
    Acting {
        /// Its number.
        number: u32,
        /// Changes in all.
        of: u32,
        /// What it changes.
        resource: ResourceId,
    },
    /// A sign of life of what is under way.
    Progress(Progress),
    /// A change is done.
    Acted {
        /// Its number.
        number: u32,
        /// Whether anything had to be done.
        changed: bool,
        /// What is worth telling.
        notes: Vec<String>,
        /// How long it took.
        took_ms: u64,
    },
    /// A new connection is opened to prove that the host can be reached.
    Confirming,
    /// It could be.
    Confirmed,
    /// Something failed, and the whole is taken back.
    TakingBack(Box<Fault>),
    /// The connection is lost, and the host is looked for.
    Searching {
        /// For how many seconds at most.
        at_most_s: u64,
    },
    /// This host is through.
    Ended(Box<HostOutcome>),
}

/// Whether what was to be taken back is all there again, by the host's own word.
pub(crate) fn left_of(finished: &Finished) -> Vec<Left> {
    let fit = |left: &Left| Left { resource: left.resource.clone(), why: shown(&left.why) };
    finished.left.iter().map(fit).collect()
}
