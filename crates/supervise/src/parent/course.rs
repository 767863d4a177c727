//! Where the house is on its way from serving to its end: pure, time is an argument.
//! It does not stop anything itself; the house asks it what to do.

/// Exit code when the end was forced: everything was stopped, but not in the core's order.
pub(super) const FORCED_EXIT_CODE: u8 = 4;

/// The course of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Services run, and the core is restarted when it crashes.
    Serving,
    /// The core drains; `asked` says whether a request of ours made it do so or has come since.
    Draining { until_ms: u64, asked: bool },
    /// The parent stops whatever is left and ends with this code.
    Ending { exit_code: u8 },
}

/// What a request to end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndStep {
    /// Tell the core to drain.
    AskCore,
    /// The core drains already by itself, which nobody had told us before.
    GoOn,
    /// Stop everything ourselves.
    StopAll,
    /// Kill everything at once.
    KillAll,
}

impl Course {
    /// Somebody asked the house to end, maybe not for the first time.
    pub(super) fn handle_end_request(
        &mut self,
        now_ms: u64,
        core_listens: bool,
        drain_within_ms: u64,
    ) -> EndStep {
        match self {
            Course::Serving if core_listens => {
                *self = Course::Draining { until_ms: now_ms.saturating_add(drain_within_ms), asked: true };
                EndStep::AskCore
            }
            Course::Serving => {
                *self = Course::Ending { exit_code: 0 };
                EndStep::StopAll
            }
            // A service manager that stops a house which `haus down` drains must not kill it.
            Course::Draining { asked: asked @ false, .. } => {
                *asked = true;
                EndStep::GoOn
            }
            Course::Draining { asked: true, .. } => {
                *self = Course::Ending { exit_code: FORCED_EXIT_CODE };
                EndStep::KillAll
            }
            Course::Ending { .. } => EndStep::KillAll,
        }
    }

    /// The core has begun to drain by itself. Says whether that is news; a limit that runs stays.
    pub(super) fn handle_drain_begun(&mut self, now_ms: u64, within_ms: u64) -> bool {
        match self {
            Course::Serving => {
                *self = Course::Draining { until_ms: now_ms.saturating_add(within_ms), asked: false };
                true
            }
            Course::Draining { .. } | Course::Ending { .. } => false,
        }
    }

    /// The core announced its end, by refusing the house or by having drained it.
    pub(super) fn handle_announcement(&mut self, exit_code: u8) {
        match self {
            Course::Serving | Course::Draining { .. } => *self = Course::Ending { exit_code },
            Course::Ending { .. } => {}
        }
    }

    /// The core ended without announcing it. Says whether it is to be started again.
    ///
    /// A house that is to end and has lost its core ends as one that had none when it was asked:
    /// every service gets its own signal and patience, only the order among them is lost.
    pub(super) fn handle_core_crash(&mut self) -> bool {
        match self {
            Course::Serving => true,
            Course::Draining { .. } => {
                *self = Course::Ending { exit_code: 0 };
                false
            }
            Course::Ending { .. } => false,
        }
    }

    /// Whether the drain has just run out of time.
    pub(super) fn handle_timeout(&mut self, now_ms: u64) -> bool {
        match self {
            Course::Draining { until_ms, .. } if now_ms >= *until_ms => {
                *self = Course::Ending { exit_code: FORCED_EXIT_CODE };
                true
            }
            Course::Serving | Course::Draining { .. } | Course::Ending { .. } => false,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        match self {
            Course::Draining { until_ms, .. } => Some(*until_ms),
            Course::Serving | Course::Ending { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_requests(core_listens: bool, expected: &[EndStep], expected_course: Course) {
        let mut course = Course::Serving;
        let steps: Vec<EndStep> =
            expected.iter().map(|_| course.handle_end_request(10, core_listens, 100)).collect();
        assert_eq!((steps.as_slice(), course), (expected, expected_course));
    }

    #[test]
    fn each_further_request_is_less_patient() {
        use EndStep::{AskCore, KillAll, StopAll};
        check_requests(true, &[AskCore], Course::Draining { until_ms: 110, asked: true });
        check_requests(true, &[AskCore, KillAll, KillAll], Course::Ending { exit_code: FORCED_EXIT_CODE });
        check_requests(false, &[StopAll, KillAll], Course::Ending { exit_code: 0 });
    }

    #[test]
    fn the_first_request_to_a_house_that_drains_by_itself_does_not_hurry_it() {
        let mut course = Course::Serving;
        assert!(course.handle_drain_begun(10, 100));
        assert!(!course.handle_drain_begun(20, 5));
        assert_eq!(course.poll_timeout(), Some(110));
        assert_eq!(course.handle_end_request(30, true, 5), EndStep::GoOn);
        assert_eq!(course.poll_timeout(), Some(110));
        assert_eq!(course.handle_end_request(40, true, 5), EndStep::KillAll);
        assert!(!course.handle_drain_begun(50, 100));
        assert_eq!(course, Course::Ending { exit_code: FORCED_EXIT_CODE });
    }

    #[test]
    fn a_house_that_was_asked_keeps_its_limit_when_the_core_begins() {
        let mut course = Course::Serving;
        course.handle_end_request(10, true, 100);
        assert!(!course.handle_drain_begun(20, 1_000));
        assert_eq!(course.poll_timeout(), Some(110));
        assert_eq!(course.handle_end_request(30, true, 100), EndStep::KillAll);
    }

    #[test]
    fn a_drain_that_overruns_is_taken_over_once() {
        let mut course = Course::Draining { until_ms: 110, asked: true };
        assert_eq!((course.handle_timeout(109), course.poll_timeout()), (false, Some(110)));
        assert_eq!((course.handle_timeout(110), course.poll_timeout()), (true, None));
        assert!(!course.handle_timeout(111));
    }

    #[test]
    fn only_a_serving_house_starts_its_core_again() {
        assert!(Course::Serving.handle_core_crash());
        let mut course = Course::Draining { until_ms: 110, asked: true };
        assert!(!course.handle_core_crash());
        assert_eq!(course, Course::Ending { exit_code: 0 });
    }

    #[test]
    fn the_first_announced_exit_code_counts() {
        let mut course = Course::Serving;
        course.handle_announcement(3);
        course.handle_announcement(0);
        assert_eq!(course, Course::Ending { exit_code: 3 });
    }
}
