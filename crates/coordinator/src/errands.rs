//! What runs beside the engine and the API: rotations and alerts, on a thread and a runtime of their own,
//! so that a slow server or receiver delays neither decisions nor answers.

use crate::alarms::Alarms;
use crate::desk::Desk;
use crate::rotating::Rotating;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// After a task broke off, it begins again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Starts the thread. It ends with the process.
///
/// # Errors
/// There is no thread or runtime to be had.
pub(crate) fn start(desk: &Arc<Desk>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let desk = Arc::clone(desk);
    let work = move || {
        runtime.block_on(async {
            tokio::join!(
                keep(&desk, "the driver of rotations", Rotating::run),
                keep(&desk, "the driver of alerts", Alarms::run),
            );
        });
    };
    std::thread::Builder::new().name("errands".to_owned()).spawn(work).map(drop)
}

/// A task that ended by a mistake of ours begins again; everything it needs is in the ledger.
async fn keep<F>(desk: &Arc<Desk>, what: &str, run: fn(Arc<Desk>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        if tokio::spawn(run(Arc::clone(desk))).await.is_err() {
            desk.note(&format!("{what} broke off and begins again"));
        }
        sleep(AGAIN_AFTER).await;
    }
}
