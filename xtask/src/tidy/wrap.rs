//! Breaks comments that are too wide, which rustfmt leaves to people. Touches whole-line comments only, and
//! of those only paragraphs with a line over the limit; lists keep their items, tables and code stay as they
//! are.

use super::COLUMNS_MAX;
use super::source::without_comments;

/// The text with its wide comments broken, or nothing when there is none.
pub(super) fn wrapped(text: &str) -> Option<String> {
    let code = without_comments(text);
    let lines: Vec<Line> =
        text.lines().zip(code.lines()).map(|(line, code)| Line::read(line, code)).collect();
    let mut output = Vec::with_capacity(lines.len());
    let (mut at, mut in_code, mut changed) = (0, false, false);
    while at < lines.len() {
        let line = &lines[at];
        in_code ^= line.words.is_some_and(|words| words.starts_with("```"));
        let end = if in_code { at + 1 } else { paragraph_end(&lines, at) };
        let wide = lines[at..end].iter().any(Line::is_too_wide);
        if line.is_prose() && wide && !in_code {
            output.extend(broken(&lines[at..end]));
            changed = true;
        } else {
            output.extend(lines[at..end].iter().map(|line| line.whole.to_owned()));
        }
        at = end;
    }
    changed.then(|| output.join("\n") + "\n")
}

/// A line, and if it is nothing but a comment, what stands before and in it.
struct Line<'a> {
    whole: &'a str,
    /// Indentation and mark: `    /// `.
    prefix: &'a str,
    words: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn read(whole: &'a str, code: &str) -> Self {
        let indent = whole.len() - whole.trim_start().len();
        let mark = ["/// ", "//! ", "// "].into_iter().find(|mark| whole[indent..].starts_with(mark));
        // Inside a literal the line is not blank once comments are out.
        let Some(mark) = mark.filter(|_| code.trim().is_empty()) else {
            return Self { whole, prefix: "", words: None };
        };
        let (prefix, words) = whole.split_at(indent + mark.len());
        Self { whole, prefix, words: Some(words) }
    }

    fn is_too_wide(&self) -> bool {
        self.whole.chars().count() > COLUMNS_MAX && !self.whole.contains("://")
    }

    /// Text that may be broken anywhere between two words.
    fn is_prose(&self) -> bool {
        let is_other = |words: &str| words.starts_with([' ', '|', '#']) || words.starts_with("```");
        self.words.is_some_and(|words| !words.is_empty() && !is_other(words))
    }

    fn starts_item(&self) -> bool {
        self.words.is_some_and(|words| words.starts_with("- ") || words.starts_with("* "))
    }
}

/// Where the paragraph that starts here ends: at another kind of line, or at the next item of a list.
fn paragraph_end(lines: &[Line], start: usize) -> usize {
    let first = &lines[start];
    if !first.is_prose() {
        return start + 1;
    }
    let goes_on = |line: &Line| line.is_prose() && line.prefix == first.prefix && !line.starts_item();
    // Lines of an item are indented below its mark; such a list is left to its author.
    start + 1 + lines[start + 1..].iter().take_while(|line| goes_on(line)).count()
}

fn broken(lines: &[Line]) -> Vec<String> {
    let prefix = lines[0].prefix;
    let hang = if lines[0].starts_item() { "  " } else { "" };
    let words = lines.iter().filter_map(|line| line.words).flat_map(str::split_whitespace);
    let mut output: Vec<String> = Vec::new();
    for word in words {
        match output.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= COLUMNS_MAX => {
                last.push(' ');
                last.push_str(word);
            }
            None => output.push(format!("{prefix}{word}")),
            Some(_) => output.push(format!("{prefix}{hang}{word}")),
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(wrapped(text).as_deref(), expected);
    }

    #[test]
    fn only_paragraphs_with_a_wide_line_change() {
        let wide = "word ".repeat(23);
        let text = format!("//! Short\n//! lines.\n//!\n//! {}\n//! end.\nfn a() {{}}\n", wide.trim());
        let first = "word ".repeat(21);
        let expected =
            format!("//! Short\n//! lines.\n//!\n//! {}\n//! word word end.\nfn a() {{}}\n", first.trim());
        check(&text, Some(&expected));
        check(&expected, None);
    }

    #[test]
    fn items_of_a_list_stay_items() {
        let wide = "word ".repeat(23);
        let first = "word ".repeat(20);
        let text = format!("    /// - {}\n    /// - two\n", wide.trim());
        let expected = format!("    /// - {}\n    ///   word word word\n    /// - two\n", first.trim());
        check(&text, Some(&expected));
    }

    #[test]
    fn code_tables_literals_and_addresses_stay() {
        let wide = "word ".repeat(23);
        for text in [
            format!("/// ```text\n/// {wide}\n/// ```\n"),
            format!("/// | {wide}|\n"),
            format!("let a = \"\n// {wide}\n\";\n"),
            format!("// https://example.org {wide}\n"),
            format!("let a = 1; // {wide}\n"),
        ] {
            check(&text, None);
        }
    }
}
