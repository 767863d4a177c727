//! The ledger on SQLite: which SQL a change becomes, and the batch as one savepoint with its entries.
//!
//! Owns the order within a batch. The SQL stands in the modules, transactions and the queue in `writer`.

mod alerts;
mod credentials;
mod identity;
mod registry;
mod sweep;
pub(crate) mod trail;
mod trail_blocks;
mod versions;

use super::fault::RowError;
use super::tail::Tail;
use super::{SqliteStore, open};
use crate::error::StoreError;
use crate::ledger::{
    AnnouncedRow, Batch, Committed, Conflict, CredentialQuery, CredentialRow, DeliveryRow, EnrolmentRow,
    HealthQuery, HealthRow, IdempotentAnswer, Ledger, OnCommitted, RevocationRow, RotationRow, SessionRow,
    SigningKeyRow, SilenceRow, TrailQuery, VersionRow, Write,
};
use haus_model::{ServiceName, Timestamp};
use haus_trail::{Entry, Head, NewEntry};
use rusqlite::Connection;

type Result<T, E = RowError> = std::result::Result<T, E>;

const COMMIT: &str = "commit a batch of the ledger";

fn conflict<T>(conflict: Conflict) -> Result<T> {
    Err(RowError::Refused(StoreError::Conflict { conflict }))
}

/// Finds the word of a closed set that a column holds.
fn word<T: Copy>(all: &[T], as_str: fn(T) -> &'static str, text: &str) -> Result<T> {
    let found = all.iter().copied().find(|one| as_str(*one) == text);
    found.ok_or_else(|| RowError::Odd(format!("`{text}` is no word that this column has")))
}

fn service(text: Option<String>) -> Result<Option<ServiceName>> {
    text.map(|text| super::rows::parsed(&text)).transpose()
}

fn name(service: Option<&ServiceName>) -> Option<&str> {
    service.map(ServiceName::as_str)
}

/// Carries out a batch inside a transaction of the writer: all of it, or the first conflict.
fn apply(connection: &Connection, tail: &mut Tail, batch: &Batch) -> Result<Committed> {
    let mut changed = Vec::new();
    for write in &batch.writes {
        apply_one(connection, write, &mut changed)?;
    }
    if batch.entries.is_empty() {
        return Ok(Committed { changed, ..Committed::default() });
    }
    let trail = tail.append(connection, &batch.entries)?;
    Ok(Committed { trail, head: tail.head(), changed })
}

/// `changed` gets the rows that whoever committed need not read again.
fn apply_one(connection: &Connection, write: &Write, changed: &mut Vec<CredentialRow>) -> Result<()> {
    let db = connection;
    match write {
        Write::CredentialCreate(row, version) => credentials::create(db, row, version),
        Write::CredentialUpdate { id, if_revision, change, at } => {
            changed.push(credentials::update(db, id, *if_revision, change, *at)?);
            Ok(())
        }
        Write::CredentialDelete { id, if_revision } => credentials::delete(db, id, *if_revision),
        Write::CredentialUsed { ids, at } => credentials::used(db, ids, *at),
        Write::VersionAdd(row) => versions::add(db, row),
        Write::VersionPromote { credential, version, at, previous_until, expires_at } => {
            let times =
                versions::Promotion { at: *at, previous_until: *previous_until, expires_at: *expires_at };
            versions::promote(db, credential, *version, times)
        }
        Write::VersionRetire { credential, version } => versions::retire(db, credential, *version),
        Write::VersionReseal { credential, version, from, to, key_id } => {
            versions::reseal(db, (credential, *version), from, (to, key_id))
        }
        Write::RotationPut(row) => versions::put_rotation(db, row),
        Write::EnrolmentPut(row) => identity::put_enrolment(db, row),
        Write::EnrolmentTake { hash, at } => identity::take_enrolment(db, hash, *at),
        Write::EnrolmentDelete { id } => identity::delete_enrolment(db, id),
        Write::SessionPut(row) => identity::put_session(db, row),
        Write::SessionRefresh { from, to, at, expires_at } => {
            identity::refresh_session(db, identity::Exchange { from, to, at: *at, expires_at: *expires_at })
        }
        Write::SessionEnd { sid, at } => identity::end_session(db, sid, *at),
        Write::Revoke(row) => identity::revoke(db, row),
        Write::SigningKeyPut(row) => identity::put_signing_key(db, row),
        Write::SigningKeyDelete { kid } => identity::delete_signing_key(db, kid),
        Write::AnnouncedPut(row) => registry::put_announced(db, row),
        Write::AnnouncedDelete { service, instance } => registry::delete_announced(db, service, instance),
        Write::HealthAppend(row) => alerts::append_health(db, row),
        Write::AlertStatePut(text) => alerts::put_state(db, text),
        Write::DeliveryPut(row) => alerts::put_delivery(db, row),
        Write::DeliveryDelete { id } => alerts::delete_delivery(db, id),
        Write::SilencePut(row) => alerts::put_silence(db, row),
        Write::SilenceDelete { id } => alerts::delete_silence(db, id),
        Write::IdempotentPut(row) => registry::put_idempotent(db, row),
    }
}

impl SqliteStore {
    /// Several statements that see one and the same state.
    fn read_together<T>(
        &self,
        attempt: &'static str,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T, StoreError> {
        self.read(attempt, |connection| work(&*connection.unchecked_transaction()?))
    }
}

impl Ledger for SqliteStore {
    fn submit(&self, batch: Batch, done: OnCommitted) {
        self.writer.submit(COMMIT, move |connection, tail| apply(connection, tail, &batch), done);
    }

    fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.writer.write(COMMIT, move |connection, tail| apply(connection, tail, &batch))
    }

    fn trail_head(&self) -> Result<Head, StoreError> {
        self.read_together("read the head of the trail", trail::head)
    }

    fn trail_start(&self) -> Result<Head, StoreError> {
        self.read("read the start of the trail", trail::start)
    }

    fn trail(&self, query: &TrailQuery) -> Result<Vec<Entry>, StoreError> {
        self.read_together("read the trail", |connection| trail::entries(connection, query))
    }

    fn prune_trail(&self, before: Timestamp, note: NewEntry) -> Result<u64, StoreError> {
        // The border is looked for beside the writer: that may read half of the trail.
        let last =
            self.read_together("prune the trail", |connection| trail::last_before(connection, before))?;
        let (mut removed, mut note) = (0, Some(note));
        loop {
            let with = note.clone();
            let step = self.writer.write("prune the trail", move |connection, tail| {
                trail::prune_step(connection, tail, last, with.as_ref())
            })?;
            if step == 0 {
                return Ok(removed);
            }
            removed += step;
            note = None;
        }
    }

    fn credential(&self, id: &str) -> Result<Option<CredentialRow>, StoreError> {
        self.read("read a credential", |connection| credentials::by_id(connection, id))
    }

    fn credential_named(
        &self,
        owner: Option<&ServiceName>,
        name: &str,
    ) -> Result<Option<CredentialRow>, StoreError> {
        self.read("read a credential", |connection| credentials::by_name(connection, owner, name))
    }

    fn credentials(&self, query: &CredentialQuery) -> Result<(Vec<CredentialRow>, u64), StoreError> {
        self.read_together("read credentials", |connection| credentials::list(connection, query))
    }

    fn versions(&self, credential: &str) -> Result<Vec<VersionRow>, StoreError> {
        self.read("read the versions of a credential", |connection| versions::all(connection, credential))
    }

    fn readable_by(
        &self,
        service: &ServiceName,
    ) -> Result<Vec<(CredentialRow, Vec<VersionRow>)>, StoreError> {
        self.read_together("read the credentials of a service", |connection| {
            let rows = credentials::readable_by(connection, service)?;
            let with_versions = |row: CredentialRow| {
                let versions = versions::valid(connection, &row.id)?;
                Ok((row, versions))
            };
            rows.into_iter().map(with_versions).collect()
        })
    }

    fn versions_not_under(&self, key_id: &str, limit: usize) -> Result<Vec<VersionRow>, StoreError> {
        self.read("read versions under old keys", |connection| versions::not_under(connection, key_id, limit))
    }

    fn rotations(&self, credential: Option<&str>) -> Result<Vec<RotationRow>, StoreError> {
        self.read("read rotations", |connection| versions::rotations(connection, credential))
    }

    fn enrolment(&self, hash: &[u8; 32]) -> Result<Option<EnrolmentRow>, StoreError> {
        self.read("read an enrolment token", |connection| identity::enrolment(connection, hash))
    }

    fn enrolments(&self, now: Timestamp) -> Result<Vec<EnrolmentRow>, StoreError> {
        self.read("read enrolment tokens", |connection| identity::enrolments(connection, now))
    }

    fn session_of(&self, refresh: &[u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        self.read_together("read a session", |connection| identity::session_of(connection, refresh))
    }

    fn sessions(&self, now: Timestamp) -> Result<Vec<SessionRow>, StoreError> {
        self.read("read sessions", |connection| identity::sessions(connection, now))
    }

    fn revocations(&self) -> Result<Vec<RevocationRow>, StoreError> {
        self.read("read revocations", identity::revocations)
    }

    fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        self.read("read signing keys", identity::signing_keys)
    }

    fn announced(&self) -> Result<Vec<AnnouncedRow>, StoreError> {
        self.read("read registered instances", registry::announced)
    }

    fn health_history(&self, query: &HealthQuery) -> Result<Vec<HealthRow>, StoreError> {
        self.read("read the history of health", |connection| alerts::health(connection, query))
    }

    fn alert_state(&self) -> Result<Option<String>, StoreError> {
        self.read("read the state of the alerts", alerts::state)
    }

    fn deliveries(&self) -> Result<Vec<DeliveryRow>, StoreError> {
        self.read("read alerts on their way", alerts::deliveries)
    }

    fn silences(&self, now: Timestamp) -> Result<Vec<SilenceRow>, StoreError> {
        self.read("read silences", |connection| alerts::silences(connection, now))
    }

    fn idempotent(&self, caller: &str, key: &str) -> Result<Option<IdempotentAnswer>, StoreError> {
        self.read("read a kept answer", |connection| registry::idempotent(connection, caller, key))
    }

    fn sweep(&self, now: Timestamp, history_before: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let step = self.writer.write("sweep the ledger", move |connection, _| {
                sweep::step(connection, now, history_before)
            })?;
            removed += step.rows;
            if !step.more {
                break;
            }
        }
        open::empty_the_log(&self.path)?;
        Ok(removed)
    }
}
