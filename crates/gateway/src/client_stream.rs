//! The client's socket as the HTTP library sees it. Notes progress, gives unreadable requests an answer
//! that explains itself, and closes without cutting off an answer the client has not read yet.

use crate::client::ClientState;
use crate::header::RequestIds;
use crate::joined_write::poll_write_joined;
use crate::problem::Fault;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes thrown away after the last answer before the connection closes anyway.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

pub(crate) struct ClientStream {
    socket: TcpStream,
    state: Arc<ClientState>,
    ids: Arc<RequestIds>,
    /// What is sent in place of the library's own, empty error answer; with what is sent of it.
    replacement: Option<(Vec<u8>, usize)>,
    is_shut: bool,
    lingered_bytes: usize,
}

impl ClientStream {
    pub(crate) fn new(socket: TcpStream, state: Arc<ClientState>, ids: Arc<RequestIds>) -> ClientStream {
        ClientStream { socket, state, ids, replacement: None, is_shut: false, lingered_bytes: 0 }
    }

    /// The library answers unreadable heads by itself: a bare status, an empty body, `close`.
    fn replace(&mut self, head: &[u8]) {
        if self.replacement.is_some() || !self.state.has_unanswered_head() {
            return;
        }
        let Some(status) = bare_error_status(head) else { return };
        let fault = match status {
            b"431" => Fault::HeadTooLarge,
            b"414" => Fault::TargetTooLong,
            _ => Fault::BadRequest { why: "its head breaks the rules of HTTP/1.1" },
        };
        let id = self.ids.make();
        self.replacement = Some((fault.raw_answer(id.to_str().unwrap_or("")), 0));
    }

    /// Writes the replacement; ready when it is out, so that the library may believe its own bytes sent.
    fn poll_replacement(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((bytes, sent)) = &mut self.replacement else { return Poll::Ready(Ok(())) };
        while *sent < bytes.len() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, &bytes[*sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *sent += written;
        }
        Poll::Ready(Ok(()))
    }

    /// Closing with unread bytes in the socket makes the system reset the connection, and a reset may
    /// overtake the answer. So the rest of the request is read and thrown away first.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scrap = [0; 4096];
        while self.lingered_bytes < LINGER_BYTES_MAX && !self.state.is_draining() {
            let mut buffer = ReadBuf::new(&mut scrap);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                read => self.lingered_bytes += read,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of an answer that can only be the library's own.
fn bare_error_status(head: &[u8]) -> Option<&[u8]> {
    let status = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    let has = |needle: &[u8]| head.windows(needle.len()).any(|window| window == needle);
    let bare = status.starts_with(b"4")
        && head.ends_with(b"\r\n\r\n")
        && has(b"content-length: 0\r\n")
        && has(b"connection: close\r\n");
    bare.then_some(status)
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(context, buffer))?;
        let received = &buffer.filled()[before..];
        if !received.is_empty() {
            this.state.received(received);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.replace(bytes);
        if this.replacement.is_some() {
            ready!(this.poll_replacement(context))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut this.socket).poll_write(context, bytes))?;
        this.state.touch();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.replace(slices.first().map_or(&[], |slice| slice));
        if this.replacement.is_some() {
            ready!(this.poll_replacement(context))?;
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = ready!(poll_write_joined(&mut this.socket, context, slices))?;
        this.state.touch();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            ready!(Pin::new(&mut this.socket).poll_shutdown(context))?;
            this.is_shut = true;
            this.state.begin_linger();
        }
        this.poll_linger(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, expected: Option<&str>) {
        assert_eq!(bare_error_status(head.as_bytes()), expected.map(str::as_bytes));
    }

    #[test]
    fn only_bare_closing_error_heads_are_replaced() {
        let date = "date: Sat, 21 Nov 2026 03:00:00 GMT\r\n\r\n";
        check(
            &format!("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n{date}"),
            Some("400"),
        );
        check(&format!("HTTP/1.0 431 X\r\nconnection: close\r\ncontent-length: 0\r\n{date}"), Some("431"));
        check(&format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n{date}"), None);
        check(&format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n{date}"), None);
        check("HTTP/1.1 100 Continue\r\n\r\n", None);
        check("HTT", None);
    }
}
