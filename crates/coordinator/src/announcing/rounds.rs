//! The rounds: lets announced instances age, asks those for their health that want to be asked, forgets who
//! is gone.
//!
//! Threat: an instance that answers slowly or never must not delay the others: each is asked in a task of its
//! own, one question at a time, and questions are spread so that a thousand instances do not fall into one
//! moment.

use super::{tell, written_off};
use crate::desk::Desk;
use haus_model::ServiceName;
use haus_model::health::{Expectation, ProbeOutcome};
use haus_probe::{HttpMethod, ProbeTarget};
use haus_watch::random::Random;
use haus_watch::schedule;
use haus_watch::timer::Timers;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Questions at the same time.
const PROBES_MAX: usize = 256;

/// Those of one service: its dead instances wait for each other, not the others for them.
const PROBES_OF_SERVICE_MAX: usize = 16;

/// The first question comes within so long.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// An instance.
pub(super) type Key = (ServiceName, String);

/// Goes round until the runtime ends.
pub(super) async fn run(desk: Arc<Desk>) {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let mut prober = Prober {
        due: Timers::default(),
        room: Room::default(),
        ended,
        random: Random::new(u64::from(std::process::id())),
    };
    loop {
        let now = desk.clock.now();
        let next = [desk.directory.age_timeout(), prober.due.next()].into_iter().flatten().min();
        tokio::select! {
            () = pause(next.map(|at| at.since(now))) => {}
            () = desk.directory.rearm.notified() => {}
            Some(key) = ends.recv() => prober.again(&desk, &key),
        }
        let now = desk.clock.now();
        if desk.directory.age_timeout().is_some_and(|at| at <= now) {
            let changes = desk.directory.age(now);
            tell(&desk, &changes);
            written_off(&desk, changes);
        }
        for key in desk.directory.take_fresh() {
            prober.begin(&desk, &key);
        }
        for key in prober.due.take_due(now) {
            prober.ask(&desk, key);
        }
    }
}

async fn pause(length: Option<Duration>) {
    match length {
        // Timers of the runtime are exact to a millisecond; the rest is so that nothing is looked at too
        // early.
        Some(length) => tokio::time::sleep(length + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}

/// Room for questions: so many of each service, and so many of all.
struct Room {
    all: Arc<Semaphore>,
    services: HashMap<ServiceName, Arc<Semaphore>>,
}

/// The room that one question needs.
struct Share {
    of_service: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Room {
        Room { all: Arc::new(Semaphore::new(PROBES_MAX)), services: HashMap::new() }
    }
}

impl Room {
    fn of(&mut self, service: &ServiceName) -> Share {
        if self.services.len() > PROBES_MAX {
            self.services.retain(|_, of_service| Arc::strong_count(of_service) > 1);
        }
        let of_service = self.services.entry(service.clone());
        let of_service = of_service.or_insert_with(|| Arc::new(Semaphore::new(PROBES_OF_SERVICE_MAX)));
        Share { of_service: Arc::clone(of_service), all: Arc::clone(&self.all) }
    }
}

impl Share {
    /// Waits for its service first, so that whoever waits there takes no room from the others. The semaphores
    /// are never closed.
    async fn enter(&self) -> impl Sized + '_ {
        (self.of_service.acquire().await, self.all.acquire().await)
    }
}

struct Prober {
    due: Timers<Key>,
    room: Room,
    /// Who can be asked again.
    ended: mpsc::UnboundedSender<Key>,
    random: Random,
}

impl Prober {
    /// Plans the first question to an instance that has just registered, or forgets one that wants none.
    fn begin(&mut self, desk: &Desk, key: &Key) {
        let member = desk.directory.member(&key.0, &key.1);
        let first = member.and_then(|member| member.said.health).map(|check| {
            let within = FIRST_WITHIN.min(Duration::from_secs(check.interval_seconds));
            desk.clock.now().after(schedule::first_offset(&format!("{}/{}", key.0, key.1), within))
        });
        self.due.set(key, first);
    }

    /// Plans the next question.
    fn again(&mut self, desk: &Desk, key: &Key) {
        let Some(check) = desk.directory.member(&key.0, &key.1).and_then(|member| member.said.health) else {
            return;
        };
        let every = Duration::from_secs(check.interval_seconds.max(1));
        let next = desk.clock.now().after(schedule::jittered(every, &mut self.random));
        self.due.set(key, Some(next));
    }

    fn ask(&mut self, desk: &Arc<Desk>, key: Key) {
        let Some(member) = desk.directory.member(&key.0, &key.1) else { return };
        let Some(check) = member.said.health.clone() else { return };
        let address = member.address();
        let target = ProbeTarget::Http {
            method: if check.method == "HEAD" { HttpMethod::Head } else { HttpMethod::Get },
            address,
            host: address.to_string(),
            path: check.endpoint,
            expect: Expectation::default(),
        };
        let (desk, room, ended) = (Arc::clone(desk), self.room.of(&key.0), self.ended.clone());
        tokio::spawn(async move {
            let _turn = room.enter().await;
            let outcome = haus_probe::probe(&target, Duration::from_secs(check.timeout_seconds)).await;
            desk.meters.probed(outcome.ok, Duration::from_millis(outcome.took_ms));
            heard(&desk, &key, address, &outcome);
            // Nobody listens when the runtime ends.
            let _ = ended.send(key);
        });
    }
}

/// Takes what an instance answered, unless it has moved meanwhile.
fn heard(desk: &Desk, key: &Key, address: std::net::SocketAddr, outcome: &ProbeOutcome) {
    let is_same = desk.directory.member(&key.0, &key.1).is_some_and(|member| member.address() == address);
    if is_same {
        tell(desk, &desk.directory.probed(&key.0, &key.1, outcome));
    }
}

/// Monotonic milliseconds, for tests of the rhythm.
#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::Timestamp;

    #[tokio::test]
    async fn a_crowd_of_one_service_leaves_room_for_the_others() {
        let mut room = Room::default();
        let (crowd, other) = (room.of(&"crowd".parse().unwrap()), room.of(&"other".parse().unwrap()));
        let mut held = Vec::new();
        for _ in 0..PROBES_OF_SERVICE_MAX {
            held.push(crowd.enter().await);
        }
        assert!(crowd.of_service.try_acquire().is_err(), "one more has to wait");
        assert_eq!(crowd.all.available_permits(), PROBES_MAX - PROBES_OF_SERVICE_MAX);
        drop(other.enter().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_after_its_deadline_and_never_before() {
        let begun = tokio::time::Instant::now();
        pause(Some(Timestamp(90_000).since(Timestamp(60_000)))).await;
        assert!(begun.elapsed() >= Duration::from_secs(30));
    }
}
