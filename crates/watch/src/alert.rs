//! Which faults are told to whom, and when: alerts that last, that flap, that follow from others, that are
//! silenced.
//!
//! - A condition must last before it fires; what cannot pass by itself fires at once.
//! - It is over when it stayed away for the same time. What comes and goes meanwhile is one alert
//!   that counts its flaps; after [`FLAPS_TOLD`] of them it fires although it never lasted.
//! - A service that fails while something that it needs fails at least as badly is a follow-up: it
//!   is named with its root and fires only if it outlives it. Of degraded, offline and given up
//!   only the worst is told; the same holds for credentials and rotations.
//! - In maintenance and silence nothing is told. What still lasts at the end fires then.
//! - Resolved goes to exactly those who were told of the alert.
//!
//! It knows neither how a message reads nor how it travels. The state is kept over restarts of the
//! core, so time stamps are wall clock; when that is set back, everything is set back with it.

mod episode;
mod needs;
mod quiet;
mod words;

pub use episode::{FLAPS_TOLD, FOLLOW_UPS_NAMED_MAX, REPEAT_MIN};
pub use quiet::{OpenWindow, Silence};
pub use words::{
    AT_ONCE, AlertPhase, AlertRules, AlertView, CREDENTIAL_EXPIRED, CREDENTIAL_EXPIRING, Condition, DISK_LOW,
    Held, ROTATION_FAILED, ROTATION_STUCK, SERVICE_DEGRADED, SERVICE_GAVE_UP, SERVICE_LACKING,
    SERVICE_OFFLINE, STORE_UNWRITABLE, Subject, SubjectError, TRAIL_BROKEN, Tell, TellState,
};

use episode::{Around, Episode, Fate};
use haus_model::alert::AlertLevel;
use haus_model::{ServiceName, Timestamp};
use needs::Needs;
use quiet::Quiet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is kept over a restart of the core: alerts, silences, and what was decided but not yet fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAlerts {
    now: Timestamp,
    last_number: u64,
    episodes: Vec<Episode>,
    quiet: Quiet,
    tells: VecDeque<Tell>,
}

type Key = (Subject, String);

/// All alerts of a house.
///
/// What is told comes from [`Self::poll_tell`] after any call that changes something; the caller saves
/// [`Self::save`] together with what it fetched. Each look at everything costs as much as there are alerts
/// and needs: tell all that is known first, then fetch.
#[derive(Clone, Debug)]
pub struct Alerts {
    rules: AlertRules,
    needs: Needs,
    episodes: BTreeMap<Key, Episode>,
    quiet: Quiet,
    tells: VecDeque<Tell>,
    last_number: u64,
    now: Timestamp,
    next: Option<Timestamp>,
    /// Something changed since everything was last looked at.
    is_stale: bool,
}

impl Alerts {
    /// No alerts yet.
    pub fn new(rules: AlertRules) -> Alerts {
        Alerts {
            needs: Needs::new(&rules.needs),
            rules,
            episodes: BTreeMap::new(),
            quiet: Quiet::default(),
            tells: VecDeque::new(),
            last_number: 0,
            now: Timestamp(i64::MIN),
            next: None,
            is_stale: false,
        }
    }

    /// Goes on after a restart of the core.
    ///
    /// Conditions that were there are taken to be there still until they are cleared: raise and clear what
    /// was looked at, and [`Self::clear_unless`] what nobody looks at any more. What was not told before has
    /// to last anew.
    pub fn restore(now: Timestamp, rules: AlertRules, saved: SavedAlerts) -> Alerts {
        let key = |episode: &Episode| (episode.subject.clone(), episode.kind.clone());
        let mut alerts = Alerts {
            episodes: saved.episodes.into_iter().map(|episode| (key(&episode), episode)).collect(),
            quiet: saved.quiet,
            tells: saved.tells,
            last_number: saved.last_number,
            now: saved.now,
            ..Alerts::new(rules)
        };
        alerts.note(now);
        alerts.is_stale = true;
        let alerting = &alerts.rules.alerting;
        alerts.episodes.values_mut().for_each(|episode| episode.resume(now, alerting));
        alerts
    }

    /// What has to be kept.
    pub fn save(&self) -> SavedAlerts {
        SavedAlerts {
            now: self.now,
            last_number: self.last_number,
            episodes: self.episodes.values().cloned().collect(),
            quiet: self.quiet.clone(),
            tells: self.tells.clone(),
        }
    }

    /// Another plan: receivers that were never told of a lasting alert and want it hear of it now.
    pub fn set_rules(&mut self, now: Timestamp, rules: AlertRules) {
        self.note(now);
        self.needs = Needs::new(&rules.needs);
        self.rules = rules;
        self.is_stale = true;
    }

    /// Something is wrong; may be said any number of times while it is.
    pub fn raise(&mut self, now: Timestamp, condition: Condition) {
        self.note(now);
        let key = (condition.subject.clone(), condition.kind.clone());
        // The same again must not cost a look at everything.
        self.is_stale |= match self.episodes.get_mut(&key) {
            Some(episode) => episode.raise(now, condition),
            None => {
                self.episodes.insert(key, Episode::new(now, condition));
                true
            }
        };
    }

    /// It is not wrong any more; nothing happens when it was not.
    pub fn clear(&mut self, now: Timestamp, subject: &Subject, kind: &str, why: &str) {
        self.note(now);
        let episode = self.episodes.get_mut(&(subject.clone(), kind.to_owned()));
        self.is_stale |= episode.is_some_and(|episode| episode.clear(now, why));
    }

    /// Clears everything that `keep` does not want: its subject left the plan, or nobody looks at it any
    /// more.
    pub fn clear_unless(&mut self, now: Timestamp, why: &str, keep: impl Fn(&Subject, &str) -> bool) {
        self.note(now);
        for ((subject, kind), episode) in &mut self.episodes {
            if !keep(subject, kind) {
                self.is_stale |= episode.clear(now, why);
            }
        }
    }

    /// The maintenance windows that are open at present, instead of those before.
    pub fn set_maintenance(&mut self, now: Timestamp, windows: Vec<OpenWindow>) {
        self.note(now);
        self.is_stale |= self.quiet.windows != windows;
        self.quiet.windows = windows;
    }

    /// Begins a silence, or changes the one with the same id.
    pub fn silence(&mut self, now: Timestamp, silence: Silence) {
        self.note(now);
        self.quiet.silences.retain(|known| known.id != silence.id);
        self.quiet.silences.push(silence);
        self.quiet.silences.sort_by(|left, right| left.id.cmp(&right.id));
        self.is_stale = true;
    }

    /// Ends a silence before its time; false when there is none of this id.
    pub fn end_silence(&mut self, now: Timestamp, id: &str) -> bool {
        self.note(now);
        let before = self.quiet.silences.len();
        self.quiet.silences.retain(|known| known.id != id);
        let is_ended = self.quiet.silences.len() < before;
        self.is_stale |= is_ended;
        is_ended
    }

    /// The silences that have not ended, by id.
    pub fn silences(&self) -> &[Silence] {
        &self.quiet.silences
    }

    /// All alerts, those that are held back included, by subject and kind.
    pub fn alerts(&self) -> impl Iterator<Item = AlertView<'_>> {
        self.episodes.values().map(Episode::view)
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.is_stale { Some(self.now) } else { self.next }
    }

    /// Lets time pass up to `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.note(now);
        self.is_stale |= self.next.is_some_and(|at| at <= now);
        self.settle();
    }

    /// The next thing to tell.
    pub fn poll_tell(&mut self) -> Option<Tell> {
        self.settle();
        self.tells.pop_front()
    }

    /// It is `now`; asked first of all by everything that takes a time.
    fn note(&mut self, now: Timestamp) {
        let back = self.now.since(now);
        if !back.is_zero() {
            self.episodes.values_mut().for_each(|episode| episode.set_back(back));
            self.is_stale = true;
        }
        self.now = now;
    }

    /// Looks at everything once, however many calls came before: an outage of the whole house is one look.
    fn settle(&mut self) {
        if !self.is_stale {
            return;
        }
        self.is_stale = false;
        self.quiet.end(self.now);
        // What is over may have hidden something.
        while self.settle_once() {}
    }

    /// True when an alert was over.
    fn settle_once(&mut self) -> bool {
        let behind = self.behind();
        let mut follow_ups: BTreeMap<ServiceName, BTreeSet<ServiceName>> = BTreeMap::new();
        for (key, held) in &behind {
            if let (Subject::Service(service), Held::FollowUp { of }) = (&key.0, held) {
                follow_ups.entry(of.clone()).or_default().insert(service.clone());
            }
        }
        let mut next = self.quiet.next_end();
        let before = self.episodes.len();
        let (now, quiet, alerting) = (self.now, &self.quiet, &self.rules.alerting);
        let (tells, last_number) = (&mut self.tells, &mut self.last_number);
        self.episodes.retain(|key, episode| {
            let of_this = match &key.0 {
                Subject::Service(service) if words::is_about_presence(&key.1) => follow_ups.get(service),
                Subject::Service(_) | Subject::House | Subject::Credential(_) => None,
            };
            let fate = episode.settle(&mut Around {
                now,
                alerting,
                quiet: quiet.covers(&episode.services),
                behind: behind.get(key).cloned(),
                follow_ups: of_this,
                last_number: &mut *last_number,
                tells: &mut *tells,
            });
            match fate {
                Fate::Goes(at) => next = [next, at].into_iter().flatten().min(),
                Fate::Over => {}
            }
            fate != Fate::Over
        });
        self.next = next;
        self.episodes.len() < before
    }

    /// The alerts for which something else is told: a worse step of the same, or the root from which they
    /// follow. What was cleared but is not over yet still counts, or a flapping root would let its
    /// follow-ups through.
    fn behind(&self) -> BTreeMap<Key, Held> {
        let mut broken: BTreeMap<ServiceName, AlertLevel> = BTreeMap::new();
        for ((subject, kind), episode) in &self.episodes {
            if let Subject::Service(service) = subject
                && words::is_about_presence(kind)
            {
                let level = broken.entry(service.clone()).or_insert(episode.level);
                *level = episode.level.max(*level);
            }
        }
        let roots = self.needs.roots(&broken);
        let mut behind = BTreeMap::new();
        for (key, episode) in &self.episodes {
            let (subject, kind) = key;
            let root = match subject {
                Subject::Service(service) if words::is_about_presence(kind) => roots.get(service),
                Subject::Service(_) | Subject::House | Subject::Credential(_) => None,
            };
            let held = match root.filter(|root| root.0 >= episode.level) {
                Some((_, root)) => Some(Held::FollowUp { of: (*root).clone() }),
                None => self.worse_step(subject, kind),
            };
            if let Some(held) = held {
                behind.insert(key.clone(), held);
            }
        }
        behind
    }

    fn worse_step(&self, subject: &Subject, kind: &str) -> Option<Held> {
        let steps = words::STEPS.iter().find(|steps| steps.contains(&kind))?;
        let worse = steps.iter().skip_while(|step| **step != kind).skip(1);
        let is_there = |step: &&&str| self.episodes.contains_key(&(subject.clone(), (**step).to_owned()));
        worse.filter(is_there).last().map(|step| Held::Worse { kind: (*step).to_owned() })
    }
}
