//! One connection to Redis: RESP2, one command at a time. It opens itself on first use and again after a
//! failure. It knows no keys.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// Longer than the longest blocking command of `queue`.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// What Redis answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Nothing,
    Number(i64),
    Text(String),
    List(Vec<Reply>),
}

impl Reply {
    /// The text of a reply, if it is one.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Reply::Text(text) => Some(text),
            Reply::Nothing | Reply::Number(_) | Reply::List(_) => None,
        }
    }

    /// The number of a reply, 0 where it is none.
    pub(crate) fn number(&self) -> i64 {
        match self {
            Reply::Number(number) => *number,
            Reply::Nothing | Reply::Text(_) | Reply::List(_) => 0,
        }
    }
}

/// A client of one server. Deliberately without `Debug`: it holds the password.
pub(crate) struct Redis {
    address: String,
    password: String,
    connection: Option<BufReader<TcpStream>>,
}

impl Redis {
    /// A client that connects when it is first used.
    pub(crate) fn new(address: String, password: String) -> Redis {
        Redis { address, password, connection: None }
    }

    /// Sends one command. After a failure the connection is given up, because a late answer to this command
    /// would be taken for the answer to the next one.
    pub(crate) fn send(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        let reply = exchange(&mut connection, words)?;
        self.connection = Some(connection);
        reply.map_err(io::Error::other)
    }

    fn open(&self) -> io::Result<BufReader<TcpStream>> {
        let address = self.address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.set_nodelay(true)?;
        let mut connection = BufReader::new(stream);
        exchange(&mut connection, &["AUTH", &self.password])?.map_err(io::Error::other)?;
        Ok(connection)
    }
}

/// One command and its answer; the inner error is what the server itself objects to.
fn exchange(connection: &mut BufReader<TcpStream>, words: &[&str]) -> io::Result<Result<Reply, String>> {
    connection.get_mut().write_all(&encode(words))?;
    decode(connection)
}

fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn decode(from: &mut impl io::BufRead) -> io::Result<Result<Reply, String>> {
    let mut line = String::new();
    from.take(TEXT_BYTES_MAX as u64).read_line(&mut line)?;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "this is not an answer of Redis");
    let rest = line.strip_suffix("\r\n").ok_or_else(broken)?;
    let (kind, rest) = rest.split_at_checked(1).ok_or_else(broken)?;
    let number = || rest.parse::<i64>().map_err(|_| broken());
    let reply = match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => return Ok(Err(rest.to_owned())),
        ":" => Reply::Number(number()?),
        "$" => match usize::try_from(number()?) {
            Err(_) => Reply::Nothing,
            Ok(length) if length > TEXT_BYTES_MAX => return Err(broken()),
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                from.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Reply::Text(String::from_utf8(bytes).map_err(|_| broken())?)
            }
        },
        "*" => {
            let mut items = Vec::new();
            for _ in 0..number()? {
                match decode(from)? {
                    Ok(item) => items.push(item),
                    Err(message) => return Ok(Err(message)),
                }
            }
            Reply::List(items)
        }
        _ => return Err(broken()),
    };
    Ok(Ok(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, expected: &Result<Reply, String>) {
        assert_eq!(decode(&mut bytes.as_bytes()).expect("readable"), *expected);
    }

    #[test]
    fn every_kind_of_answer_is_read() {
        check("+OK\r\n", &Ok(Reply::Text("OK".to_owned())));
        check(":-3\r\n", &Ok(Reply::Number(-3)));
        check("$-1\r\n", &Ok(Reply::Nothing));
        check("$4\r\na\r\nb\r\n", &Ok(Reply::Text("a\r\nb".to_owned())));
        check("*2\r\n:1\r\n$-1\r\n", &Ok(Reply::List(vec![Reply::Number(1), Reply::Nothing])));
        check("-NOAUTH no\r\n", &Err("NOAUTH no".to_owned()));
    }

    #[test]
    fn a_cut_or_foreign_answer_is_an_error() {
        for bad in ["", "+OK", "HTTP/1.1 400 Bad Request\r\n", "$5\r\nab", "$99999999999\r\n", ":x\r\n"] {
            assert!(decode(&mut bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_command_counts_bytes_not_letters() {
        assert_eq!(encode(&["SET", "ü"]), "*2\r\n$3\r\nSET\r\n$2\r\nü\r\n".as_bytes());
    }
}
