//! Handing values out: to an instance as files, to a service over the API, to the house itself by name.
//!
//! Threat: a value that left without an entry, or to somebody outside its scope. The order is therefore
//! always the same: scope and expiry, the entry on disk, and only then the seal is opened.

use super::{Held, Vaulting, expired, has_expired, subject};
use crate::api::{Caller, Who};
use crate::desk::Desk;
use crate::registrar::Registrar;
use haus_api::credential::{ServiceCredential, ServiceCredentials};
use haus_api::{Problem, ProblemCode};
use haus_model::service::Service;
use haus_model::{CredentialName, InstanceId, Scope, Secret, ServiceName, Timestamp};
use haus_store::{Batch, VersionRow, Write};
use haus_trail::{Action, NewEntry, Outcome};
use std::collections::{BTreeMap, BTreeSet};

impl Vaulting {
    /// The credential files of one instance, by name; `NAME.previous` beside `NAME` while both are valid. Its
    /// entries are on disk when this returns.
    ///
    /// # Errors
    /// A value that cannot be had, or a trail that cannot be written.
    pub(crate) async fn files_for(
        &self,
        desk: &Desk,
        service: &Service,
        id: &InstanceId,
    ) -> Result<BTreeMap<String, Secret>, Problem> {
        if service.credentials.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: BTreeSet<CredentialName> = service.credentials.values().cloned().collect();
        self.take_over_files(desk, &names).await?;
        let caller = Caller::house("spawn");
        let holding = self.holding(&desk.registrar, &service.name).await?;
        let now = desk.clock.wall();
        let mut wanted: Vec<(&String, &Held)> = Vec::new();
        for (file, name) in &service.credentials {
            let held = holding.of_plan(name).ok_or_else(|| self.absent(name, &service.name))?;
            wanted.push((file, held));
        }
        let about = |entry: NewEntry| entry.detail("instance", id.to_string()).detail("way", "file");
        let one_each: Vec<&Held> = {
            let mut seen = BTreeSet::new();
            wanted.iter().map(|(_, held)| *held).filter(|held| seen.insert(&held.row.id)).collect()
        };
        self.note_read(desk, &caller, &service.name, &one_each, about).await?;
        let mut files = BTreeMap::new();
        for (file, held) in wanted {
            files.insert(file.clone(), self.opened(&desk.registrar, &caller, held, &held.version).await?);
            if let Some(previous) = held.beside(now) {
                files.insert(
                    format!("{file}.previous"),
                    self.opened(&desk.registrar, &caller, held, previous).await?,
                );
            }
        }
        Ok(files)
    }

    /// What a service may have, with values; only for its own token.
    ///
    /// # Errors
    /// Another caller, an expired credential, or a trail that cannot be written.
    pub(crate) async fn for_service(
        &self,
        desk: &Desk,
        caller: &Caller,
        service: &ServiceName,
    ) -> Result<ServiceCredentials, Problem> {
        self.some_for_service(desk, caller, service, None).await
    }

    /// The same, or only the ones of one name.
    ///
    /// # Errors
    /// As above; not found when there is none of this name.
    pub(crate) async fn some_for_service(
        &self,
        desk: &Desk,
        caller: &Caller,
        service: &ServiceName,
        name: Option<&str>,
    ) -> Result<ServiceCredentials, Problem> {
        if !Vaulting::may_have_values(caller, service) {
            let why = format!("only {service} itself may read the values of its credentials");
            let subject = format!("service:{service}");
            return Err(desk.guard.denied(desk, caller, Action::CredentialRead, &subject, &why).await);
        }
        let holding = self.holding(&desk.registrar, service).await?;
        let wanted: Vec<&Held> =
            holding.credentials.iter().filter(|held| name.is_none_or(|name| held.row.name == name)).collect();
        if let (Some(name), true) = (name, wanted.is_empty()) {
            let detail = format!("{service} may have no credential `{name}`");
            return Err(Problem::new(ProblemCode::NotFound, detail)
                .with_hint("ask without `credential` for the list of what it may have"));
        }
        desk.guard.may_write(desk, caller, wanted.len())?;
        self.note_read(desk, caller, service, &wanted, |entry| entry.detail("way", "api")).await?;
        let house = desk.house();
        let files = house.services.get(service).map(|service| &service.credentials);
        let names = |held: &Held| -> Vec<String> {
            let is_it = |name: &CredentialName| held.row.owner.is_none() && held.row.name == name.as_str();
            let files = files.into_iter().flatten().filter(|(_, name)| is_it(name));
            files.map(|(file, _)| file.clone()).collect()
        };
        let now = desk.clock.wall();
        let mut credentials = Vec::with_capacity(wanted.len());
        for held in wanted {
            let value = self.opened(&desk.registrar, caller, held, &held.version).await?;
            let previous = match held.beside(now) {
                Some(version) => Some(self.opened(&desk.registrar, caller, held, version).await?),
                None => None,
            };
            credentials.push(shown(held, value, previous, names(held)));
        }
        let (ttl_s, revision) = (super::VALUES_TTL_S, holding.revision.clone());
        Ok(ServiceCredentials { service: service.clone(), credentials, ttl_s, revision })
    }

    /// Whether this caller is the service itself, with the scope to read its values. Nobody else gets values
    /// over the API: an administrator needs metadata, not passwords.
    pub(crate) fn may_have_values(caller: &Caller, service: &ServiceName) -> bool {
        match &caller.who {
            Who::Token(_) => {
                caller.service() == Some(service) && caller.allows(&Scope::CredentialRead(service.clone()))
            }
            Who::Anonymous | Who::Account { .. } | Who::House => false,
        }
    }

    /// The value of a credential of the plan, for the house itself: a receiver's key, a rotation.
    ///
    /// # Errors
    /// There is none, it has expired, or the trail cannot be written.
    pub(crate) async fn value(
        &self,
        desk: &Desk,
        caller: &Caller,
        name: &CredentialName,
    ) -> Result<Secret, Problem> {
        self.take_over_files(desk, &BTreeSet::from([name.clone()])).await?;
        let wanted = name.clone();
        let read = desk.registrar.read(move |ledger| {
            let Some(row) = ledger.credential_named(None, wanted.as_str())? else { return Ok(None) };
            let versions = ledger.versions(&row.id)?;
            let current = versions.into_iter().find(|version| version.version == row.version);
            Ok(current.map(|version| Held { row, version, previous: None }))
        });
        let held = read.await?.ok_or_else(|| {
            let why = self.fault(name).unwrap_or_else(|| "it has no value".to_owned());
            Problem::new(ProblemCode::NotFound, format!("credential `{name}`: {why}"))
                .with_hint(format!("give it one: `haus credential create {name}`"))
        })?;
        self.read_out(&desk.registrar, caller, &held, desk.clock.wall(), |entry| entry).await
    }

    /// Opens one version for somebody who may have it, with its entry on disk before.
    ///
    /// # Errors
    /// It has expired, or the trail cannot be written.
    pub(super) async fn read_out(
        &self,
        registrar: &Registrar,
        caller: &Caller,
        held: &Held,
        now: Timestamp,
        about: impl Fn(NewEntry) -> NewEntry,
    ) -> Result<Secret, Problem> {
        let entry = |outcome| about(read_entry(registrar, caller, held, outcome));
        if has_expired(&held.row, now) {
            let refusal = expired(&held.row);
            registrar.commit(Batch::entry(entry(Outcome::Failed).because(refusal.detail.clone()))).await?;
            return Err(refusal);
        }
        // A closed vault must not look like a read in the trail.
        self.keys().ring()?;
        let used = Write::CredentialUsed { ids: vec![held.row.id.clone()], at: now };
        registrar.commit(Batch::of(vec![used], entry(Outcome::Allowed))).await?;
        self.opened(registrar, caller, held, &held.version).await
    }

    /// Opens a seal whose entry is on disk. That it stays closed is recorded too: somebody may have changed
    /// it.
    async fn opened(
        &self,
        registrar: &Registrar,
        caller: &Caller,
        held: &Held,
        version: &VersionRow,
    ) -> Result<Secret, Problem> {
        let opened = match self.unseal(&held.row, version) {
            Err(problem) if problem.code == ProblemCode::VaultSealed => {
                match self.wrapped_anew(registrar, held, version).await? {
                    Some(newer) => self.unseal(&held.row, &newer),
                    None => Err(problem),
                }
            }
            other => other,
        };
        match opened {
            Ok(value) => Ok(value),
            Err(problem) => {
                let entry =
                    read_entry(registrar, caller, held, Outcome::Failed).because(problem.detail.clone());
                registrar.commit(Batch::entry(entry)).await?;
                Err(problem)
            }
        }
    }

    /// The same version as it is sealed now: the key may have been exchanged, and the former one gone, since
    /// the row was read. None when nothing has changed.
    async fn wrapped_anew(
        &self,
        registrar: &Registrar,
        held: &Held,
        version: &VersionRow,
    ) -> Result<Option<VersionRow>, Problem> {
        let id = held.row.id.clone();
        let versions = registrar.read(move |ledger| ledger.versions(&id)).await?;
        Ok(versions.into_iter().find(|row| row.version == version.version && row.sealed != version.sealed))
    }

    /// One entry for each credential, on disk before anything is opened. An expired one fails all of them.
    async fn note_read(
        &self,
        desk: &Desk,
        caller: &Caller,
        service: &ServiceName,
        wanted: &[&Held],
        about: impl Fn(NewEntry) -> NewEntry,
    ) -> Result<(), Problem> {
        if wanted.is_empty() {
            return Ok(());
        }
        let now = desk.clock.wall();
        let entry = |held: &Held, outcome| {
            about(read_entry(&desk.registrar, caller, held, outcome)).detail("service", service.as_str())
        };
        if let Some(held) = wanted.iter().find(|held| has_expired(&held.row, now)) {
            let refusal = expired(&held.row);
            let entry = entry(held, Outcome::Failed).because(refusal.detail.clone());
            desk.registrar.commit(Batch::entry(entry)).await?;
            desk.meters.credential_read(service.as_str(), "failed");
            return Err(refusal);
        }
        // A closed vault must not look like a read in the trail.
        self.keys().ring()?;
        let ids = wanted.iter().map(|held| held.row.id.clone()).collect();
        let entries = wanted.iter().map(|held| entry(held, Outcome::Allowed)).collect();
        let writes = vec![Write::CredentialUsed { ids, at: now }];
        desk.registrar.commit(Batch { writes, entries }).await?;
        desk.meters.credential_read(service.as_str(), "allowed");
        Ok(())
    }

    /// Why a service does not get a credential that the plan names for it.
    fn absent(&self, name: &CredentialName, service: &ServiceName) -> Problem {
        match self.fault(name) {
            Some(why) => Problem::new(ProblemCode::NotFound, format!("credential `{name}`: {why}")),
            None => Problem::new(
                ProblemCode::NotFound,
                format!("credential `{name}` has no value, or {service} is not in its scope"),
            ),
        }
        .with_hint(format!("see `haus credential show {name}`"))
    }
}

fn read_entry(registrar: &Registrar, caller: &Caller, held: &Held, outcome: Outcome) -> NewEntry {
    let entry = registrar.entry(caller, Action::CredentialRead, subject(&held.row), outcome);
    entry.detail("id", held.row.id.clone()).detail("version", held.version.version.to_string())
}

/// A credential with its value as it is answered.
fn shown(held: &Held, value: Secret, previous: Option<Secret>, names: Vec<String>) -> ServiceCredential {
    let is_text = |secret: &Secret| std::str::from_utf8(secret.expose_bytes()).is_ok();
    let plain = is_text(&value) && previous.as_ref().is_none_or(is_text);
    let encode = |secret: Secret| if plain { secret } else { base64(&secret) };
    ServiceCredential {
        id: held.row.id.clone(),
        name: held.row.name.clone(),
        credential_type: held.row.kind,
        encoding: if plain { "utf-8" } else { "base64" }.to_owned(),
        value: encode(value),
        previous_value: previous.map(encode),
        version: held.version.version,
        expires_at: held.row.expires_at.map(|at| at.to_string()),
        names,
    }
}

/// Standard base64 (RFC 4648, section 4) into memory that is cleared; a library's buffer would not be.
fn base64(secret: &Secret) -> Secret {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = secret.expose_bytes();
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let group =
            part.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..4 {
            let digit = usize::try_from(group >> (18 - 6 * place) & 63).expect("six bits");
            text.push(if place <= part.len() { ALPHABET[digit] } else { b'=' });
        }
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(base64(&Secret::new(bytes.to_vec())).expose_bytes(), expected.as_bytes());
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        check(b"", "");
        check(b"f", "Zg==");
        check(b"fo", "Zm8=");
        check(b"foo", "Zm9v");
        check(b"foob", "Zm9vYg==");
        check(b"fooba", "Zm9vYmE=");
        check(b"foobar", "Zm9vYmFy");
        check(&[0xff, 0xfe, 0xfd], "//79");
    }
}
