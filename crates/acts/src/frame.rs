//! Frames: a length, a kind, bytes. Both sides of the talk with a host read and write them here.
//!
//! Nothing here knows what a message means. Every length is checked before memory is taken for it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// What the program on the host says first, so that greetings of a login shell before it can be told apart.
pub const MAGIC: &[u8] = b"\0haus-remote\n";

/// Bytes of noise before [`MAGIC`] that are accepted.
pub const NOISE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a message at most.
pub const MESSAGE_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Bytes of a blob that travel in one frame at most.
pub const CHUNK_BYTES_MAX: u32 = 1024 * 1024;

const KIND_MESSAGE: u8 = b'J';
const KIND_CHUNK: u8 = b'B';

/// Why a frame could not be read or written.
#[derive(Debug)]
pub enum FrameError {
    /// The other side has gone between two frames: the orderly end.
    Ended,
    /// The stream broke.
    Broken(io::Error),
    /// A frame of a kind that nobody knows.
    Kind(u8),
    /// A frame that is longer than its kind allows.
    Length(u32),
    /// A message that is no JSON of ours. The text says where, and never quotes, since secrets travel here.
    Message(String),
    /// The first bytes were not ours; what they were, as far as they are text.
    Noise(String),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameError::Ended => f.write_str("the other side has ended the talk"),
            FrameError::Broken(_) => f.write_str("the stream broke"),
            FrameError::Kind(kind) => write!(f, "a frame of the unknown kind {kind:#04x}"),
            FrameError::Length(bytes) => write!(f, "a frame of {bytes} bytes, which is too long or empty"),
            FrameError::Message(why) => write!(f, "a message that cannot be read: {why}"),
            FrameError::Noise(text) if text.is_empty() => f.write_str("the talk ended before it began"),
            FrameError::Noise(text) => write!(f, "something else answers: {text}"),
        }
    }
}

impl std::error::Error for FrameError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FrameError::Broken(error) => Some(error),
            FrameError::Ended
            | FrameError::Kind(_)
            | FrameError::Length(_)
            | FrameError::Message(_)
            | FrameError::Noise(_) => None,
        }
    }
}

/// One frame as it was read.
pub enum Frame {
    /// The bytes of a message; they may hold a secret and are zeroed when dropped.
    Message(Zeroizing<Vec<u8>>),
    /// A part of a blob.
    Chunk(Vec<u8>),
}

/// Writes one message and pushes it out.
pub fn write_message(to: &mut impl Write, message: &impl Serialize) -> Result<(), FrameError> {
    // The length stands in front, so that the bytes leave in one write.
    let mut bytes = Zeroizing::new(vec![0; 5]);
    serde_json::to_writer(&mut *bytes, message).map_err(|error| FrameError::Message(place(&error)))?;
    write_head(&mut bytes, KIND_MESSAGE, MESSAGE_BYTES_MAX)?;
    to.write_all(&bytes).and_then(|()| to.flush()).map_err(FrameError::Broken)
}

/// Writes a part of a blob, without pushing it out.
pub fn write_chunk(to: &mut impl Write, chunk: &[u8]) -> Result<(), FrameError> {
    let mut head = vec![0; 5];
    let bytes = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
    if bytes == 0 || bytes > CHUNK_BYTES_MAX {
        return Err(FrameError::Length(bytes));
    }
    head[..4].copy_from_slice(&(bytes + 1).to_be_bytes());
    head[4] = KIND_CHUNK;
    to.write_all(&head).and_then(|()| to.write_all(chunk)).map_err(FrameError::Broken)
}

fn write_head(bytes: &mut [u8], kind: u8, bytes_max: u32) -> Result<(), FrameError> {
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    if length > bytes_max {
        return Err(FrameError::Length(length));
    }
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes[4] = kind;
    Ok(())
}

/// Reads the next frame.
pub fn read_frame(from: &mut impl Read) -> Result<Frame, FrameError> {
    let mut head = [0; 5];
    let mut read = 0;
    while read < head.len() {
        match from.read(&mut head[read..]) {
            Ok(0) if read == 0 => return Err(FrameError::Ended),
            Ok(0) => return Err(FrameError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FrameError::Broken(error)),
        }
    }
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let bytes_max = match head[4] {
        KIND_MESSAGE => MESSAGE_BYTES_MAX,
        KIND_CHUNK => CHUNK_BYTES_MAX + 1,
        kind => return Err(FrameError::Kind(kind)),
    };
    if length < 2 || length > bytes_max {
        return Err(FrameError::Length(length));
    }
    let body = read_body(from, length as usize - 1)?;
    Ok(if head[4] == KIND_MESSAGE { Frame::Message(body) } else { Frame::Chunk(body.to_vec()) })
}

/// Memory grows with what has come, not with what a length claims.
fn read_body(from: &mut impl Read, bytes: usize) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let mut body = Zeroizing::new(Vec::with_capacity(bytes.min(CHUNK_BYTES_MAX as usize)));
    while body.len() < bytes {
        let begin = body.len();
        let step = (bytes - begin).min(CHUNK_BYTES_MAX as usize);
        body.resize(begin + step, 0);
        from.read_exact(&mut body[begin..]).map_err(FrameError::Broken)?;
    }
    Ok(body)
}

/// Reads the bytes of a message.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(bytes).map_err(|error| FrameError::Message(place(&error)))
}

/// Reads the next frame, which must be a message.
pub fn read_message<T: DeserializeOwned>(from: &mut impl Read) -> Result<T, FrameError> {
    match read_frame(from)? {
        Frame::Message(bytes) => parse(&bytes),
        Frame::Chunk(_) => Err(FrameError::Kind(KIND_CHUNK)),
    }
}

/// Where a message is wrong. serde's own text quotes what it found, and that may be a secret.
fn place(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Io => "it cannot be written",
        serde_json::error::Category::Syntax => "it is no JSON",
        serde_json::error::Category::Data => "it is not what is expected there",
        serde_json::error::Category::Eof => "it ends early",
    };
    format!("{what} (column {})", error.column())
}

/// Skips what comes before [`MAGIC`]; gives it back as text when nothing of ours follows.
pub fn skip_noise(from: &mut impl Read) -> Result<String, FrameError> {
    let mut seen: Vec<u8> = Vec::new();
    let mut byte = [0];
    loop {
        match from.read(&mut byte) {
            Ok(0) => return Err(FrameError::Noise(text_of(&seen))),
            Ok(_) => seen.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FrameError::Broken(error)),
        }
        if seen.ends_with(MAGIC) {
            seen.truncate(seen.len() - MAGIC.len());
            return Ok(text_of(&seen));
        }
        if seen.len() > NOISE_BYTES_MAX {
            return Err(FrameError::Noise(text_of(&seen)));
        }
    }
}

fn text_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
    text.chars()
        .filter(|letter| !letter.is_control() || *letter == '\n')
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_and_chunks_come_back() {
        let mut bytes = Vec::new();
        write_message(&mut bytes, &"hello").expect("writes");
        write_chunk(&mut bytes, b"abc").expect("writes");
        let mut from = bytes.as_slice();
        assert_eq!(read_message::<String>(&mut from).expect("reads"), "hello");
        assert!(matches!(read_frame(&mut from), Ok(Frame::Chunk(chunk)) if chunk == b"abc"));
        assert!(matches!(read_frame(&mut from), Err(FrameError::Ended)));
    }

    fn check(bytes: &[u8], expected: &str) {
        let mut from = bytes;
        let error = read_message::<String>(&mut from).expect_err("a fault");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn faults_are_told_without_quoting() {
        check(b"\0\0\0\x09J\"hunter2", "a message that cannot be read: it ends early (column 8)");
        check(
            b"\0\0\0\x04J123",
            "a message that cannot be read: it is not what is expected there (column 3)",
        );
        check(b"\xff\xff\xff\xffJ", "a frame of 4294967295 bytes, which is too long or empty");
        check(b"\0\0\0\x01J", "a frame of 1 bytes, which is too long or empty");
        check(b"\0\0\0\x05Q1234", "a frame of the unknown kind 0x51");
        check(b"\0\0\0", "the stream broke");
        check(b"\0\0\0\x05Jabc", "the stream broke");
    }

    #[test]
    fn greetings_of_a_login_shell_are_skipped() {
        let stream = [b"Welcome!\r\n".as_slice(), MAGIC, b"rest"].concat();
        let mut from = stream.as_slice();
        assert_eq!(skip_noise(&mut from).expect("ours"), "Welcome!");
        assert_eq!(from, b"rest");
        let error = skip_noise(&mut b"sudo: a password is required\n".as_slice()).expect_err("not ours");
        assert_eq!(error.to_string(), "something else answers: sudo: a password is required");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut from = bytes.as_slice();
            while read_message::<crate::wire::Request>(&mut from).is_ok() {}
            let _ = skip_noise(&mut bytes.as_slice());
        }
    }
}
