//! The second port: everything that must not be lost or forged. Credentials, tokens, registrations, alerts,
//! the trail.
//!
//! One rule carries it: whatever changes is a [`Batch`], and a batch is one transaction together with the
//! entries of the audit trail that tell of it. It knows sealed bytes and hashes only, never a value or a
//! token.

use crate::error::StoreError;
use haus_model::{ServiceName, Timestamp};
use haus_trail::{Entry, Head, NewEntry};

mod alerts;
mod closed;
mod credentials;
mod identity;
mod registry;

pub use alerts::{DeliveryRow, HealthQuery, HealthRow, SilenceRow};
pub use closed::ClosedLedger;
pub use credentials::{
    CredentialChange, CredentialOrigin, CredentialQuery, CredentialRow, RotationRow, SortBy, VersionRow,
    VersionState,
};
pub use identity::{EnrolmentRow, IdempotentAnswer, RevocationRow, SessionRow, SigningKeyRow};
pub use registry::AnnouncedRow;

/// One change. Preconditions that do not hold undo the whole batch with [`StoreError::Conflict`].
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new credential with its first version. Conflict: `Exists` when owner and name are taken.
    CredentialCreate(Box<CredentialRow>, Box<VersionRow>),
    /// Changes what is not the value. Conflict: `Missing`, `Revision`.
    CredentialUpdate {
        /// The credential.
        id: String,
        /// The revision that the caller saw; none takes any.
        if_revision: Option<u64>,
        /// What changes.
        change: Box<CredentialChange>,
        /// When.
        at: Timestamp,
    },
    /// Deletes a credential and the sealed bytes of all its versions. Conflict: `Missing`, `Revision`.
    CredentialDelete {
        /// The credential.
        id: String,
        /// The revision that the caller saw; none takes any.
        if_revision: Option<u64>,
    },
    /// Notes that credentials were read. Only moves forward; one that is gone is passed over. The revision
    /// stays, or every read would spoil the next `If-Match`.
    CredentialUsed {
        /// The credentials.
        ids: Vec<String>,
        /// When.
        at: Timestamp,
    },
    /// A further version in the state it has. Conflict: `Missing` credential, `Exists` version, also when it
    /// is to be current beside another one.
    VersionAdd(Box<VersionRow>),
    /// Makes a version the current one: counts the rotation, clears `rotation_required`, sets the expiry, and
    /// makes the former one `Previous` until then. One that is current already stays as it is. Conflict:
    /// `Missing`; `Used` when it has ended.
    VersionPromote {
        /// The credential.
        credential: String,
        /// The version.
        version: u64,
        /// When.
        at: Timestamp,
        /// How long the former one stays valid; none: until it is retired.
        previous_until: Option<Timestamp>,
        /// When the credential expires from here on.
        expires_at: Option<Timestamp>,
    },
    /// Ends a version: its sealed bytes are wiped, the row stays as history. Again: nothing. Conflict:
    /// `Missing`; the current one cannot end (`Used`).
    VersionRetire {
        /// The credential.
        credential: String,
        /// The version.
        version: u64,
    },
    /// The same value under another key. Conflict: `Missing`, also when it has ended; `Revision` (of the
    /// credential) when the row has other bytes by now.
    VersionReseal {
        /// The credential.
        credential: String,
        /// The version.
        version: u64,
        /// The bytes that were read.
        from: Vec<u8>,
        /// The bytes that replace them.
        to: Vec<u8>,
        /// The key that they are sealed with.
        key_id: String,
    },
    /// Keeps how far a rotation is, in place of what was kept before. Conflict: `Missing` credential;
    /// `Exists` when another rotation of it is open.
    RotationPut(Box<RotationRow>),
    /// A one-time token. Conflict: `Exists`.
    EnrolmentPut(Box<EnrolmentRow>),
    /// Uses a one-time token up. Conflict: `Missing`, `Used`, `Expired`.
    EnrolmentTake {
        /// SHA-256 of the token.
        hash: [u8; 32],
        /// When.
        at: Timestamp,
    },
    /// Takes an unused one-time token back. Conflict: `Missing`, `Used`.
    EnrolmentDelete {
        /// Its id.
        id: String,
    },
    /// A new session. Conflict: `Exists`.
    SessionPut(Box<SessionRow>),
    /// Exchanges the refresh token of a session. Conflict: `Missing`, also when the session has ended; `Used`
    /// when the old one was exchanged before, however long ago (somebody has a copy: end the session);
    /// `Expired`; `Exists` when the new one was given before.
    SessionRefresh {
        /// SHA-256 of the token that was shown.
        from: [u8; 32],
        /// SHA-256 of the one that replaces it.
        to: [u8; 32],
        /// When.
        at: Timestamp,
        /// Until when the new one can be used.
        expires_at: Timestamp,
    },
    /// Ends a session; its refresh token is worthless from here on. Again: nothing. Conflict: `Missing`.
    SessionEnd {
        /// Its id.
        sid: String,
        /// When.
        at: Timestamp,
    },
    /// What is revoked stays in the list until nothing signed before can be valid any more. Again: the first
    /// time and reason stay, the later end holds.
    Revoke(Box<RevocationRow>),
    /// Keeps a signing key, sealed; replaces one of the same id.
    SigningKeyPut(Box<SigningKeyRow>),
    /// Forgets a signing key.
    SigningKeyDelete {
        /// Its id.
        kid: String,
    },
    /// An instance that registered by itself; replaces what it said before.
    AnnouncedPut(Box<AnnouncedRow>),
    /// It is gone. Conflict: `Missing`.
    AnnouncedDelete {
        /// The service.
        service: ServiceName,
        /// The instance's own id.
        instance: String,
    },
    /// A change of health, for the history.
    HealthAppend(Box<HealthRow>),
    /// The state of the alerts, as one text.
    AlertStatePut(String),
    /// An alert on its way to a receiver.
    DeliveryPut(Box<DeliveryRow>),
    /// It has arrived, or was given up.
    DeliveryDelete {
        /// Its id.
        id: String,
    },
    /// Somebody wants quiet. Replaces one of the same id.
    SilencePut(Box<SilenceRow>),
    /// The quiet is over. Conflict: `Missing`.
    SilenceDelete {
        /// Its id.
        id: String,
    },
    /// The answer that a repeated request gets. It replaces the mark of the same request, of status 0, that
    /// it was done. Conflict: `Exists`.
    IdempotentPut(Box<IdempotentAnswer>),
}

/// Changes and the entries that tell of them: one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In this order.
    pub writes: Vec<Write>,
    /// Sealed and appended to the chain after the writes.
    pub entries: Vec<NewEntry>,
}

impl Batch {
    /// A batch of one entry and no change: a read, a refusal.
    pub fn entry(entry: NewEntry) -> Batch {
        Batch { writes: Vec::new(), entries: vec![entry] }
    }

    /// A batch of these changes with their entry.
    pub fn of(writes: Vec<Write>, entry: NewEntry) -> Batch {
        Batch { writes, entries: vec![entry] }
    }
}

/// Which precondition did not hold, and of what: ``credential `db` of api``, `enrolment token e-7`. The text
/// names things by name or id, never by token or hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// It is there already.
    #[error("{0} is there already")]
    Exists(String),
    /// It is not there.
    #[error("{0} is not there")]
    Missing(String),
    /// It was changed meanwhile; this is its revision.
    #[error("it was changed meanwhile, its revision is {0}; read it again")]
    Revision(u64),
    /// It was used before.
    #[error("{0} is used already")]
    Used(String),
    /// It is too old.
    #[error("{0} has expired")]
    Expired(String),
}

/// What a batch has become, on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// Numbers of the trail's new entries.
    pub trail: Vec<u64>,
    /// The head of the trail after this batch; none when it had no entries.
    pub head: Option<Head>,
    /// The rows that its [`Write::CredentialUpdate`]s left, in their order: nobody has to read them again.
    pub changed: Vec<CredentialRow>,
}

/// Who is told of the end of a batch, on the writer's thread: hand over and return at once.
pub type OnCommitted = Box<dyn FnOnce(Result<Committed, StoreError>) + Send>;

/// What to read of the trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrailQuery {
    /// Only entries after this number.
    pub after: Option<u64>,
    /// Only entries before this number.
    pub before: Option<u64>,
    /// Only about this subject: `credential:NAME`, `service:api/1`.
    pub subject: Option<String>,
    /// Only of this actor.
    pub actor: Option<String>,
    /// Only of this action.
    pub action: Option<haus_trail::Action>,
    /// At most so many.
    pub limit: usize,
    /// The newest first.
    pub newest_first: bool,
}

/// The coordinator's memory of what must not be lost or forged. Durability, atomicity and threads as in
/// [`crate::Store`].
pub trait Ledger: Send + Sync {
    /// Hands a batch to the writer and never blocks: when too many wait, `done` gets
    /// [`StoreError::Overloaded`] at once. `done` is called exactly once, after the disk has confirmed, or
    /// with the reason.
    fn submit(&self, batch: Batch, done: OnCommitted);

    /// The same, waiting for a place in the queue and for the disk.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a precondition does not hold; otherwise why it could not be kept.
    fn commit(&self, batch: Batch) -> Result<Committed, StoreError>;

    /// The head of the trail: number and hash of its last entry.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn trail_head(&self) -> Result<Head, StoreError>;

    /// The head before the oldest kept entry: genesis until the trail was pruned.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn trail_start(&self) -> Result<Head, StoreError>;

    /// Entries of the trail.
    ///
    /// # Errors
    /// When the store cannot be read, or an entry cannot be understood.
    fn trail(&self, query: &TrailQuery) -> Result<Vec<Entry>, StoreError>;

    /// Removes entries made before this time from the old end, up to the first that was not, and returns how
    /// many. `note` is appended in the same transaction when there were any. Many are removed in steps: the
    /// note goes with the first, and after an error some may be gone, which [`Ledger::trail_start`] tells.
    ///
    /// # Errors
    /// When they could not be removed.
    fn prune_trail(&self, before: Timestamp, note: NewEntry) -> Result<u64, StoreError>;

    /// A credential by its id.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn credential(&self, id: &str) -> Result<Option<CredentialRow>, StoreError>;

    /// A credential by owner (none: the house) and name.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn credential_named(
        &self,
        owner: Option<&ServiceName>,
        name: &str,
    ) -> Result<Option<CredentialRow>, StoreError>;

    /// Credentials that match, and how many match without `skip` and `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn credentials(&self, query: &CredentialQuery) -> Result<(Vec<CredentialRow>, u64), StoreError>;

    /// All versions of a credential, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn versions(&self, credential: &str) -> Result<Vec<VersionRow>, StoreError>;

    /// What a service may have: each credential by name and owner, with its current version and those before
    /// it that were not retired yet, the newest first. Whether these are still valid, and the credential not
    /// expired, is for who knows the time.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn readable_by(&self, service: &ServiceName)
    -> Result<Vec<(CredentialRow, Vec<VersionRow>)>, StoreError>;

    /// Versions that are not sealed with this key, at most so many.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn versions_not_under(&self, key_id: &str, limit: usize) -> Result<Vec<VersionRow>, StoreError>;

    /// Rotations that have not ended, oldest first, or all of one credential, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn rotations(&self, credential: Option<&str>) -> Result<Vec<RotationRow>, StoreError>;

    /// A one-time token by its hash.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn enrolment(&self, hash: &[u8; 32]) -> Result<Option<EnrolmentRow>, StoreError>;

    /// One-time tokens that are neither used nor expired.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn enrolments(&self, now: Timestamp) -> Result<Vec<EnrolmentRow>, StoreError>;

    /// The session of a refresh token, also of one that was exchanged.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn session_of(&self, refresh: &[u8; 32]) -> Result<Option<SessionRow>, StoreError>;

    /// Sessions that have neither ended nor expired.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn sessions(&self, now: Timestamp) -> Result<Vec<SessionRow>, StoreError>;

    /// What is revoked and not yet forgotten.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn revocations(&self) -> Result<Vec<RevocationRow>, StoreError>;

    /// The signing keys, sealed.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError>;

    /// Instances that registered by themselves.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn announced(&self) -> Result<Vec<AnnouncedRow>, StoreError>;

    /// The history of health, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn health_history(&self, query: &HealthQuery) -> Result<Vec<HealthRow>, StoreError>;

    /// The state of the alerts.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn alert_state(&self) -> Result<Option<String>, StoreError>;

    /// Alerts on their way, the next one due first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn deliveries(&self) -> Result<Vec<DeliveryRow>, StoreError>;

    /// Silences that have not ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn silences(&self, now: Timestamp) -> Result<Vec<SilenceRow>, StoreError>;

    /// The kept answer to a request of this caller with this key.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn idempotent(&self, caller: &str, key: &str) -> Result<Option<IdempotentAnswer>, StoreError>;

    /// Forgets what has had its time: used or expired tokens, ended or expired sessions, revocations,
    /// silences, idempotent answers, history of health before `history_before`. Then empties the log of the
    /// database, where what was wiped before may still stand. Returns how many rows went.
    ///
    /// # Errors
    /// When they could not be removed.
    fn sweep(&self, now: Timestamp, history_before: Timestamp) -> Result<u64, StoreError>;
}
