//! Turns what the machine tells into log lines, rows and messages, and brings them to receivers.

use super::shown::Saved;
use super::{Book, post, silence_of, windows, words};
use crate::api::Caller;
use crate::desk::{Desk, PlanInForce};
use haus_api::ProblemCode;
use haus_model::alert::{Receiver, Road};
use haus_model::house::House;
use haus_model::{CredentialName, Secret, Timestamp};
use haus_notify::{DeliverError, Keys, Receipt};
use haus_store::{Batch, DeliveryRow, EventKind, NewEvent, SilenceRow, Write};
use haus_supervise::LogSpec;
use haus_supervise::logfile::LogWriter;
use haus_watch::alert::{AlertRules, Alerts, Subject, Tell};
use haus_watch::delivery::{Failure, NextTry};
use post::Errand;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// One try to bring one message, with all its connections (the zimmer document: 30 s).
const TRY_WITHIN: Duration = Duration::from_secs(30);

/// Windows and clocks are looked at so often, whatever the machine says: somebody may set the clock.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// While the ledger refuses, it is asked again after this time.
const KEEP_AGAIN: Duration = Duration::from_secs(5);

/// How often reading the ledger is tried at the start.
const RESTORE_TRIES: u32 = 5;

const LOG_BYTES: u64 = 5 << 20;
const LOG_FILES: u32 = 3;

/// What one try came to.
type Outcome = (Errand, Result<Receipt, DeliverError>);

/// The courier's own things.
struct Courier {
    desk: Arc<Desk>,
    log: LogWriter,
    plan: Arc<PlanInForce>,
    under_way: JoinSet<Outcome>,
    /// Values of receivers as they were handed out last: an alert about a database that cannot be written
    /// needs its key although no entry about that can be made.
    keys: Arc<Mutex<BTreeMap<CredentialName, Secret>>>,
    /// The ledger is not asked before.
    keep_at: Timestamp,
}

/// Works until it is dropped.
pub(super) async fn run(desk: &Arc<Desk>) {
    let spec = LogSpec { path: desk.places.logs().join("alerts.log"), max_bytes: LOG_BYTES, keep: LOG_FILES };
    // The writer tries again with every line when the folder is not there.
    let _ = std::fs::create_dir_all(desk.places.logs());
    let mut courier = Courier {
        desk: Arc::clone(desk),
        log: LogWriter::new(spec),
        plan: desk.plan.load_full(),
        under_way: JoinSet::new(),
        keys: Arc::default(),
        keep_at: Timestamp(i64::MIN),
    };
    courier.restore().await;
    courier.warm_keys().await;
    loop {
        courier.round().await;
        let pause = courier.pause();
        tokio::select! {
            () = desk.alarms.woken.notified() => {}
            Some(ended) = courier.under_way.join_next() => {
                if let Ok(outcome) = ended {
                    courier.ended(outcome);
                }
            }
            () = sleep(pause) => {}
        }
    }
}

impl Courier {
    /// Takes over what an earlier core left.
    async fn restore(&mut self) {
        let mut saved = None;
        for _ in 0..RESTORE_TRIES {
            let now = self.desk.clock.wall();
            let read = self
                .desk
                .registrar
                .read(move |ledger| Ok((ledger.alert_state()?, ledger.deliveries()?, ledger.silences(now)?)));
            match read.await {
                Ok(found) => {
                    saved = Some(found);
                    break;
                }
                Err(problem) => self.note(&format!("alerts of before cannot be read: {}", problem.detail)),
            }
            sleep(KEEP_AGAIN).await;
        }
        let now = self.desk.clock.wall();
        let rules = rules(&self.plan.house);
        let mut lines = Vec::new();
        {
            let mut book = self.desk.alarms.book();
            match saved {
                Some((state, deliveries, silences)) => {
                    lines = book.restore(now, rules, state, deliveries, silences);
                }
                None => book.machine.set_rules(now, rules),
            }
        }
        lines.iter().for_each(|line| self.note(line));
    }

    /// Reads the receivers' keys once, while everything is well.
    async fn warm_keys(&mut self) {
        let house = Arc::clone(&self.plan.house);
        for name in house.alerts.receivers.iter().filter_map(|receiver| credential(&receiver.road)) {
            // A receiver whose key is not there yet is told of with its first message.
            let _ = secret(&self.desk, &self.keys, name).await;
        }
    }

    /// Everything that is due at present.
    async fn round(&mut self) {
        let plan = self.desk.plan.load_full();
        let now = self.desk.clock.wall();
        let has_changed = !Arc::ptr_eq(&plan, &self.plan);
        self.plan = plan;
        let house = Arc::clone(&self.plan.house);
        let (tells, refused) = {
            let mut book = self.desk.alarms.book();
            if has_changed {
                book.follow(now, &house);
            }
            book.look(now, &house)
        };
        if has_changed {
            self.warm_keys().await;
        }
        for tell in &tells {
            let line = words::line(tell);
            let event =
                NewEvent::new(now, EventKind::House, tell.subject.to_string(), format!("alert {line}"));
            self.desk.journal.record(event);
            self.note(&line);
        }
        for line in refused {
            self.note(&line);
        }
        self.keep(now).await;
        let errands = self.desk.alarms.book().post.begin(now);
        if !errands.is_empty() {
            // A core that dies during a try finds it in the ledger as begun.
            self.keep(now).await;
        }
        for errand in errands {
            self.send(errand);
        }
    }

    /// Brings the ledger in step; what it refuses waits and is sent all the same.
    async fn keep(&mut self, now: Timestamp) {
        // A clock that was set back must not hold this for ever.
        let waits = now < self.keep_at && self.keep_at.since(now) <= KEEP_AGAIN;
        let writes = {
            let mut book = self.desk.alarms.book();
            if waits { Vec::new() } else { book.writes() }
        };
        if writes.is_empty() {
            return;
        }
        let batch = Batch { writes, entries: Vec::new() };
        match self.desk.registrar.commit(batch).await {
            Ok(_) => self.desk.alarms.book().post.kept(),
            Err(_) => {
                // The patrol tells that the database cannot be written.
                self.desk.alarms.book().is_unkept = true;
                self.keep_at = now.after(KEEP_AGAIN);
            }
        }
    }

    fn send(&mut self, errand: Errand) {
        let receiver =
            self.plan.house.alerts.receivers.iter().find(|one| one.name == errand.receiver).cloned();
        let (desk, keys) = (Arc::clone(&self.desk), Arc::clone(&self.keys));
        self.under_way.spawn(async move {
            let outcome = match receiver {
                Some(receiver) => bring(&desk, &keys, &receiver, &errand).await,
                None => Err(failed(&errand, "the receiver is no longer in the plan", false)),
            };
            (errand, outcome)
        });
    }

    fn ended(&mut self, (errand, outcome): Outcome) {
        let now = self.desk.clock.wall();
        let (receiver, alert) = (errand.receiver.as_str(), errand.message.id.as_str());
        let (outcome, said) = match outcome {
            Ok(receipt) => (Ok(()), format!("delivered {alert} to {receiver}: {}", receipt.evidence)),
            Err(error) => {
                let failure = Failure {
                    why: error.what.clone(),
                    is_worth_retrying: error.retry,
                    retry_after: error.retry_after,
                };
                (
                    Err(failure),
                    format!("not delivered {alert} to {receiver}, try {}: {}", errand.attempt, error.what),
                )
            }
        };
        let next = self.desk.alarms.book().post.end(now, &errand.id, outcome);
        let line = match next {
            None => said,
            Some(NextTry::At(at)) => format!("{said}; tried again at {at}"),
            Some(NextTry::GivenUp { why }) => {
                let told = format!("alert {alert} does not reach {receiver}: {why}");
                self.desk.journal.record(NewEvent::new(now, EventKind::House, "house", told));
                format!("{said}; given up: {why}")
            }
        };
        self.note(&line);
    }

    fn pause(&self) -> Duration {
        let now = self.desk.clock.wall();
        let book = self.desk.alarms.book();
        let due = [book.machine.poll_timeout(), book.post.poll_timeout()].into_iter().flatten().min();
        due.map_or(LOOK_EVERY, |at| at.since(now)).clamp(Duration::from_millis(20), LOOK_EVERY)
    }

    fn note(&mut self, line: &str) {
        self.log.note(jiff::Timestamp::now(), line);
    }
}

impl Book {
    /// Goes on where an earlier core ended, with what was said since. Returns lines for the log.
    fn restore(
        &mut self,
        now: Timestamp,
        rules: AlertRules,
        state: Option<String>,
        deliveries: Vec<DeliveryRow>,
        silences: Vec<SilenceRow>,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        let saved = state.and_then(|text| match serde_json::from_str::<Saved>(&text) {
            Ok(Saved { machine, past }) => {
                self.past.extend(past);
                Some(machine)
            }
            Err(error) => {
                lines.push(format!(
                    "the kept state of the alerts is not understood, they begin anew: {error}"
                ));
                None
            }
        });
        match saved {
            Some(saved) => {
                self.machine = Alerts::restore(now, rules, saved);
                // What the engine said before this moment.
                for ((subject, kind), said) in &self.said {
                    match said {
                        Some((level, why, services)) => self.machine.raise(
                            now,
                            haus_watch::alert::Condition {
                                subject: subject.clone(),
                                kind: kind.clone(),
                                level: *level,
                                services: services.clone(),
                                why: why.clone(),
                            },
                        ),
                        None => self.machine.clear(now, subject, kind, "well again"),
                    }
                }
            }
            None => self.machine.set_rules(now, rules),
        }
        // The rows are the truth: one of the two may have been written before a crash.
        let known: Vec<String> = self.machine.silences().iter().map(|silence| silence.id.clone()).collect();
        let gone = known.iter().filter(|id| !silences.iter().any(|row| row.id == **id));
        for id in gone {
            self.machine.end_silence(now, id);
        }
        for row in silences {
            self.machine.silence(now, silence_of(&row));
            self.silences.insert(row.id.clone(), row);
        }
        for id in self.post.restore(now, deliveries) {
            lines.push(format!("message {id} of before is not understood and is dropped"));
        }
        lines
    }

    /// Another plan is in force.
    fn follow(&mut self, now: Timestamp, house: &House) {
        self.machine.set_rules(now, rules(house));
        self.clear_unless(now, "it is no longer in the plan", |subject| match subject {
            Subject::Service(name) => house.services.contains_key(name),
            Subject::House | Subject::Credential(_) => true,
        });
    }

    /// Lets time pass and takes what is to be told; lines for what there is no room for.
    fn look(&mut self, now: Timestamp, house: &House) -> (Vec<Tell>, Vec<String>) {
        let open = windows::open(house, now);
        self.open = open.iter().map(|window| window.name.clone()).collect();
        self.machine.set_maintenance(now, open);
        self.machine.handle_timeout(now);
        self.silences.retain(|_, row| row.until > now);
        let (mut tells, mut refused) = (Vec::new(), Vec::new());
        while let Some(tell) = self.machine.poll_tell() {
            let message = words::message(house, &tell);
            for receiver in self.post.write(now, &tell, &message) {
                refused.push(format!("no room for alert {} to {receiver}: too many messages wait", tell.id));
            }
            tells.push(tell);
        }
        self.is_unkept |= !tells.is_empty();
        self.note_states(now);
        (tells, refused)
    }

    fn writes(&mut self) -> Vec<Write> {
        let mut writes = self.post.writes();
        if std::mem::take(&mut self.is_unkept) {
            let saved = Saved { machine: self.machine.save(), past: self.past.clone() };
            let state = serde_json::to_string(&saved).expect("alerts are plain data");
            writes.push(Write::AlertStatePut(state));
        }
        writes
    }
}

/// What the plan says about alerts.
fn rules(house: &House) -> AlertRules {
    let needs = house.services.values().map(|service| (service.name.clone(), service.needs.clone()));
    AlertRules { alerting: house.alerts.clone(), needs: needs.collect() }
}

/// The credential that a road needs.
fn credential(road: &Road) -> Option<&CredentialName> {
    match road {
        Road::Webhook { secret, .. } => secret.as_ref(),
        Road::Mail { password, .. } | Road::Mqtt { password, .. } => password.as_ref(),
    }
}

async fn bring(
    desk: &Desk,
    kept: &Mutex<BTreeMap<CredentialName, Secret>>,
    receiver: &Receiver,
    errand: &Errand,
) -> Result<Receipt, DeliverError> {
    let secret = match credential(&receiver.road) {
        Some(name) => Some(secret(desk, kept, name).await.map_err(|why| failed(errand, &why, true))?),
        None => None,
    };
    let delivery = haus_notify::Delivery { id: errand.id.clone(), attempt: errand.attempt };
    haus_notify::deliver(&receiver.road, &Keys { secret }, &errand.message, &delivery, TRY_WITHIN).await
}

/// The value of a receiver's credential, with its entry in the trail; the last known one while none can be
/// made.
async fn secret(
    desk: &Desk,
    kept: &Mutex<BTreeMap<CredentialName, Secret>>,
    name: &CredentialName,
) -> Result<Secret, String> {
    let keys = || kept.lock().unwrap_or_else(PoisonError::into_inner);
    match desk.vaulting.value(desk, &Caller::house("alert"), name).await {
        Ok(value) => {
            keys().insert(name.clone(), value.clone());
            Ok(value)
        }
        Err(problem) if problem.code == ProblemCode::TrailUnavailable => {
            keys().get(name).cloned().ok_or(problem.detail)
        }
        Err(problem) => {
            keys().remove(name);
            Err(problem.detail)
        }
    }
}

fn failed(errand: &Errand, what: &str, retry: bool) -> DeliverError {
    DeliverError {
        attempt: format!("cannot bring alert {} to {}", errand.message.id, errand.receiver),
        what: what.to_owned(),
        retry,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests;
