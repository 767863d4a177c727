//! `haus apply`: makes hosts what the plan wants, or carries out a plan that was kept, exactly.

use super::applying::{Applying, Verdict};
use super::page;
use super::secrets::Secrets;
use super::{Meant, confirm, roads, settings, supplies};
use crate::arguments::ApplyHosts;
use crate::exit::{Code, DONE, FINDINGS, Failure, REFUSED};
use crate::terminal;
use haus_fleet::{Fleet, SavedPlan};
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
    let applying = Applying { arguments, roads: &roads, secrets: &secrets, supplies: &supplies };
    for round in 1..=ROUNDS_MAX {
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
        if round == 1 {
            confirm("carry this out?", arguments.yes)?;
        }
        let verdict = applying.carry_out(change_set)?;
        match verdict {
            Verdict::AllGood if planned.is_partial => {}
            Verdict::AllGood => return Ok(DONE),
            Verdict::Code(code) => return Ok(code),
        }
    }
    Err(Failure::new(FINDINGS, format!("after {ROUNDS_MAX} rounds the plan still finds something new"))
        .hint("see `haus plan` for what it finds"))
}

/// Carries out a plan that was kept, without planning again.
fn saved(arguments: &ApplyHosts) -> Result<Code, Failure> {
    if !arguments.only.is_empty() {
        return Err(Failure::new(
            crate::exit::WRONG_USE,
            "--only chooses what is planned, and this plan is made",
        )
        .hint("plan again with --only, or leave it out"));
    }
    let kept = SavedPlan::read(&arguments.path)
        .map_err(|error| Failure::from_error(crate::exit::WRONG_USE, &error, error.remedy()))?;
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
    let secrets = Secrets::of_changes(&kept.change_set, &meant, &reach)?;
    if !arguments.reach.json {
        terminal::out(&page::plan(&kept.change_set, terminal::colour_out()));
    }
    let applying = Applying { arguments, roads: &roads, secrets: &secrets, supplies: &kept.supplies };
    if !has_changes(&kept.change_set) {
        return Ok(applying.nothing_to_do(&kept.change_set));
    }
    confirm("carry this out?", arguments.yes)?;
    match applying.carry_out(&kept.change_set)? {
        Verdict::AllGood => Ok(DONE),
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
