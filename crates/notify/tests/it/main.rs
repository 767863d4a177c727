//! The three roads to real receivers: an HTTP listener of the test's own, aiosmtpd, mosquitto.
#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod mail;
mod mqtt;
mod receivers;
mod webhook;

use std::time::Duration;

use haus_model::alert::{AlertLevel, Road};
use haus_model::{Secret, Timestamp};
use haus_notify::{DeliverError, Delivery, Keys, Message, Receipt, State};

/// Time for a delivery that should succeed, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(30);

fn message(state: State) -> Message {
    Message {
        id: String::from("a-17"),
        house: String::from("zimmer"),
        level: AlertLevel::Critical,
        kind: String::from("service-offline"),
        subject: String::from("zimmer-05"),
        state,
        since: Timestamp(1_795_230_000_000),
        at: Timestamp(1_795_230_060_000),
        title_en: String::from("zimmer-05 does not answer"),
        title_de: String::from("zimmer-05 antwortet nicht: Prüfung schlägt fehl"),
        text_en: String::from("Three probes failed.\nLook at `haus logs zimmer-05`."),
        text_de: String::from("Drei Prüfungen schlugen fehl.\n.\nSiehe `haus logs zimmer-05`."),
        url: Some(String::from("http://127.0.0.1:8000/services/zimmer-05")),
    }
}

fn delivery(id: &str, attempt: u32) -> Delivery {
    Delivery { id: id.to_owned(), attempt }
}

fn keys(secret: &str) -> Keys {
    Keys { secret: Some(Secret::from(secret.to_owned())) }
}

/// One delivery to its end.
fn deliver(road: &Road, keys: &Keys, message: &Message, within: Duration) -> Result<Receipt, DeliverError> {
    attempt(road, keys, message, Try { number: 1, within })
}

struct Try {
    number: u32,
    within: Duration,
}

fn attempt(road: &Road, keys: &Keys, message: &Message, attempt: Try) -> Result<Receipt, DeliverError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let delivery = delivery("d-4711", attempt.number);
    let result = runtime.block_on(haus_notify::deliver(road, keys, message, &delivery, attempt.within));
    if let Err(error) = &result {
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains("planted"), "{printed}");
        assert!(printed.contains("a-17"), "{printed}");
    }
    result
}
