//! Texts with `${…}` cut into their parts. What a variable means is not known here.

use std::ops::Range;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part<'t> {
    /// Stays as it is.
    Text(&'t str),
    /// The name between the braces, and where the whole variable stands in the text.
    Variable(&'t str, Range<usize>),
    /// A `${` that is never closed.
    Unclosed(Range<usize>),
}

/// Cuts a text into parts; `$${` is a plain `${`.
pub(crate) fn parts(text: &str) -> Parts<'_> {
    Parts { text, at: 0 }
}

pub(crate) struct Parts<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Parts<'t> {
    type Item = Part<'t>;

    fn next(&mut self) -> Option<Part<'t>> {
        let (text, start) = (self.text, self.at);
        let rest = &text[start..];
        if rest.is_empty() {
            return None;
        }
        if rest.starts_with("$${") {
            self.at = start + 3;
            return Some(Part::Text(&text[start + 1..start + 3]));
        }
        if rest.starts_with("${") {
            let Some(length) = rest.find('}') else {
                self.at = text.len();
                return Some(Part::Unclosed(start..text.len()));
            };
            self.at = start + length + 1;
            return Some(Part::Variable(&text[start + 2..start + length], start..start + length + 1));
        }
        // Escapes begin one character before the `${`, so the text ends before that `$`.
        let end = rest.find("${").map_or(text.len(), |found| start + found);
        let escaped = end < text.len() && end > start && text.as_bytes()[end - 1] == b'$';
        self.at = if escaped { end - 1 } else { end };
        Some(Part::Text(&text[start..self.at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[Part<'_>]) {
        assert_eq!(parts(text).collect::<Vec<_>>(), expected, "{text:?}");
    }

    #[test]
    fn variables_escapes_and_texts_are_told_apart() {
        check("", &[]);
        check("plain $ {x}", &[Part::Text("plain $ {x}")]);
        check("${a}", &[Part::Variable("a", 0..4)]);
        check("x${a.b}y", &[Part::Text("x"), Part::Variable("a.b", 1..7), Part::Text("y")]);
        check("$${a}", &[Part::Text("${"), Part::Text("a}")]);
        check("p$${a}", &[Part::Text("p"), Part::Text("${"), Part::Text("a}")]);
        check("a${b", &[Part::Text("a"), Part::Unclosed(1..4)]);
        check("${}", &[Part::Variable("", 0..3)]);
    }
}
