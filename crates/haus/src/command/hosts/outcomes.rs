//! What is told of an apply: a line while it goes on, and the one outcome of each host at the end, for people
//! and for programs. It knows nothing of how it is carried out.

use super::page;
use crate::command::check::plural;
use crate::exit::{Code, FINDINGS};
use crate::terminal::{self, harmless};
use haus_acts::wire::{Left, Progress};
use haus_apply::outcome::{Event, Fault, HostOutcome};
use haus_model::HostName;
use haus_model::change::{ChangeSet, HostPlan};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How it ended.
pub(super) enum Verdict {
    /// Every host is as the plan wants it, by the apply with this id.
    AllGood(String),
    /// The exit code says how it ended.
    Code(Code),
}

/// What is worth a line while it goes on.
pub(super) fn line(change_set: &ChangeSet, host: &HostName, event: &Event) -> Option<String> {
    let text = match event {
        Event::Connecting => "connecting".to_owned(),
        Event::Recovered(_) => {
            "an earlier apply had not ended here; what was under way is in order".to_owned()
        }
        Event::Sending { bytes } => format!("sending {} KiB", bytes.div_ceil(1_024)),
        Event::Acting { number, of, resource: _ } => {
            let change =
                change_set.hosts.get(host)?.changes.iter().find(|change| change.number == *number)?;
            format!("[{number}/{of}] {}", page::heading(change))
        }
        Event::Progress(Progress::Run(argv)) => format!("  $ {}", page::command_line(argv)),
        Event::Progress(Progress::Step(step)) => format!("  · {}", harmless(step)),
        Event::Progress(Progress::Line(line)) => format!("    {}", harmless(line)),
        Event::Acted { number: _, changed: _, notes, took_ms } if *took_ms >= 2_000 || !notes.is_empty() => {
            let notes: String = notes.iter().map(|note| format!("; {}", harmless(note))).collect();
            format!("  done in {}.{} s{notes}", took_ms / 1_000, took_ms % 1_000 / 100)
        }
        Event::Acted { .. } => return None,
        Event::Confirming => "opening a new connection, to prove that we are not locked out".to_owned(),
        Event::Confirmed => "confirmed".to_owned(),
        Event::TakingBack(fault) => {
            format!("FAILED: {}\n{host}: taking everything back", fault.finding.message)
        }
        Event::Searching { at_most_s } => {
            format!("the connection is lost; looking for the host for up to {at_most_s} s")
        }
        Event::Ended(_) => return None,
    };
    Some(format!("{host}: {text}"))
}

/// One outcome per host.
pub(super) fn report(outcomes: &BTreeMap<HostName, HostOutcome>) -> String {
    let mut text = String::from("\n");
    for (host, outcome) in outcomes {
        text.push_str(&match outcome {
            HostOutcome::Done { changes } => {
                format!("{host}: done, {}\n", plural(*changes as usize, "change"))
            }
            HostOutcome::Unchanged => format!("{host}: as it should be\n"),
            HostOutcome::Refused(fault) => format!("{host}: refused, nothing was changed\n{}", told(fault)),
            HostOutcome::RolledBack { fault, left } => {
                format!("{host}: failed and taken back\n{}{}", told(fault), not_as_it_was(left))
            }
            HostOutcome::Stopped { done, of } => {
                format!("{host}: stopped after {done} of {of} changes; the next apply goes on from there\n")
            }
            HostOutcome::Unknown { fault, look_at } => {
                format!("{host}: FAILED, STATE UNKNOWN\n{}  look at: {}\n", told(fault), harmless(look_at))
            }
            HostOutcome::NotTried { because, remedy } => {
                format!("{host}: not begun: {}\n    help: {}\n", harmless(because), harmless(remedy))
            }
        });
    }
    text
}

/// A fault with what the host showed of it.
pub(super) fn told(fault: &Fault) -> String {
    let mut text = page::finding(&fault.finding, terminal::colour_out());
    for line in &fault.evidence {
        text.push_str(&format!("    | {}\n", harmless(line)));
    }
    text
}

/// What is left of an apply that was taken back, and what to do with it.
pub(super) fn not_as_it_was(left: &[Left]) -> String {
    let line = |left: &Left| format!("  not as it was: {}: {}\n", left.resource, harmless(&left.why));
    let mut text: String = left.iter().map(line).collect();
    if !left.is_empty() {
        text.push_str(
            "    help: look at these on the host and mend them by hand, or let `haus apply` make them what the plan says\n",
        );
    }
    text
}

/// What stays of the rounds before the one that failed: each is an apply of its own. Empty when there were
/// none.
pub(super) fn stays(earlier: &[String]) -> String {
    if earlier.is_empty() {
        return String::new();
    }
    let word = if earlier.len() == 1 { "apply" } else { "applies" };
    format!(
        "what the rounds before it did stays ({word} {}); `haus rollback` takes back one apply of a host at a time, \
         the latest first",
        earlier.join(", ")
    )
}

/// How the hosts ended, all together.
pub(super) fn verdict(
    apply: &str,
    change_set: &ChangeSet,
    outcomes: &BTreeMap<HostName, HostOutcome>,
) -> Verdict {
    let worst = outcomes.values().map(HostOutcome::exit_code).max().unwrap_or(0);
    let is_blocked = change_set.hosts.values().any(|host| !host.blocked.is_empty());
    match (worst, is_blocked) {
        (0, false) => Verdict::AllGood(apply.to_owned()),
        (0, true) => Verdict::Code(FINDINGS),
        (code, _) => Verdict::Code(Code(code)),
    }
}

/// A fault for programs.
pub(super) fn fault(fault: &Fault) -> Value {
    json!({ "finding": fault.finding, "resource": fault.resource, "evidence": fault.evidence })
}

/// The outcomes for programs.
pub(super) fn as_json(change_set: &ChangeSet, outcomes: &BTreeMap<HostName, HostOutcome>) -> Value {
    let one = |outcome: &HostOutcome| match outcome {
        HostOutcome::Done { changes } => json!({ "outcome": "done", "changes": changes }),
        HostOutcome::Unchanged => json!({ "outcome": "unchanged" }),
        HostOutcome::Refused(why) => json!({ "outcome": "refused", "fault": fault(why) }),
        HostOutcome::RolledBack { fault: why, left } => {
            json!({ "outcome": "rolled-back", "fault": fault(why), "left": left })
        }
        HostOutcome::Stopped { done, of } => {
            json!({ "outcome": "stopped", "done": done, "of": of })
        }
        HostOutcome::Unknown { fault: why, look_at } => {
            json!({ "outcome": "unknown", "fault": fault(why), "look_at": look_at })
        }
        HostOutcome::NotTried { because, remedy } => {
            json!({ "outcome": "not-tried", "because": because, "remedy": remedy })
        }
    };
    // Nobody was sent to a host on which nothing is to be done, or nothing may be.
    let of_host = |host: &HostName, plan: &HostPlan| match plan.blocked.as_slice() {
        [] => one(outcomes.get(host).unwrap_or(&HostOutcome::Unchanged)),
        all => json!({ "outcome": "refused", "findings": all }),
    };
    let hosts: BTreeMap<&str, Value> =
        change_set.hosts.iter().map(|(host, plan)| (host.as_str(), of_host(host, plan))).collect();
    json!({ "plan": change_set.hash, "hosts": hosts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::host_code::HostCode;
    use haus_model::resource::{Kind, ResourceId};

    fn check(outcome: HostOutcome, expected: &str) {
        assert_eq!(
            report(&BTreeMap::from([("web".parse().unwrap(), outcome)])),
            format!("\nweb: {expected}\n")
        );
    }

    #[test]
    fn whatever_is_not_well_says_what_to_do() {
        let finding = HostCode::ActFailed.finding("host web", "write it", "make room");
        let fault = Box::new(Fault { finding, resource: None, evidence: Vec::new() });
        let left = vec![Left { resource: ResourceId::new(Kind::File, "/etc/a"), why: "busy".to_owned() }];
        check(
            HostOutcome::RolledBack { fault, left },
            "failed and taken back\n  error[HH0213]: host web: write it\n    help: make room\n  \
             not as it was: file:/etc/a: busy\n    help: look at these on the host and mend them by hand, or \
             let `haus apply` make them what the plan says",
        );
        let (because, remedy) = ("it needs host db".to_owned(), "mend db".to_owned());
        check(HostOutcome::NotTried { because, remedy }, "not begun: it needs host db\n    help: mend db");
    }

    #[test]
    fn what_earlier_rounds_did_stays_and_is_named() {
        assert_eq!(stays(&[]), "");
        let told = stays(&["a-1".to_owned(), "a-2".to_owned()]);
        assert!(told.contains("stays (applies a-1, a-2); `haus rollback` takes back one"), "{told}");
    }
}
