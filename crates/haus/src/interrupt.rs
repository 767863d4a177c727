//! Ctrl-C for commands that must not end in the middle: whoever listens says whether it is a wish or ends the
//! process. It does not know what is wished.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// The exit status of a process that SIGINT ended, as shells write it.
const ENDED_BY_INTERRUPT: i32 = 128 + 2;

/// What becomes of the process that was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It ends by itself, soon.
    GoOn,
    /// It ends at once: what it was doing on hosts is brought into order by the next command that reaches
    /// them.
    EndNow,
}

/// Calls `hear` at each Ctrl-C or SIGTERM.
///
/// # Errors
/// No thread can be started, or signals cannot be received.
pub(crate) fn on_each(hear: impl Fn() -> Heard + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupts, mut ends) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("interrupts".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! { _ = interrupts.recv() => {}, _ = ends.recv() => {} }
                match hear() {
                    Heard::GoOn => {}
                    Heard::EndNow => break,
                }
            }
            #[allow(clippy::exit, reason = "whoever asks twice does not want to wait for an order")]
            std::process::exit(ENDED_BY_INTERRUPT);
        });
    })?;
    Ok(())
}
