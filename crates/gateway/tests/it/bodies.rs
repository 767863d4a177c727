//! Bodies: caps, streaming in both directions, clients that leave.

use crate::rig::{Rig, before, eventually, routes, upstream};
use crate::wire::{Instance, Message, Reply, ok};
use haus_gateway::{Route, Target};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

fn capped(instance: &Instance, max_body_bytes: u64) -> Rig {
    let target = Target::Service(Arc::new(upstream(&[instance.address])));
    let route = Route { max_body_bytes: Some(max_body_bytes), ..Route::to("/", target) };
    Rig::start(routes(vec![route]))
}

fn is_too_large(answer: &Message) {
    assert_eq!(answer.status(), 413, "{}", answer.text());
    assert!(answer.text().contains("larger than the 8 bytes"), "{}", answer.text());
}

#[tokio::test]
async fn a_body_declared_too_large_is_refused_before_it_is_read() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = capped(&instance, 8);
    let mut wire = rig.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n").await;
    is_too_large(&wire.message(true).await.unwrap());
    assert_eq!(instance.requests(), 0);
    let fits = rig.ask("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\n12345678").await;
    assert_eq!(fits.status(), 200);
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_cut_off() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = capped(&instance, 8);
    let mut wire = rig.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n8\r\n12345678\r\n")
        .await;
    wire.send("1\r\n9\r\n").await;
    is_too_large(&wire.message(true).await.unwrap());
    assert!(wire.is_closed().await);
    assert!(rig.handle.breakers().iter().all(|view| view.state == "closed"));
    assert!(!instance.seen.lock().unwrap().iter().any(|seen| seen.is_complete));
}

#[tokio::test]
async fn the_refusal_reaches_a_client_that_goes_on_sending() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = capped(&instance, 8);
    let mut wire = rig.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500000\r\n\r\n").await;
    wire.send(vec![b'x'; 500_000]).await;
    is_too_large(&wire.message(true).await.unwrap());
}

#[tokio::test]
async fn expectations_are_met_here() {
    let instance = Instance::start(|request| ok(&request.text())).await;
    let rig = capped(&instance, 8);
    let mut wire = rig.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(wire.head().await.unwrap().status(), 100);
    wire.send("hello").await;
    assert_eq!(wire.message(true).await.unwrap().text(), "hello");
    assert_eq!(instance.last().header("expect"), None);
    let mut wire = rig.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n")
        .await;
    is_too_large(&wire.message(true).await.unwrap());
}

#[tokio::test]
async fn bodies_stream_in_both_directions_without_waiting_for_their_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::start(crate::rig::all_to(upstream(&[listener.local_addr().unwrap()])));
    let mut wire = rig.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"first\r\n") {
        socket.read_buf(&mut got).await.unwrap();
    }
    // The answer begins while the request goes on, and each part passes alone.
    socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc").await.unwrap();
    let head = wire.head().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(wire.take(3).await, b"abc");
    wire.send("6\r\nsecond\r\n0\r\n\r\n").await;
    while !got.ends_with(b"0\r\n\r\n") {
        socket.read_buf(&mut got).await.unwrap();
    }
    assert!(String::from_utf8_lossy(&got).contains("second"));
    socket.write_all(b"def").await.unwrap();
    eventually("the record", || !rig.records().is_empty()).await;
    let record = rig.records().remove(0);
    assert_eq!((record.bytes_in, record.bytes_out), (11, 6));
}

#[tokio::test]
async fn a_large_body_passes_whole_in_both_directions() {
    let instance = Instance::start(|request| ok(&request.text())).await;
    let rig = before(&instance).await;
    let large = "0123456789abcdef".repeat(128 * 1024);
    let raw = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{large}", large.len());
    let answer = rig.ask(raw).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text() == large, "{} bytes came back", answer.body.len());
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_to_the_instance() {
    let instance = Instance::start(|_| Reply::Silence).await;
    let rig = before(&instance).await;
    let mut wire = rig.connect().await;
    wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    eventually("the request", || instance.requests() == 1).await;
    drop(wire);
    eventually("the end of the instance's connection", || instance.ended.load(Ordering::SeqCst) == 1).await;
    let record = rig.record().await;
    assert_eq!((record.status, record.instance.as_deref()), (499, Some("shop/1")));
    assert_eq!(rig.handle.stats().in_flight, 0);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_the_answer_ends_it() {
    let (_open, gate) = watch::channel(false);
    let instance = Instance::start(move |_| {
        Reply::Gated(
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec(),
            gate.clone(),
            b"whole".to_vec(),
        )
    })
    .await;
    let rig = before(&instance).await;
    let mut wire = rig.connect().await;
    wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(wire.head().await.unwrap().status(), 200);
    drop(wire);
    let record = rig.record().await;
    assert_eq!(record.status, 200);
    assert!(record.why.unwrap().contains("client left before the end"), "a reason");
}

#[tokio::test]
async fn a_connection_whose_answer_came_before_the_request_was_read_is_not_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::start(crate::rig::all_to(upstream(&[listener.local_addr().unwrap()])));
    let mut wire = rig.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf").await;
    let (mut first, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"half") {
        first.read_buf(&mut got).await.unwrap();
    }
    first.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(wire.message(true).await.unwrap().status(), 403);
    let mut other = rig.connect().await;
    other.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (mut second, _) = listener.accept().await.unwrap();
    second.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(other.message(true).await.unwrap().status(), 200);
}
