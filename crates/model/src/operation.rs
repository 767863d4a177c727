//! What is done on a host to make a specification true, from what was found there.
//!
//! The planner shows these operations and the host carries out the same: both call [`operations`], and every
//! command line comes from [`crate::argv`]. Pure; how a command is run and how it is taken back is not known
//! here.

use crate::argv::{self, UnitVerb, UserChange};
use crate::change::{ActKind, Operation};
use crate::host::Access;
use crate::inventory::State;
use crate::resource::{
    CommandSpec, Content, DirectorySpec, FileSpec, GroupSpec, HealthQuestion, HealthSpec, HoldsSpec,
    KeysSpec, LinkSpec, OnChange, PackagesSpec, ReleaseSource, ReleaseSpec, Spec, SwitchSpec, SysctlSpec,
    UnitSpec, UserSpec,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What is done, in order. Empty when nothing has to be done.
pub fn operations(act: ActKind, spec: &Spec, before: &State) -> Vec<Operation> {
    match act {
        ActKind::Create | ActKind::Update => make(spec, before),
        ActKind::Remove => remove(spec, before),
        ActKind::Forget => let_go(spec, before),
    }
}

fn make(spec: &Spec, before: &State) -> Vec<Operation> {
    match spec {
        Spec::Packages(spec) => install_packages(spec, before),
        Spec::Holds(spec) => hold_packages(spec, before),
        Spec::Group(spec) => make_group(spec, before),
        Spec::User(spec) => make_user(spec, before),
        Spec::Keys(spec) => write_keys(spec),
        Spec::Directory(spec) => make_directory(spec, before),
        Spec::File(spec) => write_file(spec, before),
        Spec::Link(spec) => make_link(spec, before),
        Spec::Release(spec) => build_release(spec, before),
        Spec::Switch(spec) => switch_release(spec),
        Spec::Sysctl(spec) => set_sysctl(spec),
        Spec::Command(spec) => run_command(spec),
        Spec::Unit(spec) => run_unit(spec, before),
        Spec::Health(spec) => vec![native(format!("{} within {} ms", question(spec), spec.within_ms))],
    }
}

fn remove(spec: &Spec, before: &State) -> Vec<Operation> {
    match spec {
        Spec::Packages(spec) => {
            let gone = installed_of(before).into_keys().filter(|name| spec.names.contains(name));
            run_some(gone.collect(), argv::apt_remove)
        }
        Spec::Holds(_) => {
            let held = holds_of(before).into_iter().filter(|(_, held)| *held).map(|(name, _)| name);
            run_some(held.collect(), argv::apt_unhold)
        }
        Spec::Group(spec) => vec![Operation::Run(argv::groupdel(&spec.name))],
        Spec::User(spec) => vec![Operation::Run(argv::userdel(&spec.name))],
        Spec::Keys(spec) => vec![native(format!("remove the authorized_keys of {}", spec.user))],
        Spec::Directory(spec) => vec![native(format!("remove {} when it is empty", spec.path.display()))],
        Spec::File(spec) => vec![native(format!("remove {}", spec.path.display()))],
        Spec::Link(spec) => vec![native(format!("remove the link {}", spec.path.display()))],
        Spec::Release(spec) => vec![native(format!("remove {}", spec.root.join("releases").display()))],
        Spec::Switch(spec) => {
            vec![native(format!("remove the link {}", spec.root.join("current").display()))]
        }
        Spec::Sysctl(spec) => {
            vec![native(format!(
                "remove {}; the value stays until the next boot",
                sysctl_file(&spec.key).display()
            ))]
        }
        Spec::Command(_) | Spec::Health(_) => vec![native("forget it; there is nothing to remove")],
        Spec::Unit(spec) => stop_unit(spec, before),
    }
}

fn native(text: impl Into<String>) -> Operation {
    Operation::Native(text.into())
}

fn run_some(names: BTreeSet<String>, argv: fn(BTreeSet<String>) -> Vec<String>) -> Vec<Operation> {
    if names.is_empty() { Vec::new() } else { vec![Operation::Run(argv(names))] }
}

/// `owner:group 0644`
fn access_text(access: &Access) -> String {
    format!("{}:{} {:04o}", access.owner, access.group, access.mode)
}

// --- packages
// -----------------------------------------------------------------------------------------------

fn installed_of(state: &State) -> BTreeMap<String, String> {
    if let State::Packages { installed, .. } = state { installed.clone() } else { BTreeMap::new() }
}

/// Those of the packages that are not installed.
pub fn packages_missing(spec: &PackagesSpec, before: &State) -> BTreeSet<String> {
    let installed = installed_of(before);
    spec.names.iter().filter(|name| !installed.contains_key(*name)).cloned().collect()
}

fn install_packages(spec: &PackagesSpec, before: &State) -> Vec<Operation> {
    let missing = packages_missing(spec, before);
    if missing.is_empty() {
        return Vec::new();
    }
    let mut list = Vec::new();
    if let State::Packages { unknown, .. } = before
        && missing.iter().any(|name| unknown.contains(name))
    {
        list.push(Operation::Run(argv::apt_update()));
    }
    list.push(Operation::Run(argv::apt_install(missing)));
    list.push(native(
        "if dpkg was interrupted before, or a package is gone from the mirror: finish with dpkg, fetch the package lists, once more",
    ));
    list
}

fn holds_of(state: &State) -> BTreeMap<String, bool> {
    if let State::Holds(holds) = state { holds.clone() } else { BTreeMap::new() }
}

/// Whether a whole name fits a pattern in which `*` stands for anything and `?` for one character.
pub fn pattern_fits(pattern: &str, name: &str) -> bool {
    let (mut wanted, mut left) = (pattern.chars(), name.chars());
    // Behind the last `*`, and what of the name it has left over. Only that one has to be tried again: what a
    // former one takes less, the last one takes more.
    let mut last_star = None;
    loop {
        let (mut next_wanted, mut next_left) = (wanted.clone(), left.clone());
        match (next_wanted.next(), next_left.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                wanted = next_wanted;
                last_star = Some((wanted.clone(), left.clone()));
            }
            (Some(character), Some(is)) if character == '?' || character == is => {
                (wanted, left) = (next_wanted, next_left);
            }
            (Some(_), Some(_) | None) | (None, Some(_)) => {
                let Some((behind, mut over)) = last_star else { return false };
                if over.next().is_none() {
                    return false;
                }
                last_star = Some((behind.clone(), over.clone()));
                (wanted, left) = (behind, over);
            }
        }
    }
}

/// Installed packages that have to be held and are not.
pub fn packages_to_hold(spec: &HoldsSpec, before: &State) -> BTreeSet<String> {
    let wanted = |name: &str| spec.patterns.iter().any(|pattern| pattern_fits(pattern, name));
    holds_of(before).into_iter().filter(|(name, held)| !held && wanted(name)).map(|(name, _)| name).collect()
}

fn hold_packages(spec: &HoldsSpec, before: &State) -> Vec<Operation> {
    run_some(packages_to_hold(spec, before), argv::apt_hold)
}

// --- accounts
// -----------------------------------------------------------------------------------------------

fn make_group(spec: &GroupSpec, before: &State) -> Vec<Operation> {
    if matches!(before, State::Group { .. }) {
        return Vec::new();
    }
    vec![Operation::Run(argv::groupadd(&spec.name, spec.system))]
}

/// What of an account differs from what it should be. Groups that are not named stay as they are.
pub fn user_change<'a>(spec: &'a UserSpec, before: &State) -> UserChange<'a> {
    let State::User { uid, group, groups, home, shell } = before else { return UserChange::default() };
    UserChange {
        uid: spec.uid.filter(|wanted| wanted != uid),
        group: (spec.group != *group).then_some(spec.group.as_str()),
        joins: spec.groups.difference(groups).cloned().collect(),
        leaves: spec.leaves.intersection(groups).cloned().collect(),
        home: (spec.home != *home).then_some(spec.home.as_path()),
        shell: (spec.shell != *shell).then_some(spec.shell.as_path()),
    }
}

fn make_user(spec: &UserSpec, before: &State) -> Vec<Operation> {
    if matches!(before, State::User { .. }) {
        let change = user_change(spec, before);
        let leaves = change.leaves.iter().map(|group| argv::gpasswd_delete(&spec.name, group));
        return argv::usermod(&spec.name, &change).into_iter().chain(leaves).map(Operation::Run).collect();
    }
    vec![Operation::Run(argv::useradd(spec))]
}

fn write_keys(spec: &KeysSpec) -> Vec<Operation> {
    let (count, user) = (spec.keys.len(), &spec.user);
    let word = if count == 1 { "key" } else { "keys" };
    vec![native(format!("write .ssh/authorized_keys of {user} with {count} {word}, {user} 0600"))]
}

// --- files
// --------------------------------------------------------------------------------------------------

fn make_directory(spec: &DirectorySpec, before: &State) -> Vec<Operation> {
    let (path, access) = (spec.path.display(), access_text(&spec.access));
    if matches!(before, State::Directory { .. }) {
        return vec![native(format!("give the folder {path} to {access}"))];
    }
    vec![native(format!("make the folder {path}, {access}"))]
}

/// Where a file stands until it is complete and checked. The name ends as the file's does, since programs
/// that check it look at that, and begins with a dot, since patterns such as `conf.d/*.conf` leave such names
/// out.
pub fn candidate_path(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".haus-new.{name}"))
}

/// Whether a check looks at the candidate, or at the whole after the file has its name.
pub fn checks_candidate(check: &[String]) -> bool {
    check.iter().any(|word| word.contains("{}"))
}

fn write_file(spec: &FileSpec, before: &State) -> Vec<Operation> {
    let (path, access) = (spec.path.display(), access_text(&spec.access));
    if let State::File { hash: Some(hash), .. } = before
        && *hash == spec.content.fingerprint()
    {
        return vec![native(format!("give {path} to {access}"))];
    }
    let what = match &spec.content {
        Content::Text(text) => format!("{} bytes", text.len()),
        Content::Blob { hash, bytes } => format!("{bytes} bytes, SHA-256 {}", hash.short()),
        Content::Secret(secret) => {
            format!("the value of credential {}, version {}", secret.credential, secret.version)
        }
    };
    let mut list = Vec::new();
    match &spec.check {
        Some(check) if checks_candidate(check) => {
            let candidate = candidate_path(&spec.path);
            list.push(native(format!("write {}, {access}: {what}", candidate.display())));
            list.push(Operation::Run(argv::file_check(check, &candidate)));
            list.push(native(format!("rename it to {path}")));
        }
        Some(check) => {
            list.push(native(format!("write {path} at once, {access}: {what}")));
            list.push(Operation::Run(check.clone()));
            list.push(native("bring the old file back when the check refuses"));
        }
        None => list.push(native(format!("write {path} at once, {access}: {what}"))),
    }
    list
}

fn make_link(spec: &LinkSpec, before: &State) -> Vec<Operation> {
    let (path, target) = (spec.path.display(), spec.target.display());
    if matches!(before, State::Link(_)) {
        return vec![native(format!("lead the link {path} to {target} at once"))];
    }
    let mut list = vec![native(format!("link {path} to {target}"))];
    if matches!(before, State::Directory { .. }) {
        list.insert(0, native(format!("remove the empty folder {path}")));
    }
    list
}

// --- releases
// -----------------------------------------------------------------------------------------------

/// The folder of a release. It has its name from the first file on, since a build may write that name into
/// what it makes: programs in a virtual environment of Python start with it.
pub fn release_folder(root: &Path, id: &str) -> PathBuf {
    root.join("releases").join(id)
}

/// The note beside a release that says that it is complete. The account that builds cannot write there.
pub fn release_note(root: &Path, id: &str) -> PathBuf {
    root.join("releases").join(format!(".{id}.json"))
}

fn build_release(spec: &ReleaseSpec, before: &State) -> Vec<Operation> {
    let id = spec.release_id();
    if let (Some(id), State::Releases { complete, .. }) = (&id, before)
        && complete.contains(id)
    {
        return Vec::new();
    }
    let id = id.unwrap_or_else(|| "ID".to_owned());
    let folder = release_folder(&spec.root, &id);
    let mut list =
        vec![native(format!("make {} for {}, who does all that follows", folder.display(), spec.user))];
    match &spec.source {
        ReleaseSource::Git { url, reference, commit } => {
            let commit = commit.as_deref().unwrap_or(reference);
            list.push(Operation::Run(argv::git_init(&folder)));
            list.push(Operation::Run(argv::git_fetch_commit(&folder, url, commit)));
            list.push(native("fetch everything when the server does not give single commits"));
            list.push(Operation::Run(argv::git_checkout(&folder, commit)));
        }
        ReleaseSource::Archive { hash, bytes } => {
            list.push(native(format!("read the archive {} ({bytes} bytes)", hash.short())));
            list.push(Operation::Run(argv::tar_extract(&folder)));
        }
    }
    for command in &spec.build {
        list.push(native(format!("in {}", folder.join(&command.folder).display())));
        list.push(Operation::Run(command.argv.clone()));
    }
    for (path, target) in &spec.links {
        list.push(native(format!("link {} to {}", folder.join(path).display(), target.display())));
    }
    list.push(native(format!("note in {} that it is complete", release_note(&spec.root, &id).display())));
    list
}

fn switch_release(spec: &SwitchSpec) -> Vec<Operation> {
    let release = spec.release.as_deref().unwrap_or("ID");
    let current = spec.root.join("current");
    vec![
        native(format!("lead the link {} to releases/{release} at once", current.display())),
        native(format!("when all is proven: remove releases that are older than the last {}", spec.keep)),
    ]
}

// --- the rest
// -----------------------------------------------------------------------------------------------

/// The file that sets a kernel parameter at boot.
pub fn sysctl_file(key: &str) -> PathBuf {
    PathBuf::from(format!("/etc/sysctl.d/90-haus-{}.conf", key.replace('/', ".")))
}

/// The kernel's file of a parameter. With a slash in it a dot is only a dot, as sysctl(8) says.
pub fn sysctl_path(key: &str) -> PathBuf {
    let key = if key.contains('/') { key.to_owned() } else { key.replace('.', "/") };
    Path::new("/proc/sys").join(key)
}

fn set_sysctl(spec: &SysctlSpec) -> Vec<Operation> {
    vec![
        native(format!("write {} into {}", spec.value, sysctl_path(&spec.key).display())),
        native(format!("write {}: {} = {}", sysctl_file(&spec.key).display(), spec.key, spec.value)),
    ]
}

fn run_command(spec: &CommandSpec) -> Vec<Operation> {
    let mut list = Vec::new();
    if let Some(unless) = &spec.unless {
        list.push(Operation::Run(unless.clone()));
        list.push(native("go on only when it did not end with 0"));
    }
    list.push(native(format!("as {} in {}", spec.user, spec.folder.display())));
    list.push(Operation::Run(spec.run.clone()));
    list
}

/// What has to be done with a unit, in order; first whether systemd has to read its files again.
pub fn unit_verbs(spec: &UnitSpec, before: &State) -> (bool, Vec<UnitVerb>) {
    let (enabled, active, inputs, needs_reload, in_effect) =
        if let State::Unit { enabled, active, inputs, needs_reload, in_effect } = before {
            (enabled.as_str(), active.as_str(), *inputs, *needs_reload, *in_effect)
        } else {
            ("", "", None, true, None)
        };
    let read_all = spec.inputs == UnitSpec::no_inputs() || inputs == Some(spec.inputs);
    let reacts = !read_all || in_effect == Some(false);
    let mut verbs = Vec::new();
    match spec.enabled {
        // A unit without [Install] cannot be enabled, and one that is made by others needs not.
        Some(true) if !matches!(enabled, "enabled" | "static" | "alias" | "generated" | "indirect") => {
            verbs.push(UnitVerb::Enable);
        }
        Some(false) if matches!(enabled, "enabled" | "enabled-runtime") => verbs.push(UnitVerb::Disable),
        Some(true | false) | None => {}
    }
    let runs = matches!(active, "active" | "reloading" | "activating" | "refreshing");
    match spec.running {
        Some(true) if !runs => {
            if active == "failed" {
                verbs.push(UnitVerb::ResetFailed);
            }
            verbs.push(UnitVerb::Start);
        }
        Some(true) if reacts => verbs.push(on_change(spec.on_change)),
        Some(false) if runs => verbs.push(UnitVerb::Stop),
        None if runs && reacts => verbs.push(on_change(spec.on_change)),
        Some(true | false) | None => {}
    }
    (needs_reload || !read_all, verbs)
}

fn on_change(reaction: OnChange) -> UnitVerb {
    match reaction {
        OnChange::Restart => UnitVerb::Restart,
        OnChange::Reload => UnitVerb::Reload,
    }
}

fn run_unit(spec: &UnitSpec, before: &State) -> Vec<Operation> {
    let (reload, verbs) = unit_verbs(spec, before);
    let mut list = Vec::new();
    if reload {
        list.push(Operation::Run(argv::daemon_reload()));
    }
    list.extend(verbs.into_iter().map(|verb| Operation::Run(argv::systemctl(verb, &spec.name))));
    list
}

/// How a running unit that is let go learns that something of ours, which it had read, is not there any more.
/// None when it has read nothing of ours.
pub fn let_go_verb(spec: &Spec, before: &State) -> Option<UnitVerb> {
    match (spec, before) {
        (Spec::Unit(unit), State::Unit { active, .. })
            if active == "active" && unit.inputs != UnitSpec::no_inputs() =>
        {
            Some(on_change(unit.on_change))
        }
        (_, _) => None,
    }
}

fn let_go(spec: &Spec, before: &State) -> Vec<Operation> {
    let mut list = Vec::new();
    if let (Spec::Unit(unit), Some(verb)) = (spec, let_go_verb(spec, before)) {
        list.push(Operation::Run(argv::daemon_reload()));
        list.push(Operation::Run(argv::systemctl(verb, &unit.name)));
    }
    list.push(native("forget it; what is there stays"));
    list
}

fn stop_unit(spec: &UnitSpec, before: &State) -> Vec<Operation> {
    let gone = UnitSpec { enabled: Some(false), running: Some(false), ..spec.clone() };
    let (_, verbs) = unit_verbs(&gone, before);
    let verbs: BTreeSet<_> = verbs.into_iter().map(|verb| argv::systemctl(verb, &spec.name)).collect();
    // "stop" behind "disable" would start again what a timer or socket starts in between.
    verbs.into_iter().rev().map(Operation::Run).collect()
}

/// What a question of health asks, in words.
pub fn question(spec: &HealthSpec) -> String {
    match &spec.question {
        HealthQuestion::Http { address, path, status, .. } => {
            format!("ask http://{address}{path} until it answers {status}")
        }
        HealthQuestion::Tcp { address } => format!("connect to {address} until it is accepted"),
        HealthQuestion::Command { argv, user, .. } => {
            format!("as {user}, until it ends with 0: {}", argv.join(" "))
        }
        HealthQuestion::Unit { name } => format!("look at {name} until it is active"),
    }
}

#[cfg(test)]
mod tests;
