//! Captured output of services: lines with time and stream, in files that rotate by size. Writing and reading
//! share the format of `docs/formats/log.md`; neither knows which service a file is about.

mod line;
mod read;
mod write;

pub(crate) use line::LineSplitter;
pub use line::{LINE_BYTES_MAX, LogLine, LogStream};
pub use read::{Follower, LogError, rotated_path, tail};
pub use write::LogWriter;
