//! What goes into and comes out of [`Alerts`](super::Alerts): conditions, tells, views. Decides nothing.

use haus_model::alert::{AlertLevel, Alerting};
use haus_model::{CredentialName, ServiceName, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A service is not started since something is missing that a person has to give: a credential's value.
pub const SERVICE_LACKING: &str = "service-lacking";
/// Some instances of a service are not healthy, or all work less well.
pub const SERVICE_DEGRADED: &str = "service-degraded";
/// A service does not answer.
pub const SERVICE_OFFLINE: &str = "service-offline";
/// A service is not started any more.
pub const SERVICE_GAVE_UP: &str = "service-gave-up";
/// A credential ends soon.
pub const CREDENTIAL_EXPIRING: &str = "credential-expiring";
/// A credential must not be used any more.
pub const CREDENTIAL_EXPIRED: &str = "credential-expired";
/// A rotation was undone.
pub const ROTATION_FAILED: &str = "rotation-failed";
/// A rotation can neither go on nor be undone.
pub const ROTATION_STUCK: &str = "rotation-stuck";
/// The database of the coordinator cannot be written.
pub const STORE_UNWRITABLE: &str = "store-unwritable";
/// The audit trail was changed, or cannot be written.
pub const TRAIL_BROKEN: &str = "trail-broken";
/// A disk is nearly full.
pub const DISK_LOW: &str = "disk-low";

/// Kinds that are told at once: they do not pass by themselves, and waiting costs.
pub const AT_ONCE: [&str; 5] =
    [SERVICE_GAVE_UP, CREDENTIAL_EXPIRED, ROTATION_STUCK, STORE_UNWRITABLE, TRAIL_BROKEN];

/// Kinds that are steps of one thing, the mildest first: of one subject only the worst is told.
pub(super) const STEPS: [&[&str]; 3] = [
    &[SERVICE_LACKING, SERVICE_DEGRADED, SERVICE_OFFLINE, SERVICE_GAVE_UP],
    &[CREDENTIAL_EXPIRING, CREDENTIAL_EXPIRED],
    &[ROTATION_FAILED, ROTATION_STUCK],
];

/// Whether a kind says that a service is not there as it should be: only these have follow-ups and are
/// follow-ups.
pub(super) fn is_about_presence(kind: &str) -> bool {
    STEPS[0].contains(&kind)
}

/// Whom an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The house itself: store, trail, disks. Written `@house`.
    House,
    /// A service. Written as its name.
    Service(ServiceName),
    /// A credential. Written `credential:NAME`.
    Credential(CredentialName),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::House => f.write_str("@house"),
            Subject::Service(name) => write!(f, "{name}"),
            Subject::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

/// A text that is no subject of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectError(pub String);

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0;
        write!(f, "nothing has alerts by the name `{text}`; there are @house, SERVICE and credential:NAME")
    }
}

impl std::error::Error for SubjectError {}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Subject, SubjectError> {
        let bad = |_| SubjectError(text.to_owned());
        match (text, text.strip_prefix("credential:")) {
            ("@house", _) => Ok(Subject::House),
            (_, Some(name)) => name.parse().map(Subject::Credential).map_err(bad),
            (name, None) => name.parse().map(Subject::Service).map_err(bad),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Subject, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Something that is wrong at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whom it is about.
    pub subject: Subject,
    /// What is wrong, one of the kinds of this module or another word; one condition per subject and kind.
    pub kind: String,
    /// How bad it is.
    pub level: AlertLevel,
    /// Services that suffer from it, beside the subject: those that may have the credential.
    pub services: Vec<ServiceName>,
    /// One sentence without secrets: `connection refused on 127.0.0.1:20001`.
    pub why: String,
}

/// What the plan says about alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertRules {
    /// When and whom.
    pub alerting: Alerting,
    /// The services that each service needs; those that need nothing may be left out.
    pub needs: BTreeMap<ServiceName, Vec<ServiceName>>,
}

/// What receivers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TellState {
    /// It began; the first that these receivers hear of it.
    Firing,
    /// It still lasts, or became worse.
    Repeat,
    /// It is over.
    Resolved,
}

impl TellState {
    /// The word in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            TellState::Firing => "firing",
            TellState::Repeat => "repeat",
            TellState::Resolved => "resolved",
        }
    }
}

/// One thing to tell. The log of the house has it even when no receiver wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tell {
    /// The id of the alert, the same in all that is told of it: `api/service-offline#7`.
    pub id: String,
    /// What is told.
    pub state: TellState,
    /// Whom it is about.
    pub subject: Subject,
    /// What is or was wrong.
    pub kind: String,
    /// How bad.
    pub level: AlertLevel,
    /// Services that suffer from it, the subject included.
    pub services: Vec<ServiceName>,
    /// When it began.
    pub since: Timestamp,
    /// When this was decided.
    pub at: Timestamp,
    /// How often it went away and came back meanwhile.
    pub flaps: u32,
    /// One sentence; of a resolved alert, why it is over.
    pub why: String,
    /// Services that fail because of this one and are not told of by themselves; the first few by name.
    pub follow_ups: Vec<ServiceName>,
    /// How many those are.
    pub follow_ups_count: usize,
    /// Receivers by name; empty when none wants it. Of a resolved alert one may have left the plan meanwhile.
    pub receivers: Vec<String>,
}

/// Why an alert is not told although it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A maintenance window is open.
    Maintenance {
        /// Its name.
        name: String,
    },
    /// Somebody asked for silence.
    Silence {
        /// Which.
        id: String,
    },
    /// Something that it needs fails at least as badly.
    FollowUp {
        /// The service at the root.
        of: ServiceName,
    },
    /// Something worse of the same sort is known of the same subject.
    Worse {
        /// Its kind.
        kind: String,
    },
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Maintenance { name } => write!(f, "maintenance `{name}`"),
            Held::Silence { id } => write!(f, "silence `{id}`"),
            Held::FollowUp { of } => write!(f, "follows from {of}"),
            Held::Worse { kind } => write!(f, "part of {kind}"),
        }
    }
}

/// How far an alert has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertPhase {
    /// Something is wrong, but nobody was told yet.
    Pending,
    /// It was told and lasts.
    Firing,
    /// It was told and is over, if it stays away.
    Clearing,
}

impl AlertPhase {
    /// The word in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertPhase::Pending => "pending",
            AlertPhase::Firing => "firing",
            AlertPhase::Clearing => "clearing",
        }
    }
}

/// One alert as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertView<'a> {
    /// Its id; none while it was never told.
    pub id: Option<String>,
    /// Whom it is about.
    pub subject: &'a Subject,
    /// What is wrong.
    pub kind: &'a str,
    /// How bad.
    pub level: AlertLevel,
    /// How far it has come.
    pub phase: AlertPhase,
    /// When it began.
    pub since: Timestamp,
    /// How often it went away and came back meanwhile.
    pub flaps: u32,
    /// One sentence.
    pub why: &'a str,
    /// Why nobody is told at present.
    pub held: Option<&'a Held>,
    /// Who was told.
    pub told: Vec<&'a str>,
}
