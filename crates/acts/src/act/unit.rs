//! systemd units: enabled, started, restarted or stopped, and waited for until systemd says how it went.

mod exposure;
mod verify;

pub(crate) use exposure::exposure;
pub(crate) use verify::verify;

use super::{Job, Made};
use crate::journal::note::{Also, Note, UnitWas};
use crate::refusal::Result;
use crate::run::{Order, Sink, capture, run};
use crate::wire::Refusal;
use haus_model::argv::{self, UnitVerb};
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::operation::unit_verbs;
use haus_model::resource::{OnChange, UnitSpec};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long systemd may take for one job; a service that needs longer says so by its own time-outs.
const WITHIN: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(50);
const JOURNAL_LINES: &str = "30";

pub(super) fn note(job: &Job<'_>, spec: &UnitSpec) -> Note {
    let (enabled, ran) = if let State::Unit { enabled, active, .. } = job.before {
        (enabled.clone(), runs(active))
    } else {
        (String::new(), false)
    };
    let reload = match spec.on_change {
        OnChange::Reload => true,
        OnChange::Restart => false,
    };
    Note { paths: Vec::new(), also: Also::Unit(UnitWas { name: spec.name.clone(), enabled, ran, reload }) }
}

/// Whether a state of systemd means that it runs.
pub(crate) fn runs(active: &str) -> bool {
    matches!(active, "active" | "reloading" | "activating" | "refreshing")
}

pub(super) fn make(job: &mut Job<'_>, spec: &UnitSpec) -> Result<Made> {
    let (reload, verbs) = unit_verbs(spec, job.before);
    if reload {
        job.system(&argv::daemon_reload(), WITHIN, "see whether systemd works on the host")?;
    }
    for verb in verbs {
        tell(job.layout.mark(), verb, &spec.name, job.sink)?;
    }
    if spec.running == Some(true) {
        settle(&spec.name)?;
    }
    Ok(Made { inputs: Some(spec.inputs), ..Made::default() })
}

/// What is wanted of a unit that goes.
pub(crate) fn gone(spec: &UnitSpec) -> UnitSpec {
    UnitSpec { enabled: Some(false), running: Some(false), ..spec.clone() }
}

pub(super) fn remove(job: &mut Job<'_>, spec: &UnitSpec) -> Result<Made> {
    let (_, verbs) = unit_verbs(&gone(spec), job.before);
    // "stop" behind "disable" would start again what a timer or socket starts in between.
    for verb in verbs.into_iter().rev() {
        tell(job.layout.mark(), verb, &spec.name, job.sink)?;
    }
    Ok(Made::default())
}

/// A unit that was there before us reads again what is left without what was ours.
pub(super) fn let_go(job: &mut Job<'_>, unit: &str, verb: UnitVerb) -> Result<Made> {
    job.system(&argv::daemon_reload(), WITHIN, "see whether systemd works on the host")?;
    tell(job.layout.mark(), verb, unit, job.sink)?;
    settle(unit)?;
    Ok(Made::default())
}

/// Tells systemd, and says what the unit said when it went wrong.
pub(crate) fn tell(mark: &str, verb: UnitVerb, unit: &str, sink: Sink<'_>) -> Result<()> {
    let argv = argv::systemctl(verb, unit);
    let order = Order { mark, ..Order::new(&argv, WITHIN) };
    let ran = run(&order, sink)?;
    if ran.is_good() {
        return Ok(());
    }
    let refusal = order.refusal(ran.ending(), "see what the unit says; `journalctl -u` tells more");
    Err(refusal.with_evidence(ran.tail).with_evidence(said(unit)))
}

/// The last lines of a unit in the journal.
pub(crate) fn said(unit: &str) -> Vec<String> {
    let words = ["journalctl", "--no-pager", "--output=short-iso", "--lines", JOURNAL_LINES, "--unit", unit];
    let argv = words.map(str::to_owned);
    let ran = capture(&Order::new(&argv, Duration::from_secs(20)));
    let text = ran.map(|ran| String::from_utf8_lossy(&ran.stdout).into_owned()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What systemd says about a unit.
pub(crate) fn properties(unit: &str) -> Result<BTreeMap<String, String>> {
    let words = ["systemctl", "show", "--property=ActiveState,SubState,Result,NRestarts,Type", "--", unit];
    let argv = words.map(str::to_owned);
    let order = Order::new(&argv, Duration::from_secs(30));
    let ran = capture(&order)?.expect_good(&order, "see whether systemd works on the host")?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Waits until it is decided whether a unit runs. Systemd answers a start at once when it only has to exec.
fn settle(unit: &str) -> Result<()> {
    let deadline = Instant::now() + WITHIN;
    loop {
        match decided(&properties(unit)?) {
            Some(Ok(())) => return Ok(()),
            Some(Err(why)) => return Err(failed(unit, &why)),
            None if Instant::now() >= deadline => {
                return Err(failed(unit, "it did not become active in time"));
            }
            None => std::thread::sleep(PAUSE),
        }
    }
}

/// Whether a unit that should run does, as its properties tell; none while that is open.
fn decided(properties: &BTreeMap<String, String>) -> Option<std::result::Result<(), String>> {
    let value = |name: &str| properties.get(name).map_or("", String::as_str);
    match (value("ActiveState"), value("SubState")) {
        ("active", _) => Some(Ok(())),
        // A oneshot that has done its work is inactive, and that is well.
        ("inactive", _) if value("Result") == "success" && value("Type") == "oneshot" => Some(Ok(())),
        ("failed" | "inactive" | "deactivating", _) | (_, "auto-restart" | "auto-restart-queued") => {
            Some(Err(format!("it ended: {}", value("Result"))))
        }
        (_, _) => None,
    }
}

fn failed(unit: &str, why: &str) -> Refusal {
    let remedy = "see what the unit says; `journalctl -u` tells more";
    Refusal::new(HostCode::ActFailed, format!("start {unit}"), why, remedy).with_evidence(said(unit))
}

/// Takes a unit back as far as that does not need its old files: what did not run is stopped, and it starts
/// with the machine as before. What ran is told later, see [`again`].
pub(crate) fn take_back(mark: &str, was: &UnitWas, booting: bool, sink: Sink<'_>) -> Result<Option<String>> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok(Some("systemd does not run".to_owned()));
    }
    if !was.ran && !booting {
        let is = properties(&was.name)?;
        if is.get("ActiveState").is_some_and(|active| runs(active) || active == "failed") {
            tell(mark, UnitVerb::Stop, &was.name, sink)?;
            // A failed one would be shown as such although nothing of it is there.
            let _ = tell(mark, UnitVerb::ResetFailed, &was.name, sink);
        }
    }
    match was.enabled.as_str() {
        "enabled" => tell(mark, UnitVerb::Enable, &was.name, sink)?,
        // Its file may have gone, and with it what could be disabled.
        "disabled" | "" => drop(tell(mark, UnitVerb::Disable, &was.name, sink)),
        _ => {}
    }
    Ok(None)
}

/// When everything else is as it was: units that ran before read it again. During a boot systemd is only
/// told, since waiting for it there would be waiting for ourselves.
pub(crate) fn again(mark: &str, units: &[UnitWas], booting: bool, sink: Sink<'_>) -> Vec<(String, Refusal)> {
    if units.is_empty() || !Path::new("/run/systemd/system").is_dir() {
        return Vec::new();
    }
    let reload = argv::daemon_reload();
    let _ = run(&Order { mark, ..Order::new(&reload, WITHIN) }, sink);
    let mut left = Vec::new();
    for unit in units {
        let outcome = if booting { queue(mark, unit, sink) } else { wake(mark, unit, sink) };
        if let Err(refusal) = outcome {
            left.push((unit.name.clone(), refusal));
        }
    }
    left
}

fn wake(mark: &str, unit: &UnitWas, sink: Sink<'_>) -> Result<()> {
    if !unit.ran {
        return Ok(());
    }
    let _ = tell(mark, UnitVerb::ResetFailed, &unit.name, &mut |_| {});
    tell(mark, if unit.reload { UnitVerb::Reload } else { UnitVerb::Restart }, &unit.name, sink)?;
    settle(&unit.name)
}

fn queue(mark: &str, unit: &UnitWas, sink: Sink<'_>) -> Result<()> {
    let verb = if unit.ran { "restart" } else { "stop" };
    let argv = ["systemctl", "--no-block", verb, "--", unit.name.as_str()].map(str::to_owned);
    let order = Order { mark, ..Order::new(&argv, WITHIN) };
    run(&order, sink)?.expect_good(&order, "look at the unit").map(drop)
}
