//! The request body on its way to an instance: counted, capped, replayable when it is small.

use crate::clock::Clock;
use bytes::Bytes;
use haus_model::Timestamp;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

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
    incoming: Incoming,
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
    Client(#[source] hyper::Error),
}

impl Upload {
    pub(crate) fn stream(
        incoming: Incoming,
        limit_bytes: u64,
        clock: Clock,
    ) -> (Upload, Arc<UploadProgress>) {
        let progress = Arc::new(UploadProgress::default());
        progress.moved_at.store(clock.now().0, Ordering::Relaxed);
        let stream = UploadStream { incoming, limit_bytes, clock, progress: Arc::clone(&progress) };
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
            let polled = Pin::new(&mut self.incoming).poll_frame(context);
            progress.waits_for_client.store(polled.is_pending(), Ordering::Relaxed);
            let Some(frame) = ready!(polled) else {
                progress.ended.store(true, Ordering::Release);
                return Poll::Ready(None);
            };
            // Trailers are not passed on: no service asked for them (TE is removed).
            let Ok(data) = frame.map_err(UploadError::Client)?.into_data() else { continue };
            progress.moved_at.store(self.clock.now().0, Ordering::Relaxed);
            let sent = progress.bytes.fetch_add(data.len() as u64, Ordering::Relaxed) + data.len() as u64;
            if sent > self.limit_bytes {
                progress.too_large.store(true, Ordering::Release);
                return Poll::Ready(Some(Err(UploadError::TooLarge { limit_bytes: self.limit_bytes })));
            }
            if self.incoming.is_end_stream() {
                progress.ended.store(true, Ordering::Release);
            }
            return Poll::Ready(Some(Ok(data)));
        }
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
            Upload::Stream(stream) => stream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Upload::Empty => SizeHint::with_exact(0),
            Upload::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Upload::Stream(stream) => stream.incoming.size_hint(),
        }
    }
}
