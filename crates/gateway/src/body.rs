//! The answer's body on its way to the client: counted, never buffered, and the place where a
//! connection to an instance becomes free again.

use crate::instance::Visit;
use crate::pool::Connection;
use crate::request::RequestLife;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read from a file at a time.
const FILE_CHUNK_BYTES: usize = 64 * 1024;

/// An answer's body.
pub(crate) struct AnswerBody {
    source: Source,
    life: Option<Box<RequestLife>>,
}

enum Source {
    Empty,
    Full(Bytes),
    Instance(InstanceBody),
    File { file: tokio::fs::File, left: u64 },
}

/// What an instance sends, and the connection it comes by.
struct InstanceBody {
    incoming: Incoming,
    lease: Option<Lease>,
}

/// A connection that goes back to its pool when the exchange is complete, and closes when it is not.
pub(crate) struct Lease {
    pub(crate) instance: Visit,
    pub(crate) connection: Connection,
}

impl AnswerBody {
    pub(crate) fn empty() -> AnswerBody {
        AnswerBody { source: Source::Empty, life: None }
    }

    pub(crate) fn full(bytes: Bytes) -> AnswerBody {
        AnswerBody { source: Source::Full(bytes), life: None }
    }

    pub(crate) fn file(file: tokio::fs::File, left: u64) -> AnswerBody {
        AnswerBody { source: Source::File { file, left }, life: None }
    }

    pub(crate) fn instance(incoming: Incoming, lease: Lease) -> AnswerBody {
        AnswerBody { source: Source::Instance(InstanceBody { incoming, lease: Some(lease) }), life: None }
    }

    /// Hands the request's life over: it ends with this body.
    pub(crate) fn carry(&mut self, life: Box<RequestLife>) {
        self.life = Some(life);
        self.finish_if_ended();
    }

    fn finish_if_ended(&mut self) {
        if self.is_end_stream() {
            self.release();
        }
    }

    /// The connection goes back first: the record may cost time.
    fn release(&mut self) {
        if let (Source::Instance(body), Some(life)) = (&mut self.source, &self.life)
            && let Some(lease) = body.lease.take()
            // An instance may answer before it has read everything; such a connection is not reusable.
            && life.upload.as_ref().is_none_or(|upload| upload.has_ended())
        {
            let shared = life.shared();
            lease.instance.pool.put(lease.connection, shared.coarse_ms(), &shared.limits);
        }
        self.life = None;
    }

    pub(crate) fn broke_off(&mut self, error: &dyn std::fmt::Display) {
        if let Some(life) = &mut self.life {
            let instance = life.record().instance.clone();
            let who = instance.as_deref().unwrap_or("the file");
            life.note(&format!("{who} broke off in the middle of the answer: {error}"));
        }
        self.life = None;
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Empty => Poll::Ready(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Source::Instance(body) => {
                Pin::new(&mut body.incoming).poll_frame(context).map_err(io::Error::other)
            }
            Source::File { file, left } => poll_file(file, left, context).map_ok(Frame::data),
        };
        match ready!(polled) {
            Some(Ok(frame)) => {
                if let (Some(data), Some(life)) = (frame.data_ref(), &mut this.life) {
                    life.record().bytes_out += data.len() as u64;
                    life.client().touch();
                }
                this.finish_if_ended();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.broke_off(&error);
                Poll::Ready(Some(Err(error)))
            }
            None => {
                this.release();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Full(bytes) => bytes.is_empty(),
            Source::Instance(body) => body.incoming.is_end_stream(),
            Source::File { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Instance(body) => body.incoming.size_hint(),
            Source::File { left, .. } => SizeHint::with_exact(*left),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(life) = &mut self.life
            && life.record().why.is_none()
            && life.record().method != http::Method::HEAD
        {
            life.note("the client left before the end of the answer");
        }
    }
}

/// Reads at most what was announced; a file that shrank meanwhile breaks the answer off.
fn poll_file(
    file: &mut tokio::fs::File,
    left: &mut u64,
    context: &mut Context<'_>,
) -> Poll<Option<io::Result<Bytes>>> {
    if *left == 0 {
        return Poll::Ready(None);
    }
    let size = usize::try_from(*left).unwrap_or(FILE_CHUNK_BYTES).min(FILE_CHUNK_BYTES);
    let mut chunk = vec![0; size];
    let mut buffer = ReadBuf::new(&mut chunk);
    ready!(Pin::new(file).poll_read(context, &mut buffer))?;
    let read = buffer.filled().len();
    if read == 0 {
        return Poll::Ready(Some(Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file became shorter",
        ))));
    }
    *left -= read as u64;
    chunk.truncate(read);
    Poll::Ready(Some(Ok(Bytes::from(chunk))))
}
