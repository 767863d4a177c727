//! What is repeated, and what must not be.

use crate::rig::{Rig, all_to, endpoint, eventually, nobody, upstream};
use crate::wire::{Instance, Reply, ok, status};
use haus_model::health::HealthState;

/// Sends `raw` to an instance that closes without an answer and to a good one, in this order, and
/// expects status and number of attempts.
async fn check(raw: &str, expected: u16, attempts: u32) {
    let bad = Instance::start(|_| Reply::Close(Vec::new())).await;
    let good = Instance::start(|request| ok(&request.text())).await;
    let rig = Rig::start(all_to(upstream(&[bad.address, good.address])));
    let answer = rig.ask(raw).await;
    assert_eq!(answer.status(), expected, "{raw:?}: {}", answer.text());
    let record = rig.record().await;
    assert_eq!(record.attempts, attempts, "{raw:?}: {record:?}");
    assert_eq!(rig.handle.stats().retries, u64::from(attempts - 1));
}

#[tokio::test]
async fn idempotent_requests_whose_answer_has_not_begun_are_repeated() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"] {
        check(&format!("{method} / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"), 200, 2).await;
    }
}

#[tokio::test]
async fn a_small_put_is_repeated_with_its_body() {
    let bad = Instance::start(|_| Reply::Close(Vec::new())).await;
    let good = Instance::start(|request| ok(&request.text())).await;
    let rig = Rig::start(all_to(upstream(&[bad.address, good.address])));
    let answer = rig.ask("PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!((answer.status(), answer.text()), (200, "hello".to_owned()));
    assert_eq!(bad.last().text(), "hello");
    assert_eq!(rig.record().await.bytes_in, 5);
}

#[tokio::test]
async fn other_requests_are_not_repeated_once_something_was_sent() {
    check("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 502, 1)
        .await;
    check("PATCH / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab", 502, 1)
        .await;
    let large = "x".repeat(70 * 1024);
    let length = large.len();
    check(
        &format!("PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{large}"),
        502,
        1,
    )
    .await;
}

#[tokio::test]
async fn any_request_goes_on_to_the_next_instance_when_nobody_listens() {
    let good = Instance::start(|request| ok(&request.text())).await;
    let rig = Rig::start(all_to(upstream(&[nobody().await, good.address])));
    let answer = rig.ask("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!((answer.status(), answer.text()), (200, "hello".to_owned()));
    let record = rig.record().await;
    assert_eq!(record.instance.as_deref(), Some("shop/2"));
    assert!(record.why.as_ref().unwrap().contains("shop/1 of shop cannot be reached"), "{record:?}");
}

#[tokio::test]
async fn nothing_is_repeated_after_the_head_of_the_answer() {
    let bad =
        Instance::start(|_| Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec()))
            .await;
    let good = Instance::start(|_| ok("good")).await;
    let rig = Rig::start(all_to(upstream(&[bad.address, good.address])));
    let answer = rig.get("localhost", "/").await;
    assert_eq!((answer.status(), answer.text(), answer.is_complete), (200, "half".to_owned(), false));
    let record = rig.record().await;
    assert_eq!((record.attempts, record.bytes_out), (1, 4));
    assert!(record.why.unwrap().contains("broke off in the middle"), "a reason");
    assert_eq!(good.requests(), 0);
}

#[tokio::test]
async fn an_error_status_is_an_answer_and_is_not_repeated() {
    let bad = Instance::start(|_| status(503)).await;
    let good = Instance::start(|_| ok("good")).await;
    let rig = Rig::start(all_to(upstream(&[bad.address, good.address])));
    assert_eq!(rig.get("localhost", "/").await.status(), 503);
    assert_eq!(rig.record().await.attempts, 1);
}

#[tokio::test]
async fn a_kept_connection_that_died_of_age_costs_no_attempt() {
    let instance = Instance::start(|_| ok("hello")).await;
    let address = instance.address;
    let rig = Rig::start(all_to(upstream(&[address])));
    assert_eq!(rig.get("localhost", "/").await.status(), 200);
    instance.kill().await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let again = Instance::on(listener, |_| ok("again"));
    assert_eq!(rig.get("localhost", "/").await.text(), "again");
    assert_eq!(again.connections(), 1);
    eventually("two records", || rig.records().len() == 2).await;
    assert!(rig.records().iter().all(|record| record.attempts == 1 && record.why.is_none()));
}

#[tokio::test]
async fn a_connection_that_closes_under_a_repeatable_request_is_replaced() {
    // Answers the first request of a connection and closes upon the second one.
    let count = std::sync::atomic::AtomicUsize::new(0);
    let instance = Instance::start(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        1 => Reply::Close(Vec::new()),
        _ => ok("hello"),
    })
    .await;
    let rig = Rig::start(all_to(upstream(&[instance.address])));
    assert_eq!(rig.get("localhost", "/").await.status(), 200);
    assert_eq!(rig.get("localhost", "/").await.status(), 200);
    assert_eq!((instance.requests(), instance.connections()), (3, 2));
    assert_eq!(rig.handle.stats().retries, 0);
}

#[tokio::test]
async fn the_same_instance_is_asked_again_only_when_there_is_no_other() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let instance = Instance::start(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => Reply::Close(Vec::new()),
        _ => ok("hello"),
    })
    .await;
    let rig = Rig::start(all_to(upstream(&[instance.address])));
    let begun = std::time::Instant::now();
    assert_eq!(rig.get("localhost", "/").await.status(), 200);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(50), "a pause comes first");
    assert_eq!(rig.record().await.attempts, 2);
}

#[tokio::test]
async fn retries_end() {
    let bad = Instance::start(|_| Reply::Close(Vec::new())).await;
    let rig = Rig::start(all_to(upstream(&[bad.address, bad.address, bad.address, bad.address])));
    let answer = rig.get("localhost", "/").await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("of shop closed the connection before"), "{}", answer.text());
    assert_eq!((rig.record().await.attempts, bad.requests()), (3, 3));
}

#[tokio::test]
async fn healthy_instances_are_asked_before_degraded_ones_and_others_never() {
    let healthy = Instance::start(|_| ok("healthy")).await;
    let degraded = Instance::start(|_| ok("degraded")).await;
    let offline = Instance::start(|_| ok("offline")).await;
    let mut shop = upstream(&[]);
    shop.endpoints = vec![
        endpoint("shop/1", offline.address, HealthState::Offline),
        endpoint("shop/2", offline.address, HealthState::Unknown),
        endpoint("shop/3", degraded.address, HealthState::Degraded),
        endpoint("shop/4", healthy.address, HealthState::Healthy),
    ];
    let rig = Rig::start(all_to(shop.clone()));
    for _ in 0..4 {
        assert_eq!(rig.get("localhost", "/").await.text(), "healthy");
    }
    shop.endpoints[3].state = HealthState::Offline;
    rig.handle.set_snapshot(std::sync::Arc::new(all_to(shop))).unwrap();
    assert_eq!(rig.get("localhost", "/").await.text(), "degraded");
    assert_eq!(offline.requests(), 0);
}

#[tokio::test]
async fn instances_take_turns() {
    let one = Instance::start(|_| ok("1")).await;
    let two = Instance::start(|_| ok("2")).await;
    let rig = Rig::start(all_to(upstream(&[one.address, two.address])));
    for _ in 0..20 {
        assert_eq!(rig.get("localhost", "/").await.status(), 200);
    }
    assert_eq!((one.requests(), two.requests()), (10, 10));
}
