//! The credentials of a house that does not run: opened, brought in step with the plan, handed to whoever
//! brings services to hosts.
//!
//! Threat: two that write the same vault, or a value that leaves without a trace. So the lock of the house is
//! held for as long as this is open, the trail is held against its anchor before anything is read, and each
//! value has its entry on disk first. It does not know hosts; who asks is the account of this process.

use crate::anchor::{Former, Keeper, Pulse};
use crate::api::{Caller, Who};
use crate::clock::Clock;
use crate::desk::Bench;
use crate::journal::Journal;
use crate::places::Places;
use crate::registrar::Registrar;
use crate::vaulting::{KeyPlace, Keys, KeysError, Vaulting, choose};
use haus_api::Problem;
use haus_api::control::Deployable;
use haus_model::resource::SecretVersion;
use haus_model::{CredentialName, House, Secret};
use haus_store::{Ledger, SqliteStore, StoreError};
use haus_supervise::lock::{Lock, LockError};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::Runtime;

/// How an offline vault is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfflineOptions {
    /// Where the key ring is kept.
    pub keys: KeyPlace,
    /// What it is opened for, in one word; it stands in the trail beside each read: `apply`.
    pub why: String,
}

/// Why the credentials of a house cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The house runs here: its own core has the vault.
    #[error("cannot open the vault in {} beside the house", state.display())]
    Held {
        /// The state folder.
        state: PathBuf,
        /// Who holds it.
        #[source]
        source: LockError,
    },
    /// The state folder cannot be used.
    #[error("cannot use the state folder {}", state.display())]
    Folder {
        /// The state folder.
        state: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its lock cannot be used.
    #[error("cannot lock the house in {}", state.display())]
    Lock {
        /// The state folder.
        state: PathBuf,
        /// Why.
        #[source]
        source: LockError,
    },
    /// Its database cannot be used.
    #[error("cannot use the house's database")]
    Store(#[from] StoreError),
    /// Its key ring cannot be used.
    #[error("cannot open the vault")]
    Keys(#[from] KeysError),
    /// The trail is not the one that was anchored.
    #[error("the audit trail does not fit its anchor: {why}")]
    Trail {
        /// Where they differ.
        why: String,
    },
    /// Threads are missing.
    #[error("cannot start what the vault works with")]
    System(#[source] io::Error),
    /// A credential cannot be had, or the trail cannot be written.
    #[error("{}", problem.detail)]
    Refused {
        /// Why.
        problem: Box<Problem>,
    },
}

impl OfflineError {
    /// What to do.
    pub fn remedy(&self) -> String {
        match self {
            OfflineError::Held { .. } => {
                "ask the running house instead, or bring it down with `haus down`".to_owned()
            }
            OfflineError::Folder { .. } | OfflineError::Lock { .. } => {
                "see that this account may write there, or name another state folder with --state".to_owned()
            }
            OfflineError::Store(_) => "free space, or see the folder named above".to_owned(),
            OfflineError::Keys(error) => error.remedy(),
            OfflineError::Trail { .. } => {
                "see `haus trail verify`; nothing was read, and `haus up` sets the anchor aside and tells of it"
                    .to_owned()
            }
            OfflineError::System(_) => "see the limits of this account (`ulimit -a`)".to_owned(),
            OfflineError::Refused { problem } => {
                problem.hint.clone().unwrap_or_else(|| "see the disk below the state folder".to_owned())
            }
        }
    }
}

/// The open vault of a house that does not run. Closing it, or dropping it, keeps the trail's anchor.
pub struct OfflineVault {
    house: House,
    root: PathBuf,
    caller: Caller,
    clock: Clock,
    registrar: Registrar,
    vaulting: Arc<Vaulting>,
    keeper: Keeper,
    journal: Journal,
    journal_thread: Option<JoinHandle<()>>,
    left_behind: PathBuf,
    /// There until the end, which may come inside another runtime.
    runtime: Option<Runtime>,
    /// Last, so that nobody else comes in before everything above has ended.
    _lock: Lock,
}

impl OfflineVault {
    /// Opens the vault below a state folder; makes what is not there yet, as a first start of the house
    /// would.
    ///
    /// # Errors
    /// The house runs, or what the vault consists of cannot be used.
    pub fn open(
        house: &House,
        plan_root: &Path,
        state: &Path,
        options: &OfflineOptions,
    ) -> Result<OfflineVault, OfflineError> {
        let folder = |source| OfflineError::Folder { state: state.to_owned(), source };
        make_folder(state).map_err(folder)?;
        let root = std::path::absolute(plan_root).map_err(folder)?;
        let lock = Lock::take(state, &root).map_err(|source| match source {
            LockError::Held { .. } => OfflineError::Held { state: state.to_owned(), source },
            LockError::Open { .. } | LockError::Identity { .. } => {
                OfflineError::Lock { state: state.to_owned(), source }
            }
        })?;
        let places = Places::new(state, state.join("run"));
        let sqlite = Arc::new(SqliteStore::open(&places.database())?);
        let ledger: Arc<dyn Ledger> = Arc::clone(&sqlite) as Arc<dyn Ledger>;
        let keys = Keys::open(choose(&options.keys, places.key_ring())?, &*ledger, &places.database())?;
        let clock = Clock::start();
        let registrar = Registrar::new(Arc::clone(&ledger), clock);
        let vaulting = Arc::new(Vaulting::new(house.name.clone(), keys, Arc::clone(&ledger), &registrar));
        let keeper = keeper(house, &places, ledger, &vaulting, clock);
        // Before there is anything whose end would keep a new anchor: the old one is the evidence.
        if let Former::Broken(why) = keeper.compare() {
            return Err(OfflineError::Trail { why });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(OfflineError::System)?;
        let (journal, journal_thread) = Journal::start(sqlite).map_err(OfflineError::System)?;
        let uid = rustix::process::geteuid().as_raw();
        Ok(OfflineVault {
            house: house.clone(),
            root,
            caller: Caller { who: Who::Account { uid }, address: None, request_id: options.why.clone() },
            clock,
            keeper,
            registrar,
            vaulting,
            journal,
            journal_thread: Some(journal_thread),
            left_behind: places.vault_folder(),
            runtime: Some(runtime),
            _lock: lock,
        })
    }

    /// The version that each credential of the plan has now, after the vault was brought in step with the
    /// plan: generated ones get their first value, files are read.
    ///
    /// # Errors
    /// The vault is closed, or the trail cannot be written.
    pub fn versions(&self) -> Result<BTreeMap<CredentialName, u64>, OfflineError> {
        self.deployable().map(|deployable| deployable.versions)
    }

    /// Why credentials of the plan have no value, each with what to do.
    ///
    /// # Errors
    /// As above.
    pub fn lacking(&self) -> Result<BTreeMap<CredentialName, String>, OfflineError> {
        self.deployable().map(|deployable| deployable.lacking)
    }

    fn deployable(&self) -> Result<Deployable, OfflineError> {
        self.carry_out(self.vaulting.deployable(&self.bench(), &self.house, &self.root))
    }

    /// The value of a version that the plan brings to a host. Its entry in the trail is on disk before.
    ///
    /// # Errors
    /// It goes to no host, another version is served by now, or the trail cannot be written.
    pub fn value(&self, wanted: &SecretVersion) -> Result<Secret, OfflineError> {
        self.carry_out(self.vaulting.value_for_host(&self.bench(), &self.caller, &self.house, wanted))
    }

    /// Gives a credential its first value that the plan leaves to a person; returns its version.
    ///
    /// # Errors
    /// The plan makes it, it has a value already, or the trail cannot be written.
    pub fn give(&self, name: &CredentialName, value: &Secret) -> Result<u64, OfflineError> {
        self.carry_out(self.vaulting.give(&self.bench(), &self.caller, &self.house, name, value))
    }

    fn bench(&self) -> Bench<'_> {
        Bench {
            clock: self.clock,
            registrar: &self.registrar,
            journal: &self.journal,
            left_behind: self.left_behind.clone(),
        }
    }

    /// On a thread of its own: whoever calls may be inside a runtime already.
    fn carry_out<T: Send>(
        &self,
        work: impl Future<Output = Result<T, Problem>> + Send,
    ) -> Result<T, OfflineError> {
        let runtime = self.runtime.as_ref().expect("it goes with the vault");
        let done = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join());
        let done = done.map_err(|_| OfflineError::System(io::Error::other("its thread has ended")))?;
        done.map_err(|problem| OfflineError::Refused { problem: Box::new(problem) })
    }
}

impl Drop for OfflineVault {
    fn drop(&mut self) {
        if let Err(why) = self.keeper.renew(&Pulse::default()) {
            self.bench().note(&format!("the trail's anchor was not renewed: {why}"));
        }
        self.journal.close();
        if let Some(thread) = self.journal_thread.take() {
            // A panic there loses events only.
            let _ = thread.join();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes a state folder as the house itself would: accounts of services pass through it, whatever the umask
/// of the caller says. What is in it is closed file by file.
fn make_folder(state: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = state.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(state)?;
    missing.into_iter().try_for_each(|folder| std::fs::set_permissions(folder, Permissions::from_mode(0o755)))
}

fn keeper(
    house: &House,
    places: &Places,
    ledger: Arc<dyn Ledger>,
    vaulting: &Arc<Vaulting>,
    clock: Clock,
) -> Keeper {
    let ring = Arc::clone(vaulting);
    Keeper {
        house: house.name.clone(),
        path: places.trail_anchor(),
        ledger,
        ring: Box::new(move || ring.keys().ring().ok()),
        clock,
        // It has no thread of its own that could have something to tell.
        tell: Box::new(|_| {}),
    }
}

#[cfg(test)]
mod tests;
