//! Links. What stands in the place of one and is no link is data, and is never replaced; only an empty folder
//! may be.

use super::{Job, Made};
use crate::disk::{self, Place};
use crate::refusal::Result;
use crate::wire::Refusal;
use haus_model::host_code::HostCode;
use haus_model::resource::LinkSpec;
use std::path::Path;

pub(super) fn make(job: &mut Job<'_>, spec: &LinkSpec) -> Result<Made> {
    put(&job.machine.at(&spec.path), &spec.target, |_| false)?;
    Ok(Made::default())
}

/// Puts a link in its place. A folder there goes when it is empty, not counting names that `counts_not`
/// knows.
pub(super) fn put(path: &Path, target: &Path, counts_not: fn(&std::ffi::OsStr) -> bool) -> Result<()> {
    let place = Place::of(path)?;
    match place.metadata()? {
        None => {}
        Some(is) if is.is_symlink() => {}
        Some(is) if is.is_dir() => {
            let names: Vec<_> = std::fs::read_dir(place.path()).into_iter().flatten().flatten().collect();
            if !names.iter().all(|entry| counts_not(&entry.file_name())) {
                return Err(data(path, &format!("a folder with {} names in it stands there", names.len())));
            }
            for entry in names {
                disk::remove(&path.join(entry.file_name()))?;
            }
            // Fails when something came in between, and then nothing is lost.
            disk::remove_folder(path)?;
        }
        Some(_) => return Err(data(path, "a file stands there")),
    }
    disk::link(path, target, None)
}

fn data(path: &Path, why: &str) -> Refusal {
    let remedy = "move it to where the link leads, or away; then apply again";
    Refusal::new(HostCode::DataInPlaceOfLink, format!("link {}", path.display()), why, remedy)
}

pub(super) fn remove(job: &mut Job<'_>, spec: &LinkSpec) -> Result<Made> {
    let path = job.machine.at(&spec.path);
    if !path.parent().is_some_and(Path::exists) {
        return Ok(Made::default());
    }
    match Place::of(&path)?.metadata()? {
        None => {}
        Some(is) if is.is_symlink() => drop(disk::remove(&path)?),
        Some(_) => return Err(data(&path, "something that is no link stands there")),
    }
    Ok(Made::default())
}
