//! How faults on the host become refusals: with the kind of fault, what was attempted, and what to do about
//! it.

use crate::wire::{EVIDENCE_LINES_MAX, LINE_BYTES_MAX, Refusal};
use haus_model::host_code::HostCode;
use std::io;
use std::path::Path;

/// What an act gives: its value, or why it was not done.
pub(crate) type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    /// With everything but evidence.
    pub(crate) fn new(
        code: HostCode,
        what: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Refusal {
        Refusal {
            code,
            what: what.into(),
            why: why.into(),
            remedy: remedy.into(),
            evidence: Vec::new(),
            resource: None,
        }
    }

    /// A fault of a system call. Some of them have a code of their own, since there is something special to
    /// do.
    pub(crate) fn io(what: impl Into<String>, error: &io::Error) -> Refusal {
        let kind = error.kind();
        let (code, remedy) = if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            (HostCode::NoSpace, "make room on the host, then apply again")
        } else if kind == io::ErrorKind::PermissionDenied {
            (HostCode::NotRoot, "let haus act as root there: `elevation: sudo`, or connect as root")
        } else {
            (HostCode::ActFailed, "see to it on the host, then apply again")
        };
        Refusal::new(code, what, error.to_string(), remedy)
    }

    /// With the last of these lines as evidence.
    #[must_use]
    pub(crate) fn with_evidence(mut self, lines: impl IntoIterator<Item = String>) -> Refusal {
        self.evidence.extend(lines.into_iter().map(|line| cut(&line)));
        let surplus = self.evidence.len().saturating_sub(EVIDENCE_LINES_MAX);
        self.evidence.drain(..surplus);
        self
    }
}

/// Says what was attempted, for system calls on a path.
pub(crate) trait Attempt<T> {
    /// `what` is a verb, such as `write`.
    fn attempt(self, what: &str, path: &Path) -> Result<T>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(|error| Refusal::io(format!("{what} {}", path.display()), &error))
    }
}

impl<T> Attempt<T> for rustix::io::Result<T> {
    fn attempt(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(io::Error::from).attempt(what, path)
    }
}

/// A line that is not longer than it may be, without control characters.
pub(crate) fn cut(line: &str) -> String {
    let mut end = line.len().min(LINE_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end]
        .chars()
        .map(|letter| if letter.is_control() && letter != '\t' { ' ' } else { letter })
        .collect()
}
