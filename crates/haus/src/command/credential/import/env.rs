//! Files with lines `NAME=VALUE`, as many programs write them (`.env`).
//!
//! Those programs disagree about what stands outside of quotes, so only what all of them read alike is taken;
//! the rest wants single quotes. A password that is quietly another one is found too late. Faults name a
//! place and a kind of character, never what stands there.

use super::{Item, Parsed};
use haus_model::Secret;

/// Values of a file.
pub(super) fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut rest = Lines { rest: text, number: 0 };
    while let Some(line) = rest.next() {
        let place = format!("line {}", rest.number);
        let line = line.trim_start();
        if line.trim_end().is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            parsed.fault(&place, "", "it is no NAME=VALUE");
            continue;
        };
        let name = name.trim_start();
        if !is_name(name) {
            parsed.fault(&place, "", "what stands before `=` is no name: letters, digits, `_`, `.`, `-`");
            continue;
        }
        let name = name.to_ascii_lowercase().replace('_', "-");
        let before = rest;
        match read(value.trim_start_matches([' ', '\t']), &mut rest) {
            Ok(value) => parsed.items.push(Item::new(place, name, value)),
            Err(why) => {
                // The lines of a value without its end may be values themselves.
                rest = before;
                parsed.fault(&place, &format!("/{name}"), why);
            }
        }
    }
    parsed
}

/// What is left of a file, line by line.
#[derive(Clone, Copy)]
struct Lines<'a> {
    rest: &'a str,
    /// Of the line that was given last, from 1.
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        (self.rest, self.number) = (rest, self.number + 1);
        Some(line.strip_suffix('\r').unwrap_or(line))
    }
}

fn is_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_inner)
}

/// The value that begins here; one in quotes may go on in the following lines.
fn read(begun: &str, rest: &mut Lines<'_>) -> Result<Secret, &'static str> {
    match begun.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&begun[1..], quote, rest),
        Some(_) => plain(begun),
        None => Err("it has no value"),
    }
}

fn plain(text: &str) -> Result<Secret, &'static str> {
    // A comment is told from a value by the blank before it.
    let end = text.find([' ', '\t']);
    let (value, behind) = text.split_at(end.unwrap_or(text.len()));
    if value.starts_with('#') {
        return Err("it has no value");
    }
    if !is_end(behind) {
        return Err("the value has blanks, which programs read differently: put it in single quotes");
    }
    let is_disputed = |c: char| matches!(c, '$' | '`' | '\\' | '"' | '\'' | '#') || c.is_control();
    if value.contains(is_disputed) {
        return Err(
            "the value has `$`, `#`, a backslash or a quote, which programs read differently: put it in single quotes",
        );
    }
    Ok(Secret::from(value.to_owned()))
}

/// Nothing but blanks, or a comment after a blank.
fn is_end(text: &str) -> bool {
    let inner = text.trim_start_matches([' ', '\t']);
    inner.is_empty() || (inner.starts_with('#') && inner.len() < text.len())
}

fn quoted(first: &str, quote: char, rest: &mut Lines<'_>) -> Result<Secret, &'static str> {
    let mut value = Value(Vec::with_capacity(first.len() + rest.rest.len() + 1));
    let mut line = first;
    loop {
        match end_of_quotes(line, quote, &mut value)? {
            Some(behind) if is_end(behind) => return Ok(value.take()),
            Some(_) => return Err("something stands behind the closing quote"),
            None => {
                line = rest.next().ok_or("the closing quote is missing")?;
                value.0.push(b'\n');
            }
        }
    }
}

/// A value under way, wiped when it does not become one. It never moves: there is room for the whole file.
struct Value(Vec<u8>);

impl Value {
    fn take(&mut self) -> Secret {
        Secret::new(std::mem::take(&mut self.0))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Adds a line up to the closing quote, and gives what stands behind it; none when the value goes on.
fn end_of_quotes<'a>(line: &'a str, quote: char, value: &mut Value) -> Result<Option<&'a str>, &'static str> {
    let mut characters = line.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return Ok(Some(&line[at + 1..]));
        }
        let c = match (quote, c) {
            ('"', '\\') => match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, 'r')) => '\r',
                Some((_, 't')) => '\t',
                Some((_, literal @ ('"' | '\\' | '$'))) => literal,
                Some(_) | None => {
                    return Err("in double quotes a backslash makes only \\n, \\r, \\t, \\\", \\\\ and \\$");
                }
            },
            ('"', '$' | '`') => {
                return Err(
                    "`$` and backquotes are replaced by some programs in double quotes: use single quotes",
                );
            }
            (_, c) => c,
        };
        value.0.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(None)
}
