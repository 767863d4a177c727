//! Stopping: nothing new is taken, what is under way is finished.

use crate::rig::{before, eventually};
use crate::wire::{Instance, Reply, Wire, ok};
use haus_gateway::Drained;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;

#[tokio::test]
async fn requests_under_way_are_answered_and_idle_connections_close() {
    let (open, gate) = watch::channel(false);
    let instance = Instance::start(move |_| {
        Reply::Gated(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha".to_vec(), gate.clone(), b"lf".to_vec())
    })
    .await;
    let rig = before(&instance).await;
    let address = rig.address;
    let mut idle = rig.connect().await;
    let mut busy = rig.connect().await;
    busy.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    eventually("the request", || instance.requests() == 1).await;
    let handle = rig.handle.clone();
    eventually("both connections", || handle.stats().connections == 2).await;

    let serving = rig.drain(Duration::from_secs(10));
    assert!(idle.is_closed().await);
    assert!(TcpStream::connect(address).await.is_err(), "nothing is accepted any more");
    open.send(true).unwrap();
    let answer = busy.message(true).await.unwrap();
    assert_eq!((answer.text(), answer.is_complete), ("half".to_owned(), true));
    assert!(busy.is_closed().await);
    assert_eq!(serving.await.unwrap(), Drained { aborted: 0 });
}

#[tokio::test]
async fn what_is_not_answered_in_time_is_cut_off_and_counted() {
    let instance = Instance::start(|_| Reply::Silence).await;
    let rig = before(&instance).await;
    let mut wire = rig.connect().await;
    wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    eventually("the request", || instance.requests() == 1).await;
    let begun = Instant::now();
    let serving = rig.drain(Duration::from_millis(100));
    assert_eq!(serving.await.unwrap(), Drained { aborted: 1 });
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_connection_that_lingers_does_not_hold_the_drain_up() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance).await;
    let mut wire = Wire::to(rig.address).await;
    wire.send("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(wire.message(true).await.unwrap().status(), 200);
    let begun = Instant::now();
    rig.drain(Duration::from_secs(8)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4));
}
