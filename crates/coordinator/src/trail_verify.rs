//! Holding a copy of the audit trail against itself and against an anchor, without a running house.
//!
//! Threat: the copy may come from somebody who wants to hide something, and so may the anchor beside it.
//! Nothing in either is believed because it says so: the anchor's key is named by its fingerprint, and
//! whoever knows the right one from elsewhere demands it. Knows files and formats; what a fault means to the
//! person is for the caller.

mod anchor;
mod lines;

pub use anchor::{AnchorFileError, CheckedAnchor, Fingerprint, FingerprintError, read_anchor};
pub use lines::ExportVerifier;

use haus_store::StoreError;
use haus_store::offline::{Trail, TrailRow};
use haus_trail::{Head, Report, Verifier};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What the first bytes of a SQLite database are (<https://www.sqlite.org/fileformat.html>, section 1.3).
const DATABASE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Bytes of an export that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Rows whose searched columns differ that are listed; more are only counted.
const MISLABELLED_MAX: usize = 1_000;

/// Attempts to read a database that is pruned at the same time.
const ATTEMPTS_MAX: u32 = 3;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was read.
    pub form: TrailForm,
    /// The head before the first entry; taken on trust unless an anchor holds it.
    pub start: Head,
    /// What the chain says.
    pub report: Report,
    /// Entries whose columns, by which searches find them, say something else than the entry, with those
    /// columns.
    pub mislabelled: Vec<(u64, Vec<&'static str>)>,
    /// How many more of these there are.
    pub mislabelled_unlisted: u64,
}

impl Verified {
    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.report.is_sound() && self.mislabelled.is_empty()
    }
}

/// In what form a trail was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailForm {
    /// A database of this format.
    Database(u32),
    /// JSON lines.
    Export,
}

/// Why a copy cannot be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file cannot be read.
    #[error("cannot read the copy {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("the copy {} is empty: neither a database nor an export", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot be read as one.
    #[error("cannot read the trail in {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Old entries are removed faster than they can be read.
    #[error("the trail in {} is pruned while it is read: copy the database first", path.display())]
    Moving {
        /// The file.
        path: PathBuf,
    },
}

/// Verifies a copy: a database (`house.db`, a backup of it) or an export (JSON lines). Neither is changed.
///
/// # Errors
/// It cannot be read. What is wrong within it is in the answer.
pub fn verify_copy(path: &Path, anchor: Option<&CheckedAnchor>) -> Result<Verified, VerifyError> {
    let unreadable = |source| VerifyError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut first = Vec::with_capacity(DATABASE_MAGIC.len());
    file.by_ref().take(DATABASE_MAGIC.len() as u64).read_to_end(&mut first).map_err(unreadable)?;
    if first.is_empty() {
        return Err(VerifyError::Empty { path: path.to_owned() });
    }
    if first == DATABASE_MAGIC {
        return verify_database(path, anchor);
    }
    let mut verifier = ExportVerifier::new(anchor);
    verifier.take(&first);
    let mut part = vec![0; READ_BYTES];
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(verifier.finish()),
            Ok(bytes) => verifier.take(&part[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
}

fn verify_database(path: &Path, anchor: Option<&CheckedAnchor>) -> Result<Verified, VerifyError> {
    let failed = |source| VerifyError::Database { path: path.to_owned(), source };
    for _ in 0..ATTEMPTS_MAX {
        let trail = Trail::open(path).map_err(failed)?;
        let start = trail.start().map_err(failed)?;
        let verified = read_rows(&trail, start, anchor).map_err(failed)?;
        // The rows are read page by page: who prunes meanwhile takes away what was not read yet.
        if trail.start().map_err(failed)? == start {
            return Ok(verified);
        }
    }
    Err(VerifyError::Moving { path: path.to_owned() })
}

fn read_rows(trail: &Trail, start: Head, anchor: Option<&CheckedAnchor>) -> Result<Verified, StoreError> {
    let mut verifier = verifier(start, anchor);
    let (mut mislabelled, mut mislabelled_unlisted) = (Vec::new(), 0);
    for row in trail.rows() {
        match row? {
            TrailRow::Entry(entry) => drop(verifier.check(&entry)),
            TrailRow::Mislabelled { entry, columns } => {
                verifier.check(&entry);
                if mislabelled.len() < MISLABELLED_MAX {
                    mislabelled.push((entry.seq, columns));
                } else {
                    mislabelled_unlisted += 1;
                }
            }
            TrailRow::Unreadable { seq: _, error } => drop(verifier.unreadable(&error)),
        }
    }
    let report = verifier.finish(anchor.map(|anchor| &anchor.anchor.head));
    let form = TrailForm::Database(trail.format());
    Ok(Verified { form, start, report, mislabelled, mislabelled_unlisted })
}

/// A verifier in constant memory: which entry the anchor holds is known beforehand.
fn verifier(start: Head, anchor: Option<&CheckedAnchor>) -> Verifier {
    Verifier::with_anchor_at(start, anchor.map_or(start.seq, |anchor| anchor.anchor.head.seq))
}

#[cfg(test)]
mod tests;
