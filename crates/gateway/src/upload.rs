//! The request body on its way to an instance: counted, capped, replayable when it is small.

use crate::clock::Clock;
use bytes::Bytes;
use haus_model::Timestamp;
use http::header::{self, HeaderMap};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

/// The body of a request that is given to [`Handle::call`](crate::Handle::call). Whatever it knows of its
/// length (`size_hint`) is what the service is told; it is polled on the gateway's runtime.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A request body as it comes in.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// From a client's connection.
    Client(Incoming),
    /// From a call.
    Call(RequestBody),
}

impl Inbound {
    /// The length that is announced. For a client it is what its head says; a call's headers say nothing.
    pub(crate) fn declared_bytes(&self, headers: &HeaderMap) -> Option<u64> {
        match self {
            Inbound::Client(_) => headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
            Inbound::Call(body) => body.size_hint().exact(),
        }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Inbound::Client(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Inbound::Call(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Inbound::Client(body) => body.is_end_stream(),
            Inbound::Call(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Inbound::Client(body) => body.size_hint(),
            Inbound::Call(body) => body.size_hint(),
        }
    }
}

/// A request body.
#[derive(Debug)]
pub(crate) enum Upload {
    /// None.
    Empty,
    /// Read completely; can be sent again.
    Whole(Option<Bytes>),
    /// Passed on as it arrives; can be sent once.
    Stream(Box<UploadStream>),
}

/// A body that is passed on as it arrives.
#[derive(Debug)]
pub(crate) struct UploadStream {
    inbound: Inbound,
    /// What the service is told of its length.
    exact_bytes: Option<u64>,
    limit_bytes: u64,
    clock: Clock,
    progress: Arc<UploadProgress>,
}

/// What the request's own task may know of a body that travels in another one.
#[derive(Debug, Default)]
pub(crate) struct UploadProgress {
    bytes: AtomicU64,
    moved_at: AtomicI64,
    ended: AtomicBool,
    too_large: AtomicBool,
    broke_off: AtomicBool,
    waits_for_client: AtomicBool,
}

impl UploadProgress {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the last byte was passed on.
    pub(crate) fn moved_at(&self) -> Timestamp {
        Timestamp(self.moved_at.load(Ordering::Relaxed))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large.load(Ordering::Acquire)
    }

    /// Whether the client, not the instance, has ended it early.
    pub(crate) fn has_broken_off(&self) -> bool {
        self.broke_off.load(Ordering::Acquire)
    }

    /// Whether the next byte is the client's turn, not the instance's.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits_for_client.load(Ordering::Relaxed)
    }
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("broken off by the client")]
    Client(#[source] Box<dyn Error + Send + Sync>),
    #[error("not as long as announced")]
    Length,
}

impl Upload {
    pub(crate) fn stream(inbound: Inbound, limit_bytes: u64, clock: Clock) -> (Upload, Arc<UploadProgress>) {
        let progress = Arc::new(UploadProgress::default());
        progress.moved_at.store(clock.now().0, Ordering::Relaxed);
        let exact_bytes = inbound.size_hint().exact();
        let stream =
            UploadStream { inbound, exact_bytes, limit_bytes, clock, progress: Arc::clone(&progress) };
        (Upload::Stream(Box::new(stream)), progress)
    }

    /// A second copy, when the body can be sent again.
    pub(crate) fn replay(&self) -> Option<Upload> {
        match self {
            Upload::Empty => Some(Upload::Empty),
            Upload::Whole(bytes) => Some(Upload::Whole(bytes.clone())),
            Upload::Stream(_) => None,
        }
    }
}

impl UploadStream {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadError>>> {
        loop {
            let progress = &self.progress;
            let polled = Pin::new(&mut self.inbound).poll_frame(context);
            progress.waits_for_client.store(polled.is_pending(), Ordering::Relaxed);
            let Some(frame) = ready!(polled) else {
                if self.exact_bytes.is_some_and(|exact| exact != progress.bytes()) {
                    return Poll::Ready(Some(Err(self.break_off(UploadError::Length))));
                }
                progress.ended.store(true, Ordering::Release);
                return Poll::Ready(None);
            };
            // Trailers are not passed on: no service asked for them (TE is removed).
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Some(Err(self.break_off(UploadError::Client(error))))),
            };
            let Ok(data) = frame.into_data() else { continue };
            progress.moved_at.store(self.clock.now().0, Ordering::Relaxed);
            let sent = progress.bytes.fetch_add(data.len() as u64, Ordering::Relaxed) + data.len() as u64;
            if sent > self.limit_bytes {
                progress.too_large.store(true, Ordering::Release);
                return Poll::Ready(Some(Err(UploadError::TooLarge { limit_bytes: self.limit_bytes })));
            }
            if self.exact_bytes.is_some_and(|exact| sent > exact) {
                return Poll::Ready(Some(Err(self.break_off(UploadError::Length))));
            }
            if self.inbound.is_end_stream() && self.exact_bytes.is_none_or(|exact| exact == sent) {
                progress.ended.store(true, Ordering::Release);
            }
            return Poll::Ready(Some(Ok(data)));
        }
    }

    fn break_off(&self, error: UploadError) -> UploadError {
        self.progress.broke_off.store(true, Ordering::Release);
        error
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Upload::Empty => Poll::Ready(None),
            Upload::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Upload::Stream(stream) => stream.poll_data(context).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Upload::Empty => true,
            Upload::Whole(bytes) => bytes.is_none(),
            Upload::Stream(stream) => stream.inbound.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Upload::Empty => SizeHint::with_exact(0),
            Upload::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Upload::Stream(stream) => stream.inbound.size_hint(),
        }
    }
}
