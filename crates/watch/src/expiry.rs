//! What the dates of a credential ask for: a rotation, a warning, or that nobody may use it any more.
//!
//! It knows neither values nor who rotates. Time stamps are wall clock: the dates outlive processes.

use haus_model::Timestamp;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long before the end a warning is due, the earliest first. One that is longer than half of the
/// credential's life is left out: a token for a day would always be expiring.
pub const WARNINGS: [Duration; 3] =
    [Duration::from_secs(14 * 24 * 3_600), Duration::from_secs(3 * 24 * 3_600), DAY];

/// A rotation is due at the latest so long before the end, or a tenth of the life when that is shorter.
pub const ROTATE_BEFORE_END: Duration = DAY;

/// How long a due rotation may take before the warnings speak, which are held back while one is still to
/// come.
pub const ROTATION_GRACE: Duration = HOUR;

/// The dates of the version in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    /// When it was made.
    pub made_at: Timestamp,
    /// From when on it must not be used; none means for ever.
    pub expires_at: Option<Timestamp>,
    /// Days between rotations; none (or 0) when it is not rotated by itself.
    pub rotate_days: Option<u32>,
}

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It must not be used any more.
    Expired {
        /// Since when.
        since: Timestamp,
    },
    /// A new version is to be made.
    Rotate {
        /// Since when.
        since: Timestamp,
    },
    /// Somebody has to know that it ends soon.
    Warn {
        /// Which of [`WARNINGS`] it is: it ends within this time.
        within: Duration,
        /// When it ends.
        ends_at: Timestamp,
    },
}

impl Dates {
    /// What is due, the most urgent first: at most one of expired and warning, and beside it a rotation.
    pub fn due(&self, now: Timestamp) -> Vec<Due> {
        let expired = self.expires_at.filter(|at| *at <= now).map(|since| Due::Expired { since });
        let rotate = self.rotate_at().filter(|at| *at <= now).map(|since| Due::Rotate { since });
        let warn = match expired {
            Some(_) => None,
            None => self.warn_times().filter(|(at, _)| *at <= now).last(),
        };
        let warn = warn.and_then(|(_, within)| Some(Due::Warn { within, ends_at: self.expires_at? }));
        [expired, rotate, warn].into_iter().flatten().collect()
    }

    /// When [`Self::due`] answers something else; none when it never does.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let warnings = self.warn_times().map(|(at, _)| at);
        let all = warnings.chain(self.rotate_at()).chain(self.expires_at);
        all.filter(|at| *at > now).min()
    }

    /// When it is to be rotated: by its rhythm, but always while the old value can still be used.
    pub fn rotate_at(&self) -> Option<Timestamp> {
        let days = self.rotate_days.filter(|days| *days > 0)?;
        let by_rhythm = self.made_at.after(DAY.saturating_mul(days));
        let Some(expires_at) = self.expires_at else { return Some(by_rhythm) };
        let lead = ROTATE_BEFORE_END.min(self.life(expires_at) / 10);
        Some(by_rhythm.min(before(expires_at, lead).max(self.made_at)))
    }

    fn life(&self, expires_at: Timestamp) -> Duration {
        expires_at.since(self.made_at)
    }

    /// The warnings that apply, with the time from which on each does, the earliest first.
    fn warn_times(&self) -> impl Iterator<Item = (Timestamp, Duration)> {
        let silent_until = self.rotate_at().map(|at| at.after(ROTATION_GRACE));
        let applies = self.expires_at.map(|at| (at, self.life(at)));
        WARNINGS.into_iter().filter_map(move |within| {
            let (expires_at, life) = applies?;
            let at = before(expires_at, within).max(silent_until.unwrap_or(self.made_at));
            (within <= life / 2 && at < expires_at).then_some((at, within))
        })
    }
}

fn before(at: Timestamp, span: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    const HOUR_MS: i64 = 3_600 * 1_000;

    fn dates(ttl_days: Option<i64>, rotate_days: Option<u32>) -> Dates {
        let expires_at = ttl_days.map(|days| Timestamp(days * DAY_MS));
        Dates { made_at: Timestamp(0), expires_at, rotate_days }
    }

    /// Made at 0; asked at so many milliseconds; `rotate`, `warn 14d`, `expired`.
    #[track_caller]
    fn check(dates: Dates, at_ms: i64, expected: &[&str]) {
        let word = |due: &Due| match due {
            Due::Expired { .. } => "expired".to_owned(),
            Due::Rotate { .. } => "rotate".to_owned(),
            Due::Warn { within, .. } => format!("warn {}d", within.as_secs() / 86_400),
        };
        let due: Vec<String> = dates.due(Timestamp(at_ms)).iter().map(word).collect();
        assert_eq!(due, expected, "{dates:?} at {at_ms} ms");
    }

    #[test]
    fn what_has_no_dates_is_never_due() {
        check(dates(None, None), i64::MAX, &[]);
        check(dates(None, Some(0)), i64::MAX, &[]);
        assert_eq!(dates(None, None).next_change(Timestamp(0)), None);
    }

    #[test]
    fn warnings_come_fourteen_three_and_one_days_before_the_end() {
        let dates = dates(Some(90), None);
        check(dates, 76 * DAY_MS - 1, &[]);
        check(dates, 76 * DAY_MS, &["warn 14d"]);
        check(dates, 87 * DAY_MS, &["warn 3d"]);
        check(dates, 89 * DAY_MS, &["warn 1d"]);
        check(dates, 90 * DAY_MS - 1, &["warn 1d"]);
        check(dates, 90 * DAY_MS, &["expired"]);
    }

    #[test]
    fn a_short_life_has_fewer_warnings() {
        check(dates(Some(10), None), 0, &[]);
        check(dates(Some(10), None), 7 * DAY_MS, &["warn 3d"]);
        check(dates(Some(1), None), DAY_MS - 1, &[]);
        check(dates(Some(0), None), 0, &["expired"]);
    }

    #[test]
    fn a_rotation_is_due_after_its_days() {
        check(dates(None, Some(30)), 30 * DAY_MS - 1, &[]);
        check(dates(None, Some(30)), 30 * DAY_MS, &["rotate"]);
        check(dates(None, Some(30)), 300 * DAY_MS, &["rotate"]);
    }

    #[test]
    fn it_is_rotated_before_it_ends_whatever_the_rhythm_says() {
        check(dates(Some(30), Some(90)), 29 * DAY_MS - 1, &[]);
        check(dates(Some(30), Some(90)), 29 * DAY_MS, &["rotate"]);
        check(dates(Some(1), Some(90)), DAY_MS * 9 / 10, &["rotate"]);
    }

    #[test]
    fn nobody_is_warned_while_a_rotation_is_still_to_come() {
        let dates = dates(Some(40), Some(30));
        check(dates, 27 * DAY_MS, &[]);
        check(dates, 30 * DAY_MS, &["rotate"]);
        check(dates, 30 * DAY_MS + HOUR_MS, &["rotate", "warn 14d"]);
        check(dates, 39 * DAY_MS, &["rotate", "warn 1d"]);
        check(dates, 40 * DAY_MS, &["expired", "rotate"]);
    }

    #[test]
    fn dates_beyond_all_time_do_not_overflow() {
        let far = Dates {
            made_at: Timestamp(i64::MIN),
            expires_at: Some(Timestamp(i64::MAX)),
            rotate_days: Some(u32::MAX),
        };
        far.due(Timestamp(0));
        far.next_change(Timestamp(i64::MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Between two changes nothing changes, and at a change something does.
        #[test]
        fn the_answer_changes_exactly_when_it_says(
            ttl_hours in proptest::option::of(0..3_000_i64),
            rotate_days in proptest::option::of(0..150_u32),
            at_hours in 0..3_100_i64,
            offset in 0..HOUR_MS,
        ) {
            let dates = Dates {
                made_at: Timestamp(0),
                expires_at: ttl_hours.map(|hours| Timestamp(hours * HOUR_MS)),
                rotate_days,
            };
            let now = Timestamp(at_hours * HOUR_MS + offset);
            let due = dates.due(now);
            let Some(next) = dates.next_change(now) else {
                prop_assert_eq!(dates.due(Timestamp(i64::MAX)), due);
                return Ok(());
            };
            prop_assert!(next > now);
            prop_assert_eq!(dates.due(Timestamp(next.0 - 1)), due.clone());
            prop_assert_ne!(dates.due(next), due);
        }
    }
}
