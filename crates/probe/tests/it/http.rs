//! HTTP and TCP: servers that answer well, badly, never, forever.

use crate::{HASTY, PATIENT, ask, assert_bad, assert_good};
use haus_probe::{Expectation, HttpMethod, ProbeTarget};
use haus_testkit::free_port;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

fn target(address: SocketAddr, path: &str, expect: Expectation) -> ProbeTarget {
    let (method, host) = (HttpMethod::Get, "room.zimmer.localhost".into());
    ProbeTarget::Http { method, address, host, path: path.into(), expect }
}

fn json(text: &str) -> Expectation {
    Expectation { json: Some(serde_json::from_str(text).unwrap()), ..Expectation::default() }
}

/// Answers every connection by `answer` after its request head; returns what the last request was.
async fn serve<F, R>(answer: F) -> (SocketAddr, Arc<Mutex<String>>, JoinHandle<()>)
where
    F: Fn(TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(String::new()));
    let note = Arc::clone(&asked);
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            *note.lock().unwrap() = String::from_utf8_lossy(&head).into_owned();
            tokio::spawn(answer(stream));
        }
    });
    (address, asked, task)
}

/// A server that sends this text and closes.
async fn canned(text: impl Into<String>) -> SocketAddr {
    let text: Arc<str> = text.into().into();
    let answer = move |mut stream: TcpStream| {
        let text = Arc::clone(&text);
        async move {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    };
    serve(answer).await.0
}

fn sized(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_good_answer_is_good_and_was_asked_plainly() {
    let (address, asked, _task) = serve(|mut stream: TcpStream| async move {
        let _ = stream.write_all(sized("200 OK", r#"{"ok":true,"more":1}"#).as_bytes()).await;
    })
    .await;
    let outcome = ask(&target(address, "/health?token=hunter2", json(r#"{"ok":true}"#)), PATIENT).await;
    assert_good(&outcome, &format!("GET http://{address}/health: 200 in "));
    assert!(!outcome.evidence.contains("hunter2"), "{outcome:?}");
    let asked = asked.lock().unwrap().to_lowercase();
    assert!(asked.starts_with("get /health?token=hunter2 http/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nhost: room.zimmer.localhost\r\n"), "{asked}");
    assert!(asked.contains("\r\nconnection: close\r\n"), "{asked}");
}

#[tokio::test]
async fn a_head_is_asked_as_one_and_its_missing_body_is_not_waited_for() {
    let (address, asked, _task) = serve(|mut stream: TcpStream| async move {
        // The length of the body that a GET would get; the connection stays open.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let (method, host) = (HttpMethod::Head, "x".into());
    let asks =
        ProbeTarget::Http { method, address, host, path: "/up".into(), expect: Expectation::default() };
    let outcome = ask(&asks, PATIENT).await;
    assert_good(&outcome, &format!("HEAD http://{address}/up: 200 in "));
    assert!(asked.lock().unwrap().starts_with("HEAD /up HTTP/1.1\r\n"));
}

#[tokio::test]
async fn chunks_and_answers_without_length_are_read_to_the_end() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"ok\r\n7\r\n\":true}\r\n0\r\n\r\n";
    let outcome = ask(&target(canned(chunked).await, "/", json(r#"{"ok":true}"#)), PATIENT).await;
    assert_good(&outcome, "200");
    let open_end = "HTTP/1.0 200 OK\r\n\r\n{\"ok\":true}";
    let outcome = ask(&target(canned(open_end).await, "/", json(r#"{"ok":true}"#)), PATIENT).await;
    assert_good(&outcome, "200");
}

#[tokio::test]
async fn an_answer_that_is_not_as_expected_says_what_was_expected() {
    let address = canned(sized("503 Busy", "secret-body")).await;
    let outcome = ask(&target(address, "/health", Expectation::default()), PATIENT).await;
    assert_bad(&outcome, &format!("GET http://{address}/health: status 503, expected 200"));
    let outcome =
        ask(&target(address, "/", Expectation { status: 503, ..Expectation::default() }), PATIENT).await;
    assert_good(&outcome, "503");

    let address = canned(sized("200 OK", r#"{"ok":false,"password":"secret-body"}"#)).await;
    let outcome = ask(&target(address, "/", json(r#"{"ok":true}"#)), PATIENT).await;
    assert_bad(&outcome, r#"body lacks "ok": true"#);
    assert!(!outcome.evidence.contains("secret-body"), "{outcome:?}");
    let text = Expectation { text: Some("all\u{1b}[31m well".into()), ..Expectation::default() };
    assert_bad(&ask(&target(address, "/", text), PATIENT).await, "body lacks the text");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let goal = canned(sized("200 OK", "")).await;
    let text = format!("HTTP/1.1 302 Found\r\nLocation: http://{goal}/\r\nContent-Length: 0\r\n\r\n");
    let outcome = ask(&target(canned(text).await, "/", Expectation::default()), PATIENT).await;
    assert_bad(&outcome, "status 302, expected 200");
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let outcome = ask(&target(address, "/health", Expectation::default()), PATIENT).await;
    assert_bad(&outcome, &format!("GET http://{address}/health: connection refused"));
    let outcome = ask(&ProbeTarget::Tcp { address }, PATIENT).await;
    assert_bad(&outcome, &format!("connect {address}: connection refused"));
}

#[tokio::test]
async fn a_listener_is_enough_for_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let outcome = ask(&ProbeTarget::Tcp { address }, PATIENT).await;
    assert_good(&outcome, &format!("connect {address}: accepted"));
}

#[tokio::test]
async fn a_server_that_never_answers_costs_no_more_than_the_timeout() {
    let (address, _, _task) = serve(|mut stream: TcpStream| async move {
        let _ = stream.read_u8().await;
    })
    .await;
    let outcome = ask(&target(address, "/health", Expectation::default()), HASTY).await;
    assert_bad(&outcome, "no answer within 200ms");
    assert!(outcome.took_ms >= 200, "{outcome:?}");
}

#[tokio::test]
async fn half_answers_are_bad() {
    let check = async |text: &str, part: &str| {
        let address = canned(text).await;
        assert_bad(&ask(&target(address, "/", Expectation::default()), PATIENT).await, part);
    };
    check("", "closed before the answer was complete").await;
    check("HTTP/1.1 200 O", "closed before the answer was complete").await;
    check("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "broke off").await;
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf", "broke off").await;
}

#[tokio::test]
async fn garbage_is_no_answer() {
    let check = async |text: &str| {
        let address = canned(text).await;
        assert_bad(&ask(&target(address, "/", Expectation::default()), PATIENT).await, "is not HTTP");
    };
    check("SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n").await;
    check("\u{0}\u{1b}[2J\u{7}\r\n\r\n").await;
    check("HTTP/1.1 200 OK\r\nbroken\u{0}header\r\n\r\n").await;
    check("HTTP/1.1 999999 Many\r\n\r\n").await;
    check(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Filler: 0123456789\r\n".repeat(10_000))).await;
}

#[tokio::test]
async fn a_huge_body_is_read_to_the_limit_and_no_further() {
    let address = canned(sized("200 OK", &format!("{{\"ok\":true}}{}", " ".repeat(4 << 20)))).await;
    let outcome = ask(&target(address, "/", Expectation::default()), PATIENT).await;
    assert_good(&outcome, "200");
    let outcome = ask(&target(address, "/", json(r#"{"ok":true}"#)), PATIENT).await;
    assert_bad(&outcome, "body is larger than 64 KiB");
    let text = Expectation { text: Some("\"ok\"".into()), ..Expectation::default() };
    assert_good(&ask(&target(address, "/", text), PATIENT).await, "200");
    let missing = Expectation { text: Some("zzz".into()), ..Expectation::default() };
    assert_bad(&ask(&target(address, "/", missing), PATIENT).await, "in its first 64 KiB");
}

#[tokio::test]
async fn a_body_that_drips_forever_ends_with_the_timeout() {
    let (address, _, _task) = serve(|mut stream: TcpStream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        let mut drip = tokio::time::interval(Duration::from_millis(10));
        while stream.write_all(b"x").await.is_ok() {
            drip.tick().await;
        }
    })
    .await;
    let outcome = ask(&target(address, "/", Expectation::default()), HASTY).await;
    assert_bad(&outcome, "no end of the answer within 200ms");
}

#[tokio::test]
async fn what_cannot_be_asked_is_an_outcome() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let plain = Expectation::default();
    let path = "could not be asked: the path does not start with /";
    assert_bad(&ask(&target(address, "health", plain.clone()), PATIENT).await, path);
    assert_bad(&ask(&target(address, "", plain.clone()), PATIENT).await, path);
    assert_bad(&ask(&target(address, "/a b\u{1b}\n", plain.clone()), PATIENT).await, "could not be asked");
    let host = ProbeTarget::Http {
        method: HttpMethod::Get,
        address,
        host: "a\r\nX: y".into(),
        path: "/".into(),
        expect: plain,
    };
    assert_bad(&ask(&host, PATIENT).await, "could not be asked");
}
