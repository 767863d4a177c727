//! The credentials API over a real vault: who gets what, what is said, and what the trail says of it.

use crate::api::Peer;
use crate::fixture::{self, Answer, TestDesk};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use haus_model::house::House;
use haus_model::{Credential, CredentialKind, CredentialSource, Scope};
use haus_trail::{Entry, Head, Verifier};
use serde_json::{Value, json};
use std::time::Duration;

const PLANTED: &str = "planted-value-7f3a";

fn house() -> House {
    let mut house = fixture::house(vec![fixture::service("api", 1), fixture::service("web", 1)]);
    for (name, source) in
        [("made", CredentialSource::Generated { length: 24 }), ("given", CredentialSource::Given)]
    {
        let credential = Credential {
            name: name.parse().unwrap(),
            kind: CredentialKind::Custom,
            source,
            scope: vec!["api".parse().unwrap()],
            rotate_days: None,
            overlap: Duration::ZERO,
            ttl: None,
            rotator: None,
            reason: None,
        };
        house.credentials.insert(credential.name.clone(), credential);
    }
    house
}

async fn desk() -> TestDesk {
    let desk = TestDesk::of(house());
    let plan = desk.desk.plan.load_full();
    desk.desk.vaulting.sync_plan(&desk.desk, &plan.house, &plan.root).await.unwrap();
    desk
}

/// A credential of `api` with the planted value and whatever else is said.
async fn create(desk: &TestDesk, name: &str, more: Value) -> Answer {
    let mut body = json!({ "name": name, "service_name": "api", "value": PLANTED });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    desk.ask_as_admin("POST", "/api/credentials", Some(body)).await
}

async fn with_header(
    desk: &TestDesk,
    method: &str,
    path: &str,
    header: (&str, &str),
    body: Option<Value>,
) -> Answer {
    let request = Request::builder().method(method).uri(path).header(header.0, header.1);
    let request = request.header("content-type", "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    desk.send(Peer::Account { uid: 0 }, request.body(body).unwrap()).await
}

#[track_caller]
fn check(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
    assert!(!answer.text.contains(PLANTED), "{}", answer.text);
}

#[tokio::test]
async fn a_value_goes_in_and_comes_out_only_for_its_service() {
    let desk = desk().await;
    let made = create(&desk, "Payment-Key", json!({})).await;
    check(&made, StatusCode::CREATED, "");
    assert_eq!(made.json["name"], "payment-key");
    assert_eq!(made.header("etag"), Some("\"1\""));
    let path = made.header("location").unwrap().to_owned();
    for path in [&path, "/api/credentials", &format!("{path}/versions"), &format!("{path}/audit")] {
        check(&desk.ask_as_admin("GET", path, None).await, StatusCode::OK, "");
    }
    let own = desk.service_token("api").await;
    let read = desk.ask("GET", "/api/credentials/service/api", Some(&own), None).await;
    assert_eq!(read.status, StatusCode::OK, "{}", read.text);
    assert_eq!(read.header("cache-control"), Some("no-store"));
    let names: Vec<&str> = read.json["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["made", "payment-key"]);
    assert_eq!(read.json["credentials"][1]["value"], PLANTED);
    let last = desk.acts().pop().unwrap();
    assert_eq!(last.split_once(' ').unwrap().1, "credential-read credential:api/payment-key allowed");
}

#[tokio::test]
async fn an_administrator_sees_no_value_and_others_see_nothing() {
    let desk = desk().await;
    create(&desk, "key", json!({})).await;
    let path = "/api/credentials/service/api";
    let metadata = desk.ask_as_admin("GET", path, None).await;
    check(&metadata, StatusCode::OK, "");
    assert_eq!(metadata.json.as_array().unwrap().len(), 2);
    check(&desk.ask("GET", path, None, None).await, StatusCode::UNAUTHORIZED, "unauthorized");
    let other = desk.service_token("web").await;
    check(&desk.ask("GET", path, Some(&other), None).await, StatusCode::FORBIDDEN, "forbidden");
    let denied = desk.acts().pop().unwrap();
    assert!(denied.ends_with("credential-read service:api denied"), "{denied}");
    // The scope alone is not enough: it must be the service's own token.
    let script = desk.token("script", &[Scope::CredentialRead("api".parse().unwrap())]).await;
    check(&desk.ask("GET", path, Some(&script), None).await, StatusCode::FORBIDDEN, "forbidden");
}

#[tokio::test]
async fn asking_again_with_the_etag_hands_nothing_out() {
    let desk = desk().await;
    let own = desk.service_token("api").await;
    let path = "/api/credentials/service/api";
    let first = desk.ask("GET", path, Some(&own), None).await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = async || {
        let request = Request::builder().uri(path).header("authorization", format!("Bearer {own}"));
        let request = request.header("host", "127.0.0.1").header("if-none-match", &tag);
        desk.send(Peer::Tcp("192.0.2.7:4711".parse().unwrap()), request.body(Body::empty()).unwrap()).await
    };
    let entries = desk.trail().len();
    assert_eq!(again().await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(desk.trail().len(), entries);
    create(&desk, "key", json!({})).await;
    assert_eq!(again().await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_expired_credential_is_gone() {
    let desk = desk().await;
    check(&create(&desk, "key", json!({ "ttl_s": 3600 })).await, StatusCode::CREATED, "");
    let row = desk.desk.ledger.credential_named(Some(&"api".parse().unwrap()), "key").unwrap().unwrap();
    let change = haus_store::CredentialChange {
        expires_at: Some(Some(row.created_at)),
        ..haus_store::CredentialChange::default()
    };
    let (id, change, at) = (row.id.clone(), Box::new(change), row.created_at);
    let write = haus_store::Write::CredentialUpdate { id, if_revision: None, change, at };
    let batch = haus_store::Batch { writes: vec![write], entries: Vec::new() };
    desk.desk.registrar.commit(batch).await.unwrap();
    let own = desk.service_token("api").await;
    let path = "/api/credentials/service/api";
    let gone = desk.ask("GET", path, Some(&own), None).await;
    check(&gone, StatusCode::GONE, "expired");
    assert!(gone.json["detail"].as_str().unwrap().contains("`key`"), "{}", gone.text);
    assert!(desk.acts().pop().unwrap().ends_with("credential-read credential:api/key failed"));
    let other = desk.ask("GET", &format!("{path}?credential=made"), Some(&own), None).await;
    check(&other, StatusCode::OK, "");
}

#[tokio::test]
async fn a_name_belongs_to_one_credential_of_its_owner() {
    let desk = desk().await;
    check(&create(&desk, "key", json!({})).await, StatusCode::CREATED, "");
    check(&create(&desk, "KEY", json!({})).await, StatusCode::CONFLICT, "conflict");
    check(&create(&desk, "key", json!({ "service_name": "web" })).await, StatusCode::CREATED, "");
    check(&create(&desk, "made", json!({})).await, StatusCode::CONFLICT, "conflict");
}

#[tokio::test]
async fn what_the_plan_leaves_to_a_person_is_given_once() {
    let desk = desk().await;
    let body = json!({ "name": "given", "value": PLANTED });
    let made = desk.ask_as_admin("POST", "/api/credentials/create", Some(body.clone())).await;
    check(&made, StatusCode::CREATED, "");
    assert_eq!((&made.json["origin"], &made.json["scope"]), (&json!("plan"), &json!(["api"])));
    let again = desk.ask_as_admin("POST", "/api/credentials", Some(body)).await;
    check(&again, StatusCode::CONFLICT, "conflict");
    let unknown = json!({ "name": "unknown", "value": PLANTED });
    let unknown = desk.ask_as_admin("POST", "/api/credentials", Some(unknown)).await;
    check(&unknown, StatusCode::NOT_FOUND, "not-found");
}

#[tokio::test]
async fn values_that_are_not_allowed_are_named_and_not_repeated() {
    let desk = desk().await;
    for more in [
        json!({ "name": "" }),
        json!({ "name": "a\u{7}b" }),
        json!({ "name": "x".repeat(256) }),
        json!({ "service_name": "nobody" }),
        json!({ "scope": ["nobody"] }),
        json!({ "value": "" }),
        json!({ "length": 20 }),
        json!({ "rotate_days": 0 }),
        json!({ "expires_at": "yesterday" }),
        json!({ "expires_at": "2001-01-01T00:00:00Z" }),
        json!({ "expires_at": "2101-01-01T00:00:00Z", "ttl_s": 5 }),
        json!({ "metadata": { "text": "x".repeat(9_000) } }),
        json!({ "credential_type": PLANTED }),
    ] {
        check(&create(&desk, "key", more).await, StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    }
    assert!(!desk.acts().iter().any(|act| act.contains("api/key")), "{:?}", desk.acts());
}

#[tokio::test]
async fn a_change_needs_the_revision_that_was_seen() {
    let desk = desk().await;
    let made = create(&desk, "key", json!({})).await;
    let path = made.header("location").unwrap().to_owned();
    let change = json!({ "description": "for payments", "scope": ["web"] });
    let changed = with_header(&desk, "PATCH", &path, ("if-match", "\"1\""), Some(change.clone())).await;
    check(&changed, StatusCode::OK, "");
    assert_eq!(changed.json["scope"], json!(["api", "web"]), "the owner stays");
    let stale = with_header(&desk, "PUT", &path, ("if-match", "\"1\""), Some(change)).await;
    check(&stale, StatusCode::PRECONDITION_FAILED, "precondition-failed");
    let stale = with_header(&desk, "DELETE", &path, ("if-match", "\"1\""), None).await;
    check(&stale, StatusCode::PRECONDITION_FAILED, "precondition-failed");
    check(
        &with_header(&desk, "DELETE", &path, ("if-match", "\"2\""), None).await,
        StatusCode::NO_CONTENT,
        "",
    );
    check(&desk.ask_as_admin("GET", &path, None).await, StatusCode::NOT_FOUND, "not-found");
}

#[tokio::test]
async fn what_the_plan_says_is_changed_in_the_plan() {
    let desk = desk().await;
    let list = desk.ask_as_admin("GET", "/api/credentials?name=made", None).await;
    let path = format!("/api/credentials/{}", list.json["items"][0]["id"].as_str().unwrap());
    let change = |body: Value| desk.ask_as_admin("PATCH", &path, Some(body));
    check(&change(json!({ "description": "mine" })).await, StatusCode::CONFLICT, "conflict");
    check(&change(json!({ "rotation_required": true })).await, StatusCode::OK, "");
    check(&desk.ask_as_admin("DELETE", &path, None).await, StatusCode::CONFLICT, "conflict");
}

#[tokio::test]
async fn a_service_lists_what_it_may_have_and_nothing_else() {
    let desk = desk().await;
    create(&desk, "key", json!({ "service_name": "web" })).await;
    let own = desk.service_token("api").await;
    let list = desk.ask("GET", "/api/credentials", Some(&own), None).await;
    check(&list, StatusCode::OK, "");
    assert_eq!((&list.json["total"], &list.json["items"][0]["name"]), (&json!(1), &json!("made")));
    let others = desk.ask("GET", "/api/credentials?service=web", Some(&own), None).await;
    check(&others, StatusCode::FORBIDDEN, "forbidden");
    let id = desk.desk.ledger.credential_named(Some(&"web".parse().unwrap()), "key").unwrap().unwrap().id;
    let strange = desk.ask("GET", &format!("/api/credentials/{id}"), Some(&own), None).await;
    check(&strange, StatusCode::FORBIDDEN, "forbidden");
    let nowhere = desk.ask("GET", "/api/credentials/nothing", Some(&own), None).await;
    check(&nowhere, StatusCode::FORBIDDEN, "forbidden");
}

#[tokio::test]
async fn an_export_is_a_trail_that_verifies_to_its_own_entry() {
    let desk = desk().await;
    for number in 0..1_200 {
        let entry = desk.desk.registrar.entry(
            &desk.admin(),
            haus_trail::Action::Admin,
            "house",
            haus_trail::Outcome::Allowed,
        );
        desk.desk.ledger.commit(haus_store::Batch::entry(entry.detail("n", number.to_string()))).unwrap();
    }
    let export = desk.ask_as_admin("GET", "/api/trail/export", None).await;
    let mut verifier = Verifier::new(Head::GENESIS);
    let entries: Vec<Entry> = export.text.lines().map(|line| Entry::from_line(line).unwrap()).collect();
    assert!(entries.iter().all(|entry| verifier.check(entry).is_none()));
    let last = entries.last().unwrap();
    assert_eq!(last.entry.action, haus_trail::Action::TrailExport);
    assert_eq!(export.header("x-trail-head"), Some(&*format!("{} {}", last.seq, last.hash)));
    let head = desk.ask_as_admin("GET", "/api/trail/head", None).await;
    assert_eq!((&head.json["seq"], &head.json["hash"]), (&json!(last.seq), &json!(last.hash.to_string())));
    let page = desk.ask_as_admin("GET", "/api/trail?after=3&limit=2", None).await;
    assert_eq!(page.json["entries"][0]["seq"], 4);
    check(&desk.ask("GET", "/api/trail", None, None).await, StatusCode::UNAUTHORIZED, "unauthorized");
    check(
        &desk.ask_as_admin("GET", "/api/trail?action=nothing", None).await,
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid",
    );
}

#[tokio::test]
async fn a_service_that_reads_without_end_is_told_of_and_then_stopped() {
    let desk = desk().await;
    let own = desk.service_token("api").await;
    let read = || desk.ask("GET", "/api/credentials/service/api", Some(&own), None);
    let first = read().await;
    check(&first, StatusCode::OK, "");
    let alerts = || desk.desk.alarms.shown(desk.desk.clock.wall()).alerts;
    assert!(alerts().is_empty());
    // What it had read in the hours before.
    desk.desk.guard.may_grow(&desk.desk, "service:api", 1_100_000).unwrap();
    let told = alerts().pop().unwrap();
    assert_eq!((told.subject.as_str(), told.kind.as_str()), ("api", "trail-flood"));
    let entries = desk.trail().len();
    let stopped = read().await;
    check(&stopped, StatusCode::TOO_MANY_REQUESTS, "too-many-requests");
    assert!(stopped.header("retry-after").is_some());
    assert_eq!(desk.trail().len(), entries, "{:?}", desk.acts());
    // What it has is good as long as nothing changes, and nobody else waits.
    let tag = first.header("etag").unwrap();
    let request = Request::get("/api/credentials/service/api").header("host", "127.0.0.1");
    let request = request.header("authorization", format!("Bearer {own}")).header("if-none-match", tag);
    let peer = Peer::Tcp("192.0.2.7:4711".parse().unwrap());
    let same = desk.send(peer, request.body(Body::empty()).unwrap()).await;
    check(&same, StatusCode::NOT_MODIFIED, "");
    let other = desk.service_token("web").await;
    check(&desk.ask("GET", "/api/credentials/service/web", Some(&other), None).await, StatusCode::OK, "");
}

#[tokio::test]
async fn the_audit_is_read_in_pages_and_never_as_a_whole() {
    let desk = desk().await;
    let made = create(&desk, "key", json!({})).await;
    let path = format!("/api/credentials/{}/audit", made.json["id"].as_str().unwrap());
    for number in 0..5 {
        let body = json!({ "description": format!("the {number}th") });
        let changed = desk.ask_as_admin("PATCH", path.trim_end_matches("/audit"), Some(body)).await;
        check(&changed, StatusCode::OK, "");
    }
    let numbers = |answer: Answer| -> Vec<u64> {
        answer.json.as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
    };
    let all = numbers(desk.ask_as_admin("GET", &path, None).await);
    assert_eq!(all.len(), 6);
    let page = |query: String| desk.ask_as_admin("GET", format!("{path}?{query}").leak(), None);
    assert_eq!(numbers(page("skip=2&limit=2".to_owned()).await), all[2..4]);
    assert_eq!(numbers(page(format!("before={}&limit=2", all[3])).await), all[4..]);
    for query in ["skip=1001", "skip=99999&limit=1", "skip=18446744073709551615", "limit=1001", "after=1"] {
        let refused = page(query.to_owned()).await;
        assert!(refused.status.is_client_error(), "{query}: {}", refused.text);
    }
}

#[tokio::test]
async fn the_key_is_changed_while_values_stay_readable() {
    let desk = desk().await;
    create(&desk, "key", json!({})).await;
    let before = desk.ask_as_admin("GET", "/api/vault", None).await;
    let rotated = desk.ask_as_admin("POST", "/api/vault/rotate-key", None).await;
    check(&rotated, StatusCode::OK, "");
    assert_eq!(rotated.json["former"], json!([]));
    let after = desk.ask_as_admin("GET", "/api/vault", None).await;
    assert_eq!(after.json["active_key"], rotated.json["key_id"]);
    assert_ne!(after.json["active_key"], before.json["active_key"]);
    assert_ne!(after.json["anchor_key"], before.json["anchor_key"]);
    assert_eq!(rotated.json["anchor_key"], after.json["anchor_key"]);
    assert_eq!(rotated.json["former_anchor_key"], before.json["anchor_key"]);
    let rotations = desk.ask_as_admin("GET", "/api/trail?action=key-rotate&limit=1000", None).await;
    let told = rotations.json["entries"].as_array().unwrap().iter();
    let told: Vec<_> =
        told.filter(|entry| entry["changes"]["anchor_key"] == after.json["anchor_key"]).collect();
    let whys: Vec<_> = told.iter().map(|entry| entry["why"].as_str().unwrap()).collect();
    assert_eq!(whys, ["finished", "begun"]);
    assert_eq!((&after.json["old_keys"], &after.json["under_old_keys"]), (&json!([]), &json!(0)));
    let own = desk.service_token("api").await;
    let read = desk.ask("GET", "/api/credentials/service/api?credential=key", Some(&own), None).await;
    assert_eq!(read.json["credentials"][0]["value"], PLANTED, "{}", read.text);
    let denied = desk.ask("POST", "/api/vault/rotate-key", Some(&own), None).await;
    check(&denied, StatusCode::FORBIDDEN, "forbidden");
}

#[tokio::test]
async fn a_name_needs_no_quoting() {
    let desk = desk().await;
    for name in ["Y Y", "", "a/b", "-x", "..", "schlüssel", "a\u{0}b", &"a".repeat(256)] {
        check(&create(&desk, name, json!({})).await, StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    }
    for name in ["9.a_b-C", &"a".repeat(255)] {
        check(&create(&desk, name, json!({})).await, StatusCode::CREATED, "");
    }
}
