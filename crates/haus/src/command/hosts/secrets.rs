//! Values of credentials for hosts, at the moment when they are carried: from the running house, or from its
//! vault when no house runs here. It knows neither how the vault is sealed nor what a value is for.

use super::Meant;
use crate::arguments::Reach;
use crate::command::credential::offline_failure;
use crate::command::{block_on, client};
use crate::exit::{FAILED, Failure};
use crate::locate;
use haus_apply::supply::{SecretError, SecretSource, secrets_of};
use haus_client::{Client, ClientError};
use haus_coordinator::{KeyPlace, OfflineOptions, OfflineVault};
use haus_model::change::ChangeSet;
use haus_model::resource::SecretVersion;
use haus_model::{CredentialName, Secret};
use haus_supervise::lock::Lock;
use std::collections::BTreeMap;

/// The credentials of a house, as far as its hosts need any.
pub(super) enum Secrets {
    /// They need none, so nothing is opened.
    NotNeeded,
    /// No house runs here.
    Closed(Box<OfflineVault>),
    /// The house runs here, and its core has the vault.
    Running(Client),
}

impl Secrets {
    /// Opens what the plan of these hosts needs.
    pub(super) fn open(meant: &Meant, reach: &Reach) -> Result<Secrets, Failure> {
        if haus_planner::needed(&meant.house).credentials.is_empty() {
            return Ok(Secrets::NotNeeded);
        }
        Secrets::take(meant, reach)
    }

    /// Opens what these changes need, whatever the plan file says by now.
    pub(super) fn of_changes(changes: &ChangeSet, meant: &Meant, reach: &Reach) -> Result<Secrets, Failure> {
        let mut all = changes.hosts.values().flat_map(|host| &host.changes);
        if all.all(|change| secrets_of(change).is_empty()) {
            return Ok(Secrets::NotNeeded);
        }
        Secrets::take(meant, reach)
    }

    fn take(meant: &Meant, reach: &Reach) -> Result<Secrets, Failure> {
        let places = locate::places(meant.house.name.as_str(), reach.state.as_deref())?;
        if Lock::holder(places.state()).is_some() {
            return Ok(Secrets::Running(client(&places)));
        }
        let keys = KeyPlace {
            file: reach.keys.key_file.clone(),
            passphrase_file: reach.keys.passphrase_file.clone(),
        };
        let options = OfflineOptions { keys, why: "apply".to_owned() };
        let vault = OfflineVault::open(&meant.house, &meant.root, places.state(), &options);
        vault.map(|vault| Secrets::Closed(Box::new(vault))).map_err(|error| offline_failure(&error))
    }

    /// The version that each credential has; one that has none is left out, and the plan says who needs it.
    pub(super) fn versions(&self) -> Result<BTreeMap<CredentialName, u64>, Failure> {
        match self {
            Secrets::NotNeeded => Ok(BTreeMap::new()),
            Secrets::Closed(vault) => vault.versions().map_err(|error| offline_failure(&error)),
            Secrets::Running(client) => {
                let deployable = block_on(client.deployable())?.map_err(|error| unanswered(&error))?;
                Ok(deployable.versions)
            }
        }
    }
}

fn unanswered(error: &ClientError) -> Failure {
    Failure::from_error(
        FAILED,
        error,
        "the house runs here and keeps its vault: see `haus status`, or wait for another command that works with it",
    )
}

impl SecretSource for Secrets {
    fn value(&self, of: &SecretVersion) -> Result<Secret, SecretError> {
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| SecretError { of: of.clone(), source };
        match self {
            Secrets::NotNeeded => Err(failed("the plan was made without credentials".into())),
            Secrets::Closed(vault) => vault.value(of).map_err(|error| failed(Box::new(error))),
            Secrets::Running(client) => match block_on(client.deploy_value(of)) {
                Ok(value) => value.map_err(|error| failed(Box::new(error))),
                Err(failure) => Err(failed(failure.message.into())),
            },
        }
    }
}
