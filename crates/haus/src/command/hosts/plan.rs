//! `haus plan`: what an apply would do, exactly, and nothing is changed.

use super::page;
use super::secrets::Secrets;
use super::{Meant, now, planned, roads, supplies};
use crate::arguments::PlanHosts;
use crate::exit::{Code, DONE, FAILED, FINDINGS, Failure};
use crate::terminal;
use haus_fleet::SavedPlan;
use haus_model::change::{CHANGE_SET_FORMAT, ChangeSet};

pub(crate) fn cmd_plan(arguments: &PlanHosts) -> Result<Code, Failure> {
    let meant = Meant::load(&arguments.path, &arguments.reach)?;
    let roads = roads(&meant.house, &arguments.reach)?;
    let secrets = Secrets::open(&meant, &arguments.reach)?;
    let (supplies, inputs) = supplies(&meant, &secrets)?;
    let (_, planned) = planned(&meant, &arguments.reach, &roads, inputs, &arguments.only);
    let change_set = planned.change_set;
    if arguments.reach.json {
        terminal::json(&change_set);
    } else {
        terminal::out(&page::plan(&change_set, terminal::colour_out()));
        if planned.is_partial {
            terminal::line("more shows only when this was applied; `haus apply` goes on by itself then");
        }
    }
    let code = code(&change_set);
    if let Some(path) = &arguments.output {
        let saved =
            SavedPlan { haus_plan: CHANGE_SET_FORMAT, made: now(), root: meant.root, change_set, supplies };
        saved.write(path).map_err(|error| Failure::from_error(FAILED, &error, error.remedy()))?;
        if !arguments.reach.json {
            terminal::line(&format!("kept in {}: carry it out with `haus apply {0}`", path.display()));
        }
    }
    Ok(code)
}

/// 0 when there is nothing to do, 1 when there is, also when a host may not be changed.
fn code(change_set: &ChangeSet) -> Code {
    let is_quiet = change_set.hosts.values().all(|host| host.changes.is_empty() && host.blocked.is_empty());
    if is_quiet { DONE } else { FINDINGS }
}
