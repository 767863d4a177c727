//! `haus down`: drain the house and wait until nothing of it is left.

use super::{block_on, client, order_failure};
use crate::arguments::Down;
use crate::exit::{Code, DONE, FAILED, Failure, UNKNOWN};
use crate::{locate, terminal};
use haus_client::Client;
use haus_coordinator::Places;
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// Longer than the parent itself waits for a core that says nothing.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a draining core is asked whether it still drains.
const ASK_EVERY: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

pub(crate) fn cmd_down(arguments: &Down) -> Result<Code, Failure> {
    let places = locate::running(arguments.path.as_deref(), arguments.state.as_deref())?;
    let Some(holder) = haus_supervise::lock::Lock::holder(places.state()) else {
        terminal::line(&format!("nothing to do: no house runs in {}", places.state().display()));
        return Ok(DONE);
    };
    let client = client(&places);
    match block_on(client.down())? {
        Ok(done) => terminal::line(&done.message),
        // Without its core the parent itself stops everything; asking it a second time does no harm.
        Err(error) if error.is_transient() => terminate(holder.process.pid)?,
        Err(error) => return Err(order_failure(&error, &places)),
    }
    wait(&client, &places)
}

fn terminate(pid: u32) -> Result<(), Failure> {
    let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let sent = process.map(|process| rustix::process::kill_process(process, rustix::process::Signal::TERM));
    match sent {
        Some(Ok(())) => {
            terminal::line(&format!(
                "the core does not answer; asked the parent (pid {pid}) to stop everything"
            ));
            Ok(())
        }
        // The house has come to its end meanwhile.
        Some(Err(Errno::SRCH)) => Ok(()),
        Some(Err(error)) => Err(Failure::new(FAILED, format!("cannot send SIGTERM to pid {pid}: {error}"))
            .hint("a house obeys its own account and root; use one of them")),
        None => Err(Failure::new(UNKNOWN, "the lock names no process").hint("see `ps` for `haus parent`")),
    }
}

/// How long a drain takes is the plan's to say (`stop.within`), so patience ends only while the core is
/// silent; the parent limits the rest.
fn wait(client: &Client, places: &Places) -> Result<Code, Failure> {
    let begun = Instant::now();
    let mut last_sign = begun;
    while last_sign.elapsed() < PATIENCE {
        let next_question = Instant::now() + ASK_EVERY;
        while Instant::now() < next_question {
            if haus_supervise::lock::Lock::holder(places.state()).is_none() {
                terminal::line(&format!("down after {:.1} s", begun.elapsed().as_secs_f64()));
                return Ok(DONE);
            }
            std::thread::sleep(POLL);
        }
        if block_on(client.status())?.is_ok_and(|status| status.draining) {
            last_sign = Instant::now();
        }
    }
    Err(Failure::new(UNKNOWN, format!("the house still runs after {} s", begun.elapsed().as_secs()))
        .hint("see `haus status` for what does not stop"))
}
