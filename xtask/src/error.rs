//! What can keep a task from being carried out at all. A rule that finds something is not an error but a
//! `Fault`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitStatus;

/// A task could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("could not write {path}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("could not understand {path}")]
    Parse { path: &'static str, source: Box<toml::de::Error> },
    #[error("could not ask cargo for its metadata")]
    Metadata { source: Box<cargo_metadata::Error> },
    #[error("could not run {program}")]
    Run { program: String, source: std::io::Error },
    #[error("{program} ended with {status}: {output}")]
    Ended { program: String, status: ExitStatus, output: String },
    #[error("could not work with the hosts of the lab")]
    Lab { source: Box<haus_lab::LabError> },
    #[error("{name}: {problem}")]
    Bench { name: &'static str, problem: String },
}

impl From<haus_lab::LabError> for TaskError {
    fn from(error: haus_lab::LabError) -> TaskError {
        TaskError::Lab { source: Box::new(error) }
    }
}

/// The error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}
