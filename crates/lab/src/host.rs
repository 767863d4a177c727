//! One host of the lab: reached over ssh like any machine, and out of band like a machine whose power button,
//! cable and disk are within reach. Knows nothing of what is tried on it.

use crate::claim::Claim;
use crate::disk::{self, CLEAN};
use crate::error::LabError;
use crate::files;
use crate::image::Image;
use crate::keys::SSH_PORT;
use crate::network;
use crate::places::{HostPlaces, Places};
use crate::power::{Frozen, Pid1, Power};
use crate::tool::{Output, output_within};
use crate::wait::wait_for;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A boot takes two seconds; twenty at once on two cores take their time.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);
const COMMAND_DEADLINE: Duration = Duration::from_secs(300);

/// Accounts that every host has and that the lab's key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// The superuser.
    Root,
    /// May do everything through `sudo` without a password.
    Deploy,
    /// May do nothing beyond its own folder.
    Plain,
}

impl Login {
    /// All of them.
    pub const ALL: [Login; 3] = [Login::Root, Login::Deploy, Login::Plain];

    /// The name of the account.
    pub fn account(self) -> &'static str {
        match self {
            Login::Root => "root",
            Login::Deploy => "deploy",
            Login::Plain => "plain",
        }
    }

    pub(crate) fn home(self) -> &'static str {
        match self {
            Login::Root => "root",
            Login::Deploy => "home/deploy",
            Login::Plain => "home/plain",
        }
    }
}

/// How far a boot must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// systemd has started everything that it wanted to. Also when nobody can reach the host.
    Booted,
    /// Booted, and root can log in over ssh.
    Ssh,
}

/// A host of the lab.
#[derive(Debug, Clone)]
pub struct LabHost {
    /// `lab1`, `lab2`, …; what `ssh -F FILE` knows it as.
    pub name: String,
    /// Its address behind the lab's bridge.
    pub address: Ipv4Addr,
    /// Where its sshd listens.
    pub ssh_port: u16,
    places: Places,
    files: HostPlaces,
    power: Power,
}

impl LabHost {
    pub(crate) fn new(places: &Places, name: &str, address: Ipv4Addr) -> LabHost {
        let (files, power) = (places.host(name), Power::of(places, name));
        LabHost { name: name.to_owned(), address, ssh_port: SSH_PORT, places: places.clone(), files, power }
    }

    /// For `ssh -F`: reaches the host as the lab's root and trusts its key.
    pub fn ssh_config(&self) -> PathBuf {
        self.places.ssh_config()
    }

    /// The private key that its accounts accept.
    pub fn key(&self) -> PathBuf {
        self.places.key()
    }

    /// Its host key in the form of `known_hosts`.
    pub fn known_hosts(&self) -> PathBuf {
        self.places.known_hosts()
    }

    /// What it printed while it booted, on this machine.
    pub fn console(&self) -> PathBuf {
        self.files.console()
    }

    /// Its `/` as this machine sees it. Look at it, and write there only while the host is off.
    pub fn root(&self) -> PathBuf {
        self.files.root()
    }

    /// Runs a shell command over ssh. Every exit code is an answer; 255 is ssh's own.
    pub fn ssh(&self, login: Login, command: &str) -> Result<Output, LabError> {
        let mut ssh = self.ssh_command(login);
        ssh.arg(command);
        output_within(&format!("reach {} over ssh", self.name), &mut ssh, COMMAND_DEADLINE)
    }

    /// `ssh` with everything but the command, for a test with wishes of its own.
    pub fn ssh_command(&self, login: Login) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.ssh_config()).args(["-l", login.account(), &self.name]);
        command
    }

    /// Runs a program as root inside of the host, not over its network.
    pub fn exec(&self, words: &[&str]) -> Result<Output, LabError> {
        let mut command = self.exec_command()?;
        command.args(words);
        output_within(&format!("run {} on {}", words.join(" "), self.name), &mut command, COMMAND_DEADLINE)
    }

    /// The same with a line of shell.
    pub fn exec_shell(&self, line: &str) -> Result<Output, LabError> {
        self.exec(&["/bin/sh", "-c", line])
    }

    /// What [`LabHost::exec`] starts, without the program. It must have ended before the host reboots: on the
    /// way down systemd stops everything for a moment, and `nsenter`, which stops with its child, is outside
    /// and continued by nobody, so that the host waits for the child for ever.
    pub fn exec_command(&self) -> Result<Command, LabError> {
        let pid1 = self.pid1()?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", pid1.pid)).arg("--all");
        command.args([
            "/usr/bin/env",
            "-i",
            "-C",
            "/",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]);
        command.args(["HOME=/root", "LANG=C.UTF-8"]);
        Ok(command)
    }

    /// Keeps the host's disk as it is, under this name. It stands still for that moment and runs on.
    pub fn snapshot(&self, name: &str) -> Result<(), LabError> {
        check_name(name, "snapshot")?;
        if name == CLEAN || disk::is_stood_on(&self.files, name)? {
            return Err(LabError::SnapshotInUse { host: self.name.clone(), snapshot: name.to_owned() });
        }
        let runs = self.power.is_on()?;
        if runs {
            self.power.set_frozen(Frozen::Yes)?;
        }
        let kept = disk::snapshot(&self.files, name);
        if runs {
            self.power.set_frozen(Frozen::No)?;
        }
        kept
    }

    /// Whether there is a snapshot of this name.
    pub fn has_snapshot(&self, name: &str) -> Result<bool, LabError> {
        Ok(name == CLEAN || self.snapshots()?.iter().any(|known| known == name))
    }

    /// The snapshots besides [`CLEAN`].
    pub fn snapshots(&self) -> Result<Vec<String>, LabError> {
        disk::snapshots(&self.files)
    }

    /// Pulls the plug, goes back to the snapshot, mends link and disk, boots and waits for ssh.
    pub fn restore(&self, name: &str) -> Result<(), LabError> {
        if !self.has_snapshot(name)? {
            let known = self.snapshots()?;
            let (host, snapshot) = (self.name.clone(), name.to_owned());
            return Err(LabError::UnknownSnapshot { host, snapshot, known });
        }
        self.cut_power()?;
        network::mend(&self.places, &self.name)?;
        disk::restore(&self.files, &self.image()?, name)?;
        files::write(&self.console(), "")?;
        self.restore_power(Ready::Ssh)
    }

    /// Packets vanish in both directions, and nobody is told. Survives a reboot of the host.
    pub fn cut_link(&self) -> Result<(), LabError> {
        network::cut(&self.places, &self.name)
    }

    /// Packets pass again.
    pub fn mend_link(&self) -> Result<(), LabError> {
        network::mend(&self.places, &self.name)
    }

    /// Whether its link is cut.
    pub fn is_link_cut(&self) -> Result<bool, LabError> {
        network::is_cut(&self.places, &self.name)
    }

    /// From here on the host has no block left. `/tmp` and `/run` are in memory, as on many machines.
    pub fn fill_disk(&self) -> Result<(), LabError> {
        disk::fill(&self.files)
    }

    /// Gives the space back.
    pub fn empty_disk(&self) -> Result<(), LabError> {
        disk::empty(&self.files)
    }

    /// Whether the disk was filled by [`LabHost::fill_disk`].
    pub fn is_disk_full(&self) -> bool {
        self.files.ballast().exists()
    }

    /// Reboots as a person at the console would; returns when another PID 1 has come so far.
    pub fn reboot(&self, until: Ready) -> Result<(), LabError> {
        let before = self.pid1()?;
        // The answer may be lost with the system that gives it.
        self.exec(&["systemctl", "reboot"])?;
        self.wait_rebooted(before, until)
    }

    /// Waits for the boot after this one, whoever asked for it.
    pub fn wait_rebooted(&self, before: Pid1, until: Ready) -> Result<(), LabError> {
        wait_for(&format!("{} to reboot", self.name), BOOT_DEADLINE, &self.console(), || {
            self.pid1().is_ok_and(|pid1| pid1 != before).then_some(())
        })?;
        self.wait_ready(until)
    }

    /// Ends everything on the host between two instructions. Its disk keeps what was written.
    pub fn cut_power(&self) -> Result<(), LabError> {
        self.power.cut()
    }

    /// Boots it again.
    pub fn restore_power(&self, until: Ready) -> Result<(), LabError> {
        disk::mount(&self.files, &self.image()?)?;
        self.power.on()?;
        self.wait_ready(until)
    }

    /// Whether it has power.
    pub fn is_on(&self) -> Result<bool, LabError> {
        self.power.is_on()
    }

    /// Which PID 1 it has; another one after every boot.
    pub fn pid1(&self) -> Result<Pid1, LabError> {
        self.power.pid1()?.ok_or_else(|| LabError::Off { host: self.name.clone() })
    }

    /// What the kernel of the host says of this boot.
    pub fn boot_id(&self) -> Result<String, LabError> {
        Ok(self.exec(&["cat", "/proc/sys/kernel/random/boot_id"])?.stdout.trim().to_owned())
    }

    /// Waits until a boot has come so far.
    pub fn wait_ready(&self, until: Ready) -> Result<(), LabError> {
        wait_for(&format!("{} to boot", self.name), BOOT_DEADLINE, &self.console(), || {
            // Refused while systemd does not listen yet; then it answers when it has nothing left to start.
            let state = self.exec(&["systemctl", "is-system-running", "--wait"]).ok()?;
            matches!(state.stdout.trim(), "running" | "degraded").then_some(())
        })?;
        match until {
            Ready::Booted => Ok(()),
            Ready::Ssh => wait_for(&format!("ssh on {}", self.name), BOOT_DEADLINE, &self.console(), || {
                self.ssh(Login::Root, "true").is_ok_and(|output| output.is_success()).then_some(())
            }),
        }
    }

    /// The process that works with it.
    pub fn claimed_by(&self) -> Option<String> {
        Claim::holder(&self.files.claim())
    }

    pub(crate) fn claim(&self) -> Result<Result<Claim, String>, LabError> {
        Claim::attempt(&self.files.claim())
    }

    /// The image it stands on, whatever a new one would be.
    pub(crate) fn image(&self) -> Result<Image, LabError> {
        let hash = files::read(&self.files.image())?;
        Ok(Image { root: self.places.images().join(&hash), hash })
    }
}

/// Names become file names, layers of a mount and words of a command.
pub(crate) fn check_name(name: &str, of: &'static str) -> Result<(), LabError> {
    let is_plain =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let good = (1..=32).contains(&name.len()) && name.chars().all(is_plain) && !name.starts_with('-');
    if good { Ok(()) } else { Err(LabError::Name { name: name.to_owned(), of }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for good in ["a", "with-postgresql-15"] {
            check_name(good, "snapshot").unwrap();
        }
        for bad in ["", "-a", "a/b", "..", "a:b", "A", "a b", "0123456789012345678901234567890123"] {
            assert!(check_name(bad, "snapshot").is_err(), "{bad}");
        }
    }
}
