//! The core's end of the line to its parent: blocking, for threads of the core's own.
//! It does not know what the core does with a report.

use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::sys;
use crate::wire::{FrameDecoder, FrameError, Order, Report, encode};

/// Environment variable with the number of the core's descriptor.
pub const CORE_FD_VARIABLE: &str = "HAUS_CORE_FD";
const READ_BYTES: usize = 64 << 10;

/// What can go wrong between core and parent.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The variable holds no usable descriptor.
    #[error("{CORE_FD_VARIABLE}={value} names no open socket")]
    Descriptor {
        /// What the variable holds.
        value: String,
    },
    /// The link was taken before; one process has one link.
    #[error("the link to the parent is already taken")]
    Taken,
    /// The parent has closed the link or has died: the core must end.
    #[error("the parent is gone")]
    ParentGone,
    /// Reading or writing failed.
    #[error("cannot talk to the parent")]
    Io {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A message could not be written or understood.
    #[error("cannot exchange messages with the parent")]
    Frame {
        /// Why.
        #[source]
        source: FrameError,
    },
}

/// The line to the parent.
#[derive(Debug)]
pub struct CoreLink {
    stream: UnixStream,
}

static TAKEN: AtomicBool = AtomicBool::new(false);

impl CoreLink {
    /// Takes the descriptor the parent left for us; `None` when this process was not started by a parent.
    pub fn from_env() -> Result<Option<CoreLink>, LinkError> {
        let Some(value) = std::env::var_os(CORE_FD_VARIABLE) else { return Ok(None) };
        let value = value.to_string_lossy().into_owned();
        let fd = value.parse::<RawFd>().ok().filter(|fd| *fd > 2);
        let is_open = |fd: &RawFd| sys::set_close_on_exec(*fd, true).is_ok();
        let Some(fd) = fd.filter(is_open) else { return Err(LinkError::Descriptor { value }) };
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(LinkError::Taken);
        }
        // SAFETY: the parent opened this descriptor for us, and `TAKEN` lets it be owned only once.
        let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
        if stream.peer_addr().is_err() {
            return Err(LinkError::Descriptor { value });
        }
        Ok(Some(CoreLink { stream }))
    }

    /// Wraps any stream; for tests of a core without a parent.
    pub fn from_stream(stream: UnixStream) -> CoreLink {
        CoreLink { stream }
    }

    /// One half to send orders from any thread, one to receive reports in one.
    pub fn split(self) -> Result<(CoreSender, CoreReceiver), LinkError> {
        let writing = self.stream.try_clone().map_err(|source| LinkError::Io { source })?;
        let sender = CoreSender { stream: Arc::new(Mutex::new(writing)) };
        Ok((
            sender,
            CoreReceiver { stream: self.stream, decoder: FrameDecoder::new(), buffer: vec![0; READ_BYTES] },
        ))
    }
}

/// Sends orders; clones share the line, and each order goes out whole.
#[derive(Debug, Clone)]
pub struct CoreSender {
    stream: Arc<Mutex<UnixStream>>,
}

impl CoreSender {
    /// Sends one order; returns when the kernel has all of it.
    pub fn send(&self, order: &Order) -> Result<(), LinkError> {
        let frame = encode(order).map_err(|source| LinkError::Frame { source })?;
        // A thread that panicked while writing leaves a broken stream, which the next write reports by
        // itself.
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(&frame).map_err(gone_or_io)
    }
}

/// Receives reports in the order the parent sent them.
pub struct CoreReceiver {
    stream: UnixStream,
    decoder: FrameDecoder,
    buffer: Vec<u8>,
}

impl CoreReceiver {
    /// Waits for the next report. `ParentGone` is final.
    pub fn recv(&mut self) -> Result<Report, LinkError> {
        loop {
            if let Some(report) = self.decoder.next_value().map_err(|source| LinkError::Frame { source })? {
                return Ok(report);
            }
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Err(LinkError::ParentGone),
                Ok(length) => self.decoder.feed(&self.buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(gone_or_io(error)),
            }
        }
    }
}

fn gone_or_io(source: std::io::Error) -> LinkError {
    if matches!(source.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset) {
        return LinkError::ParentGone;
    }
    LinkError::Io { source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FRAME_BYTES_MAX;

    #[test]
    fn orders_go_out_whole_and_reports_come_in_until_the_parent_is_gone() {
        let (parent, core) = UnixStream::pair().expect("pair");
        let (sender, mut receiver) = CoreLink::from_stream(core).split().expect("splits");
        sender.send(&Order::Ready).expect("sends");
        let mut parent_reads = FrameDecoder::new();
        let mut bytes = [0; 64];
        let length = (&parent).read(&mut bytes).expect("reads");
        parent_reads.feed(&bytes[..length]);
        assert_eq!(parent_reads.next_value().expect("decodes"), Some(Order::Ready));

        let huge = Order::Status { text: "x".repeat(FRAME_BYTES_MAX) };
        let refusal = sender.send(&huge).expect_err("refused");
        assert!(matches!(refusal, LinkError::Frame { source: FrameError::TooLong { .. } }), "{refusal:?}");
        // Nothing of it went out, so the line can still be used.
        sender.send(&Order::Ready).expect("sends");
        let length = (&parent).read(&mut bytes).expect("reads");
        parent_reads.feed(&bytes[..length]);
        assert_eq!(parent_reads.next_value().expect("decodes"), Some(Order::Ready));

        (&parent).write_all(&encode(&Report::Reload).expect("encodes")).expect("writes");
        assert_eq!(receiver.recv().expect("receives"), Report::Reload);
        drop(parent);
        assert!(matches!(receiver.recv(), Err(LinkError::ParentGone)));
        assert!(matches!(sender.send(&Order::Ready), Err(LinkError::ParentGone)));
    }
}
