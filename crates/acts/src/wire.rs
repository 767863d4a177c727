//! What is said between `haus` and `haus-remote`: requests, replies, progress.
//!
//! One request at a time; a reply ends it, and progress may come before the reply. docs/formats/remote.md
//! tells the same for readers. Values of secrets stand only in [`Request::Act`].

use haus_model::change::Change;
use haus_model::host_code::HostCode;
use haus_model::inventory::{Inventory, State};
use haus_model::resource::{ResourceId, SecretVersion, Spec};
use haus_model::{Fingerprint, HouseName, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The version of this protocol. Both sides must speak the same.
pub const VERSION: u32 = 1;

/// Lines of output that a refusal carries as evidence at most.
pub const EVIDENCE_LINES_MAX: usize = 40;

/// Bytes of one line of progress or evidence at most.
pub const LINE_BYTES_MAX: usize = 2000;

/// Lines of progress of one act at most; what follows is left out.
pub const PROGRESS_LINES_MAX: u32 = 5000;

/// What `haus` asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// First of all.
    Hello(Hello),
    /// What is there? Answered by [`Reply::Inventory`].
    Observe {
        /// What is asked for, besides what the manifest lists.
        specs: Vec<Spec>,
    },
    /// Which of these blobs are not on the host? Answered by [`Reply::Missing`].
    Missing {
        /// Hashes of blobs.
        blobs: BTreeSet<Fingerprint>,
    },
    /// A blob follows in chunks. Answered by [`Reply::Stored`].
    Put {
        /// Its hash.
        hash: Fingerprint,
        /// Its size.
        bytes: u64,
    },
    /// An apply that did not end is brought into order: the act that was under way is undone or finished, a
    /// guarded change that nobody confirmed is taken back as a whole. Answered by [`Reply::Recovered`].
    Recover {
        /// Who asks, for the lock.
        claim: Claim,
        /// The apply that is open, when its own owner says that nobody listens to it any longer: its session
        /// is asked to leave, and waited for until the act under way is through.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deserted: Option<String>,
    },
    /// An apply begins: lock, comparison with what was planned, journal. Answered by [`Reply::Begun`].
    Begin(Box<Begin>),
    /// One change of the apply that began is carried out. Answered by [`Reply::Done`].
    Act {
        /// Its number.
        number: u32,
        /// Values of the credentials that it needs.
        secrets: Vec<SecretValue>,
    },
    /// The host is still reached, by a connection that began after the guarded change: the dead-man is
    /// disarmed. Sent over a new connection, never over the one that acts. Answered by [`Reply::Confirmed`].
    Confirm {
        /// The apply.
        apply: String,
    },
    /// The apply ends. Answered by [`Reply::Finished`].
    Finish {
        /// How.
        ending: Ending,
    },
    /// The last apply, open or not, is taken back. Answered by [`Reply::Finished`].
    RollBack {
        /// Who asks, for the lock.
        claim: Claim,
        /// It must be this one; the last one when absent.
        apply: Option<String>,
    },
    /// What was applied here? Answered by [`Reply::History`].
    History {
        /// So many at most, the latest first.
        last: u32,
    },
}

/// The first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the asking side.
    pub version: u32,
    /// The house whose folder on the host is meant.
    pub house: HouseName,
}

/// Who takes the lock of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Such as `anna@desk`.
    pub owner: String,
    /// Why, as given by a person.
    pub reason: Option<String>,
}

/// The value of one version of a credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretValue {
    /// Which one.
    pub of: SecretVersion,
    /// Its value.
    pub value: Secret,
}

/// The beginning of an apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Its id, chosen by `haus`: letters, digits and `-`, at most 64. Later ids must sort behind earlier
    /// ones.
    pub apply: String,
    /// Who, and why.
    pub claim: Claim,
    /// Hash of the whole change set.
    pub plan: Fingerprint,
    /// All changes of this host, in order.
    pub changes: Vec<Change>,
    /// Ports of services, for the manifest.
    pub ports: BTreeMap<String, u16>,
    /// Seconds after which a guarded change takes itself back unless it is confirmed.
    pub guard_s: u32,
}

/// How an apply ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Everything is done and proven. Refused while a guarded change is not confirmed.
    Commit,
    /// What was done stays, the rest is left; the next plan goes on.
    Stop,
    /// What was done is taken back.
    RollBack,
}

/// What `haus-remote` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Request::Hello`].
    Welcome(Welcome),
    /// To [`Request::Observe`].
    Inventory(Box<Inventory>),
    /// To [`Request::Missing`].
    Missing {
        /// Those that have to be sent.
        blobs: BTreeSet<Fingerprint>,
    },
    /// To [`Request::Put`].
    Stored,
    /// To [`Request::Recover`].
    Recovered(Recovered),
    /// To [`Request::Begin`].
    Begun,
    /// To [`Request::Act`].
    Done(Done),
    /// To [`Request::Confirm`].
    Confirmed,
    /// To [`Request::Finish`] and [`Request::RollBack`].
    Finished(Finished),
    /// To [`Request::History`].
    History(Vec<PastApply>),
    /// Something goes on; a reply follows.
    Progress(Progress),
    /// To any request: it was not done.
    Refused(Refusal),
}

/// The answer to the first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`] of the program on the host.
    pub version: u32,
    /// Version of the program, for people.
    pub program: String,
    /// As `uname -m` says.
    pub machine: String,
    /// Whether it acts as root.
    pub is_root: bool,
}

/// What became of an apply that did not end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recovered {
    /// There was none.
    Nothing,
    /// It is closed. What was done stays and the next plan goes on from there.
    Closed {
        /// Its id.
        apply: String,
        /// The act that was under way and what was done about it.
        repaired: Option<(ResourceId, String)>,
    },
    /// It had a guarded change that nobody confirmed, so all of it was taken back.
    TakenBack(Finished),
}

/// One change that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Its number.
    pub number: u32,
    /// Whether anything had to be done: false when it was already as it should be.
    pub changed: bool,
    /// What is there afterwards.
    pub after: State,
    /// What is worth telling, such as versions of packages.
    pub notes: Vec<String>,
    /// How long it took.
    pub took_ms: u64,
    /// When the dead-man takes the apply back unless [`Request::Confirm`] comes; none when it is not armed.
    pub armed_until: Option<Timestamp>,
}

/// How an apply ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Its id.
    pub apply: String,
    /// How.
    pub outcome: Outcome,
    /// What could not be taken back, and why; empty unless something was to be taken back.
    pub left: Vec<Left>,
}

/// Something that could not be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The resource.
    pub resource: ResourceId,
    /// Why.
    pub why: String,
}

/// What became of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is not ended.
    Open,
    /// Everything was done.
    Committed,
    /// It was ended early; what was done stays.
    Stopped,
    /// It did not end by itself; the next session closed it. What was done stays.
    Interrupted,
    /// It was taken back.
    RolledBack,
    /// It was taken back by the host, since nobody confirmed it.
    Reverted,
}

/// An apply as the host remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastApply {
    /// Its id.
    pub apply: String,
    /// Who, and why.
    pub claim: Claim,
    /// Hash of the change set.
    pub plan: Fingerprint,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What became of it.
    pub outcome: Outcome,
    /// Changes that were done, of all of them.
    pub done: u32,
    /// Changes in all.
    pub of: u32,
    /// What was changed: resource and reason, in order.
    pub changes: Vec<(ResourceId, String)>,
    /// The first fault.
    pub fault: Option<String>,
}

/// A sign of life of something that takes long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// A command begins.
    Run(Vec<String>),
    /// The program does something by itself.
    Step(String),
    /// A line of the command's output.
    Line(String),
}

/// Why something was not done. It is an error and a message at once, since most faults happen on the host and
/// are read elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of fault.
    #[serde(with = "code_text")]
    pub code: HostCode,
    /// What was attempted, on what.
    pub what: String,
    /// Why it was not done.
    pub why: String,
    /// What to do.
    pub remedy: String,
    /// Last lines of output, or the like. Never a value of a secret.
    pub evidence: Vec<String>,
    /// The resource.
    pub resource: Option<ResourceId>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Refusal {}

/// A code travels as its text, such as `HH0213`.
mod code_text {
    use super::HostCode;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(code: &HostCode, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(code.code())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HostCode, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = HostCode::ALL.iter().find(|code| code.code() == text).copied();
        known.ok_or_else(|| de::Error::custom("no code of a finding about hosts"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_read_whatever_later_versions_add() {
        let text = r#"{"hello":{"version":7,"house":"zimmer","more":[1]}}"#;
        let Ok(Request::Hello(hello)) = serde_json::from_str(text) else { panic!("{text}") };
        assert_eq!((hello.version, hello.house.as_str()), (7, "zimmer"));
    }

    #[test]
    fn a_refusal_keeps_its_code() {
        let refusal = Refusal {
            code: HostCode::Moved,
            what: "write /etc/motd".to_owned(),
            why: "it changed".to_owned(),
            remedy: "plan again".to_owned(),
            evidence: Vec::new(),
            resource: None,
        };
        let text = serde_json::to_string(&Reply::Refused(refusal.clone())).expect("writes");
        assert!(text.contains(r#""code":"HH0211""#), "{text}");
        let Ok(Reply::Refused(read)) = serde_json::from_str(&text) else { panic!("{text}") };
        assert_eq!(read, refusal);
    }

    #[test]
    fn a_request_with_a_secret_does_not_show_it() {
        let of = SecretVersion { credential: "db".parse().expect("a name"), version: 1 };
        let value = Secret::from("hunter2".to_owned());
        let request = Request::Act { number: 1, secrets: vec![SecretValue { of, value }] };
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
