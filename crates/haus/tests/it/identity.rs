//! Who comes in, as what, for how long, and who does not: over the port, with real tokens.

use crate::home::SOON;
use crate::open_house::{OpenHouse, Session, echo, good, refused};
use haus_testkit::{HttpAnswer, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const FAR: &str = "  far: { as: external, about: \"somewhere else\" }\n";

fn house() -> OpenHouse {
    OpenHouse::up(&format!("{}{FAR}", echo("web", "")), "")
}

fn enrol(house: &OpenHouse, token: &str, instance: Option<&str>) -> HttpAnswer {
    let mut body = json!({ "token": token });
    if let Some(instance) = instance {
        body["instance"] = json!(instance);
    }
    house.ask(None, "POST", "/api/identity/enrol", Some(body))
}

fn refresh(house: &OpenHouse, token: &str) -> HttpAnswer {
    house.ask(None, "POST", "/api/identity/refresh", Some(json!({ "refresh_token": token })))
}

fn whoami(house: &OpenHouse, token: &str) -> HttpAnswer {
    house.get(token, "/api/identity/whoami")
}

/// The open one-time tokens and sessions of this subject.
fn open(house: &OpenHouse, kind: &str, subject: &str) -> Vec<Value> {
    let page = good(&house.admin("GET", "/api/tokens?limit=1000", None));
    let items = page["items"].as_array().cloned().unwrap_or_default();
    items.into_iter().filter(|item| item["kind"] == kind && item["subject"] == subject).collect()
}

#[test]
fn a_one_time_token_lets_in_once() {
    let house = house();
    let token = house.enrolment(json!({ "service": "far" }));
    let session = house.enrol(&token);
    let who = good(&whoami(&house, &session.access));
    assert_eq!((&who["subject"], &who["service"]), (&json!("service:far"), &json!("far")), "{who}");
    refused(&enrol(&house, &token, None), 410, "expired");
    let tried = good(&house.admin("GET", "/api/trail?action=token-enrol", None));
    let outcomes: Vec<&str> =
        tried["entries"].as_array().unwrap().iter().filter_map(|entry| entry["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["denied", "allowed"], "the second use is on record: {tried}");
    good(&whoami(&house, &session.access));
}

#[test]
fn of_many_who_show_the_same_one_time_token_one_comes_in() {
    let house = house();
    let token = house.enrolment(json!({ "service": "far" }));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..16).map(|_| scope.spawn(|| enrol(&house, &token, None).status)).collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 410 | 429)), "{statuses:?}");
    assert_eq!(open(&house, "session", "service:far").len(), 1);
}

#[test]
fn a_one_time_token_is_bound_to_its_instance_and_its_service() {
    let house = house();
    let token = house.enrolment(json!({ "service": "far", "instance": "a" }));
    refused(&enrol(&house, &token, Some("b")), 422, "invalid");
    let session = Session::of(&good(&enrol(&house, &token, Some("a"))));
    let register = |name: &str, instance: &str| {
        let body = json!({ "name": name, "instance": instance, "port": 4_711 });
        house.post(&session.access, "/api/services/register", body)
    };
    refused(&register("web", "1"), 403, "forbidden");
    let other = register("far", "b");
    assert!(matches!(other.status, 403 | 422), "{} {}", other.status, other.text());
    assert_eq!(good(&register("far", "a"))["id"], "far/a");
    refused(&house.admin("POST", "/api/tokens", Some(json!({ "service": "nobody" }))), 422, "invalid");
}

#[test]
fn a_one_time_token_ends_with_its_time() {
    let house = house();
    let token = house.enrolment(json!({ "service": "far", "expires_in_s": 1 }));
    wait_until("the token to be over", SOON, || open(&house, "enrolment", "service:far").is_empty());
    refused(&enrol(&house, &token, None), 410, "expired");
}

#[test]
fn a_one_time_token_that_was_taken_back_lets_nobody_in() {
    let house = house();
    let made = good(&house.admin("POST", "/api/tokens", Some(json!({ "service": "far" }))));
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert_eq!(house.admin("DELETE", &format!("/api/tokens/{id}"), None).status, 204);
    refused(&enrol(&house, token, None), 401, "unauthorized");
    refused(&house.admin("DELETE", &format!("/api/tokens/{id}"), None), 404, "not-found");
}

#[test]
fn a_stranger_registers_nothing_and_a_service_nobody_else() {
    let house = house();
    let body = || json!({ "name": "far", "instance": "a", "port": 4_711 });
    refused(&house.ask(None, "POST", "/api/services/register", Some(body())), 401, "unauthorized");
    let web = house.token_of("web");
    refused(&house.post(&web, "/api/services/register", body()), 403, "forbidden");
    let entry = house.entries("service-register", "service:far/a").into_iter().next();
    let entry = entry.or_else(|| house.entries("service-register", "service:far").into_iter().next());
    let entry = entry.expect("the refusal is in the trail");
    assert_eq!((&entry["actor"], &entry["outcome"]), (&json!("service:web"), &json!("denied")), "{entry}");
    refused(&house.ask(None, "GET", "/api/discover?service=far", None), 503, "unavailable");
}

#[test]
fn a_denied_read_is_403_and_an_entry_that_names_both() {
    let house = house();
    house.credential(json!({ "name": "key", "service_name": "far", "value": "v-1" }));
    let web = house.token_of("web");
    let mut ask = house.question(Some(&web), "GET", "/api/credentials/service/far", None);
    ask.headers.push(("X-Request-ID".to_owned(), "looked-for-1".to_owned()));
    let problem = refused(&ask.send(house.port).unwrap(), 403, "forbidden");
    assert_eq!(problem["request_id"], "looked-for-1", "{problem}");
    let trail = good(&house.admin("GET", "/api/trail?action=credential-read&actor=service:web", None));
    let entry = &trail["entries"][0];
    assert_eq!(
        (&entry["outcome"], &entry["request_id"]),
        (&json!("denied"), &json!("looked-for-1")),
        "{trail}"
    );
    for (method, path) in [("GET", "/api/trail"), ("POST", "/api/tokens"), ("POST", "/api/credentials")] {
        let body =
            (method == "POST").then(|| json!({ "name": "x", "service_name": "web", "service": "web" }));
        let answer = house.ask(Some(&web), method, path, body);
        assert!(matches!(answer.status, 403 | 422), "{method} {path}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn a_refresh_token_works_once_and_its_copy_ends_the_session() {
    let house = house();
    let first = house.session(json!({ "service": "far" }));
    let second = Session::of(&good(&refresh(&house, &first.refresh)));
    good(&whoami(&house, &second.access));
    refused(&refresh(&house, &first.refresh), 401, "unauthorized");
    refused(&refresh(&house, &second.refresh), 401, "unauthorized");
    for access in [&first.access, &second.access] {
        refused(&whoami(&house, access), 401, "unauthorized");
    }
    assert!(open(&house, "session", "service:far").is_empty());
    let revoked = good(&house.admin("GET", "/api/trail?action=token-revoke", None));
    assert_eq!(revoked["entries"].as_array().unwrap().len(), 1, "{revoked}");
}

#[test]
fn a_revocation_outlives_the_core_and_the_house() {
    let mut house = house();
    let (gone, kept) =
        (house.session(json!({ "service": "far" })), house.session(json!({ "service": "far" })));
    good(&house.post(&gone.access, "/api/identity/revoke", json!({})));
    let still_gone = |house: &OpenHouse, when: &str| {
        assert_eq!(whoami(house, &gone.access).status, 401, "{when}");
        assert_eq!(refresh(house, &gone.refresh).status, 401, "{when}");
        assert_eq!(whoami(house, &kept.access).status, 200, "{when}");
    };
    still_gone(&house, "at once");
    house.kill_core();
    still_gone(&house, "after kill -9 of the core");
    house.home.down();
    house.start();
    still_gone(&house, "after a restart of the house");
    good(&refresh(&house, &kept.refresh));
}

#[test]
fn an_administrator_ends_the_session_of_somebody_else() {
    let house = house();
    let session = house.session(json!({ "name": "script", "scopes": ["read"] }));
    let id = open(&house, "session", "token:script")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(house.admin("DELETE", &format!("/api/tokens/{id}"), None).status, 204);
    refused(&whoami(&house, &session.access), 401, "unauthorized");
    refused(&refresh(&house, &session.refresh), 401, "unauthorized");
}

#[test]
fn a_credential_that_is_too_old_is_gone_and_says_so() {
    let house = house();
    let id =
        house.credential(json!({ "name": "short", "service_name": "far", "value": "soon-over", "ttl_s": 1 }));
    let far = house.token_of("far");
    let mut last = None;
    wait_until("the credential to be too old", SOON, || {
        let answer = house.get(&far, "/api/credentials/service/far");
        let over = answer.status == 410;
        assert!(over || answer.status == 200, "{} {}", answer.status, answer.text());
        last = Some(answer);
        over
    });
    let problem = refused(&last.unwrap(), 410, "expired");
    assert!(problem["detail"].as_str().unwrap().contains("short"), "{problem}");
    good(&house.admin(
        "POST",
        &format!("/api/credentials/{id}/rotate"),
        Some(json!({ "value": "the-next" })),
    ));
}

#[test]
fn a_new_signing_key_ends_no_session_and_a_stolen_one_ends_all_at_once() {
    let house = house();
    let session = house.session(json!({ "service": "far" }));
    let keys = || -> BTreeSet<String> {
        let answer = good(&house.ask(None, "GET", "/api/identity/keys", None));
        let keys = answer["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let before = keys();
    assert_eq!(before.len(), 1);
    let rotated = good(&house.admin("POST", "/api/tokens/rotate-key", Some(json!({}))));
    let after = keys();
    assert!(after.is_superset(&before) && after.len() == 2, "{after:?}");
    assert!(after.contains(rotated["key_id"].as_str().unwrap()), "{rotated}");
    good(&whoami(&house, &session.access));
    let next = Session::of(&good(&refresh(&house, &session.refresh)));
    good(&whoami(&house, &next.access));
    house.kill_core();
    good(&whoami(&house, &session.access));
    good(&whoami(&house, &next.access));
    good(&house.admin("POST", "/api/tokens/rotate-key?emergency=true", None));
    for token in [&session.access, &next.access] {
        refused(&whoami(&house, token), 401, "unauthorized");
    }
    let third = Session::of(&good(&refresh(&house, &next.refresh)));
    good(&whoami(&house, &third.access));
}

#[test]
fn the_eleventh_wrong_token_waits_and_nobody_else_does() {
    let house = house();
    let right = house.token_of("far");
    // Of the right form, signed by nobody: the last character is another one.
    let mut wrong = right.clone();
    let last = wrong.pop().unwrap();
    wrong.push(if last == 'A' { 'Q' } else { 'A' });
    for turn in 1..=10 {
        assert_eq!(whoami(&house, &wrong).status, 401, "the {turn}. time");
    }
    let answer = whoami(&house, &wrong);
    let problem = refused(&answer, 429, "too-many-requests");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait) && problem["retry_after_s"] == wait, "{problem}");
    good(&whoami(&house, &right));
    let refusals = good(&house.admin("GET", "/api/trail?action=token-refuse&limit=1000", None));
    assert_eq!(refusals["entries"].as_array().unwrap().len(), 10, "{refusals}");
}

#[test]
fn a_token_of_another_house_is_worth_nothing() {
    let (here, there) = (OpenHouse::up(FAR, ""), OpenHouse::up(FAR, ""));
    let session = there.session(json!({ "service": "far" }));
    good(&whoami(&there, &session.access));
    refused(&whoami(&here, &session.access), 401, "unauthorized");
    refused(&refresh(&here, &session.refresh), 401, "unauthorized");
    let one_time = there.enrolment(json!({ "service": "far" }));
    refused(&enrol(&here, &one_time, None), 401, "unauthorized");
}

#[test]
fn a_closed_house_shows_a_stranger_only_that_it_lives() {
    let house = OpenHouse::up(&format!("{}{FAR}", echo("web", "")), "api: { anonymous: none }\n");
    for path in ["/health", "/ready"] {
        good(&house.ask(None, "GET", path, None));
    }
    for path in [
        "/api/services",
        "/api/services/web",
        "/api/discover?service=web",
        "/api/watch",
        "/api/health/services",
        "/metrics",
    ] {
        refused(&house.ask(None, "GET", path, None), 401, "unauthorized");
    }
    let reader = house.session(json!({ "name": "reader", "scopes": ["read"] })).access;
    for path in ["/api/services", "/api/discover?service=web", "/metrics"] {
        assert_eq!(house.get(&reader, path).status, 200, "{path}");
    }
    refused(
        &house.post(&reader, "/api/services/register", json!({ "name": "far", "port": 1 })),
        403,
        "forbidden",
    );
}
