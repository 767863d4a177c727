//! Values of credentials for hosts, from the house's own vault on this machine, at the moment when they are carried.
//! It knows neither how the vault is sealed nor what a value is for.

use super::Meant;
use crate::arguments::Reach;
use crate::exit::Failure;
use haus_apply::supply::{SecretError, SecretSource};
use haus_model::resource::SecretVersion;
use haus_model::{CredentialName, Secret};
use std::collections::BTreeMap;

/// The credentials of a house.
pub(super) struct Secrets {}

impl Secrets {
    pub(super) fn open(_meant: &Meant, _reach: &Reach) -> Result<Secrets, Failure> {
        Ok(Secrets {})
    }

    pub(super) fn versions(&self) -> Result<BTreeMap<CredentialName, u64>, Failure> {
        Ok(BTreeMap::new())
    }
}

impl SecretSource for Secrets {
    fn value(&self, of: &SecretVersion) -> Result<Secret, SecretError> {
        Err(SecretError { of: of.clone(), source: "there are no values here".into() })
    }
}
