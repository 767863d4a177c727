//! `haus trail show`: the last entries, oldest first.

use super::Running;
use crate::arguments::TrailShow;
use crate::exit::{Code, DONE, Failure};
use crate::{listing, terminal};
use haus_api::trail::{TrailEntry, TrailQuery};

pub(super) fn cmd_show(arguments: &TrailShow) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let query = TrailQuery {
        subject: arguments.subject.clone(),
        actor: arguments.actor.clone(),
        action: arguments.action.clone(),
        limit: Some(arguments.lines),
        ..TrailQuery::default()
    };
    let mut trail = running.ask(running.client.trail(&query))?;
    // The newest stands where the eye is: right above the next prompt.
    trail.entries.sort_by_key(|entry| entry.seq);
    if arguments.asked.json {
        terminal::json(&trail);
    } else if trail.entries.is_empty() {
        terminal::line(&format!("no such entry; the trail ends with entry {}", trail.head.seq));
    } else {
        terminal::out(&table(&trail.entries));
    }
    Ok(DONE)
}

fn table(entries: &[TrailEntry]) -> String {
    let rows: Vec<_> = entries.iter().map(row).collect();
    listing::table(["SEQ", "AT", "WHO", "WHAT", "TO WHAT", "OUTCOME", "WHY"], &rows)
}

fn row(entry: &TrailEntry) -> [String; 7] {
    let subject = match entry.entity_id.as_str() {
        "" => entry.entity_type.clone(),
        id => format!("{}:{id}", entry.entity_type),
    };
    let from = entry.ip_address.as_ref().map(|address| format!(" from {address}")).unwrap_or_default();
    let changes: Vec<String> = entry.changes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let why: Vec<String> = entry.why.iter().cloned().chain(changes).collect();
    [
        entry.seq.to_string(),
        entry.timestamp.clone(),
        format!("{}{from}", entry.actor),
        entry.action.clone(),
        subject,
        entry.outcome.clone(),
        why.join("; "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_entry_says_who_from_where_and_why() {
        let entry = TrailEntry {
            seq: 7,
            timestamp: "2026-11-21T03:00:00.000Z".into(),
            actor: "service:api/1".into(),
            action: "credential-read".into(),
            entity_type: "credential".into(),
            entity_id: "web/key".into(),
            outcome: "denied".into(),
            request_id: None,
            ip_address: Some("10.0.0.9".into()),
            why: Some("not in its scope\u{1b}[2J".into()),
            changes: BTreeMap::from([("version".into(), "2".into())]),
            prev_hash: String::new(),
            hash: String::new(),
        };
        let line = table(&[entry]).lines().nth(1).map(str::to_owned).expect("a row");
        let parts = ["service:api/1 from 10.0.0.9", "credential:web/key", "denied", "version=2", "\\x1b[2J"];
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
}
