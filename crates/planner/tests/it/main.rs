//! The planner as a whole: scenarios in text, and random houses on simulated hosts against what must always
//! hold.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names only what it is about")]

mod fixture;
mod laws;
mod scenario;
mod scenarios;
mod simulated_host;
mod transcript;
