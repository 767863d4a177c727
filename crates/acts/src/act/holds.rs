//! Packages that upgrades leave alone.

use super::{Job, Made};
use crate::journal::note::{Also, Note};
use crate::refusal::Result;
use haus_model::argv;
use haus_model::change::ActKind;
use haus_model::inventory::State;
use haus_model::operation::packages_to_hold;
use haus_model::resource::HoldsSpec;
use std::collections::BTreeSet;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(120);
const REMEDY: &str = "see whether dpkg works on the host";

fn held(before: &State) -> BTreeSet<String> {
    let State::Holds(holds) = before else { return BTreeSet::new() };
    holds.iter().filter(|(_, held)| **held).map(|(name, _)| name.clone()).collect()
}

pub(super) fn note(job: &Job<'_>, act: ActKind, spec: &HoldsSpec) -> Note {
    let (held, unheld) = match act {
        ActKind::Remove => (BTreeSet::new(), held(job.before)),
        ActKind::Create | ActKind::Update | ActKind::Forget => {
            (packages_to_hold(spec, job.before), BTreeSet::new())
        }
    };
    Note { paths: Vec::new(), also: Also::Holds { held, unheld } }
}

pub(super) fn hold(job: &mut Job<'_>, spec: &HoldsSpec) -> Result<Made> {
    let names = packages_to_hold(spec, job.before);
    if !names.is_empty() {
        job.system(&argv::apt_hold(names), WITHIN, REMEDY)?;
    }
    Ok(Made::default())
}

pub(super) fn unhold(job: &mut Job<'_>) -> Result<Made> {
    let names = held(job.before);
    if !names.is_empty() {
        job.system(&argv::apt_unhold(names), WITHIN, REMEDY)?;
    }
    Ok(Made::default())
}
