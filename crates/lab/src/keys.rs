//! Keys of the lab: one pair that opens every account of every host, a host key per host, and the files with
//! which `ssh` finds and trusts the hosts. They open nothing outside of the lab and never leave its folder.

use crate::error::LabError;
use crate::files;
use crate::places::Places;
use crate::tool::run;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A host as `ssh` must know it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    /// The folder that holds its host key.
    pub(crate) identity: PathBuf,
}

/// Makes the pair where it is missing; gives the public half.
pub(crate) fn ensure_pair(places: &Places) -> Result<String, LabError> {
    let key = places.key();
    let public = key.with_extension("pub");
    if !key.is_file() || !public.is_file() {
        files::remove(&key)?;
        make(&key, "hausmeister-lab")?;
    }
    files::read(&public)
}

/// Makes a key in this file, with its public half beside it.
pub(crate) fn make(path: &Path, comment: &str) -> Result<(), LabError> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(path);
    run("make a key", command).map(drop)
}

/// Writes what `ssh -F FILE NAME` needs, for the hosts that there are.
pub(crate) fn write_ssh_files(places: &Places, hosts: &[Known]) -> Result<(), LabError> {
    let (mut config, mut known) = (String::new(), String::new());
    for host in hosts {
        let Known { name, address, identity } = host;
        config.push_str(&format!("Host {name}\n  HostName {address}\n  HostKeyAlias {name}\n\n"));
        let key = identity.join("etc/ssh/ssh_host_ed25519_key.pub");
        known.push_str(&format!("{name},{address} {}\n", files::read(&key)?.trim()));
    }
    config.push_str(&format!(
        "Host *\n  User root\n  Port {SSH_PORT}\n  IdentityFile {:?}\n  IdentitiesOnly yes\n  UserKnownHostsFile {:?}\n",
        places.key(),
        places.known_hosts(),
    ));
    config.push_str("  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  UpdateHostKeys no\n");
    config
        .push_str("  BatchMode yes\n  ConnectTimeout 5\n  ServerAliveInterval 5\n  ServerAliveCountMax 3\n");
    files::replace(&places.known_hosts(), &known)?;
    files::replace(&places.ssh_config(), &config)
}

/// Where every host listens after a clean start.
pub(crate) const SSH_PORT: u16 = 22;
