//! One request to the coordinator over a connection of its own. It knows HTTP as far as a client of one
//! server needs it, and none of the paths.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use serde_json::Value;

const ANSWER_WITHIN: Duration = Duration::from_secs(4);
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a str,
    pub(crate) body: Option<Value>,
    /// The access token.
    pub(crate) token: Option<&'a str>,
}

/// What came back.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    /// Null when there is no body.
    pub(crate) body: Value,
}

/// Where the coordinator is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Api {
    /// `127.0.0.1:8000`
    host: String,
    /// What stands before every path, without a slash at the end.
    below: String,
}

/// An address that is not of the form `http://HOST:PORT`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoAddress;

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HAUS_API is not http://ADDRESS:PORT")
    }
}

impl Api {
    /// Reads `http://127.0.0.1:8000`.
    pub(crate) fn parse(url: &str) -> Result<Api, NoAddress> {
        let rest = url.trim_end_matches('/').strip_prefix("http://").ok_or(NoAddress)?;
        let (host, below) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        port.ok_or(NoAddress)?;
        Ok(Api { host: host.to_owned(), below: below.to_owned() })
    }

    /// Sends one request and reads the whole answer.
    pub(crate) fn send(&self, ask: &Ask<'_>) -> io::Result<Told> {
        let address = self.host.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(&self.encode(ask))?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
        decode(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an answer nobody can read"))
    }

    fn encode(&self, ask: &Ask<'_>) -> Vec<u8> {
        let Ask { method, path, body, token } = ask;
        let mut head = format!("{method} {}{path} HTTP/1.1\r\nHost: {}\r\n", self.below, self.host);
        head.push_str("Accept: application/json\r\nConnection: close\r\n");
        if let Some(token) = token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        let body = body.as_ref().map(Value::to_string);
        if let Some(body) = &body {
            head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        format!("{head}\r\n{}", body.unwrap_or_default()).into_bytes()
    }
}

/// Status and JSON of an answer that ended with its connection. The coordinator knows the length of what it
/// answers here; pieces would be code for nobody.
fn decode(bytes: &[u8]) -> Option<Told> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).ok()? };
    Some(Told { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_read_or_refused() {
        let api = Api::parse("http://127.0.0.1:8000/").expect("an address");
        assert_eq!((api.host.as_str(), api.below.as_str()), ("127.0.0.1:8000", ""));
        assert_eq!(Api::parse("http://[::1]:80/house").expect("an address").below, "/house");
        for bad in ["", "127.0.0.1:8000", "https://a:1", "http://a", "http://a:b", "http://a:99999"] {
            assert_eq!(Api::parse(bad), Err(NoAddress), "{bad}");
        }
    }

    #[test]
    fn a_request_carries_token_and_body() {
        let api = Api::parse("http://a:1").expect("an address");
        let ask = Ask { method: "POST", path: "/p", body: Some(json!({ "ü": 1 })), token: Some("t") };
        let text = String::from_utf8(api.encode(&ask)).expect("text");
        assert!(text.starts_with("POST /p HTTP/1.1\r\nHost: a:1\r\n"), "{text}");
        assert!(
            text.contains("Authorization: Bearer t\r\n") && text.contains("Content-Length: 8\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\n{\"ü\":1}"), "{text}");
    }

    #[test]
    fn whole_answers_are_read_and_others_are_not() {
        let told = |status, body| Some(Told { status, body });
        assert_eq!(decode(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"a\":1}"), told(200, json!({ "a": 1 })));
        assert_eq!(decode(b"HTTP/1.1 204 No Content\r\na: b\r\n\r\n"), told(204, Value::Null));
        for bad in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\na: b",
            b"SMTP\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n{\"a\":",
            b"\xff",
        ] {
            assert_eq!(decode(bad), None);
        }
    }
}
