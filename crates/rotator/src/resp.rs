//! RESP2, the protocol of Redis: commands out, answers in, every length limited. Knows no command.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use zeroize::Zeroizing;

/// Longest line of an answer.
const LINE_BYTES_MAX: u64 = 8 * 1024;
/// Longest text with a length.
const BULK_BYTES_MAX: u64 = 64 * 1024;
/// Most members of all arrays of one answer together.
const MEMBERS_MAX: usize = 4096;
/// Deepest nesting of arrays.
const DEPTH_MAX: usize = 4;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `+OK`
    Status(String),
    /// `-ERR …`
    Failure(String),
    /// `:1`
    Number(i64),
    /// `$3…`; none is `$-1`.
    Text(Option<Vec<u8>>),
    /// `*2…`; none is `*-1`.
    List(Option<Vec<Answer>>),
}

/// A command as an array of texts with lengths, so that no byte of an argument can begin another command.
pub(crate) fn encode(arguments: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    // The room is taken at once: a buffer that grows would leave copies of a password behind.
    let room: usize = arguments.iter().map(|argument| argument.len() + 32).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 32));
    bytes.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Reads one answer.
///
/// # Errors
/// `UnexpectedEof` when the other side ends before, `InvalidData` when it is not RESP2 or larger than the
/// limits.
pub(crate) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Answer> {
    // Open lists, outermost first, each with the number of members that it still needs.
    let mut open: Vec<(Vec<Answer>, usize)> = Vec::new();
    let mut members = 0;
    loop {
        let mut done = match read_head(from).await? {
            Head::Whole(answer) => answer,
            Head::List(count) => {
                members += count;
                if members > MEMBERS_MAX || open.len() == DEPTH_MAX {
                    return Err(invalid("an answer larger than any that was asked for"));
                }
                if count > 0 {
                    open.push((Vec::new(), count));
                    continue;
                }
                Answer::List(Some(Vec::new()))
            }
        };
        loop {
            let Some((list, missing)) = open.last_mut() else { return Ok(done) };
            list.push(done);
            *missing -= 1;
            if *missing > 0 {
                break;
            }
            let (list, _) = open.pop().expect("the list that was just filled");
            done = Answer::List(Some(list));
        }
    }
}

enum Head {
    Whole(Answer),
    List(usize),
}

async fn read_head(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Head> {
    let line = read_line(from).await?;
    let Some((&kind, rest)) = line.split_first() else { return Err(invalid("an empty line")) };
    let words = || String::from_utf8_lossy(rest).into_owned();
    let number = || -> io::Result<i64> {
        let text = std::str::from_utf8(rest).map_err(|_| invalid("a length that is no number"))?;
        text.parse().map_err(|_| invalid("a length that is no number"))
    };
    Ok(match kind {
        b'+' => Head::Whole(Answer::Status(words())),
        b'-' => Head::Whole(Answer::Failure(words())),
        b':' => Head::Whole(Answer::Number(number()?)),
        b'$' => match number()? {
            -1 => Head::Whole(Answer::Text(None)),
            length => Head::Whole(Answer::Text(Some(read_text(from, length).await?))),
        },
        b'*' => match number()? {
            -1 => Head::Whole(Answer::List(None)),
            count => Head::List(usize::try_from(count).map_err(|_| invalid("a negative length"))?),
        },
        _ => return Err(invalid("an answer that is not RESP2")),
    })
}

async fn read_text(from: &mut (impl AsyncBufRead + Unpin), length: i64) -> io::Result<Vec<u8>> {
    let length = u64::try_from(length).map_err(|_| invalid("a negative length"))?;
    if length > BULK_BYTES_MAX {
        return Err(invalid("a text longer than any that was asked for"));
    }
    let mut text = vec![0; usize::try_from(length).expect("at most 64 KiB")];
    from.read_exact(&mut text).await?;
    let mut end = [0; 2];
    from.read_exact(&mut end).await?;
    if end != *b"\r\n" {
        return Err(invalid("a text without its end"));
    }
    Ok(text)
}

/// A line without its end.
async fn read_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    (&mut *from).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(text.to_vec()),
        None if u64::try_from(line.len()) == Ok(LINE_BYTES_MAX) => Err(invalid("a line without end")),
        None if line.ends_with(b"\n") => Err(invalid("an answer that is not RESP2")),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection")),
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(mut bytes: &[u8]) -> io::Result<Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(read(&mut bytes))
    }

    fn check(bytes: &str, expected: Result<Answer, io::ErrorKind>) {
        assert_eq!(read_all(bytes.as_bytes()).map_err(|error| error.kind()), expected, "{bytes:?}");
    }

    fn text(text: &str) -> Answer {
        Answer::Text(Some(text.as_bytes().to_vec()))
    }

    #[test]
    fn every_kind_of_answer_is_read() {
        check("+PONG\r\n", Ok(Answer::Status("PONG".into())));
        check("-ERR no\r\n", Ok(Answer::Failure("ERR no".into())));
        check(":-7\r\n", Ok(Answer::Number(-7)));
        check("$4\r\na\r\nb\r\n", Ok(text("a\r\nb")));
        check("$-1\r\n", Ok(Answer::Text(None)));
        check("*-1\r\n", Ok(Answer::List(None)));
        check("*0\r\n", Ok(Answer::List(Some(vec![]))));
        let inner = Answer::List(Some(vec![text("on")]));
        check(
            "*3\r\n*1\r\n$2\r\non\r\n:1\r\n*0\r\n",
            Ok(Answer::List(Some(vec![inner, Answer::Number(1), Answer::List(Some(vec![]))]))),
        );
    }

    #[test]
    fn what_is_not_redis_is_refused() {
        check("HTTP/1.1 400 Bad Request\r\n", Err(io::ErrorKind::InvalidData));
        check("+OK\n", Err(io::ErrorKind::InvalidData));
        check("\r\n", Err(io::ErrorKind::InvalidData));
        check("$x\r\n", Err(io::ErrorKind::InvalidData));
        check("$2\r\nabc\r\n", Err(io::ErrorKind::InvalidData));
    }

    #[test]
    fn a_flood_is_refused_before_it_is_kept() {
        check(&format!("+{}", "a".repeat(10_000)), Err(io::ErrorKind::InvalidData));
        check("$9000000000\r\n", Err(io::ErrorKind::InvalidData));
        check("$-2\r\n", Err(io::ErrorKind::InvalidData));
        check("*9000000000\r\n", Err(io::ErrorKind::InvalidData));
        check(&"*1\r\n".repeat(DEPTH_MAX + 1), Err(io::ErrorKind::InvalidData));
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_end() {
        check("", Err(io::ErrorKind::UnexpectedEof));
        check("+PON", Err(io::ErrorKind::UnexpectedEof));
        check("$4\r\nab", Err(io::ErrorKind::UnexpectedEof));
        check("*2\r\n:1\r\n", Err(io::ErrorKind::UnexpectedEof));
    }

    proptest! {
        #[test]
        fn a_command_reads_back_as_its_arguments(arguments: Vec<Vec<u8>>) {
            prop_assume!(!arguments.is_empty());
            let slices: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
            let expected = arguments.iter().cloned().map(|bytes| Answer::Text(Some(bytes))).collect();
            prop_assert_eq!(read_all(&encode(&slices)).expect("reads"), Answer::List(Some(expected)));
        }

        #[test]
        fn no_bytes_upset_the_reader(bytes: Vec<u8>) {
            let _ = read_all(&bytes);
        }
    }
}
