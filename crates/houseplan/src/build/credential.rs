//! Credentials with their defaults. No file is opened: a value is nobody's business here.

use crate::draft::{CredentialDraft, Draft, RotatorDraft, ServerDraft};
use crate::path::within;
use haus_model::{Credential, CredentialName, CredentialSource, Rotator};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The user of Redis that `requirepass` sets the password of.
const REDIS_USER: &str = "default";

/// All credentials; the scope of one that gives none are the services that name it.
pub(super) fn build(draft: &Draft<'_>) -> Option<BTreeMap<CredentialName, Credential>> {
    let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
    for service in &draft.services {
        for (_, credential) in &service.credentials {
            let users = users.entry(credential.text).or_default();
            // A service may have one credential under two file names.
            if users.last() != Some(&service.name.text) {
                users.push(service.name.text);
            }
        }
    }
    draft
        .credentials
        .iter()
        .map(|written| {
            let credential = one(draft, written, users.get(written.name.text).map_or(&[], Vec::as_slice))?;
            Some((credential.name.clone(), credential))
        })
        .collect()
}

/// One credential.
fn one(draft: &Draft<'_>, written: &CredentialDraft<'_>, users: &[&str]) -> Option<Credential> {
    let source = match (written.length, written.file) {
        (Some(length), _) => CredentialSource::Generated { length },
        (None, Some(file)) => {
            let folder = &draft.folders[file.span.file as usize];
            // A secret may well lie outside the plan's folder, so `..` stays as it is written.
            let path = within(folder, file.text).unwrap_or_else(|| folder.join(file.text));
            let path = if Path::new(file.text).is_absolute() { PathBuf::from(file.text) } else { path };
            CredentialSource::File { path }
        }
        (None, None) if written.given => CredentialSource::Given,
        (None, None) => return None,
    };
    let scope = match &written.scope {
        Some(scope) => scope.iter().map(|name| name.text.parse().ok()).collect::<Option<Vec<_>>>()?,
        None => users.iter().map(|name| name.parse().ok()).collect::<Option<Vec<_>>>()?,
    };
    Some(Credential {
        name: written.name.text.parse().ok()?,
        kind: written.kind,
        source,
        scope,
        rotate_days: written.rotate_days(),
        overlap: written.overlap(),
        ttl: written.ttl.map(|(ttl, _)| ttl),
        rotator: match &written.rotator {
            Some(written) => Some(rotator(written)?),
            None => None,
        },
        reason: written.reason.map(|reason| reason.text.to_owned()),
    })
}

/// The server with the login that libpq or Redis would take by itself.
fn rotator(written: &RotatorDraft<'_>) -> Option<Rotator> {
    let service = written.service.text.parse().ok()?;
    Some(match written.server {
        ServerDraft::Postgres { role, database } => {
            let role = role?.text.to_owned();
            let database = database.map_or_else(|| role.clone(), |database| database.text.to_owned());
            Rotator::Postgres { service, role, database }
        }
        ServerDraft::Redis { user } => {
            let user = user.map_or(REDIS_USER, |user| user.text).to_owned();
            Rotator::Redis { service, user }
        }
    })
}
