//! Differences for people: exact lines of texts, words for everything that is no text.
//! The value of a secret never comes this far.

use haus_model::change::DiffLine;
use haus_model::host::Access;
use similar::{ChangeTag, TextDiff};

/// Lines around a change that stay the same.
const CONTEXT_LINES: usize = 3;

/// A line that comes.
pub(crate) fn new(text: impl Into<String>) -> DiffLine {
    DiffLine::New(text.into())
}

/// A line that goes.
pub(crate) fn gone(text: impl Into<String>) -> DiffLine {
    DiffLine::Gone(text.into())
}

/// Something that was one thing and becomes another.
pub(crate) fn becomes(before: impl Into<String>, after: impl Into<String>) -> [DiffLine; 2] {
    [gone(before), new(after)]
}

/// `root:root 0644`
pub(crate) fn access(access: &Access) -> String {
    format!("{}:{} {:04o}", access.owner, access.group, access.mode)
}

/// All lines of a text that comes.
pub(crate) fn all_new(text: &str) -> Vec<DiffLine> {
    text.lines().map(new).collect()
}

/// All lines of a text that goes.
pub(crate) fn all_gone(text: &str) -> Vec<DiffLine> {
    text.lines().map(gone).collect()
}

/// A unified difference.
pub(crate) fn texts(before: &str, after: &str) -> Vec<DiffLine> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    let mut shown = 0;
    let skipped = |from: usize, to: usize| {
        let count = u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX);
        (count > 0).then_some(DiffLine::Skipped(count))
    };
    for group in diff.grouped_ops(CONTEXT_LINES) {
        let Some(first) = group.first() else { continue };
        lines.extend(skipped(shown, first.old_range().start));
        for operation in &group {
            shown = operation.old_range().end;
            for change in diff.iter_changes(operation) {
                let text = line(change.value());
                lines.push(match change.tag() {
                    ChangeTag::Equal => DiffLine::Same(text),
                    ChangeTag::Delete => DiffLine::Gone(text),
                    ChangeTag::Insert => DiffLine::New(text),
                });
            }
        }
    }
    lines.extend(skipped(shown, before.lines().count()));
    lines
}

fn line(value: &str) -> String {
    match value.strip_suffix('\n') {
        Some(line) => line.to_owned(),
        // Otherwise a text that only gets its last line break would differ in nothing that can be seen.
        None => format!("{value} (no line break at the end)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_a_change_is_shown() {
        let before: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let after = before.replace("10\n", "ten\n");
        let same = |n: u32| DiffLine::Same(n.to_string());
        let expected = vec![
            DiffLine::Skipped(6),
            same(7),
            same(8),
            same(9),
            gone("10"),
            new("ten"),
            same(11),
            same(12),
            same(13),
            DiffLine::Skipped(7),
        ];
        assert_eq!(texts(&before, &after), expected);
    }

    #[test]
    fn a_missing_line_break_shows() {
        assert_eq!(texts("a", "a\n"), [gone("a (no line break at the end)"), new("a")]);
    }
}
