//! Request and response types of Hausmeister's HTTP API, and its problem codes.
//!
//! Knows the shape of every answer and nothing of how it is stored, found or served.

pub mod alert;
pub mod control;
pub mod credential;
pub mod gateway;
pub mod health;
pub mod identity;
pub mod instance;
pub mod page;
pub mod problem;
pub mod registry;
pub mod status;
pub mod trail;
pub mod vault;
pub mod watch;

pub use problem::{Problem, ProblemCode};
