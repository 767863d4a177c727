//! The plan file: text to model, with every fault explained.
//!
//! One road: files → spanned trees ([`load()`]) → walk along the shape tables → drafts → cross checks
//! → [`Plan`]. All faults of all files are collected; nothing stops at the first.
//!
//! Knows no network, no host and no process. Files are reached only through [`Files`].

mod build;
mod checks;
mod code;
mod disk;
mod draft;
mod excerpt;
mod fault;
mod files;
mod findings;
mod host_files;
mod include;
mod load;
mod path;
mod render;
mod schema;
mod secret;
mod shape;
mod source;
mod starter;
mod suggest;
mod template;
mod tree;
mod variable;
mod walk;

pub use code::{CodeInfo, codes, explain};
pub use disk::DiskFiles;
pub use files::{FILE_BYTES_MAX, FileError, Files, MemoryFiles};
pub use findings::to_json;
pub use load::{Loaded, PLAN_FILE, Plan, load};
pub use render::{Style, render};
pub use schema::schema;
pub use source::Source;
pub use starter::starter;
