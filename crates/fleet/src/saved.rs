//! A plan in a file: what `haus plan -o FILE` keeps and `haus apply FILE` carries out exactly
//! ([format](../../../docs/formats/change-set.md)).
//!
//! The file holds no values of secrets and no large bytes, only where those are and what their hash is.

use crate::supplies::Supplies;
use haus_model::change::{CHANGE_SET_FORMAT, ChangeSet};
use haus_model::{Fingerprint, Timestamp};
use serde::{Deserialize, Serialize};
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
}

#[derive(Deserialize)]
struct Version {
    haus_plan: u32,
}
