//! Parser events to a tree, with everything refused that a plan must not hold.

use super::scalar::ScalarKind;
use super::{ALIAS_NODES_MAX, DEPTH_MAX, Entry, NODES_MAX, Node, Value};
use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::source::Span;
use granit_parser::{Event, ParseResult, Parser, ScalarStyle, Tag};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

mod syntax;

/// What a file holds.
pub(crate) struct Document<'s> {
    /// The top; what was complete before the first error when `broken`.
    pub(crate) root: Option<Node<'s>>,
    /// Whether the file could not be read to its end.
    pub(crate) broken: bool,
    /// Whether a value was left out, so that what it stood for is unknown.
    pub(crate) partial: bool,
}

/// A collection that is not closed yet.
struct Frame<'s> {
    start: Span,
    anchor: usize,
    /// Values so far, in this collection and below.
    size: usize,
    /// Levels below, counted with this one.
    height: usize,
    content: Content<'s>,
}

/// What a collection is, and where its values begin on the reader's stacks.
enum Content<'s> {
    List { base: usize },
    Map { base: usize, key: Option<(Cow<'s, str>, Span, Use)> },
}

/// What becomes of a key's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Keep,
    Drop,
}

/// A finished value with what an alias to it would cost.
struct Anchored<'s> {
    node: Node<'s>,
    size: usize,
    height: usize,
}

struct Reader<'a, 's, 't> {
    session: &'a Session<'t>,
    file: u32,
    frames: Vec<Frame<'s>>,
    /// Values of all open collections, innermost last: each gets one allocation of the right size
    /// when it is closed, instead of growing step by step.
    items: Vec<Node<'s>>,
    entries: Vec<Entry<'s>>,
    anchors: BTreeMap<usize, Anchored<'s>>,
    nodes: usize,
    alias_nodes: usize,
    root: Option<Node<'s>>,
    broken: bool,
    partial: bool,
}

/// Reads one file. Everything wrong is reported to the session.
pub(crate) fn read<'s>(session: &Session<'_>, file: u32, text: &'s str) -> Document<'s> {
    let mut reader = Reader::new(session, file);
    reader.run(text);
    Document { root: reader.root, broken: reader.broken, partial: reader.partial }
}

impl<'a, 's, 't> Reader<'a, 's, 't> {
    fn new(session: &'a Session<'t>, file: u32) -> Reader<'a, 's, 't> {
        Reader {
            session,
            file,
            frames: Vec::new(),
            items: Vec::new(),
            entries: Vec::new(),
            anchors: BTreeMap::new(),
            nodes: 0,
            alias_nodes: 0,
            root: None,
            broken: false,
            partial: false,
        }
    }

    /// Reads until the end or the first error that the parser cannot pass.
    fn run(&mut self, text: &'s str) {
        let options = granit_parser::options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
            flow_nesting_limit: DEPTH_MAX,
            block_nesting_limit: DEPTH_MAX,
        };
        let mut events = Parser::new_from_str_with_options(text, options);
        while events.next().is_some_and(|next| self.take(next, text)) {}
        if self.broken {
            self.salvage();
        }
    }

    /// Takes what the parser gives; false ends the reading.
    fn take(&mut self, next: ParseResult<'s>, text: &str) -> bool {
        match next {
            Ok((event, span)) => {
                let span = Span::new(self.file, span.byte_range().unwrap_or(0..0));
                self.handle(event, span)
            }
            Err(error) => {
                self.session.report(syntax::fault(&error, self.file, text, self.open_bracket(text)));
                self.broken = true;
                false
            }
        }
    }

    /// The innermost `[` or `{` that waits to be closed.
    fn open_bracket(&self, text: &str) -> Option<Span> {
        let start = self.frames.last()?.start;
        text.get(start.range()).is_some_and(|token| matches!(token, "[" | "{")).then_some(start)
    }

    /// Takes one event; false ends the reading.
    fn handle(&mut self, event: Event<'s>, span: Span) -> bool {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = self.scalar_kind(&text, style, tag.as_deref(), span);
                // The parser writes an absent value as `~` with an empty span.
                let text = if kind == ScalarKind::Null { Cow::Borrowed("") } else { text };
                self.finish(Node { span, value: Value::Scalar(text, kind) }, anchor, 1, 0);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), &["seq"], span);
                self.open(span, anchor, Content::List { base: self.items.len() });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), &["map"], span);
                self.open(span, anchor, Content::Map { base: self.entries.len(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => self.alias(id, span),
            Event::UnresolvedAlias(name) => {
                let fault = Fault::new(
                    Code::Syntax,
                    Subject::Plan,
                    span,
                    format!("the alias `*{name}` has no anchor before it"),
                );
                self.session.report(fault.label("nothing has this name yet").remedy(format!(
                    "write `&{name}` in front of the value that is meant, or quote the text"
                )));
                self.leave_out();
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                let fault = Fault::new(Code::Documents, Subject::Plan, span, "a second document begins here");
                self.session.report(
                    fault
                        .label("one file holds one plan")
                        .remedy("put it into a file of its own and name that under `include`"),
                );
                return false;
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Comment(..)
            | Event::Anchor(..) => {}
            // The parser may learn further events without a breaking release; none can carry a value.
            _ => {}
        }
        !self.broken
    }

    /// What a scalar is: quotes and `!!str` make a text of anything.
    fn scalar_kind(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> ScalarKind {
        let plain = matches!(style, ScalarStyle::Plain);
        self.check_tag(tag, &["str", "int", "float", "bool", "null"], span);
        if !plain || tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str")) {
            return ScalarKind::Text;
        }
        ScalarKind::of_plain(text)
    }

    /// Tags of the core schema are harmless, all others would have to mean something.
    fn check_tag(&self, tag: Option<&Tag>, known: &[&str], span: Span) {
        let Some(tag) = tag else { return };
        if known.iter().any(|name| tag.is_yaml_core_schema_tag(name)) {
            return;
        }
        let fault =
            Fault::new(Code::Tag, Subject::Plan, span, format!("the tag `{}` is not known", tag.original()));
        self.session.report(fault.label("has a tag").remedy("remove the tag; a plan has plain values only"));
    }

    /// Begins a collection.
    fn open(&mut self, start: Span, anchor: usize, content: Content<'s>) {
        self.frames.push(Frame { start, anchor, size: 1, height: 1, content });
    }

    /// Ends the innermost collection; the parser says so in the right order.
    fn close(&mut self, end: Span) {
        let Some(frame) = self.frames.pop() else { return };
        let span = Span { end: end.end.max(frame.start.end), ..frame.start };
        let value = match frame.content {
            Content::List { base } => Value::List(self.items.split_off(base)),
            Content::Map { base, .. } => {
                let entries = self.entries.split_off(base);
                Value::Map(self.unique(entries))
            }
        };
        self.finish(Node { span, value }, frame.anchor, frame.size, frame.height);
    }

    /// Puts a finished value where it belongs.
    fn finish(&mut self, node: Node<'s>, anchor: usize, size: usize, height: usize) {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return self.over_budget(node.span, format!("more than {NODES_MAX} values in one file"));
        }
        if anchor != 0 {
            self.alias_nodes += size;
            if self.alias_nodes <= ALIAS_NODES_MAX {
                self.anchors.insert(anchor, Anchored { node: node.clone(), size, height });
            }
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return;
        };
        frame.size += size;
        frame.height = frame.height.max(height + 1);
        match &mut frame.content {
            Content::List { .. } => self.items.push(node),
            Content::Map { key, .. } => match key.take() {
                Some((key, key_span, Use::Keep)) => self.entries.push(Entry { key, key_span, value: node }),
                Some((_, _, Use::Drop)) => {}
                None => {
                    let next = self::key(self.session, node);
                    self.partial |= next.2 == Use::Drop;
                    *key = Some(next);
                }
            },
        }
    }

    /// Puts a copy of the anchored value here, when the budget allows it.
    fn alias(&mut self, id: usize, span: Span) {
        let Some(target) = self.anchors.get(&id) else {
            if self.alias_nodes > ALIAS_NODES_MAX {
                return self.over_budget(span, "aliases grow into too many values".to_owned());
            }
            let fault =
                Fault::new(Code::Syntax, Subject::Plan, span, "an alias stands inside its own anchor");
            self.session
                .report(fault.label("would contain itself").remedy("write the value out where it is needed"));
            return self.leave_out();
        };
        let (size, height) = (target.size, target.height);
        if self.alias_nodes + size > ALIAS_NODES_MAX {
            let message = format!("aliases grow into more than {ALIAS_NODES_MAX} values");
            return self.over_budget(span, message);
        }
        if self.frames.len() + height > DEPTH_MAX {
            return self.over_budget(span, format!("values are nested more than {DEPTH_MAX} deep"));
        }
        self.alias_nodes += size;
        let node = target.node.clone();
        self.finish(node, 0, size, height);
    }

    /// Goes on without the value that should stand here; whatever would follow from its absence is
    /// not worth a second fault.
    fn leave_out(&mut self) {
        self.partial = true;
        if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.frames.last_mut() {
            *key = match key.take() {
                Some(_) => None,
                None => Some((Cow::Borrowed(""), Span::new(self.file, 0..0), Use::Drop)),
            };
        }
    }

    /// Reports and ends the reading.
    fn over_budget(&mut self, span: Span, message: String) {
        let fault = Fault::new(Code::Budget, Subject::Plan, span, message);
        self.session.report(
            fault.label("reading ends here").remedy("write the values out, or split the plan with `include`"),
        );
        self.broken = true;
    }

    /// Drops keys that were there before and reports each.
    fn unique(&self, entries: Vec<Entry<'s>>) -> Vec<Entry<'s>> {
        const FEW: usize = 12;
        let duplicate = if entries.len() <= FEW {
            (1..entries.len()).any(|at| entries[..at].iter().any(|before| before.key == entries[at].key))
        } else {
            let mut seen = std::collections::HashSet::with_capacity(entries.len());
            !entries.iter().all(|entry| seen.insert(entry.key.as_ref()))
        };
        if !duplicate {
            return entries;
        }
        let mut first: HashMap<Cow<'s, str>, Span> = HashMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(&before) = first.get(&entry.key) {
                let message = format!("the key `{}` stands here twice", entry.key);
                let fault = Fault::new(Code::DuplicateKey, Subject::Plan, entry.key_span, message);
                self.session.report(
                    fault
                        .label("again")
                        .related(before, "first")
                        .remedy("keep one of them; the later one would silently win elsewhere"),
                );
            } else {
                first.insert(entry.key.clone(), entry.key_span);
                kept.push(entry);
            }
        }
        kept
    }

    /// Keeps what was complete, so that includes of a broken file are still followed.
    fn salvage(&mut self) {
        let Some(outermost) = self.frames.first() else { return };
        let start = outermost.start;
        if !matches!(outermost.content, Content::Map { .. }) {
            return;
        }
        // The outermost map's entries lie at the bottom, up to where the next open map begins.
        let bases = self.frames[1..].iter().find_map(|frame| match frame.content {
            Content::Map { base, .. } => Some(base),
            Content::List { .. } => None,
        });
        self.entries.truncate(bases.unwrap_or(self.entries.len()));
        let entries = std::mem::take(&mut self.entries);
        self.root = Some(Node { span: start, value: Value::Map(entries) });
    }
}

/// A key must be a text; a merge key is one that would not stay where it is.
fn key<'s>(session: &Session<'_>, node: Node<'s>) -> (Cow<'s, str>, Span, Use) {
    let span = node.span;
    let kind = node.kind_name();
    if let Value::Scalar(text, scalar) = node.value {
        if text == "<<" && session.sources.slice(span) == "<<" {
            let fault =
                Fault::new(Code::MergeKey, Subject::Plan, span, "merge keys (`<<`) are not supported");
            session.report(
                fault
                    .label("merges another map")
                    .remedy("write the keys out; every fact of a plan has one visible home"),
            );
            return (text, span, Use::Drop);
        }
        if scalar != ScalarKind::Null {
            return (text, span, Use::Keep);
        }
    }
    let fault =
        Fault::new(Code::WrongKind, Subject::Plan, span, format!("a key must be a text, this is {kind}"));
    session.report(fault.label("not a text").remedy("write a plain word in front of the colon"));
    (Cow::Borrowed(""), span, Use::Drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;
    use std::path::Path;

    fn check(text: &str, nodes_max: usize, broken: bool) {
        let sources = Sources::new();
        let file = sources.add(Path::new("x"), text.to_owned()).unwrap();
        let session = Session::new(&sources);
        let mut reader = Reader::new(&session, file);
        reader.run(text);
        assert!(reader.nodes <= nodes_max && reader.alias_nodes <= ALIAS_NODES_MAX, "{} nodes", reader.nodes);
        assert_eq!(reader.broken, broken);
    }

    #[test]
    fn an_alias_bomb_ends_at_the_budget_however_deep_it_is() {
        let mut bomb = String::from("a0: &a0 [x]\n");
        for at in 1..60 {
            let before = format!("*a{}", at - 1);
            bomb.push_str(&format!("a{at}: &a{at} [{}]\n", [before.as_str(); 9].join(", ")));
        }
        check(&bomb, 1_000, true);
    }

    #[test]
    fn few_aliases_are_filled_in() {
        check("a: &a [1, 2]\nb: *a\n", 10, false);
    }
}
