//! Paths as text: joined and tidied without asking a disk.

use crate::code::Code;
use crate::fault::{Fault, Subject};
use crate::tree::Text;
use std::path::{Component, Path, PathBuf};

/// `folder/text` without `.` and `..`; none when it is absolute or leads above where `folder` is relative to.
pub(crate) fn within(folder: &Path, text: &str) -> Option<PathBuf> {
    let mut parts: Vec<&std::ffi::OsStr> = Vec::new();
    for component in folder.components().chain(Path::new(text).components()) {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(if parts.is_empty() { PathBuf::from(".") } else { parts.into_iter().collect() })
}

/// Like [`within`], but an absolute path stays as it is.
pub(crate) fn within_or_absolute(folder: &Path, text: &str) -> Option<PathBuf> {
    if Path::new(text).is_absolute() { Some(PathBuf::from(text)) } else { within(folder, text) }
}

/// The fault for a path that is not [`within`].
pub(crate) fn escape_fault<'t>(path: Text<'_>, subject: Subject<'t>) -> Fault<'t> {
    let absolute = Path::new(path.text).is_absolute();
    let message = if absolute {
        format!("the path `{}` must be relative", path.text)
    } else {
        format!("the path `{}` leaves its folder", path.text)
    };
    let label = if absolute { "absolute" } else { "leads outside" };
    Fault::new(Code::Escape, subject, path.span, message)
        .label(label)
        .remedy("name something inside the folder; move it there when it lies elsewhere")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(folder: &str, text: &str, expected: Option<&str>) {
        assert_eq!(within(Path::new(folder), text).as_deref(), expected.map(Path::new), "{folder} + {text}");
    }

    #[test]
    fn paths_stay_inside_or_are_none() {
        check("", "a/b", Some("a/b"));
        check("rooms", "../a/./b/", Some("a/b"));
        check("rooms", "..", Some("."));
        check("rooms", "../..", None);
        check("", "../a", None);
        check("", "/etc", None);
    }
}
