//! Integration tests of the plan language; one binary with a module per subject.
#![allow(clippy::unwrap_used, reason = "the functions here are parts of tests; a panic is how those fail")]

mod arbitrary;
mod corpus;
mod documents;
mod fixtures;
mod hostile;
mod houses;
mod json;
mod machines;
mod model;
mod schema;
