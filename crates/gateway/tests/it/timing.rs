//! Clients and instances that take too long.

use crate::rig::{Rig, all_to, before, upstream};
use crate::wire::{Instance, Reply, ok};
use haus_gateway::Limits;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::interval;

const SHORT: Duration = Duration::from_millis(80);

fn limits() -> Limits {
    Limits { head: SHORT, ..Limits::default() }
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = Rig::with(all_to(upstream(&[instance.address])), limits());
    let mut wire = rig.connect().await;
    let begun = Instant::now();
    let mut is_open = true;
    wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n").await;
    let mut drip = interval(Duration::from_millis(5));
    while is_open && begun.elapsed() < Duration::from_secs(5) {
        drip.tick().await;
        is_open = wire.socket.write_all(b"x: y\r\n").await.is_ok();
    }
    assert!(!is_open, "the connection is still open");
    assert_eq!(instance.requests(), 0);
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_after_its_time_and_not_before() {
    let instance = Instance::start(|_| ok("")).await;
    let limits = Limits { keep_alive: SHORT, ..Limits::default() };
    let rig = Rig::with(all_to(upstream(&[instance.address])), limits);
    let mut wire = rig.connect().await;
    // Before the last word: how late we hear of the answer must not count against the gateway.
    let begun = Instant::now();
    wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(wire.message(true).await.unwrap().status(), 200);
    assert!(wire.is_closed().await);
    assert!((SHORT..Duration::from_secs(5)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_slow_answer_is_not_taken_for_an_idle_connection() {
    let (open, gate) = watch::channel(false);
    let instance = Instance::start(move |_| {
        Reply::Gated(Vec::new(), gate.clone(), b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec())
    })
    .await;
    let limits = Limits { head: SHORT, keep_alive: SHORT, body_idle: SHORT, ..Limits::default() };
    let rig = Rig::with(all_to(upstream(&[instance.address])), limits);
    let mut wire = rig.connect().await;
    wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let opened = tokio::spawn(async move {
        let mut rhythm = interval(SHORT * 4);
        rhythm.tick().await;
        rhythm.tick().await;
        open.send(true).unwrap();
    });
    assert_eq!(wire.message(true).await.unwrap().status(), 200);
    opened.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_stops_half_way_is_cut_off() {
    let (_open, gate) = watch::channel(false);
    let instance = Instance::start(move |_| {
        Reply::Gated(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec(), gate.clone(), Vec::new())
    })
    .await;
    let limits = Limits { body_idle: SHORT, ..Limits::default() };
    let rig = Rig::with(all_to(upstream(&[instance.address])), limits);
    let answer = rig.get("localhost", "/").await;
    assert_eq!((answer.status(), answer.is_complete), (200, false));
}

#[tokio::test]
async fn a_client_that_stops_sending_its_body_is_told_so() {
    let instance = Instance::start(|_| ok("")).await;
    let limits = Limits { body_idle: SHORT, ..Limits::default() };
    let rig = Rig::with(all_to(upstream(&[instance.address])), limits);
    for method in ["POST", "PUT"] {
        let mut wire = rig.connect().await;
        wire.send(format!("{method} / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf")).await;
        let answer = wire.message(true).await.unwrap();
        assert_eq!(answer.status(), 408, "{}", answer.text());
    }
    assert!(rig.handle.breakers().iter().all(|view| view.state == "closed"));
}

#[tokio::test]
async fn a_long_upload_may_take_longer_than_the_answer() {
    let instance = Instance::start(|request| ok(&request.text())).await;
    let mut snapshot = all_to(upstream(&[instance.address]));
    snapshot.defaults.timeout = SHORT;
    let rig = Rig::start(snapshot);
    let mut wire = rig.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n").await;
    let mut rhythm = interval(SHORT / 4);
    for byte in 0..10 {
        rhythm.tick().await;
        wire.send([b'0' + byte]).await;
    }
    let answer = wire.message(true).await.unwrap();
    assert_eq!((answer.status(), answer.text()), (200, "0123456789".to_owned()));
}

#[tokio::test]
async fn unused_connections_to_instances_close_after_their_time() {
    let instance = Instance::start(|_| ok("")).await;
    let limits = Limits { instance_idle: SHORT, ..Limits::default() };
    let rig = Rig::with(all_to(upstream(&[instance.address])), limits);
    assert_eq!(rig.get("localhost", "/").await.status(), 200);
    crate::rig::eventually("the end of the kept connection", || {
        instance.ended.load(std::sync::atomic::Ordering::SeqCst) == 1
    })
    .await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let instance = Instance::start(|_| ok("")).await;
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let rig = Rig::with(all_to(upstream(&[instance.address])), limits);
    let mut first = rig.connect().await;
    first.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(first.message(true).await.unwrap().status(), 200);
    let mut second = rig.connect().await;
    second.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(rig.handle.stats().connections, 1);
    drop(first);
    assert_eq!(second.message(true).await.unwrap().status(), 200);
    let _ = before(&instance).await;
}
