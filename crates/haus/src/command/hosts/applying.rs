//! How `haus apply` carries a plan out: with what, as which apply, and what Ctrl-C means meanwhile. What is
//! told of it is in `outcomes`.

use super::apply_id::{ApplyId, beginner};
use super::outcomes::{Verdict, as_json, line, report, stays, verdict};
use super::secrets::Secrets;
use super::{now, owner};
use crate::arguments::ApplyHosts;
use crate::exit::{Code, DONE, FAILED, FINDINGS, Failure};
use crate::interrupt::{Heard, on_each};
use crate::terminal;
use haus_acts::wire::Claim;
use haus_apply::apply::{Options, Surroundings, WhenFailed, WhenStopped};
use haus_apply::clock::{Cancel, SystemClock};
use haus_apply::outcome::Event;
use haus_apply::patience::Patience;
use haus_apply::sessions::Roads;
use haus_fleet::Supplies;
use haus_model::HostName;
use haus_model::change::ChangeSet;
use haus_model::inventory::OpenApply;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Seconds after which a guarded change takes itself back unless it was confirmed.
const GUARD_S: u32 = 60;

/// Everything with which a plan is carried out.
pub(super) struct Applying<'a> {
    pub arguments: &'a ApplyHosts,
    pub roads: &'a Roads,
    pub secrets: &'a Secrets,
    pub supplies: &'a Supplies,
    pub stop: Arc<Stop>,
}

/// One of the plans that an apply carries out, each of which may show the next one.
pub(super) struct Round<'a> {
    /// From 1.
    pub number: u32,
    /// The ids of the rounds before it, which are done.
    pub earlier: &'a [String],
}

/// What Ctrl-C means at the moment.
#[derive(Debug, Default)]
pub(super) struct Stop {
    cancel: Cancel,
    /// Whether hosts are changed.
    is_under_way: AtomicBool,
}

impl Stop {
    /// Listens to Ctrl-C from here on.
    pub(super) fn listening(arguments: &ApplyHosts) -> Result<Arc<Stop>, Failure> {
        let stop = Arc::new(Stop::default());
        let heard = Arc::clone(&stop);
        let becomes = match when_stopped(arguments) {
            WhenStopped::TakeBack => "what was done is taken back",
            WhenStopped::Leave => "what was done stays, and the next apply goes on from there",
        };
        on_each(move || heard.hear(becomes)).map_err(|error| {
            Failure::from_error(FAILED, &error, "see the limits of this account (`ulimit -a`)")
        })?;
        Ok(stop)
    }

    /// The first one lets the act under way end; whoever wants more ends the process.
    fn hear(&self, becomes: &str) -> Heard {
        if !self.is_under_way.load(Ordering::Acquire) || self.cancel.is_wished() {
            return Heard::EndNow;
        }
        self.cancel.wish();
        terminal::error(&format!("\nstopping when the act under way is done; {becomes}\n"));
        Heard::GoOn
    }
}

fn when_stopped(arguments: &ApplyHosts) -> WhenStopped {
    if arguments.keep_done { WhenStopped::Leave } else { WhenStopped::TakeBack }
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

    /// Carries it out and tells about it. When all is good, the id of this apply is answered.
    pub(super) fn carry_out(&self, change_set: &ChangeSet, round: &Round<'_>) -> Verdict {
        let options = self.options(change_set, round.number);
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
            cancel: &self.stop.cancel,
            events: &tell,
        };
        self.stop.is_under_way.store(true, Ordering::Release);
        let outcomes = haus_fleet::carry_out(change_set, &options, around);
        self.stop.is_under_way.store(false, Ordering::Release);
        let verdict = verdict(&options.apply, change_set, &outcomes);
        if is_quiet {
            let mut told = as_json(change_set, &outcomes);
            told["apply"] = options.apply.into();
            told["earlier"] = round.earlier.into();
            terminal::json(&told);
        } else {
            terminal::out(&report(&outcomes));
            if let (Verdict::Code(_), false) = (&verdict, round.earlier.is_empty()) {
                terminal::line(&stays(round.earlier));
            }
        }
        verdict
    }

    fn options(&self, change_set: &ChangeSet, round: u32) -> Options {
        // Blocked hosts have nothing that may be carried out; they are told by the plan.
        let able: BTreeSet<HostName> = change_set
            .hosts
            .iter()
            .filter(|(_, host)| host.blocked.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        Options {
            apply: ApplyId { began: now(), round, pid: std::process::id() }.to_string(),
            claim: self.claim(),
            at_once: if self.arguments.serial { 1 } else { self.arguments.reach.parallel.max(1) },
            hosts: Some(able),
            guard_s: GUARD_S,
            when_stopped: when_stopped(self.arguments),
            when_failed: if self.arguments.serial { WhenFailed::BeginNoOther } else { WhenFailed::GoOn },
            patience: Patience::default(),
        }
    }
}

/// Whether this process is one like us. The number of one that is gone may belong to anything by now.
fn is_haus(pid: u32) -> bool {
    let program = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    program(&pid.to_string()).is_some_and(|program_of| Some(program_of) == program("self"))
}
