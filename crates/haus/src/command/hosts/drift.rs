//! `haus drift`: what is no longer as an apply made it, without the new wishes of the plan.

use super::page;
use super::secrets::Secrets;
use super::{Meant, planned, roads, supplies};
use crate::arguments::Drift;
use crate::command::check::plural;
use crate::exit::{Code, DONE, FINDINGS, Failure};
use crate::terminal;
use haus_fleet::Planned;
use haus_planner::Cause;

pub(crate) fn cmd_drift(arguments: &Drift) -> Result<Code, Failure> {
    let meant = Meant::load(&arguments.path, &arguments.reach)?;
    let roads = roads(&meant.house, &arguments.reach)?;
    let secrets = Secrets::open(&meant, &arguments.reach)?;
    let (_, inputs) = supplies(&meant, &secrets)?;
    let (_, mut planned) = planned(&meant, &arguments.reach, &roads, inputs, &[]);
    let wishes = keep_drift(&mut planned);
    let blocked = planned.change_set.hosts.values().any(|host| !host.blocked.is_empty());
    let drifted: usize = planned.change_set.hosts.values().map(|host| host.changes.len()).sum();
    if arguments.reach.json {
        terminal::json(&planned.change_set);
    } else {
        terminal::out(&text(&planned, drifted, wishes));
    }
    Ok(if drifted == 0 && !blocked { DONE } else { FINDINGS })
}

/// Leaves only what is no longer as we made it, or what an earlier apply owes; answers how many new wishes
/// there were.
fn keep_drift(planned: &mut Planned) -> usize {
    let causes = &planned.causes;
    let mut wishes = 0;
    for (host, plan) in &mut planned.change_set.hosts {
        let before = plan.changes.len();
        let cause = |number: u32| causes.get(host).and_then(|causes| causes.get(&number)).copied();
        plan.changes.retain(|change| match cause(change.number) {
            Some(Cause::Drift | Cause::Owed) => true,
            Some(Cause::Wish) | None => false,
        });
        wishes += before - plan.changes.len();
    }
    wishes
}

fn text(planned: &Planned, drifted: usize, wishes: usize) -> String {
    let colour = terminal::colour_out();
    let mut text = String::new();
    for (name, host) in &planned.change_set.hosts {
        if host.changes.is_empty() && host.blocked.is_empty() {
            text.push_str(&format!("{name} · as it was made\n"));
            continue;
        }
        text.push_str(&format!("{name}\n"));
        host.blocked.iter().for_each(|finding| text.push_str(&page::finding(finding, colour)));
        host.changes.iter().for_each(|change| text.push_str(&page::change(change, colour)));
    }
    let blocked = planned.change_set.hosts.values().filter(|host| !host.blocked.is_empty()).count();
    let mut words = Vec::new();
    match (drifted, blocked) {
        (0, 0) => words.push("no drift".to_owned()),
        // Nobody knows of a host that could not be looked at.
        (0, _) => {}
        (_, _) => words.push(format!("{} drifted", plural(drifted, "resource"))),
    }
    if blocked > 0 {
        words.push(format!("{} could not be looked at", plural(blocked, "host")));
    }
    if wishes > 0 {
        words.push(format!("the plan wants {} besides, see `haus plan`", plural(wishes, "new thing")));
    }
    text.push_str(&words.join(" · "));
    text.push('\n');
    text
}
