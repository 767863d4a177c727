//! Whether and when an ended process is started again.
//!
//! It knows only exits: not why the process ended, not what it needs, not how it is started.

use crate::backoff::Backoff;
use crate::random::Random;
use haus_model::Timestamp;
use haus_model::service::{Recover, Restart};
use haus_model::unit::format_duration;
use std::collections::VecDeque;
use std::time::Duration;

/// What follows from an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start it again at this time.
    RestartAt(Timestamp),
    /// It ended well and is not meant to run again.
    Done,
    /// Nothing is tried any more.
    GiveUp {
        /// `10 exits within 10m`.
        why: String,
    },
}

/// The restart rule of one instance, with its memory.
#[derive(Clone, Debug)]
pub struct RestartRule {
    recover: Recover,
    backoff: Backoff,
    /// At most `tries` of them, oldest first.
    exits: VecDeque<Timestamp>,
}

impl RestartRule {
    /// A rule without any exits yet.
    pub fn new(recover: Recover, random: Random) -> RestartRule {
        RestartRule {
            recover,
            backoff: Backoff::new(recover.first, recover.most, random),
            exits: VecDeque::new(),
        }
    }

    /// Takes the end of a process that ran for `ran_for`.
    pub fn handle_exit(&mut self, now: Timestamp, success: bool, ran_for: Duration) -> Verdict {
        match (self.recover.restart, success) {
            (Restart::Never | Restart::OnFailure, true) => return Verdict::Done,
            (Restart::Never, false) => return Verdict::GiveUp { why: "restart: never".to_owned() },
            (Restart::Always, true | false) | (Restart::OnFailure, false) => {}
        }
        // A run longer than the longest pause was no failed try: the next pause is the first one again.
        if ran_for > self.recover.most {
            self.backoff.reset();
        }
        self.exits.push_back(now);
        while self.exits.front().is_some_and(|at| now.since(*at) > self.recover.within) {
            self.exits.pop_front();
        }
        let tries = usize::try_from(self.recover.tries.max(1)).unwrap_or(usize::MAX);
        if self.exits.len() >= tries {
            let exits = if tries == 1 { "1 exit".to_owned() } else { format!("{tries} exits") };
            return Verdict::GiveUp {
                why: format!("{exits} within {}", format_duration(self.recover.within)),
            };
        }
        Verdict::RestartAt(now.after(self.backoff.next_pause()))
    }

    /// Changes the rule; past exits still count.
    pub fn set_recover(&mut self, recover: Recover) {
        self.recover = recover;
        self.backoff.set_bounds(recover.first, recover.most);
    }

    /// Forgets all exits: somebody asked for a new start.
    pub fn reset(&mut self) {
        self.exits.clear();
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECOVER: Recover = Recover {
        restart: Restart::Always,
        first: Duration::from_millis(250),
        most: Duration::from_secs(30),
        tries: 3,
        within: Duration::from_secs(600),
    };

    fn rule(recover: Recover) -> RestartRule {
        RestartRule::new(recover, Random::new(1))
    }

    /// Exits at these times in seconds, each after a short run; the last verdict counts.
    fn check(recover: Recover, success: bool, exits_s: &[i64], expected: &Verdict) {
        let mut rule = rule(recover);
        let verdicts: Vec<_> = exits_s
            .iter()
            .map(|at| rule.handle_exit(Timestamp(at * 1_000), success, Duration::from_millis(10)))
            .collect();
        assert_eq!(verdicts.last(), Some(expected), "{recover:?}, exits at {exits_s:?}");
    }

    fn given_up(why: &str) -> Verdict {
        Verdict::GiveUp { why: why.to_owned() }
    }

    #[test]
    fn the_first_restart_comes_after_exactly_the_first_pause() {
        check(RECOVER, false, &[100], &Verdict::RestartAt(Timestamp(100_250)));
    }

    #[test]
    fn too_many_exits_in_the_window_are_given_up() {
        check(RECOVER, false, &[0, 300, 600], &given_up("3 exits within 10m"));
        check(Recover { tries: 1, ..RECOVER }, false, &[0], &given_up("1 exit within 10m"));
        check(Recover { tries: 0, ..RECOVER }, false, &[0], &given_up("1 exit within 10m"));
    }

    #[test]
    fn exits_outside_the_window_do_not_count() {
        let mut rule = rule(RECOVER);
        for at in [0, 500, 601, 1_102, 1_700] {
            let verdict = rule.handle_exit(Timestamp(at * 1_000), false, Duration::from_secs(100));
            assert!(matches!(verdict, Verdict::RestartAt(_)), "{at}: {verdict:?}");
        }
    }

    #[test]
    fn what_ended_well_is_started_again_only_by_always() {
        check(RECOVER, true, &[0], &Verdict::RestartAt(Timestamp(250)));
        check(Recover { restart: Restart::OnFailure, ..RECOVER }, true, &[0], &Verdict::Done);
        check(Recover { restart: Restart::Never, ..RECOVER }, true, &[0], &Verdict::Done);
        check(Recover { restart: Restart::Never, ..RECOVER }, false, &[0], &given_up("restart: never"));
    }

    #[test]
    fn a_long_run_earns_the_first_pause_again() {
        let mut rule = rule(Recover { tries: 100, ..RECOVER });
        for at in 0..8 {
            rule.handle_exit(Timestamp(at), false, Duration::from_millis(1));
        }
        let verdict = rule.handle_exit(Timestamp(100_000), false, Duration::from_secs(31));
        assert_eq!(verdict, Verdict::RestartAt(Timestamp(100_250)));
    }

    #[test]
    fn a_reset_forgets_the_exits() {
        let mut rule = rule(RECOVER);
        rule.handle_exit(Timestamp(0), false, Duration::ZERO);
        rule.handle_exit(Timestamp(1), false, Duration::ZERO);
        rule.reset();
        let verdict = rule.handle_exit(Timestamp(2), false, Duration::ZERO);
        assert_eq!(verdict, Verdict::RestartAt(Timestamp(252)));
    }
}
