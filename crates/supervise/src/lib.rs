//! The supervisor parent: a small synchronous process that owns services, their logs and their exit codes. It
//! deliberately does not know the plan, HTTP or the database; the core is one of its children and gives
//! orders.

pub mod account;
mod backoff;
mod cgroup;
#[cfg(test)]
mod eventually;
pub mod identity;
mod link;
pub mod lock;
pub mod logfile;
mod notify;
mod orphans;
mod parent;
mod process_table;
mod roster;
mod spawn;
mod sys;
pub mod wire;

pub use identity::ProcessIdentity;
pub use link::{CORE_FD_VARIABLE, CoreLink, CoreReceiver, CoreSender, LinkError};
pub use parent::{ParentError, ParentOptions, run_parent};
pub use wire::{
    ChildState, ExitKind, FileSpec, FolderSpec, Limits, LinkSpec, LogSpec, Order, Report, SpawnSpec, Step,
    StopSpec, parent_takes_deliver,
};
