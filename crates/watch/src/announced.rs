//! Instances that registered by themselves: how they age without a sign of life, and when they are forgotten.
//!
//! Two signals are combined by the worse one: heartbeats, and active probes where somebody makes
//! them. Addresses, ports and metadata stand in the [registry](crate::registry); who may register
//! is decided elsewhere, before.

use crate::health::{HealthMachine, HealthPolicy, Transition};
use crate::timer::Timers;
use haus_model::health::{HealthState, ProbeOutcome};
use haus_model::unit::format_duration;
use haus_model::{ServiceName, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Heartbeat intervals without a sign of life after which an instance is degraded.
pub const DEGRADED_AFTER_INTERVALS: u32 = 2;

/// Heartbeat intervals without a sign of life after which it is offline.
pub const OFFLINE_AFTER_INTERVALS: u32 = 3;

/// How long an instance stays known while it is both offline and silent.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// A shorter heartbeat interval counts as this one: nobody ages within the jitter of a network.
pub const HEARTBEAT_MIN: Duration = Duration::from_secs(1);

/// What an instance says of itself when it registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInstance {
    /// Its service.
    pub service: ServiceName,
    /// What it calls itself; unique in its service.
    pub instance: String,
    /// How often it promised to report; at least [`HEARTBEAT_MIN`].
    pub heartbeat: Duration,
    /// Whether somebody probes it as well.
    pub probed: bool,
    /// Its share of the requests beside the other instances; usually 1.
    pub weight: u32,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedChange {
    /// Its service.
    pub service: ServiceName,
    /// What it calls itself.
    pub instance: String,
    /// What it was.
    pub from: HealthState,
    /// What it is; none when it is gone.
    pub to: Option<HealthState>,
    /// When.
    pub at: Timestamp,
    /// One sentence: `no sign of life for 90s`.
    pub why: String,
}

/// One instance as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnouncedView<'a> {
    /// Its service.
    pub service: &'a ServiceName,
    /// What it calls itself.
    pub instance: &'a str,
    /// Its health.
    pub state: HealthState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: &'a str,
    /// The last heartbeat or registration; none when none came since a restart of the core.
    pub seen_at: Option<Timestamp>,
    /// How busy it said it was, from 0 for idle.
    pub load: Option<f64>,
    /// Its share of the requests.
    pub weight: u32,
    /// Whether somebody probes it.
    pub probed: bool,
    /// How often it promised to report.
    pub heartbeat: Duration,
}

type Key = (ServiceName, String);

#[derive(Clone, Debug)]
struct Member {
    key: Arc<Key>,
    health: HealthMachine,
    heartbeat: Duration,
    probed: bool,
    weight: u32,
    load: Option<f64>,
    seen_at: Option<Timestamp>,
    since: Timestamp,
    why: String,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    members: BTreeMap<ServiceName, BTreeMap<String, Member>>,
    timers: Timers<Arc<Key>>,
    changes: VecDeque<AnnouncedChange>,
}

impl Announced {
    /// Enters an instance, or takes what a known one says anew; either is a sign of life.
    ///
    /// What probes found of a known one is kept: registering again is no way to look healthy.
    pub fn put(&mut self, now: Timestamp, new: NewInstance) {
        let key = Arc::new((new.service.clone(), new.instance.clone()));
        let member = self.enter(now, new);
        member.seen_at = Some(now);
        let transition = member.health.handle_sign_of_life(now);
        self.follow(
            &key,
            transition.map(|transition| Transition { why: "it registered".to_owned(), ..transition }),
        );
    }

    /// Enters an instance that is probed: unknown until a good probe or a heartbeat proves that
    /// somebody lives
    /// there. For a known one it is [`Self::put`].
    pub fn expect(&mut self, now: Timestamp, new: NewInstance) {
        if self.state(&new.service, &new.instance).is_some() {
            return self.put(now, new);
        }
        let key = Arc::new((new.service.clone(), new.instance.clone()));
        self.enter(now, new).why = "it registered; no probe was good yet".to_owned();
        self.follow(&key, None);
    }

    /// Enters an instance that an earlier core knew: unknown until its next sign of life.
    ///
    /// It ages from `now` on; without any sign of life it is offline after [`OFFLINE_AFTER_INTERVALS`].
    pub fn restored(&mut self, now: Timestamp, new: NewInstance) {
        let key = Arc::new((new.service.clone(), new.instance.clone()));
        self.enter(now, new);
        self.follow(&key, None);
    }

    /// Takes a heartbeat; false when nobody of this name is known, so that it has to register again.
    pub fn heartbeat(
        &mut self,
        now: Timestamp,
        service: &ServiceName,
        instance: &str,
        load: Option<f64>,
    ) -> bool {
        let Some(member) = self.member_mut(service, instance) else { return false };
        member.seen_at = Some(now);
        member.load = load.filter(|load| load.is_finite() && *load >= 0.0);
        let transition = member.health.handle_sign_of_life(now);
        let key = member.key.clone();
        self.follow(&key, transition);
        true
    }

    /// Takes what a probe found; nothing happens when the instance is unknown or not meant to be probed.
    pub fn probe(&mut self, now: Timestamp, service: &ServiceName, instance: &str, outcome: &ProbeOutcome) {
        let Some(member) = self.member_mut(service, instance).filter(|member| member.probed) else { return };
        let mut transition = member.health.handle_probe(now, outcome.ok);
        if outcome.ok && member.seen_at.is_none() && member.health.state() == HealthState::Unknown {
            // Nobody has said a word yet, but somebody answers there.
            member.seen_at = Some(now);
            let proven = member.health.handle_sign_of_life(now);
            let why = "a probe was good".to_owned();
            transition = proven.map(|transition| Transition { why, ..transition }).or(transition);
        }
        let transition = transition.map(|transition| {
            let why = format!("{}: {}", transition.why, outcome.evidence);
            Transition { why, ..transition }
        });
        let key = member.key.clone();
        self.follow(&key, transition);
    }

    /// Takes an instance out because somebody asked for it; false when it was not there.
    pub fn remove(&mut self, now: Timestamp, service: &ServiceName, instance: &str, why: &str) -> bool {
        let Some(key) = self.member_mut(service, instance).map(|member| member.key.clone()) else {
            return false;
        };
        self.forget(now, &key, why.to_owned());
        true
    }

    /// When [`Self::handle_timeout`] would change something.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Lets everybody age up to `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for key in self.timers.take_due(now) {
            let Some(member) = self.member_mut(&key.0, &key.1) else { continue };
            let transition = member.health.handle_timeout(now);
            if transition.is_none() && member.forgotten_at().is_some_and(|at| at <= now) {
                let why = format!("offline and silent for {}", format_duration(FORGOTTEN_AFTER));
                self.forget(now, &key, why);
            } else {
                self.follow(&key, transition);
            }
        }
    }

    /// The next change that nobody has heard of yet.
    pub fn poll_change(&mut self) -> Option<AnnouncedChange> {
        self.changes.pop_front()
    }

    /// The state of one instance; none when it is not known.
    pub fn state(&self, service: &ServiceName, instance: &str) -> Option<HealthState> {
        self.members.get(service)?.get(instance).map(|member| member.health.state())
    }

    /// One instance; none when it is not known.
    pub fn get(&self, service: &ServiceName, instance: &str) -> Option<AnnouncedView<'_>> {
        self.members.get(service)?.get(instance).map(Member::view)
    }

    /// All instances, by service and name.
    pub fn instances(&self) -> impl Iterator<Item = AnnouncedView<'_>> {
        self.members.values().flat_map(BTreeMap::values).map(Member::view)
    }

    fn member_mut(&mut self, service: &ServiceName, instance: &str) -> Option<&mut Member> {
        self.members.get_mut(service)?.get_mut(instance)
    }

    /// Makes the member, or changes the known one, without any sign of life.
    fn enter(&mut self, now: Timestamp, new: NewInstance) -> &mut Member {
        let policy = policy(new.heartbeat);
        let key = Arc::new((new.service.clone(), new.instance.clone()));
        let of_service = self.members.entry(new.service).or_default();
        let member = of_service.entry(new.instance).or_insert_with(|| Member {
            key,
            health: HealthMachine::with_heartbeats(policy, now),
            heartbeat: new.heartbeat,
            probed: new.probed,
            weight: new.weight,
            load: None,
            seen_at: None,
            since: now,
            why: "known from before the restart; no sign of life yet".to_owned(),
        });
        member.health.set_policy(policy);
        member.heartbeat = new.heartbeat.max(HEARTBEAT_MIN);
        member.weight = new.weight;
        member.probed = new.probed;
        if !new.probed {
            member.health.forget_probes();
        }
        member
    }

    /// Tells of a change, if there was one, and sets the next deadline.
    fn follow(&mut self, key: &Arc<Key>, transition: Option<Transition>) {
        let Some(member) = self.members.get_mut(&key.0).and_then(|of| of.get_mut(&key.1)) else { return };
        if let Some(transition) = transition {
            member.since = transition.at;
            member.why.clone_from(&transition.why);
            self.changes.push_back(AnnouncedChange {
                service: key.0.clone(),
                instance: key.1.clone(),
                from: transition.from,
                to: Some(transition.to),
                at: transition.at,
                why: transition.why,
            });
        }
        let next = member.health.poll_timeout().or(member.forgotten_at());
        self.timers.set(&member.key, next);
    }

    fn forget(&mut self, now: Timestamp, key: &Arc<Key>, why: String) {
        self.timers.set(key, None);
        let Some(of_service) = self.members.get_mut(&key.0) else { return };
        let Some(member) = of_service.remove(&key.1) else { return };
        if of_service.is_empty() {
            self.members.remove(&key.0);
        }
        self.changes.push_back(AnnouncedChange {
            service: key.0.clone(),
            instance: key.1.clone(),
            from: member.health.state(),
            to: None,
            at: now,
            why,
        });
    }
}

impl Member {
    /// When it is forgotten: never before it has been both offline and silent long enough. Whoever still
    /// reports while its probes fail stays visible, or it would come back looking healthy.
    fn forgotten_at(&self) -> Option<Timestamp> {
        let silent_since = self.health.silent_since()?;
        let silent = silent_since.after(policy(self.heartbeat).offline_after_age);
        let is_offline = self.health.state() == HealthState::Offline;
        is_offline.then(|| self.since.max(silent).after(FORGOTTEN_AFTER))
    }

    fn view(&self) -> AnnouncedView<'_> {
        AnnouncedView {
            service: &self.key.0,
            instance: &self.key.1,
            state: self.health.state(),
            since: self.since,
            why: &self.why,
            seen_at: self.seen_at,
            load: self.load,
            weight: self.weight,
            probed: self.probed,
            heartbeat: self.heartbeat,
        }
    }
}

/// Thresholds of probes as usual, ages in heartbeat intervals.
fn policy(heartbeat: Duration) -> HealthPolicy {
    let heartbeat = heartbeat.max(HEARTBEAT_MIN);
    HealthPolicy {
        degraded_after_age: heartbeat.saturating_mul(DEGRADED_AFTER_INTERVALS),
        offline_after_age: heartbeat.saturating_mul(OFFLINE_AFTER_INTERVALS),
        ..HealthPolicy::default()
    }
}

#[cfg(test)]
mod tests;
