//! Probes against real sockets, commands and processes, the hostile ones first.

#![allow(clippy::unwrap_used, reason = "tests")]

mod command;
mod crowd;
mod http;
mod process;

use haus_probe::{EVIDENCE_CHARACTERS_MAX, ProbeOutcome, ProbeTarget, probe};
use std::time::{Duration, Instant};

/// For probes whose answer does not depend on the time.
const PATIENT: Duration = Duration::from_secs(20);
/// For probes that must run into their timeout.
const HASTY: Duration = Duration::from_millis(200);

/// Asks once and holds what is true of every outcome.
async fn ask(target: &ProbeTarget, timeout: Duration) -> ProbeOutcome {
    let begun = Instant::now();
    let outcome = probe(target, timeout).await;
    let took = begun.elapsed();
    assert!(took < timeout + Duration::from_secs(3), "{took:?} for {timeout:?}: {outcome:?}");
    let evidence = &outcome.evidence;
    assert!(evidence.chars().count() <= EVIDENCE_CHARACTERS_MAX, "{evidence}");
    assert!(!evidence.chars().any(char::is_control), "{evidence:?}");
    outcome
}

fn assert_good(outcome: &ProbeOutcome, part: &str) {
    assert!(outcome.ok && outcome.evidence.contains(part), "wanted {part:?}, good: {outcome:?}");
}

fn assert_bad(outcome: &ProbeOutcome, part: &str) {
    assert!(!outcome.ok && outcome.evidence.contains(part), "wanted {part:?}, bad: {outcome:?}");
}
