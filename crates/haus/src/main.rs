//! The command `haus`: arguments in, words and exit codes out. All work is done elsewhere.
//!
//! One file per command under `command/`. Nothing here knows SQL or cryptography.

mod arguments;
mod command;
mod exit;
mod interrupt;
mod listing;
mod locate;
mod outlet;
mod secret_input;
mod terminal;

use clap::Parser;
use std::process::ExitCode;

/// glibc's allocator takes a lock for every piece above a kilobyte, and shares two of them between all
/// threads (`MALLOC_ARENA_MAX`): a third of the time of a request went there. musl's is slower still.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too; only wrong use is an error.
            let _ = error.print();
            return if error.use_stderr() { exit::WRONG_USE.into() } else { exit::DONE.into() };
        }
    };
    match command::run(arguments) {
        Ok(code) => code.into(),
        Err(failure) => {
            terminal::failure(&failure);
            failure.code.into()
        }
    }
}
