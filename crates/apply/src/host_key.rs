//! Keys that a host shows: for people who compare fingerprints, and for adding one that they have compared.
//! It decides nothing: without a fingerprint from outside no key is ever written.

use crate::channel::Channel;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use thiserror::Error;

/// A key that a host showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// Such as `ED25519`.
    pub kind: String,
    /// Such as `SHA256:…`, as `ssh-keygen -l` says.
    pub fingerprint: String,
    /// The line of the known hosts.
    line: String,
}

/// Keys could not be asked for or added.
#[derive(Debug, Error)]
pub enum HostKeyError {
    /// A scratch folder is not to be had.
    #[error("making a folder for the keys that host {host} shows")]
    Folder {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program does not run.
    #[error("running `{program}` to see the key of host {host}")]
    Run {
        /// The program.
        program: String,
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host showed no key.
    #[error("host {host} showed no key: {words}")]
    NoKey {
        /// The host.
        host: String,
        /// What ssh said.
        words: String,
    },
    /// The file of known hosts cannot be written.
    #[error("adding a key to {}", path.display())]
    Remember {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A folder of our own that goes again.
struct Scratch(PathBuf);

impl Scratch {
    fn new(host: &str) -> Result<Scratch, HostKeyError> {
        let made = (0..100_u32).find_map(|number| {
            let path = std::env::temp_dir().join(format!("haus-keys-{}-{number}", std::process::id()));
            let mut builder = fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&path) {
                Ok(()) => Some(Ok(Scratch(path))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                Err(source) => Some(Err(source)),
            }
        });
        let full = || Err(io::ErrorKind::AlreadyExists.into());
        made.unwrap_or_else(full).map_err(|source| HostKeyError::Folder { host: host.to_owned(), source })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It holds public keys only; what cannot be removed here the system tidies.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lets ssh write the key into a file of ours, over the same road as ever, and without logging in.
pub(crate) fn shown_keys(ssh: Command, host: &str, connect: Duration) -> Result<Vec<HostKey>, HostKeyError> {
    let scratch = Scratch::new(host)?;
    let file = scratch.0.join("known_hosts");
    // Ssh takes the first word for an option, so ours have to stand before the strict one; jump hosts do not
    // see these.
    let strict = ssh;
    let mut ssh = Command::new(strict.get_program());
    ssh.envs(strict.get_envs().filter_map(|(name, value)| Some((name, value?)))).args([
        "-o",
        "StrictHostKeyChecking=accept-new",
        "-o",
        "GlobalKnownHostsFile=/dev/null",
        "-o",
        "HashKnownHosts=no",
        "-o",
        "CheckHostIP=no",
        "-o",
        "PreferredAuthentications=none",
        "-o",
        &format!("UserKnownHostsFile={}", file.display()),
    ]);
    ssh.args(strict.get_args()).args(["--", host, "true"]);
    let run = |source| HostKeyError::Run { program: "ssh".to_owned(), host: host.to_owned(), source };
    let channel = Channel::start(&mut ssh).map_err(run)?;
    let ended = channel.finish(Instant::now() + connect + Duration::from_secs(2)).map_err(run)?;
    let text = fs::read_to_string(&file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err(HostKeyError::NoKey { host: host.to_owned(), words: ended.last_words() });
    }
    let keys: Result<Vec<HostKey>, HostKeyError> =
        lines.into_iter().map(|line| fingerprinted(line, &scratch.0, host)).collect();
    keys
}

/// `256 SHA256:… web (ED25519)`, as `ssh-keygen -l` says.
fn fingerprinted(line: &str, folder: &Path, host: &str) -> Result<HostKey, HostKeyError> {
    let run = |source| HostKeyError::Run { program: "ssh-keygen".to_owned(), host: host.to_owned(), source };
    let file = folder.join("one");
    fs::write(&file, format!("{line}\n")).map_err(run)?;
    let output = Command::new("ssh-keygen").arg("-lf").arg(&file).env("LC_ALL", "C").output().map_err(run)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let fingerprint = said.split_whitespace().nth(1).filter(|word| word.starts_with("SHA256:"));
    let kind = said.trim().rsplit_once('(').map(|(_, kind)| kind.trim_end_matches(')'));
    match (fingerprint, kind) {
        (Some(fingerprint), Some(kind)) => {
            Ok(HostKey { kind: kind.to_owned(), fingerprint: fingerprint.to_owned(), line: line.to_owned() })
        }
        _ => Err(run(io::ErrorKind::InvalidData.into())),
    }
}

/// Appends the key to the first file that ssh reads for this host. `asks` is `ssh -G HOST`.
pub(crate) fn remember(asks: &mut Command, key: &HostKey) -> Result<(), HostKeyError> {
    let run = |source| HostKeyError::Run { program: "ssh -G".to_owned(), host: key.line.clone(), source };
    let output = asks.output().map_err(run)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let file = said
        .lines()
        .find_map(|line| line.strip_prefix("userknownhostsfile "))
        .and_then(|files| files.split_whitespace().next())
        .ok_or_else(|| run(io::ErrorKind::NotFound.into()))?;
    let path = match (file.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        (Some(_) | None, Some(_) | None) => PathBuf::from(file),
    };
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let ends_open = fs::read(&path).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n'));
        let mut opened = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let before = if ends_open { "\n" } else { "" };
        opened.write_all(format!("{before}{}\n", key.line).as_bytes())
    };
    write().map_err(|source| HostKeyError::Remember { path: path.clone(), source })
}
