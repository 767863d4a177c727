//! schemathesis, which comes from PyPI into a folder below the target folder.

use std::path::{Path, PathBuf};

use crate::error::TaskError;
use crate::python::Wanted;

const WANTED: Wanted =
    Wanted { name: "schemathesis", list: "xtask/schemathesis.txt", program: "schemathesis", by: "fuzz-api" };

/// A schemathesis that can be started.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) program: PathBuf,
}

impl Tool {
    /// Makes it ready; the inner error says why it cannot be had here.
    ///
    /// # Errors
    /// The list is broken or the disk refuses: that is no reason to go on without.
    pub(super) fn ready(root: &Path, target: &Path) -> Result<Result<Tool, String>, TaskError> {
        let programs = WANTED.ready(root, target)?;
        Ok(programs.map(|programs| Tool { program: programs.join(WANTED.program) }))
    }
}
