//! Secret values on their way in: asked at the terminal without showing them, from a file, from standard
//! input. Never from an argument, which everybody on the machine can read.
//!
//! It does not know what a value is for; what was read is wiped when it is no longer needed.

mod prompt;

pub(crate) use prompt::confirm;

use crate::exit::{Failure, WRONG_USE};
use crate::terminal;
use haus_model::Secret;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Longest value in bytes, as the API has it.
const VALUE_BYTES_MAX: usize = 65_536;

/// A value from a file or standard input (`-`), or asked for at the terminal when nothing is named.
pub(crate) fn value(from: Option<&Path>, what: &str) -> Result<Secret, Failure> {
    match from {
        Some(path) => text(without_line_end(read(path, VALUE_BYTES_MAX)?), path),
        None => asked(what),
    }
}

/// A whole file or standard input (`-`), up to a limit.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Secret, Failure> {
    let shown = shown(path);
    let failed = |error: io::Error| {
        Failure::new(WRONG_USE, format!("cannot read {shown}: {error}"))
            .hint("name a file that this account may read, or `-` for standard input")
    };
    if is_stdin(path) {
        return limited(io::stdin().lock(), bytes_max, &shown).and_then(|read| read.map_err(failed));
    }
    let file = File::open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if facts.is_file() && facts.permissions().mode() & 0o077 != 0 {
        let mode = facts.permissions().mode() & 0o777;
        terminal::error(&format!("note: {shown} can be read by others (mode {mode:04o}); `chmod 600` it\n"));
    }
    limited(file, bytes_max, &shown).and_then(|read| read.map_err(failed))
}

/// Whether standard input is meant.
fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// How a source is called.
pub(crate) fn shown(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Reads into a buffer that never moves, so that no copy stays behind.
fn limited(source: impl Read, bytes_max: usize, shown: &str) -> Result<io::Result<Secret>, Failure> {
    // A line end, and one byte more by which a longer source shows.
    let limit = bytes_max + 3;
    let mut bytes = Vec::with_capacity(limit + 1);
    let read = source.take(limit as u64).read_to_end(&mut bytes);
    let secret = Secret::new(bytes);
    match read {
        Ok(count) if count == limit => {
            Err(Failure::new(WRONG_USE, format!("{shown} has more than {bytes_max} bytes"))
                .hint("name the file that holds the value and nothing else"))
        }
        Ok(_) => Ok(Ok(secret)),
        Err(error) => Ok(Err(error)),
    }
}

/// Editors and `echo` end a line with a line feed that is no part of the value. A text of several lines is
/// left whole, since ssh takes no private key without its last one.
fn without_line_end(secret: Secret) -> Secret {
    let Some(line) = secret.expose_bytes().strip_suffix(b"\n").filter(|line| !line.contains(&b'\n')) else {
        return secret;
    };
    Secret::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// The API takes text; the text itself is never told.
fn text(secret: Secret, path: &Path) -> Result<Secret, Failure> {
    let shown = shown(path);
    let bytes = secret.expose_bytes();
    if bytes.is_empty() {
        return Err(Failure::new(WRONG_USE, format!("{shown} is empty"))
            .hint("put the value in it, and nothing else"));
    }
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(Failure::new(
            WRONG_USE,
            format!("the value in {shown} has more than {VALUE_BYTES_MAX} bytes"),
        )
        .hint("name the file that holds the value and nothing else"));
    }
    if std::str::from_utf8(bytes).is_err() {
        return Err(Failure::new(WRONG_USE, format!("the value in {shown} is no text (UTF-8)"))
            .hint("encode it, for example with base64, and let its reader decode it"));
    }
    Ok(secret)
}

/// Asked twice: nobody sees what was typed, so nobody sees a slip.
fn asked(what: &str) -> Result<Secret, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(WRONG_USE, format!("no value for {what}, and no terminal to ask for it"))
            .hint("name a file with --from FILE, or standard input with --from -"));
    }
    let first = prompt::hidden(&format!("value of {what}: "))?;
    let second = prompt::hidden("the same again: ")?;
    if first != second {
        return Err(Failure::new(WRONG_USE, "the two were not the same, nothing was done").hint("try again"));
    }
    text(first, Path::new("what was typed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: Option<&str>) {
        let read = limited(input, VALUE_BYTES_MAX, "x")
            .and_then(|read| text(without_line_end(read.expect("memory does not fail")), Path::new("x")));
        match read {
            Ok(secret) => assert_eq!(Some(secret.expose_bytes()), expected.map(str::as_bytes)),
            Err(failure) => assert_eq!((failure.code, expected.is_none()), (WRONG_USE, true), "{failure:?}"),
        }
    }

    #[test]
    fn the_line_end_of_a_single_line_is_no_part_of_the_value() {
        check(b"value", Some("value"));
        check(b"value\n", Some("value"));
        check(b"value\r\n", Some("value"));
        check(b"value\r", Some("value\r"));
        check(b" two\nlines \n", Some(" two\nlines \n"));
        check(b"two\r\nlines\r\n", Some("two\r\nlines\r\n"));
    }

    #[test]
    fn what_can_be_no_value_is_refused_without_showing_it() {
        check(b"", None);
        check(b"\n", None);
        check(b"\xff\xfe", None);
        check(&vec![b'x'; VALUE_BYTES_MAX + 1], None);
        check(&vec![b'x'; 3 * VALUE_BYTES_MAX], None);
        let failure = text(Secret::new(b"hunter2\xff".to_vec()), Path::new("x")).unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }

    #[test]
    fn the_longest_value_is_taken_with_its_line_end() {
        let longest = "x".repeat(VALUE_BYTES_MAX);
        check(format!("{longest}\r\n").as_bytes(), Some(&longest));
    }
}
