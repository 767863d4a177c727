//! `haus alerts`: what is wrong, since when, who was told; and quiet for a while.

use super::running::Running;
use crate::arguments::{Alerts, AlertsAct, Silence, Unsilence};
use crate::exit::{Code, DONE, FINDINGS, Failure, REFUSED, WRONG_USE};
use crate::{listing, terminal};
use haus_api::alert::{Alert, Alerts as Answer, PendingDelivery, Silence as Quiet, SilenceRequest};
use std::fmt::Write;

/// Shorter beginnings of an id are too easily another one's.
const ID_CHARS_MIN: usize = 4;

pub(crate) fn cmd_alerts(arguments: &Alerts) -> Result<Code, Failure> {
    match &arguments.act {
        None => show(arguments),
        Some(AlertsAct::Silence(arguments)) => silence(arguments),
        Some(AlertsAct::Unsilence(arguments)) => unsilence(arguments),
    }
}

fn show(arguments: &Alerts) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    if arguments.past {
        return show_past(arguments, &running);
    }
    let mut answer = running.ask(running.client.alerts())?;
    if !arguments.all {
        answer.alerts.retain(|alert| alert.state != "resolved");
    }
    if arguments.asked.json {
        terminal::json(&answer);
    } else {
        terminal::out(&text(&answer));
    }
    Ok(code(&answer))
}

/// What is over is no open item.
fn show_past(arguments: &Alerts, running: &Running) -> Result<Code, Failure> {
    let answer = running.ask(running.client.past_alerts())?;
    if arguments.asked.json {
        terminal::json(&answer);
    } else {
        terminal::out(&past(&answer.alerts));
    }
    Ok(DONE)
}

fn past(alerts: &[Alert]) -> String {
    if alerts.is_empty() {
        return "no alert is over that is still known\n".to_owned();
    }
    let row = |alert: &Alert| {
        let Alert { level, subject, kind, since, state_since, why, told, .. } = alert.clone();
        [level, subject, kind, since, state_since, listing::names(&told), why]
    };
    let rows: Vec<_> = alerts.iter().map(row).collect();
    listing::table(["LEVEL", "SUBJECT", "KIND", "SINCE", "UNTIL", "TOLD", "WHY"], &rows)
}

/// Something fires: there is an open item, also when nobody is told of it.
fn code(answer: &Answer) -> Code {
    let is_open = |alert: &Alert| alert.state != "resolved" && alert.state != "pending";
    if answer.alerts.iter().any(is_open) { FINDINGS } else { DONE }
}

fn text(answer: &Answer) -> String {
    let mut text = if answer.alerts.is_empty() {
        "nothing is wrong\n".to_owned()
    } else {
        let rows: Vec<_> = answer.alerts.iter().map(alert_row).collect();
        listing::table(["LEVEL", "STATE", "SUBJECT", "KIND", "SINCE", "TOLD", "WHY"], &rows)
    };
    // Writing into a String cannot fail.
    if !answer.maintenance.is_empty() {
        let _ = writeln!(text, "\nmaintenance now: {}", listing::names(&answer.maintenance));
    }
    if !answer.silences.is_empty() {
        let rows: Vec<_> = answer.silences.iter().map(silence_row).collect();
        let _ = write!(text, "\n{}", listing::table(["SILENCE", "OF", "UNTIL", "BY", "WHY"], &rows));
    }
    if !answer.deliveries.is_empty() {
        let rows: Vec<_> = answer.deliveries.iter().map(delivery_row).collect();
        let _ =
            write!(text, "\n{}", listing::table(["ON ITS WAY TO", "ALERT", "TRIES", "NEXT", "WHY"], &rows));
    }
    text
}

fn alert_row(alert: &Alert) -> [String; 7] {
    let quiet = alert.suppressed_by.as_ref().map(|by| format!(" (not told: {by})")).unwrap_or_default();
    let flaps =
        if alert.flaps > 1 { format!(" (came and went {} times)", alert.flaps) } else { String::new() };
    [
        alert.level.clone(),
        alert.state.clone(),
        alert.subject.clone(),
        alert.kind.clone(),
        alert.since.clone(),
        listing::names(&alert.told),
        format!("{}{quiet}{flaps}", alert.why),
    ]
}

fn of(silence: &Quiet) -> String {
    silence.service.clone().unwrap_or_else(|| "everything".to_owned())
}

fn silence_row(silence: &Quiet) -> [String; 5] {
    [silence.id.clone(), of(silence), silence.until.clone(), silence.made_by.clone(), silence.why.clone()]
}

fn delivery_row(delivery: &PendingDelivery) -> [String; 5] {
    [
        delivery.receiver.clone(),
        delivery.alert.clone(),
        delivery.attempts.to_string(),
        delivery.next_try.clone(),
        delivery.why.clone().unwrap_or_default(),
    ]
}

fn silence(arguments: &Silence) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let request = SilenceRequest {
        service: arguments.service.as_ref().map(ToString::to_string),
        for_s: arguments.span.as_secs(),
        why: arguments.why.clone(),
    };
    let made = running.order(running.client.silence(&request))?;
    if arguments.asked.json {
        terminal::json(&made);
    } else {
        terminal::line(&format!("nobody is told about {} until {} (id {})", of(&made), made.until, made.id));
    }
    Ok(DONE)
}

fn unsilence(arguments: &Unsilence) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let found = running.ask(running.client.alerts())?.silences;
    let meant = meant(found, &arguments.silence)?;
    running.order(running.client.unsilence(&meant.id))?;
    if arguments.asked.json {
        terminal::json(&meant);
    } else {
        terminal::line(&format!("{} is heard again", of(&meant)));
    }
    Ok(DONE)
}

/// The silence that is meant: by its id, the beginning of it, or its service.
fn meant(found: Vec<Quiet>, text: &str) -> Result<Quiet, Failure> {
    let is_meant = |quiet: &Quiet| {
        quiet.id == text
            || quiet.service.as_deref() == Some(text)
            || (text.len() >= ID_CHARS_MIN && quiet.id.starts_with(text))
    };
    let mut meant: Vec<Quiet> = found.into_iter().filter(is_meant).collect();
    match (meant.len(), meant.pop()) {
        (1, Some(one)) => Ok(one),
        (_, None) => Err(Failure::new(WRONG_USE, format!("there is no silence `{}`", text.escape_debug()))
            .hint("`haus alerts` shows those that there are")),
        (_, Some(last)) => {
            meant.push(last);
            let shown: Vec<String> = meant
                .iter()
                .map(|quiet| format!("{} (of {}, until {})", quiet.id, of(quiet), quiet.until))
                .collect();
            let message = format!("`{}` could be one of several: {}", text.escape_debug(), shown.join(", "));
            Err(Failure::new(REFUSED, message).hint("name it by its id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(state: &str) -> Alert {
        Alert {
            id: "a1".into(),
            kind: "service-offline".into(),
            subject: "web".into(),
            level: "critical".into(),
            state: state.into(),
            since: "then".into(),
            state_since: "then".into(),
            why: "no probe was good".into(),
            suppressed_by: Some("maintenance nightly".into()),
            told: vec!["phone".into()],
            flaps: 3,
        }
    }

    fn quiet(id: &str, service: Option<&str>) -> Quiet {
        let service = service.map(str::to_owned);
        Quiet { id: id.into(), service, until: "later".into(), why: "moving".into(), made_by: "admin".into() }
    }

    #[track_caller]
    fn check(states: &[&str], expected: Code) {
        let alerts = states.iter().map(|state| alert(state)).collect();
        let answer = Answer { alerts, silences: Vec::new(), maintenance: Vec::new(), deliveries: Vec::new() };
        assert_eq!(code(&answer), expected);
    }

    #[test]
    fn what_is_wrong_is_an_open_item_whoever_was_told() {
        check(&[], DONE);
        check(&["resolved", "pending"], DONE);
        check(&["firing"], FINDINGS);
        check(&["silenced"], FINDINGS);
        check(&["suppressed"], FINDINGS);
    }

    #[test]
    fn everything_that_keeps_an_alert_quiet_is_said() {
        let answer = Answer {
            alerts: vec![alert("suppressed")],
            silences: vec![quiet("s1", None)],
            maintenance: vec!["nightly".into()],
            deliveries: Vec::new(),
        };
        let told = text(&answer);
        for part in [
            "no probe was good (not told: maintenance nightly) (came and went 3 times)",
            "everything",
            "now: nightly",
        ] {
            assert!(told.contains(part), "{told}");
        }
        let nothing = Answer {
            alerts: Vec::new(),
            silences: Vec::new(),
            maintenance: Vec::new(),
            deliveries: Vec::new(),
        };
        assert_eq!(text(&nothing), "nothing is wrong\n");
    }

    #[test]
    fn a_silence_is_named_by_its_id_or_its_service() {
        let all = || vec![quiet("abcd1", Some("web")), quiet("abcd2", Some("api")), quiet("x", Some("api"))];
        let told = |text: &str| meant(all(), text).map(|quiet| quiet.id).map_err(|failure| failure.code);
        assert_eq!(told("web"), Ok("abcd1".to_owned()));
        assert_eq!(told("x"), Ok("x".to_owned()));
        assert_eq!(told("api"), Err(REFUSED));
        assert_eq!(told("nobody"), Err(WRONG_USE));
    }
}
