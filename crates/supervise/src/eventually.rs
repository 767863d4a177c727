//! For tests: waits for a condition with a deadline.
//! It knows nothing about what is waited for.

use std::time::{Duration, Instant};

/// Looks again and again until `holds`, and fails the test after ten seconds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "not within ten seconds: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
