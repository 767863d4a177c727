//! The engine: one task that owns the conductor and turns its decisions into registry entries and
//! into orders to the parent, probes, events and gateway snapshots.
//!
//! Everything reaches it as an [`Input`] over one channel, so nothing here needs a lock.

mod act;
mod arm;
mod ask;
mod deliver;
mod lacking;
mod ladder;
mod prepare;
mod probe;
mod register;
mod reload;
mod report;
mod units;
mod view;

pub(crate) use arm::{ENROLMENT_FILE, is_enrolled};
pub(crate) use deliver::{DeliverError, Delivery, Errand, Instance};

use crate::accepted::{self, Accepted};
use crate::addresses::Addresses;
use crate::clock::Clock;
use crate::desk::{Desk, PlanInForce};
use crate::journal::Journal;
use crate::places::Places;
use crate::plan;
use crate::ports::Numbers;
use crate::progress::{Count, Observer, Progress};
use crate::snapshot;
use crate::whereabouts::Standpoint;
use arm::{Armed, Arming};
use haus_api::Problem;
use haus_api::control::{Done, Reloaded, RestartRequest};
use haus_api::status::HouseStatus;
use haus_gateway::Handle;
use haus_model::health::ProbeOutcome;
use haus_model::house::House;
use haus_model::{InstanceId, ServiceName, Timestamp};
use haus_store::{EventKind, NewEvent, Store};
use haus_supervise::{CoreSender, Order, Report};
use haus_watch::conductor::Conductor;
use prepare::Preparing;
use reload::Reloading;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Probes over sockets at the same time: cheap, and a hanging one must not keep others waiting.
const PROBES_MAX: usize = 1_024;

/// Probes by command at the same time: each is a process.
const COMMAND_PROBES_MAX: usize = 16;

/// After a picture for the gateway that was made for announced instances, the engine does something else for
/// so many times as long, and for at least so long: they come by the thousand.
const PUBLISH_REST: u32 = 4;
const PUBLISH_REST_MIN: Duration = Duration::from_millis(20);

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
    /// The files of a start are there.
    Armed(Armed),
    /// What a service lacks for its starts has come (none), or is something else.
    Supplied(ServiceName, Option<String>),
    /// Instances that announced themselves came, went or changed.
    Announced,
    /// The vault is in step with the plan of a reload.
    Synced(Result<Vec<String>, Problem>),
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

impl Exit {
    /// In words, for the trail.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Exit::Drained => "every service has ended",
            Exit::ParentGone => "the parent is gone",
            Exit::GatewayLost => "the gateway's thread has failed",
        }
    }
}

/// What the API asks of the engine.
pub(crate) enum Ask {
    /// The state of everything.
    Status(oneshot::Sender<Arc<HouseStatus>>),
    /// Whether the engine works, and whether the house is going down.
    Alive(oneshot::Sender<bool>),
    /// The configuration of an instance with its variables filled in; none when its service has none.
    Config(InstanceId, oneshot::Sender<Result<Option<serde_json::Value>, Problem>>),
    /// Restart something.
    Restart(RestartRequest, oneshot::Sender<Result<Done, Problem>>),
    /// Read the plan again.
    Reload(oneshot::Sender<Result<Reloaded, Problem>>),
    /// Bring the house down.
    Down(oneshot::Sender<Done>),
    /// Something for a rotation.
    Errand(Errand),
}

/// What the engine is made with.
pub(crate) struct Parts {
    /// The plan file or folder, for reloads.
    pub path: PathBuf,
    /// Where in the plan this coordinator is.
    pub standpoint: Standpoint,
    /// What the use cases work with.
    pub desk: Arc<Desk>,
    /// What is to run.
    pub accepted: Accepted,
    /// The line to the parent.
    pub sender: CoreSender,
    /// Ends the gateway.
    pub gateway_drain: oneshot::Sender<Duration>,
    /// Who is told.
    pub observer: Box<dyn Observer>,
    /// The decisions.
    pub conductor: Conductor,
    /// First of the run numbers that prepare steps use.
    pub first_prepare_run: u64,
    /// The parent's process id.
    pub parent_pid: u32,
    /// An earlier core had this house up already.
    pub came_back: bool,
    /// External services that somebody can use, as the conductor was told.
    pub present: BTreeSet<ServiceName>,
    /// Whether the parent knows how to replace files of a running instance.
    pub takes_deliver: bool,
}

/// The engine.
pub(crate) struct Engine {
    path: PathBuf,
    standpoint: Standpoint,
    desk: Arc<Desk>,
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
    probes: Arc<Semaphore>,
    command_probes: Arc<Semaphore>,
    preparing: BTreeMap<u64, Preparing>,
    /// Starts that wait for their files.
    arming: BTreeSet<Arming>,
    /// Services whose starts wait for something, with the task that looks for it.
    lacking: BTreeMap<ServiceName, tokio::task::AbortHandle>,
    /// A reload that waits for the vault.
    reloading: Option<Box<Reloading>>,
    next_prepare_run: u64,
    parent_pid: u32,
    clock: Clock,
    own_user: String,
    told_up: bool,
    came_back: bool,
    takes_deliver: bool,
    delivering: deliver::Delivering,
    recovery: ladder::Recovery,
    draining: bool,
    /// The registry changed since the gateway saw it last.
    stale: bool,
    /// So did instances that announced themselves.
    stale_outside: bool,
    /// When the gateway is shown those next.
    rested_at: Timestamp,
    /// Services whose state as a whole may have changed since the directory was told.
    restanding: BTreeSet<ServiceName>,
    /// External services that somebody can use.
    present: BTreeSet<ServiceName>,
    /// The last status, for those who ask at the same time.
    shown: Option<(Timestamp, Arc<HouseStatus>)>,
    exit: Option<Exit>,
}

impl Engine {
    /// An engine that has not begun.
    pub(crate) fn new(parts: Parts) -> Engine {
        let recovery = ladder::Recovery::open(parts.desk.places.state());
        Engine {
            addresses: parts.accepted.addresses(),
            numbers: parts.accepted.numbers(),
            path: parts.path,
            standpoint: parts.standpoint,
            root: parts.accepted.root,
            house: parts.accepted.house,
            places: parts.desk.places.clone(),
            store: Arc::clone(&parts.desk.store),
            journal: parts.desk.journal.clone(),
            sender: parts.sender,
            gateway: parts.desk.gateway.clone(),
            gateway_drain: Some(parts.gateway_drain),
            gateway_address: parts.desk.gateway_address,
            observer: parts.observer,
            inputs: parts.desk.inputs.clone(),
            conductor: parts.conductor,
            probes: Arc::new(Semaphore::new(PROBES_MAX)),
            command_probes: Arc::new(Semaphore::new(COMMAND_PROBES_MAX)),
            preparing: BTreeMap::new(),
            arming: BTreeSet::new(),
            lacking: BTreeMap::new(),
            reloading: None,
            next_prepare_run: parts.first_prepare_run,
            parent_pid: parts.parent_pid,
            clock: parts.desk.clock,
            own_user: haus_supervise::account::own_user_name(),
            told_up: false,
            came_back: parts.came_back,
            takes_deliver: parts.takes_deliver,
            delivering: deliver::Delivering::default(),
            recovery,
            draining: false,
            stale: true,
            stale_outside: false,
            rested_at: Timestamp::default(),
            restanding: BTreeSet::new(),
            present: parts.present,
            shown: None,
            exit: None,
            desk: parts.desk,
        }
    }

    /// Works until the house has drained or nothing more can be done.
    pub(crate) async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) -> Exit {
        self.register_all();
        self.watch_all();
        self.settle();
        // The house answers from here on; how its services fare is told as the status.
        self.order(&Order::Ready);
        self.tell_budget();
        while self.exit.is_none() {
            let now = self.clock.now();
            let next = [
                self.conductor.poll_timeout(),
                self.desk.directory.lease_timeout(),
                self.stale_outside.then_some(self.rested_at),
                self.next_long_step(),
                self.next_good(),
            ];
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
            self.grow_ladder();
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
                self.desk.directory.note_probe(&id, &outcome);
                self.desk.meters.probed(outcome.ok, Duration::from_millis(outcome.took_ms));
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
            Input::Announced => self.stale_outside = true,
            Input::Armed(armed) => self.armed(armed),
            Input::Supplied(service, lack) => self.supplied(&service, lack),
            Input::Synced(outcome) => self.reload_synced(outcome),
        }
    }

    /// Carries out every decision, then shows the gateway the result.
    fn settle(&mut self) {
        // Announced instances come by the thousand: their changes are followed together, not one by one.
        if self.stale_outside && (self.stale || self.clock.now() >= self.rested_at) {
            self.follow_announced();
        }
        while let Some(action) = self.conductor.poll_action() {
            self.act(action);
        }
        if self.stale {
            self.publish();
        }
        self.tell_when_up();
    }

    fn publish(&mut self) {
        let begun = self.clock.now();
        self.stale = false;
        self.tell_standings();
        self.shown = None;
        let seen = self.seen();
        let snapshot = snapshot::build(&self.house, &self.root, &self.places, &self.addresses, &seen);
        if let Err(error) = self.gateway.set_snapshot(Arc::new(snapshot)) {
            self.note(EventKind::Gateway, "gateway", &format!("the old routes stay in force: {error}"));
        }
        let ended = self.clock.now();
        self.rested_at = ended.after((ended.since(begun) * PUBLISH_REST).max(PUBLISH_REST_MIN));
    }

    fn tell_when_up(&mut self) {
        if self.told_up || self.draining || !self.conductor.all_settled() {
            return;
        }
        self.told_up = true;
        let failed: Vec<(String, String)> = self
            .counted()
            .filter(|service| !service.ready)
            .map(|service| (service.name.to_string(), self.why(&service)))
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
        for service in self.counted() {
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
        let in_force = PlanInForce { house: Arc::new(self.house.clone()), root: self.root.clone() };
        self.desk.plan.store(Arc::new(in_force));
        self.tell_budget();
        let now = self.clock.now();
        self.conductor.set_desired(now, plan::desired(&self.house, &self.addresses, &self.present));
        self.register_all();
        self.watch_all();
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
