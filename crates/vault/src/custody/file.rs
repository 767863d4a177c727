//! Reading a file only when nobody else can read or exchange it, and replacing it so that a crash leaves the
//! old one or the new one. It does not know what is in it.

use super::FILE_BYTES_MAX;
use super::error::{CustodyError, Fault};
use haus_model::Secret;
use rustix::fs::{CWD, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Mode of every file that is written here.
const MODE: u32 = 0o600;
const STICKY: u32 = 0o1000;

/// Whose rules a file must obey.
#[derive(Clone, Copy)]
pub(super) enum Rules {
    /// A file of ours: nobody else may do anything with it.
    Own,
    /// Put there by systemd, which owns the folder. Where it uses an access list, the bit of the group shows
    /// the list's mask, so only the bits of everybody else mean something.
    Systemd,
}

/// A file's content, and what is not well about where it is.
pub(super) struct Read {
    pub(super) content: Secret,
    pub(super) warnings: Vec<String>,
}

/// Reads a file after looking at what was opened, not at what the name meant before.
pub(super) fn read(path: &Path, rules: Rules) -> Result<Read, CustodyError> {
    let failed = |source| CustodyError::Read { path: path.to_owned(), source };
    let refused = |fault| CustodyError::Unsafe { path: path.to_owned(), fault };
    // A pipe in its place must not make us wait, a link must not lead us elsewhere.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).expect("flags of open fit into an int");
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(path)),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => return Err(refused(Fault::Link)),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {
            return Err(refused(Fault::NotAFile));
        }
        Err(error) => return Err(failed(error)),
    };
    let about = file.metadata().map_err(failed)?;
    let mut warnings = Vec::new();
    if let Some(fault) = fault_of_file(&about, rules) {
        return Err(refused(fault));
    }
    match rules {
        Rules::Systemd => {}
        Rules::Own => {
            let folder = fs::metadata(folder_of(path)).map_err(failed)?;
            if let Some(fault) = fault_of_folder(&folder) {
                return Err(refused(fault));
            }
            warnings.extend(warnings_about(path, &about, &folder));
        }
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(CustodyError::TooLarge { path: path.to_owned(), bytes: about.len() });
    }
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let room = usize::try_from(FILE_BYTES_MAX + 1).expect("some kilobytes");
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(failed)?;
    let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
    if bytes > FILE_BYTES_MAX {
        return Err(CustodyError::TooLarge { path: path.to_owned(), bytes });
    }
    Ok(Read { content: Secret::new(std::mem::take(&mut *content)), warnings })
}

/// Writes a file where there is none, with its folder.
pub(super) fn write_new(path: &Path, content: &Secret) -> Result<(), CustodyError> {
    let failed = |source| CustodyError::Write { path: path.to_owned(), source };
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let about = fs::metadata(&folder).map_err(failed)?;
    if let Some(fault) = fault_of_folder(&about) {
        return Err(CustodyError::Unsafe { path: path.to_owned(), fault });
    }
    let temporary = write_beside(path, content).map_err(failed)?;
    let moved = move_without_replacing(&temporary, path);
    if let Err(error) = moved {
        // What cannot be removed is overwritten by the next try.
        let _ = fs::remove_file(&temporary);
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Err(CustodyError::Exists { path: path.to_owned() });
        }
        return Err(failed(error));
    }
    sync_folder(&folder).map_err(failed)
}

/// Replaces a file that was read before.
pub(super) fn write_over(path: &Path, content: &Secret) -> Result<(), CustodyError> {
    let failed = |source| CustodyError::Write { path: path.to_owned(), source };
    let temporary = write_beside(path, content).map_err(failed)?;
    if let Err(error) = fs::rename(&temporary, path) {
        let _ = fs::remove_file(&temporary);
        return Err(failed(error));
    }
    sync_folder(&folder_of(path)).map_err(failed)
}

/// A complete copy beside the file, on disk before it gets its name. Its own name is always the same, so that
/// what a crash leaves behind is cleared by the next try instead of keeping keys for ever.
fn write_beside(path: &Path, content: &Secret) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut temporary = name.to_owned();
    temporary.push(".new");
    let temporary = path.with_file_name(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&temporary)?;
        // An odd umask may have taken bits away.
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(content.expose_bytes())?;
        file.sync_all()
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(temporary)
}

fn move_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // File systems that cannot do that can usually link.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        Err(error) => Err(error.into()),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // The new name is on disk only when its folder is.
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn missing(path: &Path) -> CustodyError {
    let remedy = "put the saved copy back; only a house that has sealed nothing yet may get a new one";
    CustodyError::Missing { place: path.display().to_string(), remedy: String::from(remedy) }
}

fn is_ours_or_roots(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

fn fault_of_file(about: &Metadata, rules: Rules) -> Option<Fault> {
    if !about.is_file() {
        return Some(Fault::NotAFile);
    }
    let us = rustix::process::geteuid().as_raw();
    if !is_ours_or_roots(about.uid()) {
        return Some(Fault::Owner { owner: about.uid(), us });
    }
    let mode = about.mode() & 0o777;
    let forbidden = match rules {
        Rules::Own => 0o077,
        Rules::Systemd => 0o037,
    };
    (mode & forbidden != 0).then_some(Fault::Mode { mode, wanted: MODE })
}

fn fault_of_folder(folder: &Metadata) -> Option<Fault> {
    let open = folder.mode() & 0o002 != 0 && folder.mode() & STICKY == 0;
    open.then_some(Fault::Folder { mode: folder.mode() & 0o777 })
}

fn warnings_about(path: &Path, about: &Metadata, folder: &Metadata) -> Vec<String> {
    let path = path.display();
    let mut warnings = Vec::new();
    if folder.mode() & 0o020 != 0 && folder.mode() & STICKY == 0 {
        let group = folder.gid();
        warnings
            .push(format!("the group {group} can exchange the key ring in {path}; `chmod g-w` its folder"));
    }
    if !is_ours_or_roots(folder.uid()) {
        let owner = folder.uid();
        warnings.push(format!(
            "the account {owner} owns the folder of the key ring in {path} and can exchange it; `chown` the folder"
        ));
    }
    if about.nlink() > 1 {
        let names = about.nlink();
        warnings.push(format!(
            "the key ring in {path} has {names} names; remove the others, they keep retired keys after a rotation"
        ));
    }
    warnings
}
