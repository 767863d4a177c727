//! Requests that two servers could read differently. Nothing of the second one may reach an instance.

use crate::rig::{Rig, before};
use crate::wire::{Instance, ok};

/// Sends raw bytes that hide a request for `/hidden`, and expects the status; the instance must see
/// at most one request, never the hidden one.
async fn check(rig: &Rig, instance: &Instance, raw: &str, expected: u16) {
    let mut wire = rig.connect().await;
    wire.send(raw).await;
    let answer = wire.message(true).await.unwrap_or_default();
    assert_eq!(answer.status(), expected, "{raw:?} got {}", answer.text());
    if expected >= 400 {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{raw:?}");
        wire.is_closed().await;
        assert_eq!(instance.requests(), 0, "{raw:?} reached the instance");
    }
}

const REFUSED: [&str; 18] = [
    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: localhost\r\nTransfer-Encoding: chunked\r\nCONTENT-LENGTH : 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5, 6\r\n\r\nhello!",
    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: +5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\nhello",
    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0x5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length : 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: localhost\r\nhost: other\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: localhost\r\nx: a\r\n folded: b\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: localhost\r\nx\u{1}y: b\r\n\r\n",
    "GET / HTTP/1.1\r\n host: localhost\r\n\r\n",
];

#[tokio::test]
async fn requests_with_two_meanings_are_refused() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance).await;
    for raw in REFUSED {
        check(&rig, &instance, raw, 400).await;
    }
}

#[tokio::test]
async fn a_repeated_equal_length_is_passed_on_once() {
    let instance = Instance::start(|request| ok(&request.text())).await;
    let rig = before(&instance).await;
    let raw = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello";
    check(&rig, &instance, raw, 200).await;
    assert_eq!(instance.last().headers["content-length"], ["5"]);
}

#[tokio::test]
async fn both_lengths_behind_a_pipelined_request_smuggle_nothing() {
    let instance = Instance::start(|request| ok(&request.first_line)).await;
    let rig = before(&instance).await;
    let mut wire = rig.connect().await;
    wire.send(
        "GET /1 HTTP/1.1\r\nhost: localhost\r\n\r\n\
         POST /2 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 44\r\ntransfer-encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await;
    assert_eq!(wire.message(true).await.unwrap().status(), 200);
    wire.is_closed().await;
    let seen: Vec<String> =
        instance.seen.lock().unwrap().iter().map(|seen| seen.first_line.clone()).collect();
    assert!(!seen.iter().any(|line| line.contains("hidden")), "{seen:?}");
}

#[tokio::test]
async fn a_multipart_body_that_names_content_length_is_no_second_length() {
    let instance = Instance::start(|request| ok(&request.text())).await;
    let rig = before(&instance).await;
    let part = "--b\r\nContent-Length: 3\r\n\r\nabc\r\n--b--";
    let raw = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{part}\r\n0\r\n\r\n",
        part.len()
    );
    check(&rig, &instance, &raw, 200).await;
    assert_eq!(instance.last().text(), part);
    assert_eq!(instance.last().header("content-length"), None);
}

#[tokio::test]
async fn header_injection_by_the_path_is_impossible() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance).await;
    check(&rig, &instance, "GET /a%0d%0aHost:x HTTP/1.1\r\nhost: localhost\r\n\r\n", 400).await;
    check(&rig, &instance, "GET /a\rb HTTP/1.1\r\nhost: localhost\r\n\r\n", 400).await;
}

#[tokio::test]
async fn an_instance_that_speaks_nonsense_is_a_bad_gateway() {
    let instance = Instance::start(|_| {
        crate::wire::Reply::Close(
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd".to_vec(),
        )
    })
    .await;
    let rig = before(&instance).await;
    assert_eq!(rig.get("localhost", "/").await.status(), 502);
}
