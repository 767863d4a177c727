//! How the plan's files are reached: a small port, and files in memory for tests.
//!
//! Knows no disk; that is `disk`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest file that is read: 64 MiB.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is nothing with that name.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// A folder, a device, a pipe or a socket.
    #[error("`{}` is not a regular file", path.display())]
    NotRegular {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("`{}` has {bytes} bytes, the most is {FILE_BYTES_MAX}", path.display())]
    TooLarge {
        /// The file that was asked for.
        path: PathBuf,
        /// Its size as far as it is known.
        bytes: u64,
    },
    /// The operating system refused.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

/// Where plan files come from.
///
/// Implementations refuse anything larger than [`FILE_BYTES_MAX`] without reading it, and never
/// wait: a pipe without a writer is an error.
pub trait Files {
    /// The whole content of a regular file.
    ///
    /// # Errors
    /// When there is no such regular file, it is too large, or it cannot be read.
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError>;

    /// Whether the path is a folder.
    fn is_folder(&self, path: &Path) -> bool;

    /// Names in a folder, sorted; used only to suggest what was meant. Empty when unknown.
    fn names(&self, _folder: &Path) -> Vec<String> {
        Vec::new()
    }
}

/// Files that exist only in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl MemoryFiles {
    /// No files.
    pub fn new() -> MemoryFiles {
        MemoryFiles::default()
    }

    /// The same files and one more.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> MemoryFiles {
        self.files.insert(path.into(), content.into());
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        if self.is_folder(path) {
            return Err(FileError::NotRegular { path: path.to_owned() });
        }
        let content = self.files.get(path).ok_or_else(|| FileError::Missing { path: path.to_owned() })?;
        let bytes = content.len() as u64;
        if bytes > FILE_BYTES_MAX {
            return Err(FileError::TooLarge { path: path.to_owned(), bytes });
        }
        Ok(content.clone())
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.files.keys().any(|file| file != path && file.starts_with(path))
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let inside = self.files.keys().filter(|file| file.parent() == Some(folder));
        inside.filter_map(|file| Some(file.file_name()?.to_str()?.to_owned())).collect()
    }
}
