//! The layers as callers meet them.

use crate::api::Peer;
use crate::fixture::{self, Answer, TestDesk};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use haus_model::Timestamp;
use haus_model::house::House;
use serde_json::{Value, json};

fn house() -> House {
    fixture::house(vec![fixture::service("api", 1)])
}

fn tcp() -> Peer {
    Peer::Tcp("127.0.0.1:4711".parse().unwrap())
}

async fn post(desk: &TestDesk, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    desk.send(Peer::Account { uid: 0 }, request.body(body.into()).unwrap()).await
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn every_answer_has_an_id_and_a_problem_has_the_same() {
    let desk = TestDesk::of(house());
    let request = |id: &str| Request::get("/nowhere").header("x-request-id", id).body(Body::empty()).unwrap();
    let own = desk.send(tcp(), request("my-id.1")).await;
    assert_eq!((own.status, own.code()), (StatusCode::NOT_FOUND, "not-found"));
    assert_eq!(
        (own.header("x-request-id"), own.json["request_id"].as_str()),
        (Some("my-id.1"), Some("my-id.1"))
    );
    let bad = desk.send(tcp(), request("my id")).await;
    assert_ne!(bad.header("x-request-id"), Some("my id"));
    assert_eq!(bad.header("x-request-id"), bad.json["request_id"].as_str());
    assert_eq!(bad.header("content-type"), Some("application/problem+json"));
    assert_eq!(bad.header("x-content-type-options"), Some("nosniff"));
    let good = desk.ask("GET", "/health", None, None).await;
    assert!(good.header("x-request-id").is_some_and(|id| id.len() == 32));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let desk = TestDesk::of(house());
    let answer = desk.ask("DELETE", "/api/tokens", None, None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"));
    let allowed: Vec<&str> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
    assert!(allowed.contains(&"GET") && allowed.contains(&"POST"), "{allowed:?}");
}

#[tokio::test]
async fn a_foreign_host_name_reaches_nothing_over_tcp() {
    let desk = TestDesk::of(house());
    let request = |host: &str| Request::get("/health").header("host", host).body(Body::empty()).unwrap();
    let foreign = desk.send(tcp(), request("evil.example")).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(foreign.header("x-request-id"), foreign.json["request_id"].as_str());
    assert_eq!(desk.send(tcp(), request("x.test.localhost:8000")).await.status, StatusCode::OK);
    // The gateway has looked at the name already.
    assert_eq!(desk.send(Peer::Gateway, request("evil.example")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_json_of_the_right_form_is_told_apart() {
    let desk = TestDesk::of(house());
    let check = async |headers: &[(&str, &str)], body: Vec<u8>, status: u16, code: &str| {
        let answer = post(&desk, "/api/tokens", headers, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{}", answer.text);
    };
    check(&[], b"{}".to_vec(), 415, "unsupported-media-type").await;
    check(&[("content-type", "text/plain")], b"{}".to_vec(), 415, "unsupported-media-type").await;
    check(&[JSON], b"{".to_vec(), 400, "bad-request").await;
    check(&[JSON], b"\xff".to_vec(), 400, "bad-request").await;
    check(&[JSON], b"[]".to_vec(), 422, "invalid").await;
    check(&[JSON], b"{\"unknown\": 1}".to_vec(), 422, "invalid").await;
    check(&[JSON], vec![b' '; (1 << 20) + 1], 413, "too-large").await;
}

#[tokio::test]
async fn a_repeated_request_with_a_key_is_done_once() {
    let desk = TestDesk::of(house());
    let key = [JSON, ("idempotency-key", "k-1")];
    let first = post(&desk, "/api/tokens/rotate-key", &key, "").await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    let again = post(&desk, "/api/tokens/rotate-key", &key, "").await;
    assert_eq!((again.status, &again.json), (StatusCode::OK, &first.json));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(desk.desk.ledger.signing_keys().unwrap().len(), 2, "there was one rotation");
    let other = post(&desk, "/api/tokens/rotate-key?emergency=true", &key, "").await;
    assert_eq!((other.status.as_u16(), other.code()), (422, "idempotency-mismatch"));

    let desk = desk.restarted();
    let later = post(&desk, "/api/tokens/rotate-key", &key, "").await;
    assert_eq!(later.json, first.json, "an answer survives a restart");
}

#[tokio::test]
async fn an_answer_with_a_secret_is_not_kept_for_repetitions() {
    let desk = TestDesk::of(house());
    let key = [JSON, ("idempotency-key", "k-2")];
    let body = json!({ "service": "api" }).to_string();
    let first = post(&desk, "/api/tokens", &key, body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = post(&desk, "/api/tokens", &key, body).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "conflict"));
    assert!(again.json["detail"].as_str().unwrap().contains("held a secret"));
    let kept = desk.desk.ledger.idempotent("admin:uid=0", "k-2").unwrap().unwrap();
    assert_eq!((kept.status, kept.body.as_slice()), (201, br#"{"secret":true,"body":""}"#.as_slice()));
    assert_eq!(desk.ask_as_admin("GET", "/api/tokens", None).await.json["total"], 1);
}

#[tokio::test]
async fn what_was_refused_may_be_asked_again_with_its_key() {
    let desk = TestDesk::of(house());
    let key = [JSON, ("idempotency-key", "k-3")];
    assert_eq!(post(&desk, "/api/tokens", &key, "{}").await.code(), "invalid");
    let body = json!({ "service": "api" }).to_string();
    assert_eq!(post(&desk, "/api/tokens", &key, body).await.status, StatusCode::CREATED);
    for bad in ["", "a b", &"x".repeat(256)] {
        let refused = post(&desk, "/api/tokens", &[JSON, ("idempotency-key", bad)], "{}").await;
        assert_eq!(refused.code(), "bad-request", "{bad}");
    }
}

#[tokio::test]
async fn keys_of_two_callers_are_two_keys() {
    let desk = TestDesk::of(house());
    let token = desk.token("root", &[haus_model::Scope::Admin]).await;
    let by_token = async || {
        let request = Request::post("/api/tokens/rotate-key").header("idempotency-key", "same");
        let request = request.header("authorization", format!("Bearer {token}")).header("host", "localhost");
        desk.send(tcp(), request.body(Body::empty()).unwrap()).await.json
    };
    let first = by_token().await;
    let other = post(&desk, "/api/tokens/rotate-key", &[("idempotency-key", "same")], "").await.json;
    assert_ne!(first["key_id"], other["key_id"]);
    assert_eq!(by_token().await["key_id"], first["key_id"]);
}

/// Works on a request until it waits, then hangs up.
async fn hang_up(request: impl Future<Output = Answer>) {
    let mut request = Box::pin(request);
    tokio::select! {
        biased;
        _ = &mut request => panic!("it was answered at once"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn what_was_begun_is_done_once_although_its_caller_hangs_up() {
    let desk = TestDesk::of(house());
    let before = desk.desk.ledger.signing_keys().unwrap().len();
    let key = [("idempotency-key", "k-5")];
    let path = "/api/tokens/rotate-key";
    hang_up(post(&desk, path, &key, "")).await;
    let kept = async {
        while desk.desk.ledger.idempotent("admin:uid=0", "k-5").unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), kept).await.expect("its answer is kept");
    let after = desk.desk.ledger.signing_keys().unwrap().len();
    assert!(after > before);
    let replayed = async {
        loop {
            let again = post(&desk, path, &key, "").await;
            // Kept on disk a moment before the key is free again: until then it is still being worked on.
            if again.status != StatusCode::CONFLICT {
                return again;
            }
            tokio::task::yield_now().await;
        }
    };
    let again = tokio::time::timeout(std::time::Duration::from_secs(20), replayed).await.expect("it is free");
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::OK, Some("true")));
    assert_eq!(desk.desk.ledger.signing_keys().unwrap().len(), after, "it is not done twice");
}

#[tokio::test]
async fn what_was_done_is_not_done_again_when_the_house_dies_before_its_answer_is_kept() {
    let desk = TestDesk::of(house());
    // As if the core were killed between the act and the keeping of its answer.
    let disk = rusqlite::Connection::open(desk.desk.places.database()).unwrap();
    disk.execute_batch(
        "CREATE TRIGGER killed BEFORE UPDATE ON idempotent BEGIN SELECT RAISE(ABORT, 'killed'); END",
    )
    .unwrap();
    let key = [JSON, ("idempotency-key", "k-8")];
    let body = json!({ "name": "bench", "scopes": ["read"] }).to_string();
    assert_eq!(post(&desk, "/api/tokens", &key, body.clone()).await.status, StatusCode::CREATED);
    disk.execute_batch("DROP TRIGGER killed").unwrap();
    drop(disk);
    let desk = desk.restarted();
    let again = post(&desk, "/api/tokens", &key, body).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "conflict"), "{}", again.text);
    assert!(again.json["detail"].as_str().unwrap().contains("was lost"), "{}", again.text);
    assert_eq!(desk.desk.ledger.enrolments(Timestamp(0)).unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_act_takes_the_mark_of_its_request_with_it() {
    let desk = TestDesk::of(house());
    let key = [JSON, ("idempotency-key", "k-9")];
    let body = json!({ "name": "mail", "service_name": "api", "length": 40 }).to_string();
    let path = "/api/credentials";
    assert_eq!(post(&desk, path, &[JSON], body.clone()).await.status, StatusCode::CREATED);
    let taken = post(&desk, path, &key, body.clone()).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "{}", taken.text);
    assert_eq!(desk.desk.ledger.idempotent("admin:uid=0", "k-9").unwrap(), None);
}

#[tokio::test]
async fn a_replayed_answer_has_the_headers_of_the_first() {
    let desk = TestDesk::of(house());
    let key = [JSON, ("idempotency-key", "k-6")];
    let body = json!({ "name": "mail", "service_name": "api", "credential_type": "api_key", "length": 40 });
    let first = post(&desk, "/api/credentials", &key, body.to_string()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let again = post(&desk, "/api/credentials", &key, body.to_string()).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{}", again.text);
    assert_eq!((again.status, &again.json), (first.status, &first.json));
    for name in ["etag", "location", "content-type"] {
        let value = first.header(name);
        assert!(value.is_some() && value == again.header(name), "{name}");
    }
}

#[tokio::test]
async fn the_ledger_does_not_help_to_guess_what_was_asked() {
    let desk = TestDesk::of(house());
    let body =
        json!({ "name": "mail", "service_name": "api", "credential_type": "api_key", "value": "summer2026" });
    let body = body.to_string();
    let first = post(&desk, "/api/credentials", &[JSON, ("idempotency-key", "k-7")], body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let kept = desk.desk.ledger.idempotent("admin:uid=0", "k-7").unwrap().unwrap();
    let guess = format!("POST /api/credentials\n{body}");
    let guess = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, guess.as_bytes());
    assert_ne!(kept.request.as_slice(), guess.as_ref());
}

#[tokio::test]
async fn two_sessions_of_one_name_have_keys_of_their_own() {
    let desk = TestDesk::of(house());
    let rotate = async |token: &str| {
        let request = Request::post("/api/tokens/rotate-key").header("idempotency-key", "same");
        let request = request.header("authorization", format!("Bearer {token}")).header("host", "localhost");
        desk.send(tcp(), request.body(Body::empty()).unwrap()).await
    };
    let (one, two) = (
        desk.token("root", &[haus_model::Scope::Admin]).await,
        desk.token("root", &[haus_model::Scope::Admin]).await,
    );
    assert_eq!(rotate(&one).await.header("idempotent-replayed"), None);
    assert_eq!(rotate(&two).await.header("idempotent-replayed"), None);
    assert_eq!(rotate(&one).await.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn nothing_is_kept_of_a_heartbeat() {
    let desk = TestDesk::of(house());
    let body = json!({ "name": "scanner", "instance": "n1", "address": "192.0.2.7", "port": 9001 });
    assert_eq!(post(&desk, "/api/register", &[JSON], body.to_string()).await.status, StatusCode::CREATED);
    let beat = json!({ "instance": "n1" }).to_string();
    let key = [JSON, ("idempotency-key", "k-8")];
    let answer = post(&desk, "/api/services/scanner/heartbeat", &key, beat).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(desk.desk.ledger.idempotent("admin:uid=0", "k-8").unwrap(), None);
}

#[tokio::test]
async fn an_answer_that_had_its_time_and_is_not_swept_yet_makes_room_for_the_next() {
    let desk = TestDesk::of(house());
    let old = haus_store::IdempotentAnswer {
        caller: "admin:uid=0".to_owned(),
        key: "k-9".to_owned(),
        request: [7; 32],
        status: 200,
        body: Vec::new(),
        until: desk.desk.clock.wall(),
    };
    let writes = vec![haus_store::Write::IdempotentPut(Box::new(old))];
    desk.desk.registrar.commit(haus_store::Batch { writes, entries: Vec::new() }).await.unwrap();
    let key = [("idempotency-key", "k-9")];
    let first = post(&desk, "/api/tokens/rotate-key", &key, "").await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (StatusCode::OK, None), "{}", first.text);
    let again = post(&desk, "/api/tokens/rotate-key", &key, "").await;
    assert_eq!((&again.json, again.header("idempotent-replayed").is_some()), (&first.json, true));
}

#[tokio::test]
async fn an_export_that_nobody_reads_holds_its_place_and_the_fifth_is_told_so() {
    let desk = TestDesk::of(house());
    let router = crate::api::doors(&desk.desk)();
    let export = async || {
        let mut request = Request::get("/api/trail/export").body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer::Account { uid: 0 });
        tower::ServiceExt::oneshot(router.clone(), request).await.unwrap()
    };
    let mut held = Vec::new();
    for _ in 0..4 {
        let answer = export().await;
        assert_eq!(answer.status(), StatusCode::OK);
        held.push(answer);
    }
    assert_eq!(export().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(held);
    assert_eq!(export().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_document_is_served_as_it_is_made() {
    let desk = TestDesk::of(house());
    let served = desk.ask("GET", "/openapi.json", None, None).await;
    assert_eq!((served.status, served.header("content-type")), (StatusCode::OK, Some("application/json")));
    assert_eq!(served.json["openapi"], "3.1.0");
    assert_ne!(served.json["paths"]["/api/identity/enrol"], Value::Null);
}
