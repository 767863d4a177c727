//! Asking at the terminal: hidden, key by key, so that Ctrl-C cannot leave the terminal without its echo.

use crate::exit::{FAILED, Failure, REFUSED, WRONG_USE};
use crate::terminal;
use haus_model::Secret;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal};

/// Longest answer in bytes; what is typed beyond it is refused.
const ANSWER_BYTES_MAX: usize = 65_536;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn new() -> io::Result<Hidden> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        // Without signals and lines: an end by Ctrl-C must come through here and restore the echo.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Drain, &quiet)?;
        Ok(Hidden { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
        terminal::error("\n");
    }
}

/// One line that is not shown while it is typed.
pub(super) fn hidden(question: &str) -> Result<Secret, Failure> {
    let quiet = Hidden::new().map_err(|error| {
        Failure::new(FAILED, format!("cannot keep the terminal from showing what is typed: {error}"))
            .hint("give the value with --from FILE, or --from - for standard input")
    })?;
    terminal::error(question);
    let typed = typed(|| {
        // Not through the buffer of standard input: what passes it stays in memory.
        let mut key = [0];
        Ok((rustix::io::read(io::stdin(), &mut key)? > 0).then_some(key[0]))
    });
    drop(quiet);
    typed
}

/// What was typed so far, wiped whatever becomes of it.
struct Line {
    bytes: Vec<u8>,
}

impl Line {
    /// As large as it can become: a buffer that moves would leave copies behind.
    fn new() -> Line {
        Line { bytes: Vec::with_capacity(ANSWER_BYTES_MAX) }
    }

    /// Takes one character back, of whatever length.
    fn rub_out(&mut self) {
        while let Some(byte) = self.bytes.pop() {
            if byte & 0b1100_0000 != 0b1000_0000 {
                return;
            }
        }
    }

    fn take(&mut self) -> Secret {
        Secret::new(std::mem::take(&mut self.bytes))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Keys up to the end of the line; none is the end of the input.
fn typed(mut key: impl FnMut() -> io::Result<Option<u8>>) -> Result<Secret, Failure> {
    let given_up =
        || Failure::new(REFUSED, "given up, nothing was done").hint("try again when you have the value");
    let mut line = Line::new();
    loop {
        let byte = match key() {
            Ok(Some(byte)) => byte,
            Ok(None) => return Err(given_up()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Failure::new(FAILED, format!("cannot read from the terminal: {error}"))
                    .hint("give the value with --from FILE"));
            }
        };
        match byte {
            b'\n' | b'\r' => return Ok(line.take()),
            CTRL_D if !line.bytes.is_empty() => return Ok(line.take()),
            CTRL_C | CTRL_D => return Err(given_up()),
            CTRL_U => line.bytes.clear(),
            BACKSPACE | DELETE => line.rub_out(),
            byte if line.bytes.len() < ANSWER_BYTES_MAX => line.bytes.push(byte),
            _ => {
                return Err(Failure::new(
                    WRONG_USE,
                    format!("more than {ANSWER_BYTES_MAX} bytes were typed"),
                )
                .hint("give the value with --from FILE"));
            }
        }
    }
}

/// A yes that is meant: the name typed once more.
pub(crate) fn confirm(name: &str, what: &str) -> Result<(), Failure> {
    let unconfirmed = |message: &str, hint: &str| Err(Failure::new(REFUSED, message).hint(hint));
    if !io::stdin().is_terminal() {
        return unconfirmed("not confirmed, nothing was done", "say --yes when it is meant");
    }
    terminal::error(&format!("{what}\ntype `{name}` to go on: "));
    let mut answer = String::new();
    match io::stdin().read_line(&mut answer) {
        Ok(_) if answer.trim() == name => Ok(()),
        Ok(_) | Err(_) => unconfirmed("not confirmed, nothing was done", "type the name as it is shown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these keys; none when it was given up.
    #[track_caller]
    fn check(keys: &str, expected: Option<&str>) {
        let mut keys = keys.bytes();
        let read = typed(|| Ok(keys.next()));
        assert_eq!(read.ok().as_ref().map(Secret::expose_bytes), expected.map(str::as_bytes));
    }

    #[test]
    fn a_line_ends_with_return_and_can_be_mended() {
        check("secret\r", Some("secret"));
        check("secret\nmore", Some("secret"));
        check("slip\u{15}secret\n", Some("secret"));
        check("secreX\u{7f}t\n", Some("secret"));
        check("aü€\u{7f}\u{8}b\n", Some("ab"));
        check("\u{7f}a\n", Some("a"));
        check("secret\u{4}", Some("secret"));
        check("\n", Some(""));
    }

    #[test]
    fn it_can_be_given_up() {
        check("sec\u{3}", None);
        check("\u{4}", None);
        check("secret", None);
    }

    #[test]
    fn an_endless_line_is_refused() {
        check(&"x".repeat(ANSWER_BYTES_MAX + 1), None);
    }
}
