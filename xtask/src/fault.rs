//! One broken rule with its place. Knows no rule.

use std::fmt;

/// A rule is broken here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) path: String,
    /// 0 stands for the file as a whole.
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn at(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into() }
    }

    pub(crate) fn whole(path: &str, text: impl Into<String>) -> Self {
        Self::at(path, 0, text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(out, "{}: {}", self.path, self.text)
        } else {
            write!(out, "{}:{}: {}", self.path, self.line, self.text)
        }
    }
}

/// All faults of one rule, one per line.
pub(crate) fn print(rule: &str, faults: &[Fault]) {
    for fault in faults {
        eprintln!("{rule}: {fault}");
    }
}
