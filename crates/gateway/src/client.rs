//! What one client connection is doing.
//!
//! Connections carry no timers of their own. They note what they are doing since when (coarsely), and
//! one sweep over all of them ends those that take too long: thousands of idle connections cost nothing.

use crate::limits::{HEAD_BYTES_MAX, Limits};
use http::HeaderValue;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Between requests.
    Idle,
    /// A request head has begun.
    Head,
    /// A request is with an instance; its own deadline counts.
    Waiting,
    /// The answer's body is under way.
    Body,
}

/// What the sweep or the drain asks of a connection.
const SIGNAL_NONE: u8 = 0;
const SIGNAL_DRAIN: u8 = 1;
const SIGNAL_CLOSE: u8 = 2;

/// Shared by the connection's task, its request and the sweep.
#[derive(Debug)]
pub(crate) struct ClientState {
    pub(crate) address: IpAddr,
    /// The address as header value, made once.
    pub(crate) forwarded_for: HeaderValue,
    phase: AtomicU8,
    since_ms: AtomicU64,
    coarse_ms: Arc<AtomicU64>,
    signal: AtomicU8,
    waker: Mutex<Option<Waker>>,
    /// The head being read, for what the HTTP library folds away before we see it.
    head: Mutex<Vec<u8>>,
    is_answering: AtomicBool,
}

impl ClientState {
    pub(crate) fn new(address: IpAddr, coarse_ms: Arc<AtomicU64>) -> ClientState {
        let forwarded_for = HeaderValue::from_str(&address.to_string()).expect("an address is visible ASCII");
        let since_ms = AtomicU64::new(coarse_ms.load(Ordering::Relaxed));
        ClientState {
            address,
            forwarded_for,
            phase: AtomicU8::new(Phase::Idle as u8),
            since_ms,
            coarse_ms,
            signal: AtomicU8::new(SIGNAL_NONE),
            waker: Mutex::new(None),
            head: Mutex::new(Vec::new()),
            is_answering: AtomicBool::new(false),
        }
    }

    /// Progress was made.
    pub(crate) fn touch(&self) {
        self.since_ms.store(self.coarse_ms.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn begin_request(&self) {
        self.is_answering.store(true, Ordering::Relaxed);
        self.enter(Phase::Waiting);
    }

    pub(crate) fn begin_body(&self) {
        self.enter(Phase::Body);
    }

    pub(crate) fn end_request(&self) {
        self.enter(Phase::Idle);
    }

    /// Whether the head of the request just begun names `Content-Length` beside `Transfer-Encoding`.
    ///
    /// The HTTP library obeys the latter and hides the former, which is allowed but forgives what only
    /// a smuggler sends. A head that arrived together with the one before it is not kept here; for it
    /// the library's way, which closes the connection after the answer, has to do.
    pub(crate) fn head_has_two_lengths(&self, method: &str) -> bool {
        let head = self.head();
        let text = head.trim_ascii_start();
        let end = text.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(text.len());
        text.starts_with(method.as_bytes())
            && text[..end]
                .split(|byte| *byte == b'\n')
                .any(|line| line.len() > 14 && line[..14].eq_ignore_ascii_case(b"content-length"))
    }

    /// Forgets the head; called once per request so that the next one begins clean.
    pub(crate) fn forget_head(&self) {
        self.head().clear();
    }

    /// Asks the connection to end after the request under way, or at once when there is none.
    pub(crate) fn drain(&self) {
        self.raise(SIGNAL_DRAIN);
    }

    /// Ends the connection, whatever it is doing.
    pub(crate) fn close(&self) {
        self.raise(SIGNAL_CLOSE);
    }

    pub(crate) fn has_request(&self) -> bool {
        matches!(self.phase.load(Ordering::Relaxed), phase if phase >= Phase::Waiting as u8)
    }

    /// Closes the connection when its phase has lasted too long.
    pub(crate) fn sweep(&self, now_ms: u64, limits: &Limits) {
        let phase = self.phase.load(Ordering::Relaxed);
        let limit = match phase {
            phase if phase == Phase::Idle as u8 => limits.keep_alive,
            phase if phase == Phase::Head as u8 => limits.head,
            phase if phase == Phase::Body as u8 => limits.body_idle,
            _ => Duration::MAX,
        };
        let lasted_ms = now_ms.saturating_sub(self.since_ms.load(Ordering::Relaxed));
        if u128::from(lasted_ms) > limit.as_millis() {
            self.close();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.signal.load(Ordering::Relaxed) == SIGNAL_DRAIN
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.signal.load(Ordering::Relaxed) == SIGNAL_CLOSE
    }

    /// Tells the connection's task, which never changes its waker.
    pub(crate) fn wake_me(&self, context: &Context<'_>) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
    }

    fn raise(&self, signal: u8) {
        self.signal.fetch_max(signal, Ordering::Relaxed);
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.touch();
    }

    /// Whether nothing that is written can be the answer to a request.
    pub(crate) fn has_unanswered_head(&self) -> bool {
        !self.is_answering.load(Ordering::Relaxed)
    }

    /// The last answer is written; what still comes in is thrown away, within the time of a head.
    pub(crate) fn begin_linger(&self) {
        self.enter(Phase::Head);
    }

    /// Bytes came in.
    pub(crate) fn received(&self, bytes: &[u8]) {
        let phase = self.phase.load(Ordering::Relaxed);
        if phase == Phase::Idle as u8 {
            self.is_answering.store(false, Ordering::Relaxed);
            self.enter(Phase::Head);
        } else if phase != Phase::Head as u8 {
            return self.touch();
        }
        // A head gets its time from its first byte on, however steadily it drips.
        let mut head = self.head();
        let room = HEAD_BYTES_MAX.saturating_sub(head.len()).min(bytes.len());
        head.extend_from_slice(&bytes[..room]);
    }

    fn head(&self) -> MutexGuard<'_, Vec<u8>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
