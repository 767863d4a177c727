//! Small files and folders of the lab, with errors that name them.

use crate::error::LabError;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub(crate) fn make_folder(path: &Path) -> Result<(), LabError> {
    fs::create_dir_all(path).map_err(LabError::file("make the folder", path))
}

/// Writes a file together with the folders above it.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), LabError> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    fs::write(path, text).map_err(LabError::file("write", path))
}

/// Writes a file that appears whole or not at all: it is read by others meanwhile.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), LabError> {
    let fresh = path.with_extension("new");
    write(&fresh, text)?;
    fs::rename(&fresh, path).map_err(LabError::file("replace", path))
}

pub(crate) fn read(path: &Path) -> Result<String, LabError> {
    fs::read_to_string(path).map_err(LabError::file("read", path))
}

/// The text, or nothing where there is no file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, LabError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LabError::file("read", path)(source)),
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), LabError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(LabError::file("set the mode of", path))
}

/// Removes a file or a whole folder; what is not there is gone already.
pub(crate) fn remove(path: &Path) -> Result<(), LabError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LabError::file("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The names in a folder, sorted; none where there is no folder.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>, LabError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LabError::file("list", folder)(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(LabError::file("list", folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
