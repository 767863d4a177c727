//! Is a resource as it should be, and if not: what happens to it, why, and with which difference. One file
//! per family of kinds. Order, removal and everything between resources is not known here.

mod accounts;
mod packages;
mod paths;
mod releases;
mod running;

pub(crate) use paths::may_be_shown;

use haus_model::Fingerprint;
use haus_model::change::{ActKind, DiffLine, Outcome, Undo};
use haus_model::host_code::HostCode;
use haus_model::inventory::{ManifestEntry, State};
use haus_model::resource::{Kind, Spec};
use std::collections::BTreeSet;
use std::path::Path;

/// What came out of a comparison.
pub(crate) enum Verdict {
    /// It is as it should be.
    AsWished,
    /// It has to be changed.
    Differs(Difference),
    /// It cannot be changed without hurting something.
    Blocked(Obstacle),
    /// It shows only when earlier changes are done.
    Later(String),
}

/// Why a host is left as it is.
pub(crate) struct Obstacle {
    pub code: HostCode,
    pub message: String,
    pub remedy: String,
}

/// What has to be changed.
pub(crate) struct Difference {
    pub act: ActKind,
    /// What is not as it should be.
    pub reason: String,
    pub diff: Vec<DiffLine>,
    pub outcome: Outcome,
    pub undo: Undo,
}

impl Difference {
    pub(crate) fn create(reason: impl Into<String>, diff: Vec<DiffLine>) -> Difference {
        Difference {
            act: ActKind::Create,
            reason: reason.into(),
            diff,
            outcome: Outcome::Known,
            undo: Undo::Exact,
        }
    }

    pub(crate) fn update(reason: impl Into<String>, diff: Vec<DiffLine>) -> Difference {
        Difference { act: ActKind::Update, ..Difference::create(reason, diff) }
    }

    pub(crate) fn unknown(mut self, why: impl Into<String>) -> Difference {
        self.outcome = Outcome::Unknown(why.into());
        self
    }

    pub(crate) fn undo(mut self, undo: Undo) -> Difference {
        self.undo = undo;
        self
    }
}

impl From<Difference> for Verdict {
    fn from(difference: Difference) -> Verdict {
        Verdict::Differs(difference)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kinds(u32);

impl Kinds {
    pub(crate) fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u32;
    }

    pub(crate) fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a comparison may know besides wish and state.
pub(crate) struct Around<'a> {
    /// What our manifest says about the resource.
    pub ours: Option<&'a ManifestEntry>,
    /// The fingerprint of what comes, where it was computed already.
    pub content: Option<Fingerprint>,
    /// Kinds of what is needed and changed before.
    pub changed: Kinds,
    /// Places that become free before, because what we made there is removed.
    pub freed: &'a BTreeSet<&'a Path>,
    /// Whether this is a unit whose file is ours alone, so that it ends with it.
    pub made_unit: bool,
    /// What this very plan does first, without which a repository cannot be asked.
    pub road_comes: Option<&'static str>,
}

impl Around<'_> {
    pub(crate) fn is_freed(&self, path: &Path) -> bool {
        self.freed.contains(path)
    }
}

/// Compares.
pub(crate) fn compare(spec: &Spec, state: &State, around: &Around<'_>) -> Verdict {
    if let State::Unknown(why) = state {
        return Verdict::Blocked(Obstacle {
            code: HostCode::NotObserved,
            message: format!("{} could not be looked at: {why}", spec.id()),
            remedy: "see to it that this works on the host, then plan again".to_owned(),
        });
    }
    match spec {
        Spec::Packages(spec) => packages::packages(spec, state, around),
        Spec::Holds(spec) => packages::holds(spec, state, around),
        Spec::Group(spec) => accounts::group(spec, state),
        Spec::User(spec) => accounts::user(spec, state),
        Spec::Keys(spec) => accounts::keys(spec, state),
        Spec::Directory(spec) => paths::directory(spec, state, around),
        Spec::File(spec) => paths::file(spec, state, around),
        Spec::Link(spec) => paths::link(spec, state, around),
        Spec::Release(spec) => releases::release(spec, state, around),
        Spec::Switch(spec) => releases::switch(spec, state),
        Spec::Sysctl(spec) => running::sysctl(spec, state),
        Spec::Command(spec) => running::command(spec, state),
        Spec::Unit(spec) => running::unit(spec, state, around),
        Spec::Health(spec) => running::health(spec, state, around),
    }
}

/// A state of another kind than the resource: an answer that nobody can use.
pub(crate) fn other_kind(spec: &Spec, state: &State) -> Obstacle {
    let what = describe(state);
    Obstacle {
        code: HostCode::OtherInPlace,
        message: format!("{what} stands where {} belongs", spec.id()),
        remedy: "move it away, or change the plan".to_owned(),
    }
}

/// What a state is, in a word.
pub(crate) fn describe(state: &State) -> String {
    match state {
        State::Absent => "nothing".to_owned(),
        State::Unknown(_) => "something unknown".to_owned(),
        State::Packages { .. } | State::Holds(_) => "a list of packages".to_owned(),
        State::Group { .. } => "a group".to_owned(),
        State::User { .. } => "an account".to_owned(),
        State::Keys(_) => "a list of keys".to_owned(),
        State::Directory { entries: 0, .. } => "an empty folder".to_owned(),
        State::Directory { entries, .. } => format!("a folder with {entries} entries"),
        State::File { .. } => "a file".to_owned(),
        State::Link(target) => format!("a link to {}", target.display()),
        State::Other(what) => what.clone(),
        State::Releases { .. } => "a folder of releases".to_owned(),
        State::Sysctl { .. } => "a kernel parameter".to_owned(),
        State::Command { .. } => "a command".to_owned(),
        State::Unit { .. } => "a unit".to_owned(),
        State::Health { .. } => "a proof".to_owned(),
    }
}
