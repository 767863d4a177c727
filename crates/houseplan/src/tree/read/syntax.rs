//! The parser's errors in words that say what to do.

use crate::code::Code;
use crate::fault::{Fault, Subject};
use crate::source::Span;
use crate::tree::DEPTH_MAX;
use granit_parser::{ErrorKind, ScanError};

/// The fault for an error of the parser, with the token underlined where it stopped.
pub(crate) fn fault<'t>(error: &ScanError, file: u32, text: &str, open: Option<Span>) -> Fault<'t> {
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    let kind = error.kind();
    if let Some(tab) = tab_of(kind, text, at) {
        let fault = Fault::new(
            Code::Tab,
            Subject::Plan,
            Span::new(file, tab..tab + 1),
            "a tab where YAML wants spaces",
        );
        return fault
            .label("this is a tab")
            .remedy("indent with spaces; editors can replace all tabs of the file");
    }
    if matches!(kind, ErrorKind::RecursionLimitExceeded) {
        let message = format!("values are nested more than {DEPTH_MAX} deep");
        let fault = Fault::new(Code::Budget, Subject::Plan, token(file, text, at), message);
        return fault.label("too deep").remedy("no key of a plan needs this; write it flatter");
    }
    if let Some(open) = open.filter(|open| text[open.range().end..at.max(open.range().end)].contains('\n')) {
        // Whatever the parser stumbled over, it did so because a bracket of an earlier line is open.
        let bracket = &text[open.range()];
        let close = if bracket == "[" { "]" } else { "}" };
        let fault = Fault::new(Code::Syntax, Subject::Plan, open, format!("this `{bracket}` is not closed"));
        return fault
            .label("opened here")
            .related(token(file, text, at), "here it cannot go on")
            .remedy(format!("close it with `{close}`"));
    }
    if let Some(quote) = open_quote(kind, text, at) {
        let end = text[quote..].find('\n').map_or(text.len(), |length| quote + length);
        let fault = Fault::new(
            Code::Syntax,
            Subject::Plan,
            Span::new(file, quote..end),
            "a quoted text is not closed",
        );
        return fault.label("opened here").remedy("close it with the quote that opened it");
    }
    let (message, remedy) = words(kind, error);
    Fault::new(Code::Syntax, Subject::Plan, token(file, text, at), message).label("here").remedy(remedy)
}

/// Where the tab stands when the error is about one.
fn tab_of(kind: &ErrorKind, text: &str, at: usize) -> Option<usize> {
    let about_tab = matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
    );
    let bytes = text.as_bytes();
    let line_start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let indent_tab = || {
        let indent = bytes[line_start..].iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
        indent.zip(line_start..).find(|(byte, _)| **byte == b'\t').map(|(_, offset)| offset)
    };
    if !about_tab {
        // Many other messages of the parser are about the indentation that a tab has spoilt.
        return indent_tab();
    }
    let after = bytes.get(at..)?.iter().position(|byte| *byte == b'\t').map(|offset| at + offset);
    indent_tab().or(after)
}

/// Where the quote stands that was never closed, as far as one can tell.
fn open_quote(kind: &ErrorKind, text: &str, at: usize) -> Option<usize> {
    if !matches!(kind, ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent) {
        return None;
    }
    let before = text.get(..at)?;
    let opens =
        |(at, _): &(usize, &str)| before[..*at].chars().next_back().is_none_or(|c| " [{,:\n".contains(c));
    before.rmatch_indices(['"', '\'']).find(opens).map(|(at, _)| at)
}

/// From the offset to the end of what stands there; at least one character when there is one.
fn token(file: u32, text: &str, at: usize) -> Span {
    let mut at = at;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let rest = &text[at..];
    let first = rest.chars().next().map_or(0, char::len_utf8);
    let word = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(rest.len());
    Span::new(file, at..at + word.max(first))
}

/// The parser's own words where they are good, ours where they are about its insides.
fn words(kind: &ErrorKind, error: &ScanError) -> (String, &'static str) {
    if matches!(kind, ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement) {
        let message = "a `key: value` cannot begin here".to_owned();
        return (message, "indent it like the keys beside it, or quote a text that holds `: `");
    }
    if matches!(
        kind,
        ErrorKind::UnclosedFlowCollection { .. } | ErrorKind::MismatchedFlowCollectionEnd { .. }
    ) {
        return (error.info(), "close every `[` with `]` and every `{` with `}`");
    }
    if matches!(kind, ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent) {
        return ("a quoted text is not closed".to_owned(), "close it with the quote that opened it");
    }
    if matches!(kind, ErrorKind::UnknownQuotedScalarEscape) {
        return (error.info(), "write `\\\\` for a backslash, or use single quotes");
    }
    if matches!(
        kind,
        ErrorKind::UnexpectedCharacter { .. } | ErrorKind::PlainScalarStartsWithDashFlowIndicator
    ) {
        return (error.info(), "quote the text: YAML gives this character a meaning of its own");
    }
    (error.info(), "look at the indentation and the quotes of this line and the one before")
}
