//! What `haus apply` shows while hosts are worked on, and the one outcome for each of them at the end.

use super::page;
use super::secrets::Secrets;
use super::{now, owner};
use crate::arguments::ApplyHosts;
use crate::command::check::plural;
use crate::exit::{Code, DONE, FAILED, FINDINGS, Failure};
use crate::terminal::{self, harmless};
use haus_acts::wire::{Claim, Progress};
use haus_apply::apply::{Options, Surroundings, WhenFailed, WhenStopped};
use haus_apply::clock::{Cancel, SystemClock};
use haus_apply::outcome::{Event, Fault, HostOutcome};
use haus_apply::patience::Patience;
use haus_apply::sessions::Roads;
use haus_fleet::Supplies;
use haus_model::HostName;
use haus_model::change::{ChangeSet, HostPlan};
use haus_model::inventory::OpenApply;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Seconds after which a guarded change takes itself back unless it was confirmed.
const GUARD_S: u32 = 60;

/// How it ended.
pub(super) enum Verdict {
    /// Every host is as the plan wants it.
    AllGood,
    /// The exit code says how it ended.
    Code(Code),
}

/// Everything with which a plan is carried out.
pub(super) struct Applying<'a> {
    pub arguments: &'a ApplyHosts,
    pub roads: &'a Roads,
    pub secrets: &'a Secrets,
    pub supplies: &'a Supplies,
}

impl Applying<'_> {
    /// Who, and why.
    pub(super) fn claim(&self) -> Claim {
        Claim { owner: owner(), reason: self.arguments.reason.clone() }
    }

    /// Whether an apply that still lives on a host was begun here by a `haus` that is gone. It is told, since
    /// its act under way is waited for.
    pub(super) fn is_deserted(&self, host: &HostName, open: &OpenApply) -> bool {
        let is_gone = open.owner == owner() && beginner(&open.id).is_some_and(|pid| !is_haus(pid));
        if is_gone && open.alive {
            let under_way = open.under_way.as_ref().map_or_else(String::new, |under_way| {
                format!("; waiting for what is under way there: {under_way}")
            });
            terminal::error(&format!("{host}: who began the apply of {} is gone{under_way}\n", open.began));
        }
        is_gone
    }

    /// The exit code of an apply that has nothing to do: a blocked host is an open item.
    pub(super) fn nothing_to_do(&self, change_set: &ChangeSet) -> Code {
        if self.arguments.reach.json {
            terminal::json(&as_json(change_set, &BTreeMap::new()));
        }
        let is_blocked = change_set.hosts.values().any(|host| !host.blocked.is_empty());
        if is_blocked { FINDINGS } else { DONE }
    }

    /// Carries it out and tells about it.
    pub(super) fn carry_out(&self, change_set: &ChangeSet) -> Result<Verdict, Failure> {
        let cancel = Arc::new(Cancel::default());
        on_interrupt(&cancel)?;
        let clock = SystemClock::default();
        let is_quiet = self.arguments.reach.json;
        let tell = |host: &HostName, event: Event| {
            if !is_quiet && let Some(line) = line(change_set, host, &event) {
                terminal::line(&line);
            }
        };
        let around = Surroundings {
            sessions: self.roads,
            secrets: self.secrets,
            blobs: self.supplies,
            clock: &clock,
            cancel: &cancel,
            events: &tell,
        };
        let outcomes = haus_fleet::carry_out(change_set, &self.options(change_set), around);
        if is_quiet {
            terminal::json(&as_json(change_set, &outcomes));
        } else {
            terminal::out(&report(&outcomes));
        }
        Ok(verdict(change_set, &outcomes))
    }

    fn options(&self, change_set: &ChangeSet) -> Options {
        // Blocked hosts have nothing that may be carried out; they are told by the plan.
        let able: BTreeSet<HostName> = change_set
            .hosts
            .iter()
            .filter(|(_, host)| host.blocked.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        Options {
            apply: apply_id(),
            claim: self.claim(),
            at_once: if self.arguments.serial { 1 } else { self.arguments.reach.parallel.max(1) },
            hosts: Some(able),
            guard_s: GUARD_S,
            when_stopped: WhenStopped::default(),
            when_failed: if self.arguments.serial { WhenFailed::BeginNoOther } else { WhenFailed::GoOn },
            patience: Patience::default(),
        }
    }
}

/// Later ids sort behind earlier ones: the time, then what tells two of the same second apart.
fn apply_id() -> String {
    let time: String = now().to_string().chars().filter(char::is_ascii_alphanumeric).take(15).collect();
    format!("{time}-{:x}", std::process::id())
}

/// The process that began an apply with such an id.
fn beginner(apply: &str) -> Option<u32> {
    u32::from_str_radix(apply.rsplit_once('-')?.1, 16).ok()
}

/// Whether this process is one like us. The number of one that is gone may belong to anything by now.
fn is_haus(pid: u32) -> bool {
    let program = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    program(&pid.to_string()).is_some_and(|program_of| Some(program_of) == program("self"))
}

/// The first Ctrl-C lets the act under way end; whoever wants more ends the process.
fn on_interrupt(cancel: &Arc<Cancel>) -> Result<(), Failure> {
    let wish = Arc::clone(cancel);
    crate::interrupt::on_first(move || {
        terminal::error("\nstopping when the act under way is done; what was done is taken back\n");
        wish.wish();
    })
    .map_err(|error| Failure::from_error(FAILED, &error, "see the limits of this account (`ulimit -a`)"))
}

/// What is worth a line while it goes on.
fn line(change_set: &ChangeSet, host: &HostName, event: &Event) -> Option<String> {
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
fn report(outcomes: &BTreeMap<HostName, HostOutcome>) -> String {
    let mut text = String::from("\n");
    for (host, outcome) in outcomes {
        text.push_str(&match outcome {
            HostOutcome::Done { changes } => {
                format!("{host}: done, {}\n", plural(*changes as usize, "change"))
            }
            HostOutcome::Unchanged => format!("{host}: as it should be\n"),
            HostOutcome::Refused(fault) => format!("{host}: refused, nothing was changed\n{}", told(fault)),
            HostOutcome::RolledBack { fault, left } => {
                let mut text = format!("{host}: failed and taken back\n{}", told(fault));
                for left in left {
                    text.push_str(&format!("  not as it was: {}: {}\n", left.resource, harmless(&left.why)));
                }
                text
            }
            HostOutcome::Stopped { done, of } => {
                format!("{host}: stopped after {done} of {of} changes; the next apply goes on from there\n")
            }
            HostOutcome::Unknown { fault, look_at } => {
                format!("{host}: FAILED, STATE UNKNOWN\n{}  look at: {}\n", told(fault), harmless(look_at))
            }
            HostOutcome::NotTried { because } => format!("{host}: not begun: {}\n", harmless(because)),
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

fn verdict(change_set: &ChangeSet, outcomes: &BTreeMap<HostName, HostOutcome>) -> Verdict {
    let worst = outcomes.values().map(HostOutcome::exit_code).max().unwrap_or(0);
    let is_blocked = change_set.hosts.values().any(|host| !host.blocked.is_empty());
    match (worst, is_blocked) {
        (0, false) => Verdict::AllGood,
        (0, true) => Verdict::Code(FINDINGS),
        (code, _) => Verdict::Code(Code(code)),
    }
}

fn as_json(change_set: &ChangeSet, outcomes: &BTreeMap<HostName, HostOutcome>) -> serde_json::Value {
    let fault = |fault: &Fault| serde_json::json!({ "finding": fault.finding, "resource": fault.resource, "evidence": fault.evidence });
    let one = |outcome: &HostOutcome| match outcome {
        HostOutcome::Done { changes } => serde_json::json!({ "outcome": "done", "changes": changes }),
        HostOutcome::Unchanged => serde_json::json!({ "outcome": "unchanged" }),
        HostOutcome::Refused(why) => serde_json::json!({ "outcome": "refused", "fault": fault(why) }),
        HostOutcome::RolledBack { fault: why, left } => {
            serde_json::json!({ "outcome": "rolled-back", "fault": fault(why), "left": left })
        }
        HostOutcome::Stopped { done, of } => {
            serde_json::json!({ "outcome": "stopped", "done": done, "of": of })
        }
        HostOutcome::Unknown { fault: why, look_at } => {
            serde_json::json!({ "outcome": "unknown", "fault": fault(why), "look_at": look_at })
        }
        HostOutcome::NotTried { because } => {
            serde_json::json!({ "outcome": "not-tried", "because": because })
        }
    };
    // Nobody was sent to a host on which nothing is to be done, or nothing may be.
    let of_host = |host: &HostName, plan: &HostPlan| match plan.blocked.as_slice() {
        [] => one(outcomes.get(host).unwrap_or(&HostOutcome::Unchanged)),
        all => serde_json::json!({ "outcome": "refused", "findings": all }),
    };
    let hosts: BTreeMap<&str, serde_json::Value> =
        change_set.hosts.iter().map(|(host, plan)| (host.as_str(), of_host(host, plan))).collect();
    serde_json::json!({ "plan": change_set.hash, "hosts": hosts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let id = apply_id();
        let (time, process) = id.split_once('-').unwrap();
        assert!(time.len() == 15 && time.contains('T') && !process.is_empty(), "{id}");
    }
}
