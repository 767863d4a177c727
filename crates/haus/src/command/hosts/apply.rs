//! `haus apply`: makes hosts what the plan wants, or carries out a plan that was kept, exactly.

use super::applying::{Applying, Round, Stop};
use super::outcomes::{Verdict, stays};
use super::page;
use super::secrets::Secrets;
use super::{Meant, Question, confirm, roads, settings, supplies};
use crate::arguments::ApplyHosts;
use crate::exit::{Code, DONE, FINDINGS, Failure, REFUSED, WRONG_USE};
use crate::terminal;
use haus_fleet::{Fleet, SavedPlan, SavedPlanError};
use haus_model::HostName;
use haus_model::change::ChangeSet;
use haus_model::inventory::OpenApply;
use std::path::Path;

/// A plan may show more only when it was applied, such as which commit a tag is once git is there. More than
/// this is a plan that never comes to rest.
const ROUNDS_MAX: u32 = 4;

pub(crate) fn cmd_apply(arguments: &ApplyHosts) -> Result<Code, Failure> {
    if arguments.path.is_file() && !is_plan_file(&arguments.path) {
        return saved(arguments);
    }
    let meant = Meant::load(&arguments.path, &arguments.reach)?;
    let roads = roads(&meant.house, &arguments.reach)?;
    let secrets = Secrets::open(&meant, &arguments.reach)?;
    let (supplies, inputs) = supplies(&meant, &secrets)?;
    let mut fleet = Fleet::new(&meant.house, inputs, &roads, meant.choice(&arguments.reach));
    let stop = Stop::listening(arguments)?;
    let applying = Applying { arguments, roads: &roads, secrets: &secrets, supplies: &supplies, stop };
    let mut earlier: Vec<String> = Vec::new();
    for number in 1..=ROUNDS_MAX {
        let mut inventories = fleet.observe();
        let is_deserted = |host: &HostName, open: &OpenApply| applying.is_deserted(host, open);
        let recovered = fleet.recover(&inventories, &applying.claim(), &is_deserted);
        if !recovered.is_empty() {
            recovered
                .iter()
                .for_each(|(host, outcome)| terminal::error(&settled(host, outcome.as_ref().err())));
            inventories = fleet.observe();
        }
        let planned = fleet.plan(&inventories, &settings(&arguments.only));
        let change_set = &planned.change_set;
        if !arguments.reach.json {
            terminal::out(&page::plan(change_set, terminal::colour_out()));
        }
        if !has_changes(change_set) {
            return Ok(applying.nothing_to_do(change_set));
        }
        confirm_round(&earlier, arguments.yes)?;
        match applying.carry_out(change_set, &Round { number, earlier: &earlier }) {
            Verdict::AllGood(apply) if planned.is_partial => earlier.push(apply),
            Verdict::AllGood(_) => return Ok(DONE),
            Verdict::Code(code) => return Ok(code),
        }
    }
    Err(Failure::new(FINDINGS, format!("after {ROUNDS_MAX} rounds the plan still finds something new"))
        .hint("see `haus plan` for what it finds"))
}

/// Whoever has seen the plan of one round has not seen that of the next.
fn confirm_round(earlier: &[String], yes: bool) -> Result<(), Failure> {
    if earlier.is_empty() {
        return confirm(&Question { words: "carry this out?", otherwise: "nothing was changed" }, yes);
    }
    let otherwise = format!("nothing more was changed; {}", stays(earlier));
    confirm(&Question { words: "carry this out as well?", otherwise: &otherwise }, yes)
}

/// Carries out a plan that was kept, without planning again.
fn saved(arguments: &ApplyHosts) -> Result<Code, Failure> {
    if !arguments.only.is_empty() {
        return Err(Failure::new(WRONG_USE, "--only chooses what is planned, and this plan is made")
            .hint("plan again with --only, or leave it out"));
    }
    let unfit = |error: SavedPlanError| Failure::from_error(WRONG_USE, &error, error.remedy());
    let kept = SavedPlan::read(&arguments.path).map_err(unfit)?;
    if let Some(stage) =
        arguments.reach.stage.as_ref().filter(|stage| *stage != kept.change_set.stage.as_str())
    {
        let message = format!("the plan was made for stage {}, and not for {stage}", kept.change_set.stage);
        return Err(Failure::new(WRONG_USE, message)
            .hint(format!("leave --stage out, or plan again: `haus plan --stage {stage} -o FILE`")));
    }
    let mut reach = arguments.reach.clone();
    reach.stage = Some(kept.change_set.stage.to_string());
    let meant = Meant::load(&kept.root, &reach)?;
    if meant.house.name != kept.change_set.house {
        let message = format!(
            "the plan was made for house {}, and in {} is house {}",
            kept.change_set.house,
            kept.root.display(),
            meant.house.name
        );
        return Err(Failure::new(REFUSED, message).hint("plan again: `haus plan -o FILE`"));
    }
    let roads = roads(&meant.house, &reach)?;
    let change_set = kept.changes_on(meant.hosts.as_ref()).map_err(unfit)?;
    let secrets = Secrets::of_changes(&change_set, &meant, &reach)?;
    if !arguments.reach.json {
        terminal::out(&page::plan(&change_set, terminal::colour_out()));
    }
    let stop = Stop::listening(arguments)?;
    let applying = Applying { arguments, roads: &roads, secrets: &secrets, supplies: &kept.supplies, stop };
    if !has_changes(&change_set) {
        return Ok(applying.nothing_to_do(&change_set));
    }
    confirm_round(&[], arguments.yes)?;
    match applying.carry_out(&change_set, &Round { number: 1, earlier: &[] }) {
        Verdict::AllGood(_) => Ok(DONE),
        Verdict::Code(code) => Ok(code),
    }
}

/// Whether this file is a plan file of a house, and not a plan of changes. What cannot be read is told by who
/// reads it.
fn is_plan_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn has_changes(change_set: &ChangeSet) -> bool {
    change_set.hosts.values().any(|host| !host.changes.is_empty() && host.blocked.is_empty())
}

fn settled(host: &HostName, fault: Option<&haus_model::Finding>) -> String {
    match fault {
        None => format!("{host}: an earlier apply had not ended there; what was under way is in order\n"),
        Some(finding) => page::finding(finding, terminal::colour_error()),
    }
}
