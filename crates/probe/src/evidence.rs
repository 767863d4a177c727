//! What may stand in evidence: one short line of plain text without secrets.

use rustix::io::Errno;
use std::io;

/// Longest evidence.
pub const EVIDENCE_CHARACTERS_MAX: usize = 300;

/// Makes any text fit for evidence.
pub(crate) fn clean(text: &str) -> String {
    shorten(&mask_passwords(&plain(text)), EVIDENCE_CHARACTERS_MAX)
}

/// Cuts to `most` characters; the cut can be seen.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

// Evidence ends up on terminals and in logs: nothing in it may move a cursor, start a line or reverse text.
fn plain(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if harmful(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
}

// Commands like to repeat the URL that they could not reach, with the password in it.
fn mask_passwords(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        masked.push_str(head);
        let end =
            tail.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'')).unwrap_or(tail.len());
        match (tail.find(':'), tail[..end].rfind('@')) {
            (Some(colon), Some(at)) if colon < at => {
                masked.push_str(&tail[..=colon]);
                masked.push_str("***");
                rest = &tail[at..];
            }
            _ => rest = tail,
        }
    }
    masked.push_str(rest);
    masked
}

/// An error of the operating system in lower case and without its number.
///
/// What we ourselves lack is said as such: a reader must not look for it at the service.
pub(crate) fn io_reason(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => return "we are out of file descriptors".to_owned(),
        Some(Errno::NFILE) => return "we are out of file descriptors (the whole machine is)".to_owned(),
        Some(Errno::NOMEM) => return "we are out of memory".to_owned(),
        Some(_) | None => {}
    }
    // A foreign enum that grows: where it has no word of its own, the system's text is the better one.
    let kind = error.kind().to_string();
    if kind == "uncategorized error" || kind == "other error" { error.to_string() } else { kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(clean(text), expected, "{text:?}");
    }

    #[test]
    fn evidence_is_one_plain_line() {
        check("a\nb\tc\u{1b}[31m\u{7}", "a b c [31m");
        check("left\u{202e}right", "left right");
        check("  grüße  ", "grüße");
    }

    #[test]
    fn evidence_is_short_and_shows_the_cut() {
        check(&"ä".repeat(300), &"ä".repeat(300));
        check(&"ä".repeat(301), &format!("{}…", "ä".repeat(299)));
    }

    #[test]
    fn passwords_in_addresses_are_masked() {
        check("redis://:s3cret@h:1/0 refused", "redis://:***@h:1/0 refused");
        check("postgres://me:p@ss@db/x and a://b:c@d", "postgres://me:***@db/x and a://b:***@d");
        check("http://127.0.0.1:80/a@b:c", "http://127.0.0.1:80/a@b:c");
        check("http://h:1 mail me@x", "http://h:1 mail me@x");
        check("://", "://");
    }

    #[test]
    fn system_errors_read_as_words() {
        for (number, words) in [
            (111, "connection refused"),
            (24, "we are out of file descriptors"),
            (23, "we are out of file descriptors (the whole machine is)"),
            (12, "we are out of memory"),
        ] {
            assert_eq!(io_reason(&io::Error::from_raw_os_error(number)), words);
        }
    }
}
