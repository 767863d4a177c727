//! Why a change is there: because the plan wants something new, or because somebody has changed what we had made.

use haus_model::change::{ActKind, Change, ChangeSet};
use haus_model::inventory::{Inventory, Manifest};
use haus_model::resource::Spec;
use haus_model::{Finding, HostName};
use std::collections::BTreeMap;

/// Why a change is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The plan wants something that it did not want before, or nobody has made yet.
    Wish,
    /// We had made it exactly so, and it is not so any more.
    Drift,
    /// An earlier apply owes it: something was changed, and who reads it has not read it or was not proven since.
    Owed,
}

/// The cause of every change, by host and number.
pub fn causes(
    changes: &ChangeSet,
    inventories: &BTreeMap<HostName, Result<Inventory, Finding>>,
) -> BTreeMap<HostName, BTreeMap<u32, Cause>> {
    let nothing = Manifest::default();
    let hosts = changes.hosts.iter().map(|(name, plan)| {
        let manifest = match inventories.get(name) {
            Some(Ok(inventory)) => &inventory.manifest,
            Some(Err(_)) | None => &nothing,
        };
        let causes = plan.changes.iter().map(|change| (change.number, cause(change, manifest)));
        (name.clone(), causes.collect())
    });
    hosts.collect()
}

fn cause(change: &Change, manifest: &Manifest) -> Cause {
    let Some(entry) = manifest.entries.get(&change.resource) else { return Cause::Wish };
    match change.act {
        ActKind::Remove | ActKind::Forget => Cause::Wish,
        ActKind::Create | ActKind::Update if entry.spec != change.spec => Cause::Wish,
        ActKind::Create | ActKind::Update => match &change.spec {
            Spec::Unit(unit) if entry.inputs != Some(unit.inputs) => Cause::Owed,
            Spec::Command(command) if entry.inputs != Some(command.inputs) => Cause::Owed,
            Spec::Health(health) if entry.inputs != Some(health.inputs) => Cause::Owed,
            Spec::Unit(_)
            | Spec::Command(_)
            | Spec::Health(_)
            | Spec::Packages(_)
            | Spec::Holds(_)
            | Spec::Group(_)
            | Spec::User(_)
            | Spec::Keys(_)
            | Spec::Directory(_)
            | Spec::File(_)
            | Spec::Link(_)
            | Spec::Release(_)
            | Spec::Switch(_)
            | Spec::Sysctl(_) => Cause::Drift,
        },
    }
}
