//! What the machine is: system, boot, clock, free space, addresses. Read from files of the kernel.

use super::{folder_of, listeners};
use crate::account::Accounts;
use crate::machine::{Machine, now};
use haus_model::inventory::{Facts, Space};
use haus_model::resource::Spec;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Folders whose free space matters whatever the plan says.
const FOLDERS: [&str; 8] = ["/", "/etc", "/home", "/opt", "/srv", "/tmp", "/var/cache/apt", "/var/lib"];

/// All facts; `specs` say where something is going to be written.
pub(crate) fn facts<'s>(machine: &Machine, specs: impl IntoIterator<Item = &'s Spec>) -> Facts {
    let uname = rustix::system::uname();
    let accounts = Accounts::read(machine);
    let uid = rustix::process::geteuid();
    let folders = FOLDERS.iter().map(PathBuf::from).chain(specs.into_iter().filter_map(folder_of));
    Facts {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        os: os_of(&machine.text("/etc/os-release")),
        machine: uname.machine().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        boot_id: boot_id(),
        pid1_started_ticks: started_ticks(1).unwrap_or_default(),
        clock: now(),
        user: accounts.user_name(uid.as_raw()),
        is_root: uid.is_root(),
        systemd: systemd_version(),
        space: space(folders.chain([machine.state.clone()])),
        addresses: addresses(),
        listeners: listeners::listeners(),
    }
}

/// Changes with every boot of the kernel.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// When a process started, in ticks since boot.
pub(crate) fn started_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, also brackets and blanks.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn os_of(text: &str) -> String {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
    };
    let parts: Vec<String> = [value("ID"), value("VERSION_ID")].into_iter().flatten().collect();
    parts.join("-")
}

fn systemd_version() -> Option<u32> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let asked =
        Command::new("systemctl").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    version_of(&String::from_utf8_lossy(&asked.ok()?.stdout))
}

fn version_of(text: &str) -> Option<u32> {
    let word = text.split_ascii_whitespace().nth(1)?;
    word.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

fn space(folders: impl Iterator<Item = PathBuf>) -> BTreeMap<PathBuf, Space> {
    let mounts = mount_points(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    let of = |folder: PathBuf| {
        let fits = mounts.iter().filter(|mount| folder.starts_with(mount));
        fits.max_by_key(|mount| mount.components().count()).cloned()
    };
    let needed: BTreeSet<PathBuf> = folders.filter_map(of).collect();
    let free = |mount: PathBuf| {
        let stat = rustix::fs::statvfs(&mount).ok()?;
        // btrfs and others make inodes as needed and say 0 of 0.
        let inodes = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        Some((mount, Space { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), inodes }))
    };
    needed.into_iter().filter_map(free).collect()
}

fn mount_points(text: &str) -> BTreeSet<PathBuf> {
    let point = |line: &str| line.split(' ').nth(4).map(|path| PathBuf::from(unescaped(path)));
    text.lines().filter_map(point).collect()
}

/// The kernel writes blanks and the like in octal.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn addresses() -> BTreeSet<IpAddr> {
    let four = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let six = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    local_addresses(&four).into_iter().map(IpAddr::V4).chain(six.lines().filter_map(address_six)).collect()
}

/// Addresses stand one line above the word that says that they are the machine's own.
fn local_addresses(text: &str) -> BTreeSet<Ipv4Addr> {
    let mut above: Option<Ipv4Addr> = None;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if let Some(address) = line.trim_start().strip_prefix("|-- ") {
            above = address.trim().parse().ok();
        } else if line.contains("/32 host LOCAL") {
            found.extend(above);
        }
    }
    found
}

fn address_six(line: &str) -> Option<IpAddr> {
    let digits = line.split_ascii_whitespace().next()?;
    Some(IpAddr::V6(Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_have_a_name_and_perhaps_a_version() {
        assert_eq!(os_of("PRETTY_NAME=\"x\"\nVERSION_ID=\"12\"\nID=debian\n"), "debian-12");
        assert_eq!(os_of("ID=debian\n"), "debian");
        assert_eq!(os_of(""), "");
    }

    #[test]
    fn versions_of_systemd_are_numbers() {
        assert_eq!(version_of("systemd 252 (252.39-1~deb12u1)\n+PAM"), Some(252));
        assert_eq!(version_of("systemd 256~rc3"), Some(256));
        assert_eq!(version_of(""), None);
    }

    #[test]
    fn own_addresses_are_those_marked_local() {
        let text = "Local:\n  +-- 10.0.0.0/24 2 0 2\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(local_addresses(text), BTreeSet::from([Ipv4Addr::new(10, 0, 0, 7)]));
        let six = "00000000000000000000000000000001 01 80 10 80       lo";
        assert_eq!(address_six(six), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    }

    #[test]
    fn this_machine_has_facts() {
        let machine =
            Machine { root: "/".into(), state: "/var/lib/haus-remote".into(), program: "/bin/true".into() };
        let facts = facts(&machine, []);
        assert!(facts.pid1_started_ticks < 1 << 40 && facts.clock.0 > 0 && !facts.boot_id.is_empty());
        assert!(facts.space.contains_key(Path::new("/")), "{:?}", facts.space);
        assert!(!facts.user.is_empty() && !facts.kernel.is_empty());
    }
}
