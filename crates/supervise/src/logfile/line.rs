//! One line of a log: its text form, and cutting a stream of bytes into lines.
//! Pure: the time of a line is an argument.

use std::fmt;
use std::str::FromStr;

/// The longest text of one line; longer ones are split.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// The supervisor itself, for example about lost lines.
    Log,
}

impl LogStream {
    pub(crate) fn word(self) -> &'static str {
        match self {
            LogStream::Out => "out",
            LogStream::Err => "err",
            LogStream::Log => "log",
        }
    }
}

impl fmt::Display for LogStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// One line as read back from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When the supervisor read it, as `2026-11-21T03:00:00.123Z`.
    pub at: String,
    /// Where it came from.
    pub stream: LogStream,
    /// The text without line break.
    pub text: String,
}

/// A line that is not in the format of a captured log.
#[derive(Debug, thiserror::Error)]
#[error("not a line of a captured log")]
pub struct NotALogLine;

impl FromStr for LogLine {
    type Err = NotALogLine;

    fn from_str(line: &str) -> Result<LogLine, NotALogLine> {
        let mut parts = line.splitn(3, ' ');
        let at = parts.next().filter(|at| at.ends_with('Z') && at.len() >= 20).ok_or(NotALogLine)?;
        let stream = match parts.next() {
            Some("out") => LogStream::Out,
            Some("err") => LogStream::Err,
            Some("log") => LogStream::Log,
            _ => return Err(NotALogLine),
        };
        Ok(LogLine { at: at.to_owned(), stream, text: parts.next().unwrap_or_default().to_owned() })
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.at, self.stream, self.text)
    }
}

/// The time of a line.
pub(crate) fn stamp(now: jiff::Timestamp) -> String {
    format!("{now:.3}")
}

/// Cuts what one stream delivers into lines of bounded length.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    unfinished: Vec<u8>,
}

impl LineSplitter {
    /// Takes in bytes and gives every finished line to `emit`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.take_in(&bytes[..end], &mut emit);
            // Carriage returns come from programs that believe in a terminal.
            let line = self.unfinished.strip_suffix(b"\r").unwrap_or(&self.unfinished);
            emit(line);
            self.unfinished.clear();
            bytes = &bytes[end + 1..];
        }
        self.take_in(bytes, &mut emit);
    }

    /// The stream has ended: what has no line break is a line too.
    pub(crate) fn finish(&mut self, mut emit: impl FnMut(&[u8])) {
        if !self.unfinished.is_empty() {
            emit(&self.unfinished);
            self.unfinished.clear();
        }
    }

    fn take_in(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(&[u8])) {
        while self.unfinished.len() + bytes.len() > LINE_BYTES_MAX {
            let room = LINE_BYTES_MAX - self.unfinished.len();
            let cut = if room == 0 { 0 } else { character_start(&bytes[..=room], room) };
            self.unfinished.extend_from_slice(&bytes[..cut]);
            emit(&self.unfinished);
            self.unfinished.clear();
            bytes = &bytes[cut..];
        }
        self.unfinished.extend_from_slice(bytes);
    }
}

/// The last place at or before `wanted` that does not tear a UTF-8 character; `wanted` itself for other
/// bytes.
fn character_start(bytes: &[u8], wanted: usize) -> usize {
    let is_start = |place: &usize| bytes.get(*place).is_none_or(|byte| byte & 0xc0 != 0x80);
    (wanted.saturating_sub(3)..=wanted).rev().find(is_start).filter(|place| *place > 0).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: &[&[u8]]) {
        let mut splitter = LineSplitter::default();
        let mut lines: Vec<Vec<u8>> = Vec::new();
        for piece in pieces {
            splitter.feed(piece, |line| lines.push(line.to_vec()));
        }
        splitter.finish(|line| lines.push(line.to_vec()));
        assert_eq!(lines, expected.iter().map(|line| line.to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn lines_are_cut_at_breaks_wherever_the_pieces_end() {
        check(&[b"one\ntw", b"o\n", b"\nend"], &[b"one", b"two", b"", b"end"]);
        check(&[b"a\r\n", b"b\r", b"\n"], &[b"a", b"b"]);
        check(&[b"", b""], &[]);
    }

    #[test]
    fn a_line_longer_than_the_limit_is_split_without_loss() {
        let long = vec![b'x'; LINE_BYTES_MAX + 5];
        check(&[&long, b"\n"], &[&long[..LINE_BYTES_MAX], b"xxxxx"]);
        let exact = vec![b'x'; LINE_BYTES_MAX];
        check(&[&exact, b"\nz\n"], &[&exact, b"z"]);
    }

    #[test]
    fn splitting_does_not_tear_a_character() {
        let text = "x".repeat(LINE_BYTES_MAX - 1) + "é";
        check(&[text.as_bytes()], &[&text.as_bytes()[..LINE_BYTES_MAX - 1], "é".as_bytes()]);
    }

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let text = "2026-11-21T03:00:00.123Z err  two  spaces ";
        let line: LogLine = text.parse().expect("parses");
        assert_eq!((line.stream, line.text.as_str()), (LogStream::Err, " two  spaces "));
        assert_eq!(line.to_string(), text);
        for foreign in ["", "hello", "2026-11-21T03:00:00.123Z warn text", "yesterdayZ out x"] {
            assert!(foreign.parse::<LogLine>().is_err(), "{foreign}");
        }
    }

    #[test]
    fn the_stamp_always_has_three_decimals() {
        let at = jiff::Timestamp::from_second(1_795_230_000).expect("in range");
        assert_eq!(stamp(at), "2026-11-21T03:00:00.000Z");
    }
}
