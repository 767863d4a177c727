//! What use cases work with: one desk per core, shared by the API's thread, the engine and the tasks beside
//! them.
//!
//! It only holds; each part has its own lock and its own file.

use crate::alarms::Alarms;
use crate::api_log::ApiLog;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::engine::Input;
use crate::guard::Guard;
use crate::journal::Journal;
use crate::meters::Meters;
use crate::places::Places;
use crate::registrar::Registrar;
use crate::rotating::Rotating;
use crate::trial::Trial;
use crate::vaulting::{Keys, Vaulting};
use arc_swap::ArcSwap;
use haus_model::house::House;
use haus_store::{EventKind, Ledger, NewEvent, Store};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// The desk.
pub(crate) struct Desk {
    /// The plan in force and the folder that it was read from; the engine replaces them on a reload.
    pub plan: ArcSwap<PlanInForce>,
    /// The house's folders.
    pub places: Places,
    /// The clock.
    pub clock: Clock,
    /// The memory of events and numbers.
    pub store: Arc<dyn Store>,
    /// The memory of what must not be lost or forged.
    pub ledger: Arc<dyn Ledger>,
    /// Number of the last kept event.
    pub kept: watch::Receiver<u64>,
    /// Writes to the ledger, in time or not at all.
    pub registrar: Registrar,
    /// Credentials.
    pub vaulting: Vaulting,
    /// Tokens.
    pub guard: Guard,
    /// Who is where.
    pub directory: Directory,
    /// Whether the database works.
    pub trial: Trial,
    /// Rotations.
    pub rotating: Rotating,
    /// Alerts.
    pub alarms: Alarms,
    /// The gateway.
    pub gateway: haus_gateway::Handle,
    /// Where the gateway listens.
    pub gateway_address: std::net::SocketAddr,
    /// Where events go.
    pub journal: Journal,
    /// What is counted.
    pub meters: Meters,
    /// Where requests are written down.
    pub api_log: ApiLog,
    /// To the engine.
    pub inputs: mpsc::UnboundedSender<Input>,
}

/// What a desk is made with.
pub(crate) struct DeskParts {
    /// The plan in force.
    pub plan: PlanInForce,
    /// The house's folders.
    pub places: Places,
    /// The clock.
    pub clock: Clock,
    /// The memory of events and numbers.
    pub store: Arc<dyn Store>,
    /// The memory of what must not be lost or forged.
    pub ledger: Arc<dyn Ledger>,
    /// The key ring of the credentials.
    pub keys: Keys,
    /// Last revision of the registry that anybody may have seen.
    pub revision: u64,
    /// The gateway.
    pub gateway: haus_gateway::Handle,
    /// Where the gateway listens.
    pub gateway_address: std::net::SocketAddr,
    /// Where events go.
    pub journal: Journal,
    /// Where requests are written down.
    pub api_log: ApiLog,
    /// To the engine.
    pub inputs: mpsc::UnboundedSender<Input>,
}

/// A plan and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct PlanInForce {
    /// The house.
    pub house: Arc<House>,
    /// The folder of its plan, absolute.
    pub root: PathBuf,
}

/// What bringing credentials in step needs of a desk: there is one also where no house runs.
pub(crate) struct Bench<'a> {
    /// The clock.
    pub clock: Clock,
    /// Writes to the ledger.
    pub registrar: &'a Registrar,
    /// Where events go.
    pub journal: &'a Journal,
    /// Folder in which an earlier version kept values.
    pub left_behind: PathBuf,
}

impl Bench<'_> {
    /// Tells the journal something about the house as a whole.
    pub(crate) fn note(&self, text: &str) {
        self.journal.record(NewEvent::new(self.clock.wall(), EventKind::House, "house", text));
    }
}

impl Desk {
    /// What of it the vault works with.
    pub(crate) fn bench(&self) -> Bench<'_> {
        Bench {
            clock: self.clock,
            registrar: &self.registrar,
            journal: &self.journal,
            left_behind: self.places.vault_folder(),
        }
    }

    /// A desk on which nothing has happened yet.
    pub(crate) fn new(parts: DeskParts) -> Desk {
        let registrar = Registrar::new(Arc::clone(&parts.ledger), parts.clock);
        let name = parts.plan.house.name.clone();
        Desk {
            vaulting: Vaulting::new(name, parts.keys, Arc::clone(&parts.ledger), &registrar),
            directory: Directory::new(parts.revision, parts.clock, parts.inputs.clone()),
            plan: ArcSwap::from_pointee(parts.plan),
            places: parts.places,
            clock: parts.clock,
            store: parts.store,
            ledger: parts.ledger,
            kept: parts.journal.kept(),
            registrar,
            guard: Guard::default(),
            trial: Trial::default(),
            rotating: Rotating::default(),
            alarms: Alarms::default(),
            gateway: parts.gateway,
            gateway_address: parts.gateway_address,
            journal: parts.journal,
            meters: Meters::default(),
            api_log: parts.api_log,
            inputs: parts.inputs,
        }
    }

    /// Tells the journal something about the house as a whole.
    pub(crate) fn note(&self, text: &str) {
        self.bench().note(text);
    }

    /// The plan in force.
    pub(crate) fn house(&self) -> Arc<House> {
        Arc::clone(&self.plan.load().house)
    }
}
