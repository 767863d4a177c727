//! A finding: what is wrong or worth knowing, where, and what to do about it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// How much a finding matters. Only errors stop an `up`; errors and warnings stop a clean check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; never fails a check.
    Note,
    /// Probably wrong, or a risk that nobody has accepted in writing.
    Warning,
    /// Cannot be carried out as written.
    Error,
}

impl Severity {
    /// The lower-case word used in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A span in a source file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The file as the user named it.
    pub file: PathBuf,
    /// Line of the first character.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
    /// Byte offsets of the whole token in the file.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One fault, risk or remark with everything that a person needs to act on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable code such as `HP0012`; `haus explain CODE` tells more.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: `service api`, `route app.example/api/`.
    pub subject: String,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// Where it stands, when it stands somewhere.
    pub place: Option<Place>,
    /// Short text under the underlined token.
    pub label: String,
    /// Other places that belong to it, each with its own label.
    pub related: Vec<(Place, String)>,
    /// What to do.
    pub remedy: String,
    /// Set when the plan accepts this risk: the reason as written there.
    pub accepted: Option<String>,
    /// The stages that show it; empty when all do.
    pub stages: Vec<String>,
}
