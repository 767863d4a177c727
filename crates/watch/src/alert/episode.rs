//! One alert from the first sign to the last word: how long it must last, what damps it, who is told.
//!
//! It knows nothing of other alerts; what holds it back is an argument.

use super::words::{AT_ONCE, AlertPhase, AlertView, Condition, Held, Subject, Tell, TellState};
use haus_model::alert::{AlertLevel, Alerting};
use haus_model::{ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// What came back so often counts as lasting, although it never lasted in one piece.
pub const FLAPS_TOLD: u32 = 3;

/// A shorter repetition counts as this one.
pub const REPEAT_MIN: Duration = Duration::from_secs(60);

/// Services that are named as follow-ups; of more only their count is told.
pub const FOLLOW_UPS_NAMED_MAX: usize = 20;

/// What an episode has to know of the world around it.
pub(super) struct Around<'a> {
    pub(super) now: Timestamp,
    pub(super) alerting: &'a Alerting,
    /// A window or a silence is over it.
    pub(super) quiet: Option<Held>,
    /// Something else is told instead.
    pub(super) behind: Option<Held>,
    /// Services that are silent because of this alert.
    pub(super) follow_ups: Option<&'a BTreeSet<ServiceName>>,
    pub(super) last_number: &'a mut u64,
    pub(super) tells: &'a mut VecDeque<Tell>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on; look again at this time, or when something else changes.
    Goes(Option<Timestamp>),
    /// It is over.
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Episode {
    pub(super) subject: Subject,
    pub(super) kind: String,
    pub(super) level: AlertLevel,
    pub(super) services: BTreeSet<ServiceName>,
    why: String,
    since: Timestamp,
    raised: bool,
    /// When it was last raised or cleared.
    edge_at: Timestamp,
    flaps: u32,
    /// None while it was never told.
    number: Option<u64>,
    told: BTreeSet<String>,
    /// The worst level since the last repetition: one that goes up and down is told once.
    told_level: AlertLevel,
    /// When anybody was told last.
    told_at: Timestamp,
    #[serde(skip)]
    held: Option<Held>,
}

impl Episode {
    pub(super) fn new(now: Timestamp, condition: Condition) -> Episode {
        let mut episode = Episode {
            subject: condition.subject.clone(),
            kind: condition.kind.clone(),
            level: condition.level,
            services: BTreeSet::new(),
            why: String::new(),
            since: now,
            raised: true,
            edge_at: now,
            flaps: 0,
            number: None,
            told: BTreeSet::new(),
            told_level: condition.level,
            told_at: now,
            held: None,
        };
        episode.raise(now, condition);
        episode
    }

    /// The condition is there; true when that changes anything that others depend on.
    pub(super) fn raise(&mut self, now: Timestamp, condition: Condition) -> bool {
        let mut services: BTreeSet<ServiceName> = condition.services.into_iter().collect();
        if let Subject::Service(name) = &self.subject {
            services.insert(name.clone());
        }
        let is_news = !self.raised || self.level != condition.level || self.services != services;
        if !self.raised {
            self.raised = true;
            self.edge_at = now;
            self.flaps = self.flaps.saturating_add(1);
        }
        self.level = condition.level;
        self.services = services;
        self.why = condition.why;
        is_news
    }

    /// The condition is gone; true when it was there.
    pub(super) fn clear(&mut self, now: Timestamp, why: &str) -> bool {
        let was_raised = std::mem::replace(&mut self.raised, false);
        if was_raised {
            self.edge_at = now;
            why.clone_into(&mut self.why);
        }
        was_raised
    }

    /// The clock was set back by `span`: nothing of the past may lie in the future.
    pub(super) fn set_back(&mut self, span: Duration) {
        let back = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        for at in [&mut self.since, &mut self.edge_at, &mut self.told_at] {
            *at = Timestamp(at.0.saturating_sub(back));
        }
    }

    /// Nobody watched for a while: what was not told yet has to last anew, and nobody is reminded of what
    /// may be over before it was looked at again.
    pub(super) fn resume(&mut self, now: Timestamp, alerting: &Alerting) {
        if self.number.is_none() || !self.raised {
            self.edge_at = now;
        }
        if let Some(repeat) = repeat(alerting) {
            let soonest = now.after(alerting.after);
            let span = i64::try_from(repeat.as_millis()).unwrap_or(i64::MAX);
            self.told_at = self.told_at.max(Timestamp(soonest.0.saturating_sub(span)));
        }
    }

    /// Tells what is to be told now.
    pub(super) fn settle(&mut self, around: &mut Around<'_>) -> Fate {
        self.held = around.quiet.clone().or(around.behind.clone()).filter(|_| self.raised);
        if !self.raised {
            return self.settle_cleared(around);
        }
        if self.number.is_none() {
            let due_at = self.due_at(around.alerting.after);
            if around.now < due_at {
                return Fate::Goes(Some(due_at));
            }
        }
        if self.held.is_some() {
            return Fate::Goes(None);
        }
        self.tell_lasting(around);
        Fate::Goes(repeat(around.alerting).map(|repeat| self.told_at.after(repeat)))
    }

    fn settle_cleared(&mut self, around: &mut Around<'_>) -> Fate {
        let over_at = self.edge_at.after(around.alerting.after);
        if around.now < over_at {
            return Fate::Goes(Some(over_at));
        }
        if self.number.is_none() {
            return Fate::Over;
        }
        // Nothing is told while it is quiet, not even good news: they come with its end.
        if around.quiet.is_some() {
            self.held = around.quiet.clone();
            return Fate::Goes(None);
        }
        let told = self.told.iter().cloned().collect();
        self.tell(around, TellState::Resolved, told);
        Fate::Over
    }

    /// Firing to whoever has not heard of it, and a repetition to the others when it is time or it became
    /// worse.
    fn tell_lasting(&mut self, around: &mut Around<'_>) {
        let wants: BTreeSet<String> = around
            .alerting
            .receivers
            .iter()
            .filter(|receiver| receiver.from <= self.level)
            .filter(|receiver| {
                let services = &receiver.services;
                services.is_empty() || services.iter().any(|service| self.services.contains(service))
            })
            .map(|receiver| receiver.name.clone())
            .collect();
        let newcomers: Vec<String> = wants.difference(&self.told).cloned().collect();
        let is_first = self.number.is_none();
        let is_time = repeat(around.alerting).is_some_and(|repeat| around.now >= self.told_at.after(repeat));
        if !is_first && (is_time || self.level > self.told_level) {
            let again = self.told.intersection(&wants).cloned().collect();
            self.tell(around, TellState::Repeat, again);
            self.told_at = around.now;
            self.told_level = self.level;
        }
        if is_first {
            *around.last_number += 1;
            self.number = Some(*around.last_number);
            self.told_level = self.level;
        }
        if is_first || !newcomers.is_empty() {
            self.told.extend(newcomers.iter().cloned());
            self.tell(around, TellState::Firing, newcomers);
            // For everybody, so that no newcomer is reminded right after the first word.
            self.told_at = around.now;
        }
    }

    fn tell(&self, around: &mut Around<'_>, state: TellState, receivers: Vec<String>) {
        let follow_ups = around.follow_ups.filter(|_| state != TellState::Resolved);
        around.tells.push_back(Tell {
            id: self.id().unwrap_or_default(),
            state,
            subject: self.subject.clone(),
            kind: self.kind.clone(),
            level: self.level,
            services: self.services.iter().cloned().collect(),
            since: self.since,
            at: around.now,
            flaps: self.flaps,
            why: self.why.clone(),
            follow_ups: follow_ups.into_iter().flatten().take(FOLLOW_UPS_NAMED_MAX).cloned().collect(),
            follow_ups_count: follow_ups.map_or(0, BTreeSet::len),
            receivers,
        });
    }

    /// When it has lasted long enough: at once, in one piece, or by coming back again and again.
    fn due_at(&self, after: Duration) -> Timestamp {
        let in_one_piece = self.edge_at.after(after);
        if AT_ONCE.contains(&self.kind.as_str()) {
            self.edge_at
        } else if self.flaps >= FLAPS_TOLD {
            in_one_piece.min(self.since.after(after).max(self.edge_at))
        } else {
            in_one_piece
        }
    }

    fn id(&self) -> Option<String> {
        self.number.map(|number| format!("{}/{}#{number}", self.subject, self.kind))
    }

    /// What holds it back, as of the last look.
    pub(super) fn view(&self) -> AlertView<'_> {
        AlertView {
            id: self.id(),
            subject: &self.subject,
            kind: &self.kind,
            level: self.level,
            phase: match (self.number, self.raised) {
                (None, _) => AlertPhase::Pending,
                (Some(_), true) => AlertPhase::Firing,
                (Some(_), false) => AlertPhase::Clearing,
            },
            since: self.since,
            flaps: self.flaps,
            why: &self.why,
            held: self.held.as_ref(),
            told: self.told.iter().map(String::as_str).collect(),
        }
    }
}

fn repeat(alerting: &Alerting) -> Option<Duration> {
    alerting.repeat.map(|repeat| repeat.max(REPEAT_MIN))
}
