//! From nothing to a working core: read top to bottom.

use crate::access_log::AccessLog;
use crate::addresses::Addresses;
use crate::api_log::ApiLog;
use crate::clock::Clock;
use crate::desk::{Desk, DeskParts, PlanInForce};
use crate::engine::{Engine, Exit, Input, Parts};
use crate::journal::Journal;
use crate::listen::{Listeners, vacancy};
use crate::places::Places;
use crate::progress::{Observer, Progress};
use crate::vaulting::{KeyPlace, KeysError};
use crate::whereabouts::{PlacesError, Standpoint};
use crate::{announcing, beginning, errands, occupant, opening, plan};
use haus_api::Problem;
use haus_gateway::{AccessSink, Gateway, GatewayError, Handle, NoAccessLog};
use haus_model::house::House;
use haus_model::{InstanceId, StageName, Timestamp};
use haus_store::{EventKind, NewEvent, StoreError};
use haus_supervise::logfile::LogWriter;
use haus_supervise::{ChildState, CoreLink, CoreReceiver, CoreSender, LinkError, LogSpec, Order, Report};
use haus_watch::conductor::Conductor;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

const ACCESS_LOG_BYTES: u64 = 20 << 20;

const API_LOG_BYTES: u64 = 10 << 20;

/// Threads of one runtime for what may block.
const BLOCKING_THREADS_MAX: usize = 8;

/// What a core is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The plan file, or the folder with it.
    pub path: PathBuf,
    /// The stage.
    pub stage: StageName,
    /// Where in the plan this coordinator is.
    pub standpoint: Standpoint,
    /// The house's folders; they exist.
    pub places: Places,
    /// Where the key ring of the credentials is.
    pub keys: KeyPlace,
}

/// Why the core cannot run the house. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// Not started by a parent, or the parent has gone.
    #[error("cannot talk to the supervisor parent")]
    Link(#[from] LinkError),
    /// The plan on disk has errors.
    #[error("the plan {} has errors", path.display())]
    Plan {
        /// The plan.
        path: PathBuf,
    },
    /// The plan lacks the stage.
    #[error("the plan {} has no stage `{stage}`", path.display())]
    Stage {
        /// The plan.
        path: PathBuf,
        /// The stage.
        stage: StageName,
    },
    /// Where things run cannot be told.
    #[error("cannot tell where the services of the house are")]
    Places(#[from] PlacesError),
    /// The store refuses.
    #[error("cannot use the house's database")]
    Store(#[from] StoreError),
    /// The key ring of the credentials cannot be used.
    #[error("cannot open the vault")]
    Keys(#[from] KeysError),
    /// The credentials of the plan cannot be made or kept.
    #[error("cannot prepare the credentials: {}", problem.detail)]
    Credential {
        /// Why.
        problem: Box<Problem>,
    },
    /// The gateway's address is taken.
    #[error("cannot listen: {told}")]
    Occupied {
        /// Who has it.
        told: String,
    },
    /// The gateway cannot listen for another reason.
    #[error("the gateway cannot start")]
    Gateway(#[source] GatewayError),
    /// A socket of ours cannot be opened.
    #[error("cannot open the socket {}", path.display())]
    Socket {
        /// The socket or address.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something of the system is missing: threads, the disk.
    #[error("cannot {attempt}")]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl CoreError {
    /// What to do.
    pub fn remedy(&self) -> String {
        match self {
            CoreError::Link(_) => "start the house with `haus up DIR`".to_owned(),
            CoreError::Plan { path } => format!("see `haus check {}`", path.display()),
            CoreError::Stage { path, .. } => format!("choose a stage of {} with --stage", path.display()),
            CoreError::Places(error) => error.remedy(),
            CoreError::Store(_) => "free space, or see the folder named above".to_owned(),
            CoreError::Keys(error) => error.remedy(),
            CoreError::Credential { problem } => {
                problem.hint.clone().unwrap_or_else(|| "see the disk below the state folder".to_owned())
            }
            CoreError::Occupied { .. } => {
                "stop that process, or set gateway.listen to another port".to_owned()
            }
            CoreError::Gateway(_) => "set gateway.listen to an address and port of this machine".to_owned(),
            CoreError::Socket { .. } => {
                "see that its folder can be written and the path has fewer than 100 characters".to_owned()
            }
            CoreError::System { .. } => "see the limits of this account and the space on its disk".to_owned(),
        }
    }

    /// Exit code (DESIGN §5): 1 findings, 3 refused, 4 failed with nothing started.
    pub fn exit_code(&self) -> u8 {
        match self {
            CoreError::Plan { .. } => 1,
            CoreError::Stage { .. } | CoreError::Places(_) => 2,
            CoreError::Occupied { .. } => 3,
            CoreError::Link(_)
            | CoreError::Store(_)
            | CoreError::Keys(_)
            | CoreError::Credential { .. }
            | CoreError::Gateway(_)
            | CoreError::Socket { .. }
            | CoreError::System { .. } => 4,
        }
    }
}

/// What the parent says first.
struct Hello {
    version: String,
    parent_pid: u32,
    children: Vec<ChildState>,
    settled: Vec<String>,
    core_start: u32,
}

/// Runs the house until it has drained; returns the process's exit code.
///
/// # Errors
/// The house cannot be run; the parent was told and ends with [`CoreError::exit_code`].
pub fn run(options: &Options, observer: Box<dyn Observer>) -> Result<u8, CoreError> {
    let link = CoreLink::from_env()?.ok_or(LinkError::ParentGone)?;
    let (sender, receiver) = link.split()?;
    let mut receiver = receiver;
    let hello = wait_for_hello(&mut receiver)?;
    // Services may run: only the first core may refuse the house. A later one just ends, and the
    // parent tries again with growing pauses while they run on.
    let may_refuse = hello.core_start == 1;
    let outcome = try_run(options, observer, &sender, receiver, hello);
    match &outcome {
        Ok(Exit::Drained) => sender.send(&Order::Drained { exit_code: 0 })?,
        Err(error) if may_refuse => sender.send(&Order::Refused { exit_code: error.exit_code() })?,
        Ok(Exit::ParentGone | Exit::GatewayLost) | Err(_) => {}
    }
    match outcome? {
        Exit::Drained => Ok(0),
        Exit::ParentGone => Err(CoreError::Link(LinkError::ParentGone)),
        Exit::GatewayLost => Err(CoreError::System {
            attempt: "keep the gateway running",
            source: io::Error::other("its thread has ended"),
        }),
    }
}

fn try_run(
    options: &Options,
    mut observer: Box<dyn Observer>,
    sender: &CoreSender,
    receiver: CoreReceiver,
    hello: Hello,
) -> Result<Exit, CoreError> {
    let clock = Clock::start();
    raise_file_limit();
    let running = hello.children.iter().filter_map(|child| child.key.parse().ok()).collect();
    let came_back = hello.core_start > 1;
    let returned = if came_back { beginning::returning(options, &running, &clock) } else { None };
    let beginning = returned.map_or_else(|| beginning::fresh(options, &running), Ok)?;
    let accepted = beginning.accepted;
    let addresses = accepted.addresses();

    let (journal, journal_thread) = Journal::start(Arc::clone(&beginning.store))
        .map_err(|source| CoreError::System { attempt: "start the journal's thread", source })?;
    tell_beginning(&hello, &beginning.notes, &mut *observer, &journal, clock);

    let runtime = runtime("start the core's runtime")?;
    let (inputs, received) = mpsc::unbounded_channel();
    let (handle, address, gateway_drain) = start_gateway(&accepted.house, &options.places, inputs.clone())?;
    let desk = Arc::new(Desk::new(DeskParts {
        plan: PlanInForce { house: Arc::new(accepted.house.clone()), root: accepted.root.clone() },
        places: options.places.clone(),
        clock,
        store: beginning.store,
        ledger: beginning.ledger,
        keys: beginning.keys,
        revision: beginning.revision,
        gateway: handle,
        gateway_address: address,
        journal: journal.clone(),
        api_log: start_api_log(&options.places)?,
        inputs,
    }));
    announcing::restore(&desk);
    let opened = opening::open(&desk, &runtime, came_back)?;
    start_api(&desk, &accepted.house, &addresses)?;
    observer.tell(Progress::Listening { gateway: address, domain: accepted.house.domain.clone() });

    let empty = Conductor::new(seed(&clock), beginning.first_run, beginning.prepared);
    let conductor = fill(empty, &accepted.house, &addresses, &hello, &clock);
    for child in stray(&hello, &accepted.house) {
        sender.send(&Order::StopAsSpecified { key: child.key.clone() })?;
    }
    read_reports(receiver, desk.inputs.clone())?;
    let engine = Engine::new(Parts {
        path: options.path.clone(),
        standpoint: options.standpoint.clone(),
        desk: Arc::clone(&desk),
        accepted,
        first_prepare_run: beginning.first_prepare_run,
        sender: sender.clone(),
        gateway_drain,
        observer,
        conductor,
        parent_pid: hello.parent_pid,
        came_back,
        present: BTreeSet::new(),
        takes_deliver: haus_supervise::parent_takes_deliver(&hello.version),
    });
    start_errands(&desk)?;
    let exit = runtime.block_on(engine.run(received));
    opened.close(&desk, &runtime, exit.as_str());
    desk.api_log.close();
    journal.close();
    // The journal's thread gives up by itself when the disk refuses; a panic there loses events only.
    let _ = journal_thread.join();
    Ok(exit)
}

fn start_errands(desk: &Arc<Desk>) -> Result<(), CoreError> {
    errands::start(desk)
        .map_err(|source| CoreError::System { attempt: "start the thread of rotations and alerts", source })
}

fn wait_for_hello(receiver: &mut CoreReceiver) -> Result<Hello, CoreError> {
    loop {
        if let Report::Hello { version, parent_pid, children, settled, core_start, .. } = receiver.recv()? {
            return Ok(Hello { version, parent_pid, children, settled, core_start });
        }
    }
}

fn tell_beginning(
    hello: &Hello,
    notes: &[String],
    observer: &mut dyn Observer,
    journal: &Journal,
    clock: Clock,
) {
    let record = |kind, subject: &str, why: String| {
        journal.record(NewEvent::new(clock.wall(), kind, subject, why));
    };
    for note in notes {
        record(EventKind::House, "house", note.clone());
        observer.tell(Progress::Note(note.clone()));
    }
    // The parent says it to every core; only the first one makes it known.
    if hello.core_start == 1 && !hello.settled.is_empty() {
        hello.settled.iter().for_each(|line| record(EventKind::House, "house", format!("settled: {line}")));
        observer.tell(Progress::Settled { orphans: hello.settled.clone() });
    }
    if hello.core_start > 1 {
        let running = hello.children.len();
        record(EventKind::House, "house", format!("the core came back; {running} instances ran on"));
        observer.tell(Progress::Returned { running });
    } else {
        record(EventKind::House, "house", "the house starts".to_owned());
    }
}

/// The API's log has a thread of its own, so that a slow disk never delays an answer.
fn start_api_log(places: &Places) -> Result<ApiLog, CoreError> {
    std::fs::create_dir_all(places.logs())
        .map_err(|source| CoreError::System { attempt: "make the folder of the logs", source })?;
    let spec = LogSpec { path: places.api_log(), max_bytes: API_LOG_BYTES, keep: 3 };
    ApiLog::start(LogWriter::new(spec))
        .map_err(|source| CoreError::System { attempt: "start the API log's thread", source })
}

/// One thread, and few beside it for reads of the database: they take some ten microseconds each, so more
/// threads would only wait for each other.
fn runtime(attempt: &'static str) -> Result<Runtime, CoreError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let built = builder.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build();
    built.map_err(|source| CoreError::System { attempt, source })
}

/// The API has a thread and a runtime of its own, so that asking delays neither decisions nor requests.
fn start_api(desk: &Arc<Desk>, house: &House, addresses: &Addresses) -> Result<(), CoreError> {
    let runtime = runtime("start the API's runtime")?;
    let listeners = {
        let _inside = runtime.enter();
        Listeners::open(house, addresses, &desk.places)?
    };
    let desk = Arc::clone(desk);
    let serve = move || {
        runtime.block_on(async {
            desk.registrar.serve();
            tokio::spawn(crate::guard::upkeep(Arc::clone(&desk)));
            listeners.serve(&desk);
            announcing::start(&desk);
            std::future::pending::<()>().await;
        });
    };
    let thread = std::thread::Builder::new().name("api".to_owned()).spawn(serve);
    thread.map(drop).map_err(|source| CoreError::System { attempt: "start the API's thread", source })
}

/// The gateway has a thread and a runtime of its own, so that no decision delays a request.
fn start_gateway(
    house: &House,
    places: &Places,
    inputs: mpsc::UnboundedSender<Input>,
) -> Result<(Handle, SocketAddr, oneshot::Sender<Duration>), CoreError> {
    let listen = house.gateway.listen;
    let sink: Arc<dyn AccessSink> = if house.gateway.access_log {
        let spec = LogSpec { path: places.access_log(), max_bytes: ACCESS_LOG_BYTES, keep: 3 };
        std::fs::create_dir_all(places.logs())
            .map_err(|source| CoreError::System { attempt: "make the folder of the logs", source })?;
        let log = AccessLog::start(LogWriter::new(spec));
        Arc::new(
            log.map_err(|source| CoreError::System { attempt: "start the access log's thread", source })?,
        )
    } else {
        Arc::new(NoAccessLog)
    };
    let (bound, ready) = std::sync::mpsc::channel();
    let (drain, drained) = oneshot::channel();
    let runtime = runtime("start the gateway's runtime")?;
    let ended = TellEnd { inputs, aborted: 0 };
    let serve = move || {
        // The whole value moves in here, so that it is dropped when this thread ends, however it ends.
        let mut ended = ended;
        ended.aborted = runtime.block_on(async move {
            let gateway = match vacancy::once_free(listen, || Gateway::bind(listen), is_taken) {
                Ok(gateway) => gateway,
                Err(error) => {
                    // The starter waits for exactly this message.
                    let _ = bound.send(Err(error));
                    return 0;
                }
            };
            let _ = bound.send(Ok((gateway.handle(), gateway.local_addr())));
            // An engine that ends without draining drops its end: then nothing may be answered any more.
            let patience = async { drained.await.unwrap_or(Duration::ZERO) };
            gateway.serve(sink, patience).await.aborted
        });
    };
    std::thread::Builder::new()
        .name("gateway".to_owned())
        .spawn(serve)
        .map_err(|source| CoreError::System { attempt: "start the gateway's thread", source })?;
    match ready.recv() {
        Ok(Ok((handle, address))) => Ok((handle, address, drain)),
        Ok(Err(error)) if is_taken(&error) => Err(CoreError::Occupied { told: occupant::in_use(listen) }),
        Ok(Err(error)) => Err(CoreError::Gateway(error)),
        Err(_) => Err(CoreError::System {
            attempt: "start the gateway",
            source: io::Error::other("its thread ended"),
        }),
    }
}

fn is_taken(error: &GatewayError) -> bool {
    matches!(error, GatewayError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
}

/// Every visitor of the gateway may need two descriptors; the usual soft limit of 1,024 is for
/// programs that still use select(2).
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    // With the old limit the gateway takes fewer visitors, nothing else.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
}

/// Tells the engine that the gateway serves no more, however its thread ends.
struct TellEnd {
    inputs: mpsc::UnboundedSender<Input>,
    aborted: u64,
}

impl Drop for TellEnd {
    fn drop(&mut self) {
        // Nobody listens when the engine has ended first.
        let _ = self.inputs.send(Input::GatewayEnded { aborted: self.aborted });
    }
}

/// Only spreads probes and pauses; nothing secret depends on it.
fn seed(clock: &Clock) -> u64 {
    u64::from(std::process::id()) ^ u64::try_from(clock.wall().0).unwrap_or(0)
}

/// The conductor with everything that already runs, and what should run.
fn fill(
    mut conductor: Conductor,
    house: &House,
    addresses: &Addresses,
    hello: &Hello,
    clock: &Clock,
) -> Conductor {
    let now = clock.now();
    for child in &hello.children {
        let Ok(id) = child.key.parse::<InstanceId>() else { continue };
        if !house.services.contains_key(&id.service) {
            continue;
        }
        let started = i64::try_from(child.started_at_ms).unwrap_or(i64::MAX);
        let ago = clock.wall().since(Timestamp(started));
        let started = Timestamp(now.0 - i64::try_from(ago.as_millis()).unwrap_or(0));
        conductor.adopt(now, &id, child.run, &child.tag, started);
        if child.running {
            conductor.handle_spawned(now, &id, child.run, child.pid);
        }
    }
    conductor.set_desired(now, plan::desired(house, addresses, &BTreeSet::new()));
    conductor
}

/// Children that no plan asks for: steps of a preparation whose core is gone, removed services.
fn stray<'hello>(hello: &'hello Hello, house: &House) -> Vec<&'hello ChildState> {
    let known = |child: &&ChildState| {
        child.key.parse::<InstanceId>().is_ok_and(|id| house.services.contains_key(&id.service))
    };
    hello.children.iter().filter(|child| !known(child)).collect()
}

/// A thread turns the parent's blocking line into inputs.
fn read_reports(mut receiver: CoreReceiver, inputs: mpsc::UnboundedSender<Input>) -> Result<(), CoreError> {
    let read = move || {
        while let Ok(report) = receiver.recv() {
            if inputs.send(Input::Report(report)).is_err() {
                return;
            }
        }
        // Nobody listens when the engine has ended first.
        let _ = inputs.send(Input::ParentGone);
    };
    let thread = std::thread::Builder::new().name("reports".to_owned()).spawn(read);
    thread
        .map(drop)
        .map_err(|source| CoreError::System { attempt: "start the thread that hears the parent", source })
}
