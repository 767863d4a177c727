//! What testkit promises to other tests, tried for real.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod lab;
