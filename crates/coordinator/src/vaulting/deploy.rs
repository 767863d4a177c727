//! Values for hosts: what `haus apply` brings there, version by version.
//!
//! Threat: this is the one road on which an administrator gets values at all. So it leads to nothing but what
//! the plan puts on hosts, only who could read the key ring anyway walks it (the house's own account and
//! root, on this machine), and every value has its entry in the trail before it is opened.

use super::row::{self, subject};
use super::shelf::served;
use super::{Held, Vaulting, fresh_id};
use crate::api::Caller;
use crate::desk::Bench;
use crate::registrar::refused;
use haus_api::control::Deployable;
use haus_api::{Problem, ProblemCode};
use haus_model::host::{FileSource, Host};
use haus_model::resource::SecretVersion;
use haus_model::service::Service;
use haus_model::{CredentialName, CredentialSource, House, Secret};
use haus_store::{Batch, VersionState, Write};
use haus_trail::{Action, Outcome};
use std::collections::BTreeSet;
use std::path::Path;

impl Vaulting {
    /// Brings the vault in step with the plan, then tells what it has.
    ///
    /// # Errors
    /// The vault is closed, or the ledger cannot be read or written.
    pub(crate) async fn deployable(
        &self,
        bench: &Bench<'_>,
        house: &House,
        root: &Path,
    ) -> Result<Deployable, Problem> {
        self.sync(bench, house, root, None).await?;
        let mut deployable = Deployable::default();
        for name in house.credentials.keys() {
            match self.held(bench, name).await? {
                Some(held) if super::has_expired(&held.row, bench.clock.wall()) => {
                    let problem = super::expired(&held.row);
                    let hint = problem.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                    deployable.lacking.insert(name.clone(), format!("{}{hint}", problem.detail));
                }
                Some(held) => drop(deployable.versions.insert(name.clone(), held.version.version)),
                None => {
                    let why = self.fault(name).unwrap_or_else(|| "it has no value".to_owned());
                    deployable.lacking.insert(name.clone(), why);
                }
            }
        }
        Ok(deployable)
    }

    /// The value of a version that the plan brings to a host.
    ///
    /// # Errors
    /// It goes to no host, another version is served by now, it has expired, or the trail cannot be written.
    pub(crate) async fn value_for_host(
        &self,
        bench: &Bench<'_>,
        caller: &Caller,
        house: &House,
        wanted: &SecretVersion,
    ) -> Result<Secret, Problem> {
        let name = &wanted.credential;
        if !for_hosts(house).contains(name) {
            let detail =
                format!("the plan brings credential `{name}` to no host, so nobody gets its value here");
            return Err(self.denied(bench, caller, name, detail).await);
        }
        let held = self.held(bench, name).await?.ok_or_else(|| {
            let why = self.fault(name).unwrap_or_else(|| "it has no value".to_owned());
            Problem::new(ProblemCode::NotFound, format!("credential `{name}`: {why}"))
                .with_hint(format!("give it one: `haus credential create {name}`"))
        })?;
        if held.version.version != wanted.version {
            let (served, version) = (held.version.version, wanted.version);
            let detail =
                format!("version {version} of credential `{name}` was planned, version {served} is served");
            return Err(
                Problem::new(ProblemCode::Conflict, detail).with_hint("it was rotated meanwhile; plan again")
            );
        }
        let about = |entry: haus_trail::NewEntry| entry.detail("way", "deploy");
        self.read_out(bench.registrar, caller, &held, bench.clock.wall(), about).await
    }

    /// Gives a credential its first value that the plan leaves to a person.
    ///
    /// # Errors
    /// The plan makes or reads it, it has a value already, or the trail cannot be written.
    pub(crate) async fn give(
        &self,
        bench: &Bench<'_>,
        caller: &Caller,
        house: &House,
        name: &CredentialName,
        value: &Secret,
    ) -> Result<u64, Problem> {
        let _turn = self.syncing.lock().await;
        let credential = house.credentials.get(name).ok_or_else(|| {
            Problem::new(ProblemCode::NotFound, format!("the plan has no credential `{name}`"))
                .with_hint("add it to the plan with `given: true`")
        })?;
        let made = match &credential.source {
            CredentialSource::Given => None,
            CredentialSource::Generated { .. } => Some("generates it".to_owned()),
            CredentialSource::File { path } => Some(format!("takes it from {}", path.display())),
        };
        if let Some(made) = made {
            return Err(Problem::new(ProblemCode::Conflict, format!("the plan {made}: credential `{name}`"))
                .with_hint("say `given: true` in the plan to give it yourself"));
        }
        let now = bench.clock.wall();
        let row = row::of_plan(fresh_id()?, credential, now);
        let mut version = self.seal_version(&row, row.version, value, now)?;
        version.state = VersionState::Current;
        let entry = bench.registrar.entry(caller, Action::CredentialCreate, subject(&row), Outcome::Allowed);
        let entry = entry.detail("id", row.id.clone()).detail("version", "1").detail("value", "given");
        let number = row.version;
        let write = Write::CredentialCreate(Box::new(row), Box::new(version));
        let committed = bench.registrar.try_commit(Batch::of(vec![write], entry)).await?;
        committed.map(|_| number).map_err(|conflict| {
            let hint = format!("bring the house up here and use `haus credential rotate {name}`");
            refused(&conflict).with_hint(hint)
        })
    }

    async fn held(&self, bench: &Bench<'_>, name: &CredentialName) -> Result<Option<Held>, Problem> {
        let name = name.clone();
        let read =
            bench.registrar.read(move |ledger| match ledger.credential_named(None, name.as_str())? {
                Some(row) => served(ledger, row),
                None => Ok(None),
            });
        read.await
    }

    async fn denied(
        &self,
        bench: &Bench<'_>,
        caller: &Caller,
        name: &CredentialName,
        detail: String,
    ) -> Problem {
        let subject = format!("credential:{name}");
        let entry = bench.registrar.entry(caller, Action::CredentialRead, subject, Outcome::Denied);
        match bench.registrar.commit(Batch::entry(entry.because(detail.clone()))).await {
            Ok(_) => Problem::new(ProblemCode::Forbidden, detail)
                .with_hint("only what services and files on hosts use is brought there; `haus reload` when the plan is newer than the house"),
            Err(problem) => problem,
        }
    }
}

/// Credentials that the plan brings to hosts.
fn for_hosts(house: &House) -> BTreeSet<CredentialName> {
    let is_on_hosts =
        |service: &&Service| service.deployment.as_ref().is_some_and(|deployment| !deployment.on.is_empty());
    let services = house.services.values().filter(is_on_hosts);
    let mut names: BTreeSet<CredentialName> =
        services.flat_map(|service| service.credentials.values().cloned()).collect();
    house.hosts.values().for_each(|host| names.extend(of_host(host)));
    names
}

fn of_host(host: &Host) -> Vec<CredentialName> {
    let settings = &host.settings;
    let files = settings.files.values().map(|file| &file.source);
    let units = settings.units.values().filter_map(|unit| unit.source.as_ref());
    let sites = settings.nginx.values().map(|site| &site.source);
    let chains = settings.tls.values().map(|tls| &tls.certificate);
    let of_source = |source: &FileSource| match source {
        FileSource::Credential(name) => Some(name.clone()),
        FileSource::Text(_) | FileSource::From(_) | FileSource::Template(_) => None,
    };
    let sources = files.chain(units).chain(sites).chain(chains).filter_map(of_source);
    let keys = settings.tls.values().map(|tls| tls.key.clone());
    let steps = settings.steps.values().flat_map(|step| step.credentials.values().cloned());
    sources.chain(keys).chain(steps).collect()
}
