//! Files: whole or not at all, checked before or after they get their name.

use super::{Job, Made};
use crate::disk::{self, Candidate, Place};
use crate::journal::note::{Also, Note, in_the_way};
use crate::observe::salted;
use crate::refusal::{Attempt as _, Result};
use crate::wire::Refusal;
use haus_model::argv::file_check;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::operation::checks_candidate;
use haus_model::resource::{Content, FileSpec};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

const CHECK_WITHIN: Duration = Duration::from_secs(120);

fn is_secret(job: &Job<'_>, spec: &FileSpec) -> bool {
    // A file without a hash holds, or held, a secret.
    matches!(spec.content, Content::Secret(_)) || matches!(job.before, State::File { hash: None, .. })
}

pub(super) fn note(job: &Job<'_>, spec: &FileSpec) -> Result<Note> {
    let paths = vec![job.keeper().keep(&spec.path, is_secret(job, spec))?];
    Ok(Note { paths, also: Also::Nothing })
}

pub(super) fn write(job: &mut Job<'_>, spec: &FileSpec) -> Result<Made> {
    let path = job.machine.at(&spec.path);
    let owned = job.accounts.owned(&spec.access)?;
    let place = Place::of(&path)?;
    if place.metadata()?.is_some_and(|is| !is.is_file() && !is.is_symlink()) {
        return Err(in_the_way(&spec.path, "something that is no file stands there"));
    }
    if matches!(job.before, State::File { hash: Some(hash), .. } if *hash == spec.content.fingerprint()) {
        disk::give_path(&place, owned)?;
        return Ok(Made::default());
    }
    let mut inputs = None;
    let mut blob;
    let mut bytes: &[u8];
    let content: &mut dyn Read = match &spec.content {
        Content::Text(text) => {
            bytes = text.as_bytes();
            &mut bytes
        }
        Content::Blob { hash, .. } => {
            let from = job.layout.blobs().join(hash.to_string());
            blob = std::fs::File::open(&from).attempt("open the carried", &from)?;
            &mut blob
        }
        Content::Secret(version) => {
            bytes = job.secret(version)?.expose_bytes();
            inputs = Some(salted(job.salt, bytes));
            &mut bytes
        }
    };
    let candidate = disk::candidate(&place, content, owned)?;
    put(job, spec, candidate)?;
    Ok(Made { inputs, ..Made::default() })
}

fn put(job: &mut Job<'_>, spec: &FileSpec, candidate: Candidate<'_>) -> Result<()> {
    let Some(check) = &spec.check else { return candidate.rename() };
    if checks_candidate(check) {
        accept(job, &file_check(check, &candidate.shown()), spec)?;
        return candidate.rename();
    }
    candidate.rename()?;
    // When it refuses, whoever called brings the old file back by the note.
    accept(job, check, spec)
}

fn accept(job: &mut Job<'_>, argv: &[String], spec: &FileSpec) -> Result<()> {
    let remedy = "correct the content; the file on the host is as it was";
    job.system(argv, CHECK_WITHIN, remedy).map(drop).map_err(|refusal| {
        let what = format!("check {} by `{}`", spec.path.display(), argv.join(" "));
        Refusal { what, ..refusal }
    })
}

pub(super) fn remove(job: &mut Job<'_>, path: &Path) -> Result<Made> {
    let path = job.machine.at(path);
    if !path.parent().is_some_and(Path::exists) {
        return Ok(Made::default());
    }
    if Place::of(&path)?.metadata()?.is_some_and(|is| is.is_dir()) {
        let why = "a folder stands there";
        let what = format!("remove {}", path.display());
        return Err(Refusal::new(HostCode::OtherInPlace, what, why, "look at it; nothing was removed"));
    }
    disk::remove(&path)?;
    Ok(Made::default())
}
