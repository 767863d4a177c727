//! Webhooks to a listener that looks at every byte.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use haus_model::CredentialName;
use haus_model::alert::Road;
use haus_notify::{Keys, State};

use crate::receivers::{dead_address, http_server, silent_server};
use crate::{PATIENCE, Try, attempt, deliver, keys, message};

fn road(address: impl std::fmt::Display) -> Road {
    Road::Webhook { url: format!("http://{address}/hooks/planted-path?key=planted"), secret: None }
}

fn signed(address: impl std::fmt::Display) -> Road {
    let name: CredentialName = "alert-key".parse().unwrap();
    Road::Webhook { url: format!("http://{address}/hooks/planted-path?key=planted"), secret: Some(name) }
}

fn answer(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn a_receiver_can_check_who_sent_it_when_and_that_nothing_was_changed() {
    let (address, asked) = http_server(vec![answer("204 No Content")]);
    let receipt = deliver(&signed(address), &keys("planted-key"), &message(State::Firing), PATIENCE).unwrap();
    assert_eq!(receipt.evidence, format!("HTTP 204 from http://{address}"));

    let asked = asked.recv().unwrap();
    assert_eq!(asked.line, "POST /hooks/planted-path?key=planted HTTP/1.1");
    assert_eq!(asked.header("host"), address.to_string());
    assert_eq!(asked.header("content-type"), "application/json");
    assert_eq!(asked.header("x-webhook-id"), "a-17");
    assert_eq!(asked.header("x-webhook-event"), "service-offline.firing");
    assert_eq!(asked.header("x-delivery-id"), "d-4711");

    let key = hmac::Key::new(hmac::HMAC_SHA256, b"planted-key");
    let digits = asked.header("x-webhook-signature").strip_prefix("sha256=").unwrap();
    let tag: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    hmac::verify(&key, &asked.body, &tag).expect("the signature is the body's");

    let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(body["format"], 1);
    assert_eq!(body["state"], "firing");
    assert_eq!(body["level"], "critical");
    assert_eq!(body["since"], "2026-11-21T03:00:00.000Z");
    assert_eq!(body["title"]["de"], "zimmer-05 antwortet nicht: Prüfung schlägt fehl");
    assert_eq!(body["delivery"]["id"], "d-4711");
    assert_eq!(body["delivery"]["attempt"], 1);
    assert_eq!(body["delivery"]["sent_at"], asked.header("x-webhook-timestamp"));
}

#[test]
fn a_failed_attempt_is_repeated_under_the_same_delivery() {
    let (address, asked) = http_server(vec![answer("500 Internal Server Error"), answer("200 OK")]);
    let error = deliver(&road(address), &Keys::default(), &message(State::Resolved), PATIENCE).unwrap_err();
    assert!(error.retry && error.what.contains("HTTP 500"), "{error}");
    let again = Try { number: 2, within: PATIENCE };
    attempt(&road(address), &Keys::default(), &message(State::Resolved), again).unwrap();
    let (first, second) = (asked.recv().unwrap(), asked.recv().unwrap());
    assert_eq!(first.header("x-delivery-id"), second.header("x-delivery-id"));
    assert_eq!(second.header("x-webhook-event"), "service-offline.resolved");
    assert_eq!(second.header("x-webhook-signature"), "", "without a key nothing pretends to be signed");
    let body: serde_json::Value = serde_json::from_slice(&second.body).unwrap();
    assert_eq!(body["delivery"]["attempt"], 2);
}

fn check(status: &str, retry: bool) {
    let (address, _asked) = http_server(vec![answer(status)]);
    let error = deliver(&road(address), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert_eq!(error.retry, retry, "{status}: {error}");
}

#[test]
fn statuses_tell_what_passes_from_what_stays() {
    check("400 Bad Request", false);
    check("401 Unauthorized", false);
    check("404 Not Found", false);
    check("408 Request Timeout", true);
    check("410 Gone", false);
    check("429 Too Many Requests", true);
    check("502 Bad Gateway", true);
    check("503 Service Unavailable", true);
}

#[test]
fn a_redirect_is_not_followed() {
    let (elsewhere, visited) = http_server(vec![answer("200 OK")]);
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
    );
    let (address, _asked) = http_server(vec![redirect]);
    let error = deliver(&road(address), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(!error.retry && error.what.contains("redirects are not followed"), "{error}");
    assert!(visited.try_recv().is_err());
}

#[test]
fn a_receiver_says_when_to_come_back() {
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 90\r\nContent-Length: 4\r\n\r\nslow";
    let (address, _asked) = http_server(vec![busy.to_owned()]);
    let error = deliver(&road(address), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(90)));
    assert!(error.what.contains("(slow)"), "{error}");
}

#[test]
fn a_success_counts_although_its_body_never_comes() {
    let (address, _asked) =
        http_server(vec![String::from("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nso")]);
    deliver(&road(address), &Keys::default(), &message(State::Firing), PATIENCE).unwrap();
}

#[test]
fn an_endless_refusal_is_cut_and_one_that_repeats_the_address_is_left_out() {
    let flood = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: 9000\r\n\r\n{}", "x\r\n".repeat(3000));
    let echo = "HTTP/1.1 404 Not Found\r\nContent-Length: 53\r\n\r\nno route for POST /hooks/planted-path?key=planted ...";
    let (address, _asked) = http_server(vec![flood, echo.to_owned()]);
    let error = deliver(&road(address), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(error.what.len() < 500 && !error.what.contains('\n'), "{error}");
    let error = deliver(&road(address), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(error.what.contains("left out"), "{error}");
}

#[test]
fn receivers_that_are_dead_silent_or_strange_do_not_hold_us() {
    let dead =
        deliver(&road(dead_address()), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(dead.retry && dead.what.contains("no connection"), "{dead}");

    let begun = Instant::now();
    let short = Duration::from_millis(200);
    let silent =
        deliver(&road(silent_server(b"")), &Keys::default(), &message(State::Firing), short).unwrap_err();
    assert!(silent.retry && silent.what.contains("no answer within 200 ms"), "{silent}");
    assert!(begun.elapsed() < Duration::from_secs(20));

    let strange = silent_server(b"220 mail.test ESMTP\r\n");
    let strange = deliver(&road(strange), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(strange.retry && strange.what.contains("look what listens there"), "{strange}");
}

#[test]
fn a_signed_webhook_is_not_sent_without_its_key() {
    let (address, asked) = http_server(vec![answer("200 OK")]);
    let error = deliver(&signed(address), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(error.retry && error.what.contains("signing key"), "{error}");
    assert!(asked.try_recv().is_err());
}

#[test]
fn addresses_that_are_none_are_errors_of_the_plan() {
    for url in [
        "ftp://attic.example/planted",
        "planted",
        "http://",
        "http://user:planted@127.0.0.1:1/",
        "http://a b/planted",
    ] {
        let road = Road::Webhook { url: url.to_owned(), secret: None };
        let error = deliver(&road, &Keys::default(), &message(State::Firing), PATIENCE);
        let Err(error) = error else { panic!("{url} was taken") };
        assert!(!error.retry && error.what.contains("in the plan"), "{url}: {error}");
    }
}
