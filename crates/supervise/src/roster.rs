//! The durable list of running children in `STATE/children.json`, for the parent that comes after a `kill
//! -9`. It does not signal anybody; `orphans.rs` acts on what is read here.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cgroup::Group;
use crate::identity::ProcessIdentity;
use crate::wire::StopSpec;

const FILE_NAME: &str = "children.json";
const VERSION: u32 = 1;

/// One running child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) run: u64,
    /// The leader; its pid is also the number of its session and group.
    pub(crate) process: ProcessIdentity,
    /// Value of `HAUS_RUN_ID` in the environment of every process of the run.
    pub(crate) mark: String,
    pub(crate) cgroup: Option<Group>,
    pub(crate) stop: StopSpec,
    /// Files that it was given, secrets among them; a later parent removes them.
    #[serde(default)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Roster {
    version: u32,
    children: Vec<Record>,
}

/// Why the list could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RosterError {
    #[error("cannot read {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot understand {path}", path = path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path} has version {version}, this program knows {VERSION}", path = path.display())]
    Version { path: PathBuf, version: u32 },
    #[error("cannot write {path}", path = path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Reads the list; no file means nobody.
pub(crate) fn read(state: &Path) -> Result<Vec<Record>, RosterError> {
    let path = state.join(FILE_NAME);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RosterError::Read { path, source }),
    };
    let roster: Roster = match serde_json::from_slice(&text) {
        Ok(roster) => roster,
        Err(source) => return Err(RosterError::Parse { path, source }),
    };
    if roster.version != VERSION {
        return Err(RosterError::Version { path, version: roster.version });
    }
    Ok(roster.children)
}

/// Replaces the list. There is no fsync: a list lost with the machine's power speaks of processes that are
/// lost too.
pub(crate) fn write(state: &Path, children: Vec<Record>) -> Result<(), RosterError> {
    let path = state.join(FILE_NAME);
    let beside = state.join(format!("{FILE_NAME}.new"));
    let roster = Roster { version: VERSION, children };
    serde_json::to_vec_pretty(&roster)
        .map_err(io::Error::from)
        .and_then(|text| write_private(&beside, &text))
        .and_then(|()| fs::rename(&beside, &path))
        .map_err(|source| RosterError::Write { path, source })
}

/// The marks in it tell our processes apart from others: nobody else needs to know them.
fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // One that an earlier version has left behind keeps its mode otherwise.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_reads_the_list() {
        let state = tempfile::tempdir().expect("folder");
        let beside = state.path().join(format!("{FILE_NAME}.new"));
        fs::write(&beside, "of an earlier version").expect("writes");
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o644)).expect("changes");
        write(state.path(), Vec::new()).expect("writes");
        let mode = fs::metadata(state.path().join(FILE_NAME)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_list_survives_and_a_broken_one_is_told_from_none() {
        let state = tempfile::tempdir().expect("folder");
        assert_eq!(read(state.path()).expect("none"), []);
        let record = Record {
            key: String::from("api/1"),
            run: 7,
            process: ProcessIdentity { pid: 5, start_ticks: 6, boot_id: String::from("b") },
            mark: String::from("m"),
            cgroup: None,
            stop: StopSpec::default(),
            files: vec![PathBuf::from("/run/haus/x/credentials/api/1/key")],
        };
        write(state.path(), vec![record.clone()]).expect("writes");
        assert_eq!(read(state.path()).expect("reads"), [record]);
        fs::write(state.path().join(FILE_NAME), "{\"version\":1,").expect("writes");
        assert!(matches!(read(state.path()), Err(RosterError::Parse { .. })));
        fs::write(state.path().join(FILE_NAME), "{\"version\":2,\"children\":[]}").expect("writes");
        assert!(matches!(read(state.path()), Err(RosterError::Version { version: 2, .. })));
    }
}
