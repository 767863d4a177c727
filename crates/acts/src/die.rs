//! Where a test may kill the process: every step that changes the disk or starts something calls [`step`].
//!
//! In a debug build the step whose number stands in `HAUS_REMOTE_DIE_AT` ends the process as `kill -9` would.
//! A build for hosts has nothing of this.

/// One step further.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn step() {}

/// One step further; perhaps the last.
#[cfg(debug_assertions)]
pub(crate) fn step() {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static STEPS: AtomicU64 = AtomicU64::new(0);
    static LAST: OnceLock<Option<u64>> = OnceLock::new();
    let last = LAST.get_or_init(|| std::env::var("HAUS_REMOTE_DIE_AT").ok()?.parse().ok());
    if Some(STEPS.fetch_add(1, Ordering::Relaxed) + 1) == *last {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
