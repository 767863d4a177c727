//! Carries out a change set on hosts: reaches them, puts `haus-remote` there, lets it act, and says what became of each.
//!
//! Two ports: [`transport::Transport`] carries bytes, [`host::Host`] is a session of typed requests. This crate takes no
//! decisions: what is to be done comes as a `ChangeSet`, and it does not know who planned it, nor how an act is done.

mod bootstrap;
pub mod channel;
pub mod host;
pub mod host_key;
pub mod incus;
pub mod local;
mod obstacle;
mod opening;
pub mod patience;
pub mod programs;
pub mod remote;
pub mod shown;
pub mod ssh;
mod ssh_words;
pub mod transport;
