//! The peer: one etcd of Debian's package, on the same disk, asked over its HTTP/JSON gateway.

use std::path::Path;
use std::process::Command;

use super::super::core::accepts;
use super::super::measure::{Running, free_port, wait_for};
use super::load::Question;
use super::{NAME, PATIENCE};
use crate::error::TaskError;

const KEYS: usize = 64;
/// About what an instance of ours or a changed description takes.
const VALUE_BYTES: usize = 200;

pub(super) struct Etcd {
    process: Running,
    port: u16,
}

impl Etcd {
    /// Starts it; nothing when the machine has none.
    pub(super) fn start(folder: &Path) -> Result<Option<Etcd>, TaskError> {
        if Command::new("etcd").arg("--version").output().is_err() {
            return Ok(None);
        }
        let free = || free_port().map_err(|source| TaskError::Read { path: "127.0.0.1:0".into(), source });
        let (port, peers) = (free()?, free()?);
        let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(folder.join("etcd")).args(["--logger", "zap", "--log-level", "error"]);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}")]);
        let process = Running::start(command, &folder.join("etcd.log"))?;
        wait_for(NAME, "an accepting etcd", PATIENCE, || accepts(port).then_some(()))?;
        let etcd = Etcd { process, port };
        // Every key is there before it is read, and the leader is elected.
        for Question { method, path, body, .. } in etcd.writes() {
            wait_for(NAME, "a put into etcd", PATIENCE, || {
                super::http::Line::tcp(port).ok()?.ask(method, &path, "", &body).ok()
            })?;
        }
        Ok(Some(etcd))
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(super) fn writes(&self) -> Vec<Question> {
        let value = base64(&[b'v'; VALUE_BYTES]);
        self.questions("/v3/kv/put", |key| format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}"))
    }

    /// A linearizable read asks the leader's log, a serializable one takes what the member has.
    pub(super) fn reads(&self, serializable: bool) -> Vec<Question> {
        self.questions("/v3/kv/range", |key| format!("{{\"key\":\"{key}\",\"serializable\":{serializable}}}"))
    }

    fn questions(&self, path: &str, body: impl Fn(&str) -> String) -> Vec<Question> {
        let key = |number: usize| base64(format!("/services/room-{number:02}").as_bytes());
        let question = |number| Question {
            method: "POST",
            path: path.to_owned(),
            token: String::new(),
            body: body(&key(number)),
        };
        (0..KEYS).map(question).collect()
    }
}

/// RFC 4648, section 4: how etcd's JSON carries bytes.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        let number = number << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = char::from(LETTERS[number >> (18 - 6 * at) & 63]);
            text.push(if at <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_the_vectors_of_rfc_4648() {
        for (plain, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), expected);
        }
    }
}
