//! Folders, files and links. What stands in a place and is something else is never replaced, except an empty
//! folder by a link.

use super::{Around, Difference, Obstacle, Verdict, describe, other_kind};
use crate::diff::{access, all_new, becomes, gone, new, texts};
use haus_model::change::DiffLine;
use haus_model::host::Access;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::resource::{Content, DirectorySpec, FileSpec, LinkSpec, SecretVersion, Spec};
use std::path::Path;

pub(super) fn directory(spec: &DirectorySpec, state: &State, around: &Around<'_>) -> Verdict {
    if let State::Directory { access: found, .. } = state {
        if *found == spec.access {
            return Verdict::AsWished;
        }
        let diff = becomes(access(found), access(&spec.access)).to_vec();
        return Difference::update(differs(found, &spec.access), diff).into();
    }
    let diff = vec![new(format!("folder, {}", access(&spec.access)))];
    if *state == State::Absent {
        return Difference::create("it is not there", diff).into();
    }
    in_the_way(&spec.path, &Spec::Directory(spec.clone()), state, around, diff)
}

pub(super) fn link(spec: &LinkSpec, state: &State, around: &Around<'_>) -> Verdict {
    let target = new(format!("link to {}", spec.target.display()));
    if let State::Link(found) = state {
        if *found == spec.target {
            return Verdict::AsWished;
        }
        let before = gone(format!("link to {}", found.display()));
        return Difference::update("it leads somewhere else", vec![before, target]).into();
    }
    if *state == State::Absent {
        return Difference::create("it is not there", vec![target]).into();
    }
    if let State::Directory { entries: 0, .. } = state {
        let diff = vec![gone("empty folder"), target];
        return Difference::create("an empty folder stands in its place", diff).into();
    }
    let is_data = matches!(state, State::Directory { .. } | State::File { .. });
    if is_data && !around.is_freed(&spec.path) {
        let (path, to) = (spec.path.display(), spec.target.display());
        return Verdict::Blocked(Obstacle {
            code: HostCode::DataInPlaceOfLink,
            message: format!("{} stands at {path}, where a link to {to} belongs", describe(state)),
            remedy: "bring what is in there to where the link leads, remove it, then plan again".to_owned(),
        });
    }
    in_the_way(&spec.path, &Spec::Link(spec.clone()), state, around, vec![target])
}

/// Something of another kind: in the way, unless we made it and this plan takes it away before.
fn in_the_way(path: &Path, spec: &Spec, state: &State, around: &Around<'_>, diff: Vec<DiffLine>) -> Verdict {
    if around.is_freed(path) {
        return Difference::create("what we made in its place before goes", diff).into();
    }
    Verdict::Blocked(other_kind(spec, state))
}

pub(super) fn file(spec: &FileSpec, state: &State, around: &Around<'_>) -> Verdict {
    let State::File { hash, access: found, secret, .. } = state else {
        let mut diff = vec![new(format!("file, {}", access(&spec.access)))];
        diff.extend(content(&spec.content));
        if *state == State::Absent {
            return Difference::create("it is not there", diff).into();
        }
        return in_the_way(&spec.path, &Spec::File(spec.clone()), state, around, diff);
    };
    let same = match &spec.content {
        Content::Secret(wanted) => secret.as_ref() == Some(wanted),
        Content::Text(_) | Content::Blob { .. } => hash.is_some() && *hash == around.content,
    };
    let mut reasons = Vec::new();
    let mut diff = Vec::new();
    if *found != spec.access {
        reasons.push(differs(found, &spec.access));
        diff.extend(becomes(access(found), access(&spec.access)));
    }
    if !same {
        reasons.push(content_reason(&spec.content, secret.as_ref(), around));
        diff.extend(content_change(spec, state, around.ours.is_some()));
    }
    if reasons.is_empty() { Verdict::AsWished } else { Difference::update(reasons.join(", "), diff).into() }
}

fn content_reason(content: &Content, secret: Option<&SecretVersion>, around: &Around<'_>) -> String {
    match (content, secret) {
        (Content::Secret(wanted), Some(found)) if wanted.credential == found.credential => {
            format!("the credential {} is at version {}", wanted.credential, wanted.version)
        }
        (Content::Secret(wanted), _) if around.ours.is_some() => {
            format!("it does not hold the credential {} any more", wanted.credential)
        }
        (Content::Secret(_), _) => "it holds something else".to_owned(),
        (Content::Text(_) | Content::Blob { .. }, _) => "its content differs".to_owned(),
    }
}

/// Content that comes, in lines when it is text.
fn content(content: &Content) -> Vec<DiffLine> {
    match content {
        Content::Text(text) => all_new(text),
        Content::Blob { hash, bytes } => vec![new(format!("{bytes} bytes, SHA-256 {}", hash.short()))],
        Content::Secret(secret) => vec![new(told(secret))],
    }
}

fn told(secret: &SecretVersion) -> String {
    format!("the value of the credential {}, version {}", secret.credential, secret.version)
}

fn content_change(spec: &FileSpec, state: &State, ours: bool) -> Vec<DiffLine> {
    let State::File { hash, bytes, access, text, secret } = state else { return content(&spec.content) };
    if let Some(secret) = secret {
        return std::iter::once(gone(told(secret))).chain(content(&spec.content)).collect();
    }
    let shown = text.as_ref().filter(|_| may_be_shown(spec, access, ours));
    match (&spec.content, shown) {
        (Content::Text(after), Some(before)) => texts(before, after),
        (_, _) => {
            let before = match hash {
                Some(hash) if shown.is_some() || ours => format!("{bytes} bytes, SHA-256 {}", hash.short()),
                Some(_) | None => "content that is not shown".to_owned(),
            };
            std::iter::once(gone(before)).chain(content(&spec.content)).collect()
        }
    }
}

/// Whether a plan may hold what stands in a file: never in the place of a secret, and of private files only
/// our own.
pub(crate) fn may_be_shown(spec: &FileSpec, access: &Access, ours: bool) -> bool {
    let for_all = access.mode & 0o004 != 0;
    !matches!(spec.content, Content::Secret(_)) && (ours || for_all)
}

fn differs(found: &Access, wanted: &Access) -> String {
    let owner = found.owner != wanted.owner || found.group != wanted.group;
    match (owner, found.mode != wanted.mode) {
        (true, true) => "owner and mode differ".to_owned(),
        (true, false) => "its owner differs".to_owned(),
        (false, _) => "its mode differs".to_owned(),
    }
}
