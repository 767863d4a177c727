//! Access tokens from outside: what is accepted, what is refused, and whether others understand the same by
//! them.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod house;
mod interop;
mod refused;
mod rotation;
