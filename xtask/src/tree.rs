//! The files of the clone as the rules see them: every path, and the text of the text files. Reads the disk
//! once; built files, hidden folders and grown test corpora are left out. Knows no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::TaskError;

/// Folders that hold what tools made, wherever they stand.
const LEFT_OUT: [&str; 7] =
    ["target", "node_modules", "__pycache__", "corpus", "artifacts", "coverage", "proptest-regressions"];
/// Hidden folders are somebody's private matter, apart from these.
const HIDDEN_BUT_OURS: [&str; 2] = [".ci", ".config"];
const TEXT_ENDINGS: [&str; 15] =
    ["rs", "md", "toml", "yaml", "yml", "sh", "py", "js", "mjs", "cjs", "html", "css", "json", "sql", "txt"];
const TEXT_WITHOUT_ENDING: [&str; 3] = ["x", ".ci/run", ".gitignore"];
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// A snapshot of the clone; paths are relative to its root, with `/`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    paths: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self, TaskError> {
        let mut tree = Self { root: root.to_path_buf(), ..Self::default() };
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    /// A tree that exists only in a test.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            for (cut, _) in path.match_indices('/') {
                tree.paths.insert(path[..cut].to_owned());
            }
            tree.paths.insert((*path).to_owned());
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
        }
        tree
    }

    /// Whether a file or folder stands at this path.
    pub(crate) fn holds(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Path and text of every text file, ordered by path.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn read_folder(&mut self, folder: &Path, relative: &str) -> Result<(), TaskError> {
        let failed = |source| TaskError::Read { path: folder.to_path_buf(), source };
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if relative.is_empty() { name.clone() } else { format!("{relative}/{name}") };
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                let hidden = name.starts_with('.') && !HIDDEN_BUT_OURS.contains(&name.as_str());
                if !hidden && !LEFT_OUT.contains(&name.as_str()) {
                    self.paths.insert(path.clone());
                    self.read_folder(&entry.path(), &path)?;
                }
            } else if kind.is_file() {
                self.read_text(&entry.path(), &path)?;
                self.paths.insert(path);
            }
            // Links are not followed: a house that has run has links to its data in it.
        }
        Ok(())
    }

    fn read_text(&mut self, file: &Path, path: &str) -> Result<(), TaskError> {
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        if !TEXT_ENDINGS.contains(&ending) && !TEXT_WITHOUT_ENDING.contains(&path) {
            return Ok(());
        }
        let read = || -> std::io::Result<Option<String>> {
            if file.metadata()?.len() > TEXT_BYTES_MAX {
                return Ok(None);
            }
            Ok(String::from_utf8(std::fs::read(file)?).ok())
        };
        match read() {
            Ok(Some(text)) => {
                self.texts.insert(path.to_owned(), text);
            }
            Ok(None) => {}
            // An editor's temporary file may be gone again between listing and reading.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(TaskError::Read { path: file.to_path_buf(), source }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_and_hidden_folders_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["src/a.rs", "target/b.rs", ".git/c.md", ".ci/run", "logo.png", "deep/node_modules/d.js"]
        {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        let tree = Tree::read(folder.path()).unwrap();
        let texts: Vec<&str> = tree.texts().map(|(path, _)| path).collect();
        assert_eq!(texts, [".ci/run", "src/a.rs"]);
        assert!(tree.holds("logo.png") && tree.holds("src") && !tree.holds("target"));
    }
}
