//! Prepares what an instance finds when it starts: folders, files and links, with owner and mode.
//! It does not know what they are for; secret content is written and never shown.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, openat, readlinkat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;

use super::Failure;
use super::way::{Astray, walk};
use crate::account::Account;
use crate::wire::{FileSpec, FolderSpec, LinkSpec, SpawnSpec, Step};

pub(super) fn prepare(spec: &SpawnSpec, account: Option<&Account>) -> Result<(), Failure> {
    for folder in &spec.folders {
        make_folder(folder, account).map_err(|astray| {
            failure(Step::Folder, &format!("cannot make folder {}", folder.path.display()), &astray)
        })?;
    }
    for file in &spec.files {
        write_file(file, account).map_err(|astray| {
            failure(Step::File, &format!("cannot write file {}", file.path.display()), &astray)
        })?;
    }
    spec.links.iter().try_for_each(|link| make_link(link, &spec.folder))
}

pub(super) fn failure(step: Step, attempt: &str, astray: &Astray) -> Failure {
    Failure { step, error: format!("{attempt}: {astray}"), hint: astray.remedy() }
}

fn make_folder(folder: &FolderSpec, account: Option<&Account>) -> Result<(), Astray> {
    // The last part may lie in a folder that a service owns: a link there must not lead our chown elsewhere.
    let border = folder.path.parent().unwrap_or(&folder.path);
    let place = walk(&folder.path, border, true)?;
    let open = openat(&place, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    set_owner_and_mode(&open.into(), folder.mode, account.filter(|_| folder.owned))
        .map_err(|source| Astray::System { source })
}

/// The content appears whole or not at all, and never with wider permissions than it will have.
fn write_file(file: &FileSpec, account: Option<&Account>) -> Result<(), Astray> {
    let (folder, name) = place_of(&file.path, None)?;
    Staged::write(folder, name, file, account)?.put_in_place()
}

/// A file that is written beside its place. Dropped before it was put there, it is taken back.
pub(super) struct Staged<'path> {
    folder: OwnedFd,
    name: &'path OsStr,
    /// Absent once it is in place.
    beside: Option<OsString>,
}

/// What a file is called before it is in its place.
pub(super) fn name_beside(name: &OsStr) -> OsString {
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(".new");
    beside
}

impl<'path> Staged<'path> {
    pub(super) fn write(
        folder: OwnedFd,
        name: &'path OsStr,
        file: &FileSpec,
        account: Option<&Account>,
    ) -> Result<Staged<'path>, Astray> {
        let beside = name_beside(name);
        match unlinkat(&folder, &beside, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                let shown = beside.to_string_lossy();
                let told = io::Error::other(format!("{shown} beside it cannot be removed: {errno}"));
                return Err(Astray::System { source: told });
            }
        }
        // A fresh file or none: what the service lays there in this moment is not written to.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut new = File::from(openat(&folder, &beside, flags, Mode::from_raw_mode(0o600))?);
        let staged = Staged { folder, name, beside: Some(beside) };
        new.write_all(file.content.expose_bytes())
            .and_then(|()| set_owner_and_mode(&new, file.mode, account.filter(|_| file.owned)))
            .map_err(|source| Astray::System { source })?;
        Ok(staged)
    }

    pub(super) fn put_in_place(mut self) -> Result<(), Astray> {
        if let Some(beside) = &self.beside {
            renameat(&self.folder, beside, &self.folder, self.name)?;
        }
        self.beside = None;
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = unlinkat(&self.folder, beside, AtFlags::empty());
        }
    }
}

/// Removes a file that an instance was given; one that cannot be removed stays, since nothing may hold up an
/// end.
pub(super) fn remove_file(path: &Path) {
    if let Ok((folder, name)) = place_of(path, None) {
        let _ = unlinkat(&folder, name, AtFlags::empty());
    }
}

/// The folder that something stands in, and its name there.
pub(super) fn place_of<'path>(
    path: &'path Path,
    border: Option<&Path>,
) -> Result<(OwnedFd, &'path OsStr), Astray> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Astray::System { source: io::Error::other("the path has no name at its end") });
    };
    Ok((walk(folder, border.unwrap_or(folder), false)?, name))
}

fn set_owner_and_mode(open: &File, mode: u32, owner: Option<&Account>) -> io::Result<()> {
    let metadata = open.metadata()?;
    if let Some(account) = owner
        && (metadata.uid(), metadata.gid()) != (account.uid, account.gid)
    {
        fchown(open, Some(account.uid), Some(account.gid))?;
    }
    if metadata.mode() & 0o7777 != mode {
        open.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// The working folder and all below it may belong to the service, so no link is passed there.
fn make_link(link: &LinkSpec, working_folder: &Path) -> Result<(), Failure> {
    let (path, target) = (link.path.display(), link.target.display());
    let attempt = format!("cannot link {path} to {target}");
    let failed = |astray: Astray| failure(Step::Link, &attempt, &astray);
    let (folder, name) = place_of(&link.path, Some(working_folder)).map_err(failed)?;
    match symlinkat(&link.target, &folder, name) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno.into())),
    }
    let found = match readlinkat(&folder, name, Vec::new()) {
        Ok(present) => {
            let present = PathBuf::from(OsString::from_vec(present.into_bytes()));
            if present == link.target {
                return Ok(());
            }
            format!("a link to {}", present.display())
        }
        Err(_) if is_folder(&folder, name) => String::from("a folder"),
        Err(_) => String::from("a file"),
    };
    Err(Failure::new(Step::Link, format!("{attempt}: {found} stands there"))
        .hint(format!("move its content to {target} if it is wanted, then remove {path}")))
}

pub(super) fn is_folder(folder: &OwnedFd, name: &OsStr) -> bool {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty()).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use haus_model::Secret;

    fn folder_in(parent: &Path) -> FolderSpec {
        FolderSpec { path: parent.join("a/b"), mode: 0o750, owned: true }
    }

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).expect("exists").mode() & 0o7777
    }

    #[test]
    fn folders_and_files_get_their_mode_and_a_second_start_changes_nothing() {
        let home = tempfile::tempdir().expect("folder");
        let path = home.path().join("a/b/key");
        let file = |content: &str| FileSpec {
            path: path.clone(),
            content: Secret::from(content.to_owned()),
            mode: 0o400,
            owned: true,
        };
        for content in ["first", "second"] {
            let spec = SpawnSpec {
                folders: vec![folder_in(home.path())],
                files: vec![file(content)],
                ..SpawnSpec::default()
            };
            prepare(&spec, None).expect("prepares");
            assert_eq!((mode_of(&home.path().join("a/b")), mode_of(&path)), (0o750, 0o400));
            assert_eq!(fs::read_to_string(&path).expect("reads"), content);
        }
        assert_eq!(fs::read_dir(home.path().join("a/b")).expect("lists").count(), 1);
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_refused() {
        let home = tempfile::tempdir().expect("folder");
        fs::create_dir_all(home.path().join("a")).expect("makes");
        symlink("/", home.path().join("a/b")).expect("links");
        let spec = SpawnSpec { folders: vec![folder_in(home.path())], ..SpawnSpec::default() };
        let failure = prepare(&spec, None).expect_err("refused");
        assert_eq!(failure.step, Step::Folder);
        assert!(failure.error.contains("a/b, a link to / of uid"), "{}", failure.error);
        assert!(failure.hint.is_some_and(|hint| hint.contains("rm /")), "names the remedy");
    }

    #[test]
    fn a_failed_file_names_its_path_and_not_its_content() {
        let path = PathBuf::from("/nowhere/at/all/key");
        let file = FileSpec { path, content: Secret::from("hunter2".to_owned()), mode: 0o400, owned: false };
        let failure =
            prepare(&SpawnSpec { files: vec![file], ..SpawnSpec::default() }, None).expect_err("no folder");
        assert_eq!(failure.step, Step::File);
        assert!(failure.error.contains("/nowhere/at/all/key") && !failure.error.contains("hunter2"));
    }

    #[test]
    fn a_link_is_made_when_absent_kept_when_right_and_never_replaced() {
        let home = tempfile::tempdir().expect("folder");
        let link = |name: &str| LinkSpec { path: home.path().join(name), target: PathBuf::from("/srv/data") };
        make_link(&link("data"), home.path()).expect("made");
        make_link(&link("data"), home.path()).expect("kept");
        symlink("/elsewhere", home.path().join("wrong")).expect("links");
        fs::create_dir(home.path().join("folder")).expect("makes");
        for (name, found) in [("wrong", "a link to /elsewhere"), ("folder", "a folder")] {
            let failure = make_link(&link(name), home.path()).expect_err("refused");
            assert!(failure.error.contains(found) && failure.hint.is_some(), "{}", failure.error);
        }
        assert_eq!(fs::read_link(home.path().join("wrong")).expect("link"), PathBuf::from("/elsewhere"));
    }

    #[test]
    fn a_link_is_not_made_through_a_folder_that_was_swapped_for_a_link() {
        let home = tempfile::tempdir().expect("folder");
        let elsewhere = tempfile::tempdir().expect("folder");
        fs::create_dir(home.path().join("in")).expect("makes");
        symlink(elsewhere.path(), home.path().join("in/server")).expect("links");
        let link =
            LinkSpec { path: home.path().join("in/server/motd"), target: PathBuf::from("/srv/data/motd") };
        let failure = make_link(&link, &home.path().join("in")).expect_err("refused");
        assert!(failure.error.contains("in/server, a link to"), "{}", failure.error);
        assert!(failure.hint.is_some_and(|hint| hint.contains("rm ")), "names the remedy");
        assert_eq!(fs::read_dir(elsewhere.path()).expect("lists").count(), 0);
    }

    #[test]
    fn a_file_is_removed_and_one_that_is_gone_is_no_matter() {
        let home = tempfile::tempdir().expect("folder");
        let path = home.path().join("key");
        fs::write(&path, "hunter2").expect("writes");
        remove_file(&path);
        assert!(!path.exists());
        remove_file(&path);
    }
}
