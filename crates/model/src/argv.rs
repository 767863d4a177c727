//! The command lines with which a host is changed: one function each, so that what a plan shows is what is
//! run.
//!
//! No shell is involved and nothing is quoted. The environment is fixed and therefore not shown:
//! `LC_ALL=C.UTF-8`, a `PATH` of the system's folders, and for apt and dpkg `DEBIAN_FRONTEND=noninteractive`
//! and `NEEDRESTART_MODE=l`. Nothing here knows how a command is started.

use crate::resource::UserSpec;
use std::collections::BTreeSet;
use std::path::Path;

/// Seconds that apt waits for somebody else who holds dpkg's lock.
pub const APT_LOCK_WAIT_S: u32 = 120;

fn words<const N: usize>(list: [&str; N]) -> Vec<String> {
    list.map(str::to_owned).to_vec()
}

fn with<T: AsRef<str>>(mut argv: Vec<String>, more: impl IntoIterator<Item = T>) -> Vec<String> {
    argv.extend(more.into_iter().map(|word| word.as_ref().to_owned()));
    argv
}

fn apt_get() -> Vec<String> {
    let mut argv = words(["apt-get", "--quiet", "--yes", "-o"]);
    argv.push(format!("DPkg::Lock::Timeout={APT_LOCK_WAIT_S}"));
    argv
}

/// Package lists are fetched. A mirror that does not answer is an error, not a warning.
pub fn apt_update() -> Vec<String> {
    with(apt_get(), ["-o", "APT::Update::Error-Mode=any", "update"])
}

/// Packages are installed without what they only recommend; configuration files that somebody changed stay.
/// When another package would have to go for them, apt refuses.
pub fn apt_install<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    let options = [
        "-o",
        "Dpkg::Options::=--force-confdef",
        "-o",
        "Dpkg::Options::=--force-confold",
        "--no-install-recommends",
        "--no-remove",
        "install",
        "--",
    ];
    with(with(apt_get(), options), names)
}

/// Packages are removed; their configuration files stay.
pub fn apt_remove<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    with(with(apt_get(), ["remove", "--"]), names)
}

/// Whatever dpkg left half done is finished.
pub fn dpkg_configure() -> Vec<String> {
    words(["dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"])
}

/// Upgrades leave these packages alone.
pub fn apt_hold<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    with(words(["apt-mark", "hold", "--"]), names)
}

/// Upgrades may change these packages again.
pub fn apt_unhold<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    with(words(["apt-mark", "unhold", "--"]), names)
}

/// A group is made.
pub fn groupadd(name: &str, system: bool) -> Vec<String> {
    let argv = words(["groupadd"]);
    with(argv, system.then_some("--system").into_iter().chain([name]))
}

/// A group is removed.
pub fn groupdel(name: &str) -> Vec<String> {
    words(["groupdel", name])
}

/// An account is made. It has no password that fits.
pub fn useradd(spec: &UserSpec) -> Vec<String> {
    let mut argv = words(["useradd"]);
    if spec.system {
        argv.push("--system".to_owned());
    }
    if let Some(uid) = spec.uid {
        argv.extend(["--uid".to_owned(), uid.to_string()]);
    }
    argv.extend(["--gid".to_owned(), spec.group.clone()]);
    if !spec.groups.is_empty() {
        argv.extend(["--groups".to_owned(), joined(&spec.groups)]);
    }
    argv.extend(["--home-dir".to_owned(), spec.home.display().to_string()]);
    argv.push(if spec.make_home { "--create-home" } else { "--no-create-home" }.to_owned());
    argv.extend(["--shell".to_owned(), spec.shell.display().to_string(), spec.name.clone()]);
    argv
}

/// What of an account is to be changed; nothing of a field leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange<'a> {
    /// Its number.
    pub uid: Option<u32>,
    /// Its primary group.
    pub group: Option<&'a str>,
    /// Groups that it joins.
    pub joins: BTreeSet<String>,
    /// Groups that it leaves, each by a command of its own: [`gpasswd_delete`].
    pub leaves: BTreeSet<String>,
    /// Its home; what stands in the old one is not moved.
    pub home: Option<&'a Path>,
    /// Its shell.
    pub shell: Option<&'a Path>,
}

/// An account leaves a group. `usermod --remove` is not known to Debian 11.
pub fn gpasswd_delete(name: &str, group: &str) -> Vec<String> {
    words(["gpasswd", "--delete", name, group])
}

/// An account is changed, but for the groups that it leaves; none when nothing is to be changed.
pub fn usermod(name: &str, change: &UserChange<'_>) -> Option<Vec<String>> {
    let mut argv = words(["usermod"]);
    if let Some(uid) = change.uid {
        argv.extend(["--uid".to_owned(), uid.to_string()]);
    }
    if let Some(group) = change.group {
        argv.extend(["--gid".to_owned(), group.to_owned()]);
    }
    if !change.joins.is_empty() {
        argv.extend(["--append".to_owned(), "--groups".to_owned(), joined(&change.joins)]);
    }
    if let Some(home) = change.home {
        argv.extend(["--home".to_owned(), home.display().to_string()]);
    }
    if let Some(shell) = change.shell {
        argv.extend(["--shell".to_owned(), shell.display().to_string()]);
    }
    (argv.len() > 1).then(|| with(argv, [name]))
}

/// An account gets exactly these further groups; only used to take a change back.
pub fn usermod_groups(name: &str, groups: &BTreeSet<String>) -> Vec<String> {
    words(["usermod", "--groups", &joined(groups), name])
}

/// An account is removed; its home stays.
pub fn userdel(name: &str) -> Vec<String> {
    words(["userdel", name])
}

fn joined(groups: &BTreeSet<String>) -> String {
    groups.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// An empty repository for a release.
pub fn git_init(folder: &Path) -> Vec<String> {
    words(["git", "init", "--quiet", "--", &folder.display().to_string()])
}

/// What a reference is at the source: the lines of a tag (and what it leads to), a branch, or everything of
/// that name.
pub fn git_ls_remote(url: &str, reference: &str) -> Vec<String> {
    words(["git", "ls-remote", "--quiet", "--", url, reference, &format!("{reference}^{{}}")])
}

/// One commit and nothing of its history.
pub fn git_fetch_commit(folder: &Path, url: &str, commit: &str) -> Vec<String> {
    let folder = folder.display().to_string();
    words(["git", "-C", &folder, "fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, commit])
}

/// Everything, for servers that do not give single commits.
pub fn git_fetch_all(folder: &Path, url: &str) -> Vec<String> {
    let folder = folder.display().to_string();
    let (branches, tags) = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*");
    words(["git", "-C", &folder, "fetch", "--quiet", "--update-head-ok", "--", url, branches, tags])
}

/// The files of a commit.
pub fn git_checkout(folder: &Path, commit: &str) -> Vec<String> {
    words(["git", "-C", &folder.display().to_string(), "checkout", "--quiet", "--force", "--detach", commit])
}

/// The files of an archive that comes on standard input.
pub fn tar_extract(folder: &Path) -> Vec<String> {
    let folder = format!("--directory={}", folder.display());
    words(["tar", "--extract", "--file=-", "--no-same-owner", &folder])
}

/// systemd reads its unit files again.
pub fn daemon_reload() -> Vec<String> {
    words(["systemctl", "daemon-reload"])
}

/// What is done with one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitVerb {
    /// It starts with the machine.
    Enable,
    /// It does not.
    Disable,
    /// It starts.
    Start,
    /// It stops.
    Stop,
    /// It stops and starts.
    Restart,
    /// It reads its settings again, or restarts when it cannot.
    Reload,
    /// Its failures are forgotten, so that it may start again.
    ResetFailed,
}

/// Something is done with one unit.
pub fn systemctl(verb: UnitVerb, unit: &str) -> Vec<String> {
    let verb = match verb {
        UnitVerb::Enable => "enable",
        UnitVerb::Disable => "disable",
        UnitVerb::Start => "start",
        UnitVerb::Stop => "stop",
        UnitVerb::Restart => "restart",
        UnitVerb::Reload => "reload-or-restart",
        UnitVerb::ResetFailed => "reset-failed",
    };
    words(["systemctl", verb, "--", unit])
}

/// A check of a file with the file's name in place of `{}`.
pub fn file_check(argv: &[String], file: &Path) -> Vec<String> {
    let file = file.display().to_string();
    argv.iter().map(|word| word.replace("{}", &file)).collect()
}
