//! The power of a host: its control groups, the keeper that boots it, its PID 1 as this machine sees it. A
//! host is known by its control group, never by a process number that was written down: so everything of it
//! is found again also when the program that started it was killed.

use crate::error::LabError;
use crate::files;
use crate::places::{HostPlaces, Places};
use crate::wait::wait_for;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const KEEPER: &str = include_str!("keeper.sh");
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// When a host's PID 1 began: another one after every boot. Ticks of this machine's clock, together with the
/// number that the process has on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pid1 {
    /// Its number on this machine.
    pub pid: u32,
    /// Field 22 of its `/proc/PID/stat`.
    pub start_ticks: u64,
}

/// The switch of one host.
#[derive(Debug, Clone)]
pub(crate) struct Power {
    name: String,
    machine: String,
    bridge: String,
    places: HostPlaces,
    group: PathBuf,
}

impl Power {
    pub(crate) fn of(places: &Places, name: &str) -> Power {
        Power::with_files(places, name, places.host(name))
    }

    /// The same for something whose files lie elsewhere.
    pub(crate) fn with_files(places: &Places, name: &str, files: HostPlaces) -> Power {
        Power {
            name: name.to_owned(),
            machine: places.machine(name),
            bridge: places.kernel_name(),
            places: files,
            group: Path::new(&places.kernel_name()).join(name),
        }
    }

    /// Boots it; returns while it boots. Its root must be mounted.
    pub(crate) fn on(&self) -> Result<(), LabError> {
        self.start(&self.boot())
    }

    /// Starts a program as the host's keeper, unless it has one.
    pub(crate) fn start(&self, words: &[String]) -> Result<(), LabError> {
        if self.is_on()? {
            return Ok(());
        }
        let hierarchies = hierarchies()?;
        let groups: Vec<PathBuf> = hierarchies.iter().map(|root| root.join(&self.group)).collect();
        for group in &groups {
            files::make_folder(&group.join("keeper"))?;
        }
        offer_controllers(&hierarchies[0], &self.group);
        let groups: Vec<String> = groups.iter().map(|group| group.display().to_string()).collect();
        let console = self.places.console();
        let open = || std::fs::File::options().create(true).append(true).open(&console);
        let (out, err) = (
            open().map_err(LabError::file("open", &console))?,
            open().map_err(LabError::file("open", &console))?,
        );
        // `setsid --fork` makes it nobody's child: it outlives this program, and its end is reaped by others.
        let mut command = Command::new("setsid");
        command.args(["--fork", "/bin/sh", "-c", KEEPER, "keeper"]).arg(groups.join(" ")).args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let started = |source| LabError::Start {
            attempt: format!("switch {} on", self.name),
            program: "setsid".to_owned(),
            source,
        };
        command.status().map_err(started).map(drop)
    }

    /// Ends all of its processes at once, as a cut cable would: nothing is written any more.
    pub(crate) fn cut(&self) -> Result<(), LabError> {
        self.forget_lock()?;
        end_group(&self.group)?;
        self.forget_cable()?;
        for kind in ["propagate", "unix-export"] {
            files::remove(&Path::new("/run/systemd/nspawn").join(kind).join(&self.machine))?;
        }
        Ok(())
    }

    /// The kernel takes a cable away some time after the last process of its host; the next boot wants one of
    /// that name.
    fn forget_cable(&self) -> Result<(), LabError> {
        let name = format!("vb-{}", self.machine);
        let link = Path::new("/sys/class/net").join(&name);
        if link.exists() {
            let mut command = Command::new("ip");
            command.args(["link", "del", &name]).stderr(Stdio::null());
            let failed = |source| LabError::Start {
                attempt: format!("take the cable of {} away", self.name),
                program: "ip".to_owned(),
                source,
            };
            // It may have gone by itself at this moment.
            command.status().map_err(failed)?;
        }
        wait_for(&format!("the end of {name}"), STOP_DEADLINE, &self.places.console(), || {
            (!link.exists()).then_some(())
        })
    }

    /// systemd-nspawn keeps one per root folder, and does not get to remove it when its power is cut.
    fn forget_lock(&self) -> Result<(), LabError> {
        let Ok(about) = std::fs::metadata(self.places.root()) else { return Ok(()) };
        let name = format!("inode-{}:{}", about.dev(), about.ino());
        files::remove(&Path::new("/run/systemd/nspawn/locks").join(name))
    }

    /// Whether it has power; it need not have booted yet.
    pub(crate) fn is_on(&self) -> Result<bool, LabError> {
        Ok(!processes(&hierarchies()?[0].join(&self.group)).is_empty())
    }

    /// Stops all of its processes in the middle of what they do, or lets them go on.
    pub(crate) fn set_frozen(&self, frozen: Frozen) -> Result<(), LabError> {
        let group = hierarchies()?[0].join(&self.group);
        let (word, line) = match frozen {
            Frozen::Yes => ("1", "frozen 1"),
            Frozen::No => ("0", "frozen 0"),
        };
        let freeze = group.join("cgroup.freeze");
        std::fs::write(&freeze, word).map_err(LabError::file("write", &freeze))?;
        wait_for(&format!("{} to be {line}", self.name), STOP_DEADLINE, &group, || {
            let events = std::fs::read_to_string(group.join("cgroup.events")).unwrap_or_default();
            events.lines().any(|event| event == line).then_some(())
        })
    }

    /// Its PID 1, while it has one.
    pub(crate) fn pid1(&self) -> Result<Option<Pid1>, LabError> {
        let group = hierarchies()?[0].join(&self.group);
        Ok(processes(&group).into_iter().find_map(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            if !is_first_of_a_guest(&status) {
                return None;
            }
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The second field may hold spaces and brackets.
            let (_, rest) = stat.rsplit_once(") ")?;
            Some(Pid1 { pid, start_ticks: rest.split(' ').nth(19)?.parse().ok()? })
        }))
    }

    fn boot(&self) -> Vec<String> {
        let fixed = [
            "--quiet",
            "--settings=no",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--private-users=no",
            "--console=read-only",
            "--link-journal=no",
            "--timezone=off",
            "--resolv-conf=off",
        ];
        let mut words = vec!["systemd-nspawn".to_owned()];
        words.extend(fixed.map(str::to_owned));
        words.push(format!("--directory={}", self.places.root().display()));
        words.push(format!("--machine={}", self.machine));
        words.push(format!("--hostname={}", self.name));
        // A cable of its own to the lab's bridge, made anew at every boot, so that rules and addresses do not
        // outlive one.
        words.push(format!("--network-bridge={}", self.bridge));
        words
    }
}

/// Whether the processes of a host stand still.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Frozen {
    Yes,
    No,
}

/// Removes the groups of the whole lab; everything below must be empty.
pub(crate) fn remove_groups(places: &Places) -> Result<(), LabError> {
    for root in hierarchies()? {
        remove_group(&root.join(places.kernel_name()))?;
    }
    Ok(())
}

/// Ends all processes of a control group, given by its path in every hierarchy, and removes it.
pub(crate) fn end_group(path: &Path) -> Result<(), LabError> {
    let hierarchies = hierarchies()?;
    let kill = hierarchies[0].join(path).join("cgroup.kill");
    if kill.exists() {
        std::fs::write(&kill, "1").map_err(LabError::file("write", kill))?;
    }
    hierarchies.iter().try_for_each(|root| remove_group(&root.join(path)))
}

/// The hosts that have power, whatever is left of their files.
pub(crate) fn powered(places: &Places) -> Result<Vec<String>, LabError> {
    let folder = hierarchies()?[0].join(places.kernel_name());
    let names = files::names_in(&folder)?;
    Ok(names.into_iter().filter(|name| folder.join(name).is_dir()).collect())
}

/// Where control groups are mounted: the unified hierarchy first, then the one that systemd uses beside it on
/// a machine of the older kind. A boot needs its place in both.
pub(crate) fn hierarchies() -> Result<Vec<PathBuf>, LabError> {
    let found = parse_hierarchies(&files::read(Path::new("/proc/self/mountinfo"))?);
    if found.is_empty() {
        let reason =
            "it has no control groups of version 2 (mounted on /sys/fs/cgroup, alone or as `unified`)";
        return Err(LabError::Unfit { reason: reason.to_owned() });
    }
    Ok(found)
}

fn parse_hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    let (mut unified, mut named) = (None, None);
    for (kind, point, options) in groups_mounted(mountinfo) {
        if kind == "cgroup2" && unified.is_none() {
            unified = Some(point);
        } else if kind == "cgroup" && options.split(',').any(|option| option == "name=systemd") {
            named = Some(point);
        }
    }
    unified.map_or_else(Vec::new, |unified| std::iter::once(unified).chain(named).collect())
}

/// Kind, place and options of everything that has control groups.
fn groups_mounted(mountinfo: &str) -> Vec<(&str, PathBuf, &str)> {
    let mounted = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        kind.starts_with("cgroup").then(|| (kind, PathBuf::from(point), options))
    });
    mounted.collect()
}

/// So that a limit in a unit of the host holds. Where the machine has given its controllers to version 1, or
/// keeps processes in its root, there are none to pass on; the host runs without limits then.
fn offer_controllers(root: &Path, group: &Path) {
    let lab = group.parent().map(|lab| root.join(lab)).unwrap_or_default();
    for folder in [root.to_owned(), lab, root.join(group)] {
        for controller in ["cpu", "memory", "pids", "io"] {
            let _ = std::fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

/// All processes of a group and the groups below it.
fn processes(group: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let Ok(entries) = std::fs::read_dir(group) else { return found };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        found.extend(processes(&entry.path()));
    }
    found
}

/// Removes a group from the hierarchies that no boot of ours asks for: LXC enters all of them. Its processes
/// are gone.
pub(crate) fn forget_group(path: &Path) -> Result<(), LabError> {
    for (_, root, _) in groups_mounted(&files::read(Path::new("/proc/self/mountinfo"))?) {
        remove_folders(&root.join(path));
    }
    Ok(())
}

/// A group that still has a process, be it only one that nobody has waited for yet, cannot be removed.
fn remove_group(group: &Path) -> Result<(), LabError> {
    wait_for(&format!("the end of {}", group.display()), STOP_DEADLINE, group, || {
        remove_folders(group);
        (!group.exists()).then_some(())
    })
}

fn remove_folders(group: &Path) {
    let Ok(entries) = std::fs::read_dir(group) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_folders(&entry.path());
    }
    // Its own files go with it.
    let _ = std::fs::remove_dir(group);
}

/// Exactly two numbers, ours and 1: a container inside of the host would show three.
fn is_first_of_a_guest(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    matches!(numbers.split_whitespace().collect::<Vec<_>>()[..], [_, "1"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_of_a_guest_is_recognised() {
        assert!(is_first_of_a_guest("Name:\tsystemd\nNSpid:\t4711\t1\n"));
        assert!(!is_first_of_a_guest("NSpid:\t4711\n"));
        assert!(!is_first_of_a_guest("NSpid:\t4711\t17\n"));
        assert!(!is_first_of_a_guest("NSpid:\t4711\t55\t1\n"));
    }

    fn check(mountinfo: &str, expected: &[&str]) {
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(parse_hierarchies(mountinfo), expected);
    }

    #[test]
    fn a_machine_with_version_two_alone_has_one_hierarchy() {
        check(
            "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
            &["/sys/fs/cgroup"],
        );
    }

    #[test]
    fn a_machine_with_both_has_two() {
        check(
            "40 1 0:3 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
             41 1 0:4 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             42 1 0:5 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            &["/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"],
        );
    }

    #[test]
    fn a_machine_with_version_one_alone_is_not_fit() {
        check("40 1 0:3 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", &[]);
    }
}
