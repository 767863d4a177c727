//! Messages on their way to receivers: what is due, what waits for an earlier one, what is to be kept. It
//! sends nothing itself and touches no disk.
//!
//! Messages about one alert reach one receiver in their order: a retained "firing" that arrived after
//! "resolved" would stand there for ever.

use haus_model::Timestamp;
use haus_notify::Message;
use haus_store::{DeliveryRow, Write};
use haus_watch::alert::{Tell, TellState};
use haus_watch::delivery::{Delivery, Failure, NextTry};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Messages that wait at most; a dead receiver must not fill memory and disk.
const WAITING_MAX: usize = 5_000;

/// Tries under way at the same time.
const UNDER_WAY_MAX: usize = 16;

/// Tries under way to one receiver.
const UNDER_WAY_PER_RECEIVER_MAX: usize = 4;

/// One message to one receiver; with the row's id and receiver it is all that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    message: Message,
    delivery: Delivery,
}

#[derive(Clone, Debug)]
struct Letter {
    receiver: String,
    kept: Kept,
    /// Letters are numbered in the order in which they were written.
    number: u64,
}

/// One try that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    /// Stable over all tries.
    pub id: String,
    /// The receiver.
    pub receiver: String,
    /// What it is told.
    pub message: Message,
    /// Counted from 1.
    pub attempt: u32,
}

/// A message on its way, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnItsWay {
    /// Stable over all tries.
    pub id: String,
    /// The receiver.
    pub receiver: String,
    /// The alert.
    pub alert: String,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried next.
    pub next_try: Timestamp,
    /// What failed last.
    pub why: Option<String>,
}

/// All messages on their way.
#[derive(Debug, Default)]
pub(super) struct Post {
    letters: BTreeMap<String, Letter>,
    under_way: BTreeSet<String>,
    last_number: u64,
    seed: u64,
    /// Rows that the ledger does not have as they are here.
    to_put: BTreeSet<String>,
    to_delete: BTreeSet<String>,
}

impl Post {
    /// An empty one; `seed` spreads the pauses.
    pub(super) fn new(seed: u64) -> Post {
        Post { seed, ..Post::default() }
    }

    /// Takes over what an earlier core left, and whose tries ended with it; returns the ids of rows that
    /// cannot be read, which are dropped.
    pub(super) fn restore(&mut self, now: Timestamp, rows: Vec<DeliveryRow>) -> Vec<String> {
        let mut unreadable = Vec::new();
        let mut letters = Vec::new();
        for row in rows {
            match serde_json::from_str::<Kept>(&row.state) {
                Ok(mut kept) => {
                    kept.delivery.handle_core_ended(now);
                    letters.push((row.receiver, kept));
                }
                Err(_) => unreadable.push(row.id),
            }
        }
        letters.sort_by_key(|(_, kept)| (kept.delivery.began_at(), kept.message.at));
        for (receiver, kept) in letters {
            self.put(receiver, kept);
        }
        // They are in the ledger as they are.
        self.to_put.clear();
        self.to_delete.extend(unreadable.iter().cloned());
        unreadable
    }

    /// Writes a letter to each receiver of a tell. Returns those for whom there was no room.
    pub(super) fn write(&mut self, now: Timestamp, tell: &Tell, message: &Message) -> Vec<String> {
        let mut refused = Vec::new();
        for receiver in &tell.receivers {
            let waits = self
                .letters
                .values()
                .any(|letter| letter.receiver == *receiver && letter.kept.message.id == message.id);
            // Who has not even heard of it needs no reminder of it.
            if tell.state == TellState::Repeat && waits {
                continue;
            }
            if self.letters.len() >= WAITING_MAX {
                refused.push(receiver.clone());
                continue;
            }
            let id = format!("{}/{}/{receiver}/{}", message.id, tell.state.as_str(), tell.at.0);
            let delivery = Delivery::new(now, id, self.seed);
            self.put(receiver.clone(), Kept { message: message.clone(), delivery });
        }
        refused
    }

    fn put(&mut self, receiver: String, kept: Kept) {
        self.last_number += 1;
        let id = kept.delivery.id().to_owned();
        self.to_put.insert(id.clone());
        self.letters.insert(id, Letter { receiver, kept, number: self.last_number });
    }

    /// Begins every try that is due and may begin.
    pub(super) fn begin(&mut self, now: Timestamp) -> Vec<Errand> {
        let order: Vec<String> = self.open().into_iter().map(|(_, id)| id.to_owned()).collect();
        let mut begun = Vec::new();
        for id in order {
            if self.under_way.len() >= UNDER_WAY_MAX {
                break;
            }
            let Some(receiver) = self.letters.get(&id).map(|letter| letter.receiver.clone()) else {
                continue;
            };
            if self.under_way_to(&receiver) >= UNDER_WAY_PER_RECEIVER_MAX {
                continue;
            }
            let Some(letter) = self.letters.get_mut(&id) else { continue };
            let Some(attempt) = letter.kept.delivery.begin_try(now) else { continue };
            let message = letter.kept.message.clone();
            self.under_way.insert(id.clone());
            self.to_put.insert(id.clone());
            begun.push(Errand { id, receiver, message, attempt });
        }
        begun
    }

    fn under_way_to(&self, receiver: &str) -> usize {
        let mine = |id: &&String| self.letters.get(*id).is_some_and(|letter| letter.receiver == receiver);
        self.under_way.iter().filter(mine).count()
    }

    /// Letters for which no earlier one about the same alert waits at the same receiver, in their order.
    fn open(&self) -> Vec<(u64, &str)> {
        let mut first: BTreeMap<(&str, &str), (u64, &str)> = BTreeMap::new();
        for (id, letter) in &self.letters {
            let group = (letter.receiver.as_str(), letter.kept.message.id.as_str());
            let mine = (letter.number, id.as_str());
            let known = first.entry(group).or_insert(mine);
            *known = mine.min(*known);
        }
        let mut open: Vec<(u64, &str)> =
            first.into_values().filter(|(_, id)| !self.under_way.contains(*id)).collect();
        open.sort_unstable();
        open
    }

    /// A try has ended; says when it is tried again, or why not.
    pub(super) fn end(&mut self, now: Timestamp, id: &str, outcome: Result<(), Failure>) -> Option<NextTry> {
        self.under_way.remove(id);
        let letter = self.letters.get_mut(id)?;
        match outcome {
            Ok(()) => {
                letter.kept.delivery.handle_delivered();
                self.drop(id);
                None
            }
            Err(failure) => {
                let next = letter.kept.delivery.handle_failed(now, failure);
                match next {
                    NextTry::At(_) => {
                        self.to_put.insert(id.to_owned());
                    }
                    NextTry::GivenUp { .. } => self.drop(id),
                }
                Some(next)
            }
        }
    }

    fn drop(&mut self, id: &str) {
        self.letters.remove(id);
        self.to_put.remove(id);
        self.to_delete.insert(id.to_owned());
    }

    /// When [`Self::begin`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        if self.under_way.len() >= UNDER_WAY_MAX {
            return None;
        }
        let letters = self.open().into_iter().filter_map(|(_, id)| self.letters.get(id));
        let free = letters.filter(|letter| self.under_way_to(&letter.receiver) < UNDER_WAY_PER_RECEIVER_MAX);
        free.filter_map(|letter| letter.kept.delivery.poll_timeout()).min()
    }

    /// What the ledger does not have yet; it stays due until [`Self::kept`] says that it has.
    pub(super) fn writes(&self) -> Vec<Write> {
        let puts = self.to_put.iter().filter_map(|id| {
            let letter = self.letters.get(id)?;
            let state = serde_json::to_string(&letter.kept).expect("a letter is plain data");
            let due_at = letter.kept.delivery.poll_timeout().unwrap_or_default();
            let row = DeliveryRow { id: id.clone(), receiver: letter.receiver.clone(), state, due_at };
            Some(Write::DeliveryPut(Box::new(row)))
        });
        let deletes = self.to_delete.iter().map(|id| Write::DeliveryDelete { id: id.clone() });
        puts.chain(deletes).collect()
    }

    /// The ledger has everything that [`Self::writes`] gave last.
    pub(super) fn kept(&mut self) {
        self.to_put.clear();
        self.to_delete.clear();
    }

    /// All of them, the next one due first.
    pub(super) fn list(&self) -> Vec<OnItsWay> {
        let mut list: Vec<OnItsWay> = self
            .letters
            .iter()
            .map(|(id, letter)| OnItsWay {
                id: id.clone(),
                receiver: letter.receiver.clone(),
                alert: letter.kept.message.id.clone(),
                attempts: letter.kept.delivery.attempt(),
                next_try: letter.kept.delivery.poll_timeout().unwrap_or_default(),
                why: letter.kept.delivery.last_failure().map(str::to_owned),
            })
            .collect();
        list.sort_by(|left, right| (left.next_try, &left.id).cmp(&(right.next_try, &right.id)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarms::words;
    use crate::fixture;
    use haus_model::alert::AlertLevel;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn tell(number: u32, state: TellState, receivers: &[&str]) -> Tell {
        Tell {
            id: format!("web/service-offline#{number}"),
            state,
            subject: "web".parse().unwrap(),
            kind: "service-offline".to_owned(),
            level: AlertLevel::Critical,
            services: Vec::new(),
            since: NOW,
            at: NOW,
            flaps: 0,
            why: "refused".to_owned(),
            follow_ups: Vec::new(),
            follow_ups_count: 0,
            receivers: receivers.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn write(post: &mut Post, tell: &Tell) {
        let message = words::message(&fixture::house(Vec::new()), tell);
        assert_eq!(post.write(NOW, tell, &message), Vec::<String>::new());
    }

    fn failure(retry: bool) -> Failure {
        Failure { why: "503".to_owned(), is_worth_retrying: retry, retry_after: None }
    }

    fn ids(errands: &[Errand]) -> Vec<&str> {
        errands.iter().map(|errand| errand.id.as_str()).collect()
    }

    #[test]
    fn the_end_of_an_alert_waits_for_its_beginning() {
        let mut post = Post::new(7);
        write(&mut post, &tell(1, TellState::Firing, &["phone"]));
        write(&mut post, &tell(1, TellState::Resolved, &["phone"]));
        let begun = post.begin(NOW);
        assert_eq!(ids(&begun), ["web/service-offline#1/firing/phone/1000000"]);
        assert!(matches!(post.end(NOW, &begun[0].id, Err(failure(true))), Some(NextTry::At(_))));
        assert_eq!(post.begin(NOW), []);
        let later = post.poll_timeout().unwrap();
        let begun = post.begin(later);
        assert_eq!((begun[0].attempt, ids(&begun)[0].contains("firing")), (2, true));
        assert_eq!(post.end(later, &begun[0].id, Ok(())), None);
        assert_eq!(ids(&post.begin(later)), ["web/service-offline#1/resolved/phone/1000000"]);
    }

    #[test]
    fn nobody_is_reminded_of_what_he_has_not_heard_of() {
        let mut post = Post::new(7);
        write(&mut post, &tell(1, TellState::Firing, &["phone"]));
        write(&mut post, &tell(1, TellState::Repeat, &["phone", "bus"]));
        let receivers: Vec<String> = post.list().into_iter().map(|letter| letter.receiver).collect();
        assert_eq!(receivers, ["phone", "bus"]);
    }

    #[test]
    fn a_message_survives_a_restart_with_its_tries() {
        let mut post = Post::new(7);
        write(&mut post, &tell(1, TellState::Firing, &["phone"]));
        let begun = post.begin(NOW);
        post.end(NOW, &begun[0].id, Err(failure(true)));
        let rows: Vec<DeliveryRow> = post
            .writes()
            .into_iter()
            .filter_map(|write| if let Write::DeliveryPut(row) = write { Some(*row) } else { None })
            .collect();
        let mut restored = Post::new(7);
        let odd = DeliveryRow { id: "x".into(), receiver: "phone".into(), state: "{}".into(), due_at: NOW };
        assert_eq!(restored.restore(NOW, rows.into_iter().chain([odd]).collect()), ["x"]);
        assert_eq!(restored.list(), post.list());
        assert_eq!(restored.writes(), [Write::DeliveryDelete { id: "x".into() }]);
        assert_eq!(restored.begin(post.poll_timeout().unwrap())[0].attempt, 2);
    }

    #[test]
    fn what_will_never_be_taken_is_dropped_and_its_row_with_it() {
        let mut post = Post::new(7);
        write(&mut post, &tell(1, TellState::Firing, &["phone"]));
        let begun = post.begin(NOW);
        assert!(matches!(post.end(NOW, &begun[0].id, Err(failure(false))), Some(NextTry::GivenUp { .. })));
        assert_eq!(post.writes(), [Write::DeliveryDelete { id: begun[0].id.clone() }]);
        post.kept();
        assert_eq!((post.writes(), post.list().len(), post.poll_timeout()), (Vec::new(), 0, None));
    }

    #[test]
    fn one_receiver_does_not_take_all_places() {
        let mut post = Post::new(7);
        for number in 0..10 {
            write(&mut post, &tell(number, TellState::Firing, &["dead"]));
        }
        write(&mut post, &tell(10, TellState::Firing, &["phone"]));
        let begun = post.begin(NOW);
        let to = |name| begun.iter().filter(|errand| errand.receiver == name).count();
        assert_eq!((to("dead"), to("phone")), (UNDER_WAY_PER_RECEIVER_MAX, 1));
        assert_eq!(post.poll_timeout(), None);
    }

    #[test]
    fn a_full_post_says_so() {
        let mut post = Post::new(7);
        let message = words::message(&fixture::house(Vec::new()), &tell(0, TellState::Firing, &["phone"]));
        for number in 0..u32::try_from(WAITING_MAX).unwrap() {
            post.put(
                "phone".to_owned(),
                Kept { message: message.clone(), delivery: Delivery::new(NOW, number.to_string(), 7) },
            );
        }
        assert_eq!(post.write(NOW, &tell(1, TellState::Firing, &["phone"]), &message), ["phone"]);
    }
}
