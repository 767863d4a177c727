//! The lines around places in a source, short and with secrets hidden.
//!
//! Cuts small windows so that drawing costs what is shown, not what the file holds.

use crate::secret::{MASK, secrets_of_line};
use crate::source::Source;
use haus_model::Place;
use std::ops::Range;

/// Lines between two places that still share one window.
const GAP_LINES: u32 = 4;
/// A longer line is not shown at all.
const LINE_BYTES_MAX: usize = 1_000;
/// Hidden values all have this length, so that nothing tells the real one.
const MASK_LENGTH: usize = 8;
/// Lines searched upwards for the key that a line stands under.
const PARENT_LINES_MAX: usize = 200;

/// A place to underline.
#[derive(Clone, Copy)]
pub(crate) struct Mark<'a> {
    pub(crate) place: &'a Place,
    pub(crate) label: &'a str,
    pub(crate) primary: bool,
}

/// Some lines with marks at their offsets in `text`.
pub(crate) struct Excerpt<'a> {
    pub(crate) first_line: u32,
    pub(crate) text: String,
    pub(crate) marks: Vec<(Mark<'a>, Range<usize>)>,
}

/// The windows that show these marks of one source, the primary one's first.
pub(crate) fn excerpts<'a>(source: &Source, marks: &[Mark<'a>]) -> Vec<Excerpt<'a>> {
    let mut sorted: Vec<Mark<'a>> = marks.to_vec();
    sorted.sort_by_key(|mark| (mark.place.start, mark.place.end));
    let mut windows: Vec<Vec<Mark<'a>>> = Vec::new();
    for mark in sorted {
        match windows.last_mut() {
            Some(window)
                if window.last().is_some_and(|last| mark.place.line - last.place.line <= GAP_LINES) =>
            {
                window.push(mark);
            }
            _ => windows.push(vec![mark]),
        }
    }
    windows.sort_by_key(|window| !window.iter().any(|mark| mark.primary));
    windows.into_iter().filter_map(|window| excerpt(source, window)).collect()
}

/// One window: the lines of its marks, masked, with the marks moved to where they are now.
fn excerpt<'a>(source: &Source, marks: Vec<Mark<'a>>) -> Option<Excerpt<'a>> {
    let text = source.text.as_str();
    let first = marks.first()?.place;
    let last = marks.last()?.place;
    let start = text.get(..first.start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let last_offset = last.end.max(last.start);
    let end = text.get(last_offset..)?.find('\n').map_or(text.len(), |length| last_offset + length);
    let window = &text[start..end];
    if window.lines().any(|line| line.len() > LINE_BYTES_MAX) {
        return None;
    }
    let hidden = hidden(source, start, window);
    let mut shown = String::with_capacity(window.len());
    let mut offsets: Vec<(usize, usize)> = Vec::new();
    let mut masked: Option<usize> = None;
    for (offset, c) in window.char_indices() {
        let inside = hidden.iter().position(|range| range.contains(&(start + offset)));
        // The byte order mark has no width and would shift the underline; carriage returns would show.
        let skipped = matches!(c, '\u{feff}' | '\r');
        match inside {
            Some(range) if c != '\n' => {
                if masked != Some(range) {
                    offsets.push((start + offset, shown.len()));
                    shown.extend(std::iter::repeat_n(MASK, MASK_LENGTH));
                }
                masked = Some(range);
            }
            _ => {
                masked = None;
                offsets.push((start + offset, shown.len()));
                if !skipped {
                    shown.push(c);
                }
            }
        }
    }
    offsets.push((end, shown.len()));
    let map = |offset: usize| {
        let at = offsets.partition_point(|(original, _)| *original < offset);
        offsets.get(at).map_or(shown.len(), |(_, new)| *new)
    };
    let marks = marks
        .into_iter()
        .map(|mark| {
            let from = offsets.partition_point(|(original, _)| *original <= mark.place.start).max(1) - 1;
            let from = offsets[from].1;
            (mark, from..map(mark.place.end).max(from))
        })
        .collect();
    Some(Excerpt { first_line: first.line, text: shown, marks })
}

/// Ranges of the file that this window must not show.
fn hidden(source: &Source, start: usize, window: &str) -> Vec<Range<usize>> {
    let end = start + window.len();
    let first = source.secrets.partition_point(|range| range.end <= start);
    let mut hidden: Vec<Range<usize>> =
        source.secrets[first..].iter().take_while(|range| range.start < end).cloned().collect();
    let mut line_start = start;
    for line in window.split('\n') {
        let found = secrets_of_line(line);
        if !found.is_empty() && !names_credentials(&source.text, line_start, line) {
            hidden.extend(found.into_iter().map(|range| line_start + range.start..line_start + range.end));
        }
        line_start += line.len() + 1;
    }
    // One secret found in two ways is hidden once.
    hidden.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(hidden.len());
    for range in hidden {
        match merged.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Whether the line stands under `credentials`, where names of secrets lead to names of credentials.
fn names_credentials(text: &str, line_start: usize, line: &str) -> bool {
    if line.contains("credentials:") {
        return true;
    }
    let indent = indentation(line);
    let above = text[..line_start].lines().rev().take(PARENT_LINES_MAX);
    let parent = above.filter(|line| !line.trim().is_empty()).find(|line| indentation(line) < indent);
    parent.is_some_and(|parent| parent.trim_start().starts_with("credentials:"))
}

/// Spaces at the beginning.
fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, secrets: &[&str], token: &str, expected: (&str, &str)) {
        let mut source = Source::new("x", text);
        for secret in secrets {
            let start = text.find(secret).unwrap();
            source.secrets.push(start..start + secret.len());
        }
        let start = text.find(token).unwrap();
        let line = u32::try_from(text[..start].matches('\n').count()).unwrap() + 1;
        let place = Place { file: "x".into(), line, column: 1, start, end: start + token.len() };
        let mark = Mark { place: &place, label: "", primary: true };
        let excerpts = excerpts(&source, &[mark]);
        let excerpt = &excerpts[0];
        assert_eq!((excerpt.text.as_str(), &excerpt.text[excerpt.marks[0].1.clone()]), expected);
    }

    #[test]
    fn only_the_marked_line_is_shown() {
        check("a: 1\nb: two\nc: 3\n", &[], "two", ("b: two", "two"));
    }

    #[test]
    fn secrets_are_hidden_whole_and_their_length_with_them() {
        check("x: hunter2", &["hunter2"], "hunter2", ("x: ••••••••", "••••••••"));
        check("x: hunter2 y: z", &["hunter2"], "z", ("x: •••••••• y: z", "z"));
        check(
            "env: { DB_PASSWORD: hunter2, A: true }",
            &[],
            "true",
            ("env: { DB_PASSWORD: ••••••••, A: true }", "true"),
        );
    }

    #[test]
    fn names_of_credentials_are_shown() {
        check("credentials: { KEY: my-key }", &[], "my-key", ("credentials: { KEY: my-key }", "my-key"));
        check("credentials:\n  KEY: my-key\n", &[], "my-key", ("  KEY: my-key", "my-key"));
    }
}
