//! Why a call to a running house did not bring its answer, and what can be concluded from that.
//!
//! Knows no exit codes: what a failure means to the person who asked is the caller's business.

use haus_api::{Problem, ProblemCode};
use std::io;
use std::time::Duration;

/// Why a call did not bring its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: the house is down, or its core is being restarted.
    #[error("cannot reach the house over {door}")]
    Connect {
        /// The control socket, or `HOST:PORT`.
        door: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The request itself is not HTTP, so it was never sent.
    #[error("cannot ask for {path}")]
    Request {
        /// The path that should have been asked.
        path: String,
        /// What is wrong with it.
        #[source]
        source: http::Error,
    },
    /// The connection broke or the answer was no HTTP.
    #[error("the answer to {path} broke off")]
    Exchange {
        /// The path that was asked.
        path: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("no answer to {path} within {} s", within.as_secs())]
    Timeout {
        /// The path that was asked.
        path: String,
        /// The patience.
        within: Duration,
    },
    /// The house refused, and says why.
    #[error("{}", problem.detail)]
    Refused {
        /// The problem as sent.
        problem: Box<Problem>,
    },
    /// What should be the address of a house is none.
    #[error("`{base}` is no address of a house: {why}")]
    Address {
        /// What was given.
        base: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What should be sent cannot be written as JSON.
    #[error("cannot write the request for {path}")]
    Unsendable {
        /// The path that should have been asked.
        path: String,
        /// What the encoder said.
        #[source]
        source: serde_json::Error,
    },
    /// An answer of another shape: the house runs another version.
    #[error("the answer to {path} has another shape than expected")]
    Shape {
        /// The path that was asked.
        path: String,
        /// What the decoder said.
        #[source]
        source: serde_json::Error,
    },
}

impl ClientError {
    /// True when nobody answers: the house is not there, or its core has just gone.
    pub fn is_unreachable(&self) -> bool {
        match self {
            ClientError::Connect { .. } | ClientError::Exchange { .. } => true,
            ClientError::Request { .. }
            | ClientError::Address { .. }
            | ClientError::Unsendable { .. }
            | ClientError::Timeout { .. }
            | ClientError::Refused { .. }
            | ClientError::Shape { .. } => false,
        }
    }

    /// True when the same call may succeed in a moment, because the core is away or busy.
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Connect { .. } => !self.is_forbidden(),
            ClientError::Exchange { .. } | ClientError::Timeout { .. } => true,
            ClientError::Refused { problem } => problem.code == ProblemCode::Busy,
            ClientError::Request { .. }
            | ClientError::Address { .. }
            | ClientError::Unsendable { .. }
            | ClientError::Shape { .. } => false,
        }
    }

    /// True when the request may have been carried out although no answer says so.
    pub fn may_have_acted(&self) -> bool {
        match self {
            ClientError::Exchange { .. } | ClientError::Timeout { .. } | ClientError::Shape { .. } => true,
            ClientError::Connect { .. }
            | ClientError::Request { .. }
            | ClientError::Address { .. }
            | ClientError::Unsendable { .. }
            | ClientError::Refused { .. } => false,
        }
    }

    /// True when the socket belongs to another account.
    pub fn is_forbidden(&self) -> bool {
        let denied = io::ErrorKind::PermissionDenied;
        matches!(self, ClientError::Connect { source, .. } if source.kind() == denied)
    }

    /// The problem's code when the house refused.
    pub fn code(&self) -> Option<ProblemCode> {
        match self {
            ClientError::Refused { problem } => Some(problem.code),
            ClientError::Connect { .. }
            | ClientError::Request { .. }
            | ClientError::Address { .. }
            | ClientError::Unsendable { .. }
            | ClientError::Exchange { .. }
            | ClientError::Timeout { .. }
            | ClientError::Shape { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be concluded, in the order unreachable, transient, may have acted, forbidden.
    #[track_caller]
    fn check(error: &ClientError, expected: [bool; 4]) {
        let told =
            [error.is_unreachable(), error.is_transient(), error.may_have_acted(), error.is_forbidden()];
        assert_eq!(told, expected, "{error}");
    }

    fn connect(kind: io::ErrorKind) -> ClientError {
        ClientError::Connect { door: "s".to_owned(), source: kind.into() }
    }

    #[test]
    fn a_socket_without_listener_means_that_nothing_was_done() {
        check(&connect(io::ErrorKind::ConnectionRefused), [true, true, false, false]);
    }

    #[test]
    fn a_socket_of_another_account_stays_closed() {
        check(&connect(io::ErrorKind::PermissionDenied), [true, false, false, true]);
    }

    #[test]
    fn an_answer_that_breaks_off_or_does_not_come_leaves_the_outcome_open() {
        let path = || "/control/reload".to_owned();
        let source = io::Error::from(io::ErrorKind::UnexpectedEof).into();
        check(&ClientError::Exchange { path: path(), source }, [true, true, true, false]);
        let within = Duration::from_secs(30);
        check(&ClientError::Timeout { path: path(), within }, [false, true, true, false]);
        let source = serde_json::from_str::<u8>("x").expect_err("no number");
        check(&ClientError::Shape { path: path(), source }, [false, false, true, false]);
    }

    #[test]
    fn a_request_that_cannot_be_sent_is_the_callers_fault() {
        let source = http::Request::builder().uri("a b").body(()).expect_err("no address");
        check(&ClientError::Request { path: "a b".to_owned(), source }, [false, false, false, false]);
    }

    #[test]
    fn only_a_busy_house_is_asked_again() {
        let refused = |code| ClientError::Refused { problem: Box::new(Problem::new(code, "no")) };
        check(&refused(ProblemCode::Busy), [false, true, false, false]);
        check(&refused(ProblemCode::NotFound), [false, false, false, false]);
    }
}
