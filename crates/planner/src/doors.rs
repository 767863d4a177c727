//! What a host is reached by: files and units of which a mistake can lock us out, whoever's they are. Such a
//! change takes itself back unless a new connection confirms it. What a command of the plan does is known to
//! nobody here.

use haus_model::resource::Spec;
use std::path::Path;

/// The SSH server and who may log in, root's rights, the network and what filters it.
const PATHS: [&str; 14] = [
    "/etc/ssh",
    "/etc/pam.d",
    "/etc/security",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/hosts.allow",
    "/etc/hosts.deny",
    "/etc/nftables.conf",
    "/etc/nftables.d",
    "/etc/iptables",
    "/etc/ufw",
    "/etc/network",
    "/etc/netplan",
    "/etc/systemd/network",
];

const UNITS: [&str; 10] = [
    "ssh.service",
    "ssh.socket",
    "sshd.service",
    "nftables.service",
    "netfilter-persistent.service",
    "ufw.service",
    "firewalld.service",
    "networking.service",
    "systemd-networkd.service",
    "NetworkManager.service",
];

/// Whether a mistake in it can close the door by which we come.
pub(crate) fn is_door(spec: &Spec) -> bool {
    match spec {
        Spec::File(file) => is_path(&file.path),
        Spec::Link(link) => is_path(&link.path),
        Spec::Sysctl(sysctl) => sysctl.key.starts_with("net."),
        Spec::Unit(unit) => {
            unit.name == crate::expand::FIREWALL_UNIT || UNITS.contains(&with_kind(&unit.name).as_str())
        }
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::User(_)
        | Spec::Keys(_)
        | Spec::Directory(_)
        | Spec::Release(_)
        | Spec::Switch(_)
        | Spec::Command(_)
        | Spec::Health(_) => false,
    }
}

fn is_path(path: &Path) -> bool {
    path.ends_with("firewall.nft") || PATHS.iter().any(|door| path.starts_with(door))
}

/// As systemd reads a name without a kind.
fn with_kind(unit: &str) -> String {
    if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::host::Access;
    use haus_model::resource::{Content, FileSpec, OnChange, UnitSpec};

    fn check_file(path: &str, expected: bool) {
        let content = Content::Text(String::new());
        let spec = FileSpec { path: path.into(), content, access: Access::root(0o644), check: None };
        assert_eq!(is_door(&Spec::File(spec)), expected, "{path}");
    }

    fn check_unit(name: &str, expected: bool) {
        let (name, inputs) = (name.to_owned(), UnitSpec::no_inputs());
        let on_change = OnChange::Reload;
        let spec = UnitSpec { name, enabled: None, running: None, on_change, in_effect: None, inputs };
        assert_eq!(is_door(&Spec::Unit(spec.clone())), expected, "{spec:?}");
    }

    #[test]
    fn a_persons_own_file_for_the_ssh_server_is_a_door() {
        check_file("/etc/ssh/sshd_config.d/20-own.conf", true);
        check_file("/etc/sudoers.d/deploy", true);
        check_file("/etc/nftables.conf", true);
        check_file("/etc/network/interfaces", true);
        check_file("/etc/shop.conf", false);
        check_file("/etc/sshguard.conf", false);
    }

    #[test]
    fn what_reads_such_a_file_is_one_too() {
        check_unit("ssh", true);
        check_unit("ssh.service", true);
        check_unit("nftables.service", true);
        check_unit("haus-firewall.service", true);
        check_unit("nginx.service", false);
    }
}
