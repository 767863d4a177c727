//! What goes wrong between us and a server, in words that never contain a secret. Knows no protocol.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use haus_model::Secret;

use crate::Step;

/// Which step was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// [`crate::tell_new`].
    TellNew,
    /// [`crate::prove`].
    Prove,
    /// [`crate::retire_old`].
    RetireOld,
    /// [`crate::tell_old`].
    TellOld,
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Attempt::TellNew => "cannot set the new password",
            Attempt::Prove => "cannot prove the password",
            Attempt::RetireOld => "cannot retire the old password",
            Attempt::TellOld => "cannot bring back the old password",
        })
    }
}

/// Why a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotateErrorKind {
    /// No connection, a broken one, or a server that is starting, stopping or full.
    Unreachable,
    /// The server knows none of the values that were tried, or refuses the account altogether.
    Refused,
    /// The login worked, and the account may not do what the step needs.
    NotAllowed,
    /// The server takes logins without this password, or wants it in clear text: nothing can be proved.
    NoProof,
    /// The value or the name cannot be used with this server.
    Unfit,
    /// An answer that this server should not give; perhaps something else listens there.
    Protocol,
    /// No end within the time given.
    Timeout,
}

/// What the server or the system said: one line, limited, and left out when it held one of the secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said(String);

/// Longest text that is repeated.
const SAID_CHARS_MAX: usize = 300;

impl Said {
    /// Takes the text unless one of the secrets stands in it.
    pub(crate) fn without(text: &str, secrets: &[&Secret]) -> Said {
        let holds = |secret: &&Secret| {
            // The server's words were made text in the same way, whatever bytes they had.
            let value = String::from_utf8_lossy(secret.expose_bytes());
            !value.is_empty() && text.contains(&*value)
        };
        if secrets.iter().any(holds) {
            return Said(String::from("the server's words are left out, since they held a secret"));
        }
        let one_line = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        Said(one_line.take(SAID_CHARS_MAX).collect::<String>().trim().to_owned())
    }
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Said {}

/// A step that failed: what was attempted, for whom, where, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateError {
    /// The step.
    pub attempt: Attempt,
    /// The server.
    pub server: SocketAddr,
    /// The account in words.
    pub account: String,
    /// The limit that the step had.
    pub within: Duration,
    /// Why.
    pub kind: RotateErrorKind,
    source: Option<Said>,
}

impl RotateError {
    pub(crate) fn new(step: &Step<'_>, kind: RotateErrorKind, source: Option<Said>) -> RotateError {
        RotateError {
            attempt: step.attempt,
            server: step.server.address,
            account: step.account.to_string(),
            within: step.server.within,
            kind,
            source,
        }
    }

    /// Whether the same call may succeed later without anybody changing something.
    pub fn is_worth_retrying(&self) -> bool {
        match self.kind {
            RotateErrorKind::Unreachable | RotateErrorKind::Timeout => true,
            RotateErrorKind::Refused
            | RotateErrorKind::NotAllowed
            | RotateErrorKind::NoProof
            | RotateErrorKind::Unfit
            | RotateErrorKind::Protocol => false,
        }
    }
}

impl fmt::Display for RotateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} at {}: ", self.attempt, self.account, self.server)?;
        match self.kind {
            RotateErrorKind::Unreachable => {
                formatter.write_str("the server cannot be reached or is not ready; it is asked again later")
            }
            RotateErrorKind::Refused => formatter.write_str(
                "the server refused the login; set the account's password on the server to the value in the vault, \
                 or import the value that it has with `haus credential import`",
            ),
            RotateErrorKind::NotAllowed => formatter.write_str(
                "the account logs in but may not do this; give it the right on the server (Redis: `+acl +ping`, \
                 PostgreSQL: the primary, and CONNECT on the database)",
            ),
            RotateErrorKind::NoProof => formatter.write_str(
                "the server does not check this password safely; let it ask for one (PostgreSQL: `scram-sha-256` in \
                 pg_hba.conf, Redis: a user without `nopass`)",
            ),
            RotateErrorKind::Unfit => formatter.write_str("the value or the name cannot be used with this server"),
            RotateErrorKind::Protocol => {
                formatter.write_str("the server gave an answer that is not understood; look what listens there")
            }
            RotateErrorKind::Timeout => write!(
                formatter,
                "no end within {} ms; whether the server did it is unknown, and it is safe to repeat",
                self.within.as_millis()
            ),
        }
    }
}

impl Error for RotateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|said| said as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let secret = Secret::from(String::from("hunter2"));
        assert_eq!(Said::without(text, &[&Secret::default(), &secret]).to_string(), expected);
    }

    #[test]
    fn words_of_the_server_stay_on_one_line() {
        check("no such\r\nuser\u{1b}[31m", "no such  user [31m");
    }

    #[test]
    fn words_of_the_server_are_limited() {
        check(&"é".repeat(400), &"é".repeat(SAID_CHARS_MAX));
    }

    #[test]
    fn words_that_hold_a_secret_are_left_out() {
        check("cannot read hunter2!", "the server's words are left out, since they held a secret");
    }
}
