//! Carries out a change set on hosts: reaches them, puts `haus-remote` there, lets it act, and says what
//! became of each.
//!
//! Two ports: [`transport::Transport`] carries bytes, [`host::Host`] is a session of typed requests. This
//! crate takes no decisions: what is to be done comes as a `ChangeSet`, and it does not know who planned it,
//! nor how an act is done.

pub mod apply;
mod bootstrap;
pub mod channel;
pub mod clock;
mod crowd;
pub mod host;
pub mod host_key;
pub mod incus;
pub mod local;
pub mod observe;
mod obstacle;
mod opening;
pub mod outcome;
pub mod patience;
pub mod programs;
pub mod remote;
mod run;
pub mod sessions;
mod settle;
pub mod shown;
pub mod ssh;
mod ssh_words;
pub mod supply;
pub mod transport;
