//! The engine: one task that owns the conductor and the registry and turns their decisions
//! into orders to the parent, probes, events and gateway snapshots.
//!
//! Everything reaches it as an [`Input`] over one channel, so nothing here needs a lock.

mod act;
mod ask;
mod prepare;
mod probe;
mod register;
mod report;
mod view;

use crate::accepted::{self, Accepted};
use crate::addresses::Addresses;
use crate::clock::Clock;
use crate::journal::Journal;
use crate::places::Places;
use crate::plan;
use crate::ports::Numbers;
use crate::progress::{Count, Observer, Progress};
use crate::snapshot::{self, Seen};
use haus_api::Problem;
use haus_api::control::{Done, Reloaded, RestartRequest};
use haus_api::status::HouseStatus;
use haus_gateway::Handle;
use haus_model::health::{HealthState, ProbeOutcome};
use haus_model::house::House;
use haus_model::{InstanceId, ServiceName};
use haus_store::{EventKind, NewEvent, Store};
use haus_supervise::{CoreSender, Order, Report};
use haus_watch::conductor::Conductor;
use haus_watch::registry::Registry;
use prepare::Preparing;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Probes over sockets at the same time: cheap, and a hanging one must not keep others waiting.
const PROBES_MAX: usize = 1_024;

/// Probes by command at the same time: each is a process.
const COMMAND_PROBES_MAX: usize = 16;

/// How long requests may take after the gateway has stopped accepting.
const GATEWAY_DRAIN: Duration = Duration::from_secs(10);

/// Everything that can happen to the engine.
pub(crate) enum Input {
    /// The parent reports.
    Report(Report),
    /// The parent is gone: nothing can be ordered any more.
    ParentGone,
    /// A probe has ended.
    Probed {
        /// The instance.
        id: InstanceId,
        /// Its run.
        run: u64,
        /// What was seen.
        outcome: ProbeOutcome,
    },
    /// The gateway serves no more: it has drained, or its thread has failed.
    GatewayEnded {
        /// Requests that were cut off.
        aborted: u64,
    },
    /// The API asks.
    Ask(Ask),
}

/// Why the engine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything has ended in order.
    Drained,
    /// There is no parent to order anything from.
    ParentGone,
    /// The gateway's thread has failed; a fresh core starts it anew.
    GatewayLost,
}

/// What the API asks of the engine.
pub(crate) enum Ask {
    /// The state of everything.
    Status(oneshot::Sender<HouseStatus>),
    /// Restart something.
    Restart(RestartRequest, oneshot::Sender<Result<Done, Problem>>),
    /// Read the plan again.
    Reload(oneshot::Sender<Result<Reloaded, Problem>>),
    /// Bring the house down.
    Down(oneshot::Sender<Done>),
}

/// What the engine is made with.
pub(crate) struct Parts {
    /// The plan file or folder, for reloads.
    pub path: PathBuf,
    /// What is to run.
    pub accepted: Accepted,
    /// The house's folders.
    pub places: Places,
    /// The memory.
    pub store: Arc<dyn Store>,
    /// Where events go.
    pub journal: Journal,
    /// The line to the parent.
    pub sender: CoreSender,
    /// The gateway's handle.
    pub gateway: Handle,
    /// Ends the gateway.
    pub gateway_drain: oneshot::Sender<Duration>,
    /// Where the gateway listens.
    pub gateway_address: std::net::SocketAddr,
    /// Who is told.
    pub observer: Box<dyn Observer>,
    /// The channel's own end, for probes.
    pub inputs: mpsc::UnboundedSender<Input>,
    /// The decisions.
    pub conductor: Conductor,
    /// The registry.
    pub registry: Registry,
    /// First of the run numbers that prepare steps use.
    pub first_prepare_run: u64,
    /// The parent's process id.
    pub parent_pid: u32,
    /// The clock.
    pub clock: Clock,
    /// An earlier core had this house up already.
    pub came_back: bool,
}

/// The engine.
pub(crate) struct Engine {
    path: PathBuf,
    root: PathBuf,
    house: House,
    places: Places,
    addresses: Addresses,
    /// The numbers of `auto` ports that the house works with.
    numbers: Numbers,
    store: Arc<dyn Store>,
    journal: Journal,
    sender: CoreSender,
    gateway: Handle,
    gateway_drain: Option<oneshot::Sender<Duration>>,
    gateway_address: std::net::SocketAddr,
    observer: Box<dyn Observer>,
    inputs: mpsc::UnboundedSender<Input>,
    conductor: Conductor,
    registry: Registry,
    probes: Arc<Semaphore>,
    command_probes: Arc<Semaphore>,
    preparing: BTreeMap<u64, Preparing>,
    next_prepare_run: u64,
    parent_pid: u32,
    clock: Clock,
    own_user: String,
    told_up: bool,
    came_back: bool,
    draining: bool,
    /// The registry changed since the gateway saw it last.
    stale: bool,
    exit: Option<Exit>,
}

impl Engine {
    /// An engine that has not begun.
    pub(crate) fn new(parts: Parts) -> Engine {
        Engine {
            addresses: parts.accepted.addresses(),
            numbers: parts.accepted.numbers(),
            path: parts.path,
            root: parts.accepted.root,
            house: parts.accepted.house,
            places: parts.places,
            store: parts.store,
            journal: parts.journal,
            sender: parts.sender,
            gateway: parts.gateway,
            gateway_drain: Some(parts.gateway_drain),
            gateway_address: parts.gateway_address,
            observer: parts.observer,
            inputs: parts.inputs,
            conductor: parts.conductor,
            registry: parts.registry,
            probes: Arc::new(Semaphore::new(PROBES_MAX)),
            command_probes: Arc::new(Semaphore::new(COMMAND_PROBES_MAX)),
            preparing: BTreeMap::new(),
            next_prepare_run: parts.first_prepare_run,
            parent_pid: parts.parent_pid,
            clock: parts.clock,
            own_user: haus_supervise::account::own_user_name(),
            told_up: false,
            came_back: parts.came_back,
            draining: false,
            stale: true,
            exit: None,
        }
    }

    /// Works until the house has drained or nothing more can be done.
    pub(crate) async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) -> Exit {
        self.register_all();
        self.settle();
        // The house answers from here on; how its services fare is told as the status.
        self.order(&Order::Ready);
        self.tell_budget();
        while self.exit.is_none() {
            let now = self.clock.now();
            let next = [self.conductor.poll_timeout(), self.registry.poll_timeout(), self.next_long_step()];
            let next = next.into_iter().flatten().min();
            let pause = next.map(|at| at.since(now));
            tokio::select! {
                input = inputs.recv() => {
                    // The engine holds a sender itself, so the channel never closes.
                    if let Some(input) = input {
                        self.handle(input);
                    }
                    // One snapshot and one round of decisions for everything that waits.
                    while let Ok(input) = inputs.try_recv() {
                        self.handle(input);
                    }
                }
                () = sleep(pause) => {}
            }
            let now = self.clock.now();
            self.conductor.handle_timeout(now);
            self.expire(now);
            self.end_long_steps(now);
            self.settle();
        }
        self.exit.unwrap_or(Exit::Drained)
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Report(report) => self.handle_report(report),
            Input::ParentGone => {
                // The parent of the next `up` settles what runs; without one we can do nothing.
                self.exit = Some(Exit::ParentGone);
            }
            Input::Probed { id, run, outcome } => {
                let now = self.clock.now();
                self.conductor.handle_probe(now, &id, run, &outcome);
                if outcome.ok {
                    self.renew(now, &id, run);
                }
            }
            Input::GatewayEnded { aborted: _ } if !self.draining => self.exit = Some(Exit::GatewayLost),
            Input::GatewayEnded { aborted } => {
                if aborted > 0 {
                    let told = format!("{aborted} requests were cut off after {} s", GATEWAY_DRAIN.as_secs());
                    self.note(EventKind::Gateway, "gateway", &told);
                }
                let now = self.clock.now();
                self.conductor.drain(now, "the house goes down");
            }
            Input::Ask(ask) => self.handle_ask(ask),
        }
    }

    /// Carries out every decision, then shows the gateway the result.
    fn settle(&mut self) {
        while let Some(action) = self.conductor.poll_action() {
            self.act(action);
        }
        if std::mem::take(&mut self.stale) {
            self.publish();
        }
        self.tell_when_up();
    }

    fn publish(&mut self) {
        let mut seen: BTreeMap<ServiceName, Vec<Seen>> = BTreeMap::new();
        for view in self.conductor.instances() {
            let entry = self.registry.get(&view.id);
            let state = entry.map_or(HealthState::Offline, |entry| entry.state);
            let why = match entry {
                Some(_) => format!("{}, {}", view.phase, view.why),
                None => format!("{}, but no good probe for a long time", view.phase),
            };
            let one = Seen { id: view.id.clone(), run: view.run, state, why };
            seen.entry(view.id.service.clone()).or_default().push(one);
        }
        let snapshot = snapshot::build(&self.house, &self.root, &self.places, &self.addresses, &seen);
        if let Err(error) = self.gateway.set_snapshot(Arc::new(snapshot)) {
            self.note(EventKind::Gateway, "gateway", &format!("the old routes stay in force: {error}"));
        }
    }

    fn tell_when_up(&mut self) {
        if self.told_up || self.draining || !self.conductor.all_settled() {
            return;
        }
        self.told_up = true;
        let failed: Vec<(String, String)> = self
            .conductor
            .services()
            .filter(|service| !service.ready)
            .map(|service| (service.name.to_string(), service.why))
            .collect();
        let count = self.count();
        let took_ms = u64::try_from(self.clock.running_for().as_millis()).unwrap_or(u64::MAX);
        let why = format!("{}/{} services are ready", count.ready, count.total);
        self.event(NewEvent::new(self.clock.wall(), EventKind::House, "house", why).change("starting", "up"));
        let urls = self.first_urls();
        self.order(&Order::Status { text: format!("{}/{} services are ready", count.ready, count.total) });
        // People have seen the list; after a crash of the core only what is not well is news.
        if !self.came_back || !failed.is_empty() {
            self.observer.tell(Progress::Up { count, took_ms, failed, urls });
        }
    }

    fn count(&self) -> Count {
        let mut count = Count::default();
        for service in self.conductor.services() {
            count.total += 1;
            if service.ready {
                count.ready += 1;
            } else {
                count.waiting.push(service.name.to_string());
            }
        }
        count
    }

    /// Begins to drain; later calls change nothing.
    fn drain(&mut self, why: &str) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        self.observer.tell(Progress::Draining { why: why.to_owned() });
        self.event(NewEvent::new(self.clock.wall(), EventKind::House, "house", why).change("up", "draining"));
        if let Some(drain) = self.gateway_drain.take() {
            // A gateway that has already ended cannot be told; its end reaches us as an input.
            let _ = drain.send(GATEWAY_DRAIN);
        }
    }

    /// Takes a plan over: keeps it, resolves its ports, tells the conductor.
    fn take_over(&mut self, accepted: Accepted) -> Result<(), Problem> {
        accepted::keep(&self.places.accepted_plan(), &accepted)
            .map_err(|error| ask::internal("keep the plan", &error))?;
        self.addresses = accepted.addresses();
        self.numbers = accepted.numbers();
        self.root = accepted.root;
        self.house = accepted.house;
        self.tell_budget();
        let now = self.clock.now();
        self.conductor.set_desired(now, plan::desired(&self.house, &self.addresses));
        self.register_all();
        self.stale = true;
        Ok(())
    }

    fn drain_within_ms(&self) -> u64 {
        u64::try_from(plan::drain_budget(&self.house, GATEWAY_DRAIN).as_millis()).unwrap_or(u64::MAX)
    }

    /// The parent ends a drain that takes longer than the plan's own patience.
    fn tell_budget(&self) {
        self.order(&Order::DrainBudget { within_ms: self.drain_within_ms() });
    }

    /// Tells a person and the journal.
    fn note(&mut self, kind: EventKind, subject: &str, text: &str) {
        self.event(NewEvent::new(self.clock.wall(), kind, subject, text));
        self.observer.tell(Progress::Note(format!("{subject}: {text}")));
    }

    fn event(&self, event: NewEvent) {
        self.journal.record(event);
    }

    /// Sends an order; a parent that is gone shows as [`Input::ParentGone`] soon after.
    fn order(&self, order: &Order) {
        let _ = self.sender.send(order);
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
