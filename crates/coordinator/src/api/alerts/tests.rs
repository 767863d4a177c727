//! `/api/alerts` as its callers see it.

use crate::fixture::{self, TestDesk};
use axum::http::StatusCode;
use haus_model::Scope;
use haus_model::alert::AlertLevel;
use serde_json::{Value, json};

fn desk() -> TestDesk {
    TestDesk::of(fixture::house(vec![fixture::service("web", 1)]))
}

async fn check(desk: &TestDesk, body: Value, status: StatusCode, code: &str) {
    let answer = desk.ask_as_admin("POST", "/api/alerts/silences", Some(body)).await;
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
}

#[tokio::test]
async fn a_silence_is_shown_recorded_and_ended() {
    let desk = desk();
    let body = json!({ "service": "web", "for_s": 600, "why": "the disk is being changed" });
    let made = desk.ask_as_admin("POST", "/api/alerts/silences", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let shown = desk.ask_as_admin("GET", "/api/alerts", None).await;
    assert_eq!(shown.json["silences"], json!([made.json]));
    assert_eq!(desk.desk.ledger.silences(desk.desk.clock.wall()).unwrap().len(), 1);
    let path = format!("/api/alerts/silences/{}", made.json["id"].as_str().unwrap());
    assert_eq!(desk.ask_as_admin("DELETE", &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(desk.ask_as_admin("DELETE", &path, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.desk.ledger.silences(desk.desk.clock.wall()).unwrap(), []);
    let line = "admin:uid=0 alert-silence service:web allowed";
    assert_eq!(desk.acts().iter().filter(|act| *act == line).count(), 2, "{:?}", desk.acts());
}

#[tokio::test]
async fn an_alert_is_listed_while_it_lasts() {
    let desk = desk();
    let now = desk.desk.clock.wall();
    desk.desk.alarms.raise(now, "web", "service-offline", AlertLevel::Critical, "connection refused");
    let shown = desk.ask_as_admin("GET", "/api/alerts", None).await;
    let alert = &shown.json["alerts"][0];
    assert_eq!((&alert["subject"], &alert["state"]), (&json!("web"), &json!("pending")), "{}", shown.text);
}

#[tokio::test]
async fn what_is_past_is_asked_for_by_its_word() {
    let desk = desk();
    let now = desk.desk.clock.wall();
    desk.desk.alarms.raise(now, "web", "service-offline", AlertLevel::Critical, "connection refused");
    let past = desk.ask_as_admin("GET", "/api/alerts?state=past", None).await;
    assert_eq!(past.json["alerts"], json!([]), "{}", past.text);
    let present = desk.ask_as_admin("GET", "/api/alerts?state=present", None).await;
    assert_eq!(present.json["alerts"].as_array().unwrap().len(), 1, "{}", present.text);
    let odd = desk.ask_as_admin("GET", "/api/alerts?state=x", None).await;
    assert_eq!(odd.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", odd.text);
}

#[tokio::test]
async fn a_silence_that_makes_no_sense_is_refused() {
    let desk = desk();
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    check(&desk, json!({ "for_s": 0, "why": "a" }), refused, "invalid").await;
    check(&desk, json!({ "for_s": 2_592_001, "why": "a" }), refused, "invalid").await;
    check(&desk, json!({ "for_s": 60, "why": " " }), refused, "invalid").await;
    check(&desk, json!({ "for_s": 60, "why": "two\nlines" }), refused, "invalid").await;
    check(&desk, json!({ "for_s": 60, "why": "a", "service": "nobody" }), StatusCode::NOT_FOUND, "not-found")
        .await;
    check(
        &desk,
        json!({ "for_s": 60, "why": "a", "service": "No Name" }),
        StatusCode::NOT_FOUND,
        "not-found",
    )
    .await;
}

#[tokio::test]
async fn nobody_silences_without_being_an_administrator() {
    let desk = desk();
    let body = || Some(json!({ "for_s": 60, "why": "a" }));
    let stranger = desk.ask("POST", "/api/alerts/silences", None, body()).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED, "{}", stranger.text);
    let reader = desk.token("reader", &[Scope::Read]).await;
    let refused = desk.ask("POST", "/api/alerts/silences", Some(&reader), body()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    assert!(desk.acts().iter().any(|act| act.ends_with("alert-silence alerts denied")), "{:?}", desk.acts());
    assert_eq!(desk.ask("GET", "/api/alerts", Some(&reader), None).await.status, StatusCode::OK);
    assert_eq!(desk.ask("GET", "/api/alerts", None, None).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_ledger_that_refuses_makes_no_silence() {
    let desk = TestDesk::without_ledger(fixture::house(Vec::new()));
    check(&desk, json!({ "for_s": 60, "why": "a" }), StatusCode::SERVICE_UNAVAILABLE, "trail-unavailable")
        .await;
    assert!(desk.desk.alarms.shown(desk.desk.clock.wall()).silences.is_empty());
}
