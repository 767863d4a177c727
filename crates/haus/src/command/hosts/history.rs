//! `haus history`: what was applied on each host, by whom, why and with which outcome, as the hosts remember
//! it.

use super::{Meant, outcomes, page, roads};
use crate::arguments::History;
use crate::exit::{Code, DONE, FINDINGS, Failure};
use crate::terminal::{self, harmless};
use haus_acts::wire::{Outcome, PastApply};
use haus_apply::outcome::Fault;
use haus_apply::sessions::Sessions as _;
use haus_apply::transport::Purpose;
use haus_model::HostName;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

pub(crate) fn cmd_history(arguments: &History) -> Result<Code, Failure> {
    let meant = Meant::load(&arguments.path, &arguments.reach)?;
    let roads = roads(&meant.house, &arguments.reach)?;
    let last = u32::try_from(arguments.lines).unwrap_or(u32::MAX);
    let mut told: BTreeMap<HostName, Result<Vec<PastApply>, Box<Fault>>> = BTreeMap::new();
    for target in meant.targets() {
        let past = roads.open(&target, Purpose::Work).and_then(|mut session| session.history(last));
        let past = past.map_err(|error| Fault::of(&target.host, &error));
        told.insert(target.host, past);
    }
    if arguments.reach.json {
        let values: BTreeMap<&str, Value> =
            told.iter().map(|(host, past)| (host.as_str(), value(past))).collect();
        terminal::json(&values);
    } else {
        told.iter()
            .filter_map(|(host, past)| Some((host, past.as_ref().ok()?)))
            .for_each(|(host, past)| terminal::out(&text(host, past)));
    }
    let silent: Vec<&Fault> = told.values().filter_map(|past| Some(past.as_ref().err()?.as_ref())).collect();
    for fault in &silent {
        terminal::error(&page::finding(&fault.finding, terminal::colour_error()));
    }
    Ok(if silent.is_empty() { DONE } else { FINDINGS })
}

/// The applies of a host for programs, or why it did not tell them.
fn value(past: &Result<Vec<PastApply>, Box<Fault>>) -> Value {
    match past {
        Ok(past) => serde_json::to_value(past).expect("a past apply is plain data"),
        Err(fault) => json!({ "fault": outcomes::fault(fault) }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::host_code::HostCode;

    #[test]
    fn a_host_that_did_not_answer_is_told_to_programs_with_its_remedy() {
        let finding = HostCode::Unreachable.finding("host web", "reach it", "see that it runs");
        let told = value(&Err(Box::new(Fault { finding, resource: None, evidence: Vec::new() })));
        let finding = &told["fault"]["finding"];
        assert_eq!((&finding["code"], &finding["remedy"]), (&json!("HH0203"), &json!("see that it runs")));
        assert_eq!(value(&Ok(Vec::new())), json!([]));
    }
}
