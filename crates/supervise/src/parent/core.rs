//! The core as a process and as a conversation: starting it, frames in, frames out, back-off after a crash.
//! It does not carry out orders; the house does.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::ParentOptions;
use crate::backoff::Backoff;
use crate::link::CORE_FD_VARIABLE;
use crate::notify::NOTIFY_VARIABLE;
use crate::sys;
use crate::wire::{FrameDecoder, Order, Report, encode};

const READ_BYTES: usize = 64 << 10;
/// Orders are read in bounded rounds, so that a talkative core cannot starve the logs.
const READS_PER_ROUND: usize = 16;
/// A core that never gives an order is broken in a way that starting it again does not mend.
const SILENT_STARTS_MAX: u32 = 5;

/// The core, running or waiting to be started.
pub(super) struct Core {
    pid: Option<u32>,
    link: Option<Link>,
    start_at_ms: Option<u64>,
    backoff: Backoff,
    starts: u32,
    /// Any core of this parent has given an order.
    heard: bool,
    /// What the next core has to hear after its greeting.
    queued: Vec<Report>,
    /// What this core was told but may not have read; a crash now would lose it.
    unread: Vec<Report>,
}

struct Link {
    stream: UnixStream,
    decoder: FrameDecoder,
    outgoing: Vec<u8>,
}

/// Why the conversation ended.
pub(super) struct Broken;

impl Core {
    pub(super) fn new() -> Core {
        Core {
            pid: None,
            link: None,
            start_at_ms: Some(0),
            backoff: Backoff::default(),
            starts: 0,
            heard: false,
            queued: Vec::new(),
            unread: Vec::new(),
        }
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub(super) fn starts(&self) -> u32 {
        self.starts
    }

    pub(super) fn start_at_ms(&self) -> Option<u64> {
        self.start_at_ms
    }

    pub(super) fn never_start_again(&mut self) {
        self.start_at_ms = None;
    }

    /// Whether a report would reach a core.
    pub(super) fn listens(&self) -> bool {
        self.link.is_some()
    }

    pub(super) fn stream(&self) -> Option<(&UnixStream, bool)> {
        self.link.as_ref().map(|link| (&link.stream, !link.outgoing.is_empty()))
    }

    /// Starts the process; its first message has to be `greeting`.
    pub(super) fn start(
        &mut self,
        options: &ParentOptions,
        now_ms: u64,
        greeting: &Report,
    ) -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let their_fd = theirs.as_raw_fd();
        let parent_pid = std::process::id();
        let (program, arguments) =
            options.core_argv.split_first().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(&options.core_env)
            .env(CORE_FD_VARIABLE, their_fd.to_string())
            // glibc gives every thread an arena of its own, up to eight per processor: tens of MiB that a
            // small house never uses.
            .env("MALLOC_ARENA_MAX", "2")
            .env_remove(NOTIFY_VARIABLE)
            .stdin(Stdio::null())
            // Ctrl-C is for the parent, which then asks the core to drain.
            .process_group(0);
        // SAFETY: only async-signal-safe calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                sys::unblock_signals()?;
                sys::set_close_on_exec(their_fd, false)?;
                sys::die_with_parent(parent_pid)
            });
        }
        self.backoff.handle_start(now_ms);
        self.start_at_ms = None;
        self.starts += 1;
        let child = command.spawn()?;
        self.pid = Some(child.id());
        self.link = Some(Link { stream: ours, decoder: FrameDecoder::new(), outgoing: Vec::new() });
        self.send(greeting);
        for report in std::mem::take(&mut self.queued) {
            self.send_or_queue(report);
        }
        Ok(())
    }

    /// Sends without ever waiting; what does not fit goes out when the core reads on.
    pub(super) fn send(&mut self, report: &Report) {
        if let (Some(link), Ok(frame)) = (self.link.as_mut(), encode(report)) {
            link.outgoing.extend_from_slice(&frame);
            // A broken pipe shows again, and is dealt with, when the link is read.
            let _ = link.flush();
        }
    }

    /// For reports that must not be lost: without the end of a run its key would stay busy for ever.
    pub(super) fn send_or_queue(&mut self, report: Report) {
        if self.link.is_none() {
            return self.queued.push(report);
        }
        self.forget_read();
        self.send(&report);
        self.unread.push(report);
    }

    /// The same for reports that say no more the second time: one of each kind waits for the next core.
    pub(super) fn send_or_queue_once(&mut self, report: Report) {
        for waiting in [&mut self.queued, &mut self.unread] {
            waiting.retain(|other| *other != report);
        }
        self.send_or_queue(report);
    }

    /// Whether something was sent that the core may not have read.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Forgets what the core has read: after a crash a wish to reload that was fulfilled long ago must not be
    /// told again, since the plan may be half edited by now.
    pub(super) fn forget_read(&mut self) {
        if self.link.as_ref().is_some_and(Link::is_all_read) {
            self.unread.clear();
        }
    }

    /// Writes what is waiting and reads what has come.
    pub(super) fn exchange(&mut self) -> (Vec<Order>, Result<(), Broken>) {
        let mut orders = Vec::new();
        let outcome = match self.link.as_mut() {
            Some(link) => link.flush().and_then(|()| link.read(&mut orders)),
            None => Ok(()),
        };
        self.heard |= !orders.is_empty();
        (orders, outcome)
    }

    /// The conversation is over; whatever the core still does is not heard.
    pub(super) fn hang_up(&mut self) {
        self.link = None;
        self.queued.append(&mut self.unread);
    }

    /// The process has ended. Returns the last orders, which it had sent before.
    pub(super) fn handle_end(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        loop {
            let (more, outcome) = self.exchange();
            let is_last = more.is_empty() || outcome.is_err();
            orders.extend(more);
            if is_last {
                break;
            }
        }
        self.pid = None;
        self.hang_up();
        orders
    }

    /// Plans the next start; `Err` with the number of tries when there is no hope.
    pub(super) fn handle_crash(&mut self, now_ms: u64) -> Result<(), u32> {
        let due_ms = self.backoff.handle_crash(now_ms);
        if !self.heard && self.backoff.crashes() >= SILENT_STARTS_MAX {
            return Err(self.starts);
        }
        self.start_at_ms = Some(due_ms);
        Ok(())
    }
}

impl Link {
    /// A socket that is closed forgets what was not read, so its word counts only while it is open: ask in
    /// this order.
    fn is_all_read(&self) -> bool {
        let fd = self.stream.as_raw_fd();
        self.outgoing.is_empty() && sys::unread_bytes(fd) == 0 && !sys::is_closed_by_peer(fd)
    }

    fn flush(&mut self) -> Result<(), Broken> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(0) => return Err(Broken),
                Ok(written) => drop(self.outgoing.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What the core said before it went away is still to be read.
                Err(_) => {
                    self.outgoing.clear();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, orders: &mut Vec<Order>) -> Result<(), Broken> {
        let mut buffer = zeroize::Zeroizing::new(vec![0; READ_BYTES]);
        for _ in 0..READS_PER_ROUND {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Broken),
                Ok(length) => self.decoder.feed(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
            while let Some(order) = self.decoder.next_value().map_err(|_| Broken)? {
                orders.push(order);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_reload_waits_once_for_the_next_core() {
        let mut core = Core::new();
        for _ in 0..3 {
            core.send_or_queue_once(Report::Reload);
        }
        assert_eq!((core.queued, core.unread), (vec![Report::Reload], Vec::new()));
    }

    #[test]
    fn what_a_core_has_read_is_not_told_to_the_next_one() {
        for read in [false, true] {
            let (ours, theirs) = UnixStream::pair().expect("pair");
            ours.set_nonblocking(true).expect("sets");
            let mut core = Core::new();
            core.link = Some(Link { stream: ours, decoder: FrameDecoder::new(), outgoing: Vec::new() });
            core.send_or_queue_once(Report::Reload);
            core.send_or_queue_once(Report::Reload);
            if read {
                let mut bytes = [0; 256];
                assert!((&theirs).read(&mut bytes).expect("reads") > 0);
            }
            core.forget_read();
            assert_eq!(core.has_unread(), !read);
            // The end itself must not pass for having read everything.
            drop(theirs);
            core.forget_read();
            core.hang_up();
            let expected = if read { Vec::new() } else { vec![Report::Reload] };
            assert_eq!((core.queued, core.unread), (expected, Vec::new()));
        }
    }
}
