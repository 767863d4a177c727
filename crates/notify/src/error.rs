//! What goes wrong on the way to a receiver, in words without secrets: neither the key nor the path of a
//! webhook, which for many receivers is the key. Knows no protocol.

use std::fmt;
use std::time::Duration;

use haus_model::Secret;
use haus_model::alert::Road;

use crate::Job;

/// Longest text of another side that is repeated.
const SAID_CHARS_MAX: usize = 300;

/// A delivery that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverError {
    /// What was attempted: alert and receiver.
    pub attempt: String,
    /// Why it failed and what to do.
    pub what: String,
    /// Whether the same delivery may succeed later without anybody changing something.
    pub retry: bool,
    /// How long the receiver asked to be left alone; at most a day.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for DeliverError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.attempt, self.what)
    }
}

impl std::error::Error for DeliverError {}

/// What every error of one delivery says, and the texts that none may show.
pub(crate) struct Context {
    attempt: String,
    within: Duration,
    hidden: Vec<Secret>,
}

impl Context {
    pub(crate) fn new(road: &Road, job: &Job<'_>) -> Context {
        let to = match road {
            Road::Webhook { url, .. } => format!("the webhook at {}", origin(url)),
            Road::Mail { host, port, .. } => format!("the mail server at {host}:{port}"),
            Road::Mqtt { host, port, .. } => format!("the MQTT broker at {host}:{port}"),
        };
        let mut hidden: Vec<Secret> = job.keys.secret.iter().cloned().collect();
        if let Road::Webhook { url, .. } = road {
            hidden.extend(path(url).filter(|path| path.len() > 1).map(|path| Secret::from(path.to_owned())));
        }
        let attempt = format!("cannot bring alert {} to {to}", job.message.id);
        Context { attempt: one_line(&attempt), within: job.within, hidden }
    }

    /// An error that trying again does not mend.
    pub(crate) fn permanent(&self, what: impl Into<String>) -> DeliverError {
        self.error(what, false)
    }

    /// An error that may pass.
    pub(crate) fn passing(&self, what: impl Into<String>) -> DeliverError {
        self.error(what, true)
    }

    pub(crate) fn error(&self, what: impl Into<String>, retry: bool) -> DeliverError {
        DeliverError { attempt: self.attempt.clone(), what: what.into(), retry, retry_after: None }
    }

    pub(crate) fn timeout(&self) -> DeliverError {
        self.passing(format!("no answer within {} ms; it is tried again", self.within.as_millis()))
    }

    /// Words of the other side: one line, limited, and left out when they hold something hidden.
    pub(crate) fn said(&self, text: &str) -> String {
        let holds = |secret: &Secret| {
            let value = secret.expose_bytes();
            !value.is_empty() && text.as_bytes().windows(value.len()).any(|window| window == value)
        };
        if self.hidden.iter().any(holds) {
            return String::from("(its words are left out, since they held a secret)");
        }
        one_line(text).chars().take(SAID_CHARS_MAX).collect::<String>().trim().to_owned()
    }
}

/// Scheme, host and port of an address, without user, path and query.
pub(crate) fn origin(url: &str) -> String {
    let Ok(parsed) = url.parse::<http::Uri>() else { return String::from("an address that cannot be read") };
    match (parsed.scheme_str(), parsed.host(), parsed.port_u16()) {
        (Some(scheme), Some(host), Some(port)) => format!("{scheme}://{host}:{port}"),
        (Some(scheme), Some(host), None) => format!("{scheme}://{host}"),
        _ => String::from("an address without scheme and host"),
    }
}

/// Everything after the host.
fn path(url: &str) -> Option<&str> {
    let after_scheme = url.split_once("://")?.1;
    after_scheme.find(['/', '?']).map(|start| &after_scheme[start..])
}

/// Control characters become blanks.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: &str) {
        assert_eq!(origin(url), expected);
    }

    #[test]
    fn an_origin_shows_neither_user_nor_path() {
        check("https://hooks.example/services/T0/B0/xoxb", "https://hooks.example");
        check("http://user:word@127.0.0.1:9/a?token=b", "http://127.0.0.1:9");
        check("http://[::1]:9", "http://[::1]:9");
        check("/only/a/path", "an address without scheme and host");
        check("http://bad host/secret", "an address that cannot be read");
    }

    #[test]
    fn what_comes_after_the_host_is_found() {
        assert_eq!(path("https://hooks.example/a?b=c"), Some("/a?b=c"));
        assert_eq!(path("https://hooks.example?b=c"), Some("?b=c"));
        assert_eq!(path("https://hooks.example"), None);
    }
}
