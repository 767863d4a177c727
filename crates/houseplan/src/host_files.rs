//! Files that a plan names for its hosts: templates and keys are read, of all others it is asked whether they
//! are there.
//!
//! A template becomes a source like the plan itself, so that a fault in it has a place and an excerpt.

use crate::code::Code;
use crate::draft::{ContentDraft, Draft, SourceDraft};
use crate::fault::{Fault, Session, Subject};
use crate::files::{FileError, Files};
use crate::path::escape_fault;
use crate::source::{FILES_MAX, Span};
use crate::tree::Text;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What becomes of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Its variables or its lines are looked at.
    Text,
    /// It is carried to a host as it is.
    Bytes,
}

struct Reader<'a, 't> {
    session: &'a Session<'t>,
    files: &'a dyn Files,
    base: &'a Path,
    /// What came of each file, by its path relative to the plan's folder.
    known: HashMap<PathBuf, Result<(), (Code, String)>>,
    texts: HashMap<PathBuf, Text<'t>>,
}

/// Reads what the hosts of a plan need. `base` is the plan's folder as the user named it.
pub(crate) fn read<'t>(session: &Session<'t>, files: &dyn Files, base: &Path, draft: &mut Draft<'t>) {
    let mut reader = Reader { session, files, base, known: HashMap::new(), texts: HashMap::new() };
    for (subject, settings) in draft.settings() {
        for (_, content) in settings.contents() {
            match content {
                ContentDraft::From(file) => reader.file(draft, subject, file, Use::Bytes),
                ContentDraft::Template(file) => reader.file(draft, subject, file, Use::Text),
                ContentDraft::Text(_) | ContentDraft::Credential(_) => {}
            }
        }
        for file in settings.accounts.iter().filter_map(|account| account.keys_file) {
            reader.file(draft, subject, file, Use::Text);
        }
    }
    for service in &draft.services {
        if let Some(SourceDraft::Folder(folder)) =
            service.deployment.as_ref().and_then(|deployment| deployment.source)
        {
            reader.folder(draft, Subject::Service(service.name.text), folder);
        }
    }
    draft.texts = reader.texts;
}

impl<'t> Reader<'_, 't> {
    /// One mention of a file; it is read at its first.
    fn file(&mut self, draft: &Draft<'t>, subject: Subject<'t>, written: Text<'t>, as_what: Use) {
        let Some(path) = draft.path(written) else {
            return self.session.report(escape_fault(written, subject));
        };
        let needs_text = as_what == Use::Text && !self.texts.contains_key(&path);
        if !self.known.contains_key(&path) || (needs_text && self.known[&path].is_ok()) {
            let result = self.load(&path, as_what);
            self.known.insert(path.clone(), result);
        }
        if let Err((code, message)) = &self.known[&path] {
            let remedy = if *code == Code::PrivateKey {
                "give it as a credential, and make a new key: this one was in a file"
            } else {
                "look at the name and at the folder: paths begin at the file that says them"
            };
            let fault = Fault::new(*code, subject, written.span, message.clone());
            self.session.report(fault.label("named here").remedy(remedy));
        }
    }

    fn load(&mut self, path: &Path, as_what: Use) -> Result<(), (Code, String)> {
        let shown = self.base.join(path);
        let unreadable = |message: String| (Code::FileUnreadable, message);
        let content = self.files.read(&shown).map_err(|error| {
            unreadable(match error {
                FileError::Read { .. } => format!("`{}` cannot be read", shown.display()),
                FileError::Missing { .. } | FileError::NotRegular { .. } | FileError::TooLarge { .. } => {
                    error.to_string()
                }
            })
        })?;
        if is_private_key(&content) {
            return Err((Code::PrivateKey, format!("`{}` holds a private key", shown.display())));
        }
        if as_what == Use::Bytes {
            return Ok(());
        }
        let text = String::from_utf8(content)
            .map_err(|_| unreadable(format!("`{}` is not UTF-8", shown.display())))?;
        let file =
            self.session.sources.add(&shown, text).ok_or_else(|| {
                unreadable(format!("a plan has at most {FILES_MAX} files, templates included"))
            })?;
        let text = self.session.sources.text(file);
        self.texts.insert(path.to_owned(), Text { text, span: Span::new(file, 0..text.len()) });
        Ok(())
    }

    /// The folder with the code of a service.
    fn folder(&self, draft: &Draft<'t>, subject: Subject<'t>, written: Text<'t>) {
        let Some(path) = draft.path(written) else {
            return self.session.report(escape_fault(written, subject));
        };
        // The plan's own folder is there, or nobody would have read the plan.
        if path == Path::new(".") || self.files.is_folder(&self.base.join(&path)) {
            return;
        }
        let message = format!("there is no folder `{}`", self.base.join(&path).display());
        let fault = Fault::new(Code::FileUnreadable, subject, written.span, message);
        self.session.report(
            fault.label("named here").remedy("name the folder that holds the code, relative to this file"),
        );
    }
}

/// The line with which every private key in PEM begins (RFC 7468, section 10, and OpenSSH's own).
fn is_private_key(content: &[u8]) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY-----";
    content.windows(MARK.len()).any(|window| window == MARK)
}
