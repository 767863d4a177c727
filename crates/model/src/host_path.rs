//! Files on a host whose names no plan chooses: one for each word that sets something of the distribution's.
//!
//! Whoever expands a plan writes them, whoever checks it refuses a second owner. What stands in them is not
//! known here.

use std::path::{Path, PathBuf};

/// Where units that an administrator makes have their files (systemd.unit(5)).
pub const UNITS: &str = "/etc/systemd/system";

/// The file of such a unit, by its full name.
pub fn unit_path(unit: &str) -> PathBuf {
    Path::new(UNITS).join(unit)
}

/// The list of hosts: `hosts_file:`.
pub const HOSTS: &str = "/etc/hosts";

/// What `sshd:` sets. sshd takes the first value that it reads, in the order of names: images of clouds bring
/// a `50-cloud-init.conf` that allows passwords, and ours must stand before it.
pub const SSHD: &str = "/etc/ssh/sshd_config.d/10-haus.conf";

/// The limits of `journal:`.
pub const JOURNAL: &str = "/etc/systemd/journald.conf.d/50-haus.conf";

/// The servers of `time:`.
pub const TIME_SERVERS: &str = "/etc/systemd/timesyncd.conf.d/50-haus.conf";

/// The zone of `time:`, as the C library follows it.
pub const ZONE_LINK: &str = "/etc/localtime";

/// The zone of `time:`, as Debian's own tools read it.
pub const ZONE_NAME: &str = "/etc/timezone";

/// What `upgrades:` sets; behind the package's own `50unattended-upgrades`, since apt takes the last value.
pub const UPGRADES: &str = "/etc/apt/apt.conf.d/52haus-unattended-upgrades";

/// The rules of `firewall:`.
pub const FIREWALL_RULES: &str = "/etc/haus/firewall.nft";

/// The unit that loads them.
pub const FIREWALL_UNIT: &str = "haus-firewall.service";
