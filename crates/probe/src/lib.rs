//! Active checks: one question to one target, one answer with evidence, always within its time.
//!
//! Knows sockets, commands and `/proc`. Knows no thresholds, no registry and no rhythm: how often to ask,
//! how many at once and what follows from an answer is the caller's. Every failure is an outcome, never an
//! error or a panic.

mod body;
mod command;
mod evidence;
mod http;
mod leftover;
mod process;
mod socket;
mod target;
mod tcp;

pub use evidence::EVIDENCE_CHARACTERS_MAX;
pub use haus_model::health::{Expectation, ProbeOutcome};
pub use target::{HttpMethod, ProbeTarget};

use std::time::Duration;
use tokio::time::Instant;

/// Asks `target` once.
///
/// Answers within `timeout`, for a command that must be killed at most one second later. The evidence is one
/// line that says what was attempted on what and what came of it; it shows no query, no argument, no
/// environment and no body. When it is we who lack something, it says "we are out of file descriptors" or
/// "we are out of memory": that says nothing about the target. Dropping the future ends everything that the
/// probe started.
pub async fn probe(target: &ProbeTarget, timeout: Duration) -> ProbeOutcome {
    let begun = Instant::now();
    let limit = Limit { deadline: begun + timeout, timeout };
    let answer = match target {
        ProbeTarget::Http { method, address, host, path, expect } => {
            http::ask(*method, *address, (host, path), expect, limit).await
        }
        ProbeTarget::Tcp { address } => tcp::connect(*address, limit).await.map(|_| "accepted".to_owned()),
        ProbeTarget::Command { argv, env, folder, account } => {
            command::run(argv, env, folder, *account, limit).await
        }
        ProbeTarget::Process { pid, start_ticks } => process::look(*pid, *start_ticks),
    };
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (ok, evidence) = match answer {
        Ok(seen) => (true, format!("{target}: {seen} in {took_ms} ms")),
        Err(reason) => (false, format!("{target}: {reason}")),
    };
    ProbeOutcome { ok, evidence: evidence::clean(&evidence), took_ms }
}

/// What was seen, or why it is not good enough.
type Answer<T = String> = Result<T, String>;

/// How long the whole probe may take.
#[derive(Clone, Copy)]
struct Limit {
    deadline: Instant,
    timeout: Duration,
}

impl Limit {
    /// Waits for `work`, but not past the deadline; `what` names what did not come.
    async fn wait<T>(self, what: &str, work: impl Future<Output = T>) -> Answer<T> {
        let late = |_| format!("no {what} within {}", self.words());
        tokio::time::timeout_at(self.deadline, work).await.map_err(late)
    }

    fn words(self) -> String {
        haus_model::unit::format_duration(self.timeout)
    }
}
