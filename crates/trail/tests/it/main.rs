//! The trail from outside: what is written can be read, and what was done to it afterwards is found.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod anchors;
mod faults;
mod lines;
mod sample;
mod tampering;
mod vectors;
