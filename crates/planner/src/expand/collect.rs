//! Gathers the resources of one host: several words may want the same package, unit or folder, and each of
//! them is one resource in the end. Adds the needs that follow from paths and accounts. Knows no word of the
//! plan.

use super::View;
use crate::desired::Listening;
use crate::doors::{Login, is_door};
use crate::findings::About;
use crate::names;
use haus_model::host::Reaction;
use haus_model::host_code::HostCode;
use haus_model::host_path::unit_path;
use haus_model::resource::{Kind, OnChange, PackagesSpec, Resource, ResourceId, Spec, UnitSpec};
use haus_model::{Finding, Fingerprint, ServiceName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A resource before its needs are complete.
pub(crate) struct Wish {
    pub spec: Spec,
    pub why: String,
    pub service: Option<ServiceName>,
    pub needs: BTreeSet<ResourceId>,
    pub guarded: bool,
}

impl Wish {
    pub(crate) fn new(spec: Spec, why: impl Into<String>) -> Wish {
        Wish { spec, why: why.into(), service: None, needs: BTreeSet::new(), guarded: false }
    }

    pub(crate) fn service(mut self, service: &ServiceName) -> Wish {
        self.service = Some(service.clone());
        self
    }

    pub(crate) fn needs(mut self, ids: impl IntoIterator<Item = ResourceId>) -> Wish {
        self.needs.extend(ids);
        self
    }

    pub(crate) fn guarded(mut self, guarded: bool) -> Wish {
        self.guarded = guarded;
        self
    }
}

/// What somebody wants of a unit. Several wishes for one unit become one resource.
#[derive(Default)]
pub(crate) struct UnitWish {
    pub why: String,
    pub service: Option<ServiceName>,
    pub enabled: Option<bool>,
    pub running: Option<bool>,
    pub restart: bool,
    pub guarded: bool,
    /// See [`UnitSpec::in_effect`].
    pub in_effect: Option<Vec<String>>,
    /// What it reads at its start; also needed.
    pub reads: BTreeSet<ResourceId>,
    /// What must be true before, although it is not read.
    pub needs: BTreeSet<ResourceId>,
}

/// Everything of one host.
pub(crate) struct Collected {
    pub resources: Vec<Resource>,
    pub reads: BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    pub listens: Vec<Listening>,
    pub faults: Vec<Finding>,
}

/// Gathers the resources of one host.
pub(crate) struct Collector<'a> {
    pub view: View<'a>,
    login: Login<'a>,
    resources: BTreeMap<ResourceId, Resource>,
    packages: BTreeMap<String, String>,
    units: BTreeMap<String, UnitWish>,
    reads: BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    listens: Vec<Listening>,
    faults: Vec<Finding>,
}

/// The id of the packages of a host.
pub(crate) fn packages_id() -> ResourceId {
    ResourceId::new(Kind::Packages, "apt")
}

/// The id of a file.
pub(crate) fn file_id(path: &Path) -> ResourceId {
    ResourceId::new(Kind::File, path.display())
}

/// The id of a unit.
pub(crate) fn unit_id(name: &str) -> ResourceId {
    ResourceId::new(Kind::Unit, name)
}

impl<'a> Collector<'a> {
    pub(crate) fn new(view: View<'a>) -> Collector<'a> {
        Collector {
            view,
            login: Login::of(view.host),
            resources: BTreeMap::new(),
            packages: BTreeMap::new(),
            units: BTreeMap::new(),
            reads: BTreeMap::new(),
            listens: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Adds a resource. Whoever came first says what it is; the needs of both hold.
    pub(crate) fn add(&mut self, wish: Wish) -> ResourceId {
        let id = wish.spec.id();
        let Wish { spec, why, service, needs, guarded } = wish;
        let guarded = guarded || is_door(&spec) || self.login.uses(&spec);
        let new = Resource { id: id.clone(), spec, needs: BTreeSet::new(), service, why, guarded };
        let resource = self.resources.entry(id.clone()).or_insert(new);
        resource.needs.extend(needs);
        resource.guarded |= guarded;
        id
    }

    /// Wants a package, for the first reason that is given.
    pub(crate) fn package(&mut self, name: &str, why: &str) -> ResourceId {
        self.packages.entry(name.to_owned()).or_insert_with(|| why.to_owned());
        packages_id()
    }

    /// Wants something of a unit.
    pub(crate) fn unit(&mut self, name: &str, wish: UnitWish) -> ResourceId {
        let unit = self.units.entry(name.to_owned()).or_default();
        if unit.why.is_empty() {
            unit.why = wish.why;
        }
        unit.service = unit.service.take().or(wish.service);
        unit.enabled = unit.enabled.or(wish.enabled);
        unit.running = unit.running.or(wish.running);
        unit.restart |= wish.restart;
        unit.guarded |= wish.guarded;
        unit.in_effect = unit.in_effect.take().or(wish.in_effect);
        unit.reads.extend(wish.reads);
        unit.needs.extend(wish.needs);
        unit_id(name)
    }

    /// Units that must read something again when it changes.
    pub(crate) fn reactions(&mut self, reactions: &[Reaction], reads: &[ResourceId], why: &str) {
        for reaction in reactions {
            let (unit, restart) = match reaction {
                Reaction::Reload(unit) => (unit, false),
                Reaction::Restart(unit) => (unit, true),
            };
            let wish = UnitWish {
                why: why.to_owned(),
                restart,
                reads: reads.iter().cloned().collect(),
                ..UnitWish::default()
            };
            self.unit(&names::unit_name(unit), wish);
        }
    }

    /// What a command or a proof depends on.
    pub(crate) fn reads(&mut self, id: &ResourceId, reads: impl IntoIterator<Item = ResourceId>) {
        self.reads.entry(id.clone()).or_default().extend(reads);
    }

    /// A port on which something is going to listen.
    pub(crate) fn listens(&mut self, listening: Listening) {
        self.listens.push(listening);
    }

    /// Something that the plan names and nobody brought.
    pub(crate) fn missing(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        let finding = About(&self.view.host.name).finding(HostCode::InputMissing, message, remedy);
        if !self.faults.contains(&finding) {
            self.faults.push(finding);
        }
    }

    /// Everything, with the needs that follow from paths and accounts.
    pub(crate) fn finish(mut self) -> Collected {
        self.finish_packages();
        self.finish_units();
        for (id, reads) in &self.reads {
            if let Some(resource) = self.resources.get_mut(id) {
                resource.needs.extend(reads.iter().cloned());
            }
        }
        let implied: Vec<(ResourceId, Vec<ResourceId>)> = self
            .resources
            .values()
            .map(|resource| (resource.id.clone(), implied_needs(&resource.spec, &self.resources)))
            .filter(|(_, needs)| !needs.is_empty())
            .collect();
        for (id, needs) in implied {
            if let Some(resource) = self.resources.get_mut(&id) {
                resource.needs.extend(needs);
            }
        }
        let mut resources: Vec<Resource> = self.resources.into_values().collect();
        for resource in &mut resources {
            // A need that nobody wants has nothing to wait for, and nothing needs itself.
            let id = resource.id.clone();
            resource.needs.remove(&id);
        }
        let known: BTreeSet<ResourceId> = resources.iter().map(|resource| resource.id.clone()).collect();
        for resource in &mut resources {
            resource.needs.retain(|need| known.contains(need));
        }
        resources.sort_by(|a, b| (a.spec.kind(), &a.id).cmp(&(b.spec.kind(), &b.id)));
        Collected { resources, reads: self.reads, listens: self.listens, faults: self.faults }
    }

    fn finish_packages(&mut self) {
        if self.packages.is_empty() {
            return;
        }
        let whys: BTreeSet<&String> = self.packages.values().collect();
        let why = whys.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let names = self.packages.keys().cloned().collect();
        // Sources, keys and preferences of apt decide what a package is.
        let sources: Vec<ResourceId> = self
            .resources
            .values()
            .filter(|resource| is_apt_source(&resource.spec))
            .map(|resource| resource.id.clone())
            .collect();
        self.add(Wish::new(Spec::Packages(PackagesSpec { names }), why).needs(sources));
    }

    fn finish_units(&mut self) {
        for (name, unit) in std::mem::take(&mut self.units) {
            let (mut reads, mut needs) = (unit.reads, unit.needs);
            let own_file = file_id(&unit_path(&name));
            if self.resources.contains_key(&own_file) {
                reads.insert(own_file);
            } else {
                // A unit without a file of ours is the distribution's or a package's.
                needs.insert(packages_id());
            }
            let spec = Spec::Unit(UnitSpec {
                name,
                enabled: unit.enabled,
                running: unit.running,
                on_change: if unit.restart { OnChange::Restart } else { OnChange::Reload },
                in_effect: unit.in_effect,
                inputs: UnitSpec::no_inputs(),
            });
            let wish = Wish { spec, why: unit.why, service: unit.service, needs, guarded: unit.guarded };
            let id = self.add(wish);
            self.reads(&id, reads);
        }
    }
}

/// The inputs of something that reads nothing, and of everything before the host was observed.
pub(crate) fn nothing_read() -> Fingerprint {
    UnitSpec::no_inputs()
}

fn is_apt_source(spec: &Spec) -> bool {
    let Some(path) = crate::removal::path_of(spec) else { return false };
    const FOLDERS: [&str; 5] = [
        "/etc/apt/sources.list.d",
        "/etc/apt/keyrings",
        "/etc/apt/trusted.gpg.d",
        "/etc/apt/preferences.d",
        "/etc/apt/auth.conf.d",
    ];
    FOLDERS.iter().any(|folder| path.starts_with(folder)) || path == Path::new("/etc/apt/sources.list")
}

/// Needs that nobody has to write down: folders on the way, owners, groups, the release behind a switch.
fn implied_needs(spec: &Spec, known: &BTreeMap<ResourceId, Resource>) -> Vec<ResourceId> {
    let mut needs = Needs { known, found: Vec::new() };
    match spec {
        Spec::Packages(_) | Spec::Sysctl(_) | Spec::Unit(_) | Spec::Group(_) => {}
        Spec::Holds(_) => needs.add(packages_id()),
        Spec::User(user) => {
            needs.group(&user.group);
            user.groups.iter().for_each(|group| needs.group(group));
        }
        Spec::Keys(keys) => needs.user(&keys.user),
        Spec::Directory(directory) => {
            needs.folders_above(&directory.path);
            needs.user(&directory.access.owner);
            needs.group(&directory.access.group);
        }
        Spec::File(file) => {
            needs.folders_above(&file.path);
            needs.user(&file.access.owner);
            needs.group(&file.access.group);
        }
        Spec::Link(link) => needs.folders_above(&link.path),
        Spec::Release(release) => {
            needs.add(ResourceId::new(Kind::Directory, release.root.display()));
            needs.folders_above(&release.root);
            needs.user(&release.user);
        }
        Spec::Switch(switch) => needs.add(ResourceId::new(Kind::Release, switch.root.display())),
        Spec::Command(command) => needs.user(&command.user),
        Spec::Health(health) => match &health.question {
            haus_model::resource::HealthQuestion::Unit { name } => needs.add(unit_id(name)),
            haus_model::resource::HealthQuestion::Command { user, .. } => needs.user(user),
            haus_model::resource::HealthQuestion::Http { .. }
            | haus_model::resource::HealthQuestion::Tcp { .. } => {}
        },
    }
    needs.found
}

struct Needs<'a> {
    known: &'a BTreeMap<ResourceId, Resource>,
    found: Vec<ResourceId>,
}

impl Needs<'_> {
    fn add(&mut self, id: ResourceId) {
        if self.known.contains_key(&id) {
            self.found.push(id);
        }
    }

    fn folders_above(&mut self, path: &Path) {
        for folder in path.ancestors().skip(1) {
            self.add(ResourceId::new(Kind::Directory, folder.display()));
            self.add(ResourceId::new(Kind::Link, folder.display()));
        }
    }

    /// An account that the plan does not make is there already, or a package brings it.
    fn user(&mut self, name: &str) {
        self.account(Kind::User, name);
    }

    fn group(&mut self, name: &str) {
        self.account(Kind::Group, name);
    }

    fn account(&mut self, kind: Kind, name: &str) {
        if name == "root" {
            return;
        }
        let id = ResourceId::new(kind, name);
        if self.known.contains_key(&id) { self.add(id) } else { self.add(packages_id()) }
    }
}
