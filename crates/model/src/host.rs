//! A host of the house: how it is reached and what the plan wants on it.
//!
//! Group settings are already merged into each host, so that nobody else has to know about groups.

use crate::id::{CredentialName, GroupName, HostName, NetworkName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// The road to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connect {
    /// The machine in front of you: `local`.
    Local,
    /// `ssh://USER@HOST:PORT`, carried out by the system's `ssh`, so its configuration, agents and jump hosts hold.
    Ssh {
        /// The account; what ssh's configuration says when absent.
        user: Option<String>,
        /// A name or address, also an alias of ssh's configuration.
        host: String,
        /// The port; what ssh's configuration says when absent.
        port: Option<u16>,
    },
    /// `incus:INSTANCE`, by `incus exec` on the machine in front of you.
    Incus {
        /// The instance.
        instance: String,
        /// The project; Incus' own default when absent.
        project: Option<String>,
    },
}

/// How the rights of root are reached on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Elevation {
    /// Nothing when the account is root already, otherwise `sudo -n`.
    #[default]
    Auto,
    /// Always `sudo -n`.
    Sudo,
    /// Never: acts that need root fail and say so.
    None,
}

/// Processor architectures for which there is a `haus-remote`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// `x86_64`, Debian's amd64.
    Amd64,
    /// `aarch64`, Debian's arm64.
    Arm64,
}

impl Architecture {
    /// The word of `uname -m`.
    pub fn machine(self) -> &'static str {
        match self {
            Architecture::Amd64 => "x86_64",
            Architecture::Arm64 => "aarch64",
        }
    }

    /// The architecture behind the word of `uname -m`.
    pub fn from_machine(word: &str) -> Option<Architecture> {
        match word {
            "x86_64" => Some(Architecture::Amd64),
            "aarch64" => Some(Architecture::Arm64),
            _ => None,
        }
    }
}

/// A machine that we reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// One line for people.
    pub about: Option<String>,
    /// How it is reached.
    pub connect: Connect,
    /// How root's rights are reached.
    pub elevation: Elevation,
    /// What it must be, such as `debian-12` (ID and VERSION_ID of os-release); anything goes when absent.
    pub os: Option<String>,
    /// What it must be; anything that we have a program for when absent.
    pub architecture: Option<Architecture>,
    /// Its addresses by network.
    pub networks: BTreeMap<NetworkName, IpAddr>,
    /// The name or address by which other hosts of the house reach it.
    pub address: String,
    /// The groups that it belongs to, in the order in which their settings were merged.
    pub groups: Vec<GroupName>,
    /// What is wanted on it, groups first, then its own.
    pub settings: HostSettings,
}

/// A network between hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: NetworkName,
    /// The range in CIDR notation, such as `10.20.0.0/24`.
    pub range: String,
}

/// What is wanted on a host besides its services. Everything is optional: what is not said is not touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSettings {
    /// Debian packages that must be installed.
    pub packages: BTreeSet<String>,
    /// Patterns of packages that must not be changed by upgrades (`apt-mark hold`), such as `linux-image-*`.
    pub hold: BTreeSet<String>,
    /// Accounts by name.
    pub accounts: BTreeMap<String, Account>,
    /// Folders by absolute path.
    pub directories: BTreeMap<PathBuf, Directory>,
    /// Files by absolute path.
    pub files: BTreeMap<PathBuf, ManagedFile>,
    /// Links by absolute path, and where they lead.
    pub links: BTreeMap<PathBuf, PathBuf>,
    /// Kernel parameters, such as `net.core.somaxconn`.
    pub sysctl: BTreeMap<String, String>,
    /// The packet filter; none is not touched.
    pub firewall: Option<Firewall>,
    /// The SSH server; none is not touched.
    pub sshd: Option<Sshd>,
    /// Limits of the journal; none is not touched.
    pub journal: Option<JournalLimits>,
    /// Unattended upgrades; none is not touched.
    pub upgrades: Option<Upgrades>,
    /// Time synchronisation and zone; none is not touched.
    pub time: Option<TimeSync>,
    /// nginx sites by name.
    pub nginx: BTreeMap<String, NginxSite>,
    /// systemd units of the user's own, by full name such as `night.timer`.
    pub units: BTreeMap<String, ManagedUnit>,
    /// TLS certificates and keys by name.
    pub tls: BTreeMap<String, TlsFiles>,
    /// Commands that make something true which no other kind can say, by name, in the order of their names.
    pub steps: BTreeMap<String, Step>,
    /// Whether `/etc/hosts` names the other hosts of the house.
    pub hosts_file: bool,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whether it is a system account without a password and ageing.
    pub system: bool,
    /// Its number; chosen by the host when absent.
    pub uid: Option<u32>,
    /// Its home; `/home/NAME` when absent, for system accounts `/nonexistent`.
    pub home: Option<PathBuf>,
    /// Its shell; `/bin/bash` when absent, for system accounts `/usr/sbin/nologin`.
    pub shell: Option<PathBuf>,
    /// Further groups.
    pub groups: BTreeSet<String>,
    /// Public keys that may log in, a line each. None leaves the file alone.
    pub keys: Option<Vec<String>>,
}

/// Owner, group and mode of a folder or file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Access {
    /// Name of the account.
    pub owner: String,
    /// Name of the group.
    pub group: String,
    /// Permission bits, such as `0o644`.
    pub mode: u32,
}

impl Access {
    /// Of root, with these permission bits.
    pub fn root(mode: u32) -> Access {
        Access { owner: "root".to_owned(), group: "root".to_owned(), mode }
    }
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Who may do what.
    pub access: Access,
}

/// Where the content of a file comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSource {
    /// Stands in the plan, variables filled in.
    Text(String),
    /// Is read from this file, relative to the plan's folder, as it is.
    From(PathBuf),
    /// Is read from this file and its variables are filled in.
    Template(PathBuf),
    /// Is the value of a credential.
    Credential(CredentialName),
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedFile {
    /// Its content.
    pub source: FileSource,
    /// Who may do what.
    pub access: Access,
    /// A command that must accept the file before it is used; `{}` stands for its path.
    pub check: Option<Vec<String>>,
    /// Units that must read it again when it changes.
    pub then: Vec<Reaction>,
}

/// What follows from a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// `systemctl reload-or-restart UNIT`
    Reload(String),
    /// `systemctl restart UNIT`
    Restart(String),
}

/// A systemd unit of the user's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedUnit {
    /// Its content; none for a unit that a package brings.
    pub source: Option<FileSource>,
    /// Whether it starts with the machine; none is not touched.
    pub enabled: Option<bool>,
    /// Whether it runs; none is not touched.
    pub running: Option<bool>,
}

/// The packet filter (nftables): what may come in. Everything else is dropped, answers and loopback may pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// What is let in.
    pub allow: Vec<FirewallRule>,
    /// Whether echo requests are answered.
    pub ping: bool,
}

/// Protocols that have ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// One thing that is let in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FirewallRule {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Addresses or ranges in CIDR notation that may use it; everybody when empty.
    pub from: Vec<String>,
    /// Why, for the reader of the rules.
    pub why: String,
}

/// Who may log in as root over SSH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootLogin {
    /// Nobody.
    No,
    /// With a key.
    Keys,
}

/// Settings of the SSH server; none of a field is not touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sshd {
    /// Ports that it listens on.
    pub ports: Vec<u16>,
    /// Whether passwords are accepted.
    pub passwords: Option<bool>,
    /// Whether root may log in.
    pub root: Option<RootLogin>,
    /// Accounts that may log in; all when empty.
    pub allow_users: Vec<String>,
}

/// Limits of the journal; none of a field is not touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLimits {
    /// Bytes on disk at most.
    pub bytes_max: Option<u64>,
    /// Days after which entries go.
    pub days_max: Option<u32>,
}

/// Unattended upgrades. Held packages are always left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrades {
    /// Whether they run.
    pub enabled: bool,
    /// When the machine restarts by itself if an upgrade wants it, `HH:MM`; never when absent.
    pub reboot_at: Option<String>,
}

/// Time synchronisation by systemd-timesyncd, and the zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSync {
    /// Servers; the distribution's own when empty.
    pub servers: Vec<String>,
    /// Zone, such as `Europe/Berlin`; none is not touched.
    pub zone: Option<String>,
}

/// A site of nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NginxSite {
    /// Its configuration.
    pub source: FileSource,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: FileSource,
    /// The key.
    pub key: CredentialName,
    /// The group that may read the key besides root.
    pub group: Option<String>,
    /// What follows from a change.
    pub then: Vec<Reaction>,
}

/// A command that makes something true. Its outcome cannot be known before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Program and arguments.
    pub run: Vec<String>,
    /// A command that ends with 0 when nothing is to be done.
    pub unless: Option<Vec<String>>,
    /// The account; root when absent.
    pub user: Option<String>,
    /// Working folder; `/` when absent.
    pub folder: Option<PathBuf>,
    /// Credentials as files: name of the file in `$CREDENTIALS_DIRECTORY`, and the credential.
    pub credentials: BTreeMap<String, CredentialName>,
    /// Units that must run before.
    pub after: Vec<String>,
}
