//! Which house is meant, and where it keeps its state.
//!
//! Root keeps houses below `/var/lib/haus` and `/run/haus`; others follow the XDG base
//! directory specification. An explicit state folder holds both.

use crate::exit::{Failure, REFUSED, WRONG_USE};
use haus_coordinator::Places;
use haus_supervise::lock::{Holder, Lock};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What the account and its environment say about places.
struct Account {
    is_root: bool,
    state_home: Option<PathBuf>,
    home: Option<PathBuf>,
    runtime: Option<PathBuf>,
}

impl Account {
    fn own() -> Account {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Account {
            is_root: rustix::process::geteuid().is_root(),
            state_home: absolute("XDG_STATE_HOME"),
            home: absolute("HOME"),
            runtime: absolute("XDG_RUNTIME_DIR").filter(|path| path.is_dir()),
        }
    }

    /// The folder that holds the state of all houses of this account.
    fn state_root(&self) -> Result<PathBuf, Failure> {
        if self.is_root {
            return Ok(PathBuf::from("/var/lib/haus"));
        }
        let below_home = || self.home.as_ref().map(|home| home.join(".local/state"));
        self.state_home.clone().or_else(below_home).map(|root| root.join("haus")).ok_or_else(|| {
            Failure::new(WRONG_USE, "cannot tell where state belongs: neither XDG_STATE_HOME nor HOME is set")
                .hint("name a folder with --state")
        })
    }

    fn run_folder(&self, state: &Path, house: &str) -> PathBuf {
        if self.is_root {
            return Path::new("/run/haus").join(house);
        }
        self.runtime.as_ref().map_or_else(|| state.join("run"), |root| root.join("haus").join(house))
    }
}

fn state_root() -> Result<PathBuf, Failure> {
    Account::own().state_root()
}

/// A path that every record of a house can hold: they are JSON, and so is what it answers.
pub(crate) fn utf8(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        Failure::new(WRONG_USE, format!("the path {} is not UTF-8", path.display()))
            .hint("rename the folder, or name another one")
    })
}

/// The folder behind links that the operator has laid (`/var/lib/haus/home → /big/home`); links
/// further down are refused later, since services could have laid those.
fn resolved(folder: PathBuf) -> PathBuf {
    std::fs::canonicalize(&folder).unwrap_or(folder)
}

/// The places of a house by name, or below an explicit state folder.
pub(crate) fn places(house: &str, state: Option<&Path>) -> Result<Places, Failure> {
    if let Some(state) = state {
        let state = std::path::absolute(state).map_err(|error| {
            Failure::new(WRONG_USE, format!("cannot use the state folder {}: {error}", state.display()))
                .hint("name a folder with --state")
        })?;
        let state = resolved(state);
        return Ok(Places::new(&state, state.join("run")));
    }
    let account = Account::own();
    let state = resolved(account.state_root()?.join(house));
    let run = resolved(account.run_folder(&state, house));
    Ok(Places::new(state, run))
}

/// The places of the house that a command means: by state folder, by plan, or the only one.
pub(crate) fn running(path: Option<&Path>, state: Option<&Path>) -> Result<Places, Failure> {
    let places = meant(path, state)?;
    let state = places.state();
    let lock = std::fs::File::open(state.join("lock"));
    if lock.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        return Err(Failure::new(REFUSED, format!("the house in {} is another account's", state.display()))
            .hint("a house obeys its own account and root; use one of them"));
    }
    Ok(match run_folder_in_use(state) {
        Some(run) => Places::new(state, run),
        None => places,
    })
}

/// The run folder that the running house was started with. Our own environment may say something else:
/// cron and sudo leave XDG_RUNTIME_DIR out.
fn run_folder_in_use(state: &Path) -> Option<PathBuf> {
    let holder = Lock::holder(state)?;
    run_folder_in(&std::fs::read(format!("/proc/{}/cmdline", holder.process.pid)).ok()?)
}

/// Whether the holder of a house's lock is its parent, and not a command that has its vault open.
pub(crate) fn is_parent(holder: &Holder) -> bool {
    let command_line = std::fs::read(format!("/proc/{}/cmdline", holder.process.pid));
    // What cannot be seen is most likely the house.
    command_line.map_or(true, |line| line.split(|byte| *byte == 0).nth(1) == Some(b"parent"))
}

/// The value of `--run` in the command line of a parent.
fn run_folder_in(command_line: &[u8]) -> Option<PathBuf> {
    let mut words = command_line.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    if words.by_ref().nth(1)? != OsStr::new("parent") {
        return None;
    }
    words.find(|word| word == OsStr::new("--run"))?;
    words.next().map(PathBuf::from).filter(|path| path.is_absolute())
}

fn meant(path: Option<&Path>, state: Option<&Path>) -> Result<Places, Failure> {
    if state.is_some() {
        return places("", state);
    }
    let here = Path::new(haus_houseplan::PLAN_FILE).is_file().then_some(Path::new("."));
    let Some(path) = path.or(here) else { return only_house() };
    // A house that runs is found by its folder: its plan may be broken just when it is looked at.
    match running_from(path)? {
        Some(name) => places(&name, None),
        None => places(&house_name(path)?, None),
    }
}

/// The name of the running house that was started from this plan.
fn running_from(path: &Path) -> Result<Option<String>, Failure> {
    let root = state_root()?;
    let wanted = plan_folder(path);
    let from_there = |name: &String| {
        Lock::holder(&root.join(name)).is_some_and(|holder| plan_folder(&holder.folder) == wanted)
    };
    Ok(known_names(&root).into_iter().find(from_there))
}

/// The folder of a plan that is named as folder or as file.
fn plan_folder(path: &Path) -> PathBuf {
    let path = resolved(path.to_owned());
    if path.is_file() { path.parent().map_or(path.clone(), Path::to_owned) } else { path }
}

/// Houses that have left state below the root, in order of name.
fn known_names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("lock").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn house_name(path: &Path) -> Result<String, Failure> {
    let loaded = haus_houseplan::load(path, &haus_houseplan::DiskFiles);
    let stage = loaded.plan.as_ref().and_then(|plan| plan.stages.values().next());
    stage.map(|house| house.name.to_string()).ok_or_else(|| {
        Failure::new(WRONG_USE, format!("cannot tell which house {} describes", path.display()))
            .hint(format!("see `haus check {}`", path.display()))
    })
}

fn only_house() -> Result<Places, Failure> {
    let root = state_root()?;
    let mut names = known_names(&root);
    // A house that runs is meant before one that only left its state here.
    let runs = |name: &String| Lock::holder(&root.join(name)).is_some();
    if names.iter().any(runs) {
        names.retain(runs);
    }
    match names.as_slice() {
        [name] => places(name, None),
        [] => Err(Failure::new(REFUSED, format!("no house is known below {}", root.display()))
            .hint("start one with `haus up DIR`, or name its state folder with --state")),
        several => Err(Failure::new(WRONG_USE, format!("several houses are known: {}", several.join(", ")))
            .hint("name the folder of the plan, or the state folder with --state")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(account: &Account, state: &str, run: &str) {
        let root = account.state_root().expect("a place");
        assert_eq!(
            (root.as_path(), account.run_folder(&root.join("home"), "home")),
            (Path::new(state), run.into())
        );
    }

    fn account() -> Account {
        Account { is_root: false, state_home: None, home: Some("/home/ada".into()), runtime: None }
    }

    #[test]
    fn root_has_the_places_of_the_system_whatever_its_environment_says() {
        let root = Account { is_root: true, runtime: Some("/run/user/0".into()), ..account() };
        check(&root, "/var/lib/haus", "/run/haus/home");
    }

    #[test]
    fn others_have_the_places_of_xdg() {
        check(&account(), "/home/ada/.local/state/haus", "/home/ada/.local/state/haus/home/run");
        let set = Account { state_home: Some("/s".into()), runtime: Some("/r".into()), ..account() };
        check(&set, "/s/haus", "/r/haus/home");
    }

    #[test]
    fn without_any_place_the_way_out_is_named() {
        let failure = Account { home: None, ..account() }.state_root().expect_err("no place");
        assert_eq!((failure.code, failure.hint.as_deref()), (WRONG_USE, Some("name a folder with --state")));
    }

    #[test]
    fn the_run_folder_of_a_running_house_is_read_from_its_parent() {
        let parent = b"/usr/bin/haus\0parent\0--house\0home\0--run\0/run/user/7/haus/home\0--plain\0";
        assert_eq!(run_folder_in(parent), Some("/run/user/7/haus/home".into()));
        for other in
            [&b"haus\0core\0--run\0/r\0"[..], b"haus\0parent\0--run\0r\0", b"haus\0parent\0--run", b""]
        {
            assert_eq!(run_folder_in(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_path_that_json_cannot_hold_is_refused() {
        let path = PathBuf::from(OsString::from_vec(b"/srv/h\xff".to_vec()));
        assert_eq!(utf8(&path).expect_err("not UTF-8").code, WRONG_USE);
        assert_eq!(utf8(Path::new("/srv/häuser")).expect("UTF-8"), "/srv/häuser");
    }
}
