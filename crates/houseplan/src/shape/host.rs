//! Keys of hosts, groups and networks: how a host is reached and what is wanted on it.

use super::plan::ACCEPT;
use super::{Entering, Form, HostForm, Key, Kind, Shape, Word, key, names, required, shape, word};

static ELEVATIONS: &[Word] = &[
    word("auto", "Nothing when the account is root, otherwise `sudo -n`; the default."),
    word("sudo", "Always `sudo -n`."),
    word("none", "Never: what needs root fails and says so."),
];

static ARCHITECTURES: &[Word] = &[word("amd64", "x86_64."), word("arm64", "aarch64.")];

const CONNECT: Key = key(
    "connect",
    Kind::Text(Form::Host(HostForm::Connect)),
    "How it is reached: `local`, `ssh://USER@HOST:PORT`, `incus:INSTANCE` or `incus:PROJECT/INSTANCE`.",
);
const ADDRESS: Key = key(
    "address",
    Kind::Text(Form::Host(HostForm::HostAddress)),
    "The name or address by which other hosts reach it; its first network's address when absent, else the host of `connect`.",
);
const NETWORKS_OF_HOST: Key = key("networks", Kind::Map(&MEMBERSHIPS), "Its address in each network.");
const ELEVATION: Key = key("elevation", Kind::Word(ELEVATIONS), "How the rights of root are reached.");
const OS: Key = key("os", Kind::Text(Form::Host(HostForm::System)), "What it must be, such as `debian-12`.");
const ARCH: Key = key("arch", Kind::Word(ARCHITECTURES), "The processor that it must have.");

macro_rules! settings_keys {
    ($($front:expr),*) => {
        &[
            $($front,)*
            ELEVATION,
            OS,
            ARCH,
            PACKAGES,
            key("hold", Kind::List(&Kind::Text(Form::Host(HostForm::PackagePattern))), "Packages that no upgrade may change, also as patterns such as `linux-image-*`."),
            key("accounts", Kind::Map(&ACCOUNTS), "Accounts by name."),
            key("directories", Kind::Map(&DIRECTORIES), "Folders by absolute path."),
            key("files", Kind::Map(&FILES), "Files by absolute path."),
            key("links", Kind::Map(&LINKS), "Links by absolute path, and where they lead."),
            key("sysctl", Kind::Map(&SYSCTL), "Kernel parameters such as `net.core.somaxconn`."),
            FIREWALL,
            key("sshd", Kind::Map(&SSHD), "Settings of the SSH server."),
            key("journal", Kind::Map(&JOURNAL), "Limits of the journal."),
            key("upgrades", Kind::Map(&UPGRADES), "Unattended upgrades; held packages are left out."),
            key("time", Kind::Map(&TIME), "Time synchronisation and zone."),
            key("nginx", Kind::Map(&SITES), "Sites of nginx by name."),
            key("units", Kind::Map(&UNITS), "systemd units by full name, such as `night.timer`."),
            key("tls", Kind::Map(&CERTIFICATES), "Certificates with their keys by name."),
            key("steps", Kind::Map(&STEPS), "Commands by name that make something true which no other key can say."),
            key("hosts_file", Kind::Bool, "Whether `/etc/hosts` names the other hosts of the house. `false` when absent."),
            key("accept", Kind::Map(&ACCEPT), "Findings that are accepted here: code and reason."),
        ]
    };
}

/// Also a key of the plan itself, where it speaks for every host.
pub(super) const PACKAGES: Key = key(
    "packages",
    Kind::List(&Kind::Text(Form::Host(HostForm::Package))),
    "Debian packages that must be installed.",
);
/// Also a key of the plan itself, where it speaks for every host.
pub(super) const FIREWALL: Key =
    key("firewall", Kind::Map(&FIREWALL_KEYS), "What may come in; everything else is dropped.");

pub(super) static HOSTS: Shape = names("hosts", "the hosts", Form::Name, Kind::Map(&HOST), Entering::Machine);

static HOST: Shape = shape(
    "machine",
    "a host",
    settings_keys!(
        key("about", Kind::Text(Form::Line), "What it is, in one sentence."),
        CONNECT,
        ADDRESS,
        NETWORKS_OF_HOST,
        key(
            "groups",
            Kind::List(&Kind::Text(Form::Reference)),
            "Groups whose settings it has; later ones win."
        )
    ),
);

pub(super) static GROUPS: Shape =
    names("groups", "the groups", Form::Name, Kind::Map(&GROUP), Entering::Group);

static GROUP: Shape = shape(
    "group",
    "a group",
    settings_keys!(key("about", Kind::Text(Form::Line), "What its hosts have in common.")),
);

/// What a stage may say about a host: what the machine is and how it is reached, never what is wanted on it.
pub(super) static STAGE_HOSTS: Shape =
    names("stage_hosts", "the hosts of a stage", Form::Name, Kind::Map(&STAGE_HOST), Entering::Machine);

static STAGE_HOST: Shape =
    shape("stage_host", "a host in a stage", &[CONNECT, ADDRESS, NETWORKS_OF_HOST, ELEVATION, OS, ARCH]);

pub(super) static NO_HOSTS: &[Word] = &[word(
    "none",
    "Every service runs as a process on the machine in front of you, and no host is touched.",
)];

pub(super) static NETWORKS: Shape = names(
    "networks",
    "the networks",
    Form::Name,
    Kind::Either(&Kind::Text(Form::Host(HostForm::Range)), &Kind::Map(&NETWORK)),
    Entering::Network,
);

static NETWORK: Shape = shape(
    "network",
    "a network",
    &[
        key("about", Kind::Text(Form::Line), "What it is for."),
        required(
            "range",
            Kind::Text(Form::Host(HostForm::Range)),
            "Its range in CIDR notation, such as `10.20.0.0/24`.",
        ),
    ],
);

static MEMBERSHIPS: Shape = names(
    "memberships",
    "the networks of a host",
    Form::Reference,
    Kind::Text(Form::Host(HostForm::IpAddress)),
    Entering::Same,
);

static ACCOUNTS: Shape =
    names("accounts", "the accounts", Form::Account, Kind::Map(&ACCOUNT), Entering::Same);

static ACCOUNT: Shape = shape(
    "account",
    "an account",
    &[
        key(
            "keys",
            Kind::List(&Kind::Text(Form::Host(HostForm::PublicKey))),
            "Public keys that may log in; no others may.",
        ),
        key("keys_file", Kind::Text(Form::Path), "A file with such keys, a line each."),
        key("groups", Kind::List(&Kind::Text(Form::Account)), "Further groups of the system."),
        key(
            "shell",
            Kind::Text(Form::Host(HostForm::AbsolutePath)),
            "`/bin/bash` when absent; of a system account `/usr/sbin/nologin`.",
        ),
        key(
            "home",
            Kind::Text(Form::Host(HostForm::AbsolutePath)),
            "`/home/NAME` when absent; of a system account `/nonexistent`.",
        ),
        key("uid", Kind::Whole(1, 4_294_967_293), "Its number; chosen by the host when absent."),
        key("system", Kind::Bool, "Whether it is an account for a program. `false` when absent."),
    ],
);

const OWNER: Key = key("owner", Kind::Text(Form::Account), "The account that owns it. `root` when absent.");
const GROUP_OF_FILE: Key =
    key("group", Kind::Text(Form::Account), "Its group; named like the owner when absent.");
const TEXT: Key = key("text", Kind::Text(Form::Value), "The content itself; variables are filled in.");
const FROM: Key = key("from", Kind::Text(Form::Path), "A file beside the plan, taken as it is.");
const TEMPLATE: Key =
    key("template", Kind::Text(Form::Path), "A file beside the plan; variables in it are filled in.");
const THEN: Key = key(
    "then",
    Kind::List(&Kind::Text(Form::Host(HostForm::Reaction))),
    "What follows from a change: `reload UNIT` or `restart UNIT`.",
);

static DIRECTORIES: Shape = names(
    "directories",
    "the folders",
    Form::Host(HostForm::AbsolutePath),
    Kind::Map(&DIRECTORY),
    Entering::Same,
);

static DIRECTORY: Shape = shape(
    "directory",
    "a folder",
    &[
        OWNER,
        GROUP_OF_FILE,
        key("mode", Kind::Text(Form::Host(HostForm::Mode)), "Permissions. `\"0755\"` when absent."),
    ],
);

static FILES: Shape =
    names("files", "the files", Form::Host(HostForm::AbsolutePath), Kind::Map(&FILE), Entering::Same);

static FILE: Shape = Shape {
    name: "file",
    title: "a file",
    keys: &[
        TEXT,
        FROM,
        TEMPLATE,
        key("credential", Kind::Text(Form::Reference), "The value of this credential."),
        OWNER,
        GROUP_OF_FILE,
        key(
            "mode",
            Kind::Text(Form::Host(HostForm::Mode)),
            "Permissions. `\"0644\"` when absent, with `credential` `\"0600\"`.",
        ),
        key(
            "check",
            Kind::Command,
            "A command that must accept the file before it is used; `{}` is its path.",
        ),
        THEN,
    ],
    others: None,
    one_of: &["text", "from", "template", "credential"],
};

static LINKS: Shape = names(
    "links",
    "the links",
    Form::Host(HostForm::AbsolutePath),
    Kind::Text(Form::Host(HostForm::AbsolutePath)),
    Entering::Same,
);

static SYSCTL: Shape = names(
    "sysctl",
    "the kernel parameters",
    Form::Host(HostForm::Sysctl),
    Kind::Text(Form::HeaderValue),
    Entering::Same,
);

static FIREWALL_KEYS: Shape = shape(
    "firewall",
    "the firewall",
    &[
        key(
            "allow",
            Kind::List(&Kind::Either(&Kind::Text(Form::Host(HostForm::PortRule)), &Kind::Map(&RULE))),
            "What is let in: `22/tcp`, or a map with `port`.",
        ),
        key("ping", Kind::Bool, "Whether echo requests are answered. `true` when absent."),
    ],
);

static PROTOCOLS: &[Word] = &[word("tcp", "TCP, the default."), word("udp", "UDP.")];

static RULE: Shape = shape(
    "rule",
    "a rule of the firewall",
    &[
        required("port", Kind::Whole(1, 65_535), "The port that is opened."),
        key("protocol", Kind::Word(PROTOCOLS), "TCP or UDP."),
        key(
            "from",
            Kind::List(&Kind::Text(Form::Host(HostForm::Origin))),
            "Who may use it: networks and hosts of the plan, addresses, ranges. Everybody when absent.",
        ),
        key("why", Kind::Text(Form::HeaderValue), "Why, for the reader of the rules."),
    ],
);

static ROOT_LOGINS: &[Word] =
    &[word("no", "Nobody logs in as root."), word("keys", "With a key, never with a password.")];

static SSHD: Shape = shape(
    "sshd",
    "the SSH server",
    &[
        key("ports", Kind::List(&Kind::Whole(1, 65_535)), "Ports that it listens on."),
        key("passwords", Kind::Bool, "Whether passwords are accepted."),
        key("root", Kind::Word(ROOT_LOGINS), "Whether root may log in."),
        key(
            "allow_users",
            Kind::List(&Kind::Text(Form::Account)),
            "Accounts that may log in; all when absent.",
        ),
    ],
);

const DAY_MS: u64 = 86_400_000;
/// Smaller journals lose what happened an hour ago.
const JOURNAL_LEAST: u64 = 8 << 20;

static JOURNAL: Shape = shape(
    "journal",
    "the journal",
    &[
        key("max", Kind::Size(JOURNAL_LEAST), "Its size on disk at most, at least `8MiB`."),
        key("keep", Kind::Period(DAY_MS, 36_500 * DAY_MS), "After how long entries go, in whole days."),
    ],
);

static UPGRADES: Shape = shape(
    "upgrades",
    "the unattended upgrades",
    &[
        key("enabled", Kind::Bool, "Whether they run. `true` when absent."),
        key(
            "reboot",
            Kind::Text(Form::Host(HostForm::Reboot)),
            "When the host restarts by itself if an upgrade wants it: `\"04:00\"` or `never`, the default.",
        ),
    ],
);

static TIME: Shape = shape(
    "time",
    "the time",
    &[
        key(
            "servers",
            Kind::List(&Kind::Text(Form::Host(HostForm::HostAddress))),
            "Time servers; the system's own when absent.",
        ),
        key("zone", Kind::Text(Form::Host(HostForm::Zone)), "Zone, such as `Europe/Berlin`."),
    ],
);

static SITES: Shape = names("nginx", "the sites", Form::FolderName, Kind::Map(&SITE), Entering::Same);

static SITE: Shape = Shape {
    name: "site",
    title: "a site of nginx",
    keys: &[TEXT, FROM, TEMPLATE],
    others: None,
    one_of: &["text", "from", "template"],
};

static UNITS: Shape =
    names("units", "the units", Form::Host(HostForm::UnitName), Kind::Map(&UNIT), Entering::Same);

static UNIT: Shape = shape(
    "host_unit",
    "a unit",
    &[
        TEXT,
        FROM,
        TEMPLATE,
        key("enabled", Kind::Bool, "Whether it starts with the host."),
        key("running", Kind::Bool, "Whether it runs."),
    ],
);

static CERTIFICATES: Shape =
    names("tls", "the certificates", Form::FolderName, Kind::Map(&CERTIFICATE), Entering::Same);

static CERTIFICATE: Shape = shape(
    "certificate",
    "a certificate",
    &[
        required("certificate", Kind::Map(&CHAIN), "The certificate chain."),
        required("key", Kind::Text(Form::Reference), "The credential that is its key."),
        key("group", Kind::Text(Form::Account), "The group that may read the key besides root."),
        THEN,
    ],
);

static CHAIN: Shape = Shape {
    name: "chain",
    title: "a certificate chain",
    keys: &[TEXT, FROM],
    others: None,
    one_of: &["text", "from"],
};

static STEPS: Shape = names("steps", "the steps", Form::Name, Kind::Map(&STEP), Entering::Same);

static STEP: Shape = shape(
    "step",
    "a step",
    &[
        required("run", Kind::Command, "The command; no shell runs it."),
        key("unless", Kind::Command, "A command that ends with 0 when nothing is to be done."),
        key("user", Kind::Text(Form::Account), "The account. `root` when absent."),
        key(
            "in",
            Kind::Text(Form::Host(HostForm::AbsolutePath)),
            "The working folder on the host. `/` when absent.",
        ),
        key(
            "credentials",
            Kind::Map(&super::service::FILES),
            "File name of each credential, and the credential.",
        ),
        key("after", Kind::List(&Kind::Text(Form::Host(HostForm::UnitName))), "Units that must run before."),
    ],
);
