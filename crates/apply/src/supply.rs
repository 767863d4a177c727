//! What an act needs from this side: values of credentials and blobs. Two ports, asked at the moment of the
//! act and no earlier. Which ones an act needs is read from its change; where they come from is not known
//! here.

use haus_acts::wire::SecretValue;
use haus_model::Fingerprint;
use haus_model::Secret;
use haus_model::change::{ActKind, Change};
use haus_model::resource::{Content, ReleaseSource, SecretVersion, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use thiserror::Error;

/// A value cannot be had.
#[derive(Debug, Error)]
#[error("taking version {} of credential {}", of.version, of.credential)]
pub struct SecretError {
    /// Of which credential and version.
    pub of: SecretVersion,
    /// Why. Its text must not hold the value.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Where values of credentials come from.
///
/// Contract: answers exactly the version that is asked for, or an error; keeps no copy that is not zeroed;
/// may be asked from several threads at once.
pub trait SecretSource: Sync {
    /// The value of this version.
    fn value(&self, of: &SecretVersion) -> Result<Secret, SecretError>;
}

/// Where blobs come from. May be asked from several threads at once.
pub trait BlobSource: Sync {
    /// The bytes with this hash. The host compares the hash, so that a wrong one does no harm.
    fn open(&self, hash: &Fingerprint) -> io::Result<Box<dyn Read>>;
}

/// For change sets that need nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoSupply;

impl SecretSource for NoSupply {
    fn value(&self, of: &SecretVersion) -> Result<Secret, SecretError> {
        Err(SecretError { of: of.clone(), source: "there are no values here".into() })
    }
}

impl BlobSource for NoSupply {
    fn open(&self, _hash: &Fingerprint) -> io::Result<Box<dyn Read>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The credentials whose values this change needs.
pub fn secrets_of(change: &Change) -> BTreeSet<SecretVersion> {
    match (&change.act, &change.spec) {
        // What goes needs no value to go.
        (ActKind::Remove | ActKind::Forget, _) => BTreeSet::new(),
        (ActKind::Create | ActKind::Update, Spec::File(file)) => match &file.content {
            Content::Secret(version) => BTreeSet::from([version.clone()]),
            Content::Text(_) | Content::Blob { .. } => BTreeSet::new(),
        },
        (ActKind::Create | ActKind::Update, Spec::Command(command)) => {
            command.credentials.values().cloned().collect()
        }
        (
            ActKind::Create | ActKind::Update,
            Spec::Packages(_)
            | Spec::Holds(_)
            | Spec::Group(_)
            | Spec::User(_)
            | Spec::Keys(_)
            | Spec::Directory(_)
            | Spec::Link(_)
            | Spec::Release(_)
            | Spec::Switch(_)
            | Spec::Sysctl(_)
            | Spec::Unit(_)
            | Spec::Health(_),
        ) => BTreeSet::new(),
    }
}

/// The values that this change needs, from their source.
pub(crate) fn values_of(change: &Change, source: &dyn SecretSource) -> Result<Vec<SecretValue>, SecretError> {
    let value = |of: SecretVersion| source.value(&of).map(|value| SecretValue { of, value });
    secrets_of(change).into_iter().map(value).collect()
}

/// The blobs that these changes need, and their sizes.
pub fn blobs_of(changes: &[Change]) -> BTreeMap<Fingerprint, u64> {
    let comes = |change: &&Change| match change.act {
        ActKind::Create | ActKind::Update => true,
        ActKind::Remove | ActKind::Forget => false,
    };
    changes.iter().filter(comes).filter_map(|change| blob_of(&change.spec)).collect()
}

fn blob_of(spec: &Spec) -> Option<(Fingerprint, u64)> {
    match spec {
        Spec::File(file) => match &file.content {
            Content::Blob { hash, bytes } => Some((*hash, *bytes)),
            Content::Text(_) | Content::Secret(_) => None,
        },
        Spec::Release(release) => match &release.source {
            ReleaseSource::Archive { hash, bytes } => Some((*hash, *bytes)),
            ReleaseSource::Git { .. } => None,
        },
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::User(_)
        | Spec::Keys(_)
        | Spec::Directory(_)
        | Spec::Link(_)
        | Spec::Switch(_)
        | Spec::Sysctl(_)
        | Spec::Command(_)
        | Spec::Unit(_)
        | Spec::Health(_) => None,
    }
}
