//! Groups and accounts, by the system's own tools, which know about shadow files and locks.

use super::{Job, Made};
use crate::journal::note::{Also, Note, UserWas};
use crate::refusal::Result;
use haus_model::argv;
use haus_model::change::ActKind;
use haus_model::change::Operation;
use haus_model::operation::operations;
use haus_model::resource::{GroupSpec, Spec, UserSpec};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(120);
const REMEDY: &str = "see the output; a name, number or process may be in the way";

pub(super) fn note_group(job: &Job<'_>, spec: &GroupSpec) -> Note {
    let also = Also::Group { name: spec.name.clone(), gid: job.accounts.gid(&spec.name) };
    Note { paths: Vec::new(), also }
}

pub(super) fn note_user(job: &Job<'_>, spec: &UserSpec) -> Note {
    let accounts = &job.accounts;
    let was = accounts.user(&spec.name).map(|account| {
        UserWas::of(&account, accounts.group_name(account.gid), accounts.groups_of(&spec.name))
    });
    Note { paths: Vec::new(), also: Also::User { name: spec.name.clone(), was } }
}

pub(super) fn make_group(job: &mut Job<'_>, spec: &GroupSpec) -> Result<Made> {
    run_all(job, ActKind::Create, &Spec::Group(spec.clone()))
}

pub(super) fn make_user(job: &mut Job<'_>, spec: &UserSpec) -> Result<Made> {
    run_all(job, ActKind::Create, &Spec::User(spec.clone()))
}

pub(super) fn remove_group(job: &mut Job<'_>, spec: &GroupSpec) -> Result<Made> {
    if job.accounts.gid(&spec.name).is_some() {
        job.system(&argv::groupdel(&spec.name), WITHIN, REMEDY)?;
    }
    Ok(Made::default())
}

pub(super) fn remove_user(job: &mut Job<'_>, spec: &UserSpec) -> Result<Made> {
    if job.accounts.user(&spec.name).is_some() {
        job.system(&argv::userdel(&spec.name), WITHIN, REMEDY)?;
    }
    Ok(Made::default())
}

/// Both kinds consist of commands only.
fn run_all(job: &mut Job<'_>, act: ActKind, spec: &Spec) -> Result<Made> {
    for operation in operations(act, spec, job.before) {
        match operation {
            Operation::Run(argv) => drop(job.system(&argv, WITHIN, REMEDY)?),
            Operation::Native(_) => {}
        }
    }
    Ok(Made::default())
}
