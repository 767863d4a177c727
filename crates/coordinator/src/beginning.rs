//! What a core begins with: a fresh start, where everything must work or nothing is started,
//! and the return after a crash, where nothing may fail that services could live without.

use crate::accepted::{self, Accepted};
use crate::clock::Clock;
use crate::fingerprint;
use crate::places::Places;
use crate::ports::{Held, Numbers};
use crate::start::{CoreError, Options};
use crate::vaulting::{Keys, KeysError, choose};
use crate::{chain, ports};
use haus_houseplan::DiskFiles;
use haus_model::house::House;
use haus_model::{InstanceId, ServiceName};
use haus_store::{ClosedLedger, Ledger, MemoryStore, Retention, SqliteStore, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Run numbers that one core may use before it asks for more at its next start.
const RUNS_RESERVED: u32 = 1 << 24;

/// Registry revisions that one core may use.
const REVISIONS_RESERVED: u64 = 1 << 32;

const REVISION_SETTING: &str = "registry-revision";
const EVENT_ROWS_MAX: u64 = 200_000;

/// What a core begins with.
pub(crate) struct Beginning {
    /// What is to run.
    pub accepted: Accepted,
    /// The memory.
    pub store: Arc<dyn Store>,
    /// The memory of what must not be lost or forged.
    pub ledger: Arc<dyn Ledger>,
    /// What is prepared already.
    pub prepared: BTreeMap<ServiceName, String>,
    /// First run number of instances.
    pub first_run: u64,
    /// First run number of prepare steps.
    pub first_prepare_run: u64,
    /// Last revision of the registry that anybody may have seen.
    pub revision: u64,
    /// The key ring of the credentials.
    pub keys: Keys,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Reads the plan from disk and sets everything up. `running` instances hold their own ports.
///
/// # Errors
/// The first thing that does not work; nothing was started.
pub(crate) fn fresh(options: &Options, running: &BTreeSet<InstanceId>) -> Result<Beginning, CoreError> {
    let (root, mut house) = read_plan(options)?;
    let looked = options.standpoint.look(&mut house)?;
    let forget = accepted::forget(&options.places.accepted_plan());
    forget.map_err(|source| CoreError::System { attempt: "forget the plan of an earlier run", source })?;
    let sqlite = Arc::new(SqliteStore::open(&options.places.database())?);
    let ledger: Arc<dyn Ledger> = Arc::clone(&sqlite) as Arc<dyn Ledger>;
    let store: Arc<dyn Store> = sqlite;
    forget_gone(&house, &options.places, &*store)?;
    let held = Held { running, elsewhere: &looked.whereabouts.ports_here() };
    let chosen = ports::choose(&house, &*store, &Numbers::new(), held)?;
    let keys = open_keys(options, &*ledger)?;
    let accepted = Accepted::new(root, house, looked.whereabouts, &chosen.auto);
    accepted::keep(&options.places.accepted_plan(), &accepted)
        .map_err(|source| CoreError::System { attempt: "keep the plan in the state folder", source })?;
    store.prune_events(Retention { rows_max: Some(EVENT_ROWS_MAX), before: None })?;
    Ok(Beginning {
        accepted,
        prepared: store.prepared()?,
        first_run: store.next_run(RUNS_RESERVED)?,
        first_prepare_run: store.next_run(RUNS_RESERVED)?,
        revision: reserve_revisions(&*store)?,
        store,
        ledger,
        notes: keys.warnings().iter().cloned().chain(looked.notes).chain(chosen.notes).collect(),
        keys,
    })
}

/// Opens the key ring that belongs to the database.
fn open_keys(options: &Options, ledger: &dyn Ledger) -> Result<Keys, KeysError> {
    let custody = choose(&options.keys, options.places.key_ring())?;
    Keys::open(custody, ledger, &options.places.database())
}

/// Frees the ports of services that are neither in the plan nor have data: their numbers and
/// prepare marks stay as long as their data does, so that they can come back as they were.
fn forget_gone(house: &House, places: &Places, store: &dyn Store) -> Result<(), StoreError> {
    let known: BTreeSet<ServiceName> = store.ports()?.into_keys().map(|key| key.service).collect();
    let is_gone = |name: &&ServiceName| !house.services.contains_key(*name) && !places.data_of(name).exists();
    known.iter().filter(is_gone).try_for_each(|name| store.forget_service(name))
}

fn read_plan(options: &Options) -> Result<(std::path::PathBuf, House), CoreError> {
    let loaded = haus_houseplan::load(&options.path, &DiskFiles);
    let path = options.path.clone();
    let Some(mut plan) = loaded.plan else { return Err(CoreError::Plan { path }) };
    let house = plan.stages.remove(&options.stage);
    let house = house.ok_or_else(|| CoreError::Stage { path, stage: options.stage.clone() })?;
    let root = std::path::absolute(&loaded.root)
        .map_err(|source| CoreError::System { attempt: "find the plan's folder", source })?;
    Ok((root, house))
}

/// Goes on with the plan that was accepted last; none when that cannot be read.
///
/// A full disk or a damaged database must not end services that run: what cannot be read or
/// written is replaced for the life of this core, and said.
pub(crate) fn returning(
    options: &Options,
    running: &BTreeSet<InstanceId>,
    clock: &Clock,
) -> Option<Beginning> {
    let accepted = accepted::read(&options.places.accepted_plan())?;
    if (&accepted.house.stage, &accepted.whereabouts.host) != (&options.stage, &options.standpoint.host) {
        return None;
    }
    let mut beginning = Beginning {
        prepared: surely_prepared(&accepted.house, running),
        accepted,
        store: Arc::new(MemoryStore::new()),
        ledger: Arc::new(ClosedLedger::new("the database was not opened yet")),
        first_run: from_clock(clock, 0),
        first_prepare_run: from_clock(clock, 1),
        revision: from_clock(clock, 0),
        keys: Keys::closed("the database was not opened yet".to_owned()),
        notes: Vec::new(),
    };
    match SqliteStore::open(&options.places.database()) {
        Ok(store) => {
            let sqlite = Arc::new(store);
            beginning.ledger = Arc::clone(&sqlite) as Arc<dyn Ledger>;
            beginning.store = sqlite;
            if let Err(error) = beginning.take_numbers() {
                beginning.notes.push(format!("numbers are taken from the clock: {}", chain(&error)));
            }
            match open_keys(options, &*beginning.ledger) {
                Ok(keys) => beginning.keys = keys,
                // What runs has its credentials; what starts anew cannot have them until this is mended.
                Err(error) => {
                    let why = chain(&error);
                    beginning.notes.push(format!("credentials stay closed: {why}; {}", error.remedy()));
                    beginning.keys = Keys::closed(why);
                }
            }
        }
        Err(error) => {
            let why = format!("events are kept in memory only, until the next `haus up`: {}", chain(&error));
            beginning.store = Arc::new(MemoryStore::standing_in(why.clone()));
            beginning.ledger = Arc::new(ClosedLedger::new(why.clone()));
            beginning.keys = Keys::closed(why.clone());
            beginning.notes.push(why);
        }
    }
    Some(beginning)
}

impl Beginning {
    /// What the store can still give replaces what was assumed.
    fn take_numbers(&mut self) -> Result<(), StoreError> {
        self.prepared = self.store.prepared()?;
        self.first_run = self.store.next_run(RUNS_RESERVED)?;
        self.first_prepare_run = self.store.next_run(RUNS_RESERVED)?;
        self.revision = reserve_revisions(&*self.store)?;
        Ok(())
    }
}

/// Services with a living process were prepared before it. Of others nothing is certain.
fn surely_prepared(house: &House, running: &BTreeSet<InstanceId>) -> BTreeMap<ServiceName, String> {
    let lives = |name: &ServiceName| running.iter().any(|id| id.service == *name);
    let services = house.services.values().filter(|service| lives(&service.name));
    services
        .filter_map(|service| Some((service.name.clone(), fingerprint::prepare_fingerprint(service)?)))
        .collect()
}

/// A number from the wall clock: larger than any that was ever counted, and still exact in
/// JSON readers that know 53 bits only.
fn from_clock(clock: &Clock, part: u64) -> u64 {
    u64::try_from(clock.wall().0).unwrap_or(0) * 1_024 + part * 512
}

fn reserve_revisions(store: &dyn Store) -> Result<u64, StoreError> {
    let last = store.setting(REVISION_SETTING)?.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    store.set_setting(REVISION_SETTING, &(last + REVISIONS_RESERVED).to_string())?;
    Ok(last)
}
