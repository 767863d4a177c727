//! Where our programs for hosts are: `haus-remote` for each architecture, and `haus` itself.
//!
//! They lie beside the running `haus`, as `haus-remote-x86_64` and so on, or in the folder that
//! HAUS_REMOTE_DIR names.

use crate::exit::{FAILED, Failure};
use haus_apply::programs::Programs;
use haus_model::host::Architecture;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ARCHITECTURES: [Architecture; 2] = [Architecture::Amd64, Architecture::Arm64];

/// Folders that are looked through, the first that has a program wins.
fn folders() -> Result<Vec<PathBuf>, Failure> {
    let own = crate::command::parent::own_program()?;
    let beside = own.parent().map(Path::to_owned).unwrap_or_default();
    let named = std::env::var_os("HAUS_REMOTE_DIR").map(PathBuf::from);
    // A program that was built here lies two folders up, in `remote`.
    let built = beside.parent().map(|target| target.join("remote"));
    Ok(named.into_iter().chain([beside]).chain(built).collect())
}

/// The programs that we put on hosts.
pub(super) fn remote() -> Result<Programs, Failure> {
    let folders = folders()?;
    let mut found: Vec<(Architecture, PathBuf)> = Vec::new();
    for architecture in ARCHITECTURES {
        let name = format!("haus-remote-{}", architecture.machine());
        if let Some(path) = folders.iter().map(|folder| folder.join(&name)).find(|path| path.is_file()) {
            found.push((architecture, path));
        }
    }
    if found.is_empty() {
        let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        return Err(Failure::new(FAILED, format!("there is no haus-remote in {}", places.join(", ")))
            .hint("build it with `./x remote`, or name its folder in HAUS_REMOTE_DIR"));
    }
    let files = found.iter().map(|(architecture, path)| (*architecture, path.as_path()));
    Programs::read(files).map_err(|error| {
        Failure::from_error(
            FAILED,
            &error,
            "see that this account may read it, or build it with `./x remote`",
        )
    })
}

/// Our own program by architecture, for hosts that run a coordinator. That of this machine is the one that
/// runs; for others `haus-ARCHITECTURE` is looked for in the same folders.
pub(super) fn own() -> Result<BTreeMap<Architecture, PathBuf>, Failure> {
    let mut programs = BTreeMap::new();
    for architecture in ARCHITECTURES {
        let name = format!("haus-{}", architecture.machine());
        let found = folders()?.iter().map(|folder| folder.join(&name)).find(|path| path.is_file());
        if let Some(path) = found {
            programs.insert(architecture, path);
        }
    }
    if let Some(here) = Architecture::from_machine(std::env::consts::ARCH)
        && !programs.contains_key(&here)
    {
        programs.insert(here, crate::command::parent::own_program()?);
    }
    Ok(programs)
}
