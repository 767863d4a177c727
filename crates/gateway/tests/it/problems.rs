//! The answers that the gateway gives itself.

use crate::rig::{Rig, all_to, before, nobody, upstream};
use crate::wire::{Instance, Message, Reply, ok};
use haus_gateway::Snapshot;
use std::time::Duration;

/// Status, type and a part of the sentence.
#[track_caller]
fn check(answer: &Message, status: u16, code: &str, sentence: &str) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let text = answer.text();
    assert!(text.contains(&format!("\"type\":\"urn:hausmeister:problem:{code}\"")), "{text}");
    assert!(text.contains(&format!("\"status\":{status}")), "{text}");
    assert!(text.contains(sentence), "{text}");
    let id = answer.header("x-request-id").unwrap();
    assert!(text.contains(&format!("\"request_id\":\"{id}\"")), "{text}");
}

#[tokio::test]
async fn every_fault_says_what_and_where() {
    let rig = Rig::start(Snapshot::default());
    check(&rig.get("shop.example", "/").await, 404, "no-route", "nothing is routed for host `shop.example`");
    let rig = Rig::start(all_to(upstream(&[])));
    check(
        &rig.get("localhost", "/").await,
        503,
        "no-instance",
        "service shop has no usable instance: shop is starting",
    );
    let rig = Rig::start(all_to(upstream(&[nobody().await])));
    check(
        &rig.get("localhost", "/").await,
        502,
        "instance-unreachable",
        "shop/1 of shop cannot be reached at 127.0.0.1:",
    );
    let instance = Instance::start(|_| Reply::Silence).await;
    let mut snapshot = all_to(upstream(&[instance.address]));
    snapshot.defaults.timeout = Duration::from_millis(50);
    let rig = Rig::start(snapshot);
    check(
        &rig.get("localhost", "/").await,
        504,
        "instance-timeout",
        "shop/1 of shop gave no answer within 50 ms",
    );
    check(&rig.get("localhost", "/%").await, 400, "bad-request", "without two hexadecimal digits");
}

#[tokio::test]
async fn heads_that_are_too_large_are_explained() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance).await;
    let many = "x: y\r\n".repeat(101);
    let answer = rig.ask(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n")).await;
    check(&answer, 431, "head-too-large", "delete cookies");
    let long = "y".repeat(40 * 1024);
    let answer = rig.ask(format!("GET / HTTP/1.1\r\nhost: localhost\r\ncookie: {long}\r\n\r\n")).await;
    check(&answer, 431, "head-too-large", "delete cookies");
    let answer =
        rig.ask(format!("GET / HTTP/1.1\r\nhost: localhost\r\ncookie: {}\r\n\r\n", &long[..20_000])).await;
    assert_eq!(answer.status(), 200);
    check(&rig.ask("NONSENSE\r\n\r\n").await, 400, "bad-request", "breaks the rules of HTTP/1.1");
}

#[tokio::test]
async fn a_browser_gets_a_page_in_two_languages_without_markup_from_outside() {
    let rig = Rig::start(all_to(upstream(&[])));
    let raw = "GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/html,*/*\r\nconnection: close\r\n\r\n";
    let answer = rig.ask(raw).await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let text = answer.text();
    assert!(text.contains("Der Dienst shop hat gerade keine nutzbare Instanz"), "{text}");
    assert!(text.contains("Service shop has no usable instance"), "{text}");

    let mut shop = upstream(&[]);
    shop.why_empty = "<script>\"&".to_owned();
    let rig = Rig::start(all_to(shop));
    assert!(rig.ask(raw).await.text().contains("&lt;script&gt;&quot;&amp;"));
    let json = rig.get("localhost", "/").await.text();
    assert!(json.contains("<script>\\\"&"), "{json}");
}

#[tokio::test]
async fn problems_are_recorded_with_their_sentence_and_without_the_query() {
    let rig = Rig::start(all_to(upstream(&[nobody().await])));
    assert_eq!(rig.get("localhost:80", "/a/b?token=secret").await.status(), 502);
    let record = rig.record().await;
    assert_eq!((record.path.as_str(), record.host.as_str(), record.status), ("/a/b", "localhost:80", 502));
    assert_eq!((record.route.as_deref(), record.service.as_deref()), (Some("/"), Some("shop")));
    assert!(record.why.as_ref().unwrap().contains("cannot be reached"), "{record:?}");
    assert!(!format!("{:?}", record.why).contains("secret"));
    assert_eq!(record.client.to_string(), "127.0.0.1");
    assert!(record.at_ms > 1_600_000_000_000 && record.took_us > 0);
}
