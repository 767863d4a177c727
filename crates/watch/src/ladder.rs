//! The recovery ladder of a service: restarts, then the last good definition, then stop and alert.
//!
//! The first step is [`crate::recover`]; this one begins when it gave up. A definition is a
//! fingerprint here: what it says and how it is brought back is the caller's. The memory is kept
//! over restarts of the core, so time stamps are wall clock.

use haus_model::unit::format_duration;
use haus_model::{ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A definition that was healthy for so long without a break is a good one.
pub const GOOD_AFTER: Duration = Duration::from_secs(60);

/// The span in which redeploys are counted.
pub const BUDGET_SPAN: Duration = Duration::from_secs(24 * 3_600);

/// Redeploys of one service that are remembered; more distinct bad definitions in a day are no accident.
pub const REDEPLOYS_MAX: usize = 32;

/// The next step up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run this definition again, the last good one.
    Redeploy {
        /// Which.
        fingerprint: String,
    },
    /// Nothing more is tried: leave it stopped and tell somebody.
    StopAndAlert {
        /// Why there is no other step: `the definition that runs is the last good one`.
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    fingerprint: String,
    healthy_since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Redeploy {
    at: Timestamp,
    /// The definition that was left.
    from: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// What is healthy at present.
    healthy: Option<Run>,
    last_good: Option<String>,
    /// Within [`BUDGET_SPAN`], oldest first.
    redeploys: Vec<Redeploy>,
}

/// The ladders of all services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    redeploys_max: u32,
    services: BTreeMap<ServiceName, Memory>,
}

impl Default for Ladder {
    fn default() -> Self {
        Ladder::new(1)
    }
}

impl Ladder {
    /// Ladders on which each definition is left at most `redeploys_max` times in [`BUDGET_SPAN`]; 0 switches
    /// the second step off.
    pub fn new(redeploys_max: u32) -> Ladder {
        Ladder { redeploys_max, services: BTreeMap::new() }
    }

    /// Changes the budget; what was spent stays spent.
    pub fn set_redeploys_max(&mut self, redeploys_max: u32) {
        self.redeploys_max = redeploys_max;
    }

    /// All of a service is healthy with this definition; may be told any number of times.
    pub fn handle_healthy(&mut self, now: Timestamp, service: &ServiceName, fingerprint: &str) {
        let memory = self.services.entry(service.clone()).or_default();
        memory.promote(now);
        if memory.healthy.as_ref().is_none_or(|run| run.fingerprint != fingerprint) {
            memory.healthy = Some(Run { fingerprint: fingerprint.to_owned(), healthy_since: now });
        }
    }

    /// It is not healthy any more, for whatever reason.
    pub fn handle_unhealthy(&mut self, now: Timestamp, service: &ServiceName) {
        if let Some(memory) = self.services.get_mut(service) {
            memory.promote(now);
            memory.healthy = None;
        }
    }

    /// Its restarts were given up while `current` was running; gives the next step, which counts as taken.
    pub fn handle_gave_up(&mut self, now: Timestamp, service: &ServiceName, current: &str) -> Step {
        let memory = self.services.entry(service.clone()).or_default();
        memory.promote(now);
        memory.healthy = None;
        // Those of the future were written before the clock was set back; they count too.
        memory.redeploys.retain(|redeploy| now.since(redeploy.at) < BUDGET_SPAN);
        let stop = |why: String| Step::StopAndAlert { why };
        let Some(good) = memory.last_good.clone() else {
            let span = format_duration(GOOD_AFTER);
            return stop(format!("no definition of it has been healthy for {span} yet"));
        };
        if good == current {
            return stop(
                "the definition that runs is the last good one; another one would not help".to_owned(),
            );
        }
        let spent = memory.redeploys.iter().filter(|redeploy| redeploy.from == current).count();
        let span = format_duration(BUDGET_SPAN);
        if self.redeploys_max == 0 {
            return stop("going back to the last good definition is switched off".to_owned());
        }
        if u32::try_from(spent).is_ok_and(|spent| spent >= self.redeploys_max) {
            let times = if spent == 1 { "once".to_owned() } else { format!("{spent} times") };
            return stop(format!(
                "this definition was left for the last good one {times} within {span} already"
            ));
        }
        if memory.redeploys.len() >= REDEPLOYS_MAX {
            return stop(format!(
                "{REDEPLOYS_MAX} definitions were left for the last good one within {span} already"
            ));
        }
        memory.redeploys.push(Redeploy { at: now, from: current.to_owned() });
        Step::Redeploy { fingerprint: good }
    }

    /// The definition that [`Step::Redeploy`] would bring back: keep what it stands for.
    pub fn last_good(&self, service: &ServiceName) -> Option<&str> {
        self.services.get(service)?.last_good.as_deref()
    }

    /// When a definition that is healthy becomes the last good one.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.services.values().filter_map(Memory::good_at).min()
    }

    /// Makes every definition that was healthy for long enough the last good one.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.services.values_mut().for_each(|memory| memory.promote(now));
    }

    /// Forgets every service that `keep` does not want: it left the plan.
    pub fn keep_only(&mut self, keep: impl Fn(&ServiceName) -> bool) {
        self.services.retain(|service, _| keep(service));
    }

    /// Nothing is healthy at present, since nobody was watching: after a restart of the core.
    pub fn handle_restart(&mut self) {
        self.services.values_mut().for_each(|memory| memory.healthy = None);
    }
}

impl Memory {
    /// When what is healthy becomes the last good one; none when it is that already.
    fn good_at(&self) -> Option<Timestamp> {
        let run = self.healthy.as_ref()?;
        let is_new = self.last_good.as_ref() != Some(&run.fingerprint);
        is_new.then(|| run.healthy_since.after(GOOD_AFTER))
    }

    fn promote(&mut self, now: Timestamp) {
        if self.good_at().is_some_and(|at| at <= now) {
            self.last_good = self.healthy.as_ref().map(|run| run.fingerprint.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_S: i64 = 3_600;

    /// `10 healthy v1`, `20 sick`, `30 gave-up v2`, `40 restart`: seconds and what happens; gives the steps.
    fn steps(mut ladder: Ladder, script: &[&str]) -> Vec<String> {
        let service: ServiceName = "web".parse().unwrap();
        let mut steps = Vec::new();
        for line in script {
            let words: Vec<&str> = line.split_whitespace().collect();
            let now = Timestamp(words[0].parse::<i64>().unwrap() * 1_000);
            match words[1..] {
                ["healthy", fingerprint] => ladder.handle_healthy(now, &service, fingerprint),
                ["sick"] => ladder.handle_unhealthy(now, &service),
                ["timeout"] => ladder.handle_timeout(now),
                ["restart"] => {
                    ladder = serde_json::from_str(&serde_json::to_string(&ladder).unwrap()).unwrap();
                    ladder.handle_restart();
                }
                ["gave-up", current] => steps.push(match ladder.handle_gave_up(now, &service, current) {
                    Step::Redeploy { fingerprint } => format!("redeploy {fingerprint}"),
                    Step::StopAndAlert { why } => format!("stop: {why}"),
                }),
                _ => panic!("what is {line:?}?"),
            }
        }
        steps
    }

    #[track_caller]
    fn check(script: &[&str], expected: &[&str]) {
        assert_eq!(steps(Ladder::default(), script), expected, "{script:?}");
    }

    #[test]
    fn a_new_definition_that_fails_is_replaced_by_the_last_good_one() {
        check(&["0 healthy v1", "60 sick", "100 gave-up v2"], &["redeploy v1"]);
    }

    #[test]
    fn a_definition_is_good_only_after_a_minute_without_a_break() {
        let never = ["stop: no definition of it has been healthy for 1m yet"];
        check(&["0 healthy v1", "59 sick", "100 gave-up v2"], &never);
        check(&["0 healthy v1", "40 sick", "41 healthy v1", "90 sick", "100 gave-up v2"], &never);
        check(&["0 healthy v1", "30 healthy v2", "70 healthy v1", "100 gave-up v3"], &never);
        check(&["0 healthy v1", "30 healthy v1", "60 healthy v1", "61 gave-up v2"], &["redeploy v1"]);
    }

    #[test]
    fn without_a_good_definition_it_stops() {
        check(&["0 gave-up v1"], &["stop: no definition of it has been healthy for 1m yet"]);
    }

    #[test]
    fn the_good_definition_itself_is_not_replaced() {
        check(
            &["0 healthy v1", "90 gave-up v1"],
            &["stop: the definition that runs is the last good one; another one would not help"],
        );
    }

    #[test]
    fn each_definition_is_left_once_a_day() {
        let spent = "stop: this definition was left for the last good one once within 1d already";
        let next_day = format!("{} gave-up v2", 24 * HOUR_S + 100);
        let almost = format!("{} gave-up v2", 24 * HOUR_S + 99);
        check(
            &["0 healthy v1", "100 gave-up v2", "200 gave-up v2", "300 gave-up v3", &almost],
            &["redeploy v1", spent, "redeploy v1", spent],
        );
        check(&["0 healthy v1", "100 gave-up v2", &next_day], &["redeploy v1", "redeploy v1"]);
    }

    #[test]
    fn the_budget_can_be_larger_or_nothing() {
        let script = ["0 healthy v1", "100 gave-up v2", "101 gave-up v2", "102 gave-up v2"];
        let spent = "stop: this definition was left for the last good one 2 times within 1d already";
        assert_eq!(steps(Ladder::new(2), &script), ["redeploy v1", "redeploy v1", spent]);
        let off = "stop: going back to the last good definition is switched off";
        assert_eq!(steps(Ladder::new(0), &script), [off; 3]);
    }

    #[test]
    fn a_flood_of_definitions_ends_too() {
        let mut script = vec!["0 healthy good".to_owned()];
        script.extend((0..40).map(|number| format!("{} gave-up v{number}", 100 + number)));
        let script: Vec<&str> = script.iter().map(String::as_str).collect();
        let redeploys =
            steps(Ladder::default(), &script).iter().filter(|step| *step == "redeploy good").count();
        assert_eq!(redeploys, REDEPLOYS_MAX);
    }

    #[test]
    fn it_remembers_over_a_restart_but_counts_no_time_in_which_nobody_watched() {
        check(&["0 healthy v1", "60 timeout", "61 restart", "70 gave-up v2"], &["redeploy v1"]);
        check(
            &["0 healthy v1", "30 restart", "100 gave-up v2"],
            &["stop: no definition of it has been healthy for 1m yet"],
        );
        check(
            &["0 healthy v1", "60 gave-up v2", "61 restart", "62 gave-up v2"],
            &["redeploy v1", "stop: this definition was left for the last good one once within 1d already"],
        );
    }

    #[test]
    fn the_timeout_is_the_moment_at_which_a_definition_becomes_good() {
        let mut ladder = Ladder::default();
        let service: ServiceName = "web".parse().unwrap();
        ladder.handle_healthy(Timestamp(5), &service, "v1");
        assert_eq!(ladder.poll_timeout(), Some(Timestamp(60_005)));
        ladder.handle_timeout(Timestamp(60_004));
        assert_eq!(ladder.last_good(&service), None);
        ladder.handle_timeout(Timestamp(60_005));
        assert_eq!((ladder.last_good(&service), ladder.poll_timeout()), (Some("v1"), None));
        ladder.keep_only(|_| false);
        assert_eq!(ladder.last_good(&service), None);
    }
}
