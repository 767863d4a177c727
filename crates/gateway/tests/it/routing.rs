//! Hosts, prefixes, paths.

use crate::rig::{Rig, before, routes, upstream};
use crate::wire::{Instance, ok};
use haus_gateway::{Route, Snapshot, Target};
use std::sync::Arc;

/// Asks each pair of host and path and compares status and body.
async fn check(rig: &Rig, cases: &[(&str, &str, u16, &str)]) {
    for (host, path, status, body) in cases {
        let answer = rig.get(host, path).await;
        assert_eq!(answer.status(), *status, "{host}{path}: {}", answer.text());
        if *status == 200 {
            assert_eq!(answer.text(), *body, "{host}{path}");
        }
    }
}

async fn echo(name: &'static str) -> (Instance, Target) {
    let instance = Instance::start(move |request| {
        ok(&format!("{name} {}", request.first_line.split(' ').nth(1).unwrap()))
    })
    .await;
    let target = Target::Service(Arc::new(upstream(&[instance.address])));
    (instance, target)
}

#[tokio::test]
async fn the_longest_prefix_of_the_host_wins() {
    let (_a, all) = echo("all").await;
    let (_b, api) = echo("api").await;
    let (_c, deep) = echo("deep").await;
    let (_d, own) = echo("own").await;
    let host = vec![Route::to("/", all), Route::to("/api", api), Route::to("/api/deep/", deep)];
    let mut snapshot = routes(vec![Route::to("/", own)]);
    snapshot.hosts.insert("shop.example".to_owned(), host);
    let rig = Rig::start(snapshot);
    check(
        &rig,
        &[
            ("shop.example", "/", 200, "all /"),
            ("Shop.Example:8080", "/apix?q=1", 200, "all /apix?q=1"),
            ("shop.example.", "/api", 200, "api /api"),
            ("shop.example", "/api/x", 200, "api /api/x"),
            ("shop.example", "/api/deep", 200, "api /api/deep"),
            ("shop.example", "/api/deep/x", 200, "deep /api/deep/x"),
            ("shop.example", "/%61pi/x", 200, "api /%61pi/x"),
            ("shop.example", "/x/../api/x", 200, "api /api/x"),
            ("shop.example", "//api/x", 200, "api /api/x"),
            ("localhost:9", "/x", 200, "own /x"),
            ("127.0.0.1", "/x", 200, "own /x"),
            ("[::1]:80", "/x", 200, "own /x"),
            ("test.localhost", "/x", 200, "own /x"),
            ("other.localhost", "/x", 404, ""),
            ("10.0.0.1", "/x", 404, ""),
            ("shop.example", "/../x", 400, ""),
            ("shop.example", "/a%00", 400, ""),
            ("shop.example", "/a/..%2f..%2fb", 400, ""),
            ("bad host", "/", 400, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_prefix_is_taken_off_when_the_route_says_so() {
    let (_instance, target) = echo("api").await;
    let route = Route { strip: Some("/api".to_owned()), ..Route::to("/api", target) };
    let rig = Rig::start(routes(vec![route]));
    check(
        &rig,
        &[
            ("localhost", "/api", 200, "api /"),
            ("localhost", "/api/?a=b", 200, "api /?a=b"),
            ("localhost", "/api/x%20y?a=b", 200, "api /x%20y?a=b"),
            ("localhost", "/api//evil.example/", 200, "api /evil.example/"),
            ("localhost", "/other", 404, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_host_of_an_absolute_target_counts_more_than_the_header() {
    let (instance, target) = echo("shop").await;
    let mut snapshot = Snapshot::default();
    snapshot.hosts.insert("shop.example".to_owned(), vec![Route::to("/", target)]);
    let rig = Rig::start(snapshot);
    let answer =
        rig.ask("GET http://Shop.example:80/x?y HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n").await;
    assert_eq!((answer.status(), answer.text()), (200, "shop /x?y".to_owned()));
    assert_eq!(instance.last().header("host"), Some("Shop.example:80"));
    assert_eq!(rig.record().await.host.as_str(), "Shop.example:80");
}

#[tokio::test]
async fn http_1_0_without_host_reaches_the_house_itself() {
    let (instance, target) = echo("own").await;
    let rig = Rig::start(routes(vec![Route::to("/", target)]));
    let answer = rig.ask("GET /x HTTP/1.0\r\n\r\n").await;
    assert_eq!((answer.status(), answer.text()), (200, "own /x".to_owned()));
    assert!(instance.last().header("host").is_some());
    assert!(answer.first_line.starts_with("HTTP/1.0") || answer.first_line.starts_with("HTTP/1.1"));
    assert_eq!(rig.ask("GET /x HTTP/1.1\r\n\r\n").await.status(), 400);
}

#[tokio::test]
async fn without_a_snapshot_nothing_is_found() {
    let rig = Rig::start(Snapshot::default());
    check(&rig, &[("localhost", "/", 404, ""), ("x", "/", 404, "")]).await;
}

#[tokio::test]
async fn kept_connections_are_used_again_on_both_sides() {
    let instance = Instance::start(|_| ok("hello")).await;
    let rig = before(&instance).await;
    let mut wire = rig.connect().await;
    for _ in 0..20 {
        wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(wire.message(true).await.unwrap().text(), "hello");
    }
    assert_eq!(instance.connections(), 1);
    assert_eq!(rig.handle.stats().requests, 20);
    assert_eq!(rig.handle.stats().services["shop"].requests, 20);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_instance, target) = echo("p").await;
    let rig = Rig::start(routes(vec![Route::to("/", target)]));
    let mut wire = rig.connect().await;
    wire.send("GET /1 HTTP/1.1\r\nhost: localhost\r\n\r\nGET /2 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(wire.message(true).await.unwrap().text(), "p /1");
    assert_eq!(wire.message(true).await.unwrap().text(), "p /2");
}
