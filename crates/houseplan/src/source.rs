//! Source texts and the way from byte offsets to lines and columns.
//!
//! Owns what the user wrote, unchanged. Knows nothing of YAML or of plans.

use haus_model::Place;
use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Most files that one plan may have; more is a mistake in `include:`, not a house.
pub(crate) const FILES_MAX: usize = 1_000;

/// One file of the plan as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file as the user named it.
    pub path: PathBuf,
    /// Its whole text.
    pub text: String,
    /// Ranges that no output may show, in the order in which they were found.
    pub(crate) secrets: Vec<Range<usize>>,
}

impl Source {
    /// A source without known secrets.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Source {
        Source { path: path.into(), text: text.into(), secrets: Vec::new() }
    }
}

/// A range of bytes in one file. Files are at most 64 MiB, so 32 bits are plenty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub(crate) file: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(file: u32, range: Range<usize>) -> Span {
        let bound = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span { file, start: bound(range.start), end: bound(range.end) }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

struct Slot {
    source: Source,
    line_starts: OnceCell<Vec<u32>>,
}

/// All files of one load. Files are only ever added, and a text never moves once it is here,
/// so trees may borrow from it while includes are still being followed.
pub(crate) struct Sources {
    slots: Vec<OnceCell<Slot>>,
    used: Cell<usize>,
}

impl Sources {
    pub(crate) fn new() -> Sources {
        Sources { slots: (0..FILES_MAX).map(|_| OnceCell::new()).collect(), used: Cell::new(0) }
    }

    /// Keeps a text; `None` when there are already [`FILES_MAX`].
    pub(crate) fn add(&self, path: &Path, text: String) -> Option<u32> {
        let index = self.used.get();
        let slot = Slot { source: Source::new(path, text), line_starts: OnceCell::new() };
        self.slots.get(index)?.set(slot).ok()?;
        self.used.set(index + 1);
        u32::try_from(index).ok()
    }

    fn slot(&self, file: u32) -> &Slot {
        self.slots[file as usize].get().expect("a span is only made for a file that was added")
    }

    pub(crate) fn text(&self, file: u32) -> &str {
        &self.slot(file).source.text
    }

    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.range()).unwrap_or("")
    }

    /// The part of `span` that stands for `part` of its value, when the value is written as it
    /// is meant (no escapes); otherwise the whole token.
    pub(crate) fn narrow(&self, span: Span, value: &str, part: Range<usize>) -> Span {
        let token = self.slice(span);
        let inside = if token.starts_with(value) {
            0
        } else if token.get(1..).is_some_and(|rest| rest.starts_with(value)) {
            1
        } else {
            return span;
        };
        let base = span.start as usize + inside;
        Span::new(span.file, base + part.start..base + part.end)
    }

    /// Line, column and offsets of the first line of a span: an underlined token has one line.
    pub(crate) fn place(&self, span: Span) -> Place {
        let slot = self.slot(span.file);
        let text = slot.source.text.as_str();
        let starts = slot.line_starts.get_or_init(|| line_starts(text));
        let start = floor_boundary(text, span.start as usize);
        let line = starts.partition_point(|&first| first as usize <= start).max(1);
        let first = starts[line - 1] as usize;
        let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        let whole = floor_boundary(text, (span.end as usize).max(start));
        let end = if whole > line_end { start + text[start..line_end].trim_end().len() } else { whole };
        let column = text[first..start].chars().filter(|c| *c != '\u{feff}').count() + 1;
        Place {
            file: slot.source.path.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            start,
            end,
        }
    }

    pub(crate) fn into_sources(self) -> Vec<Source> {
        self.slots.into_iter().filter_map(OnceCell::into_inner).map(|slot| slot.source).collect()
    }
}

/// The nearest offset before that is no middle of a character.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The offset of every line, for one search per place instead of one scan.
fn line_starts(text: &str) -> Vec<u32> {
    let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after_breaks).map(|at| u32::try_from(at).unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, range: Range<usize>, expected: (u32, u32, usize, usize)) {
        let sources = Sources::new();
        let file = sources.add(Path::new("house.yaml"), text.to_owned()).unwrap();
        let place = sources.place(Span::new(file, range));
        assert_eq!((place.line, place.column, place.start, place.end), expected, "{text:?}");
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        check("a: b", 3..4, (1, 4, 3, 4));
        check("ä: b\nc: d", 6..7, (2, 1, 6, 7));
        check("ä: b", 4..5, (1, 4, 4, 5));
        check("\u{feff}a: b", 3..4, (1, 1, 3, 4));
        check("", 0..0, (1, 1, 0, 0));
        check("a\n", 2..2, (2, 1, 2, 2));
    }

    #[test]
    fn a_token_over_several_lines_shows_its_first() {
        check("a: [1,  \n 2]", 3..12, (1, 4, 3, 6));
    }

    #[test]
    fn offsets_inside_a_character_or_past_the_end_are_moved() {
        check("ä", 1..9, (1, 1, 0, 2));
    }

    #[test]
    fn a_part_of_a_quoted_text_is_found_inside_the_quotes() {
        let sources = Sources::new();
        let file = sources.add(Path::new("x"), "\"ab\" 'a''b'".to_owned()).unwrap();
        assert_eq!(sources.narrow(Span::new(file, 0..4), "ab", 1..2), Span::new(file, 2..3));
        assert_eq!(sources.narrow(Span::new(file, 5..11), "a'b", 2..3), Span::new(file, 5..11));
    }
}
