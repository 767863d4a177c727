//! An alert as a mail: RFC 5322 headers and both languages in one text, German first. Knows no server.

use haus_model::alert::AlertLevel;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message as Letter, SinglePart};

use crate::error::one_line;
use crate::{Job, State, body};

/// Longest subject; the rest stands in the text.
const SUBJECT_CHARS_MAX: usize = 180;

/// Sender and recipients, read.
pub(crate) struct Addresses {
    pub(crate) from: Mailbox,
    pub(crate) to: Vec<Mailbox>,
}

impl Addresses {
    /// # Errors
    /// A sentence that names the address which cannot be used.
    pub(crate) fn parse(from: &str, to: &[String]) -> Result<Addresses, String> {
        let mailbox = |text: &str| {
            let read = text.parse::<Mailbox>().ok().filter(|_| !text.contains(char::is_control));
            read.ok_or_else(|| {
                format!("`{}` is no mail address; correct it in the plan", text.escape_debug())
            })
        };
        if to.is_empty() {
            return Err(String::from("the receiver has no recipients; name one in the plan"));
        }
        Ok(Addresses { from: mailbox(from)?, to: to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()? })
    }
}

/// The whole mail, ASCII only, so that any server takes it.
///
/// # Errors
/// A sentence when the addresses make no mail.
pub(crate) fn write(job: &Job<'_>, addresses: &Addresses) -> Result<Vec<u8>, String> {
    let message = job.message;
    let domain = addresses.from.email.domain();
    let mut letter = Letter::builder()
        .from(addresses.from.clone())
        .date_now()
        // Stable over attempts, so that a mailbox which got two shows one.
        .message_id(Some(format!("<{}@{domain}>", atom(&job.delivery.id))))
        // Never sent, but common to all mails about one alert: programs put them into one thread.
        .references(format!("<alert.{}@{domain}>", atom(&message.id)))
        .subject(subject(job))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"))
        .raw_header(header("Content-Language", "de, en"))
        .raw_header(header("X-Haus-House", &message.house))
        .raw_header(header("X-Haus-Alert", &message.id))
        .raw_header(header("X-Haus-Event", &format!("{}.{}", message.kind, message.state.as_str())))
        .raw_header(header("X-Haus-Level", message.level.as_str()));
    for to in &addresses.to {
        letter = letter.to(to.clone());
    }
    let text = Body::new_with_encoding(text(job), ContentTransferEncoding::QuotedPrintable)
        .map_err(|_| String::from("the text cannot be written as quoted-printable"))?;
    let part = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text);
    let letter = letter.singlepart(part).map_err(|error| format!("the mail cannot be written: {error}"))?;
    Ok(letter.formatted())
}

fn subject(job: &Job<'_>) -> String {
    let message = job.message;
    let whole = format!("[{}] {} / {}", message.house, message.title_de, message.title_en);
    one_line(&whole).chars().take(SUBJECT_CHARS_MAX).collect()
}

fn text(job: &Job<'_>) -> String {
    let message = job.message;
    let (state_de, state_en) = match message.state {
        State::Firing => ("besteht", "firing"),
        State::Resolved => ("behoben", "resolved"),
    };
    let level_de = match message.level {
        AlertLevel::Info => "Hinweis",
        AlertLevel::Warning => "Warnung",
        AlertLevel::Critical => "kritisch",
    };
    let url = |label: &str| message.url.as_ref().map_or_else(String::new, |url| format!("{label}: {url}\n"));
    let (since, at) = (message.since, message.at);
    let (subject, kind) = (&message.subject, &message.kind);
    let german = format!(
        "{}\n\n{}\n\nZustand: {state_de}\nStufe: {level_de}\nBetrifft: {subject} ({kind})\nSeit: {since}\n\
         Stand: {at}\n{}",
        body::title(&message.title_de),
        body::long(&message.text_de),
        url("Mehr"),
    );
    let english = format!(
        "{}\n\n{}\n\nState: {state_en}\nLevel: {}\nSubject: {subject} ({kind})\nSince: {since}\nAs of: {at}\n{}",
        body::title(&message.title_en),
        body::long(&message.text_en),
        message.level,
        url("More"),
    );
    let separator = "-".repeat(60);
    let whole = format!("{german}\n{separator}\n\n{english}");
    // Lone carriage returns and the like have no place in a mail; lines end with CRLF (RFC 5322, 2.3).
    let plain: String = whole.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    plain.replace('\n', "\r\n")
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), one_line(value).chars().take(200).collect())
}

/// Letters, digits, `-` and `.` of a Message-ID (RFC 5322, 3.6.4); everything else becomes `-`.
fn atom(text: &str) -> String {
    let kept: String =
        text.chars().take(120).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    if kept.is_empty() { String::from("none") } else { kept }
}
