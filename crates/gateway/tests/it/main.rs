//! The gateway against real sockets: clients and instances are written out byte by byte where it matters.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod breaker;
mod call_faults;
mod calling;
mod calls;
mod drain;
mod files;
mod headers;
mod hold;
mod load;
mod problems;
mod retries;
mod rig;
mod routing;
mod smuggling;
mod timing;
mod wire;
