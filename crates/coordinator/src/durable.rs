//! Replacing a file so that a crash or a loss of power leaves the old one or the new one.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes to a temporary file beside it, waits for the disk, renames, and waits again.
///
/// # Errors
/// When a step failed; the old file is then still there, except that a failed last step leaves
/// it open which one a loss of power would leave.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        // The new name is on disk only when its folder is.
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
