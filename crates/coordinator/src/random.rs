//! Random bytes from the kernel, as a problem when there are none.

use haus_api::{Problem, ProblemCode};

/// So many random bytes.
///
/// # Errors
/// The system gives none.
pub(crate) fn bytes<const COUNT: usize>() -> Result<[u8; COUNT], Problem> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|error| {
        Problem::new(ProblemCode::Internal, format!("the system gives no random bytes: {error}"))
            .with_hint("see whether the getrandom system call is forbidden here")
    })?;
    Ok(bytes)
}

/// An id that nobody can guess and nobody has: 128 bits in hexadecimal.
///
/// # Errors
/// The system gives no random bytes.
pub(crate) fn id() -> Result<String, Problem> {
    Ok(format!("{:032x}", u128::from_be_bytes(bytes()?)))
}
