//! Makes a section of CHANGELOG.md out of the notes in `changes/unreleased/`. Knows the names of the notes
//! and the form of keepachangelog.com; what a note says is its author's matter.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::TaskError;
use crate::fault::Fault;
use crate::tree::Tree;

const FILE: &str = "CHANGELOG.md";
const NOTES: &str = "changes/unreleased/";
/// Sections in the order in which readers want them.
const KINDS: [&str; 6] = ["security", "added", "changed", "deprecated", "removed", "fixed"];
/// New sections are put below this line.
const MARK: &str = "<!-- releases, newest first -->";

/// Every note has a known kind and a text.
#[allow(clippy::unnecessary_wraps, reason = "the shape that all rules share")]
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, TaskError> {
    let mut faults = Vec::new();
    for (path, text) in notes(tree) {
        if kind(path).is_none() {
            faults.push(Fault::whole(path, format!("begins with none of: {}", KINDS.join(", "))));
        }
        if text.trim().is_empty() || text.starts_with('#') {
            faults.push(Fault::whole(path, "wants one or two sentences without a heading"));
        }
    }
    if !tree.text(FILE).is_some_and(|text| text.contains(MARK)) {
        faults.push(Fault::whole(FILE, format!("lacks the line {MARK}")));
    }
    Ok(faults)
}

/// Moves all notes into a section of their own.
pub(crate) fn release(root: &Path, version: &str, date: &str) -> Result<bool, TaskError> {
    let tree = Tree::read(root)?;
    let faults = check(&tree)?;
    crate::fault::print("changelog", &faults);
    let Some(old) = tree.text(FILE).filter(|_| faults.is_empty()) else { return Ok(false) };
    let new = old.replacen(MARK, &format!("{MARK}\n\n{}", section(&tree, version, date).trim_end()), 1);
    let file = root.join(FILE);
    std::fs::write(&file, new).map_err(|source| TaskError::Write { path: file, source })?;
    for (path, _) in notes(&tree) {
        let note = root.join(path);
        std::fs::remove_file(&note).map_err(|source| TaskError::Write { path: note, source })?;
    }
    Ok(true)
}

fn notes(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.texts().filter(|(path, _)| path.starts_with(NOTES))
}

/// The first word of the file's name, if it is one of the known kinds.
fn kind(path: &str) -> Option<&'static str> {
    let (kind, _) = path.strip_prefix(NOTES)?.split_once('-')?;
    KINDS.into_iter().find(|known| *known == kind)
}

fn section(tree: &Tree, version: &str, date: &str) -> String {
    let mut section = format!("## {version} – {date}\n");
    for wanted in KINDS {
        let texts: Vec<&str> =
            notes(tree).filter(|(path, _)| kind(path) == Some(wanted)).map(|(_, text)| text.trim()).collect();
        if texts.is_empty() {
            continue;
        }
        let _ = write!(section, "\n### {}{}\n\n", wanted[..1].to_uppercase(), &wanted[1..]);
        for text in texts {
            let _ = writeln!(section, "- {}", text.replace('\n', "\n  "));
        }
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let faults = super::check(&Tree::of(files)).unwrap();
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_note_has_a_kind_and_a_text() {
        let log = (FILE, MARK);
        check(&[log, ("changes/unreleased/added-x.md", "X.\n")], &[]);
        let unknown = "changes/unreleased/new-x.md: begins with none of: \
            security, added, changed, deprecated, removed, fixed";
        check(&[log, ("changes/unreleased/new-x.md", "X.\n")], &[unknown]);
        let empty = "changes/unreleased/added-x.md: wants one or two sentences without a heading";
        check(&[log, ("changes/unreleased/added-x.md", "# X\n")], &[empty]);
        check(&[], &["CHANGELOG.md: lacks the line <!-- releases, newest first -->"]);
    }

    #[test]
    fn a_release_moves_the_notes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| std::fs::write(folder.path().join(path), text).unwrap();
        std::fs::create_dir_all(folder.path().join(NOTES)).unwrap();
        write(FILE, &format!("# Log\n{MARK}\n\n## 0.1.0 – 2026-01-01\n"));
        write("changes/unreleased/fixed-b.md", "B is\nright.\n");
        write("changes/unreleased/added-a.md", "A.\n");
        assert!(release(folder.path(), "0.2.0", "2026-02-02").unwrap());
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        let section = "## 0.2.0 – 2026-02-02\n\n### Added\n\n- A.\n\n### Fixed\n\n- B is\n  right.";
        assert_eq!(text, format!("# Log\n{MARK}\n\n{section}\n\n## 0.1.0 – 2026-01-01\n"));
        assert!(std::fs::read_dir(folder.path().join(NOTES)).unwrap().next().is_none());
    }
}
