//! Rotations whose core, or whole house, is killed in the middle: afterwards the server, the files of the
//! consumers and the vault agree on one value, and no other one opens anything.
//!
//! Twenty rounds, or two hundred with `HAUS_SOAK=1`; the moments come from a seed that is printed.

use crate::dice::Dice;
use crate::home::{Home, SOON};
use crate::open_house::OpenHouse;
use crate::stores::{self, ask_client, postgres_login, redis_login, value_of};
use haus_testkit::{Signal, kill, wait_for, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A rotation of both takes about so long when nobody disturbs it.
const SPAN_MS: u64 = 2_000;

/// A core that died so often is started with growing pauses; a new parent begins without.
const CORES_PER_PARENT: u64 = 4;

/// One credential with its server and the two who have it.
struct Pair {
    credential: &'static str,
    consumers: [&'static str; 2],
    port: u16,
    login: fn(u16, &str) -> Result<(), String>,
    /// Every value that was in force before.
    former: BTreeSet<String>,
    present: String,
}

impl Pair {
    fn rotation(&self, home: &Home) -> Option<Value> {
        let output = home.house.ask(&["credential", "show", self.credential, "--json"]);
        let shown: Option<Value> = serde_json::from_str(&output.stdout).ok();
        // A core that comes back answers in a moment.
        let Some(shown) = shown else { return Some(Value::Null) };
        shown.get("rotation").filter(|rotation| !rotation.is_null()).cloned()
    }

    /// Waits for the end of what is under way, and compares everybody's value.
    fn settle(&mut self, house: &OpenHouse, token: &str, service: &str) {
        let home = &house.home;
        wait_until(&format!("the end of the rotation of {}", self.credential), SOON * 4, || {
            let rotation = self.rotation(home);
            let stuck = rotation.as_ref().is_some_and(|rotation| rotation["step"] == "stuck");
            assert!(!stuck, "{rotation:?}");
            rotation.is_none()
        });
        for consumer in self.consumers {
            home.wait_for_phase(consumer, "healthy");
            let previous = || ask_client(home, consumer, "/previous").map(|(status, _)| status);
            assert_eq!(previous(), Some(404), "{consumer} has a previous value");
        }
        let [one, other] = self.consumers.map(|consumer| value_of(home, consumer));
        assert_eq!(one, other, "consumers of {} have different values", self.credential);
        let values = house.values(token, service);
        let kept = values.iter().find(|(name, _)| name == self.credential).map(|(_, value)| value.clone());
        assert_eq!(kept.as_ref(), Some(&one), "the vault and the files of {} differ", self.credential);
        (self.login)(self.port, &one).unwrap_or_else(|why| panic!("{}: {why}", self.credential));
        if one != self.present {
            let before = std::mem::replace(&mut self.present, one);
            self.former.insert(before);
        }
        for value in &self.former {
            assert!((self.login)(self.port, value).is_err(), "a former value of {} opens", self.credential);
        }
    }
}

fn house() -> OpenHouse {
    let services = [
        stores::postgres(),
        stores::redis(""),
        stores::postgres_client("files", "", "on_new_credential: reread"),
        stores::postgres_client("starts", "read=once", ""),
        stores::redis_client("hears", "read=hup", "on_new_credential: { signal: HUP }"),
        stores::redis_client("cache", "", "on_new_credential: reread"),
    ];
    let keys = format!("credentials:\n{}{}", stores::POSTGRES_KEYS, stores::redis_key("1s"));
    let mut house = OpenHouse::new(&services.concat(), &keys);
    stores::furnish(&house.home);
    stores::start(&mut house);
    house
}

fn pairs(home: &Home) -> [Pair; 2] {
    let (postgres, redis) = (stores::port(home, "postgres"), stores::port(home, "redis"));
    let pair = |credential, consumers: [&'static str; 2], port, login| Pair {
        credential,
        consumers,
        port,
        login,
        former: BTreeSet::new(),
        present: value_of(home, consumers[0]),
    };
    [
        pair("zimmer-key", ["files/1", "starts/1"], postgres, postgres_login),
        pair("redis-key", ["hears/1", "cache/1"], redis, redis_login),
    ]
}

/// Kills the core, or everything, and waits until the house answers again.
fn strike(house: &mut OpenHouse, kills_all: bool) {
    if kills_all {
        let core = house.home.house.core_pid();
        kill(house.home.house.up_pid(), Signal::KILL);
        core.into_iter().for_each(|pid| kill(pid, Signal::KILL));
        assert_eq!(house.home.house.wait_for_exit(SOON), None);
        wait_until("the end of every core", SOON, || house.home.house.core_pid().is_none());
        stores::start(house);
    } else {
        let core = wait_for("a core", SOON, || house.home.house.core_pid());
        kill(core, Signal::KILL);
        wait_until("another core", SOON, || {
            house.home.try_status().is_some_and(|status| status["core_pid"] != core)
        });
        house.wait_for_api();
    }
}

#[test]
fn a_rotation_that_is_cut_off_anywhere_ends_with_one_value_everywhere() {
    if !stores::are_here("a_rotation_that_is_cut_off_anywhere") {
        return;
    }
    let mut dice = Dice::new();
    let rounds = if std::env::var_os("HAUS_SOAK").is_some() { 200 } else { 20 };
    let mut house = house();
    let mut pairs = pairs(&house.home);
    for round in 1..=rounds {
        let kills_all = round % (CORES_PER_PARENT + 1) == 0;
        let moment = Duration::from_millis(dice.below(SPAN_MS));
        for pair in &pairs {
            wait_until(&format!("{} to be rotated", pair.credential), SOON, || {
                // Refused while a consumer is degraded, be it by one late answer.
                house.home.house.ask(&["credential", "rotate", pair.credential]).code == Some(0)
            });
        }
        let begun = Instant::now();
        wait_until("the moment of the kill", SOON, || begun.elapsed() >= moment);
        let stood: Vec<String> = pairs
            .iter()
            .map(|pair| {
                pair.rotation(&house.home).map_or("ended".to_owned(), |open| open["step"].to_string())
            })
            .collect();
        strike(&mut house, kills_all);
        let struck = if kills_all { "everything" } else { "the core" };
        eprintln!("round {round}: {struck} killed after {moment:?}, rotations stood at {stood:?}");
        for (pair, service) in pairs.iter_mut().zip(["files", "cache"]) {
            let token = house.token_of(service);
            pair.settle(&house, &token, service);
        }
    }
    let verified = house.home.house.ask(&["trail", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let changed = pairs.iter().map(|pair| pair.former.len()).sum::<usize>();
    assert!(changed > 0, "not one rotation of {rounds} rounds came to its end");
    house.home.down();
}
