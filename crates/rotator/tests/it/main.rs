//! The rotator against real servers, started by each test on a free loopback port in a folder of its own.
#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod hostile;
mod postgres;
mod redis;
mod servers;

use haus_model::Secret;
use haus_rotator::{RotateError, RotateErrorKind};

/// A value that can be looked for in logs and errors.
fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

/// Runs one step to its end.
fn run<T>(step: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(step)
}

/// The kind of a failure, after a look for planted values in everything that it prints.
#[track_caller]
fn kind(result: Result<(), RotateError>) -> RotateErrorKind {
    let error = result.expect_err("the step fails");
    let printed = format!("{} {error:?}", haus_model::error::chain(&error));
    assert!(!printed.contains("planted"), "{printed}");
    error.kind
}
