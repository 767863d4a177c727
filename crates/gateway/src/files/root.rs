//! The way to the folder that is served. Knows nothing of what lies below it.
//!
//! A service may own a folder on that way and lay a link in it, to the credentials of others for instance,
//! while we may read everything. So a link counts only when root or our own account laid it.

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, readlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;
const FLAGS: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Why the folder was not opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RootFault {
    /// A link on the way that is not trusted; the sentence is for the operator, not for the visitor.
    Link { why: String },
    /// What the system says.
    System(Errno),
}

impl From<Errno> for RootFault {
    fn from(errno: Errno) -> RootFault {
        RootFault::System(errno)
    }
}

/// Opens the absolute folder `root` as a place to start from.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd, RootFault> {
    // Most ways have no link at all; the kernel finds that out in one call.
    match openat2(CWD, root, FLAGS | OFlags::DIRECTORY, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(Errno::LOOP) => walk(root, &[0, geteuid().as_raw()]),
        opened => Ok(opened?),
    }
}

/// Goes name by name. Each link is judged on the descriptor that it is read from, so that nobody can
/// exchange it between the two.
fn walk(root: &Path, trusted: &[u32]) -> Result<OwnedFd, RootFault> {
    let mut folder = top()?;
    let mut here = PathBuf::from("/");
    let mut ahead: VecDeque<OsString> = names(root).collect();
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        let next = openat(&folder, &name, FLAGS | OFlags::NOFOLLOW, Mode::empty())?;
        let stat = fstat(&next)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            folder = next;
            here.push(&name);
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        let target = OsString::from_vec(readlinkat(&next, "", Vec::new())?.into_bytes());
        judge(&here.join(&name), &stat, &target, &fstat(&folder)?, trusted)?;
        if target.as_bytes().starts_with(b"/") {
            folder = top()?;
            here = PathBuf::from("/");
        }
        for name in names(Path::new(&target)).rev() {
            ahead.push_front(name);
        }
    }
    Ok(folder)
}

fn judge(link: &Path, stat: &Stat, target: &OsStr, around: &Stat, trusted: &[u32]) -> Result<(), RootFault> {
    let link = link.display();
    if !trusted.contains(&stat.st_uid) {
        let why = format!(
            "the folder {link} is a link that account {} laid; only links of root and of our own account \
             are followed",
            stat.st_uid
        );
        return Err(RootFault::Link { why });
    }
    // Who may write in a folder may move somebody else's link to where its `..` means another folder.
    let climbs = names(Path::new(target)).any(|name| name == "..");
    if climbs && !target.as_bytes().starts_with(b"/") && !is_ours_alone(around, trusted) {
        let why = format!(
            "the folder {link} is a link with `..` in a folder that others may write; give it a whole path"
        );
        return Err(RootFault::Link { why });
    }
    Ok(())
}

/// Whether nobody else may rename what stands in the folder.
fn is_ours_alone(folder: &Stat, trusted: &[u32]) -> bool {
    let mode = Mode::from_raw_mode(folder.st_mode);
    let others_write = mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX);
    trusted.contains(&folder.st_uid) && !others_write
}

fn top() -> Result<OwnedFd, Errno> {
    openat(CWD, "/", FLAGS | OFlags::DIRECTORY, Mode::empty())
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let meant = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(meant).map(|part| part.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use tempfile::TempDir;

    struct Way {
        folder: TempDir,
    }

    impl Way {
        /// `site/www` and links to it, in a folder of our own.
        fn new() -> Way {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path();
            fs::create_dir_all(place.join("site/www")).unwrap();
            fs::create_dir_all(place.join("links")).unwrap();
            symlink(place.join("site/www"), place.join("links/whole")).unwrap();
            symlink("../site/www", place.join("links/climbing")).unwrap();
            symlink("site", place.join("sideways")).unwrap();
            symlink("circle", place.join("circle")).unwrap();
            Way { folder }
        }

        /// What `site/www` is reached as: the same folder, or why not.
        fn check(&self, root: &str, trusted: &[u32], expected: Result<(), &str>) {
            let place = self.folder.path().canonicalize().unwrap();
            let wanted = fs::metadata(place.join("site/www")).unwrap();
            match (walk(&place.join(root), trusted), expected) {
                (Ok(opened), Ok(())) => assert_eq!(fstat(opened).unwrap().st_ino, wanted.ino(), "{root}"),
                (Err(RootFault::Link { why }), Err(part)) => assert!(why.contains(part), "{root}: {why}"),
                (Err(RootFault::System(errno)), Err(part)) => {
                    assert_eq!(format!("{errno:?}"), part, "{root}");
                }
                (outcome, expected) => panic!("{root}: {outcome:?} instead of {expected:?}"),
            }
        }
    }

    fn ours() -> u32 {
        geteuid().as_raw()
    }

    #[test]
    fn own_links_are_followed_as_the_kernel_would() {
        let way = Way::new();
        for root in ["site/www", "site/../site/./www/", "links/whole", "links/climbing", "sideways/www"] {
            way.check(root, &[0, ours()], Ok(()));
        }
        way.check("links/gone", &[0, ours()], Err(&format!("{:?}", Errno::NOENT)));
        way.check("circle/www", &[0, ours()], Err(&format!("{:?}", Errno::LOOP)));
    }

    #[test]
    fn links_of_others_are_not_followed() {
        let way = Way::new();
        // To somebody else, our links are those of a stranger.
        let laid = format!("is a link that account {} laid", ours());
        for root in ["links/whole", "links/climbing", "sideways/www"] {
            way.check(root, &[ours() + 1], Err(&laid));
        }
        way.check("site/www", &[ours() + 1], Ok(()));
    }

    #[test]
    fn a_link_that_others_may_move_must_not_climb() {
        let way = Way::new();
        let links = way.folder.path().join("links");
        fs::set_permissions(&links, fs::Permissions::from_mode(0o777)).unwrap();
        way.check("links/climbing", &[0, ours()], Err("a link with `..` in a folder that others may write"));
        way.check("links/whole", &[0, ours()], Ok(()));
        fs::set_permissions(&links, fs::Permissions::from_mode(0o1777)).unwrap();
        way.check("links/climbing", &[0, ours()], Ok(()));
    }
}
