//! The way to a folder, walked part by part, so that no link made by a service leads us elsewhere as root.
//! It does not know what is done in the folder at the end.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;

/// As many as the kernel follows.
const LINKS_MAX: u32 = 40;

/// Why the folder was not reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum Astray {
    /// The kernel refused a part of the way.
    #[error("{source}")]
    System {
        #[source]
        source: io::Error,
    },
    /// Something else than a folder is in the way.
    #[error("{found} stands in the way")]
    Blocked { found: Found },
    /// The path leaves the folder that it has to stay below.
    #[error("the path leads out of {below} by `..`", below = below.display())]
    Leaves { below: PathBuf },
}

/// What stands where a folder should.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    path: PathBuf,
    /// Where it leads when it is a link.
    target: Option<PathBuf>,
    owner: u32,
    /// Whether no link at all would have been followed there.
    below_border: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { path, target, owner, .. } = self;
        match target {
            Some(target) => {
                write!(formatter, "{}, a link to {} of uid {owner},", path.display(), target.display())
            }
            None => write!(formatter, "{}, a file of uid {owner},", path.display()),
        }
    }
}

impl Astray {
    /// What the reader can do about it.
    pub(super) fn remedy(&self) -> Option<String> {
        match self {
            Astray::System { .. } => None,
            Astray::Blocked { found: Found { path, target: Some(target), below_border: false, .. } } => {
                Some(format!(
                    "write the real path instead of the link {}, or replace it by a link of root in a folder of root; it \
                     leads to {}",
                    path.display(),
                    target.display()
                ))
            }
            Astray::Blocked { found: Found { path, .. } } => {
                let shown = path.display();
                Some(format!(
                    "the service may have put it there: see `ls -ld {shown}`, remove it with `rm {shown}`, and start again"
                ))
            }
            Astray::Leaves { .. } => Some(String::from("write the path in the plan without `..`")),
        }
    }
}

impl From<Errno> for Astray {
    fn from(errno: Errno) -> Astray {
        Astray::System { source: errno.into() }
    }
}

/// A part of the way; below the border no link is followed, whoever owns it.
struct Part {
    name: OsString,
    below_border: bool,
}

/// Opens the folder at `path` (as a place only, `O_PATH`).
///
/// Links are followed down to `border` when root or we own both the link and the folder it stands in, since
/// nobody else can have put it there. Below `border` there may be none. With `make` absent folders are made.
pub(super) fn walk(path: &Path, border: &Path, make: bool) -> Result<OwnedFd, Astray> {
    let mut ahead = parts(path, border);
    let mut shown = PathBuf::from(if path.is_absolute() { "/" } else { "." });
    let mut here = start_at(&shown)?;
    let mut links = 0;
    while let Some(Part { name, below_border }) = ahead.pop_front() {
        if below_border && name == ".." {
            return Err(Astray::Leaves { below: border.to_owned() });
        }
        let next = open_part(&here, &name, make)?;
        let stat = fstat(&next)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            shown.push(&name);
            here = next;
            continue;
        }
        let target = if kind == FileType::Symlink { Some(link_target(&next)?) } else { None };
        let may_follow = !below_border && is_trusted(&stat) && is_trusted(&fstat(&here)?);
        let Some(target) = target.clone().filter(|_| may_follow) else {
            let found = Found { path: shown.join(name), target, owner: stat.st_uid, below_border };
            return Err(Astray::Blocked { found });
        };
        links += 1;
        if links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        if target.is_absolute() {
            shown = PathBuf::from("/");
            here = start_at(&shown)?;
        }
        for part in parts(&target, &target).into_iter().rev() {
            ahead.push_front(part);
        }
    }
    Ok(here)
}

fn start_at(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn parts(path: &Path, border: &Path) -> VecDeque<Part> {
    // A path that is not below the border has no part below it.
    let free = if path.starts_with(border) { named(border).count() } else { usize::MAX };
    named(path)
        .enumerate()
        .map(|(index, name)| Part { name: name.to_owned(), below_border: index >= free })
        .collect()
}

fn named(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn open_part(here: &OwnedFd, name: &OsStr, make: bool) -> Result<OwnedFd, Errno> {
    let open = || openat(here, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    match open() {
        Err(Errno::NOENT) if make => {
            match mkdirat(here, name, Mode::from_raw_mode(0o755)) {
                Err(errno) if errno != Errno::EXIST => return Err(errno),
                Ok(()) | Err(_) => {}
            }
            open()
        }
        answer => answer,
    }
}

/// Where an open link leads; asked of the descriptor, so that it is the link that was looked at.
fn link_target(link: impl AsFd) -> Result<PathBuf, Errno> {
    readlinkat(link, "", Vec::new()).map(|target| OsString::from_vec(target.into_bytes()).into())
}

fn is_trusted(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;

    /// Walks to `path` below a fresh folder, with the border at `in`, and returns what is said.
    fn check(prepare: impl Fn(&Path), path: &str, expected: Option<&str>) {
        let home = tempfile::tempdir().expect("folder");
        let root = home.path();
        fs::create_dir_all(root.join("in/server")).expect("makes");
        prepare(root);
        let said = walk(&root.join(path), &root.join("in"), false).err().map(|astray| astray.to_string());
        match expected {
            None => assert_eq!(said, None),
            Some(part) => assert!(said.as_deref().is_some_and(|said| said.contains(part)), "{said:?}"),
        }
    }

    fn swap(root: &Path, name: &str, target: &str) {
        fs::rename(root.join(name), root.join("old")).expect("moves");
        symlink(target, root.join(name)).expect("links");
    }

    #[test]
    fn plain_folders_are_passed_and_a_link_below_the_border_is_not() {
        check(|_| {}, "in/server", None);
        check(|root| swap(root, "in/server", "/etc"), "in/server", Some("in/server, a link to /etc of uid"));
        check(|root| fs::write(root.join("in/f"), "").expect("writes"), "in/f", Some("in/f, a file of uid"));
        check(|_| {}, "in/../in/server", Some("leads out of"));
        check(|_| {}, "in/none", Some("No such file"));
    }

    #[test]
    fn a_link_of_our_own_on_the_way_to_the_border_is_followed_and_a_circle_is_not() {
        check(|root| swap(root, "in", "old"), "in/server", None);
        check(|root| swap(root, "in", "./in"), "in/server", Some("oo many"));
    }

    #[test]
    fn a_link_on_the_way_is_refused_when_another_account_could_have_put_it_there() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let of_link = |root: &Path| {
            swap(root, "in", "/etc");
            lchown(root.join("in"), Some(65_534), Some(65_534)).expect("gives");
        };
        check(of_link, "in/server", Some("in, a link to /etc of uid 65534,"));
        let of_folder = |root: &Path| {
            swap(root, "in", "old");
            chown(root, Some(65_534), Some(65_534)).expect("gives");
        };
        check(of_folder, "in/server", Some("in, a link to old of uid 0,"));
    }
}
