//! The JSON text that webhook and MQTT carry; its fields are a promise: docs/formats/webhook.md. Knows no
//! road.

use haus_model::alert::AlertLevel;
use serde::Serialize;

use crate::{Job, State};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const FORMAT: u32 = 1;

/// Longest title of one language.
const TITLE_CHARS_MAX: usize = 500;
/// Longest text of one language.
const TEXT_CHARS_MAX: usize = 16_000;

#[derive(Serialize)]
struct Body<'a> {
    format: u32,
    id: &'a str,
    house: &'a str,
    kind: &'a str,
    subject: &'a str,
    state: State,
    level: AlertLevel,
    since: String,
    at: String,
    title: Languages<'a>,
    text: Languages<'a>,
    url: Option<&'a str>,
    delivery: DeliveryBody<'a>,
}

#[derive(Serialize)]
struct Languages<'a> {
    de: &'a str,
    en: &'a str,
}

#[derive(Serialize)]
struct DeliveryBody<'a> {
    id: &'a str,
    attempt: u32,
    sent_at: &'a str,
}

/// The text, with the moment of this attempt inside (RFC 3339), so that a signature over the text covers it.
pub(crate) fn text(job: &Job<'_>, sent_at: &str) -> Vec<u8> {
    let message = job.message;
    let body = Body {
        format: FORMAT,
        id: &message.id,
        house: &message.house,
        kind: &message.kind,
        subject: &message.subject,
        state: message.state,
        level: message.level,
        since: message.since.to_string(),
        at: message.at.to_string(),
        title: Languages { de: title(&message.title_de), en: title(&message.title_en) },
        text: Languages { de: long(&message.text_de), en: long(&message.text_en) },
        url: message.url.as_deref(),
        delivery: DeliveryBody { id: &job.delivery.id, attempt: job.delivery.attempt, sent_at },
    };
    serde_json::to_vec(&body).expect("plain text and numbers become JSON")
}

/// A title, cut to its limit.
pub(crate) fn title(text: &str) -> &str {
    cut(text, TITLE_CHARS_MAX)
}

/// A long text, cut to its limit.
pub(crate) fn long(text: &str) -> &str {
    cut(text, TEXT_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).map_or(text, |(end, _)| &text[..end])
}

/// This moment as receivers read it.
pub(crate) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_letters() {
        assert_eq!(cut("Grüße", 3), "Grü");
        assert_eq!(cut("Grüße", 5), "Grüße");
        assert_eq!(long(&"ü".repeat(20_000)).chars().count(), TEXT_CHARS_MAX);
    }
}
