//! As much of HTTP/1.1 as a room behind a gateway needs: keep-alive, bodies with a length, a clean end.
//! One thread per connection. It knows no path and no job.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::say;

const HEAD_BYTES_MAX: u64 = 16 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;
const CONNECTIONS_MAX: usize = 128;
/// Longer than the gateway keeps an idle connection, so that the gateway is always the side that closes it.
const IDLE: Duration = Duration::from_secs(75);

/// A request whose body has been read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) accepts_html: bool,
    pub(crate) body: Vec<u8>,
    close: bool,
}

/// An answer; HEAD gets it without its body.
pub(crate) struct Response {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(status: u16, body: &Value) -> Response {
        Response { status, content_type: "application/json", body: body.to_string().into_bytes() }
    }

    pub(crate) fn html(body: &str) -> Response {
        Response { status: 200, content_type: "text/html; charset=utf-8", body: body.as_bytes().to_vec() }
    }
}

/// Why a request could not be read.
#[derive(Debug, PartialEq, Eq)]
enum Unreadable {
    /// The other side has closed the connection or fell silent; there is nobody to answer.
    Gone,
    /// The request is answered with this status, then the connection is closed.
    Refused(u16),
}

#[derive(Default)]
struct Load {
    connections: usize,
    answering: usize,
    ending: bool,
}

type Handler = Box<dyn Fn(&Request) -> Response + Send + Sync>;

/// The server of the room.
pub(crate) struct Server {
    handler: Handler,
    load: Mutex<Load>,
    changed: Condvar,
}

impl Server {
    pub(crate) fn new(handler: Handler) -> Server {
        Server { handler, load: Mutex::default(), changed: Condvar::new() }
    }

    /// Accepts connections for as long as the process lives.
    pub(crate) fn accept(self: &Arc<Server>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if self.load().connections >= CONNECTIONS_MAX {
                continue;
            }
            self.load().connections += 1;
            let server = Arc::clone(self);
            std::thread::spawn(move || {
                // How a connection ended interests nobody: the other side knows, and requests were logged.
                let _ = server.converse(&stream);
                server.load().connections -= 1;
            });
        }
    }

    /// Waits until no request is being answered, but at most `within`. Idle connections end with the process.
    pub(crate) fn end(&self, within: Duration) {
        let mut load = self.load();
        load.ending = true;
        let busy = |load: &mut Load| load.answering > 0;
        let _ = self.changed.wait_timeout_while(load, within, busy);
    }

    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(IDLE))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            // A request counts from its first byte, so that the end waits for one whose body is still coming.
            if reader.fill_buf()?.is_empty() {
                return Ok(());
            }
            self.load().answering += 1;
            let proceed = self.answer_one(&mut reader, stream);
            self.load().answering -= 1;
            self.changed.notify_all();
            if !proceed? {
                return Ok(());
            }
        }
    }

    /// Answers one request; says whether the connection stays open.
    fn answer_one(&self, reader: &mut impl BufRead, mut stream: &TcpStream) -> io::Result<bool> {
        let started = Instant::now();
        let (request, response) = match read_request(reader) {
            Ok(request) => {
                let response = (self.handler)(&request);
                (request, response)
            }
            Err(Unreadable::Gone) => return Ok(false),
            Err(Unreadable::Refused(status)) => {
                let request = Request {
                    method: "?".to_owned(),
                    path: "?".to_owned(),
                    close: true,
                    ..Request::default()
                };
                (request, Response::json(status, &serde_json::json!({ "detail": reason(status) })))
            }
        };
        let close = request.close || self.load().ending;
        let result = stream.write_all(&encode(&response, close, request.method == "HEAD"));
        let took_ms = started.elapsed().as_secs_f64() * 1000.0;
        say(&format!("{} {} {} {took_ms:.1}ms", request.method, request.path, response.status));
        result.map(|()| !close)
    }

    fn load(&self) -> std::sync::MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_request(reader: &mut impl BufRead) -> Result<Request, Unreadable> {
    let mut head = reader.by_ref().take(HEAD_BYTES_MAX);
    let first = read_line(&mut head)?;
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Unreadable::Refused(400));
    };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') || target.contains(char::is_control) {
        return Err(Unreadable::Refused(400));
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let mut request = Request { method: method.to_owned(), path: path.to_owned(), ..Request::default() };
    request.close = version == "HTTP/1.0";
    let mut length = 0;
    loop {
        let line = read_line(&mut head)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(Unreadable::Refused(400))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(|_| Unreadable::Refused(400))?,
            // The gateway knows the length of small bodies; reading chunks would be code for nobody.
            "transfer-encoding" => return Err(Unreadable::Refused(411)),
            "connection" => request.close = value.eq_ignore_ascii_case("close"),
            "accept" => request.accepts_html = value.contains("text/html"),
            _ => {}
        }
    }
    if length > BODY_BYTES_MAX {
        return Err(Unreadable::Refused(413));
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).map_err(|_| Unreadable::Gone)?;
    Ok(request)
}

fn read_line(head: &mut io::Take<impl BufRead>) -> Result<String, Unreadable> {
    let mut line = String::new();
    head.read_line(&mut line).map_err(|_| Unreadable::Gone)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
        None if head.limit() == 0 => Err(Unreadable::Refused(431)),
        None => Err(Unreadable::Gone),
    }
}

fn encode(response: &Response, close: bool, is_head: bool) -> Vec<u8> {
    let connection = if close { "close" } else { "keep-alive" };
    let mut bytes = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: {connection}\r\n\r\n",
        response.status,
        reason(response.status),
        response.content_type,
        response.body.len()
    )
    .into_bytes();
    if !is_head {
        bytes.extend_from_slice(&response.body);
    }
    bytes
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &Result<(&str, &str, &[u8], bool), Unreadable>) {
        let request = read_request(&mut text.as_bytes());
        let seen =
            request.as_ref().map(|one| (one.method.as_str(), one.path.as_str(), &one.body[..], one.close));
        assert_eq!(seen, expected.as_ref().map(|one| *one), "{text:?}");
    }

    #[test]
    fn requests_are_read_with_their_bodies() {
        check("GET /queue?secret=1 HTTP/1.1\r\nhost: a\r\n\r\n", &Ok(("GET", "/queue", b"", false)));
        check("POST /jobs HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", &Ok(("POST", "/jobs", b"{}", false)));
        check("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", &Ok(("GET", "/", b"", true)));
        check("GET / HTTP/1.0\r\n\r\n", &Ok(("GET", "/", b"", true)));
    }

    #[test]
    fn what_cannot_be_read_is_refused_or_dropped() {
        check("GET / HTTP/1.1\r\nhost", &Err(Unreadable::Gone));
        check("POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc", &Err(Unreadable::Gone));
        check("GET\r\n\r\n", &Err(Unreadable::Refused(400)));
        check("GET / SMTP/1.1\r\n\r\n", &Err(Unreadable::Refused(400)));
        check("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", &Err(Unreadable::Refused(411)));
        check("POST / HTTP/1.1\r\ncontent-length: 65537\r\n\r\n", &Err(Unreadable::Refused(413)));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000));
        check(&long, &Err(Unreadable::Refused(431)));
    }

    #[test]
    fn a_head_answer_has_the_length_but_not_the_body() {
        let text = String::from_utf8(encode(&Response::html("hallo"), true, true)).expect("text");
        assert!(text.contains("content-length: 5\r\n"), "{text}");
        assert!(text.ends_with("connection: close\r\n\r\n"), "{text}");
    }
}
