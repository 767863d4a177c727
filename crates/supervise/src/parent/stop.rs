//! How patient we are with a process that is to end: pure, time is an argument.
//! It does not send signals.

/// Patience with processes that outlive their leader when nobody asked for a stop.
pub(super) const LINGER_MS: u64 = 500;
/// After SIGKILL only the kernel can hold a process back; then we go on without it.
const GIVE_UP_AFTER_MS: u64 = 5_000;

/// The way of one run to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nobody asked.
    Unasked,
    /// Asked; SIGKILL follows.
    Asked { kill_at_ms: u64 },
    /// SIGKILL was sent.
    Killed { give_up_at_ms: u64 },
}

/// What time has come for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopDue {
    Nothing,
    Kill,
    GiveUp,
}

impl Stop {
    /// A later order can only shorten what an earlier one allowed.
    pub(super) fn handle_ask(&mut self, now_ms: u64, within_ms: u64) {
        let wanted_ms = now_ms.saturating_add(within_ms);
        match self {
            Stop::Unasked => *self = Stop::Asked { kill_at_ms: wanted_ms },
            Stop::Asked { kill_at_ms } => *kill_at_ms = wanted_ms.min(*kill_at_ms),
            Stop::Killed { .. } => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now_ms: u64) -> StopDue {
        match *self {
            Stop::Asked { kill_at_ms } if now_ms >= kill_at_ms => {
                *self = Stop::Killed { give_up_at_ms: now_ms + GIVE_UP_AFTER_MS };
                StopDue::Kill
            }
            Stop::Killed { give_up_at_ms } if now_ms >= give_up_at_ms => {
                // Asked again from time to time, not in every round.
                *self = Stop::Killed { give_up_at_ms: now_ms + GIVE_UP_AFTER_MS };
                StopDue::GiveUp
            }
            Stop::Unasked | Stop::Asked { .. } | Stop::Killed { .. } => StopDue::Nothing,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        match self {
            Stop::Unasked => None,
            Stop::Asked { kill_at_ms: at_ms } | Stop::Killed { give_up_at_ms: at_ms } => Some(*at_ms),
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        *self != Stop::Unasked
    }

    pub(super) fn is_killed(&self) -> bool {
        matches!(self, Stop::Killed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Orders as `(now, within)`, then the times at which SIGKILL and giving up are due.
    fn check(asks: &[(u64, u64)], kill_at_ms: u64) {
        let mut stop = Stop::Unasked;
        for (now_ms, within_ms) in asks {
            stop.handle_ask(*now_ms, *within_ms);
        }
        assert_eq!(stop.poll_timeout(), Some(kill_at_ms));
        assert_eq!(stop.handle_timeout(kill_at_ms - 1), StopDue::Nothing);
        assert_eq!(stop.handle_timeout(kill_at_ms), StopDue::Kill);
        stop.handle_ask(kill_at_ms, 60_000);
        assert_eq!(stop.handle_timeout(kill_at_ms + GIVE_UP_AFTER_MS - 1), StopDue::Nothing);
        assert_eq!(stop.handle_timeout(kill_at_ms + GIVE_UP_AFTER_MS), StopDue::GiveUp);
    }

    #[test]
    fn a_later_order_can_only_shorten_the_patience() {
        check(&[(10, 100)], 110);
        check(&[(10, 100), (20, 10)], 30);
        check(&[(10, 100), (20, 1_000)], 110);
    }

    #[test]
    fn nothing_is_due_for_a_run_nobody_asked_to_end() {
        let mut stop = Stop::Unasked;
        assert_eq!((stop.handle_timeout(u64::MAX), stop.poll_timeout()), (StopDue::Nothing, None));
    }
}
