//! The stream below a mail session: plain, TLS, or TLS after STARTTLS; with a limit of what the server may
//! say. Knows of SMTP only what stands before TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use haus_model::alert::MailTls;
use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::pki_types::ServerName;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::Context;
use crate::tls::{Protocol, Trust};
use crate::{DeliverError, mail::Post};

/// Most that a server may say in one session; a hundred recipients need some ten thousand bytes.
const SAID_BYTES_MAX: usize = 256 * 1024;
/// Most that it may say before TLS.
const PLAIN_BYTES_MAX: u64 = 16 * 1024;

trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Duplex for S {}

/// What the mail client reads and writes.
#[derive(Debug)]
pub(crate) struct MailStream {
    inner: Box<dyn Duplex>,
    /// Read before anything from the server: after STARTTLS the greeting that the client still waits for.
    first: &'static [u8],
    left: usize,
    peer: SocketAddr,
}

impl MailStream {
    /// Connects, and wraps as the plan says.
    pub(crate) async fn open(
        context: &Context,
        post: &Post<'_>,
        way: Way<'_>,
    ) -> Result<MailStream, DeliverError> {
        let no_connection = |error: io::Error| {
            let said = context.said(&error.to_string());
            context.passing(format!("no connection: {said}; check address, network and server"))
        };
        let mut tcp = TcpStream::connect(way.addresses).await.map_err(no_connection)?;
        let peer = tcp.peer_addr().map_err(no_connection)?;
        let stream = |inner: Box<dyn Duplex>, first| MailStream { inner, first, left: SAID_BYTES_MAX, peer };
        match post.tls {
            MailTls::None => Ok(stream(Box::new(tcp), b"")),
            MailTls::Tls => Ok(stream(wrap(context, post, way.trust, tcp).await?, b"")),
            MailTls::Starttls => {
                start_tls(context, &mut tcp).await?;
                Ok(stream(wrap(context, post, way.trust, tcp).await?, b"220 TLS has begun\r\n"))
            }
        }
    }
}

/// Where to, and whom we believe.
pub(crate) struct Way<'a> {
    pub(crate) addresses: &'a [SocketAddr],
    pub(crate) trust: &'a Trust,
}

async fn wrap(
    context: &Context,
    post: &Post<'_>,
    trust: &Trust,
    tcp: TcpStream,
) -> Result<Box<dyn Duplex>, DeliverError> {
    let config = trust.client_config(Protocol::Mail).await.map_err(|why| context.passing(why))?;
    let name = ServerName::try_from(post.host.to_owned())
        .map_err(|_| context.permanent("its host is no name that TLS knows; correct it in the plan"))?;
    let stream = TlsConnector::from(config).connect(name, tcp).await;
    let stream = stream.map_err(|error| {
        let said = context.said(&error.to_string());
        context.passing(format!("TLS fails: {said}; check the server's certificate and this machine's clock"))
    })?;
    Ok(Box::new(stream))
}

/// Greeting, EHLO and STARTTLS (RFC 3207). Nothing of what was said so far counts afterwards, and nothing
/// may have been said ahead: words before TLS that are read as words after it could come from anybody.
async fn start_tls(context: &Context, tcp: &mut TcpStream) -> Result<(), DeliverError> {
    let broken = |error: io::Error| {
        let said = context.said(&error.to_string());
        context.passing(format!("no session before STARTTLS: {said}; look what listens there"))
    };
    let mut reader = BufReader::new(tcp.take(PLAIN_BYTES_MAX));
    let greeting = read_reply(&mut reader).await.map_err(broken)?;
    refuse_unless(context, &greeting, "220")?;
    reader.get_mut().get_mut().write_all(b"EHLO [127.0.0.1]\r\n").await.map_err(broken)?;
    let offers = read_reply(&mut reader).await.map_err(broken)?;
    refuse_unless(context, &offers, "250")?;
    if !offers.iter().any(|line| line.get(4..).is_some_and(|word| word.eq_ignore_ascii_case("STARTTLS"))) {
        let why =
            "it does not offer STARTTLS; set `tls: tls` with its port for that, or let the server offer it";
        return Err(context.permanent(why));
    }
    reader.get_mut().get_mut().write_all(b"STARTTLS\r\n").await.map_err(broken)?;
    let begun = read_reply(&mut reader).await.map_err(broken)?;
    refuse_unless(context, &begun, "220")?;
    if !reader.buffer().is_empty() {
        let why =
            "it said more before TLS than it was asked, as somebody between could do; look who is between";
        return Err(context.passing(why));
    }
    Ok(())
}

fn refuse_unless(context: &Context, reply: &[String], code: &str) -> Result<(), DeliverError> {
    let first = reply.first().map_or("", String::as_str);
    if first.starts_with(code) {
        return Ok(());
    }
    let what =
        format!("no session before STARTTLS: {}; change the receiver or its server", context.said(first));
    Err(context.error(what, !first.starts_with('5')))
}

/// The lines of one reply (RFC 5321, 4.2.1): three digits and `-`, in the last one a blank or nothing.
async fn read_reply(reader: &mut BufReader<tokio::io::Take<&mut TcpStream>>) -> io::Result<Vec<String>> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "an answer that is not SMTP");
    let mut lines = Vec::new();
    loop {
        let mut bytes = Vec::new();
        if reader.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection"));
        }
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        let (digits, rest) = line.split_at_checked(3).ok_or_else(invalid)?;
        if !bytes.ends_with(b"\n") || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let is_last = match rest.as_bytes().first() {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return Err(invalid()),
        };
        lines.push(line);
        if is_last {
            return Ok(lines);
        }
    }
}

impl AsyncTokioStream for MailStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for MailStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            let (now, later) = self.first.split_at(count);
            buffer.put_slice(now);
            self.first = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(task, buffer);
        let count = buffer.filled().len() - before;
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::Error::other("the server says more than was asked for"))),
        }
        polled
    }
}

impl AsyncWrite for MailStream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(task)
    }
}
