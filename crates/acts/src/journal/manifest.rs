//! The manifest: what we made on the host, in one file that is replaced as a whole.
//!
//! While an apply is open the truth is this file with the done lines of the journal; it is written when the
//! apply ends.

use super::Journal;
use crate::disk;
use crate::machine::Layout;
use crate::refusal::Result;
use crate::wire::Refusal;
use haus_model::host_code::HostCode;
use haus_model::inventory::{Manifest, ManifestEntry};
use haus_model::resource::ResourceId;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const BYTES_MAX: u64 = 256 * 1024 * 1024;
const SALT_BYTES: usize = 32;

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    manifest: Manifest,
}

/// Reads it; an empty one when there is none.
pub(crate) fn read(layout: &Layout) -> Result<Manifest> {
    let path = layout.manifest();
    if !path.exists() {
        return Ok(Manifest::default());
    }
    let file: std::result::Result<File, _> = serde_json::from_slice(&disk::read(&path, BYTES_MAX)?);
    match file {
        Ok(file) if file.format == FORMAT => Ok(file.manifest),
        Ok(file) => Err(unreadable(layout, format!("it has format {}, and {FORMAT} is known", file.format))),
        Err(error) => Err(unreadable(layout, format!("it is damaged at line {}", error.line()))),
    }
}

fn unreadable(layout: &Layout, why: String) -> Refusal {
    let what = format!("read {}", layout.manifest().display());
    let remedy =
        "bring it back from a backup, or move it away: then nothing on the host counts as made by us";
    Refusal::new(HostCode::ActFailed, what, why, remedy)
}

/// Replaces it.
pub(crate) fn write(layout: &Layout, manifest: &Manifest) -> Result<()> {
    let file = File { format: FORMAT, manifest: manifest.clone() };
    let text = serde_json::to_vec(&file).expect("a manifest is plain data with text as keys");
    disk::write_own(&layout.manifest(), &text)
}

/// What the manifest is with everything that a journal has done and taken back.
pub(crate) fn with(mut manifest: Manifest, journal: &Journal) -> Manifest {
    let undone = journal.undone.iter().map(|(number, entry)| (*number, entry));
    let done = journal.done.values().map(|done| (done.number, &done.entry));
    for (number, entry) in undone.chain(done) {
        if let Some(change) = journal.head.begin.changes.iter().find(|change| change.number == number) {
            set(&mut manifest, &change.resource, entry.clone());
        }
    }
    manifest
}

/// Sets or removes an entry.
pub(crate) fn set(manifest: &mut Manifest, id: &ResourceId, entry: Option<ManifestEntry>) {
    match entry {
        Some(entry) => drop(manifest.entries.insert(id.clone(), entry)),
        None => drop(manifest.entries.remove(id)),
    }
}

/// What makes fingerprints of secrets worthless elsewhere: random, once per house and host. Without the right
/// to write there is none, and then there is no secret of ours either.
pub(crate) fn salt(layout: &Layout) -> Vec<u8> {
    let path = layout.folder.join("salt");
    if let Ok(salt) = disk::read(&path, SALT_BYTES as u64)
        && salt.len() == SALT_BYTES
    {
        return salt;
    }
    let mut salt = vec![0; SALT_BYTES];
    let random = std::fs::File::open("/dev/urandom");
    let filled = random.and_then(|mut random| std::io::Read::read_exact(&mut random, &mut salt));
    if filled.is_err() || !layout.folder.is_dir() || disk::write_own(&path, &salt).is_err() {
        return Vec::new();
    }
    salt
}
