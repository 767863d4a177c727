//! Ctrl-C for commands that must not end in the middle: the first one is a wish, the second one ends the
//! process. It does not know what is wished.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// The exit status of a process that SIGINT ended, as shells write it.
const ENDED_BY_INTERRUPT: i32 = 128 + 2;

/// Calls `wish` at the first Ctrl-C or SIGTERM. The second ends the process at once: what it was doing on
/// hosts is brought into order by the next command that reaches them.
///
/// # Errors
/// No thread can be started, or signals cannot be received.
pub(crate) fn on_first(wish: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupts, mut ends) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("interrupts".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupts.recv() => {}, _ = ends.recv() => {} }
            wish();
            tokio::select! { _ = interrupts.recv() => {}, _ = ends.recv() => {} }
            #[allow(clippy::exit, reason = "whoever asks twice does not want to wait for an order")]
            std::process::exit(ENDED_BY_INTERRUPT);
        });
    })?;
    Ok(())
}
