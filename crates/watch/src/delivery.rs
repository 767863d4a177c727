//! When a message is tried again that could not be brought to its receiver, and when no more.
//!
//! It knows neither the message nor the road. It is kept over restarts of the core, so its time
//! stamps are wall clock.

use crate::random::Random;
use haus_model::Timestamp;
use haus_model::unit::format_duration;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The pause after the first failed try.
pub const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause between two tries that we choose.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The longest pause that a receiver may ask for.
pub const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(3_600);

/// How long one message is tried.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// A try that has not answered for so long was lost.
pub const TRY_LOST_AFTER: Duration = Duration::from_secs(120);

/// Why a try failed, as far as the next one depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One sentence without secrets: `503 from hooks.example`.
    pub why: String,
    /// Whether the same message may be taken later.
    pub is_worth_retrying: bool,
    /// How long the receiver asked to wait (`Retry-After`, RFC 9110).
    pub retry_after: Option<Duration>,
}

/// What follows from a failed try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextTry {
    /// It is tried again at this time.
    At(Timestamp),
    /// It is not tried any more.
    GivenUp {
        /// Why.
        why: String,
    },
}

/// One message on its way to one receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    id: String,
    began_at: Timestamp,
    seed: u64,
    attempt: u32,
    /// None when it has arrived or was given up.
    next_at: Option<Timestamp>,
    last_failure: Option<String>,
    /// Whether a try was begun whose outcome is not known.
    #[serde(default)]
    is_under_way: bool,
}

impl Delivery {
    /// A delivery whose first try is due at `now`.
    ///
    /// The id is the same for all its tries, so that a receiver can drop the second of two that arrived.
    pub fn new(now: Timestamp, id: impl Into<String>, seed: u64) -> Delivery {
        Delivery {
            id: id.into(),
            began_at: now,
            seed,
            attempt: 0,
            next_at: Some(now),
            last_failure: None,
            is_under_way: false,
        }
    }

    /// Its id, the same for all tries.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Tries that were begun.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the message was handed over.
    pub fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// Why the last try failed.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Whether nothing is to be done any more: it arrived or was given up.
    pub fn is_over(&self) -> bool {
        self.next_at.is_none()
    }

    /// When [`Self::begin_try`] has something to do.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.next_at
    }

    /// Begins a try when one is due, and gives its number from 1.
    ///
    /// Until its outcome is told the next one is due after [`TRY_LOST_AFTER`]. Whoever saves the delivery
    /// does so after this call, and says [`Self::handle_core_ended`] to one that a core before has saved.
    pub fn begin_try(&mut self, now: Timestamp) -> Option<u32> {
        let due_at = self.next_at?;
        // A clock that was set back must not hold a message for longer than any pause.
        let was_set_back = due_at.since(now) > LONGEST_ASKED_PAUSE;
        if now < due_at && !was_set_back {
            return None;
        }
        self.attempt = self.attempt.saturating_add(1);
        self.next_at = Some(now.after(TRY_LOST_AFTER));
        self.is_under_way = true;
        Some(self.attempt)
    }

    /// The receiver has it.
    pub fn handle_delivered(&mut self) {
        self.is_under_way = false;
        self.next_at = None;
        self.last_failure = None;
    }

    /// A try failed. The last one is made when [`GIVE_UP_AFTER`] is over, however long the pause would be.
    pub fn handle_failed(&mut self, now: Timestamp, failure: Failure) -> NextTry {
        let tries = match self.attempt {
            0 | 1 => "1 try".to_owned(),
            tries => format!("{tries} tries"),
        };
        let ends_at = self.began_at.after(GIVE_UP_AFTER);
        let given_up = if !failure.is_worth_retrying {
            Some(format!("trying again would not help: {}", failure.why))
        } else if now >= ends_at {
            let span = format_duration(GIVE_UP_AFTER);
            Some(format!("{tries} within {span} failed, the last one: {}", failure.why))
        } else {
            None
        };
        self.is_under_way = false;
        self.last_failure = Some(failure.why);
        if let Some(why) = given_up {
            self.next_at = None;
            return NextTry::GivenUp { why };
        }
        let asked = failure.retry_after.unwrap_or_default().min(LONGEST_ASKED_PAUSE);
        let at = now.after(self.pause().max(asked)).min(ends_at);
        self.next_at = Some(at);
        NextTry::At(at)
    }

    /// The core ended that made a try, if there was one under way. Whether the message has arrived is not
    /// known, so it is brought again after the usual pause.
    pub fn handle_core_ended(&mut self, now: Timestamp) {
        if self.is_under_way {
            let why = "the core ended during the try".to_owned();
            self.handle_failed(now, Failure { why, is_worth_retrying: true, retry_after: None });
        }
    }

    /// The pause after the present try: doubling from the first to the longest, and any time of its second
    /// half, so that many messages to one dead receiver do not come back together. It follows from seed, id
    /// and try.
    fn pause(&self) -> Duration {
        let doubled = 1_u32.checked_shl(self.attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let mut random = Random::for_name(self.seed, &format!("{} {}", self.id, self.attempt));
        Duration::from_millis(random.between(millis((longest / 2).max(FIRST_PAUSE)), millis(longest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failure() -> Failure {
        Failure { why: "503 from hooks.example".to_owned(), is_worth_retrying: true, retry_after: None }
    }

    /// Begins the try that is due and lets it fail at once; gives the pause after it.
    fn fail(delivery: &mut Delivery, failure: Failure) -> Result<Duration, String> {
        let now = delivery.poll_timeout().unwrap();
        delivery.begin_try(now).unwrap();
        match delivery.handle_failed(now, failure) {
            NextTry::At(at) => Ok(at.since(now)),
            NextTry::GivenUp { why } => Err(why),
        }
    }

    #[test]
    fn pauses_grow_from_five_seconds_to_ten_minutes() {
        let mut delivery = Delivery::new(Timestamp(0), "a", 7);
        for longest_s in [5, 10, 20, 40, 80, 160, 320, 600, 600, 600] {
            let pause = fail(&mut delivery, failure()).unwrap();
            let longest = Duration::from_secs(longest_s);
            assert!(
                pause <= longest && pause >= longest / 2 && pause >= FIRST_PAUSE,
                "{pause:?} of {longest:?}"
            );
        }
    }

    #[test]
    fn messages_to_one_receiver_do_not_come_back_together() {
        let mut pauses: Vec<Duration> = (0..50)
            .map(|number| {
                let mut delivery = Delivery::new(Timestamp(0), format!("message {number}"), 7);
                (0..9).map(|_| fail(&mut delivery, failure()).unwrap()).last().unwrap()
            })
            .collect();
        pauses.sort_unstable();
        pauses.dedup();
        assert!(pauses.len() > 45, "{pauses:?}");
    }

    #[test]
    fn what_will_never_be_taken_is_given_up_at_once() {
        let mut delivery = Delivery::new(Timestamp(0), "a", 7);
        let failure = Failure { why: "410 gone".to_owned(), is_worth_retrying: false, retry_after: None };
        assert_eq!(fail(&mut delivery, failure), Err("trying again would not help: 410 gone".to_owned()));
        assert!(delivery.is_over());
        assert_eq!((delivery.poll_timeout(), delivery.last_failure()), (None, Some("410 gone")));
    }

    #[test]
    fn after_a_day_it_is_given_up_with_a_last_try_at_its_end() {
        let mut delivery = Delivery::new(Timestamp(1_000), "a", 7);
        let mut last_at = Timestamp(0);
        let why = loop {
            last_at = delivery.poll_timeout().unwrap_or(last_at);
            if let Err(why) = fail(&mut delivery, failure()) {
                break why;
            }
        };
        assert_eq!(last_at, Timestamp(1_000).after(GIVE_UP_AFTER));
        let tries = delivery.attempt();
        assert!((144..=310).contains(&tries), "{tries} tries");
        assert_eq!(why, format!("{tries} tries within 1d failed, the last one: 503 from hooks.example"));
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_ever() {
        for (asked_s, expected_s) in [(1, 5), (30, 30), (1_000_000, 3_600)] {
            let mut delivery = Delivery::new(Timestamp(0), "a", 7);
            let retry_after = Some(Duration::from_secs(asked_s));
            let pause = fail(&mut delivery, Failure { retry_after, ..failure() });
            assert_eq!(pause, Ok(Duration::from_secs(expected_s)));
        }
    }

    #[test]
    fn a_try_that_nobody_ended_is_made_again() {
        let mut delivery = Delivery::new(Timestamp(0), "a", 7);
        assert_eq!(delivery.begin_try(Timestamp(0)), Some(1));
        let saved = serde_json::to_string(&delivery).unwrap();
        let mut delivery: Delivery = serde_json::from_str(&saved).unwrap();
        assert_eq!(delivery.begin_try(Timestamp(0).after(TRY_LOST_AFTER / 2)), None);
        assert_eq!(delivery.begin_try(Timestamp(0).after(TRY_LOST_AFTER)), Some(2));
        delivery.handle_delivered();
        assert_eq!((delivery.is_over(), delivery.begin_try(Timestamp(i64::MAX))), (true, None));
    }

    #[test]
    fn a_try_that_its_core_did_not_survive_is_made_again_after_the_usual_pause() {
        let mut delivery = Delivery::new(Timestamp(0), "a", 7);
        let mut untouched = delivery.clone();
        untouched.handle_core_ended(Timestamp(5));
        assert_eq!(untouched, delivery, "nothing was under way");
        delivery.begin_try(Timestamp(0)).unwrap();
        let saved = serde_json::to_string(&delivery).unwrap();
        let mut next: Delivery = serde_json::from_str(&saved).unwrap();
        next.handle_core_ended(Timestamp(1_000));
        assert_eq!(next.poll_timeout(), Some(Timestamp(1_000).after(FIRST_PAUSE)));
        assert_eq!(next.last_failure(), Some("the core ended during the try"));
        let again = next.clone();
        next.handle_core_ended(Timestamp(2_000));
        assert_eq!(next, again, "it has an outcome now");
    }

    #[test]
    fn what_an_older_core_has_saved_is_read() {
        let saved = r#"{"id":"a","began_at":0,"seed":7,"attempt":1,"next_at":120000,"last_failure":null}"#;
        let delivery: Delivery = serde_json::from_str(saved).unwrap();
        assert_eq!((delivery.attempt(), delivery.poll_timeout()), (1, Some(Timestamp(120_000))));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_no_message() {
        let mut delivery = Delivery::new(Timestamp(10_000_000_000), "a", 7);
        assert_eq!(delivery.begin_try(Timestamp(0)), Some(1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_goes_on_the_same_after_any_restart(seed in any::<u64>(), restarts in any::<u32>()) {
            let mut kept = Delivery::new(Timestamp(0), "a", seed);
            let mut restarted = kept.clone();
            for step in 0..32 {
                prop_assert_eq!(fail(&mut kept, failure()), fail(&mut restarted, failure()));
                if restarts >> step & 1 == 1 {
                    let saved = serde_json::to_string(&restarted).unwrap();
                    restarted = serde_json::from_str(&saved).unwrap();
                }
                prop_assert_eq!(&kept, &restarted);
            }
        }
    }
}
