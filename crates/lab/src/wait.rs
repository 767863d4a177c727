//! Waiting for something to hold, with a deadline. The lab's hosts are other machines: they are asked, again
//! and again.

use crate::error::LabError;
use std::path::Path;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(25);

/// Waits until `get` finds something; `look_at` is named when it does not in time.
pub(crate) fn wait_for<T>(
    what: &str,
    deadline: Duration,
    look_at: &Path,
    mut get: impl FnMut() -> Option<T>,
) -> Result<T, LabError> {
    let begun = Instant::now();
    loop {
        let late = begun.elapsed() >= deadline;
        if let Some(found) = get() {
            return Ok(found);
        }
        if late {
            return Err(LabError::Late {
                what: what.to_owned(),
                waited: deadline,
                look_at: look_at.to_owned(),
            });
        }
        std::thread::sleep(PAUSE);
    }
}
