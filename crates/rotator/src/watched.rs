//! A stream that looks at PostgreSQL's first answer before the client acts on it, and ends the connection
//! when the server wants no password, wants it in clear text, or is no PostgreSQL. Of what comes later it
//! knows only the amount.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Why a login is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// `AuthenticationOk` at once: `trust`, `peer` or `cert`. Any value would pass.
    NoPasswordAsked,
    /// `AuthenticationCleartextPassword`: whoever listens there would have the value.
    ClearTextAsked,
    /// The first byte is none that PostgreSQL answers with.
    NotPostgres,
    /// More bytes than any of our questions has an answer.
    TooMuch,
}

impl fmt::Display for Objection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Objection::NoPasswordAsked => "the server let the role in without asking for a password",
            Objection::ClearTextAsked => {
                "the server asked for the password in clear text, which it did not get"
            }
            Objection::NotPostgres => "the first answer is not PostgreSQL's",
            Objection::TooMuch => "the server sends more than was asked for",
        })
    }
}

impl std::error::Error for Objection {}

/// Type, length and code of an authentication request: `R`, four bytes, four bytes (PostgreSQL, "Message
/// Formats").
const HEAD_BYTES: usize = 9;
/// Most that is read from one connection; a login and its questions need some hundred bytes.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// Passes everything on, after the first answer has been judged.
pub(crate) struct Watched<S> {
    inner: S,
    head: Vec<u8>,
    read_bytes: usize,
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S) -> Watched<S> {
        Watched { inner, head: Vec::with_capacity(HEAD_BYTES), read_bytes: 0 }
    }
}

fn objection_to(head: &[u8]) -> Option<Objection> {
    // `E` is an error, `v` a version that it would rather speak, `N` a notice.
    if head.first().is_some_and(|first| !b"REvN".contains(first)) {
        return Some(Objection::NotPostgres);
    }
    match (head.first()?, head.get(5..HEAD_BYTES)?) {
        (b'R', [0, 0, 0, 0]) => Some(Objection::NoPasswordAsked),
        (b'R', [0, 0, 0, 3]) => Some(Objection::ClearTextAsked),
        _ => None,
    }
}

impl<S> Watched<S> {
    /// Judges bytes that have just come, in the order of their coming.
    fn judge(&mut self, bytes: &[u8]) -> Result<(), Objection> {
        self.read_bytes = self.read_bytes.saturating_add(bytes.len());
        if self.read_bytes > READ_BYTES_MAX {
            return Err(Objection::TooMuch);
        }
        if self.head.len() < HEAD_BYTES {
            let wanted = HEAD_BYTES - self.head.len();
            self.head.extend(bytes.iter().take(wanted));
            return objection_to(&self.head).map_or(Ok(()), Err);
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if matches!(polled, Poll::Ready(Ok(())))
            && let Err(objection) = self.judge(&buffer.filled()[before..])
        {
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::other(objection)));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], expected: Option<Objection>) {
        assert_eq!(objection_to(head), expected, "{head:?}");
    }

    #[test]
    fn only_whole_requests_for_nothing_or_clear_text_are_objected_to() {
        check(b"R\0\0\0\x08\0\0\0\0", Some(Objection::NoPasswordAsked));
        check(b"R\0\0\0\x08\0\0\0\x03", Some(Objection::ClearTextAsked));
        check(b"R\0\0\0\x08\0\0\0", None);
        check(b"R\0\0\0\x17\0\0\0\x0a", None);
        check(b"R\0\0\0\x0c\0\0\0\x05", None);
        check(b"E\0\0\0\x08\0\0\0\0", None);
        check(b"", None);
    }

    #[test]
    fn other_protocols_are_known_by_their_first_byte() {
        check(b"HTTP/1.1 400", Some(Objection::NotPostgres));
        check(b"-ERR", Some(Objection::NotPostgres));
    }

    #[test]
    fn heads_in_pieces_are_judged_and_floods_end() {
        let mut watched = Watched::new(());
        assert_eq!(watched.judge(b"R\0\0\0"), Ok(()));
        assert_eq!(watched.judge(b"\x08\0\0\0\x03\0\0"), Err(Objection::ClearTextAsked));
        let mut watched = Watched::new(());
        assert_eq!(watched.judge(b"R\0\0\0\x17\0\0\0\x0a"), Ok(()));
        assert_eq!(watched.judge(&vec![0; READ_BYTES_MAX]), Err(Objection::TooMuch));
    }
}
