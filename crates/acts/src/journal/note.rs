//! How a change is taken back: written down before it is made, carried out when it must not stay.
//!
//! Every part of it may be carried out again after it was interrupted, and finds then what is left to do.

use crate::account::{Account, Owned};
use crate::disk::{self, Place};
use crate::journal::DoneLine;
use crate::machine::Machine;
use crate::refusal::{Attempt as _, Result};
use crate::wire::Refusal;
use haus_model::host_code::HostCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// How one change is taken back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Note {
    /// What stood at the paths that it touches, in the order in which they are touched.
    pub(crate) paths: Vec<PathWas>,
    /// What else it touches.
    pub(crate) also: Also,
}

/// What stood at a path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PathWas {
    /// As on this machine, below its root.
    pub(crate) path: PathBuf,
    /// What.
    pub(crate) was: Was,
}

/// What stood somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Was {
    /// Nothing.
    Absent,
    /// A file; its content is kept in ours.
    File {
        owned: Owned,
        backup: PathBuf,
        /// Whether it held a secret: then the backup goes when the apply ends.
        secret: bool,
    },
    /// A link.
    Link { target: PathBuf, owned: Owned },
    /// A folder; what is in it is not touched.
    Folder(Owned),
    /// A folder that was moved aside with everything in it.
    Moved(PathBuf),
}

/// What is not a path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Also {
    /// Nothing.
    #[default]
    Nothing,
    /// Packages that were installed before.
    Packages { before: BTreeSet<String> },
    /// Packages that were held, or not any more.
    Holds { held: BTreeSet<String>, unheld: BTreeSet<String> },
    /// A group: its number when it was there.
    Group { name: String, gid: Option<u32> },
    /// An account as it was, with its groups; none when it was not there.
    User { name: String, was: Option<UserWas> },
    /// A kernel parameter's value.
    Sysctl { path: PathBuf, value: String },
    /// A release that is made below this folder.
    Release { root: PathBuf, id: String },
    /// A unit as it was.
    Unit(UnitWas),
    /// Something that nobody can take back; why.
    Never(String),
}

/// An account as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UserWas {
    pub(crate) uid: u32,
    pub(crate) group: String,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) home: PathBuf,
    pub(crate) shell: PathBuf,
}

impl UserWas {
    pub(crate) fn of(account: &Account, group: String, groups: BTreeSet<String>) -> UserWas {
        let (home, shell) = (account.home.clone(), account.shell.clone());
        UserWas { uid: account.uid, group, groups, home, shell }
    }
}

/// A unit as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UnitWas {
    pub(crate) name: String,
    /// As `systemctl` says; empty when there was no such unit.
    pub(crate) enabled: String,
    /// Whether it ran.
    pub(crate) ran: bool,
    /// Whether a running one is told to read again instead of being restarted.
    pub(crate) reload: bool,
}

/// What is known about a change that is taken back.
pub(crate) struct Known<'a> {
    /// Its done line; none when it was under way or failed.
    pub(crate) done: Option<&'a DoneLine>,
}

/// Looks at a path and keeps what is needed to bring it back.
pub(crate) struct Keeper<'a> {
    /// The machine.
    pub(crate) machine: &'a Machine,
    /// The folder of backups of this apply.
    pub(crate) backups: PathBuf,
    /// The change.
    pub(crate) number: u32,
}

impl Keeper<'_> {
    /// What stands at a path; a file is copied to the backups.
    pub(crate) fn keep(&self, path: &Path, secret: bool) -> Result<PathWas> {
        let path = self.machine.at(path);
        Ok(PathWas { was: self.was(&path, secret)?, path })
    }

    fn was(&self, path: &Path, secret: bool) -> Result<Was> {
        let place = match Place::of(path) {
            Ok(place) => place,
            // Without its folder there is nothing.
            Err(_) if !path.parent().is_some_and(Path::exists) => return Ok(Was::Absent),
            Err(refusal) => return Err(refusal),
        };
        let Some(metadata) = place.metadata()? else { return Ok(Was::Absent) };
        let owned = disk::owned(&metadata);
        if metadata.is_symlink() {
            let target = fs::read_link(place.path()).attempt("read the link", path)?;
            return Ok(Was::Link { target, owned });
        }
        if metadata.is_dir() {
            return Ok(Was::Folder(owned));
        }
        if !metadata.is_file() {
            return Err(in_the_way(path, "neither a file nor a folder nor a link stands there"));
        }
        disk::make_own_folder(&self.backups)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let backup = self.backups.join(format!("{}-{name}", self.number));
        disk::copy_own(&place.path(), &backup)?;
        Ok(Was::File { owned, backup, secret })
    }
}

pub(crate) fn in_the_way(path: &Path, why: &str) -> Refusal {
    let remedy = "look at it; move it away when nobody needs it, then apply again";
    Refusal::new(HostCode::OtherInPlace, format!("use {}", path.display()), why, remedy)
}

impl PathWas {
    /// Brings it back. The text says what could not be.
    pub(crate) fn bring_back(&self) -> Result<Option<String>> {
        let path = &self.path;
        if !path.parent().is_some_and(Path::exists) {
            return Ok((self.was != Was::Absent).then(|| format!("the folder of {} is gone", path.display())));
        }
        // What was written and had not got its name.
        disk::remove(&haus_model::operation::candidate_path(path))?;
        let is = Place::of(path)?.metadata()?;
        match (&self.was, is) {
            (Was::Absent, None) => Ok(None),
            (Was::Absent, Some(is)) if is.is_dir() => Ok(remove_if_empty(path)),
            (Was::Absent, Some(_)) => disk::remove(path).map(|_| None),
            (Was::File { backup, .. }, _) if !backup.exists() => {
                Ok(Some(format!("the former content of {} is not kept any longer", path.display())))
            }
            (Was::File { .. } | Was::Link { .. }, Some(is)) if is.is_dir() => {
                Ok(Some(format!("{} is a folder", path.display())))
            }
            (Was::File { owned, backup, .. }, _) => {
                let mut content = fs::File::open(backup).attempt("read", backup)?;
                disk::candidate(&Place::of(path)?, &mut content, *owned)?.rename().map(|()| None)
            }
            (Was::Link { target, owned }, is) => {
                if is.is_some_and(|is| !is.is_symlink()) {
                    disk::remove(path)?;
                }
                disk::link(path, target, Some(*owned)).map(|()| None)
            }
            (Was::Folder(owned), Some(is)) if is.is_dir() => {
                disk::give_path(&Place::of(path)?, *owned).map(|()| None)
            }
            (Was::Folder(owned), is) => {
                if is.is_some() {
                    disk::remove(path)?;
                }
                disk::make_folder(path, *owned).map(|()| None)
            }
            (Was::Moved(aside), None) => {
                fs::rename(aside, path).attempt("bring back", path)?;
                Place::of(path)?.sync_folder().map(|()| None)
            }
            (Was::Moved(aside), Some(_)) => {
                Ok(aside.exists().then(|| format!("{} stays at {}", path.display(), aside.display())))
            }
        }
    }
}

fn remove_if_empty(path: &Path) -> Option<String> {
    disk::remove_folder(path).err().map(|_| format!("the folder {} is not empty", path.display()))
}

/// Whether a name is one that repositories use to keep an empty folder.
pub(crate) fn keeps_folder(name: &OsStr) -> bool {
    [".gitkeep", ".gitignore", ".keep"].iter().any(|known| name == *known)
}
