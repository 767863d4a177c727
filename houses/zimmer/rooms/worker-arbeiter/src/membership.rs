//! The thread in which the room is a member of its house, and how busy the room was meanwhile. What is said
//! to the coordinator and when is in `member`.

use std::hash::{BuildHasher as _, Hasher as _};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::member::{Identity, Member};
use crate::say;

/// `/proc` counts processor time in these (USER_HZ, part of the kernel's interface).
const TICKS_PER_SECOND: f64 = 100.0;

/// A running thread, or nothing where there is no coordinator.
pub(crate) struct Membership {
    end: Option<Sender<()>>,
    left: Option<Receiver<()>>,
}

impl Membership {
    /// Begins, when the environment says where the coordinator is.
    pub(crate) fn begin(port: u16) -> Membership {
        let Ok(url) = std::env::var("HAUS_API") else { return Membership { end: None, left: None } };
        let api = match Api::parse(&url) {
            Ok(api) => api,
            Err(error) => {
                say(&format!("member: {error}"));
                return Membership { end: None, left: None };
            }
        };
        let file = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let beside = || Some(file("CREDENTIALS_DIRECTORY")?.join("HAUS_ENROLMENT"));
        let identity = Identity {
            name: std::env::var("HAUS_SERVICE").unwrap_or_else(|_| "worker-arbeiter".to_owned()),
            port,
            enrolment: file("HAUS_ENROLMENT_FILE").or_else(beside),
        };
        let mut member = Member::new(identity, Box::new(move |ask| api.send(ask)));
        let (end, ended) = mpsc::channel();
        let (tell, left) = mpsc::channel();
        std::thread::spawn(move || {
            let mut share = ProcessorShare::default();
            let mut pause = Duration::ZERO;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(pause) {
                pause = member.step(Instant::now(), share.since(Instant::now(), ticks()), spread());
            }
            member.leave();
            let _ = tell.send(());
        });
        Membership { end: Some(end), left: Some(left) }
    }

    /// Begins to deregister; does not wait.
    pub(crate) fn end(&self) {
        let _ = self.end.as_ref().map(|end| end.send(()));
    }

    /// Waits until that is done, but at most `within`.
    pub(crate) fn left(&self, within: Duration) {
        let _ = self.left.as_ref().map(|left| left.recv_timeout(within));
    }
}

/// How busy the process was: its processor time beside the time that passed.
#[derive(Default)]
struct ProcessorShare {
    last: Option<(Instant, u64)>,
}

impl ProcessorShare {
    fn since(&mut self, now: Instant, ticks: u64) -> f64 {
        let last = self.last.replace((now, ticks));
        last.map_or(0.0, |(then, before)| {
            let seconds = now.saturating_duration_since(then).as_secs_f64().max(0.001);
            ticks.saturating_sub(before) as f64 / TICKS_PER_SECOND / seconds
        })
    }
}

fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; the numbers start behind the last one.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// A number from 0 to 1 that differs between rooms; nothing secret depends on it.
fn spread() -> f64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    (random % 1000) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_the_time_since_the_last_question() {
        let (mut share, begun) = (ProcessorShare::default(), Instant::now());
        assert_eq!(share.since(begun, 500), 0.0);
        assert_eq!(share.since(begun + Duration::from_secs(10), 900), 0.4);
    }

    #[test]
    fn a_spread_is_a_share() {
        assert!((0..100).all(|_| (0.0..1.0).contains(&spread())));
    }
}
