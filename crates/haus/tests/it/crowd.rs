//! A hundred clients at once ask everything: nobody is turned away, nothing of ours goes wrong, shares are
//! fair.

use crate::dice::Dice;
use crate::line::Line;
use crate::open_house::{OpenHouse, echo, good, stand};
use haus_testkit::{HttpAsk, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::home::SOON;

const CLIENTS: u64 = 100;
const REQUESTS_EACH: usize = 50;

fn house() -> OpenHouse {
    let far = "  far: { as: external, about: \"somewhere else\" }\n";
    // What is measured is whether everything is answered, not how soon a failed probe is noticed on a full
    // machine.
    let calm = "health: { get: /health, every: 5s, timeout: 4s, start: 20s }";
    let services = [echo("pair", &format!("instances: 2\n{calm}")), echo("web", calm), far.to_owned()];
    OpenHouse::up(&services.concat(), "routes:\n  \"pair.${domain}\": pair\n")
}

/// What the clients have in their hands.
struct Keys {
    admin: String,
    far: String,
    caller: String,
    credential: String,
}

impl Keys {
    fn of(house: &OpenHouse) -> Keys {
        house.credential(json!({ "name": "shared", "service_name": "far", "value": "v-shared" }));
        Keys {
            admin: house.admin_token(),
            far: house.token_of("far"),
            caller: house.session(json!({ "name": "caller", "scopes": ["gateway:call:*", "read"] })).access,
            credential: house
                .credential(json!({ "name": "changed", "service_name": "web", "value": "v-changed" })),
        }
    }
}

/// One question of many kinds, and the statuses that are right for it.
fn question(
    house: &OpenHouse,
    keys: &Keys,
    client: u64,
    turn: usize,
    kind: u64,
) -> (HttpAsk, &'static [u16]) {
    let unique = format!("c{client}-{turn}");
    let get = |token: Option<&str>, path: &str| house.question(token, "GET", path, None);
    let send = |token: &str, method: &str, path: &str, body: Value| {
        house.question(Some(token), method, path, Some(&body))
    };
    let instance = json!({ "name": "far", "instance": format!("i{client}"), "port": 10_000 + client });
    match kind {
        0 => (get(None, "/health"), &[200]),
        1 => (get(None, "/ready"), &[200]),
        2 => (get(None, "/api/services"), &[200]),
        3 => (get(None, "/api/services/web"), &[200]),
        4 => (get(None, "/api/discover?service=pair"), &[200]),
        5 => (get(None, "/api/health/services"), &[200]),
        6 => (get(None, "/api/health/system"), &[200]),
        7 => (get(Some(&keys.far), "/api/credentials/service/far"), &[200]),
        8 => (send(&keys.far, "POST", "/api/services/register", instance), &[201]),
        9 => (
            send(
                &keys.far,
                "POST",
                "/api/services/far/heartbeat",
                json!({ "instance": format!("i{client}") }),
            ),
            &[200],
        ),
        10 => {
            let body = json!({ "name": unique, "service_name": "web", "value": "v" });
            (send(&keys.admin, "POST", "/api/credentials", body), &[201])
        }
        11 => {
            let path = format!("/api/credentials/{}", keys.credential);
            // Whoever changes it between reading and writing may be told so.
            (send(&keys.admin, "PATCH", &path, json!({ "description": unique })), &[200, 409, 412])
        }
        12 => {
            (get(Some(&keys.admin), "/api/credentials?limit=20&sort_by=created_at&sort_order=desc"), &[200])
        }
        13 => (get(Some(&keys.caller), "/api/gateway/proxy/pair/who"), &[200]),
        14 => {
            let body = json!({ "service": "web", "method": "POST", "path": "/x", "body": { "n": turn } });
            (send(&keys.caller, "POST", "/api/gateway/proxy", body), &[200])
        }
        15 => (get(Some(&keys.caller), "/api/gateway/status"), &[200]),
        16 => (get(Some(&keys.caller), "/metrics"), &[200]),
        17 => (get(Some(&keys.admin), "/api/trail?limit=10"), &[200]),
        18 => (get(Some(&keys.far), "/api/identity/whoami"), &[200]),
        19 => (
            send(&keys.admin, "POST", "/api/tokens", json!({ "service": "far", "expires_in_s": 600 })),
            &[200, 201],
        ),
        20 => (get(None, "/api/watch?wait_s=0"), &[200]),
        21 => (get(None, "/api/identity/keys"), &[200]),
        22 => (get(Some(&keys.admin), "/api/alerts"), &[200]),
        23 => (get(None, "/no/such/path"), &[404]),
        24 => (get(Some(&keys.far), "/api/credentials/service/web"), &[403, 429]),
        _ => (get(None, "/openapi.json"), &[200]),
    }
}

const KINDS: u64 = 26;

#[test]
fn a_hundred_clients_ask_everything_and_not_one_is_failed() {
    let house = house();
    let keys = Keys::of(&house);
    // An instance of every client is there before its first heartbeat.
    for client in 0..CLIENTS {
        let (ask, _) = question(&house, &keys, client, 0, 8);
        assert_eq!(ask.send(house.port).unwrap().status, 201);
    }
    let seed = Dice::new().below(1 << 32);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let client = |number: u64| {
            let (house, keys) = (&house, &keys);
            scope.spawn(move || visit(house, keys, number, seed + number * 7_919))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(
        failures.is_empty(),
        "{} of {}: {:#?}",
        failures.len(),
        CLIENTS as usize * REQUESTS_EACH,
        &failures[..failures.len().min(20)]
    );
    let told = house.home.house.run(&[
        "trail",
        "verify",
        &*house.home.house.state().join("house.db").to_string_lossy(),
    ]);
    assert_eq!(told.code, Some(0), "{told:?}");
}

/// The questions of one client on one connection; gives what was not right.
fn visit(house: &OpenHouse, keys: &Keys, client: u64, seed: u64) -> Vec<String> {
    let mut dice = Dice::of(seed);
    let mut failures = Vec::new();
    let mut line = match Line::tcp(house.port) {
        Ok(line) => line,
        Err(error) => return vec![format!("no connection: {error}")],
    };
    for turn in 0..REQUESTS_EACH {
        let kind = dice.below(KINDS);
        let (ask, right) = question(house, keys, client, turn, kind);
        match line.ask(&ask) {
            Ok(answer) if right.contains(&answer.status) => {}
            Ok(answer) => {
                failures.push(format!("{} {}: {} {}", ask.method, ask.path, answer.status, answer.text()));
            }
            Err(error) => {
                failures.push(format!("{} {}: {error}", ask.method, ask.path));
                match Line::tcp(house.port) {
                    Ok(another) => line = another,
                    Err(error) => return vec![format!("no connection any more: {error}")],
                }
            }
        }
    }
    failures
}

/// How often each was named.
fn shares(names: impl IntoIterator<Item = String>) -> BTreeMap<String, u64> {
    let mut shares = BTreeMap::new();
    for name in names {
        *shares.entry(name).or_default() += 1;
    }
    shares
}

#[track_caller]
fn assert_fair(shares: &BTreeMap<String, u64>) {
    let counts: Vec<u64> = shares.values().copied().collect();
    assert!(matches!(counts[..], [one, other] if one.abs_diff(other) <= 1), "{shares:?}");
}

#[test]
fn two_instances_are_named_and_called_in_fair_turns() {
    let house = house();
    let caller = house.session(json!({ "name": "caller", "scopes": ["gateway:call:pair"] })).access;
    let mut named = Vec::new();
    for _ in 0..101 {
        let found = good(&house.ask(None, "GET", "/api/discover?service=pair", None));
        named.push(found["port"].to_string());
    }
    assert_fair(&shares(named));
    let called = (0..101).map(|_| {
        let answer = house.get(&caller, "/api/gateway/proxy/pair/who");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    });
    assert_fair(&shares(called));
}

#[test]
fn two_instances_that_registered_themselves_are_fair_too() {
    let house = house();
    let far = house.token_of("far");
    for name in ["one", "two"] {
        let body = json!({ "name": "far", "instance": name, "port": stand(name) });
        good(&house.post(&far, "/api/services/register", body));
    }
    let caller = house.session(json!({ "name": "caller", "scopes": ["gateway:call:far"] })).access;
    let ask = || house.get(&caller, "/api/gateway/proxy/far/who");
    wait_until("the gateway to know both", SOON, || {
        let seen = shares((0..2).map(|_| ask().text()));
        seen.contains_key("one") && seen.contains_key("two")
    });
    let named =
        (0..51).map(|_| good(&house.ask(None, "GET", "/api/discover?service=far", None))["port"].to_string());
    assert_fair(&shares(named));
    assert_fair(&shares((0..51).map(|_| ask().text())));
}
