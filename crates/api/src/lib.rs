//! Request and response types of Hausmeister's HTTP API, and its problem codes.
//!
//! Knows the shape of every answer and nothing of how it is stored, found or served.

pub mod control;
pub mod problem;
pub mod registry;
pub mod status;

pub use problem::{Problem, ProblemCode};
