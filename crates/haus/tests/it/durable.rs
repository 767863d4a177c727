//! What was acknowledged is there after `kill -9`, whenever it comes, and the trail is whole.
//!
//! Eight clients write while the core, and now and then the parent, is killed. Each remembers what it was
//! answered, and what was under way when the connection broke: that may be there or not, but nothing else.
//! Twenty rounds, or a thousand with `HAUS_SOAK=1`; the order comes from a seed that is printed.

use crate::dice::Dice;
use crate::home::SOON;
use crate::line::Line;
use crate::open_house::{OpenHouse, good, stand};
use haus_testkit::{Signal, kill, wait_for, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

const CLIENTS: u64 = 8;
const FAR: &str = "  far: { as: external, about: \"somewhere else\" }\n";
/// A core that died so often is started with growing pauses; a new parent begins without.
const CORES_PER_PARENT: u64 = 2;

/// A text that was acknowledged, and those that were sent since without an answer.
#[derive(Clone, Debug, Default)]
struct Kept {
    acknowledged: String,
    unsure: Vec<String>,
}

impl Kept {
    fn set(&mut self, text: String, answered: bool) {
        if answered {
            *self = Kept { acknowledged: text, unsure: Vec::new() };
        } else {
            self.unsure.push(text);
        }
    }

    fn may_be(&self, text: &str) -> bool {
        self.acknowledged == text || self.unsure.iter().any(|unsure| unsure == text)
    }
}

/// What one client may rely on.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// The credential that it changes: id, description, value.
    own: String,
    description: Kept,
    value: Kept,
    /// Credentials that were created and not deleted: name, id and value.
    created: BTreeMap<String, (String, String)>,
    /// Names whose creation or deletion was not answered.
    unsure: Vec<String>,
    /// Names whose deletion was answered.
    deleted: Vec<String>,
    /// What its instance said of itself last.
    mark: Kept,
    /// Ids of one-time tokens.
    tokens: Vec<String>,
}

/// How a write ended.
enum Ended {
    /// On disk, with its answer.
    Done(Value),
    /// Refused: it did nothing.
    Refused,
    /// Nobody knows; the connection may still be good.
    Unsure,
    /// Nobody knows, and the connection broke.
    Broken,
}

/// One client with its connection.
struct Client<'a> {
    house: &'a OpenHouse,
    line: Line,
    name: String,
    /// Of its instance; two at one port would be one.
    port: u64,
    admin: &'a str,
    far: &'a str,
    turn: u64,
    memory: Memory,
}

impl Client<'_> {
    fn send(&mut self, token: &str, method: &str, path: &str, body: Option<Value>) -> Ended {
        let ask = self.house.question(Some(token), method, path, body.as_ref());
        match self.line.ask(&ask) {
            Ok(answer) if answer.status < 300 => Ended::Done(good(&answer)),
            // Another act on the same thing is under way, or the same caller was too quick.
            Ok(answer) if matches!(answer.status, 409 | 412) => Ended::Refused,
            // The house is ending, or the disk was slow: nobody promised anything.
            Ok(answer) if answer.status == 503 => Ended::Unsure,
            Ok(answer) => panic!("{method} {path}: {} {}", answer.status, answer.text()),
            Err(_) => Ended::Broken,
        }
    }

    /// One write. Gives whether it was acknowledged; nothing when the connection broke.
    fn write(&mut self, what: u64) -> Option<bool> {
        self.turn += 1;
        let text = format!("{}-{}", self.name, self.turn);
        match what {
            0 | 1 => self.create(&text),
            2 => self.delete(),
            3 => {
                let path = format!("/api/credentials/{}", self.memory.own);
                let ended = self.send(self.admin, "PATCH", &path, Some(json!({ "description": text })));
                settle(ended, |answered| self.memory.description.set(text, answered))
            }
            4 => {
                let path = format!("/api/credentials/{}/rotate", self.memory.own);
                let ended =
                    self.send(self.admin, "POST", &path, Some(json!({ "value": text, "emergency": true })));
                settle(ended, |answered| self.memory.value.set(text, answered))
            }
            5 => {
                let body = json!({
                    "name": "far", "instance": self.name, "port": self.port, "metadata": { "mark": text },
                });
                let ended = self.send(self.far, "POST", "/api/services/register", Some(body));
                settle(ended, |answered| self.memory.mark.set(text, answered))
            }
            _ => {
                let body = json!({ "service": "far", "instance": text });
                let ended = self.send(self.admin, "POST", "/api/tokens", Some(body));
                if let Ended::Done(answer) = &ended {
                    self.memory.tokens.push(answer["id"].as_str().expect("an id is a text").to_owned());
                }
                settle(ended, |_| {})
            }
        }
    }

    fn create(&mut self, name: &str) -> Option<bool> {
        let value = format!("value-of-{name}");
        let body = json!({ "name": name, "service_name": "far", "value": value });
        let ended = self.send(self.admin, "POST", "/api/credentials", Some(body));
        if let Ended::Done(answer) = &ended {
            let id = answer["id"].as_str().expect("an id is a text").to_owned();
            self.memory.created.insert(name.to_owned(), (id, value));
            return Some(true);
        }
        settle(ended, |_| self.memory.unsure.push(name.to_owned()))
    }

    fn delete(&mut self) -> Option<bool> {
        let Some((name, (id, _))) = self.memory.created.pop_first() else { return Some(false) };
        match self.send(self.admin, "DELETE", &format!("/api/credentials/{id}"), None) {
            Ended::Done(_) => {
                self.memory.deleted.push(name);
                Some(true)
            }
            Ended::Refused => panic!("{name} is refused to be deleted"),
            Ended::Unsure => {
                self.memory.unsure.push(name);
                Some(false)
            }
            Ended::Broken => {
                self.memory.unsure.push(name);
                None
            }
        }
    }
}

fn settle(ended: Ended, note: impl FnOnce(bool)) -> Option<bool> {
    match ended {
        Ended::Done(_) => {
            note(true);
            Some(true)
        }
        Ended::Refused => Some(false),
        Ended::Unsure => {
            note(false);
            Some(false)
        }
        Ended::Broken => {
            note(false);
            None
        }
    }
}

/// One round: who writes, and how much was acknowledged so far.
struct Round {
    admin: String,
    far: String,
    number: u64,
    acknowledged: AtomicU64,
    /// Clients that have begun to write; before that nobody may lose the house.
    begun: AtomicU64,
}

impl Round {
    fn name(&self, client: u64) -> String {
        format!("r{}c{client}", self.number)
    }

    /// Writes until the connection breaks.
    fn client(&self, house: &OpenHouse, number: u64, seed: u64) -> Memory {
        let name = self.name(number);
        let first = format!("{name}-first");
        let request = json!({ "name": format!("{name}-own"), "service_name": "far", "value": first });
        let memory = Memory {
            own: house.credential(request),
            value: Kept { acknowledged: first, unsure: Vec::new() },
            ..Memory::default()
        };
        let line = Line::tcp(house.port).expect("the house is up");
        let port = 10_000 + number;
        let mut client =
            Client { house, line, name, port, admin: &self.admin, far: &self.far, turn: 0, memory };
        let mut dice = Dice::of(seed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        while let Some(acknowledged) = client.write(dice.below(7)) {
            self.acknowledged.fetch_add(u64::from(acknowledged), Ordering::Relaxed);
        }
        client.memory
    }

    /// Everything that this client was promised is there, and nothing that it was told is gone.
    fn check(&self, house: &OpenHouse, client: u64, memory: &Memory) {
        let name = self.name(client);
        let own = format!("{name}-own");
        // A rotation that was accepted is carried on by the next core.
        wait_until(&format!("the value of {own}, {:?}", memory.value), SOON, || {
            let values = house.values(&self.far, "far");
            values.iter().any(|(found, value)| *found == own && memory.value.may_be(value))
        });
        let row = good(&house.admin("GET", &format!("/api/credentials/{}", memory.own), None));
        let description = row["description"].as_str().unwrap_or_default();
        assert!(memory.description.may_be(description), "{description} is not of {:?}", memory.description);
        let values: BTreeMap<String, String> = house.values(&self.far, "far").into_iter().collect();
        for (name, (_, value)) in &memory.created {
            assert_eq!(values.get(name), Some(value), "{name} was acknowledged and is lost");
        }
        for name in &memory.deleted {
            assert_eq!(values.get(name), None, "{name} was deleted and is there again");
        }
        let far = good(&house.ask(None, "GET", "/api/services/far", None));
        let instances = far["instances"].as_array().cloned().unwrap_or_default();
        let instance = instances.iter().find(|instance| instance["name"] == name);
        let mark = instance.and_then(|instance| instance["metadata"]["mark"].as_str()).unwrap_or_default();
        assert!(memory.mark.may_be(mark), "far/{name} says {mark:?}, not one of {:?}: {far}", memory.mark);
        let page = good(&house.admin("GET", "/api/tokens?limit=1000", None));
        let tokens = page["items"].as_array().cloned().unwrap_or_default();
        for id in &memory.tokens {
            assert!(
                tokens.iter().any(|token| token["id"] == **id),
                "token {id} was acknowledged and is lost"
            );
        }
    }

    /// Leaves the house as it was, so that a thousand rounds do not grow it.
    fn tidy(&self, house: &OpenHouse, memories: &[Memory]) {
        let page = good(&house.admin("GET", "/api/credentials?limit=1000", None));
        for row in page["items"].as_array().cloned().unwrap_or_default() {
            let path = format!("/api/credentials/{}", row["id"].as_str().expect("an id is a text"));
            // The last rotation may still be under way.
            wait_until("the end of a credential", SOON, || house.admin("DELETE", &path, None).status == 204);
        }
        for id in memories.iter().flat_map(|memory| &memory.tokens) {
            good(&house.admin("DELETE", &format!("/api/tokens/{id}"), None));
        }
        for (client, _) in (0..).zip(memories).filter(|(_, memory)| !memory.mark.acknowledged.is_empty()) {
            let path = format!("/api/services/far?instance={}", self.name(client));
            good(&house.ask(Some(&self.far), "DELETE", &path, None));
        }
        for token in [&self.admin, &self.far] {
            good(&house.post(token, "/api/identity/revoke", json!({})));
        }
    }
}

/// The trail as it lies on disk at this moment is whole.
fn verify(house: &OpenHouse) {
    let copy = tempfile::tempdir().expect("the folder for temporary files is writable");
    let state = house.home.house.state();
    for name in ["house.db", "house.db-wal"] {
        // Without a log the database says it all.
        let _ = fs::copy(state.join(name), copy.path().join(name));
    }
    let told = house.home.house.run(&["trail", "verify", &copy.path().join("house.db").to_string_lossy()]);
    assert_eq!(told.code, Some(0), "{told:?}");
}

#[test]
fn what_was_acknowledged_is_there_after_every_kill() {
    let mut dice = Dice::new();
    let rounds = if std::env::var_os("HAUS_SOAK").is_some() { 1_000 } else { 20 };
    let mut house = OpenHouse::up(FAR, "");
    for number in 1..=rounds {
        let (admin, far) = (house.admin_token(), house.token_of("far"));
        let round = Round { admin, far, number, acknowledged: AtomicU64::new(0), begun: AtomicU64::new(0) };
        let wanted = 1 + dice.below(150);
        let kills_all = number % (CORES_PER_PARENT + 1) == 0;
        let seeds: Vec<u64> = (0..CLIENTS).map(|_| dice.below(1 << 32)).collect();
        let memories: Vec<Memory> = std::thread::scope(|scope| {
            let (house, round) = (&house, &round);
            let spawn = |(client, seed)| scope.spawn(move || round.client(house, client, seed));
            let clients: Vec<_> = (0..).zip(seeds).map(spawn).collect();
            wait_until("enough writes", SOON * 3, || {
                let all_begun = round.begun.load(Ordering::Relaxed) == CLIENTS;
                (all_begun && round.acknowledged.load(Ordering::Relaxed) >= wanted)
                    || clients.iter().any(ScopedJoinHandle::is_finished)
            });
            let pid = if kills_all { house.home.house.up_pid() } else { core(house) };
            kill(pid, Signal::KILL);
            clients.into_iter().map(|client| client.join().expect("a client found a fault")).collect()
        });
        if kills_all {
            assert_eq!(house.home.house.wait_for_exit(SOON), None);
            house.start();
        }
        house.wait_for_api();
        verify(&house);
        for (client, memory) in (0..).zip(&memories) {
            round.check(&house, client, memory);
        }
        round.tidy(&house, &memories);
        let acknowledged = round.acknowledged.load(Ordering::Relaxed);
        eprintln!(
            "round {number}: {acknowledged} writes, {}",
            if kills_all { "all killed" } else { "core killed" }
        );
    }
    house.home.down();
    verify(&house);
}

/// Who registered once is called right after the core came back, not only after its next heartbeat.
#[test]
fn an_instance_that_registered_itself_can_be_used_at_once_after_a_kill() {
    let house = OpenHouse::up(FAR, "");
    let far = house.token_of("far");
    let port = stand("still here");
    good(&house.post(
        &far,
        "/api/services/register",
        json!({ "name": "far", "instance": "a", "port": port }),
    ));
    let caller = house.session(json!({ "name": "caller", "scopes": ["gateway:call:far"] })).access;
    let call = || house.get(&caller, "/api/gateway/proxy/far/x");
    wait_until("the gateway to know far", SOON, || call().status == 200);
    house.kill_core();
    let found = good(&house.ask(None, "GET", "/api/discover?service=far", None));
    assert_eq!((&found["endpoints"][0]["port"], &found["port"]), (&json!(port), &json!(port)), "{found}");
    let answer = call();
    assert_eq!((answer.status, &*answer.text()), (200, "still here"));
    good(&house.post(&far, "/api/services/far/heartbeat", json!({ "instance": "a" })));
}

fn core(house: &OpenHouse) -> u32 {
    wait_for("a core", SOON, || house.home.house.core_pid())
}
