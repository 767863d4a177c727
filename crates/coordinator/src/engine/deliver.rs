//! What rotations need of the engine: who runs where, new files for running instances, a restart, one probe.
//!
//! It does not know why; whoever asks waits for the consequence by itself.

use super::Engine;
use haus_model::health::ProbeOutcome;
use haus_model::{InstanceId, Secret, ServiceName};
use haus_supervise::{FileSpec, LinkError, Order};
use haus_watch::conductor::{Phase, Target};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use tokio::sync::oneshot;

/// What is asked. A reply that is dropped means that the house is ending.
pub(crate) enum Errand {
    /// The instances of a service.
    Instances {
        /// The service.
        service: ServiceName,
        /// They; none for a service that the coordinator does not run.
        reply: oneshot::Sender<Vec<Instance>>,
    },
    /// Replace credential files of a running instance.
    Deliver(Box<Delivery>, oneshot::Sender<Result<(), DeliverError>>),
    /// Restart a service by its rollout.
    Restart {
        /// The service.
        service: ServiceName,
        /// Why.
        why: String,
        /// Whether it was begun, or why not.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Probe an instance once, beside its rhythm. Its health is not changed by it.
    Probe {
        /// The instance.
        id: InstanceId,
        /// What was seen; none when it has no probe.
        reply: oneshot::Sender<Option<ProbeOutcome>>,
    },
}

/// One instance as a rotation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// The slot.
    pub id: InstanceId,
    /// The number of this start.
    pub run: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether a process runs.
    pub runs: bool,
    /// Why it is in its phase.
    pub why: String,
    /// Where it listens, when it has one main port.
    pub address: Option<SocketAddr>,
}

/// New files for one instance.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The instance.
    pub id: InstanceId,
    /// The start that is meant.
    pub run: u64,
    /// Files of its credential folder by name.
    pub files: BTreeMap<String, Secret>,
    /// Names of files that go.
    pub remove: Vec<String>,
    /// The signal that tells it.
    pub signal: Option<i32>,
}

/// Why files were not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeliverError {
    /// The parent is of another release and does not know such orders.
    OtherParent,
    /// In words.
    Failed(String),
}

/// Who waits for the parent's answer.
type Reply = oneshot::Sender<Result<(), DeliverError>>;

/// No instance has this key: the parent refuses it, and so shows how far its answers have come.
const FENCE: &str = "@fence";

/// Orders that the parent has not answered, by instance and run; it answers in their order.
///
/// After a crash of the core the parent still tells answers to orders of the one before, and nothing in them
/// says whose they are. So the first order is one that must fail: what comes before its answer is not ours.
#[derive(Default)]
pub(super) struct Delivering {
    waiting: BTreeMap<(String, u64), VecDeque<Reply>>,
    fence: Fence,
}

/// Where the parent's answers stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fence {
    #[default]
    NotAskedFor,
    Awaited,
    Passed,
}

impl Delivering {
    /// Who waits for the answer that has come, if it is one of ours.
    fn answered(&mut self, key: String, run: u64) -> Option<Reply> {
        if key == FENCE {
            if run == fence_run() {
                self.fence = Fence::Passed;
            }
            return None;
        }
        if self.fence != Fence::Passed {
            return None;
        }
        let key = (key, run);
        let waiting = self.waiting.get_mut(&key)?;
        let reply = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&key);
        }
        reply
    }
}

/// Tells the fences of two cores apart.
fn fence_run() -> u64 {
    u64::from(std::process::id())
}

impl Engine {
    pub(super) fn run_errand(&mut self, errand: Errand) {
        if self.draining {
            // Dropped: whoever asked stops and goes on at the next start.
            return;
        }
        // Who asked may have gone.
        match errand {
            Errand::Instances { service, reply } => {
                let _ = reply.send(self.instances_of(&service));
            }
            Errand::Deliver(delivery, reply) => self.deliver(*delivery, reply),
            Errand::Restart { service, why, reply } => {
                let now = self.clock.now();
                let _ = reply.send(self.conductor.restart(now, Target::Service(service), &why));
            }
            Errand::Probe { id, reply } => self.probe_once(&id, reply),
        }
    }

    fn instances_of(&self, service: &ServiceName) -> Vec<Instance> {
        let views = self.conductor.service(service).map(|view| view.instances).unwrap_or_default();
        let ip = |id: &InstanceId| {
            let address = self.addresses.address_of(id)?;
            address.parse::<IpAddr>().ok()
        };
        let only_port = |id: &InstanceId| {
            let ports = self.addresses.ports(id);
            if ports.len() == 1 { ports.into_values().next() } else { None }
        };
        let one = |view: &haus_watch::conductor::InstanceView| Instance {
            id: view.id.clone(),
            run: view.run,
            phase: view.phase,
            runs: view.pid.is_some(),
            why: view.why.clone(),
            address: ip(&view.id)
                .zip(self.addresses.port(&view.id, None).or_else(|| only_port(&view.id)))
                .map(|(ip, port)| SocketAddr::new(ip, port)),
        };
        views.into_iter().map(one).collect()
    }

    fn deliver(&mut self, delivery: Delivery, reply: oneshot::Sender<Result<(), DeliverError>>) {
        if !self.takes_deliver {
            let _ = reply.send(Err(DeliverError::OtherParent));
            return;
        }
        let Delivery { id, run, files, remove, signal } = delivery;
        let folder = self.places.credentials(&id);
        let spec = |(name, content)| FileSpec { path: folder.join(name), content, mode: 0o400, owned: true };
        let order = Order::Deliver {
            key: id.to_string(),
            run,
            files: files.into_iter().map(spec).collect(),
            remove: remove.iter().map(|name| folder.join(name)).collect(),
            signal,
        };
        match self.raise_fence().and_then(|()| self.sender.send(&order)) {
            Ok(()) => {
                self.delivering.waiting.entry((id.to_string(), run)).or_default().push_back(reply);
            }
            Err(error) => {
                let _ = reply.send(Err(DeliverError::Failed(crate::chain(&error))));
            }
        }
    }

    /// Sees to it that answers to orders of an earlier core can be told from those to ours.
    fn raise_fence(&mut self) -> Result<(), LinkError> {
        if self.delivering.fence != Fence::NotAskedFor {
            return Ok(());
        }
        self.sender.send(&Order::Deliver {
            key: FENCE.to_owned(),
            run: fence_run(),
            files: Vec::new(),
            remove: Vec::new(),
            signal: None,
        })?;
        self.delivering.fence = Fence::Awaited;
        Ok(())
    }

    /// The parent has answered a delivery.
    pub(super) fn delivered(&mut self, key: String, run: u64, outcome: Result<(), String>) {
        if let Some(reply) = self.delivering.answered(key, run) {
            let _ = reply.send(outcome.map_err(DeliverError::Failed));
        }
    }

    /// A run has ended: nothing is delivered to it any more.
    pub(super) fn end_deliveries(&mut self, key: &str, run: u64) {
        for reply in self.delivering.waiting.remove(&(key.to_owned(), run)).into_iter().flatten() {
            let _ = reply.send(Err(DeliverError::Failed(format!("{key} ended meanwhile"))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the answers (`KEY RUN`) found somebody who waits for run 3 of web/1, after these.
    #[track_caller]
    fn check(answers: &[(&str, u64)], expected: &[bool]) {
        let mut delivering = Delivering { fence: Fence::Awaited, ..Delivering::default() };
        let waiting = (0..2).map(|_| oneshot::channel().0).collect();
        delivering.waiting.insert(("web/1".to_owned(), 3), waiting);
        let found: Vec<bool> =
            answers.iter().map(|(key, run)| delivering.answered((*key).to_owned(), *run).is_some()).collect();
        assert_eq!(found, expected, "{answers:?}");
    }

    #[test]
    fn answers_to_an_earlier_core_find_nobody() {
        let fence = (FENCE, fence_run());
        check(&[("web/1", 3), ("web/1", 3), fence, ("web/1", 3)], &[false, false, false, true]);
        check(&[(FENCE, fence_run() + 1), ("web/1", 3)], &[false, false]);
    }

    #[test]
    fn answers_behind_the_fence_find_those_who_wait_in_their_order() {
        let fence = (FENCE, fence_run());
        check(&[fence, ("web/1", 2), ("web/2", 3), ("web/1", 3)], &[false, false, false, true]);
        check(&[fence, ("web/1", 3), ("web/1", 3), ("web/1", 3)], &[false, true, true, false]);
    }
}
