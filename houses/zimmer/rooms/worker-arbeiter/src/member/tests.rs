//! A member against a fake coordinator: one closure that remembers what it was asked.

use super::*;
use std::sync::{Arc, Mutex};

/// What the fake knows and was asked.
#[derive(Default)]
struct Fake {
    asked: Vec<String>,
    enrolments: Vec<String>,
    issued: u32,
    registered: bool,
    loads: Vec<f64>,
    instead: Option<Told>,
}

impl Fake {
    fn answer(&mut self, ask: &Ask<'_>) -> Told {
        self.asked.push(format!("{} {}", ask.method, ask.path));
        if let Some(told) = self.instead.take() {
            return told;
        }
        let body = ask.body.clone().unwrap_or_default();
        let known = ask.token.is_some_and(|token| token == format!("access-{}", self.issued));
        let refused = |status, code: &str| Told { status, body: json!({ "code": code }) };
        let seen = json!({ "id": "room/1", "heartbeat_interval_s": 30 });
        match (ask.method, ask.path) {
            ("POST", "/api/identity/enrol") => {
                let at = self.enrolments.iter().position(|token| body["token"] == token.as_str());
                at.map_or(refused(410, "expired"), |at| {
                    self.enrolments.remove(at);
                    self.tokens()
                })
            }
            ("POST", "/api/identity/refresh")
                if body["refresh_token"] == format!("refresh-{}", self.issued) =>
            {
                self.tokens()
            }
            ("POST", "/api/identity/refresh") => refused(401, "unauthorized"),
            _ if !known => refused(401, "unauthorized"),
            ("POST", "/api/services/register") => {
                self.registered = true;
                Told { status: 201, body: seen }
            }
            ("DELETE", _) => {
                self.registered = false;
                Told { status: 204, body: Value::Null }
            }
            _ if !self.registered => refused(404, "not-found"),
            _ => {
                self.loads.push(body["load"].as_f64().expect("a load"));
                Told { status: 200, body: seen }
            }
        }
    }

    fn tokens(&mut self) -> Told {
        self.issued += 1;
        let (access, refresh) = (format!("access-{}", self.issued), format!("refresh-{}", self.issued));
        Told {
            status: 200,
            body: json!({ "access_token": access, "refresh_token": refresh, "expires_in": 900 }),
        }
    }
}

struct Rig {
    fake: Arc<Mutex<Fake>>,
    member: Member,
    file: PathBuf,
    begun: Instant,
    _folder: tempfile::TempDir,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("HAUS_ENROLMENT");
    std::fs::write(&file, "haus_en_one\n").expect("written");
    let fake = Arc::new(Mutex::new(Fake { enrolments: vec!["haus_en_one".to_owned()], ..Fake::default() }));
    let asked = Arc::clone(&fake);
    let send: Send = Box::new(move |ask| Ok(asked.lock().expect("not poisoned").answer(ask)));
    let identity = Identity { name: "room".to_owned(), port: 4711, enrolment: Some(file.clone()) };
    Rig { fake, member: Member::new(identity, send), file, begun: Instant::now(), _folder: folder }
}

impl Rig {
    fn step(&mut self, after_s: u64) -> f64 {
        self.member.step(self.begun + Duration::from_secs(after_s), 0.25, 1.0).as_secs_f64()
    }

    fn fake(&self) -> std::sync::MutexGuard<'_, Fake> {
        self.fake.lock().expect("not poisoned")
    }
}

#[test]
fn it_enrols_registers_sends_its_load_and_leaves() {
    let mut rig = rig();
    assert_eq!((rig.step(0), rig.step(30)), (30.0, 30.0));
    rig.member.leave();
    rig.member.leave();
    let expected = [
        "POST /api/identity/enrol",
        "POST /api/services/register",
        "POST /api/services/room/heartbeat",
        "DELETE /api/services/room",
    ];
    assert_eq!(rig.fake().asked, expected);
    assert_eq!(rig.fake().loads, [0.25]);
    assert_eq!(rig.member.state, "deregistered");
}

#[test]
fn tokens_are_exchanged_before_they_end_and_when_they_were_taken_back() {
    let mut rig = rig();
    rig.step(0);
    assert_eq!((rig.step(700), rig.fake().issued), (30.0, 1));
    assert_eq!((rig.step(730), rig.fake().issued), (30.0, 2));
    rig.fake().instead = Some(Told { status: 401, body: Value::Null });
    assert_eq!(rig.step(760), 1.0);
    assert_eq!((rig.step(761), rig.fake().issued), (30.0, 3));
}

#[test]
fn it_registers_again_when_the_coordinator_forgot_it() {
    let mut rig = rig();
    rig.step(0);
    rig.fake().registered = false;
    assert_eq!((rig.step(30), rig.step(30)), (0.0, 30.0));
    assert!(rig.fake().registered);
}

#[test]
fn a_used_one_time_token_is_shown_once_and_a_new_one_opens_the_door() {
    let mut rig = rig();
    rig.fake().enrolments.clear();
    rig.step(0);
    assert_eq!((rig.step(60), rig.fake().asked.len()), (60.0, 1));
    rig.fake().enrolments.push("haus_en_two".to_owned());
    std::fs::write(&rig.file, "haus_en_two").expect("written");
    assert_eq!(rig.step(120), 30.0);
}

#[test]
fn pauses_grow_while_nobody_answers_and_a_wish_to_be_left_alone_is_kept() {
    let mut rig = rig();
    rig.member.send = Box::new(|_| Err(io::ErrorKind::ConnectionRefused.into()));
    let pauses: Vec<f64> = (0..9).map(|_| rig.step(0)).collect();
    assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
    let mut rig = self::rig();
    rig.fake().instead = Some(Told { status: 429, body: json!({ "retry_after_s": 200 }) });
    assert_eq!(rig.step(0), 200.0);
}

#[test]
fn answers_that_nobody_understands_are_failures_and_no_token_is_told() {
    let mut rig = rig();
    for body in [json!([]), json!({ "access_token": 1 }), json!({ "expires_in": -1 })] {
        std::fs::write(&rig.file, format!("haus_en_{}", rig.fake().asked.len())).expect("written");
        rig.fake().instead = Some(Told { status: 200, body });
        assert_eq!(rig.step(0), 60.0);
        assert_eq!(rig.member.state, "not registered: an answer without tokens");
    }
}
