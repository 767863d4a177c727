//! Maintenance windows by the clock on the wall of the house: its local time zone. Decides nothing about
//! alerts.

use haus_model::alert::{Maintenance, Weekday};
use haus_model::house::House;
use haus_model::{ServiceName, Timestamp};
use haus_watch::alert::OpenWindow;
use haus_watch::maintenance::{LocalTime, Window, window};
use jiff::tz::TimeZone;

/// The windows that are open at `now` (wall clock).
pub(crate) fn open(house: &House, now: Timestamp) -> Vec<OpenWindow> {
    // Asked for each time: whoever moves the machine to another zone does not restart the house.
    open_in(&house.maintenance, now, &TimeZone::system())
}

/// The window that is over all of these services, if one is.
pub(crate) fn over(house: &House, now: Timestamp, services: &[ServiceName]) -> Option<String> {
    let windows = open(house, now).into_iter();
    let covers = |window: &OpenWindow| {
        window.services.is_empty() || services.iter().any(|service| window.services.contains(service))
    };
    windows.filter(covers).map(|window| window.name).next()
}

fn open_in(all: &[Maintenance], now: Timestamp, zone: &TimeZone) -> Vec<OpenWindow> {
    let Some(local) = local(now, zone) else { return Vec::new() };
    let open = all.iter().filter_map(|maintenance| match window(maintenance, now, local) {
        Window::Open { ends_at } => Some(OpenWindow {
            name: maintenance.name.clone(),
            services: maintenance.services.clone(),
            until: ends_at,
        }),
        Window::Closed { .. } => None,
    });
    open.collect()
}

/// None for times that no calendar has.
fn local(now: Timestamp, zone: &TimeZone) -> Option<LocalTime> {
    let time = jiff::Timestamp::from_millisecond(now.0).ok()?.to_zoned(zone.clone());
    let day = match time.weekday() {
        jiff::civil::Weekday::Monday => Weekday::Mon,
        jiff::civil::Weekday::Tuesday => Weekday::Tue,
        jiff::civil::Weekday::Wednesday => Weekday::Wed,
        jiff::civil::Weekday::Thursday => Weekday::Thu,
        jiff::civil::Weekday::Friday => Weekday::Fri,
        jiff::civil::Weekday::Saturday => Weekday::Sat,
        jiff::civil::Weekday::Sunday => Weekday::Sun,
    };
    let minute = u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).ok()?;
    Some(LocalTime { day, minute })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A window on Sundays from 02:00 for two hours, in a zone so many hours east of Greenwich.
    #[track_caller]
    fn check(time: &str, hours_east: i8, expected: Option<&str>) {
        let maintenance = Maintenance {
            name: "updates".to_owned(),
            days: vec![Weekday::Sun],
            at_minute: 120,
            lasts: Duration::from_secs(7_200),
            services: Vec::new(),
            why: "updates of the machine".to_owned(),
        };
        let zone = TimeZone::fixed(jiff::tz::offset(hours_east));
        let now = Timestamp(time.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let open = open_in(&[maintenance], now, &zone);
        assert_eq!(open.first().map(|window| window.until.to_string()).as_deref(), expected, "{time}");
    }

    #[test]
    fn a_window_follows_the_local_clock() {
        check("2026-11-22T01:00:00Z", 1, Some("2026-11-22T03:00:00.000Z"));
        check("2026-11-22T01:00:00Z", 0, None);
        check("2026-11-22T02:00:00Z", 0, Some("2026-11-22T04:00:00.000Z"));
        check("2026-11-21T18:30:00Z", 8, Some("2026-11-21T20:00:00.000Z"));
    }

    #[test]
    fn a_time_that_no_calendar_has_opens_nothing() {
        assert_eq!(local(Timestamp(i64::MAX), &TimeZone::UTC), None);
    }
}
