//! The machines of the crate as a whole: scenarios in text, and random histories against invariants.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod alert_histories;
mod alert_scenario;
mod balancing;
mod histories;
mod scenario;
mod scenarios;
mod world;
