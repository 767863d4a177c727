//! What makes one host different from another: name, address, host key, machine id, who may come in. A layer
//! of its own between the image and what the host writes, so that a restored host is still the same one to
//! everybody who knows it.

use crate::error::LabError;
use crate::files;
use crate::host::Login;
use crate::image::Image;
use crate::keys;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

/// The host as it is written down.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
    /// The public key that its accounts accept.
    pub(crate) key: &'a str,
}

/// Writes the layer into a folder of its own.
pub(crate) fn write(root: &Path, image: &Image, identity: &Identity) -> Result<(), LabError> {
    let Identity { name, address, gateway, key } = identity;
    let network = format!(
        "[Match]\nName=host0\n\n[Network]\nAddress={address}/24\nGateway={gateway}\nLinkLocalAddressing=no\n"
    );
    let names = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{address} {name}\n");
    let texts = [
        ("etc/hostname", format!("{name}\n")),
        ("etc/hosts", names),
        ("etc/resolv.conf", name_servers()?),
        ("etc/systemd/network/10-lab.network", network),
        ("etc/machine-id", machine_id()?),
    ];
    for (path, text) in texts {
        let path = Path::new(path);
        make_like(root, &image.root, path.parent().unwrap_or(path))?;
        files::write(&root.join(path), &text)?;
    }
    make_like(root, &image.root, Path::new("etc/ssh"))?;
    keys::make(&root.join("etc/ssh/ssh_host_ed25519_key"), name)?;
    for login in Login::ALL {
        let home = Path::new(login.home());
        make_like(root, &image.root, home)?;
        let owner =
            fs::metadata(image.root.join(home)).map_err(LabError::file("read", image.root.join(home)))?;
        let folder = root.join(home).join(".ssh");
        let file = folder.join("authorized_keys");
        files::write(&file, key)?;
        files::set_mode(&folder, 0o700)?;
        for path in [folder, file] {
            chown(&path, Some(owner.uid()), Some(owner.gid())).map_err(LabError::file("give away", &path))?;
        }
    }
    Ok(())
}

/// Keeps a host from starting a unit.
pub(crate) fn mask(root: &Path, image: &Image, unit: &str) -> Result<(), LabError> {
    let folder = Path::new("etc/systemd/system");
    make_like(root, &image.root, folder)?;
    let link = root.join(folder).join(unit);
    std::os::unix::fs::symlink("/dev/null", &link).map_err(LabError::file("link", &link))
}

/// A folder of the upper layer decides about owner and mode, so each one is made like the one it lies over.
fn make_like(root: &Path, image: &Path, folder: &Path) -> Result<(), LabError> {
    let mut path = PathBuf::new();
    files::make_folder(root)?;
    for part in folder.components() {
        path.push(part);
        let (to, like) = (root.join(&path), image.join(&path));
        if to.is_dir() {
            continue;
        }
        files::make_folder(&to)?;
        if let Ok(about) = fs::metadata(&like) {
            files::set_mode(&to, about.mode() & 0o7777)?;
            chown(&to, Some(about.uid()), Some(about.gid())).map_err(LabError::file("give away", &to))?;
        }
    }
    Ok(())
}

/// Those of this machine. A resolver that listens on loopback is not reached from a host; systemd-resolved
/// keeps the ones behind it in a file.
fn name_servers() -> Result<String, LabError> {
    let mut text = String::new();
    for path in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        text.push_str(&reachable(&files::read_if_there(Path::new(path))?.unwrap_or_default()));
    }
    Ok(text)
}

fn reachable(resolv: &str) -> String {
    let is_wanted = |line: &&str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["nameserver", address, ..] => address.parse::<IpAddr>().is_ok_and(|address| !address.is_loopback()),
        ["search", ..] => true,
        _ => false,
    };
    resolv.lines().filter(is_wanted).map(|line| format!("{line}\n")).collect()
}

fn machine_id() -> Result<String, LabError> {
    let id = files::read(Path::new("/proc/sys/kernel/random/uuid"))?;
    Ok(format!("{}\n", id.trim().replace('-', "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_servers_that_a_host_can_reach_are_taken_over() {
        let resolv =
            "# comment\nnameserver 127.0.0.53\nnameserver 10.0.0.2\noptions edns0\nsearch home.arpa\n";
        assert_eq!(reachable(resolv), "nameserver 10.0.0.2\nsearch home.arpa\n");
    }
}
