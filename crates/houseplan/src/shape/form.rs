//! Forms of texts: names, paths, addresses. Each has one check and one pattern for the JSON Schema.

use super::contact::{
    is_login, is_mail, is_topic, parse_keep, parse_repeat, parse_server, parse_time, parse_web_url,
};
use super::host_form::{
    is_absolute_path, is_capability, is_git, is_git_reference, is_host_address, is_origin, is_package,
    is_package_pattern, is_protection, is_public_key, is_script, is_sysctl, is_system, is_unit_name, is_zone,
    parse_connect, parse_mode, parse_port_rule, parse_range, parse_reaction, parse_reboot,
};
use haus_model::id::check_name;
use std::net::IpAddr;

/// Whether `${…}` is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    Yes,
    No,
}

/// How a text must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Any text without variables.
    Line,
    /// Any text; variables are filled in. Booleans must be quoted.
    Value,
    /// A name: host name label.
    Name,
    /// The name of something else in the plan; whether it exists is a check of its own.
    Reference,
    /// The name of a variable of the user's own.
    VariableName,
    /// The name of an environment variable, also of a credential's file.
    EnvironmentName,
    /// A relative path without `..`, or an absolute one.
    Path,
    /// A relative path that stays inside its folder.
    InnerPath,
    /// A path to a file of any place.
    FilePath,
    /// The name of one folder.
    FolderName,
    /// The host of a route.
    RouteHost,
    /// A path prefix of a route.
    RoutePath,
    /// An URL path, with variables.
    UrlPath,
    /// `NAME` or `NAME:PORT`.
    Target,
    /// `ADDRESS:PORT`.
    Listen,
    /// A host name.
    Domain,
    /// An account of the operating system.
    Account,
    /// The name of an HTTP header.
    Header,
    /// The value of an HTTP header.
    HeaderValue,
    /// `HP0012`.
    Code,
    /// `never` or a number of days.
    Rotation,
    /// `never` or a duration.
    Repeat,
    /// `forever`, days or years.
    Keep,
    /// `HH:MM`.
    TimeOfDay,
    /// An `http://` or `https://` address.
    WebUrl,
    /// `HOST:PORT` of a server.
    Server,
    /// A mail address.
    Mail,
    /// A topic of MQTT without wildcards.
    Topic,
    /// The name of a role, a database or a user of a server.
    Login,
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

/// The built-in variables, in the order in which the documentation lists them.
pub(crate) fn builtin_variables() -> &'static [&'static str] {
    &[
        "port",
        "data",
        "config",
        "address",
        "service",
        "instance",
        "domain",
        "house",
        "stage",
        "in",
        "credentials",
        "host",
    ]
}

impl Form {
    pub(crate) fn fill(self) -> Fill {
        match self {
            Form::Value | Form::RouteHost | Form::UrlPath => Fill::Yes,
            Form::Line
            | Form::Name
            | Form::Reference
            | Form::VariableName
            | Form::EnvironmentName
            | Form::Path
            | Form::InnerPath
            | Form::FilePath
            | Form::FolderName
            | Form::RoutePath
            | Form::Target
            | Form::Listen
            | Form::Domain
            | Form::Account
            | Form::Header
            | Form::HeaderValue
            | Form::Code
            | Form::Rotation
            | Form::Repeat
            | Form::Keep
            | Form::TimeOfDay
            | Form::WebUrl
            | Form::Server
            | Form::Mail
            | Form::Topic
            | Form::Login
            | Form::Connect
            | Form::HostAddress
            | Form::IpAddress
            | Form::ListenAddress
            | Form::System
            | Form::Package
            | Form::PackagePattern
            | Form::AbsolutePath
            | Form::Mode
            | Form::Reaction
            | Form::UnitName
            | Form::PortRule
            | Form::Origin
            | Form::Range
            | Form::Sysctl
            | Form::Reboot
            | Form::Zone
            | Form::PublicKey
            | Form::Git
            | Form::GitReference
            | Form::Script
            | Form::Capability
            | Form::Protection => Fill::No,
        }
    }

    /// Checks a text; the error says how it must be written.
    pub(crate) fn check(self, text: &str) -> Result<(), &'static str> {
        let (good, rule) = match self {
            Form::Line | Form::Value => (true, ""),
            // These have checks and codes of their own.
            Form::Name | Form::Reference | Form::RouteHost => return Ok(()),
            Form::VariableName => (is_identifier(text), "letters, digits and `_`, a letter first"),
            Form::EnvironmentName => (is_identifier(text), "letters, digits and `_`, no digit first"),
            Form::Path | Form::InnerPath | Form::FilePath => (is_path(text), "a path without empty parts"),
            Form::FolderName => {
                (is_folder_name(text), "the name of one folder: letters, digits, `.`, `_`, `-`")
            }
            Form::RoutePath => (
                is_url_path(text),
                "a path that begins with `/` and is written plainly: no `?`, `#`, spaces, `%41`, `//` or `..`",
            ),
            Form::UrlPath => (is_request_target(text), "a path that begins with `/`"),
            Form::Target => (is_target(text), "NAME or NAME:PORT, such as `api` or `api:admin`"),
            Form::Listen => {
                (parse_listen(text).is_some(), "ADDRESS:PORT, such as `127.0.0.1:8080` or `[::1]:8080`")
            }
            Form::Domain => (is_host_name(text), "a host name, such as `house.example`"),
            Form::Account => (is_account(text), "an account name: letters, digits, `_`, `-`, at most 32"),
            Form::Header => (is_header(text), "a header name: letters, digits and dashes"),
            Form::HeaderValue => (is_header_value(text), "one line of text without control characters"),
            Form::Code => (is_code(text), "a code, such as `HP0105`"),
            Form::Rotation => (parse_rotation(text).is_some(), "`never` or a number of days, such as `90d`"),
            Form::Repeat => {
                (parse_repeat(text).is_some(), "`never` or a duration of at least `1m`, such as `4h`")
            }
            Form::Keep => (parse_keep(text).is_some(), "`forever`, or days or years such as `90d` or `2y`"),
            Form::TimeOfDay => (parse_time(text).is_some(), "a time of day from `00:00` to `23:59`"),
            Form::WebUrl => {
                (parse_web_url(text).is_some(), "an address such as `https://hooks.example/house`")
            }
            Form::Server => {
                (parse_server(text).is_some(), "HOST:PORT, such as `mail.example:587` or `[::1]:25`")
            }
            Form::Mail => (is_mail(text), "a mail address alone, such as `someone@house.example`"),
            Form::Topic => {
                (is_topic(text), "a topic without `+`, `#` and empty levels, such as `haus/alerts`")
            }
            Form::Login => (is_login(text), "a name of at most 255 bytes without control characters"),
            Form::Connect => {
                (parse_connect(text).is_some(), "`local`, `ssh://USER@HOST:PORT` or `incus:INSTANCE`")
            }
            Form::HostAddress => (is_host_address(text), "a host name or an IP address"),
            Form::IpAddress => (text.parse::<IpAddr>().is_ok(), "an IP address, such as `10.20.0.5`"),
            Form::ListenAddress => (
                parse_address(text).is_some() || check_name(text).is_ok(),
                "an IP address, such as `127.0.0.1` or `::1`, or the name of a network",
            ),
            Form::System => (is_system(text), "a system with its version, such as `debian-12`"),
            Form::Package => {
                (is_package(text), "the name of a Debian package: lower-case letters, digits, `+`, `-`, `.`")
            }
            Form::PackagePattern => {
                (is_package_pattern(text), "a Debian package, also as a pattern such as `linux-image-*`")
            }
            Form::AbsolutePath => {
                (is_absolute_path(text), "an absolute path without `.`, `..` and a slash at its end")
            }
            Form::Mode => (parse_mode(text).is_some(), "four octal digits in quotes, such as `\"0644\"`"),
            Form::Reaction => (
                parse_reaction(text).is_some(),
                "`reload UNIT` or `restart UNIT`, such as `reload nginx.service`",
            ),
            Form::UnitName => (is_unit_name(text), "the full name of a unit, such as `night.timer`"),
            Form::PortRule => (parse_port_rule(text).is_some(), "PORT/tcp or PORT/udp, such as `22/tcp`"),
            Form::Origin => (
                is_origin(text),
                "a network or host of the plan, an address, or a range such as `10.0.0.0/8`",
            ),
            Form::Range => (
                parse_range(text).is_some(),
                "a range that begins with its first address, such as `10.20.0.0/24`",
            ),
            Form::Sysctl => (is_sysctl(text), "a kernel parameter, such as `net.core.somaxconn`"),
            Form::Reboot => (parse_reboot(text).is_some(), "`never` or a time of day, such as `\"04:00\"`"),
            Form::Zone => (is_zone(text), "a time zone, such as `Europe/Berlin`"),
            Form::PublicKey => (is_public_key(text), "one public key, such as `ssh-ed25519 AAAA… NAME`"),
            Form::Git => (is_git(text), "an address of git, such as `https://git.example/app.git`"),
            Form::GitReference => (is_git_reference(text), "a tag, a branch or a commit, such as `v1.2`"),
            Form::Script => (is_script(text), "the name of a script, such as `build`"),
            Form::Capability => (is_capability(text), "a capability, such as `CAP_NET_BIND_SERVICE`"),
            Form::Protection => {
                (is_protection(text), "a directive of systemd, such as `MemoryDenyWriteExecute`")
            }
        };
        if good { Ok(()) } else { Err(rule) }
    }

    /// The pattern that the JSON Schema gives; a little wider than the check where that needs code.
    pub(crate) fn pattern(self) -> Option<&'static str> {
        match self {
            Form::Line | Form::Value | Form::RouteHost | Form::HeaderValue => None,
            Form::Name | Form::Reference => Some("^[a-z][a-z0-9]*(-[a-z0-9]+)*$"),
            Form::VariableName | Form::EnvironmentName => Some("^[A-Za-z_][A-Za-z0-9_]*$"),
            Form::Path | Form::InnerPath | Form::FilePath => Some("^[^\\u0000]+$"),
            Form::FolderName => Some("^[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
            Form::RoutePath => Some("^/[^?#\\s]*$"),
            Form::UrlPath => Some("^(/|\\$\\{)"),
            Form::Target => Some("^[a-z][a-z0-9-]*(:[a-z][a-z0-9-]*)?$"),
            Form::Listen => Some(":[0-9]+$"),
            Form::Domain => Some("^[A-Za-z0-9.-]+$"),
            Form::Account => Some("^[A-Za-z_][A-Za-z0-9_-]*\\$?$"),
            Form::Header => Some("^[A-Za-z0-9-]+$"),
            Form::Code => Some("^HP[0-9]{4}$"),
            Form::Rotation => Some("^(never|[1-9][0-9]*d)$"),
            Form::Repeat => Some("^(never|[0-9]+(ms|s|m|h|d))$"),
            Form::Keep => Some("^(forever|[1-9][0-9]*[dy])$"),
            Form::TimeOfDay => Some("^[0-9][0-9]:[0-9][0-9]$"),
            Form::WebUrl => Some("^https?://[^/]"),
            Form::Server => Some("^[^\\s/@]+:[0-9]+$"),
            Form::Mail => Some("^[^\\s@]+@[^\\s@]+$"),
            Form::Topic => Some("^[^+#\\u0000]+$"),
            Form::Login => Some("^[^\\u0000-\\u001f]+$"),
            Form::Connect => Some("^(local|ssh://[^/\\s]+/?|incus:[A-Za-z0-9/-]+)$"),
            Form::HostAddress => Some("^[A-Za-z0-9.:-]+$"),
            Form::IpAddress => Some("^[0-9A-Fa-f.:]+$"),
            Form::ListenAddress => Some("^(\\*|[0-9.]+|\\[?[0-9A-Fa-f:.]+\\]?|[a-z][a-z0-9-]*)$"),
            Form::System => Some("^[a-z][a-z0-9._-]*$"),
            Form::Package => Some("^[a-z0-9][a-z0-9+.-]+$"),
            Form::PackagePattern => Some("^[a-z0-9*?][a-z0-9+.*?-]+$"),
            Form::AbsolutePath => Some("^/[^\\u0000]+$"),
            Form::Mode => Some("^[0-7]{4}$"),
            Form::Reaction => Some("^(reload|restart) [^\\s]+\\.[a-z]+$"),
            Form::UnitName => {
                Some("^[^\\s]+\\.(service|socket|timer|target|path|mount|automount|slice|swap)$")
            }
            Form::PortRule => Some("^[0-9]+/(tcp|udp)$"),
            Form::Origin => Some("^[a-z0-9A-F.:/-]+$"),
            Form::Range => Some("^[0-9A-Fa-f.:]+/[0-9]+$"),
            Form::Sysctl => Some("^[A-Za-z0-9_-]+[./]"),
            Form::Reboot => Some("^(never|[0-9][0-9]:[0-9][0-9])$"),
            Form::Zone => Some("^[A-Za-z0-9_+/-]+$"),
            Form::PublicKey => Some("(ssh|ecdsa|sk)-[^\\s]+ AAAA"),
            Form::Git => Some("^[^-\\s][^\\s]*$"),
            Form::GitReference => Some("^[^-\\s][^\\s]*$"),
            Form::Script => Some("^[A-Za-z0-9_.:][A-Za-z0-9_.:-]*$"),
            Form::Capability => Some("^CAP_[A-Z_]+$"),
            Form::Protection => Some("^[A-Z][A-Za-z0-9]+$"),
        }
    }
}

fn is_identifier(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(good) && text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

fn is_path(text: &str) -> bool {
    let text = text.strip_suffix('/').filter(|text| !text.is_empty()).unwrap_or(text);
    !text.is_empty() && !text.contains('\0') && (text == "/" || !text.split('/').skip(1).any(str::is_empty))
}

fn is_folder_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(good)
}

fn is_url_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#'))
        && !text.contains("//")
        && !text.split('/').any(|part| matches!(part, "." | ".."))
        && !text.match_indices('%').any(|(at, _)| is_escape(&text[at + 1..]))
}

/// Requests are matched after decoding, so an escape never matches; only an encoded slash stays one.
fn is_escape(after: &str) -> bool {
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    after.get(..2).is_some_and(|digits| is_hex(digits) && !digits.eq_ignore_ascii_case("2f"))
}

/// A line break would begin another header.
fn is_header_value(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\t')
}

fn is_request_target(text: &str) -> bool {
    (text.starts_with('/') || text.starts_with("${"))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_target(text: &str) -> bool {
    let (service, port) = text.split_once(':').map_or((text, None), |(service, port)| (service, Some(port)));
    check_name(service).is_ok() && port.is_none_or(|port| check_name(port).is_ok())
}

pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_account(text: &str) -> bool {
    let body = text.strip_suffix('$').unwrap_or(text);
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let first = body.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    text.len() <= 32 && first && body.bytes().all(good)
}

fn is_header(text: &str) -> bool {
    // RFC 9110, section 5.1 has more characters; no header that is in use needs them.
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_code(text: &str) -> bool {
    text.strip_prefix("HP")
        .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Reads an IP address; `*` and brackets are other ways to write one.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    if text == "*" {
        return Some(IpAddr::from([0, 0, 0, 0]));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

/// Reads `ADDRESS:PORT`; a missing address means all, as it does in other tools.
pub(crate) fn parse_listen(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let address = match address {
        "" => IpAddr::from([0, 0, 0, 0]),
        text if text.contains(':') && !text.starts_with('[') => return None,
        text => parse_address(text)?,
    };
    let port: u16 = port.parse().ok()?;
    (port > 0).then_some((address, port))
}

/// Reads `never` (none) or `90d`.
pub(crate) fn parse_rotation(text: &str) -> Option<Option<u32>> {
    if text == "never" {
        return Some(None);
    }
    let days: u32 = text.strip_suffix('d')?.parse().ok()?;
    (1..=36_500).contains(&days).then_some(Some(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: Form, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(form.check(text).is_ok(), "{form:?} must take {text:?}");
        }
        for text in bad {
            assert!(form.check(text).is_err(), "{form:?} must refuse {text:?}");
        }
    }

    #[test]
    fn each_form_takes_what_it_describes() {
        check(Form::EnvironmentName, &["A", "_x1"], &["", "1A", "A-B", "A=B"]);
        check(Form::FolderName, &["data", "db.1"], &["", "..", ".git", "a/b"]);
        check(Form::Path, &["a/b", "/opt/x", "a/"], &["", "a//b"]);
        check(
            Form::RoutePath,
            &["/", "/api/", "/a%2Fb", "/5%", "/ä/.x"],
            &["api", "/a b", "/a?b", "/%41", "/../x", "/a//b"],
        );
        check(Form::Target, &["api", "api:admin", "haus"], &["api:", "Api", "a:b:c"]);
        check(
            Form::Listen,
            &["127.0.0.1:80", "[::]:80", ":80", "*:80"],
            &["80", "host:80", "::1:80", "1.2.3.4:0"],
        );
        check(Form::ListenAddress, &["127.0.0.1", "::", "[::1]", "*", "lan"], &["a.b", "1.2.3"]);
        check(Form::Domain, &["a.example", "localhost"], &["", "a..b", "-a", "a b"]);
        check(Form::Account, &["ltc", "_x", "www-data"], &["", "1a", "a b"]);
        check(Form::Code, &["HP0105"], &["HP105", "hp0105", "HP01055"]);
        check(Form::HeaderValue, &["", "a\tb", "größe"], &["a\r\nB: c", "\0"]);
        check(Form::Rotation, &["never", "90d"], &["90", "0d", "2h"]);
    }
}
