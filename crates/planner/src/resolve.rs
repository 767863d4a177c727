//! Fills in what only a host can say: which commit a reference is, from there what units have to have read,
//! and which groups an account has from us that are not wanted any more. Nothing is compared here.

use crate::order::Ordered;
use haus_model::Fingerprint;
use haus_model::inventory::{Inventory, State};
use haus_model::resource::{
    CommandSpec, HealthSpec, ReleaseSource, ReleaseSpec, Resource, ResourceId, Spec, SwitchSpec, UnitSpec,
    UserSpec,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// A specification with everything filled in.
pub(crate) struct Resolved<'a> {
    pub spec: Cow<'a, Spec>,
    /// What somebody who reads it would see; none when that is not known yet, or nobody reads it.
    pub seen: Option<Fingerprint>,
}

/// The specifications with everything filled in, in the order of needs.
pub(crate) fn resolve<'a>(
    ordered: &Ordered<'a>,
    reads: &BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    inventory: &Inventory,
) -> Vec<Resolved<'a>> {
    let resolved = Vec::with_capacity(ordered.resources.len());
    let mut resolver = Resolver { ordered, reads, inventory, resolved, releases: HashMap::new() };
    ordered.resources.iter().for_each(|resource| resolver.resolve(resource));
    resolver.resolved
}

struct Resolver<'a, 'r> {
    ordered: &'r Ordered<'a>,
    reads: &'r BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    inventory: &'r Inventory,
    resolved: Vec<Resolved<'a>>,
    /// The release of every folder of a service.
    releases: HashMap<&'a Path, String>,
}

impl<'a> Resolver<'a, '_> {
    fn resolve(&mut self, resource: &'a Resource) {
        let spec = self.filled(resource);
        let seen = match spec.as_ref() {
            Spec::Release(release) => release.release_id().map(|id| Fingerprint::of(id.as_bytes())),
            Spec::Switch(switch) => switch.release.as_ref().map(|id| Fingerprint::of(id.as_bytes())),
            Spec::File(file) => Some(file.content.fingerprint()),
            Spec::Link(link) => Some(Fingerprint::of(link.target.as_os_str().as_encoded_bytes())),
            Spec::Unit(_) | Spec::Command(_) | Spec::Health(_) => self.inputs(resource),
            // Nobody reads these; they are needed at most.
            Spec::Packages(_)
            | Spec::Holds(_)
            | Spec::Group(_)
            | Spec::User(_)
            | Spec::Keys(_)
            | Spec::Directory(_)
            | Spec::Sysctl(_) => None,
        };
        if let (Spec::Release(release), Spec::Release(known)) = (&resource.spec, spec.as_ref())
            && let Some(id) = known.release_id()
        {
            self.releases.insert(&release.root, id);
        }
        self.resolved.push(Resolved { spec, seen });
    }

    fn filled(&self, resource: &'a Resource) -> Cow<'a, Spec> {
        let inputs = || self.inputs(resource);
        match &resource.spec {
            Spec::Release(release) => match (&release.source, self.inventory.states.get(&resource.id)) {
                (
                    ReleaseSource::Git { url, reference, .. },
                    Some(State::Releases { commit: Some(Ok(commit)), .. }),
                ) => {
                    let (url, reference) = (url.clone(), reference.clone());
                    let source = ReleaseSource::Git { url, reference, commit: Some(commit.clone()) };
                    Cow::Owned(Spec::Release(ReleaseSpec { source, ..release.clone() }))
                }
                (_, _) => Cow::Borrowed(&resource.spec),
            },
            Spec::Switch(switch) => {
                let release = self.releases.get(switch.root.as_path()).or(switch.release.as_ref());
                Cow::Owned(Spec::Switch(SwitchSpec { release: release.cloned(), ..switch.clone() }))
            }
            Spec::Unit(unit) => match inputs().filter(|inputs| *inputs != unit.inputs) {
                Some(inputs) => Cow::Owned(Spec::Unit(UnitSpec { inputs, ..unit.clone() })),
                None => Cow::Borrowed(&resource.spec),
            },
            Spec::Command(command) => match inputs().filter(|inputs| *inputs != command.inputs) {
                Some(inputs) => Cow::Owned(Spec::Command(CommandSpec { inputs, ..command.clone() })),
                None => Cow::Borrowed(&resource.spec),
            },
            Spec::Health(health) => match inputs().filter(|inputs| *inputs != health.inputs) {
                Some(inputs) => Cow::Owned(Spec::Health(HealthSpec { inputs, ..health.clone() })),
                None => Cow::Borrowed(&resource.spec),
            },
            Spec::User(user) => {
                let leaves = self.leaves(&resource.id, user);
                if leaves.is_empty() {
                    return Cow::Borrowed(&resource.spec);
                }
                Cow::Owned(Spec::User(UserSpec { leaves, ..user.clone() }))
            }
            Spec::Packages(_)
            | Spec::Holds(_)
            | Spec::Group(_)
            | Spec::Keys(_)
            | Spec::Directory(_)
            | Spec::File(_)
            | Spec::Link(_)
            | Spec::Sysctl(_) => Cow::Borrowed(&resource.spec),
        }
    }

    /// Groups in which an account is since a former plan wanted it. That it was in one before us does not
    /// count: who writes `sudo` into a plan and deletes it wants it gone.
    fn leaves(&self, id: &ResourceId, user: &UserSpec) -> BTreeSet<String> {
        let ours = self.inventory.manifest.entries.get(id).map(|entry| &entry.spec);
        let (Some(Spec::User(before)), Some(State::User { groups, .. })) =
            (ours, self.inventory.states.get(id))
        else {
            return BTreeSet::new();
        };
        let given = before.groups.intersection(groups).filter(|group| **group != user.group);
        given.filter(|group| !user.groups.contains(*group)).cloned().collect()
    }

    /// What somebody depends on: his own words, and everything that he reads under its name.
    fn inputs(&self, resource: &Resource) -> Option<Fingerprint> {
        let own = match &resource.spec {
            Spec::Unit(unit) => unit.inputs,
            Spec::Command(command) => command.inputs,
            Spec::Health(health) => health.inputs,
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
            | Spec::Sysctl(_) => return None,
        };
        let reads = self.reads.get(&resource.id).filter(|reads| !reads.is_empty());
        let Some(reads) = reads else { return Some(own) };
        let mut parts: Vec<&[u8]> = Vec::with_capacity(reads.len() * 2 + 1);
        parts.push(own.as_bytes());
        for id in reads {
            // What is not wanted is read by nobody; what is not known yet makes the whole unknown.
            if let Some(at) = self.ordered.at.get(id) {
                parts.push(id.as_str().as_bytes());
                parts.push(self.resolved.get(*at)?.seen.as_ref()?.as_bytes());
            }
        }
        Some(Fingerprint::of_parts(parts))
    }
}
