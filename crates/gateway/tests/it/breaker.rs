//! The breaker of each instance.

use crate::rig::{Rig, all_to, nobody, upstream};
use crate::wire::{Instance, Reply, ok, status};
use haus_gateway::{Address, Route, Snapshot, Target};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn states(rig: &Rig) -> Vec<&'static str> {
    rig.handle.breakers().iter().map(|view| view.state).collect()
}

/// Lets the gateway's clock run ahead.
async fn later(span: Duration) {
    tokio::time::pause();
    tokio::time::advance(span).await;
    tokio::time::resume();
}

#[tokio::test]
async fn an_instance_that_keeps_failing_is_left_alone_and_tried_again() {
    let is_good = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_good);
    let instance =
        Instance::start(move |_| if asked.load(Ordering::SeqCst) { ok("good") } else { status(502) }).await;
    let rig = Rig::start(all_to(upstream(&[instance.address])));
    for _ in 0..5 {
        assert_eq!(rig.get("localhost", "/").await.status(), 502);
    }
    assert_eq!(states(&rig), ["open"]);
    let answer = rig.get("localhost", "/").await;
    assert_eq!(answer.status(), 503);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((25..=30).contains(&wait), "{wait}");
    assert_eq!(instance.requests(), 5, "nothing reaches it while the breaker is open");

    later(Duration::from_secs(31)).await;
    assert_eq!(rig.get("localhost", "/").await.status(), 502, "the first trial fails");
    assert_eq!(rig.get("localhost", "/").await.status(), 503, "and opens it again");

    is_good.store(true, Ordering::SeqCst);
    later(Duration::from_secs(31)).await;
    assert_eq!(rig.get("localhost", "/").await.status(), 200);
    assert_eq!(states(&rig), ["half-open"]);
    assert_eq!(rig.get("localhost", "/").await.status(), 200);
    assert_eq!(states(&rig), ["closed"]);
}

#[tokio::test]
async fn errors_of_the_application_open_nothing() {
    let instance = Instance::start(|_| status(500)).await;
    let rig = Rig::start(all_to(upstream(&[instance.address])));
    for _ in 0..30 {
        assert_eq!(rig.get("localhost", "/").await.status(), 500);
    }
    assert_eq!(states(&rig), ["closed"]);
    assert_eq!(rig.handle.stats().failures, 30);
}

#[tokio::test]
async fn an_open_breaker_leaves_the_work_to_the_others() {
    let good = Instance::start(|_| ok("good")).await;
    let rig = Rig::start(all_to(upstream(&[nobody().await, good.address])));
    for _ in 0..20 {
        assert_eq!(rig.get("localhost", "/").await.status(), 200);
    }
    assert_eq!(states(&rig), ["open", "closed"]);
    assert_eq!(rig.handle.stats().retries, 5, "only until it opened");
}

#[tokio::test]
async fn a_breaker_survives_snapshots_but_not_a_new_run() {
    let address = nobody().await;
    let mut shop = upstream(&[address]);
    let rig = Rig::start(all_to(shop.clone()));
    while states(&rig) != ["open"] {
        assert_eq!(rig.get("localhost", "/").await.status(), 502);
    }
    shop.why_empty = "something else".to_owned();
    rig.handle.set_snapshot(Arc::new(all_to(shop.clone()))).unwrap();
    assert_eq!(states(&rig), ["open"]);
    shop.endpoints[0].run = 2;
    rig.handle.set_snapshot(Arc::new(all_to(shop))).unwrap();
    assert_eq!(states(&rig), ["closed"]);
}

#[tokio::test]
async fn a_client_that_leaves_says_nothing_about_the_instance() {
    let instance = Instance::start(|_| Reply::Silence).await;
    let rig = Rig::start(all_to(upstream(&[instance.address])));
    for left in 1..=12 {
        let mut wire = rig.connect().await;
        wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        crate::rig::eventually("the request", || instance.requests() == left).await;
        drop(wire);
        crate::rig::eventually("the end", || rig.records().len() == left).await;
    }
    assert_eq!(states(&rig), ["closed"]);
}

#[tokio::test]
async fn instances_may_listen_on_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix").await.unwrap();
    });
    let mut shop = upstream(&["127.0.0.1:1".parse().unwrap()]);
    shop.endpoints[0].address = Address::Unix(path);
    let rig = Rig::start(all_to(shop));
    assert_eq!(rig.get("localhost", "/").await.text(), "unix");
}

#[tokio::test]
async fn a_snapshot_with_an_impossible_header_is_refused_and_the_former_one_stays() {
    let instance = Instance::start(|_| ok("good")).await;
    let rig = Rig::start(all_to(upstream(&[instance.address])));
    let mut route = Route::to("/", Target::Service(Arc::new(upstream(&[]))));
    route.deny_headers = vec!["bad name".to_owned()];
    let bad = Snapshot { fallback: Some(vec![route.clone()]), ..Snapshot::default() };
    let error = rig.handle.set_snapshot(Arc::new(bad)).unwrap_err();
    assert_eq!(error.to_string(), "route / names the header `bad name`, which is no valid header name");
    route.deny_headers.clear();
    route.headers.insert("x-a".to_owned(), "two\nlines".to_owned());
    let bad = Snapshot { fallback: Some(vec![route]), ..Snapshot::default() };
    assert!(rig.handle.set_snapshot(Arc::new(bad)).is_err());
    assert_eq!(rig.get("localhost", "/").await.text(), "good");
}
