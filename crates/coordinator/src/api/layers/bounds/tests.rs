//! Tests of the bounds.

use super::*;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{any, get, post};
use std::sync::atomic::{AtomicBool, Ordering};
use tower::ServiceExt;

async fn layer(State(bounds): State<Arc<Bounds>>, request: Request, next: Next) -> Response {
    bounded(&bounds, request, |request| next.run(request)).await
}

fn bounds(each: usize) -> Bounds {
    let shares = || Shares::new(each);
    Bounds { known: shares(), strangers: shares(), long: shares(), watchers: shares(), exports: shares() }
}

/// Handlers that never end at `/api/tokens`, and ones that do elsewhere.
fn router(bounds: Bounds) -> Router {
    let never = || any(std::future::pending::<()>);
    let echo = async |body: Bytes| body;
    let router = Router::new()
        .route("/api/tokens", never())
        .route("/api/services", get(async || "services"))
        .route("/api/watch", get(async || "news"))
        .route("/api/trail/export", get(async || "lines"))
        .route("/api/identity/enrol", post(echo))
        .route("/health", get(async || "well"));
    router.layer(from_fn_with_state(Arc::new(bounds), layer))
}

fn account() -> Caller {
    Caller { who: Who::Account { uid: 7 }, address: None, request_id: "test".to_owned() }
}

fn stranger(address: &str) -> Caller {
    Caller { who: Who::Anonymous, address: Some(address.to_owned()), request_id: "test".to_owned() }
}

fn request(method: Method, path: &str, caller: Caller, body: impl Into<Body>) -> Request {
    let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    request.extensions_mut().insert(caller);
    request
}

async fn send(router: &Router, request: Request) -> Response {
    router.clone().oneshot(request).await.unwrap()
}

async fn check(router: &Router, path: &str, caller: Caller, expected: StatusCode) -> Response {
    let answer = send(router, request(Method::GET, path, caller, Body::empty())).await;
    assert_eq!(answer.status(), expected, "{path}");
    assert_eq!(answer.headers().contains_key("retry-after"), expected.is_server_error());
    answer
}

/// A body of which nothing comes.
fn stalled() -> Body {
    struct Stalled;
    impl HttpBody for Stalled {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }
    }
    Body::new(Stalled)
}

/// Works on a future until it waits.
async fn begin(future: &mut (impl Future + Unpin)) {
    tokio::select! {
        biased;
        _ = future => panic!("it has ended"),
        () = tokio::task::yield_now() => {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_given_up_and_told_so() {
    check(&router(bounds(1)), "/api/tokens", account(), StatusCode::SERVICE_UNAVAILABLE).await;
}

#[tokio::test]
async fn a_crowd_is_turned_away_at_once_and_does_not_hinder_who_waits_or_looks_whether_it_lives() {
    let router = router(Bounds { watchers: Shares::new(1), ..bounds(0) });
    check(&router, "/api/services", account(), StatusCode::SERVICE_UNAVAILABLE).await;
    check(&router, "/api/services", stranger("192.0.2.7"), StatusCode::SERVICE_UNAVAILABLE).await;
    check(&router, "/api/watch", stranger("192.0.2.7"), StatusCode::OK).await;
    check(&router, "/health", stranger("192.0.2.7"), StatusCode::OK).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_takes_no_place_of_strangers() {
    let router = router(bounds(1));
    let slow = request(Method::POST, "/api/identity/enrol", stranger("192.0.2.7"), stalled());
    let mut slow = Box::pin(send(&router, slow));
    begin(&mut slow).await;
    check(&router, "/api/services", stranger("192.0.2.8"), StatusCode::OK).await;
    drop(slow);
}

#[tokio::test(start_paused = true)]
async fn strangers_bring_little_and_at_once() {
    let router = router(bounds(9));
    let send = async |path: &str, body: Body| {
        let answer = send(&router, request(Method::POST, path, stranger("192.0.2.7"), body)).await;
        answer.status().as_u16()
    };
    assert_eq!(send("/api/identity/enrol", vec![7; 4 << 10].into()).await, 200);
    assert_eq!(send("/api/identity/enrol", vec![7; (4 << 10) + 1].into()).await, 413);
    assert_eq!(send("/api/tokens", vec![7; (4 << 10) + 1].into()).await, 401);
    let begun = tokio::time::Instant::now();
    assert_eq!((send("/api/identity/enrol", stalled()).await, begun.elapsed().as_secs()), (408, 5));
}

#[tokio::test]
async fn strangers_who_wait_are_few_and_hinder_nobody_known() {
    let router = router(Bounds::default());
    let watch = async |caller: Caller, expected| check(&router, "/api/watch", caller, expected).await;
    let mut held = Vec::new();
    for _ in 0..WATCHERS_OWN_MAX {
        held.push(watch(stranger("192.0.2.7"), StatusCode::OK).await);
    }
    watch(stranger("192.0.2.7"), StatusCode::SERVICE_UNAVAILABLE).await;
    for number in 0..WATCHERS_MAX - WATCHERS_OWN_MAX {
        held.push(watch(stranger(&format!("198.51.100.{number}")), StatusCode::OK).await);
    }
    watch(stranger("203.0.113.1"), StatusCode::SERVICE_UNAVAILABLE).await;
    watch(account(), StatusCode::OK).await;
    drop(held);
    watch(stranger("192.0.2.7"), StatusCode::OK).await;
}

#[tokio::test]
async fn an_export_holds_its_place_until_it_is_read() {
    let router = router(Bounds::default());
    let export = async |expected| check(&router, "/api/trail/export", account(), expected).await;
    let mut held = Vec::new();
    for _ in 0..EXPORTS_MAX {
        held.push(export(StatusCode::OK).await);
    }
    export(StatusCode::SERVICE_UNAVAILABLE).await;
    held.pop();
    export(StatusCode::OK).await;
}

#[tokio::test]
async fn a_change_is_done_to_its_end_when_its_caller_hangs_up() {
    let done = Arc::new(AtomicBool::new(false));
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let told = Arc::clone(&done);
    let handler = async move || {
        let gone = gone.lock().unwrap().take();
        gone.unwrap().await.unwrap();
        told.store(true, Ordering::SeqCst);
    };
    let shares = Bounds { known: Shares::new(1), ..bounds(0) };
    let router = Router::new().route("/api/act", any(handler));
    let router = router.layer(from_fn_with_state(Arc::new(shares), layer));
    let mut sent = Box::pin(send(&router, request(Method::DELETE, "/api/act", account(), Body::empty())));
    begin(&mut sent).await;
    drop(sent);
    let again = send(&router, request(Method::DELETE, "/api/act", account(), Body::empty())).await;
    assert_eq!(again.status(), StatusCode::SERVICE_UNAVAILABLE, "it still has its place");
    go.send(()).expect("the change goes on");
    let ends = async {
        while !done.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ends).await.expect("it ends");
}
