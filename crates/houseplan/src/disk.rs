//! The edge of this crate: plan files on a real disk.
//!
//! Decides nothing about a plan; only what may be read at all.

use crate::files::{FILE_BYTES_MAX, FileError, Files};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Files as the operating system has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        let failed = |source: io::Error| {
            let path = path.to_owned();
            if source.kind() == io::ErrorKind::NotFound {
                FileError::Missing { path }
            } else {
                FileError::Read { path, source }
            }
        };
        // Asked before opening: opening a pipe would wait for a writer, and /dev/zero never ends.
        let facts = fs::metadata(path).map_err(failed)?;
        if !facts.is_file() {
            return Err(FileError::NotRegular { path: path.to_owned() });
        }
        if facts.len() > FILE_BYTES_MAX {
            return Err(FileError::TooLarge { path: path.to_owned(), bytes: facts.len() });
        }
        let file = File::open(path).map_err(failed)?;
        let mut content = Vec::with_capacity(usize::try_from(facts.len()).unwrap_or(0));
        // Files below /proc have no size and others grow meanwhile, so the bound is held here too.
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(failed)?;
        let bytes = content.len() as u64;
        if bytes > FILE_BYTES_MAX {
            return Err(FileError::TooLarge { path: path.to_owned(), bytes });
        }
        Ok(content)
    }

    fn is_folder(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|facts| facts.is_dir())
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}
