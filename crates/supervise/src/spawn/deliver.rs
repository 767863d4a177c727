//! Replaces files of an instance that runs: all of them or none, and only where its start had a say.
//! It does not know what the files are for, and tells nobody about them; the parent's loop does.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::Failure;
use super::ground::{Staged, failure, is_folder, name_beside, place_of};
use super::way::Astray;
use crate::account::Account;
use crate::wire::{FileSpec, SpawnSpec, Step};

/// What a run was given when it started, as far as a later delivery needs it.
pub(crate) struct Ground {
    account: Option<Account>,
    /// Those that belong to the instance.
    folders: Vec<PathBuf>,
}

/// The folder that a file stands in, and its name there.
type Place<'path> = (OwnedFd, &'path OsStr);

impl Ground {
    pub(super) fn new(spec: &SpawnSpec, account: Option<Account>) -> Ground {
        // Folders on the way, such as the one with the lists of the parent, are named as well; they are not
        // its own.
        let own = spec.folders.iter().filter(|folder| folder.owned);
        Ground { account, folders: own.map(|folder| folder.path.clone()).collect() }
    }

    /// Writes every file beside its place before the first one is put there, so that a full disk or a link in
    /// the way of the last file leaves all former ones whole. What is removed goes last.
    pub(crate) fn deliver(&self, files: &[FileSpec], remove: &[PathBuf]) -> Result<(), Failure> {
        refuse_collisions(files, remove)?;
        let to_remove: Vec<(&Path, Place<'_>)> = remove
            .iter()
            .map(|path| Ok((path.as_path(), self.place(path, "remove")?)))
            .collect::<Result<_, Failure>>()?;
        let mut staged = Vec::with_capacity(files.len());
        for file in files {
            let (folder, name) = self.place(&file.path, "write")?;
            let written = Staged::write(folder, name, file, self.account.as_ref());
            staged.push((&file.path, written.map_err(|astray| in_words("write", &file.path, &astray))?));
        }
        for (done, (path, staged)) in staged.into_iter().enumerate() {
            staged.put_in_place().map_err(|astray| {
                let before = Progress { replaced: done, of: files.len() };
                before.add_to(in_words("write", path, &astray))
            })?;
        }
        for (path, (folder, name)) in to_remove {
            match unlinkat(&folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    let before = Progress { replaced: files.len(), of: files.len() };
                    return Err(before.add_to(in_words("remove", path, &errno.into())));
                }
            }
        }
        Ok(())
    }

    /// Walks to a place below a folder of the start. Neither that folder nor anything below it may be a link:
    /// the service can have laid it since.
    fn place<'path>(&self, path: &'path Path, verb: &str) -> Result<Place<'path>, Failure> {
        let is_plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        let below = |folder: &&PathBuf| path != folder.as_path() && path.starts_with(folder);
        let folder = self.folders.iter().filter(below).max_by_key(|folder| folder.as_os_str().len());
        let Some(folder) = folder.filter(|_| is_plain) else {
            let error = format!(
                "cannot {verb} file {}: it lies below no folder of its own that the instance was started with",
                path.display()
            );
            return Err(Failure::new(Step::File, error)
                .hint("restart the service, so that it is started with the folder"));
        };
        let border = folder.parent().unwrap_or(folder);
        let place = place_of(path, Some(border)).map_err(|astray| in_words(verb, path, &astray))?;
        if is_folder(&place.0, place.1) {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(in_words(verb, path, &Astray::System { source })
                .hint(format!("see `ls -ld {0}`, and move the folder away", path.display())));
        }
        Ok(place)
    }
}

/// How far a delivery had come when it failed.
struct Progress {
    replaced: usize,
    of: usize,
}

impl Progress {
    fn add_to(&self, mut failure: Failure) -> Failure {
        if self.replaced > 0 {
            failure.error.push_str(&format!("; {} of {} files are replaced already", self.replaced, self.of));
        }
        failure
    }
}

fn in_words(verb: &str, path: &Path, astray: &Astray) -> Failure {
    failure(Step::File, &format!("cannot {verb} file {}", path.display()), astray)
}

/// Two that mean one file, or the name that one has beside its place, would undo each other.
fn refuse_collisions(files: &[FileSpec], remove: &[PathBuf]) -> Result<(), Failure> {
    let mut taken = BTreeSet::new();
    let beside = files.iter().filter_map(|file| {
        let name = file.path.file_name()?;
        Some(file.path.with_file_name(name_beside(name)))
    });
    let paths = files.iter().map(|file| file.path.clone()).chain(beside);
    for path in paths.chain(remove.iter().cloned().collect::<BTreeSet<_>>()) {
        // By parts: `/a/./b` is `/a/b`.
        if !taken.insert(path.components().collect::<PathBuf>()) {
            let error = format!("cannot deliver file {}: it is named twice", path.display());
            return Err(Failure::new(Step::File, error).hint("name each file once, to write or to remove"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
