//! What a host is reached by: files and units of which a mistake can lock us out, whoever's they are, and the
//! account by which we come. Such a change takes itself back unless a new connection confirms it. What a
//! command of the plan does is known to nobody here.

use haus_model::host::{Account, Connect, Host};
use haus_model::host_path;
use haus_model::resource::Spec;
use std::path::{Path, PathBuf};

/// The SSH server and who may log in, root's rights, the network and what filters it.
const PATHS: [&str; 16] = [
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
    "/etc/firewalld",
    "/etc/network",
    "/etc/netplan",
    "/etc/systemd/network",
    "/etc/NetworkManager",
];

/// Files below a home that say which keys may log in; whose home it is, the server's configuration says.
const KEYS: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];

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
        Spec::Directory(directory) => is_path(&directory.path),
        Spec::Sysctl(sysctl) => sysctl.key.starts_with("net."),
        Spec::Unit(unit) => {
            unit.name == host_path::FIREWALL_UNIT || UNITS.contains(&with_kind(&unit.name).as_str())
        }
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::User(_)
        | Spec::Keys(_)
        | Spec::Release(_)
        | Spec::Switch(_)
        | Spec::Command(_)
        | Spec::Health(_) => false,
    }
}

fn is_path(path: &Path) -> bool {
    path.ends_with("firewall.nft")
        || PATHS.iter().any(|door| path.starts_with(door))
        || KEYS.iter().any(|keys| path.ends_with(keys))
}

/// The account by which we come, as far as the plan knows it.
pub(crate) enum Login<'a> {
    /// Nobody logs in.
    Nobody,
    /// One of these names and homes.
    OneOf(Vec<(&'a str, PathBuf)>),
}

impl<'a> Login<'a> {
    /// Without an account in `connect` ssh's own configuration says who it is: it may be root, or any account
    /// of the plan that people use.
    pub(crate) fn of(host: &'a Host) -> Login<'a> {
        let accounts = &host.settings.accounts;
        let with_home = |name: &'a str| (name, home_of(name, accounts.get(name)));
        match &host.connect {
            Connect::Ssh { user: Some(user), .. } => Login::OneOf(vec![with_home(user)]),
            Connect::Ssh { user: None, .. } => {
                let people = accounts.iter().filter(|(_, account)| !account.system || account.keys.is_some());
                let people = people.map(|(name, _)| name.as_str()).filter(|name| *name != "root");
                Login::OneOf(people.chain(["root"]).map(with_home).collect())
            }
            Connect::Local | Connect::Incus { .. } => Login::Nobody,
        }
    }

    /// Whether a mistake in it can keep this account from logging in. The server reads no keys below a home
    /// that others may write to, or that leads somewhere else.
    pub(crate) fn uses(&self, spec: &Spec) -> bool {
        match spec {
            Spec::User(user) => self.is(&user.name),
            Spec::Keys(keys) => self.is(&keys.user),
            Spec::Directory(directory) => self.is_way(&directory.path),
            Spec::Link(link) => self.is_way(&link.path),
            Spec::File(_)
            | Spec::Packages(_)
            | Spec::Holds(_)
            | Spec::Group(_)
            | Spec::Release(_)
            | Spec::Switch(_)
            | Spec::Sysctl(_)
            | Spec::Command(_)
            | Spec::Unit(_)
            | Spec::Health(_) => false,
        }
    }

    fn accounts(&self) -> &[(&'a str, PathBuf)] {
        match self {
            Login::Nobody => &[],
            Login::OneOf(accounts) => accounts,
        }
    }

    fn is(&self, name: &str) -> bool {
        self.accounts().iter().any(|(known, _)| *known == name)
    }

    /// A home, what leads there, or the folder of its keys.
    fn is_way(&self, path: &Path) -> bool {
        self.accounts().iter().any(|(_, home)| home.starts_with(path) || path == home.join(".ssh"))
    }
}

fn home_of(name: &str, account: Option<&Account>) -> PathBuf {
    match account.and_then(|account| account.home.clone()) {
        Some(home) => home,
        None if name == "root" => "/root".into(),
        None => Path::new("/home").join(name),
    }
}

/// As systemd reads a name without a kind.
fn with_kind(unit: &str) -> String {
    if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::host::{Access, Elevation, HostSettings};
    use haus_model::resource::{
        Content, DirectorySpec, FileSpec, KeysSpec, LinkSpec, OnChange, UnitSpec, UserSpec,
    };
    use std::collections::{BTreeMap, BTreeSet};

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
        check_file("/home/deploy/.ssh/authorized_keys", true);
        check_file("/home/deploy/.ssh/known_hosts", false);
        check_file("/etc/authorized_keys", false);
    }

    fn folder(path: &str) -> Spec {
        Spec::Directory(DirectorySpec { path: path.into(), access: Access::root(0o755) })
    }

    #[test]
    fn the_folder_of_such_a_file_is_one_too() {
        assert!(is_door(&folder("/etc/ssh")));
        assert!(is_door(&folder("/etc/ssh/sshd_config.d")));
        assert!(is_door(&folder("/etc/sudoers.d")));
        assert!(!is_door(&folder("/etc/shop")));
    }

    fn host(connect: Connect) -> Host {
        let mut settings = HostSettings::default();
        let robot = Account { system: true, ..Account::default() };
        let keeper = Account { home: Some("/srv/keeper".into()), ..Account::default() };
        settings.accounts = BTreeMap::from([
            ("anna".to_owned(), Account::default()),
            ("keeper".to_owned(), keeper),
            ("robot".to_owned(), robot),
        ]);
        Host {
            name: "web".parse().unwrap(),
            about: None,
            connect,
            elevation: Elevation::Auto,
            os: None,
            architecture: None,
            networks: BTreeMap::new(),
            address: "web.example".to_owned(),
            groups: Vec::new(),
            settings,
        }
    }

    fn ssh(user: Option<&str>) -> Connect {
        Connect::Ssh { user: user.map(str::to_owned), host: "web".to_owned(), port: None }
    }

    fn account(name: &str) -> Spec {
        Spec::User(UserSpec {
            name: name.to_owned(),
            uid: None,
            system: false,
            group: name.to_owned(),
            groups: BTreeSet::new(),
            leaves: BTreeSet::new(),
            home: "/home/x".into(),
            make_home: true,
            shell: "/bin/bash".into(),
        })
    }

    fn keys(name: &str) -> Spec {
        Spec::Keys(KeysSpec { user: name.to_owned(), keys: Vec::new() })
    }

    fn link(path: &str) -> Spec {
        Spec::Link(LinkSpec { path: path.into(), target: "/srv".into() })
    }

    fn check_login(connect: Connect, spec: Spec, expected: bool) {
        let host = host(connect);
        assert_eq!(Login::of(&host).uses(&spec), expected, "{:?} {spec:?}", host.connect);
    }

    #[test]
    fn the_account_by_which_we_come_is_a_door_and_others_are_not() {
        check_login(ssh(Some("anna")), account("anna"), true);
        check_login(ssh(Some("anna")), account("keeper"), false);
        check_login(ssh(Some("anna")), keys("anna"), true);
        check_login(ssh(Some("anna")), keys("keeper"), false);
        check_login(ssh(Some("elsewhere")), folder("/home/elsewhere"), true);
        check_login(ssh(Some("root")), folder("/root/.ssh"), true);
        check_login(ssh(Some("anna")), folder("/root/.ssh"), false);
        check_login(Connect::Local, account("anna"), false);
    }

    #[test]
    fn without_a_name_it_may_be_any_account_of_people() {
        check_login(ssh(None), account("anna"), true);
        check_login(ssh(None), keys("root"), true);
        check_login(ssh(None), account("robot"), false);
    }

    #[test]
    fn so_is_what_leads_to_its_keys() {
        check_login(ssh(Some("keeper")), folder("/srv/keeper"), true);
        check_login(ssh(Some("keeper")), folder("/srv/keeper/.ssh"), true);
        check_login(ssh(Some("keeper")), folder("/srv/keeper/shop"), false);
        check_login(ssh(Some("keeper")), link("/srv/keeper"), true);
        check_login(ssh(Some("anna")), folder("/home"), true);
        check_login(ssh(Some("anna")), folder("/home/keeper"), false);
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
