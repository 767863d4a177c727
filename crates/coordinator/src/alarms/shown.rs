//! Alerts, silences and messages on their way as people see them. Decides nothing.

use super::Book;
use haus_api::alert::{Alert, Alerts, PendingDelivery, Silence};
use haus_model::Timestamp;
use haus_watch::alert::{AlertPhase, AlertView, Held, SavedAlerts};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Everything that `GET /api/alerts` answers.
pub(crate) type Shown = Alerts;

/// Alerts that are over and still listed.
const PAST_MAX: usize = 100;

/// How an alert stood when it was looked at last.
#[derive(Clone, Debug)]
pub(super) struct Stood {
    state: &'static str,
    since: Timestamp,
    /// None while nobody was told of it, nor would have been.
    shown: Option<Alert>,
}

/// What the ledger keeps: the machine, and what is over.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    #[serde(flatten)]
    pub(super) machine: SavedAlerts,
    #[serde(default)]
    pub(super) past: VecDeque<Alert>,
}

impl Book {
    /// Everything at present, the newest alert first.
    pub(super) fn shown(&mut self, now: Timestamp) -> Shown {
        self.note_states(now);
        let mut alerts: Vec<(Timestamp, Alert)> = self
            .machine
            .alerts()
            .map(|view| {
                let key = (view.subject.clone(), view.kind.to_owned());
                let since = self.states.get(&key).map_or(view.since, |stood| stood.since);
                (view.since, alert(&view, since))
            })
            .collect();
        alerts.sort_by(|left, right| (right.0, &left.1.id).cmp(&(left.0, &right.1.id)));
        let silences = self.silences.values().filter(|row| row.until > now).map(|row| Silence {
            id: row.id.clone(),
            service: row.service.as_ref().map(ToString::to_string),
            until: row.until.to_string(),
            why: row.why.clone(),
            made_by: row.made_by.clone(),
        });
        let deliveries = self.post.list().into_iter().map(|letter| PendingDelivery {
            id: letter.id,
            receiver: letter.receiver,
            alert: letter.alert,
            attempts: letter.attempts,
            next_try: letter.next_try.to_string(),
            why: letter.why,
        });
        Alerts {
            alerts: alerts.into_iter().map(|(_, alert)| alert).collect(),
            silences: silences.collect(),
            maintenance: self.open.clone(),
            deliveries: deliveries.collect(),
        }
    }

    /// Notes since when each alert is in its state.
    pub(super) fn note_states(&mut self, now: Timestamp) {
        let mut states = std::mem::take(&mut self.states);
        for view in self.machine.alerts() {
            let key = (view.subject.clone(), view.kind.to_owned());
            let state = state(&view);
            let since = match states.remove(&key) {
                Some(stood) if stood.state == state => stood.since,
                Some(_) => now,
                None => view.since,
            };
            // One that never had a number came and went before anybody would have been told.
            let shown = view.id.is_some().then(|| alert(&view, since));
            self.states.insert(key, Stood { state, since, shown });
        }
        let over = states.into_values().filter_map(|stood| stood.shown);
        for alert in over {
            let over = Alert { state: "over".to_owned(), state_since: now.to_string(), ..alert };
            self.past.push_front(Alert { suppressed_by: None, ..over });
            self.is_unkept = true;
        }
        self.past.truncate(PAST_MAX);
    }
}

fn state(view: &AlertView<'_>) -> &'static str {
    match (view.phase, view.held) {
        (AlertPhase::Clearing, _) => "resolved",
        (_, Some(Held::Maintenance { .. } | Held::Silence { .. })) => "silenced",
        (_, Some(Held::FollowUp { .. } | Held::Worse { .. })) => "suppressed",
        (AlertPhase::Pending, None) => "pending",
        (AlertPhase::Firing, None) => "firing",
    }
}

fn alert(view: &AlertView<'_>, state_since: Timestamp) -> Alert {
    Alert {
        // What was never told has no number yet; there is only one of a subject and kind.
        id: view.id.clone().unwrap_or_else(|| format!("{}/{}", view.subject, view.kind)),
        kind: view.kind.to_owned(),
        subject: view.subject.to_string(),
        level: view.level.to_string(),
        state: state(view).to_owned(),
        since: view.since.to_string(),
        state_since: state_since.to_string(),
        why: view.why.to_owned(),
        suppressed_by: view.held.map(ToString::to_string),
        told: view.told.iter().map(|name| (*name).to_owned()).collect(),
        flaps: view.flaps,
    }
}
