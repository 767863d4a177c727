//! `haus up` and `haus serve`: check the plan, then become the supervisor parent.
//!
//! The check runs in this process; the parent is a fresh program image in the same process
//! (same pid, same terminal), so that it carries none of the check's memory.

use super::check::plural;
use crate::arguments::Up;
use crate::exit::{Code, FAILED, FINDINGS, Failure, WRONG_USE};
use crate::{locate, terminal};
use haus_houseplan::{DiskFiles, Loaded, Plan, Style};
use haus_model::{House, Severity};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Who looks at the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A person.
    Foreground,
    /// A service manager.
    Service,
}

pub(crate) fn cmd_up(arguments: &Up, mode: Mode) -> Result<Code, Failure> {
    let loaded = haus_houseplan::load(&arguments.path, &DiskFiles);
    let Some(plan) = &loaded.plan else {
        show(&loaded, Severity::Error);
        let errors = plural(loaded.count(Severity::Error), "error");
        let code = if loaded.sources.is_empty() { WRONG_USE } else { FINDINGS };
        return Err(Failure::new(code, format!("the plan has {errors}, so nothing was started"))
            .hint(format!("mend them and see `haus check {}`", arguments.path.display())));
    };
    show(&loaded, Severity::Warning);
    let house = match the_stage_here(plan).filter(|_| arguments.stage.is_none()) {
        Some(house) => {
            terminal::error(&format!("stage {}: the one on this machine\n", house.stage));
            house
        }
        None => stage(plan, arguments.stage.as_deref())?,
    };
    let places = locate::places(house.name.as_str(), arguments.state.as_deref())?;
    known_host(house, arguments.standpoint.host.as_deref())?;
    let own = super::parent::own_program()?;
    let path = std::path::absolute(&arguments.path).map_err(|error| {
        Failure::new(WRONG_USE, format!("cannot tell where {} is: {error}", arguments.path.display()))
            .hint("name the folder by its whole path")
    })?;
    // Before anything is made there.
    for path in [path.as_path(), places.state(), places.run()] {
        locate::utf8(path)?;
    }
    let mut command = Command::new(own);
    command.arg("parent").arg("--path").arg(path);
    command.args(["--house", house.name.as_str(), "--stage", house.stage.as_str()]);
    command.arg("--state").arg(places.state()).arg("--run").arg(places.run());
    if mode == Mode::Service {
        command.arg("--plain");
    }
    if let Some(host) = &arguments.standpoint.host {
        command.args(["--host", host]);
    }
    let places_flag = arguments.standpoint.places.as_deref().map(|path| ("--places", path));
    for (name, path) in super::parent::key_flags(&arguments.keys).chain(places_flag) {
        // The parent and the core work elsewhere.
        let path = std::path::absolute(path).map_err(|error| {
            Failure::new(WRONG_USE, format!("cannot tell where {} is: {error}", path.display()))
                .hint("name the file by its whole path")
        })?;
        locate::utf8(&path)?;
        command.arg(name).arg(path);
    }
    // Only returns when the program cannot be started again.
    Err(Failure::new(FAILED, format!("cannot start the parent: {}", command.exec()))
        .hint("see that the program `haus` is still in its place"))
}

/// Whether this machine is a host of the plan, when it is said to be one.
fn known_host(house: &House, host: Option<&str>) -> Result<(), Failure> {
    let Some(host) = host.filter(|host| !house.hosts.contains_key(*host)) else { return Ok(()) };
    let names: Vec<&str> = house.hosts.keys().map(haus_model::HostName::as_str).collect();
    let hint = match names.as_slice() {
        [] => "leave --host out: everything of this house runs on the machine in front of you".to_owned(),
        names => format!("choose one with --host: {}", names.join(", ")),
    };
    Err(Failure::new(WRONG_USE, format!("the plan has no host `{host}`")).hint(hint))
}

/// Shows the errors of a plan as they stand on disk.
pub(super) fn show_errors(path: &Path) {
    show(&haus_houseplan::load(path, &DiskFiles), Severity::Error);
}

pub(super) fn show(loaded: &Loaded, least: Severity) {
    let style = Style {
        color: terminal::colour_error(),
        width: terminal::width().unwrap_or(terminal::WIDTH_DEFAULT),
    };
    let shown: Vec<_> = loaded.findings.iter().filter(|finding| finding.severity >= least).cloned().collect();
    if !shown.is_empty() {
        terminal::error(&haus_houseplan::render(&shown, &loaded.sources, style));
        terminal::error("\n");
    }
}

/// Among several stages the only one without hosts: nothing else can be meant for the machine in front of us.
fn the_stage_here(plan: &Plan) -> Option<&House> {
    let mut here = plan.stages.values().filter(|house| house.hosts.is_empty());
    let found = here.next().filter(|_| plan.stages.len() > 1)?;
    here.next().is_none().then_some(found)
}

pub(super) fn stage<'plan>(plan: &'plan Plan, wanted: Option<&str>) -> Result<&'plan House, Failure> {
    let names: Vec<&str> = plan.stages.keys().map(haus_model::StageName::as_str).collect();
    let found = match wanted {
        Some(wanted) => plan.stages.iter().find(|(name, _)| name.as_str() == wanted).map(|(_, house)| house),
        None if names.len() == 1 => plan.stages.values().next(),
        None => None,
    };
    found.ok_or_else(|| {
        let message = match wanted {
            Some(wanted) => format!("the plan has no stage `{wanted}`"),
            None => "the plan has several stages and none was chosen".to_owned(),
        };
        Failure::new(WRONG_USE, message).hint(format!("choose one with --stage: {}", names.join(", ")))
    })
}
