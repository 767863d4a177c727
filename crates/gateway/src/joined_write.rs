//! Writing what lies in several pieces: small pieces are joined and sent, large ones go as they lie.
//!
//! A plain send costs the kernel measurably less than a vectored write, and nearly every head and
//! nearly every small answer fits into one buffer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Pieces of up to this many bytes together are joined.
const JOINED_BYTES_MAX: usize = 2048;

/// Writes some of the bytes, as `poll_write_vectored` does.
pub(crate) fn poll_write_joined<S: AsyncWrite + Unpin>(
    socket: &mut S,
    context: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = slices {
        return Pin::new(socket).poll_write(context, only);
    }
    let length: usize = slices.iter().map(|slice| slice.len()).sum();
    if length > JOINED_BYTES_MAX {
        return Pin::new(socket).poll_write_vectored(context, slices);
    }
    let mut joined = [0; JOINED_BYTES_MAX];
    let mut end = 0;
    for slice in slices {
        joined[end..end + slice.len()].copy_from_slice(slice);
        end += slice.len();
    }
    Pin::new(socket).poll_write(context, &joined[..end])
}

/// A socket that writes so.
pub(crate) struct JoinedWrites<S>(pub(crate) S);

impl<S: AsyncRead + Unpin> AsyncRead for JoinedWrites<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for JoinedWrites<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_joined(&mut self.get_mut().0, context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}
