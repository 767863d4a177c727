//! Who is told when something goes wrong, and when nobody is. Knows neither how nor what exactly.

use crate::id::{CredentialName, ServiceName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertLevel {
    /// Worth knowing.
    Info,
    /// Something works less well, or will soon not work.
    Warning,
    /// Something does not work.
    Critical,
}

impl AlertLevel {
    /// The word in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertLevel::Info => "info",
            AlertLevel::Warning => "warning",
            AlertLevel::Critical => "critical",
        }
    }
}

impl fmt::Display for AlertLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Not at all: for a relay on loopback.
    None,
    /// STARTTLS (RFC 3207), required.
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Tls,
}

/// The road to a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Road {
    /// A POST with a JSON body, signed when there is a key.
    Webhook {
        /// `http://` or `https://`.
        url: String,
        /// Key of the HMAC-SHA256 signature.
        secret: Option<CredentialName>,
    },
    /// A mail (SMTP, RFC 5321).
    Mail {
        /// Host of the server.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is protected.
        tls: MailTls,
        /// Sender.
        from: String,
        /// Recipients.
        to: Vec<String>,
        /// Name for the login.
        user: Option<String>,
        /// Password for the login.
        password: Option<CredentialName>,
    },
    /// A retained MQTT message per alert.
    Mqtt {
        /// Host of the broker.
        host: String,
        /// Its port.
        port: u16,
        /// Topic prefix: `PREFIX/SERVICE/KIND`.
        topic: String,
        /// Name for the login.
        user: Option<String>,
        /// Password for the login.
        password: Option<CredentialName>,
    },
}

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub road: Road,
    /// The mildest level that it hears of.
    pub from: AlertLevel,
    /// Only alerts of these services; empty for all.
    pub services: Vec<ServiceName>,
}

/// When alerts are told, and to whom. The log of the house always has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerting {
    /// A fault must last so long before anybody is told.
    pub after: Duration,
    /// An alert that lasts is told again after this time; none tells it once.
    pub repeat: Option<Duration>,
    /// Receivers in the order of the plan.
    pub receivers: Vec<Receiver>,
}

impl Default for Alerting {
    fn default() -> Self {
        Alerting {
            after: Duration::from_secs(60),
            repeat: Some(Duration::from_secs(4 * 3_600)),
            receivers: Vec::new(),
        }
    }
}

/// Days of a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// A time that comes back, in which nothing is told and nothing is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Its name.
    pub name: String,
    /// Days on which it begins; empty for every day.
    pub days: Vec<Weekday>,
    /// Minutes after local midnight at which it begins.
    pub at_minute: u16,
    /// How long it lasts; at most a day.
    pub lasts: Duration,
    /// Only these services; empty for all.
    pub services: Vec<ServiceName>,
    /// Why.
    pub why: String,
}
