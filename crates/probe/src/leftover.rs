//! What a command left behind outside of its process group: found by a mark in its environment, and ended.
//!
//! It costs next to nothing when the command started nothing, and it is bounded in any case. A process that
//! wipes its own environment is not found; it ends with the house.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use tokio::runtime::Handle;

/// Environment variable of every process of a command.
const VARIABLE: &str = "HAUS_PROBE";
/// How often new ones are looked for, since what is being ended may start others.
const PASSES_MAX: usize = 8;
/// So many numbers are tried one by one; with more, listing the processes is cheaper.
const NUMBERS_MAX: u32 = 512;

/// The mark of one probe, which no other bears.
#[derive(Clone, Debug)]
pub(crate) struct Mark(String);

impl Mark {
    pub(crate) fn new() -> Mark {
        // Tells this process from an earlier one with the same number.
        static FIRST: LazyLock<u128> = LazyLock::new(|| {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos())
        });
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Mark(format!("{}-{:x}-{count}", std::process::id(), *FIRST))
    }

    /// Name and value for the environment of the command.
    pub(crate) fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.0)
    }

    /// Ends all that bear the mark, on a thread that may block. `leader` is the first that did.
    pub(crate) async fn end_all(&self, leader: Pid) {
        let mark = self.clone();
        // It panics never, and there is nothing to do about a runtime that shuts down.
        let _ = tokio::task::spawn_blocking(move || mark.end_all_now(leader)).await;
    }

    /// The same for a probe that is dropped and cannot wait.
    pub(crate) fn end_all_later(&self, leader: Pid) {
        let mark = self.clone();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || mark.end_all_now(leader))),
            Err(_) => mark.end_all_now(leader),
        }
    }

    fn end_all_now(&self, leader: Pid) {
        for _ in 0..PASSES_MAX {
            let found = candidates(leader.as_raw_nonzero().get().unsigned_abs(), last_number());
            let ended = found.into_iter().filter(|pid| self.end(*pid)).count();
            if ended == 0 {
                return;
            }
        }
    }

    /// Whether the process bore the mark. It is asked again behind the descriptor: its number may have gone
    /// to another process in between.
    fn end(&self, number: u32) -> bool {
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| self.is_borne_by(number)) else { return false };
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
        self.is_borne_by(number) && pidfd_send_signal(&process, Signal::KILL).is_ok()
    }

    fn is_borne_by(&self, number: u32) -> bool {
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        let bears = |pair: &[u8]| {
            let value = pair.strip_prefix(VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value == Some(self.0.as_bytes())
        };
        environment.split(|byte| *byte == 0).any(bears)
    }
}

/// Numbers of processes that may have been started after `leader`. The kernel hands numbers out in a ring,
/// so they lie between the leader's and the last one, unless the ring has come round.
fn candidates(leader: u32, last: Option<u32>) -> Vec<u32> {
    match last {
        Some(last) if (leader..=leader.saturating_add(NUMBERS_MAX)).contains(&last) => {
            (leader + 1..=last).collect()
        }
        last => {
            let later = |number: &u32| last.is_none_or(|last| last < leader || *number > leader);
            processes().filter(later).collect()
        }
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The number that was handed out last, to a process or a thread.
fn last_number() -> Option<u32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(leader: u32, last: u32, expected: &[u32]) {
        assert_eq!(candidates(leader, Some(last)), expected, "{leader} {last}");
    }

    #[test]
    fn only_numbers_after_the_leader_are_looked_at() {
        check(700, 700, &[]);
        check(700, 703, &[701, 702, 703]);
        let most = 2_000_000_000;
        check(most, most + NUMBERS_MAX + 1, &[]);
    }

    #[test]
    fn all_processes_are_looked_at_when_the_ring_came_round_or_nothing_is_known() {
        let own = std::process::id();
        for last in [Some(own - 1), Some(0), None] {
            assert!(candidates(own, last).contains(&own), "{last:?}");
        }
    }

    #[test]
    fn marks_differ() {
        assert_ne!(Mark::new().variable(), Mark::new().variable());
    }
}
