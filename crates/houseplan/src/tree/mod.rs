//! The spanned tree: YAML as values that remember where they stand.
//!
//! Owns everything that is true of any YAML file here: core schema, budget, no merge keys, no
//! duplicate keys. Knows no key of the plan. The parser behind it can be exchanged.

mod read;
mod scalar;

use crate::source::Span;
use std::borrow::Cow;

pub(crate) use read::{Document, read};
pub(crate) use scalar::ScalarKind;

/// Most values that one file may have with its aliases filled in.
pub(crate) const NODES_MAX: usize = 4_000_000;
/// Most of them that may come from aliases.
pub(crate) const ALIAS_NODES_MAX: usize = 1_000_000;
/// Deepest nesting.
pub(crate) const DEPTH_MAX: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node<'s> {
    pub(crate) span: Span,
    pub(crate) value: Value<'s>,
}

#[derive(Clone, Debug)]
pub(crate) enum Value<'s> {
    Scalar(Cow<'s, str>, ScalarKind),
    List(Vec<Node<'s>>),
    Map(Vec<Entry<'s>>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'s> {
    pub(crate) key: Cow<'s, str>,
    pub(crate) key_span: Span,
    pub(crate) value: Node<'s>,
}

/// A text or other scalar, borrowed from the tree, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'t> {
    pub(crate) text: &'t str,
    pub(crate) span: Span,
}

impl<'s> Node<'s> {
    pub(crate) fn entries(&self) -> &[Entry<'s>] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(..) | Value::List(_) => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node<'s>] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(..) | Value::Map(_) => &[],
        }
    }

    /// The value of a key, when this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry<'s>> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The scalar as it was written, whatever its kind; null is none.
    pub(crate) fn text(&self) -> Option<Text<'_>> {
        match &self.value {
            Value::Scalar(_, ScalarKind::Null) | Value::List(_) | Value::Map(_) => None,
            Value::Scalar(text, _) => Some(Text { text, span: self.span }),
        }
    }

    /// What a message calls a value of this kind.
    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a map of keys",
            Value::Scalar(_, kind) => kind.name(),
        }
    }
}

impl Entry<'_> {
    pub(crate) fn key_text(&self) -> Text<'_> {
        Text { text: &self.key, span: self.key_span }
    }
}
