//! Commands: a text split as a shell splits it, or a list of words; each word with its place.

use crate::source::{Sources, Span};
use crate::tree::{Node, Text, Value};
use std::borrow::Cow;
use std::ops::Range;

/// A command as it was written.
pub(crate) struct Command<'t> {
    pub(crate) words: Vec<Argument<'t>>,
    /// The text that was split; none when it was written as a list.
    pub(crate) written: Option<Text<'t>>,
}

/// One word of a command.
pub(crate) struct Argument<'t> {
    pub(crate) text: Cow<'t, str>,
    token: Text<'t>,
    /// Where the word stands in the token, when it stands there letter by letter.
    range: Option<Range<usize>>,
}

impl Argument<'_> {
    /// Where the word stands.
    pub(crate) fn span(&self, sources: &Sources) -> Span {
        self.part(sources, 0..self.text.len())
    }

    /// Where a part of the word stands.
    pub(crate) fn part(&self, sources: &Sources, part: Range<usize>) -> Span {
        match &self.range {
            Some(range) => sources.narrow(
                self.token.span,
                self.token.text,
                range.start + part.start..range.start + part.end,
            ),
            None => self.token.span,
        }
    }
}

/// Reads a command; none when the walk has found it wrong.
pub(crate) fn command<'t>(node: &'t Node<'_>) -> Option<Command<'t>> {
    let words = match &node.value {
        Value::Scalar(..) => split(node.text()?)?,
        Value::List(items) => items.iter().filter_map(Node::text).map(whole).collect(),
        Value::Map(_) => return None,
    };
    (!words.is_empty()).then_some(Command { words, written: node.text() })
}

/// A word of a list is one already.
fn whole(token: Text<'_>) -> Argument<'_> {
    Argument { text: Cow::Borrowed(token.text), token, range: Some(0..token.text.len()) }
}

/// Splits as a shell does it; none when a quote is open.
fn split(token: Text<'_>) -> Option<Vec<Argument<'_>>> {
    let text = token.text;
    // Without quotes and comments the words are parts of the text, and nothing is copied.
    if !text.contains(['"', '\'', '\\', '#']) {
        let argument = |word: &'_ str| {
            let start = word.as_ptr() as usize - text.as_ptr() as usize;
            start..start + word.len()
        };
        return Some(
            text.split([' ', '\t', '\n'])
                .filter(|word| !word.is_empty())
                .map(|word| Argument { text: Cow::Borrowed(word), token, range: Some(argument(word)) })
                .collect(),
        );
    }
    let mut from = 0;
    let words = shlex::split(text)?;
    let place = |word: String| {
        let found = text[from..].find(&word).map(|at| from + at..from + at + word.len());
        if let Some(range) = &found {
            from = range.end;
        }
        Argument { text: Cow::Owned(word), token, range: found }
    };
    Some(words.into_iter().map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let sources = Sources::new();
        let file = sources.add(Path::new("x"), text.to_owned()).unwrap();
        let token = Text { text, span: Span::new(file, 0..text.len()) };
        let words = split(token).unwrap();
        let found: Vec<(&str, &str)> =
            words.iter().map(|word| (word.text.as_ref(), sources.slice(word.span(&sources)))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn words_know_where_they_stand() {
        check("a  --b c", &[("a", "a"), ("--b", "--b"), ("c", "c")]);
        check("sh -c 'a b'", &[("sh", "sh"), ("-c", "-c"), ("a b", "a b")]);
        check("a 'it'\\''s'", &[("a", "a"), ("it's", "a 'it'\\''s'")]);
    }
}
