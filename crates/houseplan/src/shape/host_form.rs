//! Forms of what is said about hosts: roads, ranges, ports, units, modes, keys.
//!
//! Reads texts only; whether a host answers there, or has such a unit, is found out by whoever applies.

use super::form::{is_host_name, parse_address};
use super::range::parse_range;
use haus_model::host::{Connect, Protocol, Reaction};
use haus_model::id::check_name;
use std::net::IpAddr;

/// How a text about a host must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostForm {
    /// How a host is reached.
    Connect,
    /// A host name or an IP address.
    HostAddress,
    /// An IP address alone.
    IpAddress,
    /// An IP address, or the name of a network.
    ListenAddress,
    /// `debian-12`.
    System,
    /// A Debian package.
    Package,
    /// A Debian package, or a pattern of several.
    PackagePattern,
    /// A path on a host.
    AbsolutePath,
    /// Permissions as four octal digits.
    Mode,
    /// `reload UNIT` or `restart UNIT`.
    Reaction,
    /// A systemd unit with its suffix.
    UnitName,
    /// `22/tcp`.
    PortRule,
    /// A network or host of the plan, an address, a range.
    Origin,
    /// A range of addresses.
    Range,
    /// A kernel parameter.
    Sysctl,
    /// `never` or a time of day.
    Reboot,
    /// A time zone.
    Zone,
    /// A line of `authorized_keys`.
    PublicKey,
    /// The address of a git repository.
    Git,
    /// A tag, a branch or a commit.
    GitReference,
    /// A script of `package.json`.
    Script,
    /// `CAP_CHOWN`.
    Capability,
    /// A directive of systemd that protects.
    Protection,
}

impl HostForm {
    /// Checks a text; the error says how it must be written.
    pub(super) fn check(self, text: &str) -> Result<(), &'static str> {
        let (good, rule) = match self {
            HostForm::Connect => {
                (parse_connect(text).is_some(), "`local`, `ssh://USER@HOST:PORT` or `incus:INSTANCE`")
            }
            HostForm::HostAddress => (is_host_address(text), "a host name or an IP address"),
            HostForm::IpAddress => (text.parse::<IpAddr>().is_ok(), "an IP address, such as `10.20.0.5`"),
            HostForm::ListenAddress => (
                parse_address(text).is_some() || check_name(text).is_ok(),
                "an IP address, such as `127.0.0.1` or `::1`, or the name of a network",
            ),
            HostForm::System => (is_system(text), "a system with its version, such as `debian-12`"),
            HostForm::Package => {
                (is_package(text), "the name of a Debian package: lower-case letters, digits, `+`, `-`, `.`")
            }
            HostForm::PackagePattern => {
                (is_package_pattern(text), "a Debian package, also as a pattern such as `linux-image-*`")
            }
            HostForm::AbsolutePath => {
                (is_absolute_path(text), "an absolute path without `.`, `..` and a slash at its end")
            }
            HostForm::Mode => (parse_mode(text).is_some(), "four octal digits in quotes, such as `\"0644\"`"),
            HostForm::Reaction => (
                parse_reaction(text).is_some(),
                "`reload UNIT` or `restart UNIT`, such as `reload nginx.service`",
            ),
            HostForm::UnitName => (is_unit_name(text), "the full name of a unit, such as `night.timer`"),
            HostForm::PortRule => (parse_port_rule(text).is_some(), "PORT/tcp or PORT/udp, such as `22/tcp`"),
            HostForm::Origin => (
                is_origin(text),
                "a network or host of the plan, an address, or a range such as `10.0.0.0/8`",
            ),
            HostForm::Range => (
                parse_range(text).is_some(),
                "a range that begins with its first address, such as `10.20.0.0/24`",
            ),
            HostForm::Sysctl => (is_sysctl(text), "a kernel parameter, such as `net.core.somaxconn`"),
            HostForm::Reboot => {
                (parse_reboot(text).is_some(), "`never` or a time of day, such as `\"04:00\"`")
            }
            HostForm::Zone => (is_zone(text), "a time zone, such as `Europe/Berlin`"),
            HostForm::PublicKey => (is_public_key(text), "one public key, such as `ssh-ed25519 AAAA… NAME`"),
            HostForm::Git => (is_git(text), "an address of git, such as `https://git.example/app.git`"),
            HostForm::GitReference => (is_git_reference(text), "a tag, a branch or a commit, such as `v1.2`"),
            HostForm::Script => (is_script(text), "the name of a script, such as `build`"),
            HostForm::Capability => (is_capability(text), "a capability, such as `CAP_NET_BIND_SERVICE`"),
            HostForm::Protection => {
                (is_protection(text), "a directive of systemd, such as `MemoryDenyWriteExecute`")
            }
        };
        if good { Ok(()) } else { Err(rule) }
    }

    /// The pattern that the JSON Schema gives; a little wider than the check where that needs code.
    pub(super) fn pattern(self) -> &'static str {
        match self {
            HostForm::Connect => "^(local|ssh://[^/\\s]+/?|incus:[A-Za-z0-9/-]+)$",
            HostForm::HostAddress => "^[A-Za-z0-9.:-]+$",
            HostForm::IpAddress => "^[0-9A-Fa-f.:]+$",
            HostForm::ListenAddress => "^(\\*|[0-9.]+|\\[?[0-9A-Fa-f:.]+\\]?|[a-z][a-z0-9-]*)$",
            HostForm::System => "^[a-z][a-z0-9._-]*$",
            HostForm::Package => "^[a-z0-9][a-z0-9+.-]+$",
            HostForm::PackagePattern => "^[a-z0-9*?][a-z0-9+.*?-]+$",
            HostForm::AbsolutePath => "^/[^\\u0000]+$",
            HostForm::Mode => "^[0-7]{4}$",
            HostForm::Reaction => "^(reload|restart) [^\\s]+\\.[a-z]+$",
            HostForm::UnitName => "^[^\\s]+\\.(service|socket|timer|target|path|mount|automount|slice|swap)$",
            HostForm::PortRule => "^[0-9]+/(tcp|udp)$",
            HostForm::Origin => "^[a-z0-9A-F.:/-]+$",
            HostForm::Range => "^[0-9A-Fa-f.:]+/[0-9]+$",
            HostForm::Sysctl => "^[A-Za-z0-9_-]+[./]",
            HostForm::Reboot => "^(never|[0-9][0-9]:[0-9][0-9])$",
            HostForm::Zone => "^[A-Za-z0-9_+/-]+$",
            HostForm::PublicKey => "(ssh|ecdsa|sk)-[^\\s]+ AAAA",
            HostForm::Git => "^[^-\\s][^\\s]*$",
            HostForm::GitReference => "^[^-\\s][^\\s]*$",
            HostForm::Script => "^[A-Za-z0-9_.:][A-Za-z0-9_.:-]*$",
            HostForm::Capability => "^CAP_[A-Z_]+$",
            HostForm::Protection => "^[A-Z][A-Za-z0-9]+$",
        }
    }
}

/// Digits only and few of them: `parse` alone would take a sign.
pub(super) fn digits(text: &str) -> Option<u32> {
    let good = !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

fn port(text: &str) -> Option<u16> {
    u16::try_from(digits(text)?).ok().filter(|port| *port > 0)
}

/// Reads how a host is reached. A password in the address is borne here: that it stands in the plan is a
/// finding of its own.
pub(crate) fn parse_connect(text: &str) -> Option<Connect> {
    if text == "local" {
        return Some(Connect::Local);
    }
    if let Some(instance) = text.strip_prefix("incus:") {
        let (project, instance) = match instance.split_once('/') {
            Some((project, instance)) => (Some(project), instance),
            None => (None, instance),
        };
        let good = |name: &str| is_instance(name);
        return (good(instance) && project.is_none_or(good))
            .then(|| Connect::Incus { instance: instance.to_owned(), project: project.map(str::to_owned) });
    }
    let rest = text.strip_prefix("ssh://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user.split(':').next().unwrap_or(user)), place),
        None => (None, rest),
    };
    let (host, port_text) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = match port_text {
        Some(text) => Some(port(text)?),
        None => None,
    };
    // `ssh` would take a dash for an option.
    let good_user = user.is_none_or(is_login);
    (good_user && is_ssh_host(host)).then(|| Connect::Ssh {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
    })
}

fn is_login(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(good)
}

/// A name, an address, or an alias of ssh's configuration.
fn is_ssh_host(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    (1..=253).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(good)
}

fn is_instance(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(good)
}

/// Reads `22/tcp`.
pub(crate) fn parse_port_rule(text: &str) -> Option<(u16, Protocol)> {
    let (number, protocol) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some((port(number)?, protocol))
}

/// Reads `reload UNIT` or `restart UNIT`.
pub(crate) fn parse_reaction(text: &str) -> Option<Reaction> {
    let (verb, unit) = text.split_once(' ')?;
    if !is_unit_name(unit) {
        return None;
    }
    match verb {
        "reload" => Some(Reaction::Reload(unit.to_owned())),
        "restart" => Some(Reaction::Restart(unit.to_owned())),
        _ => None,
    }
}

/// Reads four octal digits. Three could be a number that somebody forgot to quote, and mean something else.
pub(crate) fn parse_mode(text: &str) -> Option<u32> {
    let good = text.len() == 4 && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    if good { u32::from_str_radix(text, 8).ok() } else { None }
}

/// Kinds of units that a plan may speak about.
const UNIT_SUFFIXES: [&str; 9] =
    ["service", "socket", "timer", "target", "path", "mount", "automount", "slice", "swap"];

fn is_unit_name(text: &str) -> bool {
    let good =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'.' | b'\\' | b'@' | b'-');
    let suffix = text.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map(|(_, suffix)| suffix);
    text.len() <= 255
        && !text.starts_with('-')
        && text.bytes().all(good)
        && suffix.is_some_and(|suffix| UNIT_SUFFIXES.contains(&suffix))
}

fn is_absolute_path(text: &str) -> bool {
    text.len() <= 4_095
        && text.len() > 1
        && text.starts_with('/')
        && !text.contains(char::is_control)
        && !text[1..].split('/').any(|part| matches!(part, "" | "." | ".."))
}

/// Policy of Debian, section 5.6.7.
fn is_package(text: &str) -> bool {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    (2..=200).contains(&text.len())
        && text.bytes().all(good)
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

/// Like a name of a package, with `*` and `?`.
fn is_package_pattern(text: &str) -> bool {
    let plain = text.replace(['*', '?'], "x");
    text.len() >= 2 && is_package(&plain)
}

fn is_sysctl(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':');
    text.contains('.')
        && text.len() <= 255
        && text.bytes().all(good)
        && !text.split(['.', '/']).any(str::is_empty)
}

fn is_system(text: &str) -> bool {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=64).contains(&text.len())
        && text.bytes().all(good)
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && !text.ends_with('-')
}

fn is_zone(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/');
    (1..=64).contains(&text.len()) && text.bytes().all(good) && !text.split('/').any(str::is_empty)
}

fn is_host_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_host_name(text)
}

/// A name of the plan, an address or a range.
fn is_origin(text: &str) -> bool {
    check_name(text).is_ok() || text.parse::<IpAddr>().is_ok() || parse_range(text).is_some()
}

/// Kinds of public keys that OpenSSH takes without being asked twice.
const KEY_KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// A line of `authorized_keys`: options, kind, key, comment. What looks private has a finding of its own.
pub(crate) fn is_public_key(text: &str) -> bool {
    if text.contains("PRIVATE KEY") {
        return true;
    }
    let words: Vec<&str> = text.split(' ').collect();
    let is_key = |word: &str| {
        word.starts_with("AAAA")
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
    };
    !text.contains(char::is_control)
        && words.windows(2).any(|pair| KEY_KINDS.contains(&pair[0]) && is_key(pair[1]))
}

/// An address that git takes, and nothing that it would take for an option or a program to start.
fn is_git(text: &str) -> bool {
    let plain = !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let known = ["https://", "http://", "ssh://", "git://", "file:///"];
    // `user@host:path`, as scp writes it.
    let scp = text.split_once(':').is_some_and(|(host, path)| {
        !path.is_empty() && !path.starts_with([':', '/']) && host.split('@').all(is_ssh_host)
    });
    plain && (known.iter().any(|scheme| text.starts_with(scheme)) || is_absolute_path(text) || scp)
}

/// Names that `git check-ref-format` takes, and commits.
fn is_git_reference(text: &str) -> bool {
    let bad = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    };
    (1..=255).contains(&text.len())
        && !text.contains(bad)
        && !text.starts_with(['-', '/', '.'])
        && !text.ends_with(['/', '.'])
        && !["..", "//", "@{"].iter().any(|part| text.contains(part))
        && !text.split('/').any(|part| part.ends_with(".lock"))
}

fn is_script(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.');
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(good)
}

fn is_capability(text: &str) -> bool {
    text.strip_prefix("CAP_").is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    })
}

fn is_protection(text: &str) -> bool {
    (3..=40).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.as_bytes().first().is_some_and(u8::is_ascii_uppercase)
}

/// Reads a time of day or `never` (none).
pub(crate) fn parse_reboot(text: &str) -> Option<Option<&str>> {
    match text {
        "never" => Some(None),
        _ => super::contact::parse_time(text).map(|_| Some(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: HostForm, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(form.check(text).is_ok(), "{form:?} must take {text:?}");
        }
        for text in bad {
            assert!(form.check(text).is_err(), "{form:?} must refuse {text:?}");
        }
    }

    #[test]
    fn each_form_of_a_host_takes_what_it_describes() {
        check(
            HostForm::Connect,
            &[
                "local",
                "ssh://web",
                "ssh://deploy@web.example:22",
                "ssh://a@[::1]:2222",
                "incus:web",
                "incus:lab/web",
            ],
            &[
                "web",
                "ssh://",
                "ssh://-oProxyCommand=x",
                "ssh://a@b:0",
                "ssh://a b",
                "incus:",
                "http://x",
                "ssh://-x@h",
            ],
        );
        check(
            HostForm::Range,
            &["10.20.0.0/24", "0.0.0.0/0", "fd00::/8"],
            &["10.20.0.5/24", "10.0.0.0", "10.0.0.0/33", "x/8"],
        );
        check(
            HostForm::PortRule,
            &["22/tcp", "53/udp"],
            &["22", "tcp/22", "0/tcp", "22/icmp", "65536/tcp", "+1/tcp"],
        );
        check(
            HostForm::Reaction,
            &["reload nginx.service", "restart a@b.socket"],
            &["reload nginx", "stop a.service", "nginx.service"],
        );
        check(HostForm::Mode, &["0644", "1777", "0000"], &["644", "0o644", "0888", "rw-r--r--", "00644"]);
        check(
            HostForm::UnitName,
            &["a.timer", "a@1.service", "srv-x.mount"],
            &["nginx", ".service", "a.scope", "a b.service"],
        );
        check(
            HostForm::AbsolutePath,
            &["/etc/x", "/srv/a.b"],
            &["etc/x", "/", "/etc/", "/a//b", "/a/../b", "/a\nb"],
        );
        check(HostForm::Package, &["nginx", "libc6", "g++"], &["Nginx", "a", "nginx=1.2", "-x", "a*"]);
        check(HostForm::PackagePattern, &["linux-image-*", "nginx"], &["*", "Linux-*", "a b"]);
        check(
            HostForm::Sysctl,
            &["net.core.somaxconn", "net.ipv4.conf.eth0/1.rp_filter"],
            &["somaxconn", "net..x", "net.a b"],
        );
        check(HostForm::System, &["debian-12", "ubuntu-24.04"], &["Debian-12", "12", "debian-", ""]);
        check(HostForm::Zone, &["Europe/Berlin", "UTC", "Etc/GMT+1"], &["", "/x", "Europe/", "a b"]);
        check(HostForm::Origin, &["lan", "10.0.0.1", "10.0.0.0/8"], &["10.0.0.1/8", "LAN", "a b"]);
        check(HostForm::Reboot, &["never", "04:00"], &["4", "always", "24:00"]);
        check(
            HostForm::PublicKey,
            &["ssh-ed25519 AAAAC3NzaC1 me@desk", "from=\"10.0.0.1\" ssh-rsa AAAAB3Nza"],
            &["ssh-ed25519", "AAAA", "ssh-dss AAAAB3", "ssh-ed25519 AAAA\nssh-ed25519 AAAA"],
        );
        check(
            HostForm::Git,
            &["https://git.example/a.git", "git@host:team/a.git", "/srv/git/a.git", "file:///srv/a"],
            &["a", "--upload-pack=x", "ext::sh -c x", "https://a b", ""],
        );
        check(
            HostForm::GitReference,
            &["v1.2", "rc-2026-03-01", "feature/x", "0a1b2c3"],
            &["-x", "a..b", "a b", "x.lock", "a~1", ""],
        );
        check(HostForm::Capability, &["CAP_NET_BIND_SERVICE"], &["NET_BIND", "CAP_", "cap_chown"]);
        check(HostForm::Protection, &["MemoryDenyWriteExecute"], &["memoryDeny", "A=b", ""]);
    }

    #[test]
    fn roads_have_their_parts() {
        let ssh = |user: Option<&str>, host: &str, port| Connect::Ssh {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        };
        assert_eq!(parse_connect("ssh://web"), Some(ssh(None, "web", None)));
        assert_eq!(
            parse_connect("ssh://deploy@web.example:2222/"),
            Some(ssh(Some("deploy"), "web.example", Some(2222)))
        );
        assert_eq!(parse_connect("ssh://a@[fd00::1]:22"), Some(ssh(Some("a"), "fd00::1", Some(22))));
        assert_eq!(parse_mode("0750"), Some(0o750));
    }
}
