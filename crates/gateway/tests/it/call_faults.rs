//! Calls that go wrong: instances that fail, callers that leave or lie, bodies that are too much.

use crate::calling::{
    PieceResult, SHORT, async_frames, before, call, callable, empty, full, get, options, problem, request,
    stream, text,
};
use crate::rig::{Rig, endpoint, eventually, nobody, upstream};
use crate::wire::{Instance, Reply, ok, status};
use bytes::Bytes;
use haus_gateway::{CallBodyError, CallOptions, Limits, RequestBody};
use haus_model::health::HealthState;
use http::Method;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test]
async fn problems_of_ours_are_told_from_answers_of_the_service() {
    let instance = Instance::start(|_| status(504)).await;
    let rig = before(&instance);
    assert_eq!(get(&rig).await.upstream_status().unwrap().as_u16(), 504);

    let rig = Rig::start(callable(upstream(&[nobody().await])));
    let called = call(&rig, request(Method::POST, "/", full("abc"))).await;
    assert_eq!((called.upstream_status(), called.instance.as_deref()), (None, Some("shop/1")));
    let unreachable = problem(called);
    assert_eq!((unreachable.status.as_u16(), unreachable.code), (502, "instance-unreachable"));

    let mut shop = upstream(&[instance.address]);
    shop.endpoints = vec![endpoint("shop/1", instance.address, HealthState::Offline)];
    let rig = Rig::start(callable(shop));
    let none = problem(get(&rig).await);
    assert_eq!((none.status.as_u16(), none.code, none.retry_after), (503, "no-instance", Some(SECOND)));
    assert!(none.detail.contains("shop is starting"), "{none:?}");

    let silent = Instance::start(|_| Reply::Silence).await;
    let rig = before(&silent);
    let quick = CallOptions { timeout: SHORT, ..options() };
    let shop = "shop".parse().unwrap();
    let called = rig.handle.call(&shop, request(Method::GET, "/", empty()), quick).await;
    assert!(called.took >= SHORT);
    let late = problem(called);
    assert_eq!((late.status.as_u16(), late.code), (504, "instance-timeout"));
    assert!(late.detail.contains("no answer within 80 ms; allow the call more time"), "{late:?}");
    let endless = CallOptions { timeout: Duration::MAX, ..options() };
    let rig = before(&instance);
    assert!(
        rig.handle.call(&shop, request(Method::GET, "/", empty()), endless).await.upstream_status().is_some()
    );
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_open_breaker_says_when_to_ask_again_and_why() {
    let instance = Instance::start(|_| status(503)).await;
    let rig = before(&instance);
    let begun_ms = rig.handle.breakers()[0].since_ms;
    for _ in 0..5 {
        assert_eq!(get(&rig).await.upstream_status().unwrap().as_u16(), 503);
    }
    let held = problem(get(&rig).await);
    assert_eq!((held.status.as_u16(), held.code), (503, "no-instance"));
    assert!((25..=30).contains(&held.retry_after.unwrap().as_secs()), "{held:?}");
    assert_eq!(instance.requests(), 5);
    let view = rig.handle.breakers().remove(0);
    assert_eq!((view.state, view.in_flight), ("open", 0));
    assert!(view.since_ms >= begun_ms && view.retry_after.unwrap() > Duration::from_secs(25), "{view:?}");
    assert_eq!(
        view.why.as_deref(),
        Some("too many calls to it failed; at the last one it answered with status 503")
    );
}

#[tokio::test]
async fn a_body_of_ten_mebibytes_passes_and_one_byte_more_does_not() {
    const TEN_MIB: usize = 10 << 20;
    let instance = Instance::start(|request| ok(&request.body.len().to_string())).await;
    let rig = before(&instance);
    let fits = call(&rig, request(Method::POST, "/", full(vec![b'x'; TEN_MIB]))).await;
    assert_eq!(text(fits.outcome.unwrap()).await, TEN_MIB.to_string());
    let refused = problem(call(&rig, request(Method::POST, "/", full(vec![b'x'; TEN_MIB + 1]))).await);
    assert_eq!((refused.status.as_u16(), refused.code), (413, "body-too-large"));
    assert!(refused.detail.contains("larger than the 10485760 bytes a call may have"), "{refused:?}");
    assert_eq!(instance.requests(), 1);
    // One that does not say how long it will be is cut off on the way.
    let pieces = std::iter::repeat_n(Bytes::from(vec![b'x'; 1 << 20]), 11);
    let mut pieces = pieces.map(|piece| PieceResult::Ok(Frame::data(piece)));
    let body = RequestBody::new(async_frames(move |_| Poll::Ready(pieces.next())));
    let refused = problem(call(&rig, request(Method::POST, "/", body)).await);
    assert_eq!(refused.status.as_u16(), 413);
    assert_eq!(rig.handle.breakers()[0].state, "closed");
}

#[tokio::test]
async fn a_slow_body_streams_and_one_that_stops_is_told_so() {
    let instance = Instance::start(|request| ok(&request.text())).await;
    let rig = before(&instance);
    let (sender, body) = stream();
    let feeding = tokio::spawn(async move {
        let mut rhythm = tokio::time::interval(SHORT / 4);
        for piece in [b"one ".as_slice(), b"two ", b"three ", b"four ", b"five ", b"six"] {
            rhythm.tick().await;
            sender.send(Ok(piece)).await.unwrap();
        }
    });
    let quick = CallOptions { timeout: SHORT, ..options() };
    let called = rig.handle.call(&"shop".parse().unwrap(), request(Method::POST, "/", body), quick).await;
    assert_eq!(text(called.outcome.unwrap()).await, "one two three four five six");
    feeding.await.unwrap();

    let limits = Limits { body_idle: SHORT, ..Limits::default() };
    let rig = Rig::with(callable(upstream(&[instance.address])), limits);
    let (sender, body) = stream();
    sender.send(Ok(b"half")).await.unwrap();
    let stuck = problem(call(&rig, request(Method::POST, "/", body)).await);
    assert_eq!((stuck.status.as_u16(), stuck.code), (408, "client-timeout"));
    assert_eq!(rig.handle.breakers()[0].state, "closed");
}

#[tokio::test]
async fn a_caller_whose_body_breaks_off_or_lies_opens_no_breaker() {
    let instance = Instance::start(|request| ok(&request.text())).await;
    let rig = before(&instance);
    for _ in 0..8 {
        let (sender, body) = stream();
        sender.send(Ok(b"half")).await.unwrap();
        sender.send(Err("the line is dead")).await.unwrap();
        let broken = problem(call(&rig, request(Method::POST, "/", body)).await);
        assert_eq!((broken.status.as_u16(), broken.code), (400, "bad-request"));
    }
    for announced in [3, 100] {
        for method in [Method::POST, Method::PUT] {
            let mut pieces = vec![PieceResult::Ok(Frame::data(Bytes::from("hello")))].into_iter();
            let mut lying = async_frames(move |_: &mut Context<'_>| Poll::Ready(pieces.next()));
            lying.1 = SizeHint::with_exact(announced);
            let called = call(&rig, request(method.clone(), "/", RequestBody::new(lying))).await;
            assert_eq!(problem(called).status.as_u16(), 400, "{method} {announced}");
        }
    }
    assert_eq!(rig.handle.breakers()[0].state, "closed");
    assert_eq!(rig.handle.stats().in_flight, 0);
    assert!(
        !instance.seen.lock().unwrap().iter().any(|seen| seen.is_complete),
        "nothing half passed for whole"
    );
}

#[tokio::test]
async fn an_instance_that_dies_in_the_middle_of_its_answer_is_an_error_of_the_body() {
    for (head, is_chunked) in
        [("content-length: 10\r\n\r\nhalf", false), ("transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", true)]
    {
        let instance =
            Instance::start(move |_| Reply::Close(format!("HTTP/1.1 200 OK\r\n{head}").into_bytes())).await;
        let rig = before(&instance);
        let answer = get(&rig).await.outcome.unwrap();
        let mut body = answer.into_body();
        assert_eq!(body.size_hint().exact().is_none(), is_chunked);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(error, CallBodyError::BrokeOff { .. }), "{error:?}");
        assert_eq!(error.to_string(), "instance shop/1 broke off in the middle of its answer");
        assert!(body.frame().await.is_none());
        assert!(rig.record().await.why.unwrap().contains("broke off in the middle"), "a reason");
    }
}

#[tokio::test]
async fn an_instance_that_stops_in_the_middle_of_its_answer_is_not_waited_for() {
    let (_open, gate) = watch::channel(false);
    let instance = Instance::start(move |_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec();
        Reply::Gated(head, gate.clone(), b"whole".to_vec())
    })
    .await;
    let limits = Limits { body_idle: SHORT, ..Limits::default() };
    let rig = Rig::with(callable(upstream(&[instance.address])), limits);
    let mut body = get(&rig).await.outcome.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "instance shop/1 sent nothing of its answer for 80 ms");
    eventually("the end of its connection", || rig.handle.breakers()[0].in_flight == 0).await;
    assert!(rig.record().await.why.unwrap().contains("nothing came for 80 ms"), "a reason");
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_exchange_at_every_point() {
    // Before the head.
    let silent = Instance::start(|_| Reply::Silence).await;
    let rig = before(&silent);
    let handle = rig.handle.clone();
    let calling = tokio::spawn(async move {
        handle.call(&"shop".parse().unwrap(), request(Method::GET, "/", empty()), options()).await
    });
    eventually("the request", || silent.requests() == 1).await;
    assert_eq!((rig.handle.stats().in_flight, rig.handle.breakers()[0].in_flight), (1, 1));
    calling.abort();
    eventually("the end of its connection", || silent.ended.load(Ordering::SeqCst) == 1).await;
    assert_eq!(rig.record().await.status, 499);
    assert_eq!((rig.handle.stats().in_flight, rig.handle.breakers()[0].in_flight), (0, 0));

    // In the middle of the answer.
    let (_open, gate) = watch::channel(false);
    let instance = Instance::start(move |_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec();
        Reply::Gated(head, gate.clone(), b"whole".to_vec())
    })
    .await;
    let rig = before(&instance);
    let mut body = get(&rig).await.outcome.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(rig.handle.breakers()[0].in_flight, 1);
    drop(body);
    eventually("the end", || rig.handle.breakers()[0].in_flight == 0).await;
    assert!(rig.record().await.why.unwrap().contains("client left before the end"), "a reason");
    assert_eq!(rig.handle.breakers()[0].state, "closed");
}

#[tokio::test]
async fn a_caller_that_does_not_read_does_not_keep_the_instance() {
    let large = "x".repeat(8 << 20);
    let instance = Instance::start(move |_| ok(&large)).await;
    let limits = Limits { body_idle: Duration::from_millis(500), ..Limits::default() };
    let rig = Rig::with(callable(upstream(&[instance.address])), limits);
    let body = get(&rig).await.outcome.unwrap().into_body();
    eventually("the exchange is given up", || rig.handle.breakers()[0].in_flight == 0).await;
    let error = body.collect().await.unwrap_err();
    assert!(matches!(error, CallBodyError::GivenUp { .. }), "{error:?}");
}
