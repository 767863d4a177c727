//! Why a change is there: because the plan wants something new, or because somebody has changed what we had
//! made.

use haus_model::change::{ActKind, Change, ChangeSet};
use haus_model::inventory::{Inventory, Manifest};
use haus_model::resource::{Spec, UnitSpec};
use haus_model::{Finding, Fingerprint, HostName, ServiceName};
use std::collections::{BTreeMap, BTreeSet};

/// Why a change is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The plan wants something that it did not want before, or nobody has made yet.
    Wish,
    /// We had made it exactly so, and it is not so any more.
    Drift,
    /// An earlier apply owes it: something was changed, and who reads it has not read it or was not proven
    /// since.
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
        let mut wished = BTreeSet::new();
        let mut causes = BTreeMap::new();
        for change in &plan.changes {
            let cause = cause(change, manifest, &wished);
            if cause == Cause::Wish {
                wished.insert(change.service.clone());
            }
            causes.insert(change.number, cause);
        }
        (name.clone(), causes)
    });
    hosts.collect()
}

/// `wished` holds the services for which this plan has brought something new already; none is the host
/// itself.
fn cause(change: &Change, manifest: &Manifest, wished: &BTreeSet<Option<ServiceName>>) -> Cause {
    let Some(entry) = manifest.entries.get(&change.resource) else { return Cause::Wish };
    let is_end = matches!(change.act, ActKind::Remove | ActKind::Forget);
    if is_end || without_inputs(&entry.spec) != without_inputs(&change.spec) {
        return Cause::Wish;
    }
    match inputs_of(&change.spec) {
        // Who reads what is new in this plan follows it; otherwise it was new in an earlier one.
        Some(inputs) if entry.inputs != Some(inputs) && wished.contains(&change.service) => Cause::Wish,
        Some(inputs) if entry.inputs != Some(inputs) => Cause::Owed,
        Some(_) | None => Cause::Drift,
    }
}

fn inputs_of(spec: &Spec) -> Option<Fingerprint> {
    match spec {
        Spec::Unit(unit) => Some(unit.inputs),
        Spec::Command(command) => Some(command.inputs),
        Spec::Health(health) => Some(health.inputs),
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::User(_)
        | Spec::Keys(_)
        | Spec::Directory(_)
        | Spec::File(_)
        | Spec::Link(_)
        | Spec::Release(_)
        | Spec::Switch(_)
        | Spec::Sysctl(_) => None,
    }
}

/// A specification as if nothing was read and nobody had looked at the host.
fn without_inputs(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    match &mut spec {
        Spec::Unit(unit) => unit.inputs = UnitSpec::no_inputs(),
        Spec::Command(command) => command.inputs = UnitSpec::no_inputs(),
        Spec::Health(health) => health.inputs = UnitSpec::no_inputs(),
        // What it has left is no wish.
        Spec::User(user) => user.leaves.clear(),
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::Keys(_)
        | Spec::Directory(_)
        | Spec::File(_)
        | Spec::Link(_)
        | Spec::Release(_)
        | Spec::Switch(_)
        | Spec::Sysctl(_) => {}
    }
    spec
}
