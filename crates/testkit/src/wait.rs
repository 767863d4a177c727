//! Waiting for a condition with a deadline. The only place in all tests that sleeps.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Returns as soon as `condition` holds.
///
/// # Panics
/// When it does not within `deadline`; names `what` was waited for.
#[track_caller]
pub fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, deadline, || condition().then_some(()));
}

/// Returns the first value that `get` finds.
///
/// # Panics
/// When it finds none within `deadline`; names `what` was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, deadline: Duration, mut get: impl FnMut() -> Option<T>) -> T {
    let mut value = None;
    let found = holds_within(deadline, || {
        value = get();
        value.is_some()
    });
    assert!(found, "waited {deadline:?} in vain: {what}");
    value.expect("the condition was that there is one")
}

/// Whether `condition` comes to hold within `deadline`.
pub(crate) fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        // Looked at once more after the deadline: a machine under load may have kept us from looking before.
        let late = begun.elapsed() >= deadline;
        if condition() {
            return true;
        }
        if late {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_condition() {
        let mut looks = 0;
        wait_until("the third look", Duration::from_secs(5), || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
    }

    #[test]
    #[should_panic(expected = "in vain: a miracle")]
    fn waiting_in_vain_names_what_was_waited_for() {
        wait_until("a miracle", Duration::from_millis(1), || false);
    }
}
