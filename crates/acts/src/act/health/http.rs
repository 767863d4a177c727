//! One HTTP/1.1 GET over an open stream, with bounds on time and size, and what is expected of the answer.

use haus_model::json::Json;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const BODY_BYTES_MAX: u64 = 1024 * 1024;
const LINE_BYTES_MAX: u64 = 16 * 1024;
const HEADERS_MAX: usize = 200;
const QUOTED_BYTES: usize = 300;

type Outcome<T> = Result<T, String>;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// A stream whose reads end at a deadline, also when the other side sends a byte now and then.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

/// Asks.
pub(super) fn get(mut stream: TcpStream, host: &str, path: &str, timeout: Duration) -> Outcome<Answer> {
    let deadline = Instant::now() + timeout;
    let ask = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: haus\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let written = stream.set_write_timeout(Some(timeout)).and_then(|()| stream.write_all(ask.as_bytes()));
    written.map_err(|error| format!("the question could not be sent: {error}"))?;
    read(BufReader::new(Timed { stream, deadline }))
}

fn read(mut from: BufReader<impl Read>) -> Outcome<Answer> {
    let first = line(&mut from)?;
    let mut words = first.split(' ');
    let status = match (words.next(), words.next().map(str::parse)) {
        (Some(version), Some(Ok(status))) if version.starts_with("HTTP/1.") => status,
        _ => return Err("the answer is no HTTP".to_owned()),
    };
    let (mut length, mut chunked) = (None, false);
    for _ in 0..HEADERS_MAX {
        let header = line(&mut from)?;
        if header.is_empty() {
            break;
        }
        let Some((name, value)) = header.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<u64>().ok(),
            "transfer-encoding" => chunked = value.to_ascii_lowercase().contains("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        chunks(&mut from, &mut body)?;
    } else {
        let bytes = length.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX);
        from.take(bytes).read_to_end(&mut body).map_err(|error| format!("the answer broke off: {error}"))?;
    }
    Ok(Answer { status, body })
}

fn chunks(from: &mut BufReader<impl Read>, body: &mut Vec<u8>) -> Outcome<()> {
    loop {
        let size = line(from)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| "the answer has a damaged chunk".to_owned())?;
        if size == 0 || body.len() as u64 >= BODY_BYTES_MAX {
            return Ok(());
        }
        from.take(size).read_to_end(body).map_err(|error| format!("the answer broke off: {error}"))?;
        line(from)?;
    }
}

fn line(from: &mut BufReader<impl Read>) -> Outcome<String> {
    let mut bytes = Vec::new();
    let read = from.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
    match read {
        Ok(0) => Err("the connection was closed without an answer".to_owned()),
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(format!("no answer: {error}")),
    }
}

/// Whether the answer is what is expected.
pub(super) fn check(answer: &Answer, status: u16, json: Option<&Json>, text: Option<&str>) -> Outcome<()> {
    let body = String::from_utf8_lossy(&answer.body);
    if answer.status != status {
        return Err(format!("it answers {} instead of {status}: {}", answer.status, quoted(&body)));
    }
    if let Some(text) = text.filter(|text| !body.contains(*text)) {
        return Err(format!("the body lacks the text {text:?}: {}", quoted(&body)));
    }
    let Some(wanted) = json else { return Ok(()) };
    let found: serde_json::Value = serde_json::from_slice(&answer.body)
        .map_err(|_| format!("the body is no JSON: {}", quoted(&body)))?;
    if holds(&found, wanted) {
        Ok(())
    } else {
        Err(format!("the body is not as expected: {}", quoted(&body)))
    }
}

fn quoted(body: &str) -> String {
    body.chars().filter(|letter| !letter.is_control()).take(QUOTED_BYTES).collect()
}

/// Objects may have more members than expected, everything else must be equal.
fn holds(found: &serde_json::Value, wanted: &Json) -> bool {
    use serde_json::Value;
    match (found, wanted) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(one), Json::Bool(other)) => one == other,
        (Value::Number(one), Json::Integer(other)) => one.as_i64() == Some(*other),
        (Value::Number(one), Json::Float(other)) => one.as_f64() == Some(*other),
        (Value::String(one), Json::Text(other)) => one == other,
        (Value::Array(one), Json::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| holds(one, other))
        }
        (Value::Object(one), Json::Object(other)) => {
            other.iter().all(|(name, wanted)| one.get(name).is_some_and(|found| holds(found, wanted)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Outcome<Answer> {
        read(BufReader::new(text.as_bytes()))
    }

    #[test]
    fn bodies_come_by_length_in_chunks_or_until_the_end() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellomore",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n",
            "HTTP/1.0 200\r\n\r\nhello",
        ] {
            assert_eq!(answer(text), Ok(Answer { status: 200, body: b"hello".to_vec() }), "{text}");
        }
        assert!(answer("SSH-2.0-x\r\n").is_err() && answer("").is_err());
    }

    #[test]
    fn members_that_are_expected_must_be_there() {
        let body = br#"{"ok":true,"n":1,"more":[1,{"a":2,"b":3}]}"#.to_vec();
        let found = Answer { status: 200, body };
        let outcome =
            |wanted: &str| check(&found, 200, Some(&serde_json::from_str(wanted).expect("JSON")), None);
        assert_eq!(outcome(r#"{"ok":true}"#), Ok(()));
        assert_eq!(outcome(r#"{"more":[1,{"a":2}]}"#), Ok(()));
        assert!(outcome(r#"{"ok":false}"#).is_err());
        assert!(outcome(r#"{"none":1}"#).is_err());
        assert!(check(&found, 503, None, None).is_err_and(|why| why.contains("200 instead of 503")));
    }
}
