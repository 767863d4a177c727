//! Requests of our own process to a service, by the road of a client's request.

use crate::calling::{before, call, callable, empty, full, get, options, problem, request, text};
use crate::rig::{Rig, all_to, eventually, nobody, upstream};
use crate::wire::{Instance, Reply, ok, status};
use haus_gateway::Address;
use haus_model::health::HealthState;
use http::{Method, Request};
use http_body::Body;
use http_body_util::BodyExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

#[tokio::test]
async fn a_service_without_routes_is_called_and_every_method_comes_through() {
    let instance = Instance::start(|request| {
        let method = request.first_line.split(' ').next().unwrap();
        if method == "HEAD" {
            return Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec());
        }
        ok(&format!("{method} {}", request.text()))
    })
    .await;
    let rig = before(&instance);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"] {
        let called =
            call(&rig, request(method.parse().unwrap(), "/items?page=2", full("some content"))).await;
        assert_eq!((called.upstream_status().unwrap().as_u16(), called.attempts), (200, 1));
        assert_eq!(called.instance.as_deref(), Some("shop/1"));
        assert_eq!((called.breaker, called.why), (Some("closed"), None));
        assert_eq!(text(called.outcome.unwrap()).await, format!("{method} some content"));
        assert!(instance.last().first_line.ends_with(" /items?page=2 HTTP/1.1"));
    }
    let called = call(&rig, request(Method::HEAD, "/", empty())).await;
    let answer = called.outcome.unwrap();
    assert_eq!(answer.headers()["content-length"], "5");
    assert_eq!(text(answer).await, "");
    assert_eq!(rig.get("localhost", "/").await.status(), 404, "there is no route to it");
    let refused = problem(call(&rig, request(Method::CONNECT, "/", empty())).await);
    assert_eq!((refused.status.as_u16(), refused.code), (501, "upgrade-not-offered"));
}

#[tokio::test]
async fn status_headers_and_body_of_any_kind_come_back_as_they_are() {
    let instance = Instance::start(|_| {
        let head = "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.example/\r\ncontent-type: image/png\r\n\
                    set-cookie: a=1\r\nset-cookie: b=2\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\n\
                    content-length: 4\r\n\r\n";
        Reply::Bytes([head.as_bytes(), &[0, 255, 10, 13]].concat())
    })
    .await;
    let rig = before(&instance);
    let called = get(&rig).await;
    let answer = called.outcome.unwrap();
    assert_eq!(answer.status().as_u16(), 302);
    assert_eq!(answer.headers()["location"], "http://elsewhere.example/");
    assert_eq!(answer.headers()["content-type"], "image/png");
    assert_eq!(answer.headers()["x-request-id"], "call-0001");
    assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 2);
    for hop in ["connection", "x-hop", "keep-alive"] {
        assert!(!answer.headers().contains_key(hop), "{hop}");
    }
    assert_eq!(answer.body().size_hint().exact(), Some(4));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), [0, 255, 10, 13].as_slice());
    assert_eq!(instance.requests(), 1, "a redirect is not followed");
    let record = rig.record().await;
    assert_eq!((record.status, record.bytes_out, record.caller.as_deref()), (302, 4, Some("zimmer-05")));
    assert_eq!((record.client.to_string(), record.route.as_deref()), ("192.0.2.7".into(), Some("call:shop")));
    assert_eq!(record.request_id.as_str(), "call-0001");
}

#[tokio::test]
async fn the_callers_leave_and_its_claims_are_taken_off() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance);
    let mut request = request(Method::POST, "/", full("abc"));
    for (name, value) in [
        ("authorization", "Bearer hunter2"),
        ("proxy-authorization", "hunter2"),
        ("host", "evil.example"),
        ("content-length", "99"),
        ("transfer-encoding", "chunked"),
        ("connection", "x-secret"),
        ("x-secret", "hunter2"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=1.1.1.1"),
        ("x-request-id", "another-one"),
        ("accept", "text/plain"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    assert!(call(&rig, request).await.outcome.is_ok());
    let seen = instance.last();
    for name in [
        "authorization",
        "proxy-authorization",
        "x-secret",
        "connection",
        "forwarded",
        "x-forwarded-host",
        "transfer-encoding",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!((seen.header("host"), seen.header("x-forwarded-for")), (Some("localhost"), Some("192.0.2.7")));
    assert_eq!((seen.header("content-length"), seen.header("accept")), (Some("3"), Some("text/plain")));
    assert_eq!((seen.header("x-request-id"), seen.text()), (Some("call-0001"), "abc".to_owned()));
}

#[tokio::test]
async fn a_target_cannot_leave_the_service() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance);
    for target in
        ["http://169.254.169.254/latest", "//evil.example", "/../../etc", "/a/..%2f..", "/%00", "/%zz", "*"]
    {
        let Ok(request) = Request::builder().uri(target).body(empty()) else { continue };
        let called = call(&rig, request).await;
        match called.outcome {
            Err(problem) => assert_eq!(problem.status.as_u16(), 400, "{target}: {problem:?}"),
            Ok(_) => assert!(!instance.last().first_line.contains("//"), "{:?}", instance.last()),
        }
    }
    assert!(call(&rig, request(Method::GET, "/a/../b?q=%0d%0a", empty())).await.outcome.is_ok());
    assert_eq!(instance.last().first_line, "GET /b?q=%0d%0a HTTP/1.1");
    let mut large = request(Method::GET, "/", empty());
    large.headers_mut().insert("x-large", "x".repeat(40 << 10).parse().unwrap());
    assert_eq!(problem(call(&rig, large).await).status.as_u16(), 431);
}

#[tokio::test]
async fn only_services_that_may_be_called_are_and_never_behind_a_socket_file() {
    let instance = Instance::start(|_| ok("")).await;
    // It has a route, which is no leave to call it.
    let rig = Rig::start(all_to(upstream(&[instance.address])));
    let refused = problem(get(&rig).await);
    assert_eq!((refused.status.as_u16(), refused.code), (404, "no-service"));
    assert!(refused.detail.contains("no service shop can be called"), "{refused:?}");
    assert_eq!(instance.requests(), 0);

    // Nor does a route to a socket file make it one, alone or beside others.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut own = upstream(&[instance.address, instance.address]);
    own.endpoints[1].address = Address::Unix(path);
    rig.handle.set_snapshot(Arc::new(callable(own))).unwrap();
    for _ in 0..4 {
        let refused = problem(get(&rig).await);
        assert_eq!((refused.status.as_u16(), refused.code), (404, "no-service"));
        assert!(refused.detail.contains("listens on a socket file"), "{refused:?}");
    }
    let nobody_came = tokio::time::timeout(Duration::ZERO, listener.accept()).await.is_err();
    assert!(nobody_came && instance.requests() == 0);
}

#[tokio::test]
async fn calls_take_turns_and_share_them_with_routes() {
    let one = Instance::start(|_| ok("1")).await;
    let two = Instance::start(|_| ok("2")).await;
    let shop = Arc::new(upstream(&[one.address, two.address]));
    let mut snapshot = all_to((*shop).clone());
    snapshot.fallback.as_mut().unwrap()[0].target = haus_gateway::Target::Service(Arc::clone(&shop));
    snapshot.services = BTreeMap::from([("shop".parse().unwrap(), shop)]);
    let rig = Rig::start(snapshot.clone());
    for round in 0..21 {
        match round % 3 {
            0 => assert_eq!(rig.get("localhost", "/").await.status(), 200),
            _ => assert!(get(&rig).await.outcome.is_ok()),
        }
        assert!(one.requests().abs_diff(two.requests()) <= 1, "{} {}", one.requests(), two.requests());
        rig.handle.set_snapshot(Arc::new(snapshot.clone())).unwrap();
    }
    assert_eq!(one.requests() + two.requests(), 21);
    assert_eq!(rig.handle.breakers().len(), 2, "each instance once");
}

#[tokio::test]
async fn weights_share_the_calls_out() {
    let one = Instance::start(|_| ok("1")).await;
    let three = Instance::start(|_| ok("3")).await;
    let none = Instance::start(|_| ok("0")).await;
    let mut shop = upstream(&[one.address, three.address, none.address]);
    shop.endpoints[1].weight = 3;
    shop.endpoints[2].weight = 0;
    let rig = Rig::start(callable(shop.clone()));
    for _ in 0..40 {
        assert!(get(&rig).await.outcome.is_ok());
    }
    assert_eq!((one.requests(), three.requests(), none.requests()), (10, 30, 0));
    // A heavy instance that is not usable leaves everything to the others.
    shop.endpoints[1].state = HealthState::Offline;
    rig.handle.set_snapshot(Arc::new(callable(shop))).unwrap();
    for _ in 0..5 {
        assert!(get(&rig).await.outcome.is_ok());
    }
    assert_eq!((one.requests(), three.requests(), none.requests()), (15, 30, 0));
}

#[tokio::test]
async fn a_heavy_instance_that_cannot_be_reached_is_left_for_another_at_once() {
    let good = Instance::start(|_| ok("good")).await;
    let mut shop = upstream(&[nobody().await, good.address]);
    shop.endpoints[0].weight = 5;
    let rig = Rig::start(callable(shop));
    let called = call(&rig, request(Method::POST, "/", full("abc"))).await;
    assert_eq!((called.attempts, called.instance.as_deref()), (2, Some("shop/2")));
    assert!(called.why.unwrap().contains("shop/1 of shop cannot be reached"), "a reason");
    assert_eq!(good.last().text(), "abc");
}

#[tokio::test]
async fn an_open_ended_answer_comes_as_it_is_written() {
    let (open, gate) = watch::channel(false);
    let instance = Instance::start(move |_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n6\r\ndata:1\r\n";
        Reply::Gated(head.to_vec(), gate.clone(), b"6\r\ndata:2\r\n0\r\n\r\n".to_vec())
    })
    .await;
    let rig = before(&instance);
    let mut body = get(&rig).await.outcome.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data:1");
    open.send(true).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data:2");
    assert!(body.frame().await.is_none() && body.is_end_stream());
}

#[tokio::test]
async fn a_call_waits_for_the_instance_that_comes() {
    let instance = Instance::start(|_| ok("here")).await;
    let mut shop = upstream(&[]);
    shop.hold = Some(Duration::from_secs(10));
    let rig = Rig::start(callable(shop.clone()));
    let handle = rig.handle.clone();
    let calling = tokio::spawn(async move {
        handle.call(&"shop".parse().unwrap(), request(Method::POST, "/", full("ab")), options()).await
    });
    eventually("the call", || rig.handle.stats().in_flight == 1).await;
    shop.endpoints = upstream(&[instance.address]).endpoints;
    rig.handle.set_snapshot(Arc::new(callable(shop))).unwrap();
    assert_eq!(text(calling.await.unwrap().outcome.unwrap()).await, "here");
}

#[test]
fn calls_from_runtimes_that_come_and_go_share_the_gateways_connections() {
    let gateway = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (instance, rig) = gateway.block_on(async {
        let instance = Instance::start(|request| ok(&request.text())).await;
        let rig = before(&instance);
        (instance, rig)
    });
    for round in 0..5 {
        // A caller's runtime without clock and sockets, gone after each call.
        let callers = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = callers.block_on(async {
            let called = call(&rig, request(Method::POST, "/", full(format!("round {round}")))).await;
            text(called.outcome.unwrap()).await
        });
        assert_eq!(answer, format!("round {round}"));
    }
    assert_eq!((instance.requests(), instance.connections()), (5, 1));
    gateway.shutdown_timeout(Duration::from_secs(5));
    let callers = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let called = callers.block_on(get(&rig));
    let stopped = called.outcome.unwrap_err();
    assert_eq!((stopped.status.as_u16(), stopped.code), (503, "gateway-stopped"));
    assert_eq!(called.request_id, "call-0001");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_are_all_answered_and_counted() {
    let one = Instance::start(|_| ok("1")).await;
    let two = Instance::start(|_| status(404)).await;
    let rig = Rig::start(callable(upstream(&[one.address, two.address])));
    let begun = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let handle = rig.handle.clone();
        calls.spawn(async move {
            let called =
                handle.call(&"shop".parse().unwrap(), request(Method::GET, "/", empty()), options()).await;
            let answer = called.outcome.unwrap();
            answer.into_body().collect().await.unwrap();
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap();
    }
    assert_eq!((one.requests(), two.requests()), (50, 50));
    eventually("all records", || rig.records().len() == 100).await;
    let stats = rig.handle.stats().services["shop"];
    assert_eq!((stats.requests, stats.in_flight, stats.failures), (100, 0, 0));
    assert_eq!((stats.statuses.success, stats.statuses.client_error), (50, 50));
    assert_eq!(stats.latency.count(), 100);
    assert!(stats.latency.sum() <= begun.elapsed() * 100);
}

#[tokio::test]
async fn what_goes_to_no_service_is_counted_elsewhere() {
    let instance = Instance::start(|_| ok("")).await;
    let rig = before(&instance);
    assert_eq!(rig.get("unknown.example", "/").await.status(), 404);
    assert!(call(&rig, request(Method::GET, "/", empty())).await.outcome.is_ok());
    let other =
        rig.handle.call(&"nobody".parse().unwrap(), request(Method::GET, "/", empty()), options()).await;
    assert_eq!(problem(other).status.as_u16(), 404);
    eventually("all records", || rig.records().len() == 3).await;
    let stats = rig.handle.stats();
    assert_eq!((stats.elsewhere.statuses.client_error, stats.elsewhere.latency.count()), (2, 2));
    assert_eq!((stats.services["shop"].statuses.total(), stats.requests), (1, 3));
    assert!(!stats.services.contains_key("nobody"), "names that callers invent make no counters");
}
