//! Messages to a real broker, read back by its own client.

use std::time::{Duration, Instant};

use haus_model::CredentialName;
use haus_model::alert::Road;
use haus_notify::{Keys, State};

use crate::receivers::{broker, dead_address, retained, silent_server};
use crate::{PATIENCE, deliver, keys, message};

const ACCOUNTS: &str = "password_file accounts\nacl_file rules";

struct To<'a> {
    port: u16,
    topic: &'a str,
    user: Option<&'a str>,
}

fn road(to: &To<'_>) -> Road {
    let password: CredentialName = "mqtt-password".parse().unwrap();
    Road::Mqtt {
        host: String::from("127.0.0.1"),
        port: to.port,
        topic: to.topic.to_owned(),
        user: to.user.map(str::to_owned),
        password: to.user.map(|_| password),
    }
}

#[test]
fn an_alert_is_kept_for_later_listeners_and_its_end_takes_its_place() {
    let Some(broker) = broker("an_alert_is_kept_for_later_listeners", ACCOUNTS) else { return };
    let road = road(&To { port: broker.address.port(), topic: "haus/zimmer/alerts", user: Some("haus") });
    for (state, word) in [(State::Firing, "firing"), (State::Resolved, "resolved")] {
        let receipt = deliver(&road, &keys("planted-password"), &message(state), PATIENCE).unwrap();
        let topic = "haus/zimmer/alerts/zimmer-05/service-offline";
        assert!(
            receipt.evidence.starts_with(&format!("PUBACK for {topic}, retained")),
            "{}",
            receipt.evidence
        );
        let kept = retained(&broker, "haus/#");
        let body = kept.strip_prefix(&format!("{topic} 1 ")).expect(&kept).split_once(' ').unwrap().1;
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((body["state"].as_str(), body["id"].as_str()), (Some(word), Some("a-17")));
        assert_eq!(body["delivery"]["id"], "d-4711");
    }
    assert!(!broker.read("log").contains("planted"), "{}", broker.read("log"));
}

#[test]
fn names_cannot_leave_their_level_of_the_topic() {
    let Some(broker) = broker("names_cannot_leave_their_level_of_the_topic", ACCOUNTS) else { return };
    let road = road(&To { port: broker.address.port(), topic: "haus/a/", user: Some("haus") });
    let mut message = message(State::Firing);
    message.subject = String::from("../+/#\u{0}ü");
    message.kind = String::new();
    deliver(&road, &keys("planted-password"), &message, PATIENCE).unwrap();
    assert!(retained(&broker, "haus/#").starts_with("haus/a/.._____ü/_ "), "{}", retained(&broker, "haus/#"));
}

#[test]
fn a_refused_login_or_topic_is_an_error_that_stays() {
    let Some(broker) = broker("a_refused_login_or_topic_is_an_error_that_stays", ACCOUNTS) else { return };
    let port = broker.address.port();
    let login = road(&To { port, topic: "haus/a", user: Some("haus") });
    let wrong = deliver(&login, &keys("planted-wrong"), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(!wrong.retry && wrong.what.contains("not authorized"), "{wrong}");
    let missing = deliver(&login, &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(missing.retry && missing.what.contains("password"), "{missing}");
    let elsewhere = road(&To { port, topic: "attic", user: Some("haus") });
    let denied =
        deliver(&elsewhere, &keys("planted-password"), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(!denied.retry && denied.what.contains("let its account write to the topic"), "{denied}");
}

#[test]
fn a_broker_that_keeps_nothing_is_an_error_that_stays() {
    let settings = "allow_anonymous true\nretain_available false";
    let Some(broker) = broker("a_broker_that_keeps_nothing_is_an_error_that_stays", settings) else { return };
    let road = road(&To { port: broker.address.port(), topic: "haus/a", user: None });
    let error = deliver(&road, &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(!error.retry && error.what.contains("no retained messages"), "{error}");
}

#[test]
fn topics_that_are_none_are_errors_of_the_plan() {
    for topic in ["", "/", "haus/#", "a/+/b", "$SYS/haus", "a\nb"] {
        let road = road(&To { port: 1, topic, user: None });
        let error = deliver(&road, &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
        assert!(!error.retry && error.what.contains("in the plan"), "{topic}: {error}");
    }
}

#[test]
fn brokers_that_are_dead_silent_or_strange_do_not_hold_us() {
    let at = |port| road(&To { port, topic: "haus/a", user: None });
    let dead =
        deliver(&at(dead_address().port()), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(dead.retry && dead.what.contains("no connection"), "{dead}");

    let begun = Instant::now();
    // Nothing at all, and a welcome without what follows.
    for greeting in [b"".as_slice(), b"\x20\x03\0\0\0"] {
        let short = Duration::from_millis(200);
        let road = at(silent_server(greeting).port());
        let silent = deliver(&road, &Keys::default(), &message(State::Firing), short).unwrap_err();
        assert!(silent.retry && silent.what.contains("no answer within"), "{silent}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));

    let old = deliver(
        &at(silent_server(b"\x20\x02\0\x01").port()),
        &Keys::default(),
        &message(State::Firing),
        PATIENCE,
    );
    let old = old.unwrap_err();
    assert!(!old.retry && old.what.contains("MQTT 5"), "{old}");
    let strange = at(silent_server(b"HTTP/1.1 400 Bad Request\r\n\r\n").port());
    let strange = deliver(&strange, &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(!strange.retry && strange.what.contains("look what listens there"), "{strange}");
}
