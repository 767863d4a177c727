//! Values that come from files: those that the user keeps, and the plain ones that an earlier version left
//! behind.
//!
//! Threat: a plain value that stays on disk after it was sealed. So a file of an earlier version is removed
//! as soon as its value is on disk in the vault, and never before. Files of the user stay: they are his.

use haus_model::{CredentialName, CredentialSource, House, Secret};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Bytes of a value at most.
const VALUE_BYTES_MAX: u64 = haus_vault::VALUE_BYTES_MAX as u64;

/// What was found on disk.
#[derive(Default)]
pub(super) struct Found {
    /// The values of the plan's `file:` credentials, or why there is none.
    pub files: BTreeMap<CredentialName, Result<Secret, String>>,
    /// Plain values of an earlier version, and where they are.
    pub plain: BTreeMap<CredentialName, (PathBuf, Secret)>,
    /// Plain files that cannot be read.
    pub notes: Vec<String>,
}

/// Reads the files of those credentials that are `wanted`, and everything of an earlier version. Blocks.
pub(super) fn find(
    house: &House,
    root: &Path,
    left_behind: &Path,
    wanted: impl Fn(&CredentialName) -> bool,
) -> Found {
    let mut found = Found::default();
    for credential in house.credentials.values().filter(|credential| wanted(&credential.name)) {
        if let CredentialSource::File { path } = &credential.source {
            found.files.insert(credential.name.clone(), file(&root.join(path)));
        }
    }
    for entry in fs::read_dir(left_behind).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.parse::<CredentialName>().ok()) else { continue };
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        match file(&entry.path()) {
            Ok(value) => drop(found.plain.insert(name, (entry.path(), value))),
            Err(why) => found.notes.push(format!("a value of an earlier version stays where it is: {why}")),
        }
    }
    found
}

/// The value of one file of the user. Blocks.
///
/// # Errors
/// It cannot be read, is empty or far too large; in words, with the file.
pub(crate) fn file(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let value = read(path).map_err(|error| format!("cannot read its file {shown}: {error}"))?;
    let bytes = u64::try_from(value.expose_bytes().len()).unwrap_or(u64::MAX);
    if !(1..=VALUE_BYTES_MAX).contains(&bytes) {
        return Err(format!("its file {shown} must have 1 to {VALUE_BYTES_MAX} bytes, {bytes} were read"));
    }
    Ok(value)
}

/// Bytes without the line feed with which editors end files: it is no part of a password. A text of several
/// lines is left whole, since ssh takes no private key without its last one.
fn read(path: &Path) -> io::Result<Secret> {
    let file = fs::File::open(path)?;
    // Room from the start: a buffer that grows leaves copies behind.
    let room = file.metadata()?.len().min(VALUE_BYTES_MAX) + 2;
    let mut value = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
    let outcome = file.take(VALUE_BYTES_MAX + 2).read_to_end(&mut value);
    if value.iter().position(|byte| *byte == b'\n') == value.len().checked_sub(1) {
        value.pop();
    }
    let value = Secret::new(value);
    outcome.map(|_| value)
}

/// Removes a plain file whose value is sealed by now, and the folder with the last one.
///
/// # Errors
/// The file cannot be removed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    if let Some(folder) = path.parent() {
        // It stays while there is something else in it.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content: &[u8], expected: Option<&[u8]>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        fs::write(&path, content).unwrap();
        let read = file(&path).ok();
        assert_eq!(read.as_ref().map(Secret::expose_bytes), expected);
    }

    #[test]
    fn the_line_feed_of_a_single_line_is_no_part_of_a_value() {
        check(b"value", Some(b"value"));
        check(b"value\n", Some(b"value"));
        check(b"-----BEGIN KEY-----\n-----END KEY-----\n", Some(b"-----BEGIN KEY-----\n-----END KEY-----\n"));
        check(b"two\nlines", Some(b"two\nlines"));
        check(b"", None);
        check(b"\n", None);
        check(&[b'x'; (1 << 20) + 1], None);
    }

    #[test]
    fn a_missing_file_is_told_by_its_name() {
        let why = file(Path::new("/nowhere/key.txt")).unwrap_err();
        assert!(why.contains("/nowhere/key.txt"), "{why}");
    }
}
