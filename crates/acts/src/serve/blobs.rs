//! Content that is carried beside the plan: found by its hash, taken in pieces, checked before it gets its
//! name.

use crate::disk::{self, Place};
use crate::frame::{Frame, FrameError, read_frame};
use crate::machine::Layout;
use crate::observe::fingerprint_of;
use crate::refusal::Result;
use crate::wire::{Refusal, Reply};
use haus_model::Fingerprint;
use haus_model::host_code::HostCode;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{self, Read};

/// Bytes of a blob at most.
const BLOB_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Which of these are not here.
pub(super) fn missing(layout: &Layout, mut blobs: BTreeSet<Fingerprint>) -> BTreeSet<Fingerprint> {
    blobs.retain(|hash| !layout.blobs().join(hash.to_string()).exists());
    blobs
}

/// Takes a blob from the stream. All of it is read whatever happens, so that the talk can go on.
pub(super) fn take(
    layout: &Layout,
    hash: Fingerprint,
    bytes: u64,
    input: &mut impl Read,
) -> std::result::Result<Reply, FrameError> {
    let mut chunks = Chunks { input, left: bytes, rest: Vec::new(), state: Sha256::new(), broken: None };
    let outcome = store(layout, hash, bytes, &mut chunks);
    let drained = io::copy(&mut chunks, &mut io::sink());
    if let Some(error) = chunks.broken {
        return Err(error);
    }
    drained.map_err(FrameError::Broken)?;
    Ok(outcome.map_or_else(Reply::Refused, |()| Reply::Stored))
}

fn store(layout: &Layout, hash: Fingerprint, bytes: u64, chunks: &mut Chunks<'_, impl Read>) -> Result<()> {
    let what = || format!("take the blob {}", hash.short());
    let fault = |why: String| Refusal::new(HostCode::CopyFailed, what(), why, "apply again");
    if bytes > BLOB_BYTES_MAX {
        return Err(fault(format!("it has {bytes} bytes, and at most {BLOB_BYTES_MAX} are taken")));
    }
    disk::make_own_folder(&layout.blobs())?;
    let path = layout.blobs().join(hash.to_string());
    let place = Place::of(&path)?;
    let candidate = disk::candidate(&place, chunks, disk::own(0o600))?;
    if fingerprint_of(&std::mem::take(&mut chunks.state).finalize()) != hash {
        return Err(fault("what came has another hash".to_owned()));
    }
    candidate.rename()
}

/// The content of chunks, up to the size that was announced.
struct Chunks<'a, R> {
    input: &'a mut R,
    left: u64,
    rest: Vec<u8>,
    state: Sha256,
    broken: Option<FrameError>,
}

impl<R: Read> Read for Chunks<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && self.left > 0 {
            match read_frame(self.input) {
                Ok(Frame::Chunk(chunk)) if chunk.len() as u64 <= self.left => {
                    self.left -= chunk.len() as u64;
                    self.state.update(&chunk);
                    self.rest = chunk;
                }
                Ok(Frame::Chunk(_) | Frame::Message(_)) => {
                    return self.give_up(FrameError::Message("a blob did not come as announced".to_owned()));
                }
                Err(error) => return self.give_up(error),
            }
        }
        let bytes = self.rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&self.rest[..bytes]);
        self.rest.drain(..bytes);
        Ok(bytes)
    }
}

impl<R> Chunks<'_, R> {
    fn give_up(&mut self, error: FrameError) -> io::Result<usize> {
        self.broken.get_or_insert(error);
        self.left = 0;
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
