//! Plays a scenario of alerts: a script of what goes wrong goes in, a transcript of what is told
//! comes out. The language stands in `alerts/README.md`.

use haus_model::Timestamp;
use haus_model::alert::{AlertLevel, Alerting, MailTls, Receiver, Road};
use haus_model::unit::{format_duration, parse_duration};
use haus_watch::alert::{AlertRules, Alerts, Condition, OpenWindow, SavedAlerts, Silence, Tell};
use std::fmt::Write as _;
use std::time::Duration;

struct Player {
    alerts: Alerts,
    rules: AlertRules,
    now: Timestamp,
    transcript: String,
}

pub(crate) fn play(script: &str) -> String {
    let mut rules = AlertRules::default();
    rules.alerting.receivers = vec![receiver("ops", AlertLevel::Info, "")];
    let alerts = Alerts::new(rules.clone());
    let mut player = Player { alerts, rules, now: Timestamp(0), transcript: String::new() };
    for line in script.lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            let _ = writeln!(player.transcript, "{line}");
            continue;
        }
        let _ = writeln!(player.transcript, "> {line}");
        player.step(&line.split_whitespace().collect::<Vec<_>>());
        player.fetch();
    }
    player.transcript
}

pub(crate) fn receiver(name: &str, from: AlertLevel, services: &str) -> Receiver {
    let road = Road::Mail {
        host: "localhost".to_owned(),
        port: 25,
        tls: MailTls::None,
        from: "house@example.invalid".to_owned(),
        to: vec!["ops@example.invalid".to_owned()],
        user: None,
        password: None,
    };
    Receiver { name: name.to_owned(), road, from, services: list(services) }
}

fn level(word: &str) -> AlertLevel {
    match word {
        "info" => AlertLevel::Info,
        "warning" => AlertLevel::Warning,
        "critical" => AlertLevel::Critical,
        _ => panic!("{word:?} is no level"),
    }
}

/// `a,b`; nothing for the empty text.
fn list<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.parse().unwrap()).collect()
}

/// The value of `key=value`, or nothing.
fn value<'a>(words: &[&'a str], key: &str) -> &'a str {
    let of_key = |word: &&'a str| word.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
    words.iter().find_map(of_key).unwrap_or_default()
}

impl Player {
    fn step(&mut self, words: &[&str]) {
        let now = self.now;
        match words {
            [time] if time.starts_with("t=+") => self.pass(parse_duration(&time[3..]).unwrap()),
            ["rules", words @ ..] => {
                let repeat = value(words, "repeat");
                self.rules.alerting = Alerting {
                    after: parse_duration(value(words, "after")).unwrap(),
                    repeat: (!repeat.is_empty()).then(|| parse_duration(repeat).unwrap()),
                    receivers: self.rules.alerting.receivers.clone(),
                };
                self.alerts.set_rules(now, self.rules.clone());
            }
            ["receiver", name, words @ ..] => {
                let new = receiver(name, level(value(words, "from")), value(words, "services"));
                self.rules.alerting.receivers.retain(|known| known.name != *name);
                self.rules.alerting.receivers.push(new);
                self.alerts.set_rules(now, self.rules.clone());
            }
            ["needs", service, needs] => {
                self.rules.needs.insert(service.parse().unwrap(), list(needs));
                self.alerts.set_rules(now, self.rules.clone());
            }
            ["raise", subject, kind, words @ ..] => {
                let usual = if kind.starts_with("service-d") { "warning" } else { "critical" };
                let level_word = Some(value(words, "level")).filter(|word| !word.is_empty()).unwrap_or(usual);
                let why: Vec<&str> = words.iter().filter(|word| !word.contains('=')).copied().collect();
                let condition = Condition {
                    subject: subject.parse().unwrap(),
                    kind: (*kind).to_owned(),
                    level: level(level_word),
                    services: list(value(words, "services")),
                    why: if why.is_empty() { "connection refused".to_owned() } else { why.join(" ") },
                };
                self.alerts.raise(now, condition);
            }
            ["clear", subject, kind] => {
                self.alerts.clear(now, &subject.parse().unwrap(), kind, "200 in 1 ms");
            }
            ["keep", services] => {
                let kept = list::<haus_watch::alert::Subject>(services);
                self.alerts.clear_unless(now, "it left the plan", |subject, _| kept.contains(subject));
            }
            ["maintenance", "none"] => self.alerts.set_maintenance(now, Vec::new()),
            ["maintenance", name, words @ ..] => {
                let window = OpenWindow {
                    name: (*name).to_owned(),
                    services: list(value(words, "services")),
                    until: now.after(parse_duration(value(words, "for")).unwrap()),
                };
                self.alerts.set_maintenance(now, vec![window]);
            }
            ["silence", id, words @ ..] => {
                let silence = Silence {
                    id: (*id).to_owned(),
                    services: list(value(words, "services")),
                    until: now.after(parse_duration(value(words, "for")).unwrap()),
                    why: "asked for".to_owned(),
                };
                self.alerts.silence(now, silence);
            }
            ["unsilence", id] => {
                let was_there = self.alerts.end_silence(now, id);
                assert!(was_there, "no silence {id}");
            }
            ["restart", "after", span] => {
                let saved = serde_json::to_string(&self.alerts.save()).unwrap();
                let saved: SavedAlerts = serde_json::from_str(&saved).unwrap();
                self.now = now.after(parse_duration(span).unwrap());
                self.alerts = Alerts::restore(self.now, self.rules.clone(), saved);
            }
            ["clock", "back", span] => {
                let span = i64::try_from(parse_duration(span).unwrap().as_millis()).unwrap();
                self.now = Timestamp(now.0 - span);
                self.alerts.handle_timeout(self.now);
            }
            ["show"] => self.show(),
            _ => panic!("what is {words:?}?"),
        }
    }

    /// Lets time pass as a driver does: from deadline to deadline.
    fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        while let Some(at) = self.alerts.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.alerts.handle_timeout(self.now);
            self.fetch();
        }
        self.now = end;
    }

    fn fetch(&mut self) {
        while let Some(tell) = self.alerts.poll_tell() {
            assert_eq!(tell.at, self.now);
            self.say(&sentence(&tell));
        }
    }

    fn show(&mut self) {
        let lines: Vec<String> = self
            .alerts
            .alerts()
            .map(|view| {
                let id = view.id.clone().unwrap_or_else(|| format!("{}/{}", view.subject, view.kind));
                let held = view.held.map_or(String::new(), |held| format!(", held: {held}"));
                let since = format_duration(view.since.since(Timestamp(0)));
                format!(
                    "{id} {} since {since}, {} flaps{held}: {}",
                    view.phase.as_str(),
                    view.flaps,
                    view.why
                )
            })
            .collect();
        if lines.is_empty() {
            self.say("no alerts");
        }
        lines.iter().for_each(|line| self.say(line));
    }

    fn say(&mut self, text: &str) {
        let at = format_duration(self.now.since(Timestamp(0)));
        let _ = writeln!(self.transcript, "{at:>10}  {text}");
    }
}

fn sentence(tell: &Tell) -> String {
    let state = tell.state.as_str().to_uppercase();
    let to = if tell.receivers.is_empty() { "nobody".to_owned() } else { tell.receivers.join(", ") };
    let mut text = format!("{state} {} {} to {to}: {}", tell.id, tell.level, tell.why);
    if tell.flaps > 0 {
        let _ = write!(text, "; {} flaps", tell.flaps);
    }
    if tell.follow_ups_count > 0 {
        let names: Vec<&str> = tell.follow_ups.iter().map(haus_model::ServiceName::as_str).collect();
        let _ = write!(text, "; {} follow: {}", tell.follow_ups_count, names.join(", "));
    }
    text
}
