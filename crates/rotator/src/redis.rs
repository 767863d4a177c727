//! Redis: a user logs in and changes its own passwords. New and old travel as SHA-256 hashes, so only the
//! login itself carries a value. Knows no retries and no order of steps.

use std::fmt::Write as _;
use std::io;

use haus_model::Secret;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::error::RotateErrorKind;
use crate::resp::{self, Answer};
use crate::{RotateError, Step};

/// A password to add beside one that stays.
pub(crate) struct Pair<'a> {
    pub(crate) add: &'a Secret,
    pub(crate) beside: &'a Secret,
}

/// Makes `add` valid; `beside` logs in, or `add` when an earlier try had come so far.
pub(crate) async fn add(step: &Step<'_>, user: &str, pair: Pair<'_>) -> Result<(), RotateError> {
    fit(step, user, pair.add)?;
    let mut session = Session::open(step, user).await?;
    match session.log_in(pair.beside).await {
        Err(error) if error.kind == RotateErrorKind::Refused => {
            // The first refusal is the one to tell when both are wrong.
            session
                .log_in(pair.add)
                .await
                .map_err(|second| if second.kind == RotateErrorKind::Refused { error } else { second })?;
        }
        other => other?,
    }
    session.insist_on_passwords().await?;
    session.set_user(&format!("#{}", hash_of(pair.add))).await?;
    session.save().await
}

/// A password to remove while another stays.
pub(crate) struct Removal<'a> {
    pub(crate) keep: &'a Secret,
    pub(crate) remove: &'a Secret,
}

/// Ends `remove`; `keep` logs in, so that it certainly stays valid.
pub(crate) async fn remove(step: &Step<'_>, user: &str, removal: Removal<'_>) -> Result<(), RotateError> {
    let mut session = Session::open(step, user).await?;
    session.log_in(removal.keep).await?;
    let (keep, remove) = (hash_of(removal.keep), hash_of(removal.remove));
    if keep == remove {
        return Ok(());
    }
    session.set_user(&format!("!{remove}")).await?;
    session.save().await
}

/// Logs in with `value` and asks for a `PONG`.
pub(crate) async fn prove(step: &Step<'_>, user: &str, value: &Secret) -> Result<(), RotateError> {
    let mut session = Session::open(step, user).await?;
    session.log_in(value).await?;
    let answer = session.ask(&[b"PING"]).await?;
    session.expect(answer, "PONG")?;
    session.insist_on_passwords().await
}

struct Session<'a> {
    step: &'a Step<'a>,
    user: &'a str,
    /// Buffers what is read, and never what is written: that holds passwords.
    stream: BufReader<TcpStream>,
}

impl<'a> Session<'a> {
    async fn open(step: &'a Step<'a>, user: &'a str) -> Result<Session<'a>, RotateError> {
        let opened = TcpStream::connect(step.server.address).await;
        let stream =
            opened.map_err(|error| step.error_saying(RotateErrorKind::Unreachable, &error.to_string()))?;
        Ok(Session { step, user, stream: BufReader::new(stream) })
    }

    async fn log_in(&mut self, value: &Secret) -> Result<(), RotateError> {
        fit(self.step, self.user, value)?;
        let answer = self.ask(&[b"AUTH", self.user.as_bytes(), value.expose_bytes()]).await?;
        self.expect(answer, "OK")
    }

    /// A user with `nopass` is let in with any value. Who may not look (`ACL GETUSER`) is believed.
    async fn insist_on_passwords(&mut self) -> Result<(), RotateError> {
        let Answer::List(Some(fields)) = self.ask(&[b"ACL", b"GETUSER", self.user.as_bytes()]).await? else {
            return Ok(());
        };
        let is = |answer: &Answer, word: &str| match answer {
            Answer::Text(Some(bytes)) => bytes == word.as_bytes(),
            Answer::Status(text) => text == word,
            Answer::Text(None) | Answer::Failure(_) | Answer::Number(_) | Answer::List(_) => false,
        };
        let flags = fields.chunks_exact(2).find(|pair| is(&pair[0], "flags")).map(|pair| &pair[1]);
        match flags {
            Some(Answer::List(Some(flags))) if flags.iter().any(|flag| is(flag, "nopass")) => {
                let why = "the user has the flag `nopass`, so that any password is right";
                Err(self.step.error_saying(RotateErrorKind::NoProof, why))
            }
            _ => Ok(()),
        }
    }

    async fn set_user(&mut self, rule: &str) -> Result<(), RotateError> {
        let answer = self.ask(&[b"ACL", b"SETUSER", self.user.as_bytes(), rule.as_bytes()]).await?;
        // A password that is not there has been removed already.
        if rule.starts_with('!') && is_failure_with(&answer, "does not exist") {
            return Ok(());
        }
        self.expect(answer, "OK")
    }

    /// Writes the users to the server's ACL file, when it has one; otherwise its start settings decide, and
    /// whoever starts it with the credential's file gives it the new value.
    async fn save(&mut self) -> Result<(), RotateError> {
        let answer = self.ask(&[b"ACL", b"SAVE"]).await?;
        if is_failure_with(&answer, "not configured to use an ACL file") {
            return Ok(());
        }
        self.expect(answer, "OK")
    }

    async fn ask(&mut self, command: &[&[u8]]) -> Result<Answer, RotateError> {
        let exchanged = async {
            self.stream.get_mut().write_all(&resp::encode(command)).await?;
            resp::read(&mut self.stream).await
        };
        exchanged.await.map_err(|error: io::Error| {
            let is_nonsense = error.kind() == io::ErrorKind::InvalidData;
            let kind = if is_nonsense { RotateErrorKind::Protocol } else { RotateErrorKind::Unreachable };
            self.step.error_saying(kind, &error.to_string())
        })
    }

    fn expect(&self, answer: Answer, status: &str) -> Result<(), RotateError> {
        match answer {
            Answer::Status(text) if text == status => Ok(()),
            Answer::Failure(text) => Err(self.step.error_saying(kind_of(&text), &text)),
            Answer::Status(_) | Answer::Number(_) | Answer::Text(_) | Answer::List(_) => {
                let why = "an answer of another kind than was asked for";
                Err(self.step.error_saying(RotateErrorKind::Protocol, why))
            }
        }
    }
}

fn is_failure_with(answer: &Answer, words: &str) -> bool {
    matches!(answer, Answer::Failure(text) if text.contains(words))
}

/// The first word of a failure is its code; those without one of their own begin with `ERR`.
fn kind_of(failure: &str) -> RotateErrorKind {
    match failure.split(' ').next().unwrap_or_default() {
        "WRONGPASS" => RotateErrorKind::Refused,
        "NOPERM" | "NOAUTH" | "DENIED" => RotateErrorKind::NotAllowed,
        "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "OOM" | "MISCONF" => RotateErrorKind::Unreachable,
        _ if failure.contains("max number of clients") => RotateErrorKind::Unreachable,
        // Redis says so in one sentence for a file that cannot be written.
        _ if failure.contains("error trying to save the ACLs") => RotateErrorKind::Unreachable,
        // Commands that an administrator has renamed or taken away.
        _ if failure.contains("unknown command") => RotateErrorKind::NotAllowed,
        _ => RotateErrorKind::Protocol,
    }
}

/// Redis takes any bytes as a password; an empty one and a user that an ACL rule could not name are refused
/// here.
fn fit(step: &Step<'_>, user: &str, value: &Secret) -> Result<(), RotateError> {
    if value.expose_bytes().is_empty() {
        return Err(step.error_saying(RotateErrorKind::Unfit, "a Redis password is not empty"));
    }
    if user.is_empty() || user.contains(|letter: char| letter == '\0' || letter.is_whitespace()) {
        return Err(step.error_saying(RotateErrorKind::Unfit, "a Redis user has a name without blanks"));
    }
    Ok(())
}

fn hash_of(value: &Secret) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(value.expose_bytes()) {
        write!(text, "{byte:02x}").expect("a String takes every text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failure: &str, expected: RotateErrorKind) {
        assert_eq!(kind_of(failure), expected, "{failure}");
    }

    #[test]
    fn codes_tell_what_may_pass_from_what_will_not() {
        check("WRONGPASS invalid username-password pair or user is disabled.", RotateErrorKind::Refused);
        check(
            "NOPERM this user has no permissions to run the 'acl|setuser' command",
            RotateErrorKind::NotAllowed,
        );
        check("LOADING Redis is loading the dataset in memory", RotateErrorKind::Unreachable);
        check("ERR max number of clients reached", RotateErrorKind::Unreachable);
        check("ERR unknown command 'ACL', with args beginning with:", RotateErrorKind::NotAllowed);
        check("ERR wrong number of arguments for 'auth' command", RotateErrorKind::Protocol);
        check("", RotateErrorKind::Protocol);
    }

    #[test]
    fn a_hash_is_what_redis_stores() {
        let abc = hash_of(&Secret::from(String::from("abc")));
        assert_eq!(abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
