//! The canonical bytes of an entry, written by hand: a hash must not depend on what a library does with
//! escapes or order in its next version. Knows nothing of reading.

use crate::{Hash, NewEntry};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// What every hash begins with, so that it can never be a hash of something else; `1` is the format.
const DOMAIN: &[u8] = b"haus trail 1\n";

/// The body: one JSON object without spaces, its members in the order of the format, absent ones left out.
pub(crate) fn body(entry: &NewEntry) -> String {
    let mut out = String::with_capacity(256);
    push_integer(&mut out, "{\"at\":", entry.at.0);
    push_member(&mut out, ",\"actor\":", &entry.actor);
    push_member(&mut out, ",\"action\":", entry.action.as_str());
    push_member(&mut out, ",\"subject\":", &entry.subject);
    push_member(&mut out, ",\"outcome\":", entry.outcome.as_str());
    for (name, value) in [
        (",\"request_id\":", &entry.request_id),
        (",\"address\":", &entry.address),
        (",\"why\":", &entry.why),
    ] {
        if let Some(value) = value {
            push_member(&mut out, name, value);
        }
    }
    if !entry.details.is_empty() {
        out.push_str(",\"details\":");
        let mut before = '{';
        for (key, value) in &entry.details {
            out.push(before);
            push_text(&mut out, key);
            push_member(&mut out, ":", value);
            before = ',';
        }
        out.push('}');
    }
    out.push('}');
    out
}

/// The hash of an entry: SHA-256 over the domain, `prev`, the number (8 bytes, big-endian) and the body.
pub(crate) fn digest(prev: &Hash, seq: u64, body: &str) -> Hash {
    let mut sha = Sha256::new();
    sha.update(DOMAIN);
    sha.update(prev.0);
    sha.update(seq.to_be_bytes());
    sha.update(body.as_bytes());
    Hash(sha.finalize().into())
}

/// The whole line: the body with the number before and both hashes behind.
pub(crate) fn line(seq: u64, body: &str, prev: &Hash, hash: &Hash) -> String {
    let inner = &body[1..body.len() - 1];
    format!("{{\"seq\":{seq},{inner},\"prev\":\"{prev}\",\"hash\":\"{hash}\"}}")
}

/// Appends `name` as it stands and a text in quotes.
pub(crate) fn push_member(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    push_text(out, value);
}

/// Appends `name` as it stands and a whole number in decimal.
pub(crate) fn push_integer(out: &mut String, name: &str, value: impl std::fmt::Display) {
    out.push_str(name);
    write!(out, "{value}").expect("writing into a string cannot fail");
}

/// Appends a JSON text in its one form: only the quote, the backslash and U+0000 to U+001F are escaped, the
/// five that have a short escape by it, the others as `\u00` and two lower-case digits.
fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => push_integer(out, "\\u00", format_args!("{:02x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}
