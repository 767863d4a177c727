//! Where a checked value stands: what every fault about it needs to know.

use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::source::Span;
use crate::tree::{Node, ScalarKind, Text, Value};

/// A value's key, or the list that it is an item of, and what it is about.
#[derive(Clone, Copy)]
pub(super) struct Site<'a, 't> {
    pub(super) session: &'a Session<'t>,
    /// The key; its text is empty for a file as a whole.
    pub(super) at: Text<'t>,
    pub(super) subject: Subject<'t>,
}

impl<'t> Site<'_, 't> {
    /// The key as messages name it.
    pub(super) fn key(self) -> &'t str {
        self.at.text
    }

    /// A fault that still lacks its label and its remedy.
    pub(super) fn fault(self, code: Code, span: Span, message: String) -> Fault<'t> {
        Fault::new(code, self.subject, span, message)
    }

    pub(super) fn report(self, fault: Fault<'t>) {
        self.session.report(fault);
    }

    /// Reports a value of a kind that the key does not take.
    pub(super) fn wrong_kind(self, node: &Node<'_>, wanted: &str, remedy: &str) {
        let name = if self.key().is_empty() { "the file".to_owned() } else { format!("`{}`", self.key()) };
        let fault = if matches!(node.value, Value::Scalar(_, ScalarKind::Null)) {
            // What is not there cannot be underlined, so the key is.
            let message = format!("{name} has no value; it takes {wanted}");
            self.fault(Code::WrongKind, self.at.span, message).label("no value")
        } else {
            let message = format!("{name} takes {wanted}, this is {}", node.kind_name());
            self.fault(Code::WrongKind, node.span, message).label(node.kind_name())
        };
        self.report(fault.remedy(remedy.to_owned()));
    }
}
