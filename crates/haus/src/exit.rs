//! Exit codes, the same for every command (DESIGN §5), and the failure that carries one.

pub(crate) use haus_model::error::chain;
use std::error::Error;
use std::process::ExitCode;

/// An exit code of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub u8);

/// Done, or no difference.
pub(crate) const DONE: Code = Code(0);
/// Findings, drift or open items.
pub(crate) const FINDINGS: Code = Code(1);
/// Wrong use or unreadable input.
pub(crate) const WRONG_USE: Code = Code(2);
/// Refused: locked, moved, not confirmed.
pub(crate) const REFUSED: Code = Code(3);
/// Failed; nothing was left changed.
pub(crate) const FAILED: Code = Code(4);
/// Failed, and the state is unknown; the message says what to look at.
pub(crate) const UNKNOWN: Code = Code(5);

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code.0)
    }
}

/// Why a command ends early: what was attempted and why it failed, what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub code: Code,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: None }
    }

    /// A failure from an error with its whole chain of causes. Such words come from the system or from
    /// another crate and name no way out, so there must be a hint beside them.
    pub(crate) fn from_error(code: Code, error: &dyn Error, hint: impl Into<String>) -> Failure {
        Failure::new(code, chain(error)).hint(hint)
    }

    /// The same with a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}
