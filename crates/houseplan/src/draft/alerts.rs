//! Trees of the API's settings, of alerts and of maintenance to their drafts.

use super::top::{claim, duration, misplaced, text};
use super::{AlertsDraft, ApiDraft, Draft, MaintenanceDraft, ReceiverDraft, RoadDraft};
use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::shape::{parse_keep, parse_repeat, parse_time};
use crate::tree::{Entry, Node, Text, Value};
use haus_model::alert::{AlertLevel, MailTls, Weekday};
use haus_model::house::{Anonymous, LogBodies};

/// Settings of the API; each is said once over all files.
pub(super) fn api<'t>(session: &Session<'t>, draft: &mut Draft<'t>, node: &'t Node<'t>) {
    for entry in node.entries() {
        if !claim(session, draft, "api", entry.key_text(), Subject::Api) {
            continue;
        }
        let ApiDraft { anonymous, heartbeat, trail_days, history, log_bodies } = &mut draft.api;
        match entry.key.as_ref() {
            "anonymous" => {
                *anonymous = entry.value.text().and_then(|word| match word.text {
                    "registry" => Some(Anonymous::Registry),
                    "none" => Some(Anonymous::None),
                    _ => None,
                });
            }
            "heartbeat" => *heartbeat = duration(node, "heartbeat"),
            "keep_trail" => *trail_days = entry.value.text().and_then(|text| parse_keep(text.text)),
            "keep_history" => *history = duration(node, "keep_history"),
            "log_bodies" => {
                *log_bodies = entry.value.text().and_then(|word| match word.text {
                    "never" => Some(LogBodies::Never),
                    "asked" => Some(LogBodies::Asked),
                    "always" => Some(LogBodies::Always),
                    _ => None,
                });
            }
            _ => {}
        }
    }
}

/// Alerts: receivers grow over the files, the rest is said once.
pub(super) fn alerts<'t>(session: &Session<'t>, draft: &mut Draft<'t>, entry: &'t Entry<'t>) {
    draft.alerts.key = draft.alerts.key.or(Some(entry.key_span));
    let node = &entry.value;
    for entry in node.entries() {
        let AlertsDraft { after, repeat, .. } = &mut draft.alerts;
        match entry.key.as_ref() {
            "to" => {
                for entry in entry.value.entries() {
                    let name = entry.key_text();
                    if claim(session, draft, "receivers", name, Subject::Receiver(name.text)) {
                        draft.alerts.receivers.push(receiver(session, name, &entry.value));
                    }
                }
                continue;
            }
            "after" => *after = after.or_else(|| duration(node, "after")),
            "repeat" => {
                *repeat = repeat.or_else(|| entry.value.text().and_then(|text| parse_repeat(text.text)));
            }
            _ => continue,
        }
        claim(session, draft, "alerts", entry.key_text(), Subject::Alerts);
    }
}

/// One receiver; keys that belong to another road are reported.
fn receiver<'t>(session: &Session<'t>, name: Text<'t>, node: &'t Node<'t>) -> ReceiverDraft<'t> {
    const OF_WEBHOOK: &[&str] = &["secret"];
    const OF_MAIL: &[&str] = &["server", "tls", "sender", "user", "password"];
    const OF_MQTT: &[&str] = &["topic", "user", "password"];
    let subject = Subject::Receiver(name.text);
    let (user, password) = (text(node, "user"), text(node, "password"));
    let (road, own) = if let Some(url) = text(node, "webhook") {
        (Some(RoadDraft::Webhook { url, secret: text(node, "secret") }), OF_WEBHOOK)
    } else if let Some(entry) = node.get("mail") {
        let mail = RoadDraft::Mail {
            key: entry.key_span,
            to: named(session, node, "mail", subject),
            server: text(node, "server"),
            tls: text(node, "tls").and_then(|word| mail_tls(word.text)),
            sender: text(node, "sender"),
            user,
            password,
        };
        (Some(mail), OF_MAIL)
    } else if let Some(server) = text(node, "mqtt") {
        (Some(RoadDraft::Mqtt { server, topic: text(node, "topic"), user, password }), OF_MQTT)
    } else {
        // That one is missing was reported by the shape, and what would belong to it is unknown.
        (None, &[] as &[&str])
    };
    if road.is_some() {
        for entry in node.entries() {
            let key = entry.key.as_ref();
            let needed = match key {
                _ if own.contains(&key) => continue,
                "secret" => "webhook",
                "server" | "tls" | "sender" => "mail",
                "topic" => "mqtt",
                "user" | "password" => "mail` or `mqtt",
                _ => continue,
            };
            misplaced(session, entry, needed, subject);
        }
    }
    let level = text(node, "level").and_then(|word| match word.text {
        "info" => Some(AlertLevel::Info),
        "warning" => Some(AlertLevel::Warning),
        "critical" => Some(AlertLevel::Critical),
        _ => None,
    });
    ReceiverDraft {
        name,
        road,
        level: level.unwrap_or(AlertLevel::Warning),
        services: named(session, node, "services", subject),
    }
}

fn mail_tls(word: &str) -> Option<MailTls> {
    match word {
        "none" => Some(MailTls::None),
        "starttls" => Some(MailTls::Starttls),
        "tls" => Some(MailTls::Tls),
        _ => None,
    }
}

/// One maintenance as written.
pub(super) fn maintenance<'t>(
    session: &Session<'t>,
    name: Text<'t>,
    node: &'t Node<'t>,
) -> MaintenanceDraft<'t> {
    let subject = Subject::Maintenance(name.text);
    let days = named(session, node, "days", subject);
    MaintenanceDraft {
        name,
        days: days.into_iter().filter_map(|day| weekday(day.text)).collect(),
        at_minute: text(node, "at").and_then(|at| parse_time(at.text)),
        lasts: duration(node, "for"),
        lasts_span: node.get("for").map(|entry| entry.value.span),
        services: named(session, node, "services", subject),
        reason: text(node, "reason"),
    }
}

fn weekday(word: &str) -> Option<Weekday> {
    Some(match word {
        "mon" => Weekday::Mon,
        "tue" => Weekday::Tue,
        "wed" => Weekday::Wed,
        "thu" => Weekday::Thu,
        "fri" => Weekday::Fri,
        "sat" => Weekday::Sat,
        "sun" => Weekday::Sun,
        _ => return None,
    })
}

/// The scalars of a list in which an empty one would mean the opposite of what it says.
fn named<'t>(session: &Session<'t>, node: &'t Node<'t>, key: &str, subject: Subject<'t>) -> Vec<Text<'t>> {
    let Some(entry) = node.get(key) else { return Vec::new() };
    if matches!(&entry.value.value, Value::List(items) if items.is_empty()) {
        let fault = Fault::new(Code::Form, subject, entry.value.span, format!("`{key}` is an empty list"));
        let remedy = if key == "mail" { "name whom to tell" } else { "name some, or remove the key for all" };
        session.report(fault.label("names none").remedy(remedy));
    }
    entry.value.items().iter().filter_map(Node::text).collect()
}
