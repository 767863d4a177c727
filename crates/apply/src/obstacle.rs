//! What can stand between us and an answer, each with why and what to do. Texts only: it reaches nobody.

use crate::channel::{Ended, is_too_late};
use crate::host::RoadFault;
use crate::shown::shown;
use crate::transport::Obstacle;
use haus_acts::frame::FrameError;
use haus_acts::wire::{VERSION, Welcome};
use haus_model::host_code::HostCode;
use std::io;
use std::time::Duration;

pub(crate) fn fault(what: &str, road: &str, obstacle: Obstacle) -> RoadFault {
    let Obstacle { code, because, remedy } = obstacle;
    RoadFault { code, what: what.to_owned(), road: road.to_owned(), because, remedy }
}

fn obstacle(code: HostCode, because: impl Into<String>, remedy: &str) -> Obstacle {
    Obstacle { code, because: because.into(), remedy: remedy.to_owned() }
}

/// A frame did not come or was none. `stop` ends the process and says how it ended.
pub(crate) fn failed(error: FrameError, waited: Duration, stop: impl FnOnce() -> Ended) -> Obstacle {
    match error {
        FrameError::Broken(error) if is_too_late(&error) => {
            stop();
            hangs(waited)
        }
        FrameError::Ended | FrameError::Broken(_) => link_lost(&stop()),
        FrameError::Noise(text) => {
            let ended = stop();
            let words = if text.is_empty() { ended.last_words() } else { shown(&text) };
            speaks_otherwise(format!("something else answers: {words}"))
        }
        error @ (FrameError::Kind(_) | FrameError::Length(_) | FrameError::Message(_)) => {
            stop();
            speaks_otherwise(error.to_string())
        }
    }
}

pub(crate) fn hangs(waited: Duration) -> Obstacle {
    obstacle(
        HostCode::Hangs,
        format!("there was no answer for {} s", waited.as_secs().max(1)),
        "look at the load, the disk and the processes of the host; then apply again",
    )
}

pub(crate) fn link_lost(ended: &Ended) -> Obstacle {
    let words = ended.last_words();
    let how = match (words.is_empty(), ended.code) {
        (false, _) => words,
        (true, Some(code)) => format!("it ended with exit code {code}"),
        (true, None) => "it was ended by a signal".to_owned(),
    };
    obstacle(
        HostCode::LinkLost,
        format!("the connection ended in the middle: {how}"),
        "apply again: the host first brings into order what was under way",
    )
}

/// A process that is not there any more has nothing to say.
pub(crate) fn nobody() -> Ended {
    Ended { code: None, errors: String::new() }
}

pub(crate) fn other_version(welcome: &Welcome) -> Obstacle {
    speaks_otherwise(format!(
        "the program on the host ({}) speaks version {} of the protocol, and this one version {VERSION}",
        shown(&welcome.program),
        welcome.version
    ))
}

pub(crate) fn speaks_otherwise(because: String) -> Obstacle {
    obstacle(
        HostCode::Protocol,
        because,
        "see that the shell of the account starts commands without words of its own, and that haus and its programs \
         for hosts are of one release",
    )
}

pub(crate) fn out_of_turn() -> Obstacle {
    speaks_otherwise("the answer belongs to another question".to_owned())
}

pub(crate) fn talks_too_much() -> Obstacle {
    speaks_otherwise("the host tells of its progress without end".to_owned())
}

pub(crate) fn cut_short() -> Obstacle {
    obstacle(
        HostCode::LinkLost,
        "a blob could not be read to its end here",
        "see the cause, then apply again",
    )
}

pub(crate) fn no_sudo(ended: &Ended) -> Obstacle {
    obstacle(
        HostCode::NoSudo,
        ended.last_words(),
        "let the account use sudo without a password (`ACCOUNT ALL=(root) NOPASSWD: ALL` in a file below \
         /etc/sudoers.d), or connect as root",
    )
}

pub(crate) fn copy_failed(ended: &Ended) -> Obstacle {
    let words = ended.last_words();
    let because = if words.is_empty() { "the host does not say why".to_owned() } else { words };
    obstacle(
        HostCode::CopyFailed,
        because,
        "see that /var/lib/haus-remote can be written to and that its file system has 10 MiB free and allows \
         programs to run",
    )
}

pub(crate) fn ended_early(ended: &Ended) -> Obstacle {
    let words = ended.last_words();
    let because = match (words.is_empty(), ended.code) {
        (false, _) => words,
        (true, Some(code)) => format!("the command ended with exit code {code} and without a word"),
        (true, None) => "the connection ended without a word".to_owned(),
    };
    speaks_otherwise(because)
}

pub(crate) fn does_not_start(program: &str, error: &io::Error) -> Obstacle {
    obstacle(
        HostCode::Unreachable,
        format!("`{}` does not start here: {error}", shown(program)),
        "install it on this machine",
    )
}
