//! Tests of watching.

use super::*;
use crate::fixture::{self, TestDesk};
use axum::http::StatusCode;
use haus_model::health::HealthState;
use serde_json::json;

/// A house with one service that runs somewhere else, and `count` changes of it.
async fn desk(count: u16) -> TestDesk {
    let desk = TestDesk::of(fixture::house(vec![fixture::service("api", 1)]));
    for number in 0..count {
        register(&desk, "scanner", number).await;
    }
    desk
}

async fn register(desk: &TestDesk, service: &str, number: u16) {
    let body = json!({ "name": service, "instance": format!("n{number}"), "address": "192.0.2.7", "port": 9_000 + number });
    let made = desk.ask_as_admin("POST", "/api/register", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
}

fn feed(desk: &TestDesk, revision: u64, service: Option<&str>) -> Feed {
    Feed {
        desk: Arc::clone(&desk.desk),
        receiver: desk.desk.directory.subscribe(),
        revision,
        service: service.map(|service| service.parse().unwrap()),
    }
}

/// The next piece of a stream as text.
async fn piece(feed: Feed) -> (String, Feed) {
    let (bytes, feed) = following(feed, Instant::now() + STREAM_MAX).await.unwrap();
    (String::from_utf8(bytes.to_vec()).unwrap(), feed)
}

#[tokio::test]
async fn a_poll_gets_what_happened_since_and_nothing_twice() {
    let desk = desk(2).await;
    let first = desk.ask("GET", "/api/watch?revision=0", None, None).await;
    let read: Changes = serde_json::from_value(first.json).unwrap();
    let ids: Vec<&str> = read.changes.iter().map(|change| change.id.as_str()).collect();
    assert_eq!((ids, read.reset), (vec!["scanner/n0", "scanner/n1"], false));
    let instance = read.changes[1].instance.as_ref().unwrap();
    assert_eq!((instance.health, instance.port), (HealthState::Healthy, Some(9_001)));
    let after = desk.ask("GET", &format!("/api/watch?revision={}&wait_s=0", read.revision), None, None).await;
    assert_eq!(after.json, json!({ "revision": read.revision, "reset": false, "changes": [] }));
}

#[tokio::test]
async fn a_poll_waits_for_the_first_change() {
    let desk = desk(0).await;
    let (answer, ()) = tokio::join!(desk.ask("GET", "/api/watch", None, None), register(&desk, "scanner", 1));
    assert_eq!(answer.json["changes"][0]["id"], "scanner/n1", "{}", answer.text);
}

#[tokio::test]
async fn whoever_asks_for_one_service_hears_of_no_other() {
    let desk = desk(1).await;
    register(&desk, "camera", 50).await;
    let heard = desk.ask("GET", "/api/watch?revision=0&service=camera", None, None).await;
    let ids: Vec<&str> = heard.json["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["camera/n50"]);
    assert_eq!(heard.json["revision"], desk.desk.directory.revision());
}

#[tokio::test]
async fn a_revision_out_of_reach_begins_anew() {
    let desk = desk(1).await;
    let heard = desk.ask("GET", "/api/watch?revision=4711", None, None).await;
    assert_eq!((&heard.json["reset"], &heard.json["changes"]), (&json!(true), &json!([])));
    let (text, _) = piece(feed(&desk, 4_711, None)).await;
    let revision = desk.desk.directory.revision();
    assert_eq!(text, format!("event: reset\nid: {revision}\ndata: {{\"revision\":{revision}}}\n\n"));
}

#[tokio::test]
async fn queries_that_mean_nothing_are_refused() {
    let desk = desk(0).await;
    for query in ["wait_s=61", "revision=-1", "revision=x", "service=A", "since=1"] {
        let refused = desk.ask("GET", &format!("/api/watch?{query}"), None, None).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {}", refused.text);
    }
}

#[tokio::test]
async fn a_stream_tells_every_change_once_and_in_order() {
    let desk = desk(2).await;
    let (text, feed) = piece(feed(&desk, 0, None)).await;
    let ids: Vec<&str> = text.lines().filter(|line| line.starts_with("id: ")).collect();
    assert_eq!(ids, ["id: 1", "id: 2"], "{text}");
    let ((text, _), ()) = tokio::join!(piece(feed), register(&desk, "scanner", 3));
    assert!(text.starts_with("event: change\nid: 3\ndata: {") && text.ends_with("}\n\n"), "{text}");
}

#[tokio::test]
async fn a_crowd_of_changes_comes_in_pieces() {
    let desk = desk(0).await;
    for number in 0..2_000 {
        desk.desk.directory.put(entry(number));
    }
    let (mut feed, mut ids, mut pieces) = (feed(&desk, 0, None), Vec::new(), 0);
    while ids.len() < 2_000 {
        let (text, next) = piece(feed).await;
        assert!(text.len() < 2 * CHUNK_BYTES, "{}", text.len());
        ids.extend(text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()));
        (feed, pieces) = (next, pieces + 1);
    }
    assert_eq!(ids, (1..=2_000).collect::<Vec<_>>());
    assert!(pieces > 1);
}

fn entry(ordinal: u32) -> haus_watch::registry::Entry {
    haus_watch::registry::Entry {
        id: haus_model::InstanceId { service: "api".parse().unwrap(), ordinal },
        origin: haus_watch::registry::Origin::Supervised,
        name: None,
        version: None,
        metadata: std::collections::BTreeMap::new(),
        weight: 1,
        load: None,
        run: 1,
        address: "127.0.0.1".into(),
        ports: std::collections::BTreeMap::new(),
        main_port: None,
        state: HealthState::Healthy,
        phase: "healthy".into(),
        since: haus_model::Timestamp(0),
        why: "test".into(),
        lease_until: None,
        revision: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_that_it_lives_and_ends_in_time() {
    let desk = TestDesk::of(fixture::house(Vec::new()));
    let until = Instant::now() + HEARTBEAT + HEARTBEAT / 2;
    let (text, feed) = following(feed(&desk, 0, None), until).await.unwrap();
    assert_eq!(String::from_utf8(text.to_vec()).unwrap(), ": revision 0\n\n");
    assert!(following(feed, until).await.is_none());
}

#[test]
fn events_are_asked_for_by_name() {
    let wants = |accept: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        wants_events(&headers)
    };
    assert!(wants("text/event-stream") && wants("application/json, Text/Event-Stream;q=0.9"));
    assert!(!wants("*/*") && !wants("application/json"));
}
