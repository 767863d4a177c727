//! Waiting for an instance instead of failing.

use crate::rig::{Rig, all_to, eventually, nobody, upstream};
use crate::wire::{Instance, ok};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_request_waits_for_the_instance_that_comes() {
    let instance = Instance::start(|_| ok("here")).await;
    let mut shop = upstream(&[]);
    shop.hold = Some(Duration::from_secs(10));
    let rig = Rig::start(all_to(shop.clone()));
    let mut wire = rig.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nab").await;
    eventually("the request", || rig.handle.stats().in_flight == 1).await;
    // A snapshot that brings nothing usable is not the end of the wait.
    rig.handle.set_snapshot(Arc::new(all_to(shop.clone()))).unwrap();
    shop.endpoints = upstream(&[instance.address]).endpoints;
    rig.handle.set_snapshot(Arc::new(all_to(shop))).unwrap();
    let answer = wire.message(true).await.unwrap();
    assert_eq!((answer.status(), answer.text()), (200, "here".to_owned()));
    assert_eq!(instance.last().text(), "ab");
}

#[tokio::test]
async fn a_request_outlives_the_moment_between_the_old_and_the_new_run() {
    let mut shop = upstream(&[nobody().await]);
    shop.hold = Some(Duration::from_secs(10));
    let rig = Rig::start(all_to(shop.clone()));
    let mut wire = rig.connect().await;
    wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    eventually("the first attempt", || rig.handle.stats().retries == 1).await;
    let instance = Instance::start(|_| ok("new")).await;
    shop.endpoints = upstream(&[instance.address]).endpoints;
    shop.endpoints[0].run = 2;
    rig.handle.set_snapshot(Arc::new(all_to(shop))).unwrap();
    assert_eq!(wire.message(true).await.unwrap().text(), "new");
}

#[tokio::test]
async fn the_wait_ends_with_the_reason() {
    let mut shop = upstream(&[]);
    shop.hold = Some(Duration::from_millis(30));
    let rig = Rig::start(all_to(shop));
    let begun = Instant::now();
    let answer = rig.get("localhost", "/").await;
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("shop is starting"), "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn without_hold_nothing_waits() {
    let rig = Rig::start(all_to(upstream(&[])));
    let begun = Instant::now();
    assert_eq!(rig.get("localhost", "/").await.status(), 503);
    assert!(begun.elapsed() < Duration::from_secs(1));
}
