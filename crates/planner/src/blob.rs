//! Bytes that are carried beside a plan, as the planner sees them: a hash and a size, or a text.
//! Where they are kept is not known here.

use haus_model::Fingerprint;
use haus_model::resource::Content;
use serde::{Deserialize, Serialize};

/// The longest text that stands in a plan itself; longer ones are carried beside it.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 10;

/// Bytes that are carried beside the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Their hash, by which they are found.
    pub hash: Fingerprint,
    /// How many.
    pub bytes: u64,
}

impl Blob {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Blob {
        Blob { hash: Fingerprint::of(bytes), bytes: bytes.len() as u64 }
    }

    pub(crate) fn content(self) -> Content {
        Content::Blob { hash: self.hash, bytes: self.bytes }
    }
}

/// The content of a file that the plan names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileInput {
    /// Text of at most 64 KiB.
    Text(String),
    /// Anything else.
    Blob(Blob),
}

impl FileInput {
    /// Of a file with these bytes.
    pub fn of(bytes: &[u8]) -> FileInput {
        match str::from_utf8(bytes) {
            // A NUL is no text for a diff, also where it is valid UTF-8.
            Ok(text) if bytes.len() <= TEXT_BYTES_MAX && !text.contains('\0') => {
                FileInput::Text(text.to_owned())
            }
            Ok(_) | Err(_) => FileInput::Blob(Blob::of(bytes)),
        }
    }

    pub(crate) fn content(&self) -> Content {
        match self {
            FileInput::Text(text) => Content::Text(text.clone()),
            FileInput::Blob(blob) => blob.content(),
        }
    }
}
