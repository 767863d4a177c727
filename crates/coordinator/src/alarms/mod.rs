//! Alerts: what is wrong, who is told, and what is on its way. Decisions are made by `haus_watch::alert`,
//! roads are `haus_notify`'s; here are the lock around both, the log, and what the ledger keeps.
//!
//! Threat: a message that is lost with a crash or a dead receiver, and an alert about a database that
//! cannot be written. So what is to be told is in the ledger before it is tried, and is tried from memory
//! all the same when the ledger refuses. Messages never hold a value.

mod courier;
mod patrol;
mod post;
mod shown;
mod windows;
mod words;

pub(crate) use shown::Shown;
pub(crate) use windows::over;
pub(crate) use words::{ROTATION_DUE, SERVICE_REDEPLOYED, TRAIL_FLOOD};

use crate::desk::Desk;
use haus_api::alert::Alert;
use haus_model::alert::AlertLevel;
use haus_model::{CredentialName, ServiceName, Timestamp};
use haus_store::SilenceRow;
use haus_watch::alert::{AlertRules, Alerts, Condition, Silence, Subject};
use post::Post;
use shown::Stood;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The driver of alerts.
pub(crate) struct Alarms {
    book: Mutex<Book>,
    woken: Notify,
}

/// What was said last of a condition: how bad and why, or that it is over.
type Said = Option<(AlertLevel, String, Vec<ServiceName>)>;

/// Everything that is known.
struct Book {
    machine: Alerts,
    /// By subject and kind, so that saying the same again costs nothing.
    said: BTreeMap<(Subject, String), Said>,
    /// Since when an alert is shown in its state, and how it was shown last.
    states: BTreeMap<(Subject, String), Stood>,
    /// Alerts that are over, the newest first.
    past: VecDeque<Alert>,
    silences: BTreeMap<String, SilenceRow>,
    /// Names of the windows that are open.
    open: Vec<String>,
    post: Post,
    /// Whether the ledger lacks the machine's state.
    is_unkept: bool,
}

impl Default for Alarms {
    fn default() -> Alarms {
        let book = Book {
            machine: Alerts::new(AlertRules::default()),
            said: BTreeMap::new(),
            states: BTreeMap::new(),
            past: VecDeque::new(),
            silences: BTreeMap::new(),
            open: Vec::new(),
            post: Post::new(u64::from(std::process::id())),
            is_unkept: false,
        };
        Alarms { book: Mutex::new(book), woken: Notify::new() }
    }
}

impl Alarms {
    /// Something is wrong since `now` (wall clock) or before. `subject` is `@house`, a service or
    /// `credential:NAME`; anything else is told of the house. May be said any number of times.
    pub(crate) fn raise(&self, now: Timestamp, subject: &str, kind: &str, level: AlertLevel, why: &str) {
        let (subject, why) = match subject.parse::<Subject>() {
            Ok(subject) => (subject, why.to_owned()),
            Err(_) => (Subject::House, format!("{subject}: {why}")),
        };
        self.raise_for(now, Condition { subject, kind: kind.to_owned(), level, services: Vec::new(), why });
    }

    /// The same with the services that suffer from it.
    pub(crate) fn raise_for(&self, now: Timestamp, condition: Condition) {
        let key = (condition.subject.clone(), condition.kind.clone());
        let said = Some((condition.level, condition.why.clone(), condition.services.clone()));
        let mut book = self.book();
        if book.said.get(&key) == Some(&said) {
            return;
        }
        book.said.insert(key, said);
        book.machine.raise(now, condition);
        book.is_unkept = true;
        drop(book);
        self.woken.notify_one();
    }

    /// It is not wrong any more; nothing happens when it was not.
    pub(crate) fn clear(&self, now: Timestamp, subject: &str, kind: &str, why: &str) {
        let subject = subject.parse::<Subject>().unwrap_or(Subject::House);
        let key = (subject, kind.to_owned());
        let mut book = self.book();
        if book.said.get(&key) == Some(&None) {
            return;
        }
        book.machine.clear(now, &key.0, kind, why);
        book.said.insert(key, None);
        book.is_unkept = true;
        drop(book);
        self.woken.notify_one();
    }

    /// Whether it was raised, and not cleared, since this core began.
    pub(crate) fn is_said(&self, subject: &str, kind: &str) -> bool {
        let key = (subject.parse::<Subject>().unwrap_or(Subject::House), kind.to_owned());
        self.book().said.get(&key).is_some_and(Option::is_some)
    }

    /// Clears everything about credentials that `keep` does not want.
    pub(crate) fn keep_credentials(&self, now: Timestamp, keep: impl Fn(&CredentialName) -> bool) {
        self.book().clear_unless(now, "the credential is gone", |subject| match subject {
            Subject::Credential(name) => keep(name),
            Subject::House | Subject::Service(_) => true,
        });
        self.woken.notify_one();
    }

    /// Begins a silence that is on disk.
    pub(crate) fn silence(&self, now: Timestamp, row: SilenceRow) {
        let mut book = self.book();
        book.machine.silence(now, silence_of(&row));
        book.silences.insert(row.id.clone(), row);
        book.is_unkept = true;
        drop(book);
        self.woken.notify_one();
    }

    /// Ends a silence; its row is gone already.
    pub(crate) fn end_silence(&self, now: Timestamp, id: &str) {
        let mut book = self.book();
        book.machine.end_silence(now, id);
        book.silences.remove(id);
        book.is_unkept = true;
        drop(book);
        self.woken.notify_one();
    }

    /// Everything, for people.
    pub(crate) fn shown(&self, now: Timestamp) -> Shown {
        self.book().shown(now)
    }

    /// Alerts that are over, the newest first.
    pub(crate) fn past(&self) -> Vec<Alert> {
        self.book().past.iter().cloned().collect()
    }

    /// Works until it is dropped: looks at disk and database, tells receivers.
    pub(crate) async fn run(desk: Arc<Desk>) {
        tokio::join!(courier::run(&desk), patrol::run(&desk));
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Clears what is about others than `keep` wants.
    fn clear_unless(&mut self, now: Timestamp, why: &str, keep: impl Fn(&Subject) -> bool) {
        let before = self.said.len();
        self.machine.clear_unless(now, why, |subject, _| keep(subject));
        self.said.retain(|(subject, _), _| keep(subject));
        self.is_unkept |= self.said.len() < before;
    }
}

fn silence_of(row: &SilenceRow) -> Silence {
    Silence {
        id: row.id.clone(),
        services: row.service.iter().cloned().collect(),
        until: row.until,
        why: format!("{} ({})", row.why, row.made_by),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_watch::alert::TRAIL_BROKEN;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// What is shown after `acts`: `+subject kind why`, `-subject kind`.
    #[track_caller]
    fn check(acts: &[&str], expected: &[&str]) {
        let alarms = Alarms::default();
        for act in acts {
            let (sign, rest) = act.split_at(1);
            let words: Vec<&str> = rest.splitn(3, ' ').collect();
            match sign {
                "+" => alarms.raise(NOW, words[0], words[1], AlertLevel::Critical, words[2]),
                _ => alarms.clear(NOW, words[0], words[1], "well again"),
            }
        }
        let shown = alarms.shown(NOW).alerts;
        let mut shown: Vec<String> =
            shown.iter().map(|alert| format!("{} {} {}", alert.subject, alert.state, alert.why)).collect();
        shown.sort();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_condition_is_shown_while_it_lasts() {
        check(&["+web service-offline refused"], &["web pending refused"]);
        check(&["+web service-offline refused", "+web service-offline hangs"], &["web pending hangs"]);
    }

    #[test]
    fn a_subject_that_is_none_is_told_of_the_house() {
        check(&["+NoBody odd why"], &["@house pending NoBody: why"]);
    }

    #[test]
    fn credentials_that_are_gone_take_their_alerts_along() {
        let alarms = Alarms::default();
        for name in ["credential:old", "credential:new"] {
            alarms.raise(NOW, name, "credential-expired", AlertLevel::Critical, "over");
        }
        alarms.keep_credentials(NOW, |name| name.as_str() == "new");
        let book = alarms.book();
        assert_eq!(
            book.said.keys().map(|(subject, _)| subject.to_string()).collect::<Vec<_>>(),
            ["credential:new"]
        );
    }

    #[test]
    fn saying_the_same_again_changes_nothing() {
        let alarms = Alarms::default();
        for _ in 0..2 {
            alarms.book().is_unkept = false;
            alarms.raise(NOW, "@house", TRAIL_BROKEN, AlertLevel::Critical, "entry 7 was changed");
        }
        assert!(!alarms.book().is_unkept);
    }
}
