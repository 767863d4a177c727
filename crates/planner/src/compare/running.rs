//! What runs or was run: kernel parameters, commands, units and the proof that they work.

use super::{Around, Difference, Obstacle, Verdict, other_kind};
use crate::diff::{becomes, gone, new};
use haus_model::argv::UnitVerb;
use haus_model::change::{DiffLine, Undo};
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::operation::{question, unit_verbs};
use haus_model::resource::{CommandSpec, HealthSpec, Kind, Spec, SysctlSpec, UnitSpec};

pub(super) fn sysctl(spec: &SysctlSpec, state: &State) -> Verdict {
    if *state == State::Absent {
        return Verdict::Blocked(Obstacle {
            code: HostCode::OtherInPlace,
            message: format!("the kernel has no parameter {}", spec.key),
            remedy: "correct the name, or load the module that brings it".to_owned(),
        });
    }
    let State::Sysctl { value, at_boot } = state else {
        return Verdict::Blocked(other_kind(&Spec::Sysctl(spec.clone()), state));
    };
    let at_boot = at_boot.as_ref();
    let runs = words(value) == words(&spec.value);
    let boots = at_boot.is_some_and(|at_boot| words(at_boot) == words(&spec.value));
    let mut diff: Vec<DiffLine> = Vec::new();
    if !runs {
        diff.extend(becomes(format!("{} = {value}", spec.key), format!("{} = {}", spec.key, spec.value)));
    }
    if !boots {
        diff.extend(at_boot.map(|at_boot| gone(format!("at boot: {} = {at_boot}", spec.key))));
        diff.push(new(format!("at boot: {} = {}", spec.key, spec.value)));
    }
    let reason = match (runs, boots) {
        (true, true) => return Verdict::AsWished,
        (true, false) => "it is not set at boot",
        (false, _) => "it has another value",
    };
    // The file at boot is what is ours; the kernel has every parameter at all times.
    if at_boot.is_none() {
        Difference::create(reason, diff).into()
    } else {
        Difference::update(reason, diff).into()
    }
}

/// The kernel separates several values by tabs, people by spaces.
fn words(value: &str) -> Vec<&str> {
    value.split_whitespace().collect()
}

pub(super) fn command(spec: &CommandSpec, state: &State) -> Verdict {
    let (satisfied, done) =
        if let State::Command { satisfied, done } = state { (*satisfied, *done) } else { (None, None) };
    if !matches!(state, State::Command { .. } | State::Absent) {
        return Verdict::Blocked(other_kind(&Spec::Command(spec.clone()), state));
    }
    let reason = match (&spec.unless, satisfied, done) {
        (Some(_), Some(true), _) => return Verdict::AsWished,
        (Some(_), Some(false) | None, _) => "`unless` says that it is to be done",
        (None, _, Some(done)) if done == spec.inputs => return Verdict::AsWished,
        (None, _, Some(_)) => "what it depends on has changed",
        (None, _, None) => "it was not run yet",
    };
    let diff = vec![new(format!("as {}: {}", spec.user, spec.run.join(" ")))];
    let difference =
        if done.is_some() { Difference::update(reason, diff) } else { Difference::create(reason, diff) };
    difference
        .unknown("what a command does is known to itself alone")
        .undo(Undo::None("what a command did cannot be taken back".to_owned()))
        .into()
}

pub(super) fn unit(spec: &UnitSpec, state: &State, around: &Around<'_>) -> Verdict {
    let (enabled, active, is_gone) = if let State::Unit { enabled, active, in_effect, .. } = state {
        (enabled.as_str(), active.as_str(), *in_effect == Some(false))
    } else {
        ("", "", false)
    };
    if !matches!(state, State::Unit { .. } | State::Absent) {
        return Verdict::Blocked(other_kind(&Spec::Unit(spec.clone()), state));
    }
    let (reads_again, verbs) = unit_verbs(spec, state);
    // What is not wanted to run and is not there is as it should be.
    let wants_nothing = spec.enabled != Some(true) && spec.running != Some(true);
    if *state == State::Absent && wants_nothing {
        if spec.inputs == UnitSpec::no_inputs() || !around.changed.contains(Kind::Packages) {
            return Verdict::AsWished;
        }
        // Otherwise the unit that a package brings would still owe its reaction after this plan.
        let diff = vec![new("what it reads is noted")];
        return Difference::update("a package may bring it", diff).unknown("apt decides what comes").into();
    }
    let mut reasons = Vec::new();
    let mut diff = Vec::new();
    for verb in &verbs {
        match verb {
            UnitVerb::Enable => {
                reasons.push("it does not start with the machine");
                diff.extend(becomes(or(enabled, "not enabled"), "enabled"));
            }
            UnitVerb::Disable => {
                reasons.push("it starts with the machine");
                diff.extend(becomes(enabled, "disabled"));
            }
            UnitVerb::Start => {
                reasons.push(if active == "failed" { "it has failed" } else { "it does not run" });
                diff.extend(becomes(or(active, "not there"), "active"));
            }
            UnitVerb::Stop => {
                reasons.push("it runs");
                diff.extend(becomes(active, "inactive"));
            }
            UnitVerb::Restart | UnitVerb::Reload if is_gone => {
                reasons.push("what it had set up is not there any more");
                diff.push(new("set up again"));
            }
            UnitVerb::Restart => {
                reasons.push("what it reads at its start has changed");
                diff.push(new("restarted"));
            }
            UnitVerb::Reload => {
                reasons.push("what it reads has changed");
                diff.push(new("reloaded"));
            }
            UnitVerb::ResetFailed => {}
        }
    }
    if reasons.is_empty() && reads_again {
        reasons.push("what it reads has changed since we noted it");
        diff.push(new("read by systemd"));
    }
    if reasons.is_empty() {
        return Verdict::AsWished;
    }
    // A unit that a package or somebody else brings was not made by us, also when it comes within this plan;
    // and one whose file we have just written is known to systemd before it was ever started.
    if around.made_unit && around.ours.is_none() {
        return Difference::create(reasons.join(", "), diff).into();
    }
    Difference::update(reasons.join(", "), diff).into()
}

fn or(word: &str, otherwise: &str) -> String {
    if word.is_empty() { otherwise.to_owned() } else { word.to_owned() }
}

pub(super) fn health(spec: &HealthSpec, state: &State, around: &Around<'_>) -> Verdict {
    let proven = if let State::Health { proven } = state { *proven } else { None };
    if !matches!(state, State::Health { .. } | State::Absent) {
        return Verdict::Blocked(other_kind(&Spec::Health(spec.clone()), state));
    }
    let unit_changes = around.changed.contains(Kind::Unit);
    let reason = match proven {
        Some(proven) if proven == spec.inputs && !unit_changes => return Verdict::AsWished,
        Some(_) if unit_changes => "its unit is changed before",
        Some(_) => "it was not proven since something changed",
        None => "it was never proven",
    };
    let diff = vec![new(question(spec))];
    let difference =
        if proven.is_some() { Difference::update(reason, diff) } else { Difference::create(reason, diff) };
    difference.unknown("whether it answers shows then").into()
}
