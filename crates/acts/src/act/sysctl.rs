//! Kernel parameters: first the kernel, which refuses what is wrong, then the file that sets them at boot.

use super::{Job, Made};
use crate::account::Owned;
use crate::die::step;
use crate::disk;
use crate::journal::note::{Also, Note};
use crate::refusal::{Attempt as _, Result};
use crate::wire::Refusal;
use haus_model::host_code::HostCode;
use haus_model::operation::{sysctl_file, sysctl_path};
use haus_model::resource::SysctlSpec;
use std::fs;
use std::path::Path;

pub(super) fn note(job: &Job<'_>, spec: &SysctlSpec) -> Result<Note> {
    let path = job.machine.at(&sysctl_path(&spec.key));
    let value = fs::read_to_string(&path).attempt("read", &path)?.trim().to_owned();
    let paths = vec![job.keeper().keep(&sysctl_file(&spec.key), false)?];
    Ok(Note { paths, also: Also::Sysctl { path, value } })
}

pub(super) fn set(job: &mut Job<'_>, spec: &SysctlSpec) -> Result<Made> {
    write_value(&job.machine.at(&sysctl_path(&spec.key)), &spec.value)?;
    let text = format!("# written by haus\n{} = {}\n", spec.key, spec.value);
    let root = Owned { mode: 0o644, ..disk::own(0o644) };
    disk::write(&job.machine.at(&sysctl_file(&spec.key)), text.as_bytes(), root)?;
    Ok(Made::default())
}

/// Gives the kernel a value.
pub(crate) fn write_value(path: &Path, value: &str) -> Result<()> {
    step();
    // No new file: what the kernel does not have cannot be set.
    let opened = fs::OpenOptions::new().write(true).truncate(false).open(path);
    let outcome =
        opened.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{value}\n").as_bytes()));
    outcome.map_err(|error| {
        let remedy = "see the kernel's documentation for the values that it takes";
        Refusal::new(
            HostCode::ActFailed,
            format!("write `{value}` into {}", path.display()),
            error.to_string(),
            remedy,
        )
    })
}

pub(super) fn remove(job: &mut Job<'_>, spec: &SysctlSpec) -> Result<Made> {
    disk::remove(&job.machine.at(&sysctl_file(&spec.key)))?;
    Ok(Made::default())
}
