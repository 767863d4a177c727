//! Frames: a length of four bytes, big-endian, then that many bytes of JSON.
//! Bytes in, values out; it never reads or writes anything itself.

use std::collections::VecDeque;
use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// The longest body a frame may have.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
const HEADER_BYTES: usize = 4;

/// Why a frame could not be written or read. After a failed read the stream is unusable.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A body longer than [`FRAME_BYTES_MAX`].
    #[error("frame of {length} bytes is longer than {FRAME_BYTES_MAX}")]
    TooLong {
        /// Length of the body.
        length: usize,
    },
    /// A body that is not the expected JSON. The text stays out of the message since it may be secret.
    #[error("frame holds no known message (line {line}, column {column})")]
    Garbage {
        /// Line in the body.
        line: usize,
        /// Column in the body.
        column: usize,
    },
    /// A value that cannot be written as JSON.
    #[error("cannot write message as JSON")]
    Encode {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Counts what a value takes, so that the one buffer is allocated once: growing would leave copies of secrets
/// behind.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One value as one frame.
pub fn encode<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).map_err(|source| FrameError::Encode { source })?;
    let length = counter.0;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { length });
    }
    let mut frame = Zeroizing::new(Vec::with_capacity(HEADER_BYTES + length));
    frame.extend_from_slice(&(length as u32).to_be_bytes());
    serde_json::to_writer(&mut *frame, value).map_err(|source| FrameError::Encode { source })?;
    Ok(frame)
}

/// Collects bytes in pieces of any size and gives back whole values.
#[derive(Default)]
pub struct FrameDecoder {
    header: Vec<u8>,
    body: Option<(usize, Zeroizing<Vec<u8>>)>,
    whole: VecDeque<Zeroizing<Vec<u8>>>,
    /// Once a length was refused, nothing after it can be trusted to be a header.
    refused_length: Option<usize>,
}

impl FrameDecoder {
    /// An empty decoder.
    pub fn new() -> FrameDecoder {
        FrameDecoder::default()
    }

    /// Takes in the next bytes of the stream.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.refused_length.is_none() {
            let (length, mut body) = match self.body.take() {
                Some(begun) => begun,
                None => {
                    let (head, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES - self.header.len()));
                    self.header.extend_from_slice(head);
                    bytes = rest;
                    let Some(length) = self.take_length() else { continue };
                    // The whole buffer at once, for the same reason as in `encode`.
                    (length, Zeroizing::new(Vec::with_capacity(length)))
                }
            };
            let (piece, rest) = bytes.split_at(bytes.len().min(length - body.len()));
            body.extend_from_slice(piece);
            bytes = rest;
            if body.len() == length {
                self.whole.push_back(body);
            } else {
                self.body = Some((length, body));
            }
        }
    }

    /// The next whole value, `None` when more bytes are needed.
    pub fn next_value<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        if let Some(body) = self.whole.pop_front() {
            return serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| FrameError::Garbage { line: error.line(), column: error.column() });
        }
        match self.refused_length {
            Some(length) => Err(FrameError::TooLong { length }),
            None => Ok(None),
        }
    }

    fn take_length(&mut self) -> Option<usize> {
        let header: [u8; HEADER_BYTES] = self.header.as_slice().try_into().ok()?;
        self.header.clear();
        let length = u32::from_be_bytes(header) as usize;
        if length > FRAME_BYTES_MAX {
            self.refused_length = Some(length);
            return None;
        }
        Some(length)
    }
}
