//! Forms of texts: names, paths, addresses. Each has one check and one pattern for the JSON Schema.

use super::contact::{
    is_login, is_mail, is_topic, parse_keep, parse_repeat, parse_server, parse_time, parse_web_url,
};
use super::host_form::HostForm;
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
    /// Something about a host.
    Host(HostForm),
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
            | Form::Host(_) => Fill::No,
        }
    }

    /// Checks a text; the error says how it must be written.
    pub(crate) fn check(self, text: &str) -> Result<(), &'static str> {
        let (good, rule) = match self {
            Form::Line | Form::Value => (true, ""),
            // These have checks and codes of their own.
            Form::Name | Form::Reference | Form::RouteHost => return Ok(()),
            Form::Host(form) => return form.check(text),
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
            Form::Host(form) => Some(form.pattern()),
            Form::Login => Some("^[^\\u0000-\\u001f]+$"),
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
        check(Form::Domain, &["a.example", "localhost"], &["", "a..b", "-a", "a b"]);
        check(Form::Account, &["ltc", "_x", "www-data"], &["", "1a", "a b"]);
        check(Form::Code, &["HP0105"], &["HP105", "hp0105", "HP01055"]);
        check(Form::HeaderValue, &["", "a\tb", "größe"], &["a\r\nB: c", "\0"]);
        check(Form::Rotation, &["never", "90d"], &["90", "0d", "2h"]);
    }
}
