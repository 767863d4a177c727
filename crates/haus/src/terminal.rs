//! Words on the terminal: colours only where a person reads, one way to print a failure.
//! It knows no command; words that may not wait for a held terminal go through `outlet`.

use crate::exit::{FAILED, Failure};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};

/// Width for texts that must be laid out somehow although no terminal says how wide it is.
pub(crate) const WIDTH_DEFAULT: usize = 110;

/// Whether standard output is read by a person who can see colours.
pub(crate) fn colour_out() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether standard error is read by a person who can see colours.
pub(crate) fn colour_error() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Width of the terminal in columns; none when the output goes elsewhere and nothing need be cut.
pub(crate) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col).max(40))
}

/// Height of the terminal in lines, and none elsewhere.
pub(crate) fn height() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// Whether somebody still reads what a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Go on.
    There,
    /// The other end of the pipe is closed (`haus events -f | head -1`).
    Gone,
}

/// Looks whether the reader has left, without printing anything.
pub(crate) fn reader() -> Reader {
    let stdout = std::io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let left = PollFlags::ERR | PollFlags::HUP;
    match rustix::event::poll(&mut watched, Some(&at_once)) {
        Ok(_) if watched[0].revents().intersects(left) => Reader::Gone,
        Ok(_) | Err(_) => Reader::There,
    }
}

/// Prints for a command that goes on until its reader leaves.
pub(crate) fn follow(text: &str) -> Result<Reader, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new(FAILED, format!("cannot write the output: {error}"))
            .hint("see that its target has space and can be written")),
    }
}

/// Prints to standard output. A closed pipe (`haus status | head`) is no fault of ours.
pub(crate) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints one line to standard output.
pub(crate) fn line(text: &str) {
    out(&format!("{text}\n"));
}

/// Prints to standard error.
pub(crate) fn error(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints an answer for programs.
pub(crate) fn json(value: &impl serde::Serialize) {
    line(&serde_json::to_string_pretty(value).expect("an answer is plain data"));
}

/// Control characters made visible: what others chose must not steer the reader's terminal, or hide lines
/// from him.
pub(crate) fn harmless(line: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c.is_control() && c != '\t';
    if !line.contains(is_harmful) {
        return Cow::Borrowed(line);
    }
    let shown = |c: char| if is_harmful(c) { format!("\\x{:02x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(line.chars().map(shown).collect())
}

/// Prints a failure: `error: …`, then what to do.
pub(crate) fn failure(failure: &Failure) {
    error(&failure_text(failure));
}

/// A failure as it is printed to standard error.
pub(crate) fn failure_text(failure: &Failure) -> String {
    let (red, bold, plain) = if colour_error() { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
    let mut text = format!("{red}error{plain}{bold}: {}{plain}\n", failure.message);
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("  help: {hint}\n"));
    }
    text
}

/// Colours of the states.
pub(crate) fn paint(text: &str, state: &str, colour: bool) -> String {
    if !colour {
        return text.to_owned();
    }
    let code = match state {
        "healthy" | "completed" => "32",
        "degraded" | "starting" | "preparing" | "waiting" | "stopping" | "unwatched" => "33",
        "offline" | "backing off" | "given up" => "31",
        _ => "0",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_steer_the_terminal_of_its_reader() {
        assert_eq!(harmless("a\tb ü"), "a\tb ü");
        assert_eq!(harmless("\u{1b}]0;title\u{7}\r"), "\\x1b]0;title\\x07\\x0d");
    }
}
