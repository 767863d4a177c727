//! Waiting for SIGTERM and SIGINT. It knows nothing of what ends then.

/// Proof that the ending signals are blocked in this thread and in those it starts.
pub(crate) struct EndingSignals(libc::sigset_t);

/// Blocks SIGTERM and SIGINT; to be called before the first thread is started.
pub(crate) fn block_ending_signals() -> EndingSignals {
    // SAFETY: sigemptyset initialises the set before it is used, and all pointers live through the calls.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        EndingSignals(set)
    }
}

impl EndingSignals {
    /// Returns when one of the signals has arrived.
    pub(crate) fn wait(&self) {
        let mut signal = 0;
        // SAFETY: `block_ending_signals` initialised the set, `signal` is a valid place for the result.
        unsafe {
            libc::sigwait(&raw const self.0, &raw mut signal);
        }
    }
}
