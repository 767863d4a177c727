//! What a core does with the ledger before the house begins, beside it, and after it has ended: the vault
//! follows the plan, the trail tells of the start and the end, its anchor is held against it and kept, old
//! rows go.
//!
//! Threat: a database that somebody changed or put back while no core looked. The anchor of the run before
//! tells; it is kept as evidence, and said in the terminal, in the events and in the trail itself.

use crate::anchor::{Former, Keeper, Pulse};
use crate::api::Caller;
use crate::desk::Desk;
use crate::start::CoreError;
use haus_model::Timestamp;
use haus_store::Batch;
use haus_trail::{Action, Outcome};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often old rows are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How soon after the start: services come first.
const SWEEP_FIRST: Duration = Duration::from_secs(60);

/// How long the last entry may take.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What is to be done at the end.
pub(crate) struct Opened {
    anchor: Option<JoinHandle<()>>,
    pulse: Arc<Pulse>,
}

/// Makes the ledger ready. A first core refuses the house when its credentials cannot be had; one that came
/// back after a crash says so and goes on, for the sake of what runs.
///
/// # Errors
/// Why the house cannot begin.
pub(crate) fn open(desk: &Arc<Desk>, runtime: &Runtime, came_back: bool) -> Result<Opened, CoreError> {
    let keeper = keeper(desk);
    let former = keeper.compare();
    let plan = desk.plan.load_full();
    let synced = runtime.block_on(desk.vaulting.sync_plan(desk, &plan.house, &plan.root));
    match synced {
        Ok(_) => {}
        Err(problem) if came_back => {
            desk.note(&format!("credentials may be older than the plan: {}", problem.detail));
        }
        Err(problem) => return Err(CoreError::Credential { problem: Box::new(problem) }),
    }
    runtime.block_on(tell_start(desk, came_back, &keeper, former));
    let pulse = desk.registrar.pulse();
    let anchor = keeper.start(Arc::clone(&pulse)).map_err(|source| CoreError::System {
        attempt: "start the thread that keeps the trail's anchor",
        source,
    })?;
    let resumed = Arc::clone(desk);
    runtime.spawn(async move {
        // Only a rotation that was cut off leaves something to do.
        if let Err(problem) = resumed.vaulting.rewrap(&resumed, &Caller::house("start")).await {
            resumed.note(&format!("the rotation of the key ring was not finished: {}", problem.detail));
        }
    });
    runtime.spawn(sweep(Arc::clone(desk)));
    Ok(Opened { anchor: Some(anchor), pulse })
}

impl Opened {
    /// The last entry and the last anchor.
    pub(crate) fn close(mut self, desk: &Desk, runtime: &Runtime, why: &str) {
        let entry = desk.registrar.entry(&Caller::house("end"), Action::HouseEnd, "house", Outcome::Allowed);
        let batch = Batch::entry(entry.because(why));
        // A disk that refuses has been told often enough by now.
        let _ = runtime.block_on(desk.registrar.commit_within(batch, LAST_WORDS));
        // Folds the log into the database, so that what was wiped does not stand in older copies of pages.
        let now = desk.clock.wall();
        if let Err(error) = desk.ledger.sweep(now, before(now, desk.house().api.history_days)) {
            desk.note(&format!("the log of the database was not emptied: {}", crate::chain(&error)));
        }
        self.pulse.close();
        if let Some(anchor) = self.anchor.take() {
            // A panic there loses the last anchor only; the one before stays.
            let _ = anchor.join();
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.pulse.close();
    }
}

/// What keeps the anchor of this house.
pub(crate) fn keeper(desk: &Arc<Desk>) -> Keeper {
    let (ring, told) = (Arc::clone(desk), Arc::clone(desk));
    Keeper {
        house: desk.house().name.clone(),
        path: desk.places.trail_anchor(),
        ledger: Arc::clone(&desk.ledger),
        ring: Box::new(move || ring.vaulting.keys().ring().ok()),
        clock: desk.clock,
        tell: Box::new(move |text| told.note(&text)),
    }
}

/// The entry of the start, with what the anchor of the run before says.
async fn tell_start(desk: &Desk, came_back: bool, keeper: &Keeper, former: Former) {
    let what = if came_back { "the core came back" } else { "the house starts" };
    let entry = desk.registrar.entry(&Caller::house("start"), Action::HouseStart, "house", Outcome::Allowed);
    let mut entry = entry.because(what).detail("version", env!("CARGO_PKG_VERSION"));
    let ring = desk.vaulting.keys().ring().ok();
    if let Some(key) = ring.and_then(|ring| crate::anchor::public_key(&ring)) {
        entry = entry.detail("anchor_key", key);
    }
    match former {
        Former::None | Former::Met => {}
        Former::Broken(why) => {
            let aside = match keeper.set_aside() {
                Ok(path) => format!("kept as {}", path.display()),
                Err(error) => format!("could not be set aside: {error}"),
            };
            let told = format!("the audit trail does not fit its anchor: {why}; the anchor is {aside}");
            desk.note(&told);
            let level = haus_model::alert::AlertLevel::Critical;
            desk.alarms.raise(desk.clock.wall(), "@house", haus_watch::alert::TRAIL_BROKEN, level, &told);
            entry = entry.detail("anchor", told);
        }
    }
    if let Err(problem) = desk.registrar.commit(Batch::entry(entry)).await {
        desk.note(&format!("the start is not in the audit trail: {}", problem.detail));
    }
}

/// Forgets what has had its time: old history, ended sessions, and the old end of the trail where the plan
/// says so.
async fn sweep(desk: Arc<Desk>) {
    let mut pause = SWEEP_FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = SWEEP_EVERY;
        let (now, api) = (desk.clock.wall(), desk.house().api);
        let history = before(now, api.history_days);
        let swept = desk.registrar.read(move |ledger| ledger.sweep(now, history)).await;
        if let Err(problem) = swept {
            desk.note(&format!("old rows were not removed: {}", problem.detail));
            continue;
        }
        let Some(days) = api.trail_days else { continue };
        let entry =
            desk.registrar.entry(&Caller::house("sweep"), Action::TrailPrune, "house", Outcome::Allowed);
        let entry = entry.because(format!("the plan keeps it for {days} days"));
        let pruned = desk.registrar.read(move |ledger| ledger.prune_trail(before(now, days), entry)).await;
        if let Err(problem) = pruned {
            desk.note(&format!("old entries of the trail were not removed: {}", problem.detail));
        }
    }
}

fn before(now: Timestamp, days: u32) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::from(days) * 86_400_000))
}
