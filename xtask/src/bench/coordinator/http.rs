//! A kept HTTP/1.1 connection over TCP or a Unix socket, as little as the bench needs.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::problem;
use crate::error::TaskError;

const PATIENCE: Duration = Duration::from_secs(60);

/// Both kinds of socket.
trait Duplex: Read + Write + Send {}
impl Duplex for TcpStream {}
impl Duplex for UnixStream {}

/// The connection.
pub(super) struct Line {
    stream: BufReader<Box<dyn Duplex>>,
}

impl Line {
    pub(super) fn tcp(port: u16) -> Result<Line, TaskError> {
        let connect = || {
            let stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| failed(format!("127.0.0.1:{port}"), source))?;
        Ok(Line { stream: BufReader::new(Box::new(stream)) })
    }

    pub(super) fn unix(path: &Path) -> Result<Line, TaskError> {
        let stream =
            UnixStream::connect(path).map_err(|source| failed(path.display().to_string(), source))?;
        Ok(Line { stream: BufReader::new(Box::new(stream)) })
    }

    /// Begins to watch by server-sent events; what arrives is read as lines.
    pub(super) fn begin_events(&mut self, path: &str) -> Result<(), TaskError> {
        self.send("GET", path, "Accept: text/event-stream\r\n", "")
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Result<(), TaskError> {
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(text.as_bytes()).map_err(|source| failed(path.to_owned(), source))
    }

    /// One line of whatever arrives, without its end.
    pub(super) fn text(&mut self) -> Result<String, TaskError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(problem("the connection ended")),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(source) => Err(failed("an answer".to_owned(), source)),
        }
    }

    /// Sends a request and reads the answer, which must be a good one. An empty token sends none.
    pub(super) fn ask(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
    ) -> Result<Value, TaskError> {
        let token =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        self.send(method, path, &format!("{token}{kind}"), body)?;
        let status = self.text()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.text()?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => {}
                None => break,
            }
        }
        let body = if chunked { self.chunks()? } else { self.take(length)? };
        if !status.starts_with("HTTP/1.1 2") {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(problem(format!("{method} {path}: {status}: {body}")));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| problem(format!("{method} {path}: {error}")))
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, TaskError> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).map_err(|source| failed("a body".to_owned(), source))?;
        Ok(bytes)
    }

    fn chunks(&mut self) -> Result<Vec<u8>, TaskError> {
        let mut body = Vec::new();
        loop {
            let size = self.text()?;
            let size =
                usize::from_str_radix(&size, 16).map_err(|_| problem(format!("a chunk of size {size:?}")))?;
            body.extend(self.take(size)?);
            self.text()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

fn failed(what: String, source: io::Error) -> TaskError {
    TaskError::Run { program: format!("a request to {what}"), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers whatever is asked with this text.
    fn answering(answer: &'static str) -> Line {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut seen = [0; 1024];
            let _ = theirs.read(&mut seen);
            let _ = theirs.write_all(answer.as_bytes());
        });
        Line { stream: BufReader::new(Box::new(ours)) }
    }

    #[test]
    fn answers_are_read_by_length_and_by_chunks() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
        ] {
            assert_eq!(answering(answer).ask("GET", "/", "", "").unwrap()["a"], 1, "{answer}");
        }
    }

    #[test]
    fn a_refusal_is_an_error_with_its_words() {
        let mut line = answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        let error = line.ask("GET", "/x", "t", "").unwrap_err().to_string();
        assert!(error.contains("/x") && error.contains("403") && error.ends_with("no"), "{error}");
    }
}
