//! Who works with what: files that are locked for as long as their process lives. The kernel takes the lock
//! back when a process dies, so nothing of `kill -9` has to be tidied up.

use crate::error::LabError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

/// A lock that is given back with this value.
#[derive(Debug)]
pub(crate) struct Claim {
    _file: File,
}

impl Claim {
    /// Takes the lock, or says which process has it.
    pub(crate) fn attempt(path: &Path) -> Result<Result<Claim, String>, LabError> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(LabError::file("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(holder(path))),
            Err(TryLockError::Error(source)) => return Err(LabError::file("lock", path)(source)),
        }
        // Who holds it is only for people; the lock itself is what counts.
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        written.map_err(LabError::file("write", path))?;
        Ok(Ok(Claim { _file: file }))
    }

    /// The same, waiting for whoever has it.
    pub(crate) fn wait(path: &Path, what: &str, deadline: Duration) -> Result<Claim, LabError> {
        let begun = std::time::Instant::now();
        loop {
            match Claim::attempt(path)? {
                Ok(claim) => return Ok(claim),
                Err(by) if begun.elapsed() >= deadline => {
                    return Err(LabError::InUse { what: what.to_owned(), by });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// The process that holds it, if one does.
    pub(crate) fn holder(path: &Path) -> Option<String> {
        let file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(holder(path)),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    let pid = text.trim();
    match read {
        Ok(_) if !pid.is_empty() => {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{pid} ({})", name.trim())
        }
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_given_back() {
        let folder = std::env::temp_dir().join(format!("haus-lab-claim-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("claim");
        let first = Claim::attempt(&path).unwrap().unwrap();
        let by = Claim::attempt(&path).unwrap().unwrap_err();
        assert!(by.starts_with(&std::process::id().to_string()), "{by}");
        assert_eq!(Claim::holder(&path), Some(by));
        drop(first);
        assert_eq!(Claim::holder(&path), None);
        assert!(Claim::attempt(&path).unwrap().is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
