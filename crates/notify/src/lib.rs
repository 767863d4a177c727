//! Brings one alert to one receiver: webhook, mail or MQTT, and comes back with evidence or an error that
//! says whether to try again.
//!
//! One call is one attempt on one connection. This crate knows no queue, no schedule of retries, no damping
//! and no vault; the texts are written elsewhere. Why these clients: docs/decisions/0012. What arrives:
//! docs/formats/webhook.md.

mod body;
mod error;
mod letter;
mod mail;
mod mqtt;
mod packet;
mod stream;
mod tls;
mod webhook;

use std::time::Duration;

use haus_model::alert::{AlertLevel, Road};
use haus_model::{Secret, Timestamp};
use serde::{Deserialize, Serialize};

pub use error::DeliverError;

/// Whether a fault is there or over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is there.
    Firing,
    /// It is over.
    Resolved,
}

impl State {
    /// The word in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Firing => "firing",
            State::Resolved => "resolved",
        }
    }
}

/// What a receiver is told. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The alert; the same from its beginning to its end.
    pub id: String,
    /// The house.
    pub house: String,
    /// How bad it is.
    pub level: AlertLevel,
    /// What kind of fault, for machines: `service-offline`.
    pub kind: String,
    /// What it is about, for the most part a service.
    pub subject: String,
    /// Whether it is there or over.
    pub state: State,
    /// When it began.
    pub since: Timestamp,
    /// When the message was written.
    pub at: Timestamp,
    /// One line in English.
    pub title_en: String,
    /// One line in German.
    pub title_de: String,
    /// What is known and what to do, in English.
    pub text_en: String,
    /// The same in German.
    pub text_de: String,
    /// Where to look, for example the page of the house.
    pub url: Option<String>,
}

/// What a road needs and the plan only names; fetched by the caller.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Key of the webhook's signature, or password of the mail or MQTT account.
    pub secret: Option<Secret>,
}

/// Which delivery this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Stable over all attempts, so that a receiver can drop the second one of two that both arrived.
    pub id: String,
    /// Counted from 1.
    pub attempt: u32,
}

/// What the receiver answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// In words: `HTTP 204 from https://alerts.example`.
    pub evidence: String,
}

/// Brings `message` to the end of `road`, within the given time. Must run inside a tokio runtime with time
/// and network.
///
/// A receipt means that the other side has taken it: a 2xx status, a mail accepted after its last line for
/// at least one recipient, a PUBACK of the broker.
///
/// # Errors
/// [`DeliverError`]. With [`DeliverError::retry`] the message may have arrived all the same, when only the
/// answer was lost.
pub async fn deliver(
    road: &Road,
    keys: &Keys,
    message: &Message,
    delivery: &Delivery,
    within: Duration,
) -> Result<Receipt, DeliverError> {
    let trust = tls::Trust::System;
    let job = Job { keys, message, delivery, within, trust: &trust };
    deliver_with(road, &job).await
}

/// Everything about one delivery except its road.
pub(crate) struct Job<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) message: &'a Message,
    pub(crate) delivery: &'a Delivery,
    pub(crate) within: Duration,
    pub(crate) trust: &'a tls::Trust,
}

pub(crate) async fn deliver_with(road: &Road, job: &Job<'_>) -> Result<Receipt, DeliverError> {
    let context = error::Context::new(road, job);
    match road {
        Road::Webhook { url, secret } => {
            webhook::deliver(&context, job, webhook::Hook { url, signed: secret.is_some() }).await
        }
        Road::Mail { host, port, tls, from, to, user, password } => {
            let login = user.as_deref().map(|user| mail::Login { user, has_password: password.is_some() });
            let post = mail::Post { host, port: *port, tls: *tls, from, to, login };
            mail::deliver(&context, job, &post).await
        }
        Road::Mqtt { host, port, topic, user, password } => {
            let broker = mqtt::Broker {
                host,
                port: *port,
                prefix: topic,
                user: user.as_deref(),
                has_password: password.is_some(),
            };
            mqtt::deliver(&context, job, &broker).await
        }
    }
}

#[cfg(test)]
mod tests;
