//! The hidden `haus parent`: the supervisor parent itself.

use crate::arguments::{Keys, Parent};
use crate::exit::{Code, FAILED, Failure, REFUSED};
use crate::locate::utf8;
use haus_supervise::lock::LockError;
use haus_supervise::{ParentError, ParentOptions, run_parent};
use std::path::{Path, PathBuf};

pub(crate) fn cmd_parent(arguments: &Parent) -> Result<Code, Failure> {
    without_core_dumps();
    let own = own_program()?;
    let pairs = [
        ("--path", utf8(&arguments.path)?),
        ("--house", &arguments.house),
        ("--stage", &arguments.stage),
        ("--state", utf8(&arguments.state)?),
        ("--run", utf8(&arguments.run)?),
    ];
    let mut core = vec![utf8(&own)?.to_owned(), "core".to_owned()];
    core.extend(pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]));
    if arguments.plain {
        core.push("--plain".to_owned());
    }
    if let Some(host) = &arguments.standpoint.host {
        core.extend(["--host".to_owned(), host.clone()]);
    }
    let places = arguments.standpoint.places.as_deref().map(|path| ("--places", path));
    for (name, path) in key_flags(&arguments.keys).chain(places) {
        core.extend([name.to_owned(), utf8(path)?.to_owned()]);
    }
    let options =
        ParentOptions::new(&arguments.house, &arguments.path, &arguments.state, &arguments.run, core);
    run_parent(options).map(Code).map_err(|error| failure(&error))
}

/// Values pass through the parent and lie open in the core: a crash of either must not write them to disk.
pub(super) fn without_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Lowering a limit cannot be refused.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// The flags that say where the key ring is. Paths only: a value in an argument could be read by everybody.
pub(super) fn key_flags(keys: &Keys) -> impl Iterator<Item = (&'static str, &Path)> {
    let flags = [("--key-file", &keys.key_file), ("--passphrase-file", &keys.passphrase_file)];
    flags.into_iter().filter_map(|(name, path)| Some((name, path.as_deref()?)))
}

/// This very program, for the processes that are started from it.
pub(super) fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| {
        Failure::new(FAILED, format!("cannot tell where this program is: {error}"))
            .hint("see that /proc is mounted")
    })
}

fn failure(error: &ParentError) -> Failure {
    let (code, hint) = match error {
        ParentError::Lock { source: LockError::Held { .. } } => {
            (REFUSED, "`haus status` shows the running house, `haus down` ends it")
        }
        ParentError::Lock { .. } => {
            (FAILED, "see that the disk of the state folder has space and can be written")
        }
        ParentError::Folder { .. } => {
            (FAILED, "see that this account may write there, or name another state folder with --state")
        }
        ParentError::System { .. } => (FAILED, "see the limits of this account (`ulimit -a`)"),
        ParentError::Identity { .. } => (FAILED, "see that /proc is mounted"),
        ParentError::Core { .. } => (FAILED, "see that the program `haus` is still in its place"),
        ParentError::CoreNeverWorked { .. } => {
            (FAILED, "the lines above say why; when there are none, see the kernel's log (`dmesg`)")
        }
    };
    Failure::from_error(code, error, hint)
}
