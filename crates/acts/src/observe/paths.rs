//! What stands at a path, links not followed: folder, file, link or something else; and keys of accounts.

use super::Observer;
use crate::account::Accounts;
use crate::disk::owned;
use crate::machine::Machine;
use haus_model::Fingerprint;
use haus_model::inventory::State;
use haus_model::resource::{Content, FileSpec, SecretVersion, Spec};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// Text that travels with a state at most.
const TEXT_BYTES_MAX: u64 = 64 * 1024;
const ENTRIES_MAX: usize = 1000;
const KEYS_BYTES_MAX: u64 = 1024 * 1024;

/// What is at a path.
pub(crate) fn at_path(machine: &Machine, path: &Path, accounts: &Accounts) -> State {
    let real = machine.at(path);
    match fs::symlink_metadata(&real) {
        Ok(metadata) => {
            look(&real, &metadata, accounts).unwrap_or_else(|error| State::Unknown(error.to_string()))
        }
        // A file in the place of a folder on the way: nothing can be there.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            State::Absent
        }
        Err(error) => State::Unknown(error.to_string()),
    }
}

fn look(path: &Path, metadata: &Metadata, accounts: &Accounts) -> io::Result<State> {
    let access = || accounts.access(owned(metadata));
    let kind = metadata.file_type();
    if kind.is_symlink() {
        return fs::read_link(path).map(State::Link);
    }
    if kind.is_dir() {
        let entries = fs::read_dir(path)?.take(ENTRIES_MAX).count();
        return Ok(State::Directory {
            access: access(),
            entries: u32::try_from(entries).unwrap_or(u32::MAX),
        });
    }
    if !kind.is_file() {
        let word = [(kind.is_socket(), "a socket"), (kind.is_fifo(), "a named pipe")];
        let word = word.iter().find(|(is, _)| *is).map_or("a device", |(_, word)| word);
        return Ok(State::Other(word.to_owned()));
    }
    let (hash, bytes, text) = digest(path)?;
    Ok(State::File { hash: Some(hash), bytes, access: access(), text, secret: None })
}

/// Hash, size and, when it is short text, the text. In pieces, since files may be large.
fn digest(path: &Path) -> io::Result<(Fingerprint, u64, Option<String>)> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    (&mut file).take(TEXT_BYTES_MAX + 1).read_to_end(&mut head)?;
    if head.len() as u64 <= TEXT_BYTES_MAX {
        let (hash, bytes) = (Fingerprint::of(&head), head.len() as u64);
        let text = String::from_utf8(head).ok().filter(|text| !text.contains('\0'));
        return Ok((hash, bytes, text));
    }
    let mut state = Sha256::new_with_prefix(&head);
    let mut bytes = head.len() as u64;
    let mut piece = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((fingerprint_of(&state.finalize()), bytes, None));
        }
        state.update(&piece[..read]);
        bytes += read as u64;
    }
}

/// A finished digest as a value.
pub(crate) fn fingerprint_of(digest: &[u8]) -> Fingerprint {
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    text.parse().expect("a digest has 32 bytes")
}

/// A fingerprint of a secret that says nothing to who has not the salt.
pub(crate) fn salted(salt: &[u8], content: &[u8]) -> Fingerprint {
    Fingerprint::of_parts([salt, content])
}

impl Observer<'_> {
    /// A file. One that holds a secret, or is going to, gives nothing of its content away.
    pub(super) fn file(&self, spec: &FileSpec, accounts: &Accounts) -> State {
        let entry = self.manifest.entries.get(&Spec::File(spec.clone()).id());
        let noted = entry.and_then(|entry| secret_of(&entry.spec).map(|secret| (secret, entry.inputs)));
        let wanted = matches!(spec.content, Content::Secret(_));
        let state = at_path(self.machine, &spec.path, accounts);
        if noted.is_none() && !wanted {
            return state;
        }
        let State::File { access, .. } = state else { return state };
        let intact = |inputs: Option<Fingerprint>| {
            let content = crate::disk::read(&self.machine.at(&spec.path), KEYS_BYTES_MAX).ok()?;
            (inputs == Some(salted(self.salt, &content))).then_some(())
        };
        let secret = noted.and_then(|(secret, inputs)| intact(inputs).map(|()| secret.clone()));
        State::File { hash: None, bytes: 0, access, text: None, secret }
    }

    /// Keys that may log in to an account.
    pub(super) fn keys(&self, user: &str, accounts: &Accounts) -> State {
        let Some(path) = authorized_keys(self.machine, user, accounts) else { return State::Absent };
        match crate::disk::optional(fs::read(&path)) {
            Ok(None) => State::Absent,
            Ok(Some(bytes)) if bytes.len() as u64 > KEYS_BYTES_MAX => {
                State::Unknown("the file is too long".to_owned())
            }
            Ok(Some(bytes)) => {
                let text = String::from_utf8_lossy(&bytes);
                let lines =
                    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                State::Keys(lines.map(str::to_owned).collect())
            }
            Err(error) => State::Unknown(format!("{}: {error}", path.display())),
        }
    }
}

fn secret_of(spec: &Spec) -> Option<&SecretVersion> {
    if let Spec::File(FileSpec { content: Content::Secret(secret), .. }) = spec { Some(secret) } else { None }
}

/// Where the keys of an account are.
pub(crate) fn authorized_keys(machine: &Machine, user: &str, accounts: &Accounts) -> Option<PathBuf> {
    let account = accounts.user(user)?;
    Some(machine.at(&account.home).join(".ssh/authorized_keys"))
}
