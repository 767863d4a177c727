//! Where everything of a lab lies and what it is called on this machine. Two labs (of two accounts, or of a
//! test beside the one that people use) differ in their folder, and through its hash in every name in the
//! kernel.

use crate::hash::fnv64;
use std::path::{Path, PathBuf};

/// The folder of a lab, and the names that follow from it.
#[derive(Debug, Clone)]
pub struct Places {
    root: PathBuf,
    images: PathBuf,
}

impl Places {
    /// The lab of this account: `${XDG_CACHE_HOME:-~/.cache}/hausmeister/lab`.
    pub fn of_this_account() -> Places {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME")
            .unwrap_or_else(|| set("HOME").unwrap_or_else(|| PathBuf::from("/root")).join(".cache"));
        let root = cache.join("hausmeister/lab");
        Places { images: root.join("images"), root }
    }

    /// A lab in a folder of its own, which shares the images of this one.
    pub fn beside(&self, root: &Path) -> Places {
        Places { root: root.to_owned(), images: self.images.clone() }
    }

    /// The folder that holds all of it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// For `ssh -F FILE NAME`.
    pub fn ssh_config(&self) -> PathBuf {
        self.root.join("ssh_config")
    }

    /// The key that every account of every host accepts.
    pub fn key(&self) -> PathBuf {
        self.root.join("key")
    }

    /// The host keys, as `ssh` wants them.
    pub fn known_hosts(&self) -> PathBuf {
        self.root.join("known_hosts")
    }

    pub(crate) fn images(&self) -> &Path {
        &self.images
    }

    pub(crate) fn hosts(&self) -> PathBuf {
        self.root.join("hosts")
    }

    pub(crate) fn host(&self, name: &str) -> HostPlaces {
        HostPlaces { folder: self.hosts().join(name) }
    }

    /// Held while the lab as a whole is changed.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Held for the moment in which hosts are picked.
    pub(crate) fn claims_lock(&self) -> PathBuf {
        self.root.join("claims-lock")
    }

    /// The chosen addresses.
    pub(crate) fn network(&self) -> PathBuf {
        self.root.join("network")
    }

    /// What the machine's settings were before the lab changed them.
    pub(crate) fn settings(&self) -> PathBuf {
        self.root.join("settings-before")
    }

    pub(crate) fn rules(&self) -> PathBuf {
        self.root.join("rules.nft")
    }

    fn tag(&self) -> String {
        format!("{:04x}", fnv64(self.root.as_os_str().as_encoded_bytes()) & 0xffff)
    }

    /// The bridge, the tables of nftables and the control group all have this name.
    pub(crate) fn kernel_name(&self) -> String {
        format!("hauslab-{}", self.tag())
    }

    /// A locally administered one.
    pub(crate) fn bridge_address(&self) -> String {
        let [a, b, ..] = fnv64(self.root.as_os_str().as_encoded_bytes()).to_le_bytes();
        format!("02:68:6c:00:{b:02x}:{a:02x}")
    }

    /// The files of the host that Incus runs.
    pub(crate) fn incus(&self) -> HostPlaces {
        HostPlaces { folder: self.root.join("incus") }
    }

    pub(crate) fn machine(&self, host: &str) -> String {
        format!("{host}-{}", self.tag())
    }

    /// This machine's end of a host's cable, as systemd-nspawn calls it.
    pub(crate) fn link(&self, host: &str) -> String {
        format!("vb-{}", self.machine(host))
    }

    /// Where to begin looking for free addresses.
    pub(crate) fn subnet_wish(&self) -> u8 {
        u8::try_from(fnv64(self.root.as_os_str().as_encoded_bytes()) >> 16 & 0xff).expect("eight bits")
    }
}

/// The files of one host.
#[derive(Debug, Clone)]
pub(crate) struct HostPlaces {
    folder: PathBuf,
}

impl HostPlaces {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn address(&self) -> PathBuf {
        self.folder.join("address")
    }

    /// Which image it stands on.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("image")
    }

    pub(crate) fn claim(&self) -> PathBuf {
        self.folder.join("claim")
    }

    /// Name, host keys and accepted keys: what differs between the hosts.
    pub(crate) fn identity(&self) -> PathBuf {
        self.folder.join("identity")
    }

    pub(crate) fn disk_file(&self) -> PathBuf {
        self.folder.join("disk.img")
    }

    /// Where the disk is mounted on this machine.
    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// What the host sees as `/`.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// What it printed while it booted.
    pub(crate) fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// What takes the host's space away while its disk is full.
    pub(crate) fn ballast(&self) -> PathBuf {
        self.disk().join("ballast")
    }

    /// Where an Incus of its own keeps its state.
    pub(crate) fn incus_state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub(crate) fn current(&self) -> PathBuf {
        self.disk().join("current")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.disk().join("snapshots")
    }
}
