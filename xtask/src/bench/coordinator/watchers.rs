//! How long a change of the registry takes to reach everybody who watches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use super::house::{FLEET, FLEETS, House, fleet};
use super::http::Line;
use super::problem;
use crate::error::TaskError;

pub(super) const WATCHERS: usize = 50;
pub(super) const CHANGES: usize = 200;
/// Numbers from here on belong to changes that are not counted.
const WAKING: usize = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(20);
/// As the plan's default says; all instances of all fleets report in it.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Over all changes and all watchers.
pub(super) struct Spread {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Who saw which change, and when.
struct Seen {
    change: usize,
    at: Instant,
}

pub(super) fn measure(house: &House) -> Result<Spread, TaskError> {
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (told, seen) = channel();
        let enough = &enough;
        let watch = |number: usize| {
            let told = told.clone();
            scope.spawn(move || match number % 2 {
                0 => by_events(house, &told, enough),
                _ => by_long_poll(house, &told, enough),
            })
        };
        let mut threads: Vec<_> = (0..WATCHERS).map(watch).collect();
        drop(told);
        threads.push(scope.spawn(move || beat(house, enough)));
        let spread = changes(house, &seen);
        enough.store(true, Ordering::Relaxed);
        // A last change lets everybody look up and see that it is over.
        change(&mut Line::tcp(house.port())?, house, 2 * WAKING)?;
        for thread in threads {
            thread.join().expect("a watcher does not panic")?;
        }
        spread
    })
}

fn change(line: &mut Line, house: &House, number: usize) -> Result<(), TaskError> {
    let body = json!({ "instance": "i1", "metadata": { "mark": mark(number) } }).to_string();
    let path = format!("/api/services/{}", fleet(1));
    line.ask("PATCH", &path, house.fleet_token(1), &body).map(drop)
}

fn mark(number: usize) -> String {
    format!("change-{number}-")
}

/// The change that a text tells of.
fn marked(text: &str) -> Option<usize> {
    let (_, rest) = text.rsplit_once("\"change-")?;
    rest.split('-').next()?.parse().ok()
}

/// One change after the other; each is waited for by everybody.
fn changes(house: &House, seen: &Receiver<Seen>) -> Result<Spread, TaskError> {
    let mut line = Line::tcp(house.port())?;
    wake(house, &mut line, seen)?;
    let mut times_ms = Vec::new();
    for number in 1..=CHANGES {
        let begun = Instant::now();
        change(&mut line, house, number)?;
        let mut missing = WATCHERS;
        while missing > 0 {
            match seen.recv_timeout(PATIENCE) {
                Ok(Seen { change, at }) if change == number => {
                    times_ms.push(at.duration_since(begun).as_secs_f64() * 1000.0);
                    missing -= 1;
                }
                // An earlier one that somebody is told of twice.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(problem(format!("{missing} watchers did not see change {number}")));
                }
            }
        }
    }
    Ok(spread(times_ms))
}

/// Changes that are not counted, until one of them was seen by everybody.
fn wake(house: &House, line: &mut Line, seen: &Receiver<Seen>) -> Result<(), TaskError> {
    let begun = Instant::now();
    for number in WAKING.. {
        change(line, house, number)?;
        let mut awake = 0;
        while let Ok(Seen { change, .. }) = seen.recv_timeout(Duration::from_millis(500)) {
            awake += usize::from(change == number);
            if awake == WATCHERS {
                return Ok(());
            }
        }
        if begun.elapsed() > PATIENCE {
            return Err(problem(format!("only {awake} of {WATCHERS} watchers see a change")));
        }
    }
    Ok(())
}

fn spread(mut times_ms: Vec<f64>) -> Spread {
    times_ms.sort_by(f64::total_cmp);
    let at = |share: f64| times_ms.get((times_ms.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    Spread { p50_ms: at(0.5), p99_ms: at(0.99) }
}

fn by_events(house: &House, told: &Sender<Seen>, enough: &AtomicBool) -> Result<(), TaskError> {
    let mut line = Line::tcp(house.port())?;
    line.begin_events("/api/watch")?;
    while !enough.load(Ordering::Relaxed) {
        let text = line.text()?;
        if let Some(change) = marked(&text) {
            // Nobody listens any more: it is over.
            let _ = told.send(Seen { change, at: Instant::now() });
        }
    }
    Ok(())
}

fn by_long_poll(house: &House, told: &Sender<Seen>, enough: &AtomicBool) -> Result<(), TaskError> {
    let mut line = Line::tcp(house.port())?;
    let mut revision = line.ask("GET", "/api/services", "", "")?["revision"].as_u64().unwrap_or(0);
    while !enough.load(Ordering::Relaxed) {
        let answer = line.ask("GET", &format!("/api/watch?wait_s=5&revision={revision}"), "", "")?;
        let at = Instant::now();
        revision = answer["revision"].as_u64().unwrap_or(revision);
        for change in answer["changes"].as_array().into_iter().flatten() {
            if let Some(change) = marked(&change.to_string()) {
                let _ = told.send(Seen { change, at });
            }
        }
    }
    Ok(())
}

/// Heartbeats of every instance, evenly over the interval.
fn beat(house: &House, enough: &AtomicBool) -> Result<(), TaskError> {
    let mut line = Line::tcp(house.port())?;
    let pause = HEARTBEAT / u32::try_from(FLEETS * FLEET).unwrap_or(u32::MAX);
    for at in (0..FLEETS * FLEET).cycle() {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        let (number, instance) = (at % FLEETS + 1, at / FLEETS + 1);
        let body = json!({ "instance": format!("i{instance}"), "load": 0.5 }).to_string();
        let path = format!("/api/services/{}/heartbeat", fleet(number));
        line.ask("POST", &path, house.fleet_token(number), &body)?;
        std::thread::sleep(pause);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_known_by_its_mark() {
        let told = json!({ "metadata": { "mark": mark(17) } }).to_string();
        assert_eq!(marked(&format!("data: {told}")), Some(17));
        assert_eq!(marked(": heartbeat"), None);
    }

    #[test]
    fn the_spread_is_taken_from_the_sorted_times() {
        let found = spread((1..=100).rev().map(f64::from).collect());
        assert_eq!((found.p50_ms, found.p99_ms), (51.0, 100.0));
    }
}
