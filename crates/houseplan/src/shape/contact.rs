//! Forms of what leads out of a house or is a time: addresses of receivers, logins, times of day.
//!
//! Reads texts only; whether anything answers there is found out by whoever calls.

use super::form::{is_host_name, parse_address};
use haus_model::unit;
use std::net::IpAddr;
use std::time::Duration;

/// Shorter would tell again faster than anybody reads.
const REPEAT_LEAST: Duration = Duration::from_secs(60);
/// As long as a duration may be anywhere in a plan.
const REPEAT_MOST: Duration = Duration::from_secs(366 * 86_400);
/// Days of a year; the calendar does not matter for how long something is kept.
const YEAR_DAYS: u32 = 365;
/// No server has longer names: PostgreSQL keeps 63 bytes of one, a mail address has at most 254.
const LOGIN_BYTES_MAX: usize = 255;
/// RFC 5321, section 4.5.3.1.3: a path has 256 octets with its brackets.
const MAIL_BYTES_MAX: usize = 254;
/// RFC 5321, section 4.5.3.1.1.
const MAIL_LOCAL_BYTES_MAX: usize = 64;
/// Leaves room in the 65,535 bytes of a topic (MQTT 5.0, section 1.5.4) for a service and a kind.
const TOPIC_BYTES_MAX: usize = 1_024;

/// Reads `never` (none) or a duration.
pub(crate) fn parse_repeat(text: &str) -> Option<Option<Duration>> {
    if text == "never" {
        return Some(None);
    }
    let duration = unit::parse_duration(text).ok()?;
    (REPEAT_LEAST..=REPEAT_MOST).contains(&duration).then_some(Some(duration))
}

/// Reads `forever` (none), `90d` or `2y` as days.
pub(crate) fn parse_keep(text: &str) -> Option<Option<u32>> {
    if text == "forever" {
        return Some(None);
    }
    let days = match text.strip_suffix('y') {
        Some(years) => whole(years)?.checked_mul(YEAR_DAYS)?,
        None => whole(text.strip_suffix('d')?)?,
    };
    (1..=100 * YEAR_DAYS).contains(&days).then_some(Some(days))
}

/// Digits only: `parse` alone would take a sign.
fn whole(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Reads `HH:MM` as minutes after midnight.
pub(crate) fn parse_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (whole(hours)?, whole(minutes)?);
    let minute = u16::try_from(hours * 60 + minutes).ok()?;
    (hours < 24 && minutes < 60).then_some(minute)
}

/// Reads `HOST:PORT`; brackets around an IPv6 address are taken off.
pub(crate) fn parse_server(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = u16::try_from(whole(port)?).ok().filter(|port| *port > 0)?;
    Some((host_of(host)?, port))
}

/// A host name, an IPv4 address, or an IPv6 address in brackets.
fn host_of(text: &str) -> Option<String> {
    if text.starts_with('[') {
        return Some(parse_address(text)?.to_string());
    }
    is_host_name(text).then(|| text.to_owned())
}

/// A web address in the parts that matter for its safety.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebUrl {
    pub(crate) is_https: bool,
    pub(crate) host: String,
}

/// Reads an `http://` or `https://` address (RFC 3986). A name and a password in it are borne here: that
/// they stand in the plan is a finding of its own.
pub(crate) fn parse_web_url(text: &str) -> Option<WebUrl> {
    let (scheme, rest) = text.split_once("://")?;
    let is_https = match scheme {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'#');
    if !rest.bytes().all(visible) {
        return None;
    }
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let host = match place.rfind(':').filter(|&at| !place[at..].contains(']')) {
        Some(_) => parse_server(place)?.0,
        None => host_of(place)?,
    };
    Some(WebUrl { is_https, host })
}

/// Whether only this machine can hear what is sent to this host.
pub(crate) fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        // RFC 6761, section 6.3.
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

/// A plain address (RFC 5321 without quoting), so that it can end no header line and begin no second address.
pub(super) fn is_mail(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    text.len() <= MAIL_BYTES_MAX
        && (1..=MAIL_LOCAL_BYTES_MAX).contains(&local.len())
        && local.bytes().all(atom)
        && !local.split('.').any(str::is_empty)
        && is_host_name(domain)
}

/// A topic name (MQTT 5.0, section 4.7) to which levels can be added.
pub(super) fn is_topic(text: &str) -> bool {
    (1..=TOPIC_BYTES_MAX).contains(&text.len())
        && !text.contains(|c: char| matches!(c, '+' | '#') || c.is_control())
        && !text.starts_with('$')
        && !text.split('/').any(str::is_empty)
}

pub(super) fn is_login(text: &str) -> bool {
    (1..=LOGIN_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
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
    fn each_form_takes_what_it_describes() {
        check(Form::Repeat, &["never", "4h", "1m"], &["", "0s", "59s", "4", "400d", "always"]);
        check(Form::Keep, &["forever", "1d", "2y", "100y"], &["", "0d", "+1d", "101y", "2w", "1", "y"]);
        check(Form::TimeOfDay, &["00:00", "23:59"], &["24:00", "2:00", "02:60", "0200", "+1:00", "02:00:00"]);
        check(
            Form::WebUrl,
            &["https://a.example", "http://127.0.0.1:80/x?y=1", "https://[::1]:8443/", "https://u@h/"],
            &["a.example", "ftp://a", "https://", "https://a b", "https://a:0/", "https://a/#x", "https://ä"],
        );
        check(
            Form::Server,
            &["127.0.0.1:25", "[::1]:25", "mail.example:587", "localhost:1"],
            &["mail.example", ":25", "::1:25", "a b:1", "a:0", "a:+1", "a:65536", "mqtt://a:1883"],
        );
        check(
            Form::Mail,
            &["a@b.example", "first.last+tag@localhost"],
            &["a", "@b", "a@", "A <a@b>", "a@b, c@d", "a@b\r\nBcc: x@y", "a..b@c", "a b@c", "a@b@c"],
        );
        check(
            Form::Topic,
            &["haus", "haus/alerts"],
            &["", "/a", "a/", "a//b", "a/#", "+/a", "$SYS/a", "a\0"],
        );
        check(Form::Login, &["zimmer", "my role", "größe"], &["", "a\nb", &"x".repeat(256)]);
    }

    #[test]
    fn times_and_days_are_counted() {
        assert_eq!(parse_time("02:30"), Some(150));
        assert_eq!(parse_keep("2y"), Some(Some(730)));
        assert_eq!(parse_keep("forever"), Some(None));
        assert_eq!(parse_repeat("90m"), Some(Some(Duration::from_secs(5_400))));
    }

    #[test]
    fn hosts_are_taken_out_of_addresses() {
        let host = |text| parse_web_url(text).unwrap().host;
        assert_eq!(host("https://u:p@hooks.example:8443/x@y:z"), "hooks.example");
        assert_eq!(host("http://[::1]/"), "::1");
        assert_eq!(parse_server("[::1]:25"), Some(("::1".to_owned(), 25)));
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        for host in ["127.0.0.1", "127.9.9.9", "::1", "localhost", "Mail.Localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example", "0.0.0.0", "mail.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
