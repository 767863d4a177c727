//! Carries out a change set: waves in order, the hosts of a wave at once, one outcome per host. What happens
//! on one host is in `run`; nothing is decided here but who is not begun any more.

use crate::clock::{Cancel, Clock};
use crate::crowd;
use crate::outcome::{Event, HostOutcome};
use crate::patience::Patience;
use crate::run::Run;
use crate::sessions::Sessions;
use crate::supply::{BlobSource, SecretSource};
use haus_acts::wire::Claim;
use haus_model::HostName;
use haus_model::change::{ChangeSet, HostPlan};
use std::collections::{BTreeMap, BTreeSet};

/// What happens on a host that is asked to stop in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStopped {
    /// What was done is taken back.
    #[default]
    TakeBack,
    /// What was done stays, and the next apply goes on from there.
    Leave,
}

/// What happens to the others when a host fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFailed {
    /// Those that need it are left out, the others go on.
    #[default]
    GoOn,
    /// No other host is begun.
    BeginNoOther,
}

/// How a change set is carried out.
#[derive(Clone, Debug)]
pub struct Options {
    /// The id of this apply: letters, digits and `-`. Ids of later ones sort behind it.
    pub apply: String,
    /// Who, and why.
    pub claim: Claim,
    /// Hosts that are changed at once.
    pub at_once: usize,
    /// Only these; all when absent.
    pub hosts: Option<BTreeSet<HostName>>,
    /// Seconds after which a guarded change takes itself back.
    pub guard_s: u32,
    /// When it is asked to stop.
    pub when_stopped: WhenStopped,
    /// When a host fails.
    pub when_failed: WhenFailed,
    /// How long things may take.
    pub patience: Patience,
}

/// Who is told, from several threads at once.
pub type Listener<'a> = &'a (dyn Fn(&HostName, Event) + Sync);

/// Everything from outside that an apply needs.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The hosts.
    pub sessions: &'a dyn Sessions,
    /// Values of credentials.
    pub secrets: &'a dyn SecretSource,
    /// Blobs.
    pub blobs: &'a dyn BlobSource,
    /// Time.
    pub clock: &'a dyn Clock,
    /// The wish to stop.
    pub cancel: &'a Cancel,
    /// Who is told.
    pub events: Listener<'a>,
}

/// Carries it out. There is one outcome for each host of the change set that was chosen.
pub fn apply(
    changes: &ChangeSet,
    options: &Options,
    around: Surroundings<'_>,
) -> BTreeMap<HostName, HostOutcome> {
    let mut outcomes: BTreeMap<HostName, HostOutcome> = BTreeMap::new();
    for wave in waves(changes, options) {
        let before = &outcomes;
        let failed_now = Cancel::default();
        let ended = crowd::each(&wave, options.at_once, |(host, plan)| {
            let fails_before = before.values().any(|outcome| !outcome.is_good());
            let stop =
                options.when_failed == WhenFailed::BeginNoOther && (fails_before || failed_now.is_wished());
            let so_far = SoFar { changes, outcomes: before, stop, is_cancelled: around.cancel.is_wished() };
            let outcome = so_far
                .not_tried(plan)
                .unwrap_or_else(|| Run::new(host, plan, changes, options, around).carry_out());
            if !outcome.is_good() {
                failed_now.wish();
            }
            (around.events)(host, Event::Ended(Box::new(outcome.clone())));
            ((*host).clone(), outcome)
        });
        outcomes.extend(ended);
    }
    outcomes
}

/// The waves with their plans. A host that stands in none comes last, so that nobody is forgotten.
fn waves<'a>(changes: &'a ChangeSet, options: &Options) -> Vec<Vec<(&'a HostName, &'a HostPlan)>> {
    let chosen = |host: &HostName| options.hosts.as_ref().is_none_or(|hosts| hosts.contains(host));
    let mut left: BTreeMap<&HostName, &HostPlan> =
        changes.hosts.iter().filter(|(host, _)| chosen(host)).collect();
    let mut waves: Vec<Vec<_>> = Vec::new();
    for wave in &changes.waves {
        waves.push(wave.iter().filter_map(|host| left.remove_entry(host)).collect());
    }
    waves.push(left.into_iter().collect());
    waves
}

/// What is known when a host's turn comes.
struct SoFar<'a> {
    changes: &'a ChangeSet,
    outcomes: &'a BTreeMap<HostName, HostOutcome>,
    /// Whether no other host is begun since one failed.
    stop: bool,
    is_cancelled: bool,
}

impl SoFar<'_> {
    /// Why this host is not begun, when there is a reason.
    fn not_tried(&self, plan: &HostPlan) -> Option<HostOutcome> {
        let because = |because: String, remedy: String| HostOutcome::NotTried { because, remedy };
        if self.is_cancelled {
            return Some(because(
                "it was asked to stop before this host was begun".to_owned(),
                "apply again when you want to go on".to_owned(),
            ));
        }
        // Who has nothing to do is as the plan wants it, whatever becomes of the others.
        let missed = if plan.changes.is_empty() { None } else { self.missed(plan) };
        if let Some(host) = missed {
            return Some(because(
                format!("it needs host {host}, which is not as the plan wants it"),
                format!("mend what is said of host {host}, then apply again"),
            ));
        }
        self.stop.then(|| {
            because(
                "another host failed before".to_owned(),
                "mend what is said of that host, then apply again".to_owned(),
            )
        })
    }

    /// A host that this one needs and that failed, or could not even be begun.
    fn missed<'p>(&self, plan: &'p HostPlan) -> Option<&'p HostName> {
        let failed = |host: &HostName| self.outcomes.get(host).is_some_and(|outcome| !outcome.is_good());
        let blocked =
            |host: &HostName| self.changes.hosts.get(host).is_some_and(|plan| !plan.blocked.is_empty());
        plan.needs.iter().find(|host| failed(host) || blocked(host))
    }
}
