//! Every limit of the data plane, in one place.

use rustix::process::{Resource, getrlimit};
use std::time::Duration;

/// Client connections where the system sets no closer limit.
const CONNECTIONS_MOST: u64 = 8192;
/// And where it leaves hardly anything: some must always come through.
const CONNECTIONS_LEAST: u64 = 16;
/// Descriptors of our process that are not the gateway's: store, logs, sockets, probes.
const FILES_KEPT: u64 = 256;

/// How long and how much. The defaults are for a house; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a request head to its last.
    pub head: Duration,
    /// How long a client connection may stay without a request.
    pub keep_alive: Duration,
    /// How long a body may make no progress, in either direction.
    pub body_idle: Duration,
    /// How long connecting to an instance may take.
    pub connect: Duration,
    /// How long an unused connection to an instance is kept.
    pub instance_idle: Duration,
    /// Unused connections kept per instance.
    pub instance_idle_max: usize,
    /// Client connections at one time; further ones wait in the system's queue. The default leaves room for
    /// the rest of the process below its soft limit of open files.
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(60),
            connect: Duration::from_secs(2),
            instance_idle: Duration::from_secs(30),
            instance_idle_max: 64,
            connections_max: connections_for(getrlimit(Resource::Nofile).current),
        }
    }
}

impl Limits {
    /// How often connections are looked at: precise enough for the shortest limit, cheap for the usual ones.
    pub(crate) fn tick(&self) -> Duration {
        let shortest = self.head.min(self.keep_alive).min(self.body_idle).min(self.instance_idle);
        (shortest / 10).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// Each client may cost two descriptors, its own and that of the instance that answers.
fn connections_for(files_max: Option<u64>) -> usize {
    let room = files_max.map_or(CONNECTIONS_MOST, |files| files.saturating_sub(FILES_KEPT) / 2);
    usize::try_from(room.clamp(CONNECTIONS_LEAST, CONNECTIONS_MOST)).unwrap_or(usize::MAX)
}

/// Longest request head in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Bodies up to this size are kept for a second attempt.
pub(crate) const REPLAY_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files_max: Option<u64>, expected: usize) {
        assert_eq!(connections_for(files_max), expected, "{files_max:?}");
    }

    #[test]
    fn clients_leave_descriptors_for_the_rest_of_the_process() {
        check(None, 8192);
        check(Some(1 << 20), 8192);
        check(Some(16_640), 8192);
        check(Some(16_638), 8191);
        check(Some(1024), 384);
        check(Some(256), 16);
        check(Some(0), 16);
        assert!((16..=8192).contains(&Limits::default().connections_max));
    }
}
