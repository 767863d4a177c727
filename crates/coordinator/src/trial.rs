//! Whether the database really takes a write and gives it back: tried, not believed.
//!
//! Threat: strangers may ask for it as often as they like, and a disk that hangs must not make their number
//! grow. So one trial serves everybody for a while, one runs at a time, and nobody waits longer than for one.

use crate::desk::Desk;
use haus_model::Timestamp;
use haus_store::{Batch, Ledger, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// For how long the outcome of a trial is believed.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// How long a trial may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The setting that is written.
const SETTING: &str = "health.trial";

/// What the last trial found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    /// How long it took.
    pub took: Duration,
    /// Why it failed.
    pub error: Option<String>,
}

/// The trials.
#[derive(Default)]
pub(crate) struct Trial {
    last: Mutex<Option<(Timestamp, Arc<Tried>)>>,
}

impl Trial {
    /// The outcome of the last trial; of a new one when that is too old.
    pub(crate) async fn last(&self, desk: &Desk) -> Arc<Tried> {
        let mut last = self.last.lock().await;
        if let Some((at, tried)) = &*last
            && desk.clock.now().since(*at) < FRESH_FOR
        {
            return Arc::clone(tried);
        }
        let (store, ledger) = (Arc::clone(&desk.store), Arc::clone(&desk.ledger));
        let word = desk.clock.wall().to_string();
        let begun = Instant::now();
        let outcome = tokio::time::timeout(
            PATIENCE,
            tokio::task::spawn_blocking(move || write_and_read(&*store, &*ledger, &word)),
        );
        let error = match outcome.await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(why))) => Some(why),
            Ok(Err(error)) => Some(format!("the trial broke off: {error}")),
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let tried = Arc::new(Tried { took: begun.elapsed(), error });
        *last = Some((desk.clock.now(), Arc::clone(&tried)));
        tried
    }
}

fn write_and_read(store: &dyn Store, ledger: &dyn Ledger, word: &str) -> Result<(), String> {
    store.set_setting(SETTING, word).map_err(|error| crate::chain(&error))?;
    let found = store.setting(SETTING).map_err(|error| crate::chain(&error))?;
    // An empty batch takes the way of every other one, and leaves nothing.
    ledger.commit(Batch::default()).map_err(|error| crate::chain(&error))?;
    match found {
        Some(found) if found == word => Ok(()),
        // Another core on the same database would be the reason.
        Some(_) | None => Err("what was written is not what was read".to_owned()),
    }
}
