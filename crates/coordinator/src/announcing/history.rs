//! Writes changes of health down, beside everything else.
//!
//! Threat: a disk that refuses, or a house whose instances all flap. What waits is bounded and what does not
//! fit is counted; nobody who changes something waits for it.

use crate::desk::Desk;
use crate::directory::Turn;
use haus_store::{Batch, HealthRow, Write};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Changes in one transaction.
const ROWS_MAX: usize = 500;

/// Pause after a write that failed.
const RETRY: Duration = Duration::from_secs(5);

/// The ledger always answers in the end; only then is it known whether a change has to be written again.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Writes until the runtime ends.
pub(super) async fn run(desk: Arc<Desk>) {
    let mut waiting: VecDeque<Turn> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            waiting.extend(desk.directory.take_turns());
        }
        if waiting.is_empty() {
            desk.directory.turned.notified().await;
            continue;
        }
        let count = waiting.len().min(ROWS_MAX);
        let writes = waiting.range(..count).map(|turn| Write::HealthAppend(Box::new(row(&desk, turn))));
        let batch = Batch { writes: writes.collect(), entries: Vec::new() };
        match desk.registrar.commit_within(batch, PATIENCE).await {
            Ok(_) => drop(waiting.drain(..count)),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

fn row(desk: &Desk, turn: &Turn) -> HealthRow {
    HealthRow {
        seq: 0,
        at: desk.clock.wall_of(turn.at),
        service: turn.service.clone(),
        instance: turn.instance.clone(),
        from: turn.from.to_string(),
        to: turn.to.to_string(),
        why: turn.why.clone(),
    }
}
