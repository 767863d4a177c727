//! The programs that we put on hosts, one for each architecture. It does not know how they get there.

use haus_model::Fingerprint;
use haus_model::host::Architecture;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// A `haus-remote` for one architecture.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// Of its bytes; part of its name on the host.
    pub hash: Fingerprint,
    /// The program itself.
    pub bytes: Arc<Vec<u8>>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({}, {} bytes)", self.hash.short(), self.bytes.len())
    }
}

/// All that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs(BTreeMap<Architecture, Program>);

/// A program cannot be read.
#[derive(Debug, Error)]
#[error("reading haus-remote for {} from {}", architecture.machine(), path.display())]
pub struct ProgramError {
    /// For which architecture.
    pub architecture: Architecture,
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Programs {
    /// Reads them, once for all hosts.
    pub fn read<'a>(
        files: impl IntoIterator<Item = (Architecture, &'a Path)>,
    ) -> Result<Programs, ProgramError> {
        let read = |(architecture, path): (Architecture, &Path)| match fs::read(path) {
            Ok(bytes) => {
                let hash = Fingerprint::of(&bytes);
                Ok((architecture, Program { hash, bytes: Arc::new(bytes) }))
            }
            Err(source) => Err(ProgramError { architecture, path: path.to_owned(), source }),
        };
        files.into_iter().map(read).collect::<Result<_, _>>().map(Programs)
    }

    /// The one for this architecture.
    pub fn of(&self, architecture: Architecture) -> Option<&Program> {
        self.0.get(&architecture)
    }

    /// The architectures for which there is one, for people.
    pub fn machines(&self) -> String {
        let machines: Vec<&str> = self.0.keys().map(|architecture| architecture.machine()).collect();
        if machines.is_empty() { "none at all".to_owned() } else { machines.join(", ") }
    }
}
