//! One connection that is kept over many questions, by TCP or by a Unix socket.
//!
//! It reads exactly one answer per question and says when the other side broke off. It knows neither paths
//! nor tokens.

use haus_testkit::{HttpAnswer, HttpAsk};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longer than anything of ours may take to answer, the longest poll aside.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub(crate) struct Line {
    stream: BufReader<Stream>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(bytes),
            Stream::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Line {
    /// A connection to a port.
    pub(crate) fn tcp(address: SocketAddr) -> io::Result<Line> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Line { stream: BufReader::new(Stream::Tcp(stream)) })
    }

    /// A connection to a Unix socket.
    pub(crate) fn unix(path: &Path) -> io::Result<Line> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Line { stream: BufReader::new(Stream::Unix(stream)) })
    }

    /// Sends a question and reads its whole answer.
    pub(crate) fn ask(&mut self, ask: &HttpAsk) -> io::Result<HttpAnswer> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", ask.method, ask.path, ask.host);
        for (name, value) in &ask.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !ask.body.is_empty() || !matches!(&*ask.method, "GET" | "HEAD") {
            head.push_str(&format!("Content-Length: {}\r\n", ask.body.len()));
        }
        head.push_str("\r\n");
        // In one piece, so that a question is never half on its way for want of an acknowledgement.
        let whole = [head.as_bytes(), &ask.body].concat();
        self.stream.get_mut().write_all(&whole)?;
        self.answer(ask.method == "HEAD")
    }

    fn answer(&mut self, no_body: bool) -> io::Result<HttpAnswer> {
        let status = self.text()?;
        let status = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status: u16 = status.ok_or_else(|| odd("no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.text()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| odd("a header without colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = HttpAnswer { status, headers, body: Vec::new() };
        if no_body || matches!(status, 204 | 304) {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            while let size @ 1.. = self.chunk_size()? {
                self.take(size, &mut answer.body)?;
                self.text()?;
            }
            self.text()?;
        } else {
            let length = answer.header("content-length").and_then(|length| length.parse().ok());
            let length: usize = length.ok_or_else(|| odd("an answer without length on a kept connection"))?;
            self.take(length, &mut answer.body)?;
        }
        Ok(answer)
    }

    fn chunk_size(&mut self) -> io::Result<usize> {
        let line = self.text()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        usize::from_str_radix(size, 16).map_err(|_| odd("a chunk size that is no number"))
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let from = into.len();
        into.resize(from + length, 0);
        self.stream.read_exact(&mut into[from..])
    }

    /// One line without its end.
    pub(crate) fn text(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended")),
            _ => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        }
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
