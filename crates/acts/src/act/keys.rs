//! Keys that may log in to an account. The file and its folder belong to the account, as sshd's `StrictModes`
//! wants.

use super::{Job, Made};
use crate::account::{Account, Owned};
use crate::disk::{self, Place};
use crate::journal::note::{Also, Note};
use crate::refusal::Result;
use crate::wire::Refusal;
use haus_model::host_code::HostCode;
use haus_model::resource::KeysSpec;
use std::path::PathBuf;

fn places(job: &Job<'_>, account: &Account) -> (PathBuf, PathBuf) {
    let folder = job.machine.at(&account.home).join(".ssh");
    let file = folder.join("authorized_keys");
    (folder, file)
}

pub(super) fn note(job: &Job<'_>, spec: &KeysSpec) -> Result<Note> {
    let account = job.accounts.expect_user(&spec.user)?;
    let folder = account.home.join(".ssh");
    let keeper = job.keeper();
    let paths = vec![keeper.keep(&folder, false)?, keeper.keep(&folder.join("authorized_keys"), false)?];
    Ok(Note { paths, also: Also::Nothing })
}

pub(super) fn write(job: &mut Job<'_>, spec: &KeysSpec) -> Result<Made> {
    let account = job.accounts.expect_user(&spec.user)?;
    let (folder, file) = places(job, &account);
    let what = || format!("write {}", file.display());
    if !job.machine.at(&account.home).is_dir() {
        let why = format!("the home {} is not there", account.home.display());
        return Err(Refusal::new(HostCode::ActFailed, what(), why, "let the account have a home"));
    }
    let owned = |mode| Owned { uid: account.uid, gid: account.gid, mode };
    match Place::of(&folder)?.metadata()? {
        None => disk::make_folder(&folder, owned(0o700))?,
        // sshd accepts root as the owner too; others may not write there.
        Some(is) if is.is_dir() && (is_of(&is, account.uid) || is_of(&is, 0)) => {
            disk::give_path(&Place::of(&folder)?, owned(0o700))?;
        }
        Some(_) => {
            let why = format!("{} is a link, a file or somebody else's", folder.display());
            return Err(Refusal::new(HostCode::OtherInPlace, what(), why, "look at it and move it away"));
        }
    }
    let mut text = String::from("# written by haus: other keys are removed at the next apply\n");
    for key in &spec.keys {
        text.push_str(key);
        text.push('\n');
    }
    disk::write(&file, text.as_bytes(), owned(0o600))?;
    Ok(Made::default())
}

fn is_of(metadata: &std::fs::Metadata, uid: u32) -> bool {
    disk::owned(metadata).uid == uid
}

pub(super) fn remove(job: &mut Job<'_>, spec: &KeysSpec) -> Result<Made> {
    // The account may have gone with its home.
    let Some(account) = job.accounts.user(&spec.user) else { return Ok(Made::default()) };
    let (folder, file) = places(job, &account);
    if folder.is_dir() {
        disk::remove(&file)?;
    }
    Ok(Made::default())
}
