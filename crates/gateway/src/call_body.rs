//! The answer's body on its way to a caller in our own process, who may sit in another runtime and read as
//! slowly as it likes. It does not know what the answer is about.

use crate::body::AnswerBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A frame, or the end of the body: a channel that closes without one was given up.
type Moved = Result<Option<Frame<Bytes>>, CallBodyError>;

/// Frames that are read ahead of the caller.
const FRAMES_AHEAD: usize = 4;

/// The body of an answer to a call. Dropped before its end, it ends the exchange with the instance.
#[derive(Debug)]
pub struct CallBody {
    /// Absent once it has ended.
    frames: Option<mpsc::Receiver<Moved>>,
    /// Bytes to come, when the service said how many.
    left: Option<u64>,
    instance: String,
}

/// Why an answer's body ended early. The head has been passed on, so this cannot become a status any more.
#[derive(Debug, thiserror::Error)]
pub enum CallBodyError {
    /// The instance broke off.
    #[error("instance {instance} broke off in the middle of its answer")]
    BrokeOff {
        /// The instance.
        instance: String,
        /// What the connection said.
        #[source]
        source: io::Error,
    },
    /// The instance sent nothing for too long.
    #[error("instance {instance} sent nothing of its answer for {} ms", waited.as_millis())]
    Idle {
        /// The instance.
        instance: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The gateway stopped, or the caller took nothing for too long.
    #[error("the answer of instance {instance} was given up before its end")]
    GivenUp {
        /// The instance.
        instance: String,
    },
}

/// What moves the body; runs on the gateway's runtime.
pub(crate) struct Pump {
    body: AnswerBody,
    frames: mpsc::Sender<Moved>,
    instance: String,
}

impl CallBody {
    /// Splits the way of a body into its two ends; a body without content needs nobody to move it.
    pub(crate) fn of(body: AnswerBody, instance: Option<String>) -> (CallBody, Option<Pump>) {
        let instance = instance.unwrap_or_default();
        let left = body.size_hint().exact();
        if body.is_end_stream() {
            return (CallBody { frames: None, left, instance }, None);
        }
        let (sender, frames) = mpsc::channel(FRAMES_AHEAD);
        let pump = Pump { body, frames: sender, instance: instance.clone() };
        (CallBody { frames: Some(frames), left, instance }, Some(pump))
    }
}

impl Pump {
    /// Moves frames until the body has ended, one of both sides went away, or one of them did nothing for
    /// `idle`. A caller that does not read must not keep an instance's connection for ever.
    pub(crate) async fn run(mut self, idle: Duration) {
        loop {
            let frame = tokio::select! {
                frame = timeout(idle, self.body.frame()) => frame,
                () = self.frames.closed() => return,
            };
            let instance = || self.instance.clone();
            let (frame, is_last) = match frame {
                Ok(Some(Ok(frame))) => (Ok(Some(frame)), false),
                Ok(Some(Err(source))) => {
                    (Err(CallBodyError::BrokeOff { instance: instance(), source }), true)
                }
                Err(_) => {
                    let error = CallBodyError::Idle { instance: instance(), waited: idle };
                    self.body.broke_off(&format!("nothing came for {} ms", idle.as_millis()));
                    (Err(error), true)
                }
                Ok(None) => (Ok(None), true),
            };
            if self.frames.is_closed() || timeout(idle, self.frames.send(frame)).await.is_err() || is_last {
                return;
            }
        }
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = CallBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallBodyError>>> {
        let this = self.get_mut();
        let Some(frames) = &mut this.frames else { return Poll::Ready(None) };
        let moved = ready!(frames.poll_recv(context));
        if let Some(Ok(Some(frame))) = moved {
            let taken = frame.data_ref().map_or(0, |data| data.len() as u64);
            this.left = this.left.map(|left| left.saturating_sub(taken));
            return Poll::Ready(Some(Ok(frame)));
        }
        this.frames = None;
        Poll::Ready(match moved {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(Err(error)),
            None if this.left == Some(0) => None,
            None => Some(Err(CallBodyError::GivenUp { instance: this.instance.clone() })),
        })
    }

    fn is_end_stream(&self) -> bool {
        // Nobody asks again after the last byte, and its end may be lost with the gateway.
        self.frames.is_none() || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
