//! One credential's tree to its draft.

use super::top::{boolean, duration, misplaced, text, whole};
use super::{CredentialDraft, RotatorDraft, ServerDraft};
use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::source::Span;
use crate::tree::{Entry, Node, Text};
use haus_model::CredentialKind;

/// A credential as written.
pub(super) fn decode<'t>(session: &Session<'t>, name: Text<'t>, node: &'t Node<'t>) -> CredentialDraft<'t> {
    let subject = Subject::Credential(name.text);
    let given = boolean(node, "given");
    if given == Some(false)
        && let Some(entry) = node.get("given")
    {
        let message = "`given: false` does not say where the value comes from";
        let fault = Fault::new(Code::Choice, subject, entry.value.span, message);
        session
            .report(fault.label("says nothing").remedy("write `given: true`, `length: 32` or `file: PATH`"));
    }
    if let (Some(_), Some(entry)) = (node.get("file"), node.get("rotator")) {
        let message = "a rotator makes a new value, and a file that you keep cannot be given one";
        let fault = Fault::new(Code::Together, subject, entry.key_span, message);
        session.report(
            fault
                .label("has no effect here")
                .remedy("remove it, or write `length: 32` or `given: true` in place of `file`"),
        );
    }
    CredentialDraft {
        name,
        length: whole(node, "length"),
        file: text(node, "file"),
        given: given == Some(true),
        kind: text(node, "type").and_then(|word| word.text.parse().ok()).unwrap_or(CredentialKind::Custom),
        scope: node.get("scope").map(|entry| entry.value.items().iter().filter_map(Node::text).collect()),
        rotate: text(node, "rotate"),
        overlap: spanned(node, "overlap"),
        ttl: spanned(node, "ttl"),
        rotator: node.get("rotator").and_then(|entry| rotator(session, entry, subject)),
        reason: text(node, "reason"),
    }
}

/// A duration with the place where it is written.
fn spanned(node: &Node<'_>, key: &str) -> Option<(std::time::Duration, Span)> {
    Some((duration(node, key)?, node.get(key)?.value.span))
}

/// The first server counts; that there is exactly one is a rule of the shape.
fn rotator<'t>(
    session: &Session<'t>,
    entry: &'t Entry<'t>,
    subject: Subject<'t>,
) -> Option<RotatorDraft<'t>> {
    let node = &entry.value;
    let (service, server, foreign, needed): (_, _, &[&str], _) =
        match (text(node, "postgres"), text(node, "redis")) {
            (Some(service), _) => {
                if node.get("role").is_none() {
                    let message = "the key `role` is missing in a rotator with `postgres`";
                    let fault = Fault::new(Code::MissingKey, subject, entry.key_span, message);
                    session.report(
                        fault.label("whose password is it?").remedy("add `role: ROLE` to the rotator"),
                    );
                }
                let server =
                    ServerDraft::Postgres { role: text(node, "role"), database: text(node, "database") };
                (service, server, &["user"], "redis")
            }
            (None, Some(service)) => {
                let server = ServerDraft::Redis { user: text(node, "user") };
                (service, server, &["role", "database"], "postgres")
            }
            (None, None) => return None,
        };
    for entry in node.entries().iter().filter(|entry| foreign.contains(&entry.key.as_ref())) {
        misplaced(session, entry, needed, subject);
    }
    Some(RotatorDraft { service, server })
}
