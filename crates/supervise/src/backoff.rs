//! How long the core stays away after a crash: pure, time is an argument.
//! It does not know what a core is.

/// Pauses between starts: none at first, then doubling up to the longest.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    crashes: u32,
    started_at_ms: u64,
}

const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 5_000;
const STEADY_AFTER_MS: u64 = 60_000;

impl Backoff {
    pub(crate) fn handle_start(&mut self, now_ms: u64) {
        self.started_at_ms = now_ms;
    }

    /// When the next start is due. A long life forgives what was before.
    pub(crate) fn handle_crash(&mut self, now_ms: u64) -> u64 {
        if now_ms.saturating_sub(self.started_at_ms) >= STEADY_AFTER_MS {
            self.crashes = 0;
        }
        let pause_ms = match self.crashes {
            0 => 0,
            crashes => (FIRST_PAUSE_MS << (crashes - 1).min(16)).min(LONGEST_PAUSE_MS),
        };
        self.crashes += 1;
        now_ms + pause_ms
    }

    /// Crashes in a row.
    pub(crate) fn crashes(&self) -> u32 {
        self.crashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lives and pauses in milliseconds, one after the other.
    fn check(lives: &[u64], expected_pauses: &[u64]) {
        let mut backoff = Backoff::default();
        let mut now_ms = 1_000;
        let mut pauses = Vec::new();
        for life in lives {
            backoff.handle_start(now_ms);
            now_ms += life;
            let due_ms = backoff.handle_crash(now_ms);
            pauses.push(due_ms - now_ms);
            now_ms = due_ms;
        }
        assert_eq!(pauses, expected_pauses);
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_pause_doubles_up_to_five_seconds() {
        check(&[5; 9], &[0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn a_steady_minute_forgives() {
        check(&[5, 5, 5, 60_000, 5], &[0, 100, 200, 0, 100]);
    }
}
