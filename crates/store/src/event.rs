//! Events: what happened to whom, when and why. Knows nothing of how they are kept.

use haus_model::json::Json;
use haus_model::{ServiceName, Timestamp};
use std::fmt;
use std::str::FromStr;

/// What sort of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A service or instance changed its state.
    ServiceChange,
    /// A process was started, or could not be.
    Spawn,
    /// A process ended.
    Exit,
    /// A probe changed what is believed.
    Probe,
    /// The plan was read again.
    Reload,
    /// The house as a whole: up, drained, settled after a crash.
    House,
    /// The gateway: listeners, breakers, retries.
    Gateway,
    /// A credential was made or handed out; never its value.
    Credential,
    /// The store itself: full, recovered, pruned.
    Store,
}

impl EventKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [EventKind; 9] = [
        EventKind::ServiceChange,
        EventKind::Spawn,
        EventKind::Exit,
        EventKind::Probe,
        EventKind::Reload,
        EventKind::House,
        EventKind::Gateway,
        EventKind::Credential,
        EventKind::Store,
    ];

    /// The word used on disk and in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::ServiceChange => "service-change",
            EventKind::Spawn => "spawn",
            EventKind::Exit => "exit",
            EventKind::Probe => "probe",
            EventKind::Reload => "reload",
            EventKind::House => "house",
            EventKind::Gateway => "gateway",
            EventKind::Credential => "credential",
            EventKind::Store => "store",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no kind of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of event")]
pub struct UnknownKind(pub String);

impl FromStr for EventKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<EventKind, UnknownKind> {
        EventKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// An event before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// When it happened; the caller's clock. Not necessarily in the order of the numbers.
    pub at: Timestamp,
    /// What sort of thing.
    pub kind: EventKind,
    /// About whom: `SERVICE`, `SERVICE/1` or another short name such as `house`, `gateway`.
    pub subject: String,
    /// The state before, where there is one.
    pub from: Option<String>,
    /// The state after, where there is one.
    pub to: Option<String>,
    /// The reason, one sentence for people.
    pub why: String,
    /// More for machines: exit status, evidence of a probe.
    pub details: Option<Json>,
}

impl NewEvent {
    /// An event without states and details; set those fields where they are known.
    pub fn new(
        at: Timestamp,
        kind: EventKind,
        subject: impl Into<String>,
        why: impl Into<String>,
    ) -> NewEvent {
        NewEvent { at, kind, subject: subject.into(), from: None, to: None, why: why.into(), details: None }
    }

    /// The same event as a change of state.
    #[must_use]
    pub fn change(mut self, from: impl Into<String>, to: impl Into<String>) -> NewEvent {
        self.from = Some(from.into());
        self.to = Some(to.into());
        self
    }
}

/// A kept event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number: larger than that of every event kept before, never used twice.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What sort of thing.
    pub kind: EventKind,
    /// About whom.
    pub subject: String,
    /// The state before.
    pub from: Option<String>,
    /// The state after.
    pub to: Option<String>,
    /// The reason.
    pub why: String,
    /// More for machines.
    pub details: Option<Json>,
}

/// Which events to read. The default is the oldest hundred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    /// Only events with a larger number.
    pub after_seq: Option<u64>,
    /// Only events with a smaller number: the next page when reading newest first.
    pub before_seq: Option<u64>,
    /// Only events whose subject is this service or one of its instances (`SERVICE`, `SERVICE/1`).
    pub service: Option<ServiceName>,
    /// Only events that happened then or later.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
    /// The largest numbers first instead of the smallest; also decides which end `limit` cuts off.
    pub newest_first: bool,
}

impl Default for EventQuery {
    fn default() -> Self {
        EventQuery {
            after_seq: None,
            before_seq: None,
            service: None,
            since: None,
            limit: 100,
            newest_first: false,
        }
    }
}

/// Which events stay. Both bounds hold; an absent one removes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many stay, by number.
    pub rows_max: Option<u64>,
    /// What happened before this time goes.
    pub before: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_text() {
        for kind in EventKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("Spawn".parse::<EventKind>(), Err(UnknownKind("Spawn".into())));
    }
}
