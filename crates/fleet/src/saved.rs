//! A plan in a file: what `haus plan -o FILE` keeps and `haus apply FILE` carries out exactly
//! ([format](../../../docs/formats/change-set.md)).
//!
//! The file holds no values of secrets and no large bytes, only where those are and what their hash is.

use crate::supplies::Supplies;
use haus_model::change::{CHANGE_SET_FORMAT, ChangeSet};
use haus_model::{Fingerprint, HostName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A larger file is no plan.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A plan that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// Version of this format; [`CHANGE_SET_FORMAT`].
    pub haus_plan: u32,
    /// When it was made.
    pub made: Timestamp,
    /// The folder of the house's plan file, absolute.
    pub root: PathBuf,
    /// What is to be done.
    pub change_set: ChangeSet,
    /// Where the bytes are that it needs.
    pub supplies: Supplies,
}

/// A plan cannot be kept or taken up.
#[derive(Debug, Error)]
pub enum SavedPlanError {
    /// It cannot be written.
    #[error("cannot keep the plan in {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be read.
    #[error("cannot read the plan {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no plan.
    #[error("{} is no plan that `haus plan -o` kept", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Another version made it.
    #[error("{} was kept in format {found}, and this program carries out format {CHANGE_SET_FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Somebody changed it.
    #[error("the plan in {} was changed after it was made: its hash is {found} and not {said}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Of its content.
        found: Fingerprint,
        /// As it says.
        said: Fingerprint,
    },
    /// A host was chosen that is none of its hosts.
    #[error("the plan was made without host {host}; its hosts are {}", listed(hosts))]
    OtherHost {
        /// The chosen one.
        host: HostName,
        /// Those of the plan.
        hosts: BTreeSet<HostName>,
    },
}

impl SavedPlanError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            SavedPlanError::Write { .. } => "name a file in a folder that this account may write to",
            SavedPlanError::Read { .. } => {
                "name a file that `haus plan -o FILE` made, or the folder of a house"
            }
            SavedPlanError::Shape { .. } | SavedPlanError::Format { .. } | SavedPlanError::Changed { .. } => {
                "plan again: `haus plan -o FILE`"
            }
            SavedPlanError::OtherHost { .. } => {
                "choose among its hosts, or plan again with that one: `haus plan -o FILE`"
            }
        }
    }
}

impl SavedPlan {
    /// Keeps it, readable only by this account: texts of a house's files stand in it.
    ///
    /// # Errors
    /// The file cannot be written; an older one is still whole then.
    pub fn write(&self, path: &Path) -> Result<(), SavedPlanError> {
        let failed = |source| SavedPlanError::Write { path: path.to_owned(), source };
        let bytes = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let mut beside = name.to_owned();
        beside.push(".new");
        let beside = path.with_file_name(beside);
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, path)
        };
        write().map_err(|error| {
            let _ = std::fs::remove_file(&beside);
            failed(error)
        })
    }

    /// Takes it up.
    ///
    /// # Errors
    /// It is not what was kept.
    pub fn read(path: &Path) -> Result<SavedPlan, SavedPlanError> {
        let failed = |source| SavedPlanError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        let bytes = io::read_to_string(file).map_err(failed)?;
        let shape = |source| SavedPlanError::Shape { path: path.to_owned(), source };
        // The version first, so that a newer plan is called newer and not broken.
        let version: Version = serde_json::from_str(&bytes).map_err(shape)?;
        if version.haus_plan != CHANGE_SET_FORMAT {
            return Err(SavedPlanError::Format { path: path.to_owned(), found: version.haus_plan });
        }
        let saved: SavedPlan = serde_json::from_str(&bytes).map_err(shape)?;
        let said = saved.change_set.hash;
        if !haus_planner::verify_hash(&saved.change_set) {
            let mut sealed = saved.change_set;
            haus_planner::seal(&mut sealed);
            return Err(SavedPlanError::Changed { path: path.to_owned(), found: sealed.hash, said });
        }
        Ok(saved)
    }

    /// What is to be done on these hosts; on all of them when none are chosen. It keeps the hash of the
    /// whole, since that names the plan.
    ///
    /// # Errors
    /// The plan was made without one of them.
    pub fn changes_on(&self, chosen: Option<&BTreeSet<HostName>>) -> Result<ChangeSet, SavedPlanError> {
        let mut change_set = self.change_set.clone();
        let Some(chosen) = chosen else { return Ok(change_set) };
        if let Some(host) = chosen.iter().find(|host| !change_set.hosts.contains_key(*host)) {
            let hosts = change_set.hosts.into_keys().collect();
            return Err(SavedPlanError::OtherHost { host: host.clone(), hosts });
        }
        change_set.hosts.retain(|host, _| chosen.contains(host));
        change_set.waves.iter_mut().for_each(|wave| wave.retain(|host| chosen.contains(host)));
        change_set.waves.retain(|wave| !wave.is_empty());
        Ok(change_set)
    }
}

fn listed(hosts: &BTreeSet<HostName>) -> String {
    hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

#[derive(Deserialize)]
struct Version {
    haus_plan: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::change::HostPlan;
    use haus_model::host::{Connect, Elevation};
    use std::collections::BTreeMap;

    fn kept() -> SavedPlan {
        let host = HostPlan {
            connect: Connect::Local,
            elevation: Elevation::Auto,
            observed: Fingerprint::of(b""),
            changes: Vec::new(),
            unchanged: 0,
            blocked: Vec::new(),
            notes: Vec::new(),
            ports: BTreeMap::new(),
            needs: BTreeSet::new(),
        };
        let change_set = ChangeSet {
            format: CHANGE_SET_FORMAT,
            house: "home".parse().unwrap(),
            stage: "default".parse().unwrap(),
            hosts: names(&["app", "db", "web"]).into_iter().map(|name| (name, host.clone())).collect(),
            waves: [["db"].as_slice(), &["app", "web"]]
                .map(|wave| names(wave).into_iter().collect())
                .to_vec(),
            hash: Fingerprint::of(b"whole"),
        };
        SavedPlan {
            haus_plan: CHANGE_SET_FORMAT,
            made: Timestamp::default(),
            root: PathBuf::from("/house"),
            change_set,
            supplies: Supplies::default(),
        }
    }

    fn names(hosts: &[&str]) -> BTreeSet<HostName> {
        hosts.iter().map(|host| host.parse().unwrap()).collect()
    }

    fn check(chosen: Option<&[&str]>, expected: Result<&str, &str>) {
        let kept = kept();
        let changes = kept.changes_on(chosen.map(names).as_ref()).map_err(|error| error.to_string());
        let waves = changes.map(|changes| {
            assert_eq!(changes.hash, kept.change_set.hash);
            let hosts: BTreeSet<HostName> = changes.hosts.keys().cloned().collect();
            assert_eq!(hosts, changes.waves.iter().flatten().cloned().collect());
            let wave = |wave: &Vec<HostName>| wave.iter().map(HostName::as_str).collect::<Vec<_>>().join(" ");
            changes.waves.iter().map(wave).collect::<Vec<_>>().join(", ")
        });
        assert_eq!(waves, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn only_chosen_hosts_of_a_kept_plan_are_changed() {
        check(None, Ok("db, app web"));
        check(Some(&["web"]), Ok("web"));
        check(Some(&["web", "db"]), Ok("db, web"));
        check(Some(&["db", "mail"]), Err("the plan was made without host mail; its hosts are app, db, web"));
    }
}
