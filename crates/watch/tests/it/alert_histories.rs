//! Random histories of alerts against what must hold in each of them.

use crate::alert_scenario::receiver;
use haus_model::Timestamp;
use haus_model::alert::{AlertLevel, Alerting};
use haus_watch::alert::{
    AlertPhase, AlertRules, AlertView, Alerts, Condition, DISK_LOW, Held, OpenWindow, SERVICE_DEGRADED,
    SERVICE_GAVE_UP, SERVICE_OFFLINE, SavedAlerts, Silence, Subject, Tell, TellState,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const AFTER: Duration = Duration::from_secs(60);
const REPEAT: Duration = Duration::from_secs(600);
const SERVICES: [&str; 4] = ["db", "api", "web", "worker"];
const KINDS: [&str; 4] = [SERVICE_DEGRADED, SERVICE_OFFLINE, SERVICE_GAVE_UP, DISK_LOW];

#[derive(Clone, Debug)]
enum Event {
    Raise(usize, usize, bool),
    Clear(usize, usize),
    Maintenance(Option<usize>, i64),
    NoMaintenance,
    Silence(Option<usize>, i64),
    Unsilence,
    Pass(i64),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let service = 0..SERVICES.len();
    let kind = 0..KINDS.len();
    let covered = proptest::option::of(0..SERVICES.len());
    prop_oneof![
        8 => (service.clone(), kind.clone(), any::<bool>()).prop_map(|(s, k, bad)| Event::Raise(s, k, bad)),
        6 => (service, kind).prop_map(|(s, k)| Event::Clear(s, k)),
        1 => (covered.clone(), 1..900_000_i64).prop_map(|(covered, ms)| Event::Maintenance(covered, ms)),
        1 => Just(Event::NoMaintenance),
        1 => (covered, 1..900_000_i64).prop_map(|(covered, ms)| Event::Silence(covered, ms)),
        1 => Just(Event::Unsilence),
        8 => prop_oneof![1..50_000_i64, Just(60_000), Just(700_000)].prop_map(Event::Pass),
        1 => Just(Event::Restart),
    ]
}

fn rules(repeat: bool) -> AlertRules {
    let needs = [("api", "db"), ("web", "api"), ("worker", "worker"), ("db", "db")];
    AlertRules {
        alerting: Alerting {
            after: AFTER,
            repeat: repeat.then_some(REPEAT),
            receivers: vec![
                receiver("all", AlertLevel::Info, ""),
                receiver("phone", AlertLevel::Critical, ""),
                receiver("dba", AlertLevel::Info, "db"),
            ],
        },
        needs: needs.map(|(one, other)| (one.parse().unwrap(), vec![other.parse().unwrap()])).into(),
    }
}

/// What one receiver heard of one alert.
#[derive(Clone, Copy, Debug)]
struct Heard {
    last_at: Timestamp,
    level: AlertLevel,
}

struct World {
    alerts: Alerts,
    rules: AlertRules,
    now: Timestamp,
    /// By alert, then by receiver; gone when resolved.
    heard: BTreeMap<String, BTreeMap<String, Heard>>,
    /// Conditions that are there, with when they came.
    raised: BTreeMap<(usize, usize), Timestamp>,
    quiet_all_until: Timestamp,
}

impl World {
    fn new(repeat: bool) -> World {
        let rules = rules(repeat);
        World {
            alerts: Alerts::new(rules.clone()),
            rules,
            now: Timestamp(0),
            heard: BTreeMap::new(),
            raised: BTreeMap::new(),
            quiet_all_until: Timestamp(0),
        }
    }

    fn happen(&mut self, event: &Event) {
        let now = self.now;
        let covered = |service: Option<usize>| {
            service.into_iter().map(|service| SERVICES[service].parse().unwrap()).collect::<Vec<_>>()
        };
        match *event {
            Event::Raise(service, kind, bad) => {
                self.raised.entry((service, kind)).or_insert(now);
                let level = if bad { AlertLevel::Critical } else { AlertLevel::Warning };
                self.alerts.raise(
                    now,
                    Condition {
                        subject: SERVICES[service].parse().unwrap(),
                        kind: KINDS[kind].to_owned(),
                        level,
                        services: Vec::new(),
                        why: "wrong".to_owned(),
                    },
                );
            }
            Event::Clear(service, kind) => {
                self.raised.remove(&(service, kind));
                self.alerts.clear(now, &SERVICES[service].parse().unwrap(), KINDS[kind], "right");
            }
            Event::Maintenance(service, ms) => {
                let until = Timestamp(now.0 + ms);
                let window = OpenWindow { name: "w".to_owned(), services: covered(service), until };
                self.alerts.set_maintenance(now, vec![window]);
            }
            Event::NoMaintenance => self.alerts.set_maintenance(now, Vec::new()),
            Event::Silence(service, ms) => {
                let until = Timestamp(now.0 + ms);
                self.quiet_all_until = if service.is_none() { until } else { Timestamp(0) };
                let silence =
                    Silence { id: "s".to_owned(), services: covered(service), until, why: String::new() };
                self.alerts.silence(now, silence);
            }
            Event::Unsilence => {
                self.quiet_all_until = Timestamp(0);
                self.alerts.end_silence(now, "s");
            }
            Event::Pass(ms) => self.pass(Timestamp(now.0 + ms)),
            Event::Restart => {
                let saved = serde_json::to_string(&self.alerts.save()).unwrap();
                let saved: SavedAlerts = serde_json::from_str(&saved).unwrap();
                self.alerts = Alerts::restore(now, self.rules.clone(), saved);
            }
        }
        self.fetch();
    }

    fn pass(&mut self, until: Timestamp) {
        // Every look either tells, ends or waits: a deadline that stays where it is would be an endless loop.
        let mut looks = 0;
        while let Some(at) = self.alerts.poll_timeout().filter(|at| *at <= until) {
            looks += 1;
            assert!(looks < 10_000, "{:?}", self.alerts);
            self.now = self.now.max(at);
            self.alerts.handle_timeout(self.now);
            self.fetch();
        }
        self.now = until;
    }

    fn fetch(&mut self) {
        while let Some(tell) = self.alerts.poll_tell() {
            assert!(self.now >= self.quiet_all_until, "told in silence: {tell:?}");
            assert_eq!(tell.at, self.now);
            self.check(&tell);
        }
    }

    fn check(&mut self, tell: &Tell) {
        let key = |tell: &Tell| {
            let service = SERVICES.iter().position(|name| *name == tell.subject.to_string());
            (service.unwrap(), KINDS.iter().position(|kind| *kind == tell.kind).unwrap())
        };
        let raised_at = self.raised.get(&key(tell)).copied();
        match tell.state {
            TellState::Firing => {
                assert!(raised_at.is_some(), "nothing is wrong: {tell:?}");
                let is_at_once = tell.kind == SERVICE_GAVE_UP;
                assert!(is_at_once || tell.at.since(tell.since) >= AFTER, "too early: {tell:?}");
                let heard = self.heard.entry(tell.id.clone()).or_default();
                for receiver in &tell.receivers {
                    let first = Heard { last_at: tell.at, level: tell.level };
                    assert!(heard.insert(receiver.clone(), first).is_none(), "told twice: {tell:?}");
                }
            }
            TellState::Repeat => {
                assert!(raised_at.is_some(), "nothing is wrong: {tell:?}");
                let heard = self.heard.get_mut(&tell.id).unwrap();
                for receiver in &tell.receivers {
                    let before = heard.get_mut(receiver).unwrap();
                    let is_time =
                        self.rules.alerting.repeat.is_some() && tell.at.since(before.last_at) >= REPEAT;
                    assert!(is_time || tell.level > before.level, "too soon: {tell:?} after {before:?}");
                    *before = Heard { last_at: tell.at, level: tell.level };
                }
            }
            TellState::Resolved => {
                assert!(raised_at.is_none(), "it still is wrong: {tell:?}");
                let heard = self.heard.remove(&tell.id).expect("resolved, but never told");
                assert!(heard.keys().eq(tell.receivers.iter()), "{heard:?} heard of it: {tell:?}");
            }
        }
    }

    /// No circle is in these needs, so at the root of everything that is held back stands something that is
    /// not.
    fn check_held(&self) {
        let views: Vec<_> = self.alerts.alerts().collect();
        for view in &views {
            let root = match view.held {
                Some(Held::FollowUp { of }) => {
                    let of = Subject::Service(of.clone());
                    let is_root = |held: &Held| !matches!(held, Held::FollowUp { .. });
                    of != *view.subject
                        && views.iter().any(|other| {
                            *other.subject == of
                                && other.level >= view.level
                                && other.held.is_none_or(is_root)
                        })
                }
                Some(Held::Worse { kind }) => {
                    views.iter().any(|other| other.subject == view.subject && other.kind == kind)
                }
                Some(Held::Maintenance { .. } | Held::Silence { .. }) | None => true,
            };
            assert!(root, "nothing stands for {view:?} in {views:?}");
        }
    }
}

fn config() -> ProptestConfig {
    let soak = std::env::var("HAUS_SOAK").is_ok_and(|value| value == "1");
    let cases = if soak { 10_000 } else { 500 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_nobody_hears_too_much_and_everybody_hears_the_end(
        repeat in any::<bool>(),
        events in vec(event(), 0..100),
    ) {
        let mut world = World::new(repeat);
        for event in &events {
            world.happen(event);
            world.check_held();
        }
        // At the end nothing is quiet, and everything that lasts is told by itself or stands behind another.
        world.happen(&Event::Unsilence);
        world.happen(&Event::NoMaintenance);
        world.happen(&Event::Pass(1_000_000));
        world.check_held();
        let is_untold = |view: &AlertView<'_>| view.phase == AlertPhase::Pending && view.held.is_none();
        let untold: Vec<_> = world.alerts.alerts().filter(is_untold).collect();
        prop_assert!(untold.is_empty(), "{untold:?}");
        for service in 0..SERVICES.len() {
            (0..KINDS.len()).for_each(|kind| world.happen(&Event::Clear(service, kind)));
        }
        world.happen(&Event::Pass(1_000_000));
        prop_assert_eq!(world.alerts.alerts().count(), 0);
        prop_assert!(world.heard.is_empty(), "never resolved: {:?}", world.heard);
        prop_assert_eq!(world.alerts.poll_timeout(), None);
    }

    /// Saving and reading at any time changes nothing of what comes when no time is lost over it.
    #[test]
    fn what_is_saved_reads_back_the_same(events in vec(event(), 0..60)) {
        let mut world = World::new(true);
        for event in &events {
            world.happen(event);
            let saved = world.alerts.save();
            let text = serde_json::to_string(&saved).unwrap();
            // What holds an alert back is found anew with the first look.
            let read: SavedAlerts = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }
}
