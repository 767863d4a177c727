//! Control groups: one per run where the machine lets us, version 2 or the older hierarchies.
//! Where it does not, the house runs without, and says which limit is not enforced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::wire::Limits;

const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
const CPU_PERIOD_US: u64 = 100_000;
const CPU_QUOTA_US_MIN: u64 = 1_000;
const PREFIX: &str = "haus-";
/// Our own leaf in a delegated group: a group with controllers for its children may hold no process itself.
const OWN_LEAF: &str = "supervisor";

/// Where groups can be made on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// Nowhere; the text says why.
    Absent(String),
    /// One folder for everything, with these controllers.
    Unified { base: PathBuf, controllers: Vec<&'static str> },
    /// One folder per controller.
    Separate { bases: Vec<(&'static str, PathBuf)> },
}

/// The group of one run; its folders are recorded, so that a later parent can clean up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
}

impl Cgroups {
    /// Finds a place below `root` (usually `/sys/fs/cgroup`). `membership` is the text of
    /// `/proc/self/cgroup`; `name` has to be this parent's alone, or two houses of one name would end each
    /// other's services.
    pub(crate) fn find(root: &Path, membership: &str, name: &str, is_root: bool) -> Cgroups {
        let own_of = |wanted: &str| {
            membership.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let controllers = parts.next()?;
                controllers.split(',').any(|controller| controller == wanted).then_some(parts.next()?)
            })
        };
        if root.join("cgroup.controllers").exists() {
            let own = own_of("").unwrap_or("/").trim_start_matches('/');
            return find_unified(root, own, name, is_root);
        }
        let bases: Vec<_> = CONTROLLERS
            .into_iter()
            .filter_map(|controller| {
                let hierarchy = root.join(controller);
                let own = hierarchy.join(own_of(controller)?.trim_start_matches('/'));
                // Inside a container the membership names a path of the host, and the mount shows our part of
                // it.
                let base = if own.is_dir() { own } else { hierarchy }.join(format!("{PREFIX}{name}"));
                try_folder(&base).ok().map(|()| (controller, base))
            })
            .collect();
        if bases.is_empty() {
            return Cgroups::Absent(String::from("no writable cgroup"));
        }
        Cgroups::Separate { bases }
    }

    /// Makes the group of one run with its limits; what was asked and cannot be had becomes a note.
    pub(crate) fn create(&self, name: &str, limits: &Limits, notes: &mut Vec<String>) -> Option<Group> {
        let name = name.replace('/', "-");
        let folder_of = |controller: &str| match self {
            Cgroups::Absent(_) => None,
            Cgroups::Unified { base, controllers } => {
                controllers.contains(&controller).then(|| base.join(&name))
            }
            Cgroups::Separate { bases } => {
                bases.iter().find(|(known, _)| *known == controller).map(|(_, base)| base.join(&name))
            }
        };
        let mut folders: Vec<PathBuf> = match self {
            Cgroups::Absent(_) => Vec::new(),
            Cgroups::Unified { base, .. } => vec![base.join(&name)],
            Cgroups::Separate { bases } => bases.iter().map(|(_, base)| base.join(&name)).collect(),
        };
        folders.retain(|folder| make_group_folder(folder).is_ok());
        let unified = matches!(self, Cgroups::Unified { .. });
        for (controller, what, settings) in wanted(limits, unified) {
            let folder = folder_of(controller).filter(|folder| folders.contains(folder));
            if let Err(why) = set(folder, &settings, self) {
                notes.push(format!("{what} limit not enforced: {why}"));
            }
        }
        (!folders.is_empty()).then_some(Group { folders })
    }
}

impl Group {
    /// Moves a process into the group.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        self.folders.iter().try_for_each(|folder| fs::write(folder.join("cgroup.procs"), pid.to_string()))
    }

    /// Every process in the group.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = Vec::new();
        for folder in &self.folders {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        pids
    }

    /// How many of its processes the kernel has killed for want of memory; 0 when it does not tell.
    pub(crate) fn memory_kills(&self) -> u64 {
        let files = ["memory.events", "memory.oom_control"];
        let texts = self.folders.iter().flat_map(|folder| files.map(|file| folder.join(file)));
        let texts = texts.filter_map(|file| fs::read_to_string(file).ok());
        let counts = texts.filter_map(|text| {
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
        });
        counts.sum()
    }

    /// Removes the group, and with the last one the folder made for all of them.
    pub(crate) fn remove(&self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
            if let Some(base) = folder.parent() {
                remove_own_folder(base);
            }
        }
    }
}

type Settings = Vec<(&'static str, String)>;

fn wanted(limits: &Limits, unified: bool) -> Vec<(&'static str, &'static str, Settings)> {
    let mut wanted = Vec::new();
    if let Some(bytes) = limits.memory_bytes {
        let file = if unified { "memory.max" } else { "memory.limit_in_bytes" };
        wanted.push(("memory", "memory", vec![(file, bytes.to_string())]));
    }
    if let Some(milli) = limits.cpu_milli {
        let quota_us = milli.saturating_mul(CPU_PERIOD_US / 1_000).max(CPU_QUOTA_US_MIN);
        let settings = if unified {
            vec![("cpu.max", format!("{quota_us} {CPU_PERIOD_US}"))]
        } else {
            vec![("cpu.cfs_period_us", CPU_PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota_us.to_string())]
        };
        wanted.push(("cpu", "processor", settings));
    }
    if let Some(tasks) = limits.tasks {
        wanted.push(("pids", "task", vec![("pids.max", tasks.to_string())]));
    }
    wanted
}

fn set(folder: Option<PathBuf>, settings: &Settings, cgroups: &Cgroups) -> Result<(), String> {
    let Some(folder) = folder else {
        return Err(match cgroups {
            Cgroups::Absent(why) => why.clone(),
            Cgroups::Unified { .. } | Cgroups::Separate { .. } => {
                String::from("its cgroup controller is not available")
            }
        });
    };
    for (file, value) in settings {
        fs::write(folder.join(file), value).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    Ok(())
}

/// Version 2: our own group when it is ours alone (delegated), otherwise a group beside the others when we
/// are root.
fn find_unified(root: &Path, own: &str, name: &str, is_root: bool) -> Cgroups {
    let mut own = root.join(own);
    if own.ends_with(OWN_LEAF) {
        own.pop();
    }
    let base = if own != *root && become_leaf(&own) {
        own
    } else if is_root {
        let base = root.join(format!("{PREFIX}{name}"));
        if let Err(error) = make_folder(&base) {
            return Cgroups::Absent(format!("no writable cgroup: {error}"));
        }
        base
    } else {
        return Cgroups::Absent(String::from("no writable cgroup"));
    };
    enable_controllers(&base);
    let enabled = fs::read_to_string(base.join("cgroup.subtree_control")).unwrap_or_default();
    let is_enabled = |controller: &&str| enabled.split_ascii_whitespace().any(|word| word == *controller);
    remove_own_folder(&base);
    Cgroups::Unified { base, controllers: CONTROLLERS.into_iter().filter(is_enabled).collect() }
}

/// Moves us into a leaf of our own group; only when nobody else lives in that group.
fn become_leaf(own: &Path) -> bool {
    let us = std::process::id().to_string();
    let leaf = own.join(OWN_LEAF);
    let inhabitants = fs::read_to_string(own.join("cgroup.procs")).unwrap_or_default();
    if inhabitants.lines().any(|pid| pid != us) {
        return false;
    }
    make_folder(&leaf).is_ok() && fs::write(leaf.join("cgroup.procs"), us).is_ok()
}

fn enable_controllers(base: &Path) {
    for controller in CONTROLLERS {
        // One at a time: a missing controller must not cost the others.
        let _ = fs::write(base.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// The folder above went with the last group, and is made again with the next.
fn make_group_folder(folder: &Path) -> io::Result<()> {
    let Some(base) = folder.parent().filter(|base| !base.exists()) else { return make_folder(folder) };
    make_folder(base)?;
    if base.join("cgroup.subtree_control").exists() {
        enable_controllers(base);
    }
    make_folder(folder)
}

/// Removes a folder made for all groups of a parent when it is empty; a delegated one belongs to the service
/// manager.
fn remove_own_folder(base: &Path) {
    if base.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
        let _ = fs::remove_dir(base);
    }
}

fn try_folder(base: &Path) -> io::Result<()> {
    make_folder(base).map(|()| remove_own_folder(base))
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain folders stand in for the kernel's: reading and writing files is all that is done with them.
    fn tree(folders: &[&str], files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("folder");
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).expect("makes");
        }
        for (file, content) in files {
            fs::write(root.path().join(file), content).expect("writes");
        }
        root
    }

    const ALL: Limits =
        Limits { memory_bytes: Some(64 << 20), cpu_milli: Some(500), tasks: Some(9), files: None, core: 0 };

    fn check(cgroups: &Cgroups, expected_files: &[(&Path, &str)], expected_notes: &[&str]) {
        let mut notes = Vec::new();
        let group = cgroups.create("api/1.7", &ALL, &mut notes);
        for (file, content) in expected_files {
            assert_eq!(fs::read_to_string(file).expect("written"), *content, "{}", file.display());
        }
        assert_eq!(notes, expected_notes);
        assert_eq!(group.is_none(), expected_files.is_empty());
    }

    #[test]
    fn the_older_hierarchies_are_used_below_our_own_groups() {
        let root = tree(&["memory/process/x", "pids", "cpu"], &[]);
        let cgroups = Cgroups::find(root.path(), "4:memory:/process/x\n8:pids:/\n1:cpu:/\n", "zimmer", true);
        let file = |path: &str| root.path().join(path);
        check(
            &cgroups,
            &[
                (&file("memory/process/x/haus-zimmer/api-1.7/memory.limit_in_bytes"), "67108864"),
                (&file("cpu/haus-zimmer/api-1.7/cpu.cfs_quota_us"), "50000"),
                (&file("pids/haus-zimmer/api-1.7/pids.max"), "9"),
            ],
            &[],
        );
    }

    #[test]
    fn a_group_of_our_own_is_used_when_nobody_else_lives_in_it() {
        let us = std::process::id().to_string();
        let files = [
            ("cgroup.controllers", ""),
            ("svc/cgroup.procs", us.as_str()),
            ("svc/cgroup.subtree_control", ""),
        ];
        let root = tree(&["svc"], &files);
        let cgroups = Cgroups::find(root.path(), "0::/svc\n", "zimmer", false);
        assert_eq!(fs::read_to_string(root.path().join("svc/supervisor/cgroup.procs")).expect("moved"), us);
        // A plain file keeps only what was written last; the kernel would list all three.
        let base = root.path().join("svc");
        assert_eq!(cgroups, Cgroups::Unified { base: base.clone(), controllers: vec![] });
        let cgroups = Cgroups::Unified { base: base.clone(), controllers: CONTROLLERS.to_vec() };
        let file = |name: &str| base.join("api-1.7").join(name);
        check(
            &cgroups,
            &[
                (&file("memory.max"), "67108864"),
                (&file("cpu.max"), "50000 100000"),
                (&file("pids.max"), "9"),
            ],
            &[],
        );
    }

    #[test]
    fn a_group_shared_with_others_is_left_alone() {
        let files = [("cgroup.controllers", ""), ("session/cgroup.procs", "1\n2\n")];
        let root = tree(&["session"], &files);
        let cgroups = Cgroups::find(root.path(), "0::/session\n", "zimmer", false);
        assert_eq!(cgroups, Cgroups::Absent(String::from("no writable cgroup")));
        assert!(matches!(
            Cgroups::find(root.path(), "0::/session\n", "zimmer", true),
            Cgroups::Unified { base, .. } if base == root.path().join("haus-zimmer")
        ));
    }

    #[test]
    fn kills_for_want_of_memory_are_read_in_both_versions() {
        let files = [
            ("two/memory.events", "low 0\noom 4\noom_kill 3\noom_group_kill 0\n"),
            ("one/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ];
        let root = tree(&["one", "two", "none"], &files);
        for (folder, expected) in [("one", 2), ("two", 3), ("none", 0)] {
            let group = Group { folders: vec![root.path().join(folder)] };
            assert_eq!(group.memory_kills(), expected, "{folder}");
        }
    }

    #[test]
    fn without_control_groups_every_limit_asked_for_is_noted() {
        let root = tree(&[], &[]);
        let cgroups = Cgroups::find(root.path(), "", "zimmer", true);
        let notes = ["memory", "processor", "task"]
            .map(|what| format!("{what} limit not enforced: no writable cgroup"));
        check(&cgroups, &[], &notes.each_ref().map(String::as_str));
    }
}
