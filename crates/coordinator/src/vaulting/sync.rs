//! Bringing the vault in step with the plan: what it names gets a value, terms follow, what it no longer
//! names keeps its value and loses its readers.
//!
//! Threat: a plan that somebody edited must not make values readable that are older than it. A credential
//! that comes back under its old name gets its old value only with the scope that the plan gives it, and
//! every change has its entry.

use super::import::{self, Found};
use super::row::{self, subject};
use super::{Vaulting, expiry, fresh_id};
use crate::api::Caller;
use crate::desk::{Bench, Desk};
use crate::registrar::refused;
use haus_api::{Problem, ProblemCode};
use haus_model::{Credential, CredentialKind, CredentialName, CredentialSource, House, Secret};
use haus_store::{
    Batch, CredentialChange, CredentialOrigin, CredentialQuery, CredentialRow, EventKind, NewEvent,
    VersionRow, VersionState, Write,
};
use haus_trail::{Action, NewEntry, Outcome};
use haus_vault::SystemEntropy;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

/// Credentials that are changed in one transaction.
const STEP: usize = 200;

/// How long one transaction may take: nobody waits for an answer to a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the ledger has of the plan's credentials.
#[derive(Default)]
struct Known {
    rows: BTreeMap<String, CredentialRow>,
    /// Versions of those whose value may have changed in a file, oldest first.
    versions: BTreeMap<String, Vec<VersionRow>>,
    /// Ids of those with an open rotation.
    rotating: BTreeSet<String>,
}

/// What is to be done about one credential.
struct Change {
    name: String,
    writes: Vec<Write>,
    entry: NewEntry,
    told: String,
    /// The plain file that its value came from.
    spent: Option<PathBuf>,
}

impl Vaulting {
    /// Brings the vault in step with a plan and returns the names of what got a value or another one.
    ///
    /// A value that is missing for now (a file that is not there, one that a person has to give) is no error:
    /// it keeps those services from starting that need it.
    ///
    /// # Errors
    /// The vault is closed, or the ledger cannot be read or written.
    pub(crate) async fn sync_plan(
        &self,
        desk: &Desk,
        house: &House,
        root: &Path,
    ) -> Result<Vec<String>, Problem> {
        self.sync(&desk.bench(), house, root, None).await
    }

    /// Looks again at those of these credentials whose value may have come or changed on disk.
    ///
    /// # Errors
    /// As above.
    pub(super) async fn take_over_files(
        &self,
        desk: &Desk,
        names: &BTreeSet<CredentialName>,
    ) -> Result<(), Problem> {
        let plan = desk.plan.load_full();
        let may_change = |name: &&CredentialName| {
            let planned = plan.house.credentials.get(*name);
            let is_file = |planned: &Credential| matches!(planned.source, CredentialSource::File { .. });
            planned.is_some_and(is_file) || self.fault(name).is_some()
        };
        let only: BTreeSet<CredentialName> = names.iter().filter(may_change).cloned().collect();
        if only.is_empty() {
            return Ok(());
        }
        self.sync(&desk.bench(), &plan.house, &plan.root, Some(only)).await.map(drop)
    }

    /// The same on any bench, or only for some.
    ///
    /// # Errors
    /// As above.
    pub(super) async fn sync(
        &self,
        bench: &Bench<'_>,
        house: &House,
        root: &Path,
        only: Option<BTreeSet<CredentialName>>,
    ) -> Result<Vec<String>, Problem> {
        let _turn = self.syncing.lock().await;
        let found = find(bench, house, root, only.clone()).await?;
        let known = match self.known(bench, house, only.clone()).await {
            // A house without credentials needs no vault.
            Err(_) if house.credentials.is_empty() => return Ok(Vec::new()),
            known => known?,
        };
        let considered: BTreeSet<CredentialName> =
            only.clone().unwrap_or_else(|| house.credentials.keys().cloned().collect());
        let mut changes = Vec::new();
        let mut faults = BTreeMap::new();
        for credential in considered.iter().filter_map(|name| house.credentials.get(name)) {
            match self.change(bench, credential, &known, &found) {
                Ok(change) => changes.extend(change),
                Err(Lack::Value(why)) => drop(faults.insert(credential.name.clone(), why)),
                Err(Lack::Problem(problem)) => return Err(*problem),
            }
        }
        if only.is_none() {
            changes.extend(gone(bench, house, &known));
            changes.extend(self.left_behind(bench, house, &known, &found)?);
        }
        let touched = self.commit(bench, changes).await?;
        remove_spent(bench, &found, &known, &touched);
        found.notes.iter().for_each(|note| bench.note(note));
        self.note_faults(bench, &considered, faults);
        Ok(touched.into_iter().filter(|touched| touched.value).map(|touched| touched.name).collect())
    }

    async fn known(
        &self,
        bench: &Bench<'_>,
        house: &House,
        only: Option<BTreeSet<CredentialName>>,
    ) -> Result<Known, Problem> {
        let is_file = |credential: &&Credential| matches!(credential.source, CredentialSource::File { .. });
        let with_versions: BTreeSet<String> = house
            .credentials
            .values()
            .filter(is_file)
            .map(|credential| credential.name.to_string())
            .collect();
        let read = bench.registrar.read(move |ledger| {
            let mut known = Known::default();
            match only {
                Some(names) => {
                    for name in names {
                        let row = ledger.credential_named(None, name.as_str())?;
                        known.rows.extend(row.map(|row| (row.name.clone(), row)));
                    }
                }
                None => {
                    let query = CredentialQuery { limit: u64::MAX, ..CredentialQuery::default() };
                    let (rows, _) = ledger.credentials(&query)?;
                    let rows = rows.into_iter().filter(|row| row.owner.is_none());
                    known.rows = rows.map(|row| (row.name.clone(), row)).collect();
                }
            }
            for row in known.rows.values().filter(|row| with_versions.contains(&row.name)) {
                known.versions.insert(row.id.clone(), ledger.versions(&row.id)?);
            }
            known.rotating =
                ledger.rotations(None)?.into_iter().map(|rotation| rotation.credential).collect();
            Ok(known)
        });
        read.await
    }

    /// What is to be done about a credential of the plan.
    fn change(
        &self,
        bench: &Bench<'_>,
        credential: &Credential,
        known: &Known,
        found: &Found,
    ) -> Result<Option<Change>, Lack> {
        let Some(row) = known.rows.get(credential.name.as_str()) else {
            return self.first(bench, credential, found).map(Some);
        };
        let mut writes: Vec<Write> = terms(bench, credential, row).into_iter().collect();
        let mut action = Action::CredentialUpdate;
        let mut told = "follows the plan".to_owned();
        if let Some(Ok(value)) = found.files.get(&credential.name)
            && !known.rotating.contains(&row.id)
        {
            let versions = known.versions.get(&row.id).map(Vec::as_slice).unwrap_or_default();
            let moved = self.follow_file(bench, credential, row, versions, value)?;
            if !moved.is_empty() {
                action = Action::CredentialImport;
                told = "taken anew from its file; services have it after their next start".to_owned();
                writes.extend(moved);
            }
        }
        if writes.is_empty() {
            return Ok(None);
        }
        let entry = bench.registrar.entry(&Caller::house("plan"), action, subject(row), Outcome::Allowed);
        let entry = entry.detail("id", row.id.clone());
        Ok(Some(Change { name: row.name.clone(), writes, entry, told, spent: None }))
    }

    /// The first value of a credential.
    fn first(&self, bench: &Bench<'_>, credential: &Credential, found: &Found) -> Result<Change, Lack> {
        let (value, spent, told) = match (&credential.source, found.plain.get(&credential.name)) {
            (CredentialSource::Generated { .. } | CredentialSource::Given, Some((path, value))) => {
                (value.clone(), Some(path.clone()), "imported from the plain file of an earlier version")
            }
            (CredentialSource::Generated { length }, None) => {
                let made = haus_vault::generate::text(*length, &mut SystemEntropy);
                let made = made.map_err(|error| {
                    Problem::new(
                        ProblemCode::Internal,
                        format!("credential `{}`: {}", credential.name, crate::chain(&error)),
                    )
                })?;
                (made, None, "generated")
            }
            (CredentialSource::File { .. }, _) => match found.files.get(&credential.name) {
                Some(Ok(value)) => (value.clone(), None, "taken from its file"),
                Some(Err(why)) => return Err(Lack::Value(why.clone())),
                None => return Err(Lack::Value("its file was not read".to_owned())),
            },
            (CredentialSource::Given, None) => {
                return Err(Lack::Value(format!(
                    "it has no value yet; give it one with `haus credential create {}`",
                    credential.name
                )));
            }
        };
        let action = match credential.source {
            CredentialSource::Generated { .. } if spent.is_none() => Action::CredentialCreate,
            CredentialSource::Generated { .. } | CredentialSource::File { .. } | CredentialSource::Given => {
                Action::CredentialImport
            }
        };
        let row = row::of_plan(fresh_id()?, credential, bench.clock.wall());
        let change = self.creation(bench, &Caller::house("plan"), row, &value, action)?;
        Ok(Change { told: told.to_owned(), spent, ..change })
    }

    /// The writes that make a credential with its first version.
    fn creation(
        &self,
        bench: &Bench<'_>,
        caller: &Caller,
        row: CredentialRow,
        value: &Secret,
        action: Action,
    ) -> Result<Change, Problem> {
        let mut version = self.seal_version(&row, row.version, value, row.created_at)?;
        version.state = VersionState::Current;
        let entry = bench.registrar.entry(caller, action, subject(&row), Outcome::Allowed);
        let entry = entry.detail("id", row.id.clone()).detail("version", "1");
        let name = row.name.clone();
        let writes = vec![Write::CredentialCreate(Box::new(row), Box::new(version))];
        Ok(Change { name, writes, entry, told: String::new(), spent: None })
    }

    /// The writes that put the value of a file in the place of the present one, when it is another.
    fn follow_file(
        &self,
        bench: &Bench<'_>,
        credential: &Credential,
        row: &CredentialRow,
        versions: &[VersionRow],
        value: &Secret,
    ) -> Result<Vec<Write>, Problem> {
        let Some(current) = versions.iter().find(|version| version.version == row.version) else {
            return Ok(Vec::new());
        };
        if is_same(&self.unseal(row, current)?, value) {
            return Ok(Vec::new());
        }
        if credential.rotator.is_some() {
            bench.note(&format!(
                "the file of credential `{}` has another value than its server knows; put it in force with `haus \
                 credential rotate {}`",
                credential.name, credential.name
            ));
            return Ok(Vec::new());
        }
        let now = bench.clock.wall();
        let next = versions.iter().map(|version| version.version).max().unwrap_or(row.version) + 1;
        let promote = Write::VersionPromote {
            credential: row.id.clone(),
            version: next,
            at: now,
            previous_until: None,
            expires_at: expiry(credential.ttl, now),
        };
        Ok(vec![
            Write::VersionAdd(Box::new(self.seal_version(row, next, value, now)?)),
            promote,
            Write::VersionRetire { credential: row.id.clone(), version: current.version },
        ])
    }

    /// Values of an earlier version whose credential has left the plan: sealed without readers, so that they
    /// can come back as they were.
    fn left_behind(
        &self,
        bench: &Bench<'_>,
        house: &House,
        known: &Known,
        found: &Found,
    ) -> Result<Vec<Change>, Problem> {
        let mut changes = Vec::new();
        for (name, (path, value)) in &found.plain {
            if house.credentials.contains_key(name) || known.rows.contains_key(name.as_str()) {
                continue;
            }
            let credential = Credential {
                name: name.clone(),
                kind: CredentialKind::default(),
                source: CredentialSource::Given,
                scope: Vec::new(),
                rotate_days: None,
                overlap: Duration::ZERO,
                ttl: None,
                rotator: None,
                reason: None,
            };
            let row = row::of_plan(fresh_id()?, &credential, bench.clock.wall());
            let change =
                self.creation(bench, &Caller::house("plan"), row, value, Action::CredentialImport)?;
            let told =
                "imported from the plain file of an earlier version; the plan does not name it".to_owned();
            changes.push(Change { told, spent: Some(path.clone()), ..change });
        }
        Ok(changes)
    }

    async fn commit(&self, bench: &Bench<'_>, changes: Vec<Change>) -> Result<Vec<Touched>, Problem> {
        let mut touched = Vec::new();
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut batch = Batch::default();
            let mut step = Vec::new();
            for change in changes.by_ref().take(STEP) {
                let value = change.entry.action != Action::CredentialUpdate;
                batch.writes.extend(change.writes);
                batch.entries.push(change.entry);
                step.push(Touched { name: change.name, told: change.told, spent: change.spent, value });
            }
            let committed = bench.registrar.commit_within(batch, PATIENCE).await?;
            committed.map_err(|conflict| refused(&conflict))?;
            for one in &step {
                let event = NewEvent::new(bench.clock.wall(), EventKind::Credential, &one.name, &one.told);
                bench.journal.record(event);
            }
            touched.extend(step);
        }
        Ok(touched)
    }

    fn note_faults(
        &self,
        bench: &Bench<'_>,
        considered: &BTreeSet<CredentialName>,
        new: BTreeMap<CredentialName, String>,
    ) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        for name in considered {
            match new.get(name) {
                Some(why) if faults.get(name) != Some(why) => {
                    let event = NewEvent::new(bench.clock.wall(), EventKind::Credential, name.as_str(), why);
                    bench.journal.record(event);
                    faults.insert(name.clone(), why.clone());
                }
                Some(_) => {}
                None => drop(faults.remove(name)),
            }
        }
    }
}

/// Why a credential does not get its first value.
enum Lack {
    /// There is none for now.
    Value(String),
    /// Nothing can be sealed.
    Problem(Box<Problem>),
}

impl From<Problem> for Lack {
    fn from(problem: Problem) -> Lack {
        Lack::Problem(Box::new(problem))
    }
}

/// What was done.
struct Touched {
    name: String,
    told: String,
    spent: Option<PathBuf>,
    /// Whether it got a value.
    value: bool,
}

async fn find(
    bench: &Bench<'_>,
    house: &House,
    root: &Path,
    only: Option<BTreeSet<CredentialName>>,
) -> Result<Found, Problem> {
    let (house, root, folder) = (house.clone(), root.to_owned(), bench.left_behind.clone());
    let find = move || {
        import::find(&house, &root, &folder, |name| only.as_ref().is_none_or(|only| only.contains(name)))
    };
    let found = tokio::task::spawn_blocking(find).await;
    found.map_err(|error| {
        Problem::new(ProblemCode::Internal, format!("reading credential files broke off: {error}"))
    })
}

/// The change that makes a row say what the plan says.
fn terms(bench: &Bench<'_>, credential: &Credential, row: &CredentialRow) -> Option<Write> {
    let expires_at = expiry(credential.ttl, row.rotated_at);
    let change = CredentialChange {
        description: (row.description != credential.reason).then(|| credential.reason.clone()),
        metadata: None,
        kind: (row.kind != credential.kind).then_some(credential.kind),
        scope: (row.scope != credential.scope).then(|| credential.scope.clone()),
        expires_at: (row.expires_at != expires_at).then_some(expires_at),
        rotation_required: None,
        rotate_days: (row.rotate_days != credential.rotate_days).then_some(credential.rotate_days),
    };
    if change == CredentialChange::default() {
        return None;
    }
    let (id, change, at) = (row.id.clone(), Box::new(change), bench.clock.wall());
    Some(Write::CredentialUpdate { id, if_revision: None, change, at })
}

/// Credentials that the plan no longer names: nobody may read them any more.
fn gone(bench: &Bench<'_>, house: &House, known: &Known) -> Vec<Change> {
    let left = |row: &&CredentialRow| {
        row.origin == CredentialOrigin::Plan
            && !row.scope.is_empty()
            && !house.credentials.contains_key(row.name.as_str())
    };
    let close = |row: &CredentialRow| {
        let change = CredentialChange { scope: Some(Vec::new()), ..CredentialChange::default() };
        let (id, change, at) = (row.id.clone(), Box::new(change), bench.clock.wall());
        let action = Action::CredentialUpdate;
        let entry = bench.registrar.entry(&Caller::house("plan"), action, subject(row), Outcome::Allowed);
        Change {
            name: row.name.clone(),
            writes: vec![Write::CredentialUpdate { id, if_revision: None, change, at }],
            entry: entry.because("the plan no longer names it").detail("id", row.id.clone()),
            told: "the plan no longer names it: kept, without readers".to_owned(),
            spent: None,
        }
    };
    known.rows.values().filter(left).map(close).collect()
}

/// Plain files whose value is sealed by now go.
fn remove_spent(bench: &Bench<'_>, found: &Found, known: &Known, touched: &[Touched]) {
    // A crash between sealing and removing left those behind that are known already.
    let known = found.plain.iter().filter(|(name, _)| known.rows.contains_key(name.as_str()));
    let spent = touched.iter().filter_map(|touched| touched.spent.as_ref());
    for path in known.map(|(_, (path, _))| path).chain(spent) {
        if let Err(error) = import::remove(path) {
            bench.note(&format!(
                "the plain value {} is sealed in the vault and could not be removed: {error}; remove it",
                path.display()
            ));
        }
    }
}

/// Whether two values are the same, in a time that does not tell where they differ.
fn is_same(one: &Secret, other: &Secret) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.expose_bytes(), other.expose_bytes()).is_ok()
}
