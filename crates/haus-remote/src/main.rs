//! `haus-remote`: the program that `haus` puts on hosts. Arguments, streams and exit codes; everything else
//! is `haus_acts`. It listens on nothing and leaves nothing running behind.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks over its streams")]

use haus_acts::deadman::revert;
use haus_acts::frame::FrameError;
use haus_acts::machine::Machine;
use haus_acts::serve::{SILENCE, serve};
use haus_acts::wire::{Outcome, Progress, VERSION};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "haus-remote serve | revert HOUSE APPLY [--boot] | version";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version"] => {
            println!("haus-remote {} protocol {VERSION}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["serve"] => serve_streams(),
        ["revert", house, apply] => take_back(house, apply, false),
        ["revert", house, apply, "--boot"] => take_back(house, apply, true),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn serve_streams() -> ExitCode {
    let talk = || -> Result<(), FrameError> {
        let machine = machine().map_err(FrameError::Broken)?;
        let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(FrameError::Broken)?;
        let output = std::io::stdout().as_fd().try_clone_to_owned().map_err(FrameError::Broken)?;
        serve(&machine, silence(), File::from(input), File::from(output))
    };
    match talk() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("haus-remote: {error}");
            ExitCode::from(4)
        }
    }
}

/// What systemd runs; its words go to the journal.
fn take_back(house: &str, apply: &str, booting: bool) -> ExitCode {
    let Ok(house) = house.parse() else {
        eprintln!("haus-remote: {house} is no name of a house");
        return ExitCode::from(2);
    };
    let mut say = |progress: Progress| match progress {
        Progress::Run(argv) => eprintln!("$ {}", argv.join(" ")),
        Progress::Step(text) | Progress::Line(text) => eprintln!("{text}"),
    };
    let machine = match machine() {
        Ok(machine) => machine,
        Err(error) => {
            eprintln!("haus-remote: cannot tell which program this is: {error}");
            return ExitCode::from(4);
        }
    };
    match revert(&machine, &house, apply, booting, &mut say) {
        Ok(None) => {
            eprintln!("nothing of {apply} waits for a confirmation");
            ExitCode::SUCCESS
        }
        Ok(Some(finished)) => {
            let word = if finished.outcome == Outcome::Reverted { "taken back" } else { "ended" };
            eprintln!("{apply}: {word}; {} things could not be taken back", finished.left.len());
            for left in &finished.left {
                eprintln!("{}: {}", left.resource, left.why);
            }
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            eprintln!("haus-remote: {refusal}; {}", refusal.remedy);
            ExitCode::from(4)
        }
    }
}

/// The machine on which we run; in a debug build tests may give another root and state folder.
fn machine() -> std::io::Result<Machine> {
    let machine = Machine::own()?;
    Ok(if cfg!(debug_assertions) { under_test(machine) } else { machine })
}

/// How long a session with the lock waits; in a debug build tests may be less patient.
fn silence() -> Duration {
    let told = std::env::var("HAUS_REMOTE_SILENCE_MS").ok().and_then(|text| text.parse().ok());
    told.filter(|_| cfg!(debug_assertions)).map_or(SILENCE, Duration::from_millis)
}

fn under_test(machine: Machine) -> Machine {
    let path = |name| std::env::var_os(name).map(std::path::PathBuf::from);
    Machine {
        root: path("HAUS_REMOTE_ROOT").unwrap_or(machine.root),
        state: path("HAUS_REMOTE_STATE").unwrap_or(machine.state),
        program: machine.program,
    }
}
