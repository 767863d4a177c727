//! One house, one parent: an advisory lock on `STATE/lock` that the kernel releases however the holder ends.
//! It does not know what a house is made of.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::account;
use crate::identity::{IdentityError, ProcessIdentity};

/// Who holds a house; written into the lock file by the holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The holding process.
    #[serde(flatten)]
    pub process: ProcessIdentity,
    /// Wall clock, as `2026-11-21T03:00:00Z`.
    pub since: String,
    /// Account of the holder.
    pub user: String,
    /// The folder of the house.
    pub folder: PathBuf,
}

/// Why the lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("{}", held_message(state, holder.as_deref()))]
    Held {
        /// The state folder.
        state: PathBuf,
        /// The holder, when the file could be read.
        holder: Option<Box<Holder>>,
    },
    /// The lock file could not be used.
    #[error("cannot use lock file {path}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Our own identity could not be read.
    #[error("cannot tell who we are")]
    Identity {
        /// Why.
        #[source]
        source: IdentityError,
    },
}

fn held_message(state: &Path, holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { process, since, user, folder }) => {
            let (pid, folder) = (process.pid, folder.display());
            format!("the house is held by process {pid} of {user} since {since}, started from {folder}")
        }
        None => {
            format!(
                "the house is held by another process; `fuser {}` names it",
                state.join(FILE_NAME).display()
            )
        }
    }
}

const FILE_NAME: &str = "lock";

/// Held until dropped or until the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that lives on after its hold must not be taken for the holder.
        let _ = self.file.set_len(0);
    }
}

impl Lock {
    /// Takes the lock of the house with this state folder; `folder` is what a second comer is told.
    /// The state folder has to exist.
    pub fn take(state: &Path, folder: &Path) -> Result<Lock, LockError> {
        let path = state.join(FILE_NAME);
        let open = |source| LockError::Open { path: path.clone(), source };
        // The file is never removed: a lock on a removed file would exclude nobody.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(open)?;
        // A lock can be taken on a descriptor that was opened for reading, so nobody else may open the file.
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(open)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                // The text of a holder that has died says nothing about who has the lock.
                let holder = read_holder(&path).filter(|holder| holder.process.is_alive()).map(Box::new);
                return Err(LockError::Held { state: state.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(open(source)),
        }
        let holder = Holder {
            process: ProcessIdentity::own().map_err(|source| LockError::Identity { source })?,
            since: format!("{:.0}", jiff::Timestamp::now()),
            user: account::own_user_name(),
            folder: folder.to_owned(),
        };
        let mut text = serde_json::to_vec(&holder).map_err(|error| open(error.into()))?;
        text.push(b'\n');
        file.set_len(0).and_then(|()| file.write_all(&text)).map_err(open)?;
        Ok(Lock { file })
    }

    /// Who holds the house now. The lock itself is left alone: trying it would make a real taker fail.
    pub fn holder(state: &Path) -> Option<Holder> {
        read_holder(&state.join(FILE_NAME)).filter(|holder| holder.process.is_alive())
    }
}

fn read_holder(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_comer_learns_who_holds_the_house() {
        let state = tempfile::tempdir().expect("folder");
        let lock = Lock::take(state.path(), Path::new("/srv/house")).expect("first");
        let refusal = Lock::take(state.path(), Path::new("/elsewhere")).expect_err("second").to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        assert!(refusal.contains("/srv/house") && refusal.contains("since 20"), "{refusal}");
        let holder = Lock::holder(state.path()).expect("held");
        assert_eq!(
            (holder.process.pid, holder.folder.as_path()),
            (std::process::id(), Path::new("/srv/house"))
        );
        drop(lock);
        assert_eq!(Lock::holder(state.path()), None, "it lives on and holds nothing");
        Lock::take(state.path(), Path::new("/elsewhere")).expect("free again");
    }

    #[test]
    fn a_holder_that_has_died_holds_nothing() {
        let state = tempfile::tempdir().expect("folder");
        let mut process = ProcessIdentity::own().expect("we run");
        process.start_ticks += 1;
        let dead = Holder { process, since: String::new(), user: String::new(), folder: PathBuf::new() };
        fs::write(state.path().join("lock"), serde_json::to_vec(&dead).expect("writes")).expect("writes");
        assert_eq!(Lock::holder(state.path()), None);
        Lock::take(state.path(), Path::new("/srv/house")).expect("free");
    }

    #[test]
    fn an_unusable_state_folder_is_named() {
        let refusal = Lock::take(Path::new("/nowhere/at/all"), Path::new("/")).expect_err("no folder");
        assert_eq!(refusal.to_string(), "cannot use lock file /nowhere/at/all/lock");
    }
}
