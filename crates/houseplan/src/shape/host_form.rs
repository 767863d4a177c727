//! Forms of what is said about hosts: roads, ranges, ports, units, modes, keys.
//!
//! Reads texts only; whether a host answers there, or has such a unit, is found out by whoever applies.

use super::form::is_host_name;
use haus_model::host::{Connect, Protocol, Reaction};
use haus_model::id::check_name;
use std::net::IpAddr;

/// A range of addresses (RFC 4632, section 3.1; RFC 4291, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    first: IpAddr,
    length: u8,
}

impl Range {
    /// One address alone.
    pub(crate) fn single(address: IpAddr) -> Range {
        Range { first: address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether the address lies inside.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                first.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                first.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether some address lies in both. Of two ranges that meet, one holds the other.
    pub(crate) fn overlaps(self, other: Range) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// First and last address, to sort ranges by.
    pub(crate) fn bounds(self) -> (IpAddr, IpAddr) {
        let last = match self.first {
            IpAddr::V4(first) => {
                let rest = u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                IpAddr::from((first.to_bits() | rest).to_be_bytes())
            }
            IpAddr::V6(first) => {
                let rest = u128::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                IpAddr::from((first.to_bits() | rest).to_be_bytes())
            }
        };
        (self.first, last)
    }
}

/// Reads `10.20.0.0/24`; an address that is not the first of its range is none.
pub(crate) fn parse_range(text: &str) -> Option<Range> {
    let (address, length) = text.split_once('/')?;
    let first: IpAddr = address.parse().ok()?;
    let most = if first.is_ipv4() { 32 } else { 128 };
    let length: u8 = digits(length)?.try_into().ok().filter(|length| *length <= most)?;
    let range = Range { first, length };
    let one_less = first_of(range);
    (one_less == first).then_some(range)
}

/// The address with everything behind the length set to zero.
fn first_of(range: Range) -> IpAddr {
    match range.first {
        IpAddr::V4(first) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(range.length)).unwrap_or(0);
            IpAddr::from((first.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(first) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(range.length)).unwrap_or(0);
            IpAddr::from((first.to_bits() & mask).to_be_bytes())
        }
    }
}

/// Digits only and few of them: `parse` alone would take a sign.
fn digits(text: &str) -> Option<u32> {
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

pub(super) fn is_unit_name(text: &str) -> bool {
    let good =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'.' | b'\\' | b'@' | b'-');
    let suffix = text.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map(|(_, suffix)| suffix);
    text.len() <= 255
        && !text.starts_with('-')
        && text.bytes().all(good)
        && suffix.is_some_and(|suffix| UNIT_SUFFIXES.contains(&suffix))
}

pub(super) fn is_absolute_path(text: &str) -> bool {
    text.len() <= 4_095
        && text.len() > 1
        && text.starts_with('/')
        && !text.contains(char::is_control)
        && !text[1..].split('/').any(|part| matches!(part, "" | "." | ".."))
}

/// Policy of Debian, section 5.6.7.
pub(super) fn is_package(text: &str) -> bool {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    (2..=200).contains(&text.len())
        && text.bytes().all(good)
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

/// Like a name of a package, with `*` and `?`.
pub(super) fn is_package_pattern(text: &str) -> bool {
    let plain = text.replace(['*', '?'], "x");
    text.len() >= 2 && is_package(&plain)
}

pub(super) fn is_sysctl(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':');
    text.contains('.')
        && text.len() <= 255
        && text.bytes().all(good)
        && !text.split(['.', '/']).any(str::is_empty)
}

pub(super) fn is_system(text: &str) -> bool {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=64).contains(&text.len())
        && text.bytes().all(good)
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && !text.ends_with('-')
}

pub(super) fn is_zone(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/');
    (1..=64).contains(&text.len()) && text.bytes().all(good) && !text.split('/').any(str::is_empty)
}

pub(super) fn is_host_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_host_name(text)
}

/// A name of the plan, an address or a range.
pub(super) fn is_origin(text: &str) -> bool {
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
pub(super) fn is_git(text: &str) -> bool {
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
pub(super) fn is_git_reference(text: &str) -> bool {
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

pub(super) fn is_script(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.');
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(good)
}

pub(super) fn is_capability(text: &str) -> bool {
    text.strip_prefix("CAP_").is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    })
}

pub(super) fn is_protection(text: &str) -> bool {
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
    use crate::shape::Form;

    fn check(form: Form, good: &[&str], bad: &[&str]) {
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
            Form::Connect,
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
            Form::Range,
            &["10.20.0.0/24", "0.0.0.0/0", "fd00::/8"],
            &["10.20.0.5/24", "10.0.0.0", "10.0.0.0/33", "x/8"],
        );
        check(
            Form::PortRule,
            &["22/tcp", "53/udp"],
            &["22", "tcp/22", "0/tcp", "22/icmp", "65536/tcp", "+1/tcp"],
        );
        check(
            Form::Reaction,
            &["reload nginx.service", "restart a@b.socket"],
            &["reload nginx", "stop a.service", "nginx.service"],
        );
        check(Form::Mode, &["0644", "1777", "0000"], &["644", "0o644", "0888", "rw-r--r--", "00644"]);
        check(
            Form::UnitName,
            &["a.timer", "a@1.service", "srv-x.mount"],
            &["nginx", ".service", "a.scope", "a b.service"],
        );
        check(
            Form::AbsolutePath,
            &["/etc/x", "/srv/a.b"],
            &["etc/x", "/", "/etc/", "/a//b", "/a/../b", "/a\nb"],
        );
        check(Form::Package, &["nginx", "libc6", "g++"], &["Nginx", "a", "nginx=1.2", "-x", "a*"]);
        check(Form::PackagePattern, &["linux-image-*", "nginx"], &["*", "Linux-*", "a b"]);
        check(
            Form::Sysctl,
            &["net.core.somaxconn", "net.ipv4.conf.eth0/1.rp_filter"],
            &["somaxconn", "net..x", "net.a b"],
        );
        check(Form::System, &["debian-12", "ubuntu-24.04"], &["Debian-12", "12", "debian-", ""]);
        check(Form::Zone, &["Europe/Berlin", "UTC", "Etc/GMT+1"], &["", "/x", "Europe/", "a b"]);
        check(Form::Origin, &["lan", "10.0.0.1", "10.0.0.0/8"], &["10.0.0.1/8", "LAN", "a b"]);
        check(Form::Reboot, &["never", "04:00"], &["4", "always", "24:00"]);
        check(
            Form::PublicKey,
            &["ssh-ed25519 AAAAC3NzaC1 me@desk", "from=\"10.0.0.1\" ssh-rsa AAAAB3Nza"],
            &["ssh-ed25519", "AAAA", "ssh-dss AAAAB3", "ssh-ed25519 AAAA\nssh-ed25519 AAAA"],
        );
        check(
            Form::Git,
            &["https://git.example/a.git", "git@host:team/a.git", "/srv/git/a.git", "file:///srv/a"],
            &["a", "--upload-pack=x", "ext::sh -c x", "https://a b", ""],
        );
        check(
            Form::GitReference,
            &["v1.2", "rc-2026-03-01", "feature/x", "0a1b2c3"],
            &["-x", "a..b", "a b", "x.lock", "a~1", ""],
        );
        check(Form::Capability, &["CAP_NET_BIND_SERVICE"], &["NET_BIND", "CAP_", "cap_chown"]);
        check(Form::Protection, &["MemoryDenyWriteExecute"], &["memoryDeny", "A=b", ""]);
    }

    fn range(text: &str) -> Range {
        parse_range(text).unwrap()
    }

    #[test]
    fn ranges_know_what_lies_in_them() {
        let lan = range("10.20.0.0/24");
        assert!(lan.contains("10.20.0.255".parse().unwrap()));
        assert!(!lan.contains("10.20.1.0".parse().unwrap()));
        assert!(!lan.contains("::1".parse().unwrap()));
        assert!(range("0.0.0.0/0").contains("1.2.3.4".parse().unwrap()));
        assert!(lan.overlaps(range("10.0.0.0/8")) && range("10.0.0.0/8").overlaps(lan));
        assert!(!lan.overlaps(range("10.20.1.0/24")));
        assert!(range("fd00::/8").contains("fd12::1".parse().unwrap()));
        assert_eq!(lan.bounds().1, "10.20.0.255".parse::<IpAddr>().unwrap());
        assert_eq!(range("::/0").bounds().1, IpAddr::from([255; 16]));
        assert_eq!(Range::single("10.0.0.1".parse().unwrap()), range("10.0.0.1/32"));
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
