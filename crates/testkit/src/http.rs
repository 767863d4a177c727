//! A plain HTTP/1.1 client over a blocking socket: enough to ask our own servers, strict in what it reads.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How long the helper waits for any one byte.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port that nobody listens on at this moment. Another test may take it before you do: prefer port 0.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the loopback interface has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// One request.
#[derive(Clone, Debug)]
pub struct HttpAsk {
    /// `GET`, `POST`, …
    pub method: String,
    /// The `Host` header.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body; a length is sent when it is not empty.
    pub body: Vec<u8>,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Headers in the order received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without transfer coding.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GET of a path from an address under a host name, on a connection of its own.
///
/// # Errors
/// When the connection fails or the answer is not HTTP.
pub fn http_get(address: SocketAddr, host: &str, path: &str) -> io::Result<HttpAnswer> {
    HttpAsk::get(host, path).send(address)
}

impl HttpAsk {
    /// A GET without further headers.
    pub fn get(host: &str, path: &str) -> HttpAsk {
        HttpAsk {
            method: "GET".into(),
            host: host.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Sends it on a connection of its own and reads the whole answer.
    ///
    /// # Errors
    /// When the connection fails or the answer is not HTTP.
    pub fn send(&self, address: SocketAddr) -> io::Result<HttpAnswer> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.method, self.path, self.host);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        // A server may answer and close before it has read the whole body; its answer still counts.
        let sent = stream.write_all(&self.body);
        let mut bytes = Vec::new();
        let received = stream.read_to_end(&mut bytes);
        match parse(&bytes, self.method == "HEAD") {
            Ok(answer) => Ok(answer),
            Err(error) => {
                sent?;
                received?;
                Err(error)
            }
        }
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Reads one whole answer; leading 1xx answers are passed over.
fn parse(bytes: &[u8], no_body: bool) -> io::Result<HttpAnswer> {
    let end =
        bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| odd("no end of head"))?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| odd("head is not text"))?;
    let rest = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
    let status = status.and_then(|line| line.get(2..5)?.parse().ok()).ok_or_else(|| odd("no status line"))?;
    if (100..200).contains(&status) && status != 101 {
        return parse(rest, no_body);
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| odd("a header without colon"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = HttpAnswer { status, headers, body: Vec::new() };
    if no_body || matches!(status, 101 | 204 | 304) {
        return Ok(answer);
    }
    answer.body = if answer.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        unchunk(rest)?
    } else if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().map_err(|_| odd("the length is no number"))?;
        rest.get(..length).ok_or_else(|| odd("the body is shorter than announced"))?.to_vec()
    } else {
        rest.to_vec()
    };
    Ok(answer)
}

fn unchunk(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").ok_or_else(|| odd("no chunk size"))?;
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.split(';').next());
        let size = size.and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let size = size.ok_or_else(|| odd("a chunk size that is no number"))?;
        if size == 0 {
            return Ok(body);
        }
        let from = end + 2;
        let chunk = rest.get(from..from + size).ok_or_else(|| odd("a chunk that ends early"))?;
        body.extend_from_slice(chunk);
        rest = rest.get(from + size + 2..).ok_or_else(|| odd("a chunk without end"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(u16, &str)>) {
        let answer = parse(text.as_bytes(), false).ok().map(|answer| (answer.status, answer.text()));
        assert_eq!(answer, expected.map(|(status, body)| (status, body.to_owned())), "{text:?}");
    }

    #[test]
    fn answers_are_read_by_length_by_chunks_and_to_the_end() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Some((200, "ok")));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;x=y\r\n...\r\n0\r\n\r\n",
            Some((200, "ok...")),
        );
        check("HTTP/1.0 503 No\r\n\r\nto the end", Some((503, "to the end")));
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", Some((204, "")));
    }

    #[test]
    fn half_answers_are_no_answers() {
        check("", None);
        check("HTTP/1.1 200 OK\r\n", None);
        check("SSH-2.0-x\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", None);
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", None);
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", None);
    }
}
