//! What a plan for hosts needs from this machine's disk: files that it names, folders as archives, our own
//! programs.
//!
//! It reads and hashes; what is made of it is the planner's business. Files are read twice, for the plan and
//! when they are carried to a host; whoever changed one meanwhile gets a refusal and no mixture.

use crate::archive::{self, ArchiveError};
use haus_model::host::Architecture;
use haus_model::{Fingerprint, House};
use haus_planner::{Blob, FileInput, Inputs, Needed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where the bytes behind a hash are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// A folder, packed.
    Folder(PathBuf),
}

impl Origin {
    /// The path.
    pub fn path(&self) -> &Path {
        match self {
            Origin::File(path) | Origin::Folder(path) => path,
        }
    }
}

/// Something that the plan needs cannot be had.
#[derive(Debug, Error)]
pub enum SupplyError {
    /// A file cannot be read.
    #[error("cannot read {}, which the plan names", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder cannot be packed.
    #[error("cannot pack {}, which the plan names", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// What is there is not what the plan was made from.
    #[error("{} is no longer what it was when the plan was made", path.display())]
    Changed {
        /// The file or folder.
        path: PathBuf,
    },
    /// Nobody knows where these bytes are.
    #[error("the plan needs bytes with the hash {hash}, and does not say where they are")]
    Unknown {
        /// Their hash.
        hash: Fingerprint,
    },
}

impl SupplyError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            SupplyError::File { .. } => "see that it is there and that this account may read it".to_owned(),
            SupplyError::Folder { source, .. } => source.remedy().to_owned(),
            SupplyError::Changed { .. } => "plan again: `haus plan`".to_owned(),
            SupplyError::Unknown { .. } => {
                "the file of the plan is damaged or of another version; plan again: `haus plan -o FILE`"
                    .to_owned()
            }
        }
    }
}

/// The bytes that a plan needs, by hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Supplies(BTreeMap<Fingerprint, Origin>);

impl Supplies {
    /// Reads what the plan of this house names, relative to `root`. Our own program by architecture is needed
    /// only by a house with a coordinator on a host. Every fault is told, not only the first.
    ///
    /// # Errors
    /// All that cannot be had.
    pub fn gather(
        house: &House,
        root: &Path,
        programs: &BTreeMap<Architecture, PathBuf>,
    ) -> Result<(Supplies, Inputs), Vec<SupplyError>> {
        let Needed { files, archives, credentials: _, coordinator } = haus_planner::needed(house);
        let mut gathered = Gathered::default();
        for path in files {
            if let Some(input) = gathered.file(&root.join(&path)) {
                gathered.inputs.files.insert(path, input);
            }
        }
        for path in archives {
            if let Some(blob) = gathered.folder(&root.join(&path)) {
                gathered.inputs.archives.insert(path, blob);
            }
        }
        if coordinator {
            gathered.inputs.plan_archive = gathered.folder(root);
            for (architecture, path) in programs {
                if let Some(blob) = gathered.program(path) {
                    gathered.inputs.program.insert(*architecture, blob);
                }
            }
        }
        if gathered.faults.is_empty() {
            Ok((Supplies(gathered.origins), gathered.inputs))
        } else {
            Err(gathered.faults)
        }
    }

    /// The bytes with this hash.
    ///
    /// # Errors
    /// They cannot be had any more.
    pub fn open(&self, hash: Fingerprint) -> Result<Vec<u8>, SupplyError> {
        let origin = self.0.get(&hash).ok_or(SupplyError::Unknown { hash })?;
        let bytes = match origin {
            Origin::File(path) => read(path)?,
            Origin::Folder(path) => pack(path)?,
        };
        if Fingerprint::of(&bytes) == hash {
            Ok(bytes)
        } else {
            Err(SupplyError::Changed { path: origin.path().to_owned() })
        }
    }
}

#[derive(Default)]
struct Gathered {
    origins: BTreeMap<Fingerprint, Origin>,
    inputs: Inputs,
    faults: Vec<SupplyError>,
}

impl Gathered {
    fn file(&mut self, path: &Path) -> Option<FileInput> {
        let bytes = self.noted(read(path))?;
        let input = FileInput::of(&bytes);
        match &input {
            FileInput::Text(_) => {}
            FileInput::Blob(blob) => {
                self.origins.insert(blob.hash, Origin::File(path.to_owned()));
            }
        }
        Some(input)
    }

    fn program(&mut self, path: &Path) -> Option<Blob> {
        let blob = Blob::of(&self.noted(read(path))?);
        self.origins.insert(blob.hash, Origin::File(path.to_owned()));
        Some(blob)
    }

    fn folder(&mut self, path: &Path) -> Option<Blob> {
        let blob = Blob::of(&self.noted(pack(path))?);
        self.origins.insert(blob.hash, Origin::Folder(path.to_owned()));
        Some(blob)
    }

    fn noted<T>(&mut self, outcome: Result<T, SupplyError>) -> Option<T> {
        outcome.map_err(|fault| self.faults.push(fault)).ok()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SupplyError> {
    std::fs::read(path).map_err(|source| SupplyError::File { path: path.to_owned(), source })
}

fn pack(path: &Path) -> Result<Vec<u8>, SupplyError> {
    archive::pack(path).map_err(|source| SupplyError::Folder { path: path.to_owned(), source })
}
