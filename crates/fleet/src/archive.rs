//! A folder as a tar archive whose bytes depend on nothing but the content of the folder: names sorted, no
//! times, no owners, modes reduced to executable or not. The same folder packed anywhere has the same hash,
//! and so the same release.
//!
//! Left out: `.git`, and what `.hausignore` files name (the syntax of `.gitignore`).

use ignore::WalkBuilder;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header, HeaderMode};
use thiserror::Error;

/// More is no source code, and would be held in memory.
pub const ARCHIVE_BYTES_MAX: u64 = 1 << 30;

/// A folder cannot be packed.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Something in it cannot be read.
    #[error("packing {}: cannot read {}", folder.display(), path.display())]
    Read {
        /// The folder.
        folder: PathBuf,
        /// What of it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Names in it cannot be walked.
    #[error("packing {}: cannot look through it", folder.display())]
    Walk {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: ignore::Error,
    },
    /// A link leads out of it.
    #[error("packing {}: the link {} leads to {}, out of the folder", folder.display(), path.display(), target.display())]
    LeadsOut {
        /// The folder.
        folder: PathBuf,
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Something in it is neither folder, file nor link.
    #[error("packing {}: {} is neither a file nor a folder nor a link", folder.display(), path.display())]
    Odd {
        /// The folder.
        folder: PathBuf,
        /// What of it.
        path: PathBuf,
    },
    /// It is too large.
    #[error("packing {}: it has more than 1 GiB", folder.display())]
    TooLarge {
        /// The folder.
        folder: PathBuf,
    },
}

impl ArchiveError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            ArchiveError::Read { .. } | ArchiveError::Walk { .. } => {
                "see that the folder is there and that this account may read all of it"
            }
            ArchiveError::LeadsOut { .. } => {
                "replace the link by what it leads to, or name it in a .hausignore file"
            }
            ArchiveError::Odd { .. } => "remove it, or name it in a .hausignore file",
            ArchiveError::TooLarge { .. } => {
                "name what is no source (builds, dependencies, data) in a .hausignore file"
            }
        }
    }
}

/// Packs a folder.
///
/// # Errors
/// Something in it that cannot be carried elsewhere as it is.
pub fn pack(folder: &Path) -> Result<Vec<u8>, ArchiveError> {
    let mut builder = Builder::new(Vec::new());
    builder.mode(HeaderMode::Deterministic);
    let walk = WalkBuilder::new(folder)
        .standard_filters(false)
        .add_custom_ignore_filename(".hausignore")
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .build();
    let mut bytes: u64 = 0;
    for entry in walk {
        let entry = entry.map_err(|source| ArchiveError::Walk { folder: folder.to_owned(), source })?;
        let Ok(inner) = entry.path().strip_prefix(folder) else { continue };
        if inner.as_os_str().is_empty() {
            continue;
        }
        bytes = bytes.saturating_add(add(&mut builder, folder, inner)?);
        if bytes > ARCHIVE_BYTES_MAX {
            return Err(ArchiveError::TooLarge { folder: folder.to_owned() });
        }
    }
    builder.into_inner().map_err(|source| cannot_read(folder, folder)(source))
}

/// Adds one name; answers how many bytes its content has.
fn add(builder: &mut Builder<Vec<u8>>, folder: &Path, inner: &Path) -> Result<u64, ArchiveError> {
    let path = folder.join(inner);
    let failed = cannot_read(folder, &path);
    let metadata = std::fs::symlink_metadata(&path).map_err(&failed)?;
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        builder.append_data(&mut header, inner, io::empty()).map_err(&failed)?;
        return Ok(0);
    }
    if metadata.is_symlink() {
        let target = std::fs::read_link(&path).map_err(&failed)?;
        if !stays_inside(inner, &target) {
            return Err(ArchiveError::LeadsOut { folder: folder.to_owned(), path: path.clone(), target });
        }
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        builder.append_link(&mut header, inner, &target).map_err(&failed)?;
        return Ok(0);
    }
    if !metadata.is_file() {
        return Err(ArchiveError::Odd { folder: folder.to_owned(), path: path.clone() });
    }
    if metadata.len() > ARCHIVE_BYTES_MAX {
        return Err(ArchiveError::TooLarge { folder: folder.to_owned() });
    }
    // Read as a whole: a file that grows meanwhile must not make a header that lies.
    let content = std::fs::read(&path).map_err(&failed)?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(content.len() as u64);
    header.set_mode(if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 });
    builder.append_data(&mut header, inner, content.as_slice()).map_err(&failed)?;
    Ok(content.len() as u64)
}

fn cannot_read<'a>(folder: &'a Path, path: &'a Path) -> impl Fn(io::Error) -> ArchiveError + 'a {
    |source| ArchiveError::Read { folder: folder.to_owned(), path: path.to_owned(), source }
}

/// Whether a link at this place below the folder leads to something below it.
fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count() as i64 - 1;
    for part in target.components() {
        match part {
            std::path::Component::Normal(_) => depth += 1,
            std::path::Component::ParentDir => depth -= 1,
            std::path::Component::CurDir => {}
            std::path::Component::RootDir | std::path::Component::Prefix(_) => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(bytes: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(bytes);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let mode = entry.header().mode().unwrap();
                format!("{} {mode:o}", entry.path().unwrap().display())
            })
            .collect()
    }

    fn sample() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("b/.git")).unwrap();
        fs::create_dir_all(root.join("node_modules/x")).unwrap();
        fs::write(root.join("b/run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("b/run"), fs::Permissions::from_mode(0o775)).unwrap();
        fs::write(root.join("a.txt"), "a").unwrap();
        fs::set_permissions(root.join("a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(root.join(".hausignore"), "node_modules/\n").unwrap();
        std::os::unix::fs::symlink("../a.txt", root.join("b/link")).unwrap();
        folder
    }

    #[test]
    fn two_copies_of_a_folder_are_the_same_archive() {
        let (one, two) = (sample(), sample());
        let packed = pack(one.path()).unwrap();
        assert_eq!(packed, pack(two.path()).unwrap());
        assert_eq!(names(&packed), [".hausignore 644", "a.txt 644", "b 755", "b/link 777", "b/run 755"]);
        fs::write(two.path().join("a.txt"), "b").unwrap();
        assert_ne!(packed, pack(two.path()).unwrap());
    }

    #[test]
    fn a_link_that_leads_out_is_refused() {
        for target in ["/etc/passwd", "../../x", "../b/../../x"] {
            let folder = sample();
            std::os::unix::fs::symlink(target, folder.path().join("b/out")).unwrap();
            let error = pack(folder.path()).unwrap_err();
            assert!(matches!(error, ArchiveError::LeadsOut { .. }), "{target}: {error}");
        }
    }

    #[test]
    fn a_socket_and_a_missing_folder_are_refused() {
        let folder = sample();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        assert!(matches!(pack(folder.path()), Err(ArchiveError::Odd { .. })));
        assert!(matches!(pack(Path::new("/nonexistent/x")), Err(ArchiveError::Walk { .. })));
    }
}
