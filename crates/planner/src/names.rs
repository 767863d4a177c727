//! Where things of a house live on a host, and what they are called there. Knows names only.

use haus_model::house::House;
use haus_model::service::Service;
use haus_model::{Fingerprint, HouseName, ServiceName};
use std::path::{Path, PathBuf};

/// The longest account name that systemd takes in `User=` (`UT_NAMESIZE` - 1).
const ACCOUNT_BYTES_MAX: usize = 31;

/// The folder of our own configuration on a host.
pub(crate) const CONFIG_ROOT: &str = "/etc/haus";

/// The folders and names of one service.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub house: &'a HouseName,
    pub service: &'a Service,
}

impl<'a> Names<'a> {
    pub(crate) fn new(house: &'a House, service: &'a Service) -> Names<'a> {
        Names { house: &house.name, service }
    }

    /// The account that it runs as.
    pub(crate) fn account(&self) -> String {
        self.service.user.clone().unwrap_or_else(|| own_account(self.house, &self.service.name))
    }

    /// `/srv/HOUSE/SERVICE`
    pub(crate) fn root(&self) -> PathBuf {
        house_root(self.house).join(self.service.name.as_str())
    }

    /// The data folder of an instance. The first keeps its folder when more are added.
    pub(crate) fn data(&self, ordinal: u32) -> PathBuf {
        self.root().join(numbered("data", ordinal))
    }

    /// `/etc/haus/HOUSE/SERVICE`
    pub(crate) fn config_folder(&self) -> PathBuf {
        house_config(self.house).join(self.service.name.as_str())
    }

    /// The JSON file with the service's `config:`.
    pub(crate) fn config(&self, ordinal: u32) -> PathBuf {
        self.config_folder().join(format!("{}.json", numbered("config", ordinal)))
    }

    /// `/etc/haus/HOUSE/credentials/SERVICE`
    pub(crate) fn credentials(&self) -> PathBuf {
        house_config(self.house).join("credentials").join(self.service.name.as_str())
    }

    /// The name of an instance's unit without its ending.
    pub(crate) fn unit_stem(&self, ordinal: u32) -> String {
        let stem = format!("haus-{}-{}", self.house, self.service.name);
        if self.service.instances > 1 { format!("{stem}-{ordinal}") } else { stem }
    }

    /// The working folder of a running instance.
    pub(crate) fn folder(&self) -> PathBuf {
        let has_source =
            self.service.deployment.as_ref().is_some_and(|deployment| deployment.source.is_some());
        let base = if has_source { self.root().join("current") } else { self.root() };
        clean(&base.join(&self.service.folder))
    }
}

fn numbered(word: &str, ordinal: u32) -> String {
    if ordinal > 1 { format!("{word}-{ordinal}") } else { word.to_owned() }
}

/// `/srv/HOUSE`
pub(crate) fn house_root(house: &HouseName) -> PathBuf {
    Path::new("/srv").join(house.as_str())
}

/// `/etc/haus/HOUSE`
pub(crate) fn house_config(house: &HouseName) -> PathBuf {
    Path::new(CONFIG_ROOT).join(house.as_str())
}

/// The full name of a unit: a service when no ending says otherwise.
pub(crate) fn unit_name(word: &str) -> String {
    const ENDINGS: [&str; 8] =
        [".service", ".timer", ".socket", ".target", ".path", ".mount", ".slice", ".automount"];
    if ENDINGS.iter().any(|ending| word.ends_with(ending)) {
        word.to_owned()
    } else {
        format!("{word}.service")
    }
}

/// The unit of the coordinator itself.
pub(crate) fn coordinator_unit(house: &HouseName) -> String {
    format!("haus-{house}.service")
}

/// `haus-HOUSE-SERVICE`, shortened with a hash where systemd would refuse it.
fn own_account(house: &HouseName, service: &ServiceName) -> String {
    let name = format!("haus-{house}-{service}");
    if name.len() <= ACCOUNT_BYTES_MAX {
        return name;
    }
    let hash = Fingerprint::of(name.as_bytes()).to_string();
    format!("{}-{}", &name[..ACCOUNT_BYTES_MAX - 9], &hash[..8])
}

/// A path without `.`; systemd and diffs like it better so.
fn clean(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_accounts_are_shortened_and_stay_different() {
        let house: HouseName = "a-house-with-a-long-name".parse().unwrap();
        let account = |name: &str| own_account(&house, &name.parse().unwrap());
        assert_eq!(own_account(&"sample".parse().unwrap(), &"api".parse().unwrap()), "haus-sample-api");
        assert_eq!(account("worker-one").len(), ACCOUNT_BYTES_MAX);
        assert_ne!(account("worker-one"), account("worker-two"));
    }

    #[test]
    fn a_unit_without_an_ending_is_a_service() {
        assert_eq!(unit_name("nginx"), "nginx.service");
        assert_eq!(unit_name("night.timer"), "night.timer");
    }
}
