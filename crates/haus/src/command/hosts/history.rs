//! `haus history`: what was applied on each host, by whom, why and with which outcome, as the hosts remember
//! it.

use super::{Meant, page, roads};
use crate::arguments::History;
use crate::exit::{Code, DONE, FINDINGS, Failure};
use crate::terminal::{self, harmless};
use haus_acts::wire::{Outcome, PastApply};
use haus_apply::outcome::Fault;
use haus_apply::sessions::Sessions as _;
use haus_apply::transport::Purpose;
use haus_model::HostName;
use std::collections::BTreeMap;
use std::fmt::Write;

pub(crate) fn cmd_history(arguments: &History) -> Result<Code, Failure> {
    let meant = Meant::load(&arguments.path, &arguments.reach)?;
    let roads = roads(&meant.house, &arguments.reach)?;
    let last = u32::try_from(arguments.lines).unwrap_or(u32::MAX);
    let mut told: BTreeMap<HostName, Vec<PastApply>> = BTreeMap::new();
    let mut silent = Vec::new();
    for target in meant.targets() {
        let past = roads.open(&target, Purpose::Work).and_then(|mut session| session.history(last));
        match past {
            Ok(past) => {
                told.insert(target.host, past);
            }
            Err(error) => silent.push(Fault::of(&target.host, &error)),
        }
    }
    if arguments.reach.json {
        terminal::json(&told);
    } else {
        told.iter().for_each(|(host, past)| terminal::out(&text(host, past)));
    }
    for fault in &silent {
        terminal::error(&page::finding(&fault.finding, terminal::colour_error()));
    }
    Ok(if silent.is_empty() { DONE } else { FINDINGS })
}

fn text(host: &HostName, past: &[PastApply]) -> String {
    let mut text = format!("{host}\n");
    if past.is_empty() {
        text.push_str("  nothing was applied here\n");
    }
    for apply in past {
        let reason = apply.claim.reason.as_ref().map(|reason| format!(" · {}", harmless(reason)));
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "  {}  {}  {}/{} changes  {}  by {}{}  plan {}",
            apply.began,
            harmless(&apply.apply),
            apply.done,
            apply.of,
            word(&apply.outcome),
            harmless(&apply.claim.owner),
            reason.unwrap_or_default(),
            apply.plan.short(),
        );
        if let Some(fault) = &apply.fault {
            let _ = writeln!(text, "      {}", harmless(fault));
        }
    }
    text
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Open => "not ended",
        Outcome::Committed => "done",
        Outcome::Stopped => "stopped early, what was done stays",
        Outcome::Interrupted => "interrupted, what was done stays",
        Outcome::RolledBack => "rolled back",
        Outcome::Reverted => "taken back by the host, since nobody confirmed it",
    }
}
