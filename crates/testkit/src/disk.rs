//! A disk so small that a test can fill it.

use crate::skip::{is_root, loud_skip};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use std::ffi::CString;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A file system in memory with a fixed size, gone with this value.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    // Only kept so that the folder goes with the disk.
    _folder: Option<TempDir>,
}

impl SmallDisk {
    /// Mounts one of `size_kib`. Needs root; skips `test` out loud where that is not given.
    pub fn mount(test: &str, size_kib: u32) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
        let mut disk = SmallDisk::mount_at(test, folder.path(), size_kib)?;
        disk._folder = Some(folder);
        Some(disk)
    }

    /// The same over a folder of the test, which must exist as long as the disk.
    pub fn mount_at(test: &str, path: &Path, size_kib: u32) -> Option<SmallDisk> {
        if !is_root() {
            loud_skip(test, "mounting a small disk needs root");
            return None;
        }
        let options = CString::new(format!("size={size_kib}k,mode=755")).expect("no zero byte in it");
        match mount("haus-test", path, "tmpfs", MountFlags::empty(), options.as_c_str()) {
            Ok(()) => Some(SmallDisk { path: path.to_owned(), _folder: None }),
            // Containers may have root without the right to mount.
            Err(error) => {
                loud_skip(test, &format!("mounting a small disk is not allowed here ({error})"));
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills what is left and returns the file that does; remove it to have the space back.
    pub fn fill(&self) -> PathBuf {
        self.fill_into("ballast")
    }

    /// The same with a file of this name, for filling twice.
    pub fn fill_into(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        let mut file = std::fs::File::create(&path).expect("an empty file needs no space");
        for size in [65_536, 4_096, 1] {
            let block = vec![0_u8; size];
            loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("filling {} ended with {error}", path.display()),
                }
            }
        }
        path
    }
}

impl SmallDisk {
    /// From now on nothing on it can be changed.
    pub fn make_read_only(&self) {
        mount_remount(self.path(), MountFlags::RDONLY, c"").expect("who may mount may mount again");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Detached, so that a file that is still open does not keep the mount in the tree.
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_disk_has_space_again_when_the_ballast_goes() {
        let Some(disk) = SmallDisk::mount("a_filled_disk_has_space_again_when_the_ballast_goes", 256) else {
            return;
        };
        let ballast = disk.fill();
        let file = disk.path().join("file");
        assert_eq!(std::fs::write(&file, "x").unwrap_err().kind(), ErrorKind::StorageFull);
        std::fs::remove_file(ballast).unwrap();
        std::fs::write(&file, "x").unwrap();
    }
}
