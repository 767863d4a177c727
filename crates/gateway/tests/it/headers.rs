//! What is passed on, removed, added.

use crate::rig::{Rig, before, routes, upstream};
use crate::wire::{Instance, Message, Reply, ok};
use haus_gateway::{Route, Target};
use std::sync::Arc;

/// Sends header lines and returns what the instance saw.
async fn seen(lines: &str) -> Message {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance).await;
    let raw = format!("GET / HTTP/1.1\r\nhost: LocalHost:1234\r\n{lines}\r\n");
    assert_eq!(rig.ask(raw).await.status(), 200);
    instance.last()
}

#[tokio::test]
async fn the_request_arrives_with_our_claims_and_its_own_host() {
    let seen =
        seen("accept: a\r\nx-forwarded-for: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\nx-real-ip: 6.6.6.6\r\n")
            .await;
    assert_eq!(seen.header("host"), Some("LocalHost:1234"));
    assert_eq!(seen.headers["x-forwarded-for"], ["127.0.0.1"]);
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("LocalHost:1234"));
    assert_eq!(seen.header("accept"), Some("a"));
    for absent in ["forwarded", "x-real-ip"] {
        assert_eq!(seen.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn headers_of_the_connection_end_here() {
    let seen = seen(
        "connection: keep-alive, X-Secret\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\
         proxy-connection: keep-alive\r\nproxy-authorization: x\r\ntrailer: x\r\nauthorization: kept\r\n",
    )
    .await;
    for absent in
        ["connection", "x-secret", "keep-alive", "te", "proxy-connection", "proxy-authorization", "trailer"]
    {
        assert_eq!(seen.header(absent), None, "{absent}");
    }
    assert_eq!(seen.header("authorization"), Some("kept"));
}

#[tokio::test]
async fn an_answer_loses_the_headers_of_its_connection_too() {
    let instance = Instance::start(|_| {
        Reply::Bytes(
            b"HTTP/1.1 200 OK\r\nconnection: x-private\r\nx-private: 1\r\nkeep-alive: timeout=5\r\nx-public: 2\r\n\
              transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                .to_vec(),
        )
    })
    .await;
    let rig = before(&instance).await;
    let answer = rig.get("localhost", "/").await;
    assert_eq!((answer.text(), answer.header("x-public")), ("abc".to_owned(), Some("2")));
    assert_eq!((answer.header("x-private"), answer.header("keep-alive")), (None, None));
}

#[tokio::test]
async fn a_harmless_request_id_travels_and_others_are_replaced() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance).await;
    for (given, kept) in [("abc-DEF.1:2_3", true), ("short", false), ("has space in it", false), ("", false)]
    {
        let raw = format!(
            "GET / HTTP/1.1\r\nhost: localhost\r\nx-request-id: {given}\r\nconnection: close\r\n\r\n"
        );
        let answer = rig.ask(raw).await;
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(id == given, kept, "{given} became {id}");
        assert_eq!(instance.last().header("x-request-id"), Some(id));
        assert!(id.len() >= 6);
    }
}

#[tokio::test]
async fn a_route_removes_and_sets_headers() {
    let instance = Instance::start(|_| {
        Reply::Bytes(b"HTTP/1.1 200 OK\r\nx-frame-options: ALLOW\r\ncontent-length: 0\r\n\r\n".to_vec())
    })
    .await;
    let mut route = Route::to("/", Target::Service(Arc::new(upstream(&[instance.address]))));
    route.deny_headers = vec!["X-LTC-Role".to_owned()];
    route.headers.insert("X-Frame-Options".to_owned(), "DENY".to_owned());
    let rig = Rig::start(routes(vec![route]));
    let answer =
        rig.ask("GET / HTTP/1.1\r\nhost: localhost\r\nx-ltc-role: admin\r\nX-LTC-ROLE: b\r\n\r\n").await;
    assert_eq!(answer.headers["x-frame-options"], ["DENY"]);
    assert_eq!(instance.last().header("x-ltc-role"), None);
}

#[tokio::test]
async fn head_and_304_keep_their_length_without_a_body() {
    let instance = Instance::start(|request| {
        if request.first_line.starts_with("HEAD") {
            Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n".to_vec())
        } else {
            Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n".to_vec())
        }
    })
    .await;
    let rig = before(&instance).await;
    let mut wire = rig.connect().await;
    for _ in 0..2 {
        wire.send("HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let head = wire.head().await.unwrap();
        assert_eq!((head.status(), head.header("content-length")), (200, Some("1234")));
        wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(wire.message(true).await.unwrap().status(), 304);
    }
    assert_eq!(instance.connections(), 1);
}

#[tokio::test]
async fn an_offer_of_http_2_is_ignored_and_a_websocket_is_told_no() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance).await;
    let h2c = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n";
    assert_eq!(rig.ask(h2c).await.status(), 200);
    assert_eq!(instance.last().header("http2-settings"), None);
    let websocket = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let answer = rig.ask(websocket).await;
    assert_eq!(answer.status(), 501);
    assert!(answer.text().contains("`websocket` is not offered"), "{}", answer.text());
    assert_eq!(rig.ask("CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n").await.status(), 501);
}
