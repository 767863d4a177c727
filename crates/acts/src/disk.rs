//! Files, so that somebody who looks sees the old or the new one whole, also after a power cut, and so that
//! nobody but root can lead our writes elsewhere.
//!
//! The folder of a file is walked to part by part. A symbolic link on the way is followed only when root or
//! we own it; afterwards the folder is held open and used through `/proc/self/fd`, so it cannot be exchanged
//! in between.

use crate::account::Owned;
use crate::die::step;
use crate::refusal::{Attempt as _, Result};
use crate::wire::Refusal;
use haus_model::host_code::HostCode;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

const LINKS_MAX: u32 = 40;

/// A name in a folder that is held open.
pub(crate) struct Place {
    folder: OwnedFd,
    name: OsString,
    /// For messages.
    shown: PathBuf,
}

impl Place {
    /// The place of an absolute path; its folder must be there.
    pub(crate) fn of(path: &Path) -> Result<Place> {
        Place::open(path).attempt("reach", path)
    }

    fn open(path: &Path) -> io::Result<Place> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Place { folder: walk(parent)?, name, shown: path.to_owned() })
    }

    /// As a path that nobody can exchange.
    pub(crate) fn path(&self) -> PathBuf {
        self.beside(&self.name)
    }

    fn beside(&self, name: &OsString) -> PathBuf {
        Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(name)
    }

    /// What is there, links not followed.
    pub(crate) fn metadata(&self) -> Result<Option<Metadata>> {
        optional(fs::symlink_metadata(self.path())).attempt("look at", &self.shown)
    }

    /// What changed here is on disk afterwards.
    pub(crate) fn sync_folder(&self) -> Result<()> {
        step();
        let folder = format!("/proc/self/fd/{}", self.folder.as_raw_fd());
        File::open(folder).and_then(|folder| folder.sync_all()).attempt("sync the folder of", &self.shown)
    }
}

/// Nothing is a good answer too.
pub(crate) fn optional<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn walk(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let own = rustix::process::geteuid().as_raw();
    let mut left: Vec<OsString> = parts(folder)?;
    left.reverse();
    let mut at = rustix::fs::open("/", flags, Mode::empty())?;
    let mut links = 0;
    while let Some(part) = left.pop() {
        let stat = rustix::fs::statat(&at, &part, AtFlags::SYMLINK_NOFOLLOW)?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() {
            at = rustix::fs::openat(&at, &part, flags, Mode::empty())?;
            continue;
        }
        links += 1;
        if links > LINKS_MAX || (stat.st_uid != 0 && stat.st_uid != own) {
            return Err(io::Error::other("a link of somebody else stands on the way"));
        }
        let target = rustix::fs::readlinkat(&at, &part, Vec::new())?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            at = rustix::fs::open("/", flags, Mode::empty())?;
        }
        let mut more: Vec<OsString> = target.components().filter_map(part_of).collect();
        more.reverse();
        left.extend(more);
    }
    Ok(at)
}

fn part_of(component: Component<'_>) -> Option<OsString> {
    match component {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    }
}

fn parts(folder: &Path) -> io::Result<Vec<OsString>> {
    if !folder.is_absolute() || folder.components().any(|part| part == Component::ParentDir) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path must be absolute and without `..`"));
    }
    Ok(folder.components().filter_map(part_of).collect())
}

/// Owner, group and bits of what is there.
pub(crate) fn owned(metadata: &Metadata) -> Owned {
    Owned { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & 0o7777 }
}

/// Gives an open file to somebody. The owner first: a change of owner takes special bits away.
pub(crate) fn give(file: &File, owned: Owned) -> io::Result<()> {
    let is = file.metadata()?;
    if (is.uid(), is.gid()) != (owned.uid, owned.gid) {
        rustix::fs::fchown(file, Some(Uid::from_raw(owned.uid)), Some(Gid::from_raw(owned.gid)))?;
    }
    file.set_permissions(fs::Permissions::from_mode(owned.mode))
}

/// Opens what is there without following a link, and gives it to somebody.
pub(crate) fn give_path(place: &Place, owned: Owned) -> Result<()> {
    step();
    let options = OpenOptions::new().read(true).custom_flags(nofollow()).to_owned();
    let file = options.open(place.path()).attempt("open", &place.shown)?;
    give(&file, owned).attempt("change the owner of", &place.shown)?;
    file.sync_all().attempt("sync", &place.shown)
}

fn nofollow() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// A new file beside its place, complete and on disk, waiting for its name.
pub(crate) struct Candidate<'a> {
    place: &'a Place,
    path: PathBuf,
}

impl Candidate<'_> {
    /// Its path, for somebody who checks it.
    pub(crate) fn shown(&self) -> PathBuf {
        haus_model::operation::candidate_path(&self.place.shown)
    }

    /// It gets its name; what was there is gone.
    pub(crate) fn rename(self) -> Result<()> {
        step();
        fs::rename(&self.path, self.place.path()).attempt("rename the new file to", &self.place.shown)?;
        step();
        self.place.sync_folder()
    }
}

impl Drop for Candidate<'_> {
    fn drop(&mut self) {
        // After the rename there is nothing of that name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a new file beside its place.
pub(crate) fn candidate<'a>(place: &'a Place, content: &mut dyn Read, owned: Owned) -> Result<Candidate<'a>> {
    let name = haus_model::operation::candidate_path(&place.shown);
    let name = name.file_name().map(OsString::from).unwrap_or_default();
    let path = place.beside(&name);
    optional(fs::remove_file(&path)).attempt("remove the left over", &place.shown)?;
    step();
    let candidate = Candidate { place, path };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(nofollow())
        .open(&candidate.path)
        .attempt("write", &place.shown)?;
    io::copy(content, &mut file).attempt("write", &place.shown)?;
    step();
    give(&file, owned).attempt("change the owner of", &place.shown)?;
    file.sync_all().attempt("write", &place.shown)?;
    step();
    Ok(candidate)
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, content: &[u8], owned: Owned) -> Result<()> {
    let place = Place::of(path)?;
    candidate(&place, &mut &*content, owned)?.rename()
}

/// Writes a file of our own, which only we may read.
pub(crate) fn write_own(path: &Path, content: &[u8]) -> Result<()> {
    write(path, content, own(0o600))
}

/// Us, with these bits.
pub(crate) fn own(mode: u32) -> Owned {
    Owned { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw(), mode }
}

/// Folders of our own, on disk, which only we may enter.
pub(crate) fn make_own_folder(path: &Path) -> Result<()> {
    let mut made: Vec<&Path> = Vec::new();
    let mut at = path;
    while !at.exists() {
        made.push(at);
        at = at.parent().unwrap_or(Path::new("/"));
    }
    for folder in made.into_iter().rev() {
        step();
        let outcome =
            std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(folder);
        outcome.attempt("make the folder", folder)?;
        Place::of(folder)?.sync_folder()?;
    }
    Ok(())
}

/// Makes a folder and gives it to somebody. Until then only we may enter.
pub(crate) fn make_folder(path: &Path, owned: Owned) -> Result<()> {
    let place = Place::of(path)?;
    step();
    let outcome =
        std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(place.path());
    outcome.attempt("make the folder", path)?;
    step();
    give_path(&place, owned)?;
    place.sync_folder()
}

/// Removes a file or link; says whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool> {
    let place = Place::of(path)?;
    step();
    let gone = optional(fs::remove_file(place.path())).attempt("remove", path)?.is_some();
    if gone {
        place.sync_folder()?;
    }
    Ok(gone)
}

/// Removes an empty folder.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    let place = Place::of(path)?;
    step();
    fs::remove_dir(place.path()).attempt("remove the folder", path)?;
    place.sync_folder()
}

/// Removes a folder with everything in it, links not followed.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    let place = Place::of(path)?;
    step();
    optional(fs::remove_dir_all(place.path())).attempt("remove the folder", path)?;
    place.sync_folder()
}

/// Puts a link in its place at once; what was there (a link or nothing) is gone.
pub(crate) fn link(path: &Path, target: &Path, owner: Option<Owned>) -> Result<()> {
    let place = Place::of(path)?;
    let name = haus_model::operation::candidate_path(path);
    let beside = place.beside(&name.file_name().map(OsString::from).unwrap_or_default());
    optional(fs::remove_file(&beside)).attempt("remove the left over of", path)?;
    step();
    std::os::unix::fs::symlink(target, &beside).attempt("link", path)?;
    if let Some(owned) = owner {
        std::os::unix::fs::lchown(&beside, Some(owned.uid), Some(owned.gid))
            .attempt("change the owner of", path)?;
    }
    step();
    // Replacing what is not a link would be a loss; the caller has looked, this catches what came in between.
    if place.metadata()?.is_some_and(|is| !is.is_symlink()) {
        let _ = fs::remove_file(&beside);
        let why = "something that is no link came there in between";
        return Err(Refusal::new(HostCode::Moved, format!("link {}", path.display()), why, "plan again"));
    }
    fs::rename(&beside, place.path()).attempt("link", path)?;
    step();
    place.sync_folder()
}

/// Everything in a file that is no link, at most so many bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let what = "read";
    let file = OpenOptions::new().read(true).custom_flags(nofollow()).open(path).attempt(what, path)?;
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content).attempt(what, path)?;
    if content.len() as u64 > bytes_max {
        return Err(Refusal::io(format!("read {}", path.display()), &io::ErrorKind::FileTooLarge.into()));
    }
    Ok(content)
}

/// Copies a file to a place of our own.
pub(crate) fn copy_own(from: &Path, to: &Path) -> Result<()> {
    let mut file = OpenOptions::new().read(true).custom_flags(nofollow()).open(from).attempt("read", from)?;
    let place = Place::of(to)?;
    candidate(&place, &mut file, own(0o600))?.rename()
}

/// Appends to a file and has it on disk.
pub(crate) fn append(file: &mut File, line: &[u8], path: &Path) -> Result<()> {
    step();
    file.write_all(line).attempt("write", path)?;
    step();
    file.sync_data().attempt("write", path)?;
    step();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("motd");
        write(&path, b"one", own(0o640)).expect("writes");
        write(&path, b"two", own(0o600)).expect("writes");
        assert_eq!(fs::read(&path).expect("reads"), b"two");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("a"), folder.path().join("other"));
        fs::write(&other, b"mine").expect("writes");
        std::os::unix::fs::symlink(&other, &path).expect("links");
        write(&path, b"new", own(0o600)).expect("writes");
        assert_eq!(fs::read(&other).expect("reads"), b"mine");
        assert!(!fs::symlink_metadata(&path).expect("there").is_symlink());
    }

    #[test]
    fn links_of_somebody_else_are_not_followed() {
        if !rustix::process::geteuid().is_root() {
            return haus_testkit::loud_skip("links_of_somebody_else", "needs root to give a link away");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).expect("makes");
        std::os::unix::fs::symlink(&real, &link).expect("links");
        write(&link.join("a"), b"1", own(0o600)).expect("our own link leads on");
        std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).expect("gives away");
        let refusal = write(&link.join("b"), b"1", own(0o600)).expect_err("refused");
        assert!(refusal.why.contains("somebody else"), "{refusal}");
    }

    #[test]
    fn data_is_never_replaced_by_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        fs::write(&path, b"mine").expect("writes");
        assert_eq!(link(&path, Path::new("/nowhere"), None).expect_err("refused").code, HostCode::Moved);
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1);
    }
}
