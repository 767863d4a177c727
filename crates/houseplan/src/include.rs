//! The files of a plan: reads the first, then whatever `include` names, each once.
//!
//! Knows of the plan only the key `include`.

use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::files::{FileError, Files};
use crate::load::PLAN_FILE;
use crate::path::{escape_fault, within};
use crate::source::{FILES_MAX, Span};
use crate::tree::{self, Document, Node, Value};
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// All files of a plan, in the order in which they were reached.
pub(crate) struct Read<'s> {
    pub(crate) documents: Vec<Document<'s>>,
    /// The folder of each, relative to the plan's folder.
    pub(crate) folders: Vec<PathBuf>,
    /// Whether a file, or a part of one, could not be read.
    pub(crate) incomplete: bool,
}

struct Reader<'a, 's, 't> {
    session: &'a Session<'t>,
    files: &'a dyn Files,
    /// The plan's folder as it stands in the name of the plan file, so that all files are named alike.
    base: &'a Path,
    read: Read<'s>,
    /// The file that included each, with the place; none for the plan itself.
    parents: Vec<Option<(usize, Span)>>,
    /// Index of each file by its path relative to the plan's folder.
    known: HashMap<PathBuf, usize>,
}

/// Reads a plan with everything that it includes.
pub(crate) fn read<'s, 't: 's>(session: &Session<'t>, file: &Path, files: &dyn Files) -> Read<'s> {
    let base = file.parent().unwrap_or(Path::new(""));
    let read = Read { documents: Vec::new(), folders: Vec::new(), incomplete: false };
    let mut reader = Reader { session, files, base, read, parents: Vec::new(), known: HashMap::new() };
    let name = PathBuf::from(file.file_name().unwrap_or_default());
    reader.file(file, &name, None);
    let mut at = 0;
    // Breadth first: the plan, what it includes, what those include.
    while at < reader.read.documents.len() {
        reader.includes_of(at);
        at += 1;
    }
    reader.read
}

impl<'s, 't: 's> Reader<'_, 's, 't> {
    /// Follows the `include` of one file.
    fn includes_of(&mut self, at: usize) {
        let mut wanted: Vec<(PathBuf, Span)> = Vec::new();
        let root = self.read.documents[at].root.as_ref();
        let items = root.and_then(|root| root.get("include")).map_or(&[][..], |entry| entry.value.items());
        for text in items.iter().filter_map(Node::text) {
            match within(&self.read.folders[at], text.text) {
                Some(target) => wanted.push((target, text.span)),
                None => self.session.report(escape_fault(text, Subject::Plan)),
            }
        }
        for (target, span) in wanted {
            if let Some(&known) = self.known.get(&target) {
                self.again(at, known, &target, span);
            } else {
                self.file(&self.base.join(&target), &target, Some((at, span)));
            }
        }
    }

    /// Reports a file that is already part of the plan.
    fn again(&mut self, from: usize, known: usize, target: &Path, span: Span) {
        let mut ancestor = Some(from);
        while ancestor.is_some_and(|at| at != known) {
            ancestor = ancestor.and_then(|at| self.parents[at].map(|(parent, _)| parent));
        }
        let target = target.display();
        let (message, label) = if ancestor.is_some() {
            (format!("`{target}` includes itself in a circle"), "back to a file that leads here")
        } else {
            (format!("`{target}` is included twice"), "again")
        };
        let mut fault = Fault::new(Code::IncludeTwice, Subject::Plan, span, message)
            .label(label)
            .remedy("include each file once; the plan then sees it everywhere");
        if let Some((_, first)) = self.parents[known] {
            fault = fault.related(first, "first");
        }
        self.session.report(fault);
    }

    /// Reads one file and its tree; a file that fails is reported and left out.
    fn file(&mut self, path: &Path, relative: &Path, included: Option<(usize, Span)>) {
        let text = match self.files.read(path).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                let at = error.utf8_error().valid_up_to();
                let message = format!("`{}` is not UTF-8: byte {at} belongs to no character", path.display());
                let remedy = "save it as UTF-8; it may be Latin-1, UTF-16 or no text at all";
                return self.missing(
                    included,
                    Fault::new(Code::NotUtf8, Subject::Plan, None, message).remedy(remedy),
                );
            }
            Err(error) => {
                let code = match &error {
                    FileError::TooLarge { .. } => Code::TooLarge,
                    FileError::Missing { .. } | FileError::NotRegular { .. } | FileError::Read { .. } => {
                        Code::Unreadable
                    }
                };
                let remedy = self.remedy(path, &error, included.is_none());
                return self
                    .missing(included, Fault::new(code, Subject::Plan, None, chain(&error)).remedy(remedy));
            }
        };
        let Some(file) = self.session.sources.add(path, text) else {
            let message = format!("a plan has at most {FILES_MAX} files");
            return self.missing(included, Fault::new(Code::Budget, Subject::Plan, None, message));
        };
        let document = self.document(file);
        self.known.insert(relative.to_owned(), self.read.documents.len());
        self.read.folders.push(relative.parent().map(Path::to_owned).unwrap_or_default());
        self.read.documents.push(document);
        self.parents.push(included);
    }

    /// The tree of a file, which must be a map to be part of a plan.
    fn document(&mut self, file: u32) -> Document<'s> {
        let text: &'s str = self.session.sources.text(file);
        let mut document = tree::read(self.session, file, text);
        let (empty, is_map) = match &document.root {
            Some(Node { value: Value::Scalar(text, _), .. }) => (text.is_empty(), false),
            Some(Node { value: Value::List(_), .. }) => (false, false),
            Some(Node { value: Value::Map(_), .. }) => (false, true),
            None => (!document.broken, false),
        };
        if empty {
            document.root = None;
            document.broken = true;
            let span = Span::new(file, 0..0);
            let fault = Fault::new(Code::Empty, Subject::Plan, span, "the file holds nothing");
            self.session.report(fault.label("empty").remedy("`haus init` writes a plan to start from"));
        }
        self.read.incomplete |= document.broken || document.partial || !is_map;
        document
    }

    /// Reports a file that is not there, at the place that names it when there is one.
    fn missing(&mut self, included: Option<(usize, Span)>, fault: Fault<'t>) {
        self.read.incomplete = true;
        self.session.report(match included {
            Some((_, span)) => fault.at(span).label("included here"),
            None => fault,
        });
    }

    /// What to do about a file that cannot be read; names what may be meant instead.
    fn remedy(&self, path: &Path, error: &FileError, is_plan: bool) -> String {
        match error {
            FileError::Missing { .. } => {
                let folder = path.parent().unwrap_or(Path::new(""));
                let names = self.files.names(folder);
                let plans: Vec<&str> = names
                    .iter()
                    .map(String::as_str)
                    .filter(|name| name.ends_with(".yaml") || name.ends_with(".yml"))
                    .collect();
                let wanted = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
                match self.session.suggest.nearest(wanted, plans.iter().copied()) {
                    Some(near) => format!("did you mean `{}`?", folder.join(near).display()),
                    None if is_plan && !plans.is_empty() => {
                        format!("the folder has {}; name the file itself", plans.join(", "))
                    }
                    None if is_plan => "`haus init` writes a plan to start from".to_owned(),
                    None => "look at the name and the folder".to_owned(),
                }
            }
            FileError::NotRegular { .. } => format!("name a file, or a folder that holds `{PLAN_FILE}`"),
            FileError::TooLarge { .. } => {
                "a plan is text that people read; split it with `include`".to_owned()
            }
            FileError::Read { .. } => "look at the owner and the mode of the file".to_owned(),
        }
    }
}

/// An error with everything that caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}
