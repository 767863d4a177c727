//! Running programs: always with a deadline, always with their output in hand. Knows nothing of what they do.

use crate::error::LabError;
use std::borrow::BorrowMut;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Long enough for every tool of the machine; what may take longer says so itself.
const TOOL_DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);
/// How much of a failed program's last words stands in the error.
const OUTPUT_MAX: usize = 1500;

/// What a command said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; none when a signal or our deadline ended it.
    pub code: Option<i32>,
    /// What it wrote, bytes that are no UTF-8 replaced.
    pub stdout: String,
    /// The same of its other stream.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }
}

/// Runs a tool of the machine to its end; everything but success is an error. Gives what it wrote.
pub(crate) fn run(attempt: &str, command: impl BorrowMut<Command>) -> Result<String, LabError> {
    run_within(attempt, command, TOOL_DEADLINE)
}

/// The same for what takes longer.
pub(crate) fn run_within(
    attempt: &str,
    mut command: impl BorrowMut<Command>,
    deadline: Duration,
) -> Result<String, LabError> {
    let command = command.borrow_mut();
    let output = output_within(attempt, command, deadline)?;
    if output.is_success() {
        return Ok(output.stdout);
    }
    let status = match output.code {
        Some(code) => format!("exit code {code}"),
        None => "a signal or our deadline".to_owned(),
    };
    let said = format!("{}{}", output.stdout, output.stderr);
    Err(LabError::Ended {
        attempt: attempt.to_owned(),
        program: name_of(command),
        status,
        output: tail(&said),
    })
}

/// Runs a command to its end or to the deadline, whichever comes first. Every exit code is an answer.
pub(crate) fn output_within(
    attempt: &str,
    command: &mut Command,
    deadline: Duration,
) -> Result<Output, LabError> {
    let program = name_of(command);
    let failed = |source| LabError::Start { attempt: attempt.to_owned(), program: program.clone(), source };
    if !command.get_envs().any(|(name, _)| name == "PATH") {
        command.env("PATH", path_of_root());
    }
    // A group of its own, so that the deadline also ends what the command has started.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Err(failed(error)),
    };
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let until = Instant::now() + deadline;
    let code = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.code(),
            Ok(None) if Instant::now() >= until => {
                end_group(&mut child);
                break None;
            }
            Ok(None) => std::thread::sleep(PAUSE),
            Err(error) => return Err(failed(error)),
        }
    };
    // Something that was left in the background may hold the pipe for ever; what came so far is the answer.
    let text = |from: &Receiver<Vec<u8>>| {
        let mut bytes = Vec::new();
        let until = Instant::now() + Duration::from_secs(2);
        while let Ok(part) = from.recv_timeout(until.saturating_duration_since(Instant::now())) {
            bytes.extend(part);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Output { code, stdout: text(&stdout), stderr: text(&stderr) })
}

/// Whether a program of this name stands on PATH.
pub(crate) fn is_there(program: &str) -> bool {
    std::env::split_paths(&path_of_root()).any(|folder| folder.join(program).is_file())
}

/// The tools of root are not on everybody's PATH, also not on that of everybody who became root.
fn path_of_root() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut block = [0_u8; 8192];
            while let Ok(count) = pipe.read(&mut block) {
                if count == 0 || sender.send(block[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

fn end_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

fn name_of(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn tail(text: &str) -> String {
    let text = text.trim();
    let mut from = text.len().saturating_sub(OUTPUT_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, deadline: Duration) -> Output {
        output_within("try", Command::new("sh").args(["-c", script]), deadline).unwrap()
    }

    #[test]
    fn both_streams_and_the_code_come_back() {
        let output = sh("echo out; echo err >&2; exit 3", TOOL_DEADLINE);
        assert_eq!(output, Output { code: Some(3), stdout: "out\n".into(), stderr: "err\n".into() });
    }

    #[test]
    fn a_command_that_hangs_ends_with_the_deadline() {
        let output = sh("echo begun; sleep 1000", Duration::from_millis(200));
        assert_eq!((output.code, output.stdout.as_str()), (None, "begun\n"));
    }

    #[test]
    fn a_failure_names_attempt_program_and_last_words() {
        let error = run("try it", Command::new("sh").args(["-c", "echo why >&2; exit 9"])).unwrap_err();
        assert_eq!(error.to_string(), "try it: sh ended with exit code 9: why");
    }
}
