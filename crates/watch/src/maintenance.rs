//! When a maintenance window is open, and when that changes next.
//!
//! It gets the local weekday and minute as arguments and knows no time zone. A change of summer
//! time is the caller's: ask again at the time that was answered, and after every such change.

use haus_model::Timestamp;
use haus_model::alert::{Maintenance, Weekday};
use std::time::Duration;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const WEEK_MS: i64 = 7 * DAY_MS;

/// The week from Monday.
const WEEK: [Weekday; 7] =
    [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

/// What the clock on the wall of the house says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// The day.
    pub day: Weekday,
    /// Full minutes since local midnight, 0 to 1439.
    pub minute: u16,
}

/// Whether a window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// It is.
    Open {
        /// Until this time, not included. Windows that touch or overlap are one.
        ends_at: Timestamp,
    },
    /// It is not.
    Closed {
        /// Next time that it opens; none when it never does, because it lasts no time.
        begins_at: Option<Timestamp>,
    },
}

/// Whether `maintenance` is open at the wall-clock time `now`, which is `local` in the house.
///
/// The seconds come from `now`: time zones differ by whole minutes.
pub fn window(maintenance: &Maintenance, now: Timestamp, local: LocalTime) -> Window {
    let lasts = i64::try_from(maintenance.lasts.as_millis()).unwrap_or(i64::MAX).min(DAY_MS);
    if lasts == 0 {
        return Window::Closed { begins_at: None };
    }
    let day = WEEK.iter().position(|day| *day == local.day).and_then(|day| i64::try_from(day).ok());
    let into_week = day.unwrap_or(0) * DAY_MS
        + i64::from(local.minute.min(1_439)) * MINUTE_MS
        + now.0.rem_euclid(MINUTE_MS);
    // Begins relative to now: those of last week reach into this one, those of next week come after this one.
    let mut begins: Vec<i64> = begins_in_week(maintenance)
        .into_iter()
        .flat_map(|begin| [begin - WEEK_MS, begin, begin + WEEK_MS])
        .map(|begin| begin - into_week)
        .collect();
    begins.sort_unstable();
    let open_until = begins.iter().fold(None, |until: Option<i64>, begin| match until {
        Some(until) if *begin <= until => Some(until.max(begin + lasts)),
        Some(until) => Some(until),
        None => (*begin <= 0 && begin + lasts > 0).then_some(begin + lasts),
    });
    match open_until {
        Some(until) => Window::Open { ends_at: after_ms(now, until) },
        None => {
            let next = begins.into_iter().find(|begin| *begin > 0);
            Window::Closed { begins_at: next.map(|begin| after_ms(now, begin)) }
        }
    }
}

fn after_ms(now: Timestamp, ms: i64) -> Timestamp {
    now.after(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

/// Milliseconds after the beginning of Monday at which the window opens.
fn begins_in_week(maintenance: &Maintenance) -> Vec<i64> {
    let at = i64::from(maintenance.at_minute.min(1_439)) * MINUTE_MS;
    let is_meant = |day: &Weekday| maintenance.days.is_empty() || maintenance.days.contains(day);
    let days = (0_i64..).zip(WEEK).filter(|(_, day)| is_meant(day));
    days.map(|(index, _)| index * DAY_MS + at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::unit::parse_duration;
    use proptest::prelude::*;

    fn maintenance(days: &[Weekday], at_minute: u16, lasts: Duration) -> Maintenance {
        Maintenance {
            name: "nightly".to_owned(),
            days: days.to_vec(),
            at_minute,
            lasts,
            services: Vec::new(),
            why: "backup".to_owned(),
        }
    }

    /// `expected`: `open 30m` or `closed 1d`, the span until that changes; half a minute into `local`.
    #[track_caller]
    fn check(days: &[Weekday], at: (u16, &str), local: (Weekday, u16), expected: &str) {
        let maintenance = maintenance(days, at.0, parse_duration(at.1).unwrap());
        let now = Timestamp(1_000_000 * MINUTE_MS + 30_000);
        let local = LocalTime { day: local.0, minute: local.1 };
        let (word, span) = expected.split_once(' ').unwrap();
        let changes_at = now.after(parse_duration(span).unwrap());
        let expected = match word {
            "open" => Window::Open { ends_at: changes_at },
            _ => Window::Closed { begins_at: Some(changes_at) },
        };
        assert_eq!(window(&maintenance, now, local), expected, "{days:?} {at:?} at {local:?}");
    }

    use Weekday::{Fri, Mon, Sat, Sun, Tue, Wed};

    #[test]
    fn a_window_opens_at_its_minute_and_closes_after_its_time() {
        check(&[Tue], (180, "1h"), (Tue, 179), "closed 30s");
        check(&[Tue], (180, "1h"), (Tue, 180), "open 3570s");
        check(&[Tue], (180, "1h"), (Tue, 239), "open 30s");
        check(&[Tue], (180, "1h"), (Tue, 240), "closed 601170s");
        check(&[Tue], (180, "1h"), (Mon, 200), "closed 85170s");
    }

    #[test]
    fn a_window_reaches_over_midnight_and_over_the_end_of_the_week() {
        check(&[Fri], (1_380, "3h"), (Sat, 60), "open 3570s");
        check(&[Fri], (1_380, "3h"), (Sat, 120), "closed 593970s");
        check(&[Fri], (1_380, "3h"), (Fri, 60), "closed 79170s");
        check(&[Sun], (1_380, "3h"), (Mon, 60), "open 3570s");
        check(&[Sun], (1_380, "3h"), (Tue, 60), "closed 511170s");
    }

    #[test]
    fn no_days_mean_every_day() {
        check(&[], (0, "1h"), (Wed, 0), "open 3570s");
        check(&[], (0, "1h"), (Wed, 60), "closed 82770s");
    }

    #[test]
    fn windows_that_touch_are_one() {
        check(&[Mon, Tue], (720, "1d"), (Mon, 720), "open 172770s");
        check(&[Mon, Tue, Wed], (0, "1d"), (Tue, 1_439), "open 86430s");
    }

    #[test]
    fn a_window_longer_than_a_day_is_a_day() {
        check(&[Mon], (0, "9d"), (Mon, 1_439), "open 30s");
    }

    #[test]
    fn a_window_without_length_never_opens() {
        let local = LocalTime { day: Mon, minute: 0 };
        let never = maintenance(&[], 0, Duration::ZERO);
        assert_eq!(window(&never, Timestamp(0), local), Window::Closed { begins_at: None });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Minute by minute, against a model that only counts minutes since the last begin.
        #[test]
        fn it_is_open_exactly_when_it_began_less_than_its_time_ago(
            chosen in proptest::collection::vec(0..7_usize, 0..4),
            at_minute in 0..1_440_u16,
            lasts in 1..=1_440_i64,
            at in 0..10_080_i64,
        ) {
            let days: Vec<Weekday> = chosen.iter().map(|day| WEEK[*day]).collect();
            let lasts_span = Duration::from_secs(u64::try_from(lasts * 60).unwrap());
            let maintenance = maintenance(&days, at_minute, lasts_span);
            let is_open = |minute: i64| {
                (0..lasts).any(|ago| {
                    let then = (minute - ago).rem_euclid(10_080);
                    let day = WEEK[usize::try_from(then / 1_440).unwrap()];
                    then % 1_440 == i64::from(at_minute) && (days.is_empty() || days.contains(&day))
                })
            };
            let local = LocalTime {
                day: WEEK[usize::try_from(at / 1_440).unwrap()],
                minute: u16::try_from(at % 1_440).unwrap(),
            };
            let now = Timestamp(at * MINUTE_MS);
            let minutes_until = |until: Timestamp| (until.0 - now.0) / MINUTE_MS;
            match window(&maintenance, now, local) {
                Window::Open { ends_at } => {
                    prop_assert!(is_open(at) && is_open(at + minutes_until(ends_at) - 1));
                    // One that never closes is answered for as far as was looked.
                    prop_assert!(!is_open(at + minutes_until(ends_at)) || minutes_until(ends_at) > 7_200);
                }
                Window::Closed { begins_at } => {
                    let begins_at = begins_at.unwrap();
                    prop_assert!(!is_open(at) && is_open(at + minutes_until(begins_at)));
                    prop_assert!(!is_open(at + minutes_until(begins_at) - 1));
                }
            }
        }
    }
}
