//! Folders. What is in one is never touched; one that is not empty is never removed.

use super::{Job, Made};
use crate::account::Owned;
use crate::disk::{self, Place};
use crate::journal::note::{Also, Note, in_the_way};
use crate::refusal::Result;
use haus_model::change::ActKind;
use haus_model::resource::DirectorySpec;
use std::path::{Path, PathBuf};

/// Folders on the way that are not there, the outermost first, and the folder itself.
fn chain(job: &Job<'_>, path: &Path) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
    list.retain(|folder| !job.machine.at(folder).exists());
    list.reverse();
    list.push(path.to_owned());
    list
}

pub(super) fn note(job: &Job<'_>, act: ActKind, spec: &DirectorySpec) -> Result<Note> {
    let chain = if act == ActKind::Remove { vec![spec.path.clone()] } else { chain(job, &spec.path) };
    let kept: Result<Vec<_>> = chain.iter().map(|path| job.keeper().keep(path, false)).collect();
    Ok(Note { paths: kept?, also: Also::Nothing })
}

pub(super) fn make(job: &mut Job<'_>, spec: &DirectorySpec) -> Result<Made> {
    let owned = job.accounts.owned(&spec.access)?;
    let own = disk::own(0o755);
    let mut chain = chain(job, &spec.path);
    let last = chain.pop().unwrap_or_default();
    for folder in chain {
        disk::make_folder(&job.machine.at(&folder), own)?;
    }
    let path = job.machine.at(&last);
    match Place::of(&path)?.metadata()? {
        None => disk::make_folder(&path, owned)?,
        Some(is) if is.is_dir() => give(&path, disk::owned(&is), owned)?,
        Some(_) => return Err(in_the_way(&spec.path, "no folder stands there")),
    }
    Ok(Made::default())
}

fn give(path: &Path, is: Owned, wanted: Owned) -> Result<()> {
    if is == wanted { Ok(()) } else { disk::give_path(&Place::of(path)?, wanted) }
}

pub(super) fn remove(job: &mut Job<'_>, spec: &DirectorySpec) -> Result<Made> {
    let path = job.machine.at(&spec.path);
    if !path.parent().is_some_and(Path::exists) || Place::of(&path)?.metadata()?.is_none() {
        return Ok(Made::default());
    }
    let notes = match disk::remove_folder(&path) {
        Ok(()) => Vec::new(),
        Err(_) => vec![format!("{} is not empty, so it stays", spec.path.display())],
    };
    Ok(Made { notes, ..Made::default() })
}
