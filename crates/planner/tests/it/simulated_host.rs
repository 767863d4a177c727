//! A host in memory: what a change does there, as simply as it can be said, and what an observation brings
//! home.
//!
//! It is the reference for the laws of planning, so it takes nothing for granted: a file without its folder,
//! an owner who is not there, a unit without its file are faults of the plan and end the test.

use haus_model::Timestamp;
use haus_model::argv::UnitVerb;
use haus_model::change::{ActKind, Change, HostPlan};
use haus_model::fingerprint::Fingerprint;
use haus_model::host::Access;
use haus_model::inventory::{Facts, Inventory, Manifest, ManifestEntry, State};
use haus_model::operation::{let_go_verb, packages_missing, packages_to_hold, pattern_fits, unit_verbs};
use haus_model::resource::{
    Content, FileSpec, ReleaseSource, Resource, ResourceId, SecretVersion, Spec, UnitSpec, UserSpec,
};
use haus_planner::DesiredHost;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders of a fresh machine.
const FOLDERS: [&str; 14] = [
    "/",
    "/etc",
    "/etc/apt",
    "/etc/apt/apt.conf.d",
    "/etc/apt/sources.list.d",
    "/etc/systemd",
    "/etc/systemd/system",
    "/etc/ssh/sshd_config.d",
    "/usr/local/bin",
    "/usr/local/lib",
    "/srv",
    "/opt",
    "/home",
    "/var/lib",
];

/// Units that are there without any package of the plan.
const UNITS: [&str; 4] =
    ["ssh.service", "systemd-journald.service", "apt-daily.timer", "apt-daily-upgrade.timer"];

/// What packages bring: folders and units.
const BRINGS: [(&str, &[&str], &[&str]); 3] = [
    ("nginx", &["/etc/nginx", "/etc/nginx/sites-available", "/etc/nginx/sites-enabled"], &["nginx.service"]),
    ("systemd-timesyncd", &[], &["systemd-timesyncd.service"]),
    ("postgresql", &["/etc/postgresql"], &["postgresql.service"]),
];

/// Something at a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Directory(Access),
    File {
        text: Option<String>,
        hash: Fingerprint,
        bytes: u64,
        access: Access,
        secret: Option<SecretVersion>,
    },
    Link(PathBuf),
}

/// A unit as systemd sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unit {
    pub enabled: String,
    pub active: String,
    /// Its file when systemd read it last.
    pub loaded: Option<Fingerprint>,
    /// How often it was started, restarted or reloaded.
    pub starts: u32,
}

/// A host in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SimulatedHost {
    pub facts: Facts,
    pub packages: BTreeMap<String, String>,
    pub unknown: BTreeSet<String>,
    pub held: BTreeSet<String>,
    pub groups: BTreeSet<String>,
    pub users: BTreeMap<String, UserSpec>,
    pub keys: BTreeMap<String, Vec<String>>,
    pub paths: BTreeMap<PathBuf, Node>,
    pub releases: BTreeMap<PathBuf, (Vec<String>, Option<String>)>,
    /// What references are at their source; everything else is missing there.
    pub references: BTreeMap<String, String>,
    pub sysctl: BTreeMap<String, (String, Option<String>)>,
    /// Commands whose `unless` ends well.
    pub satisfied: BTreeSet<String>,
    pub units: BTreeMap<String, Unit>,
    /// States that an observation brings whatever is there.
    pub odd: BTreeMap<ResourceId, State>,
    pub manifest: Manifest,
}

impl SimulatedHost {
    pub(crate) fn fresh(name: &str) -> SimulatedHost {
        let facts = Facts {
            hostname: name.to_owned(),
            os: "debian-12".to_owned(),
            machine: "x86_64".to_owned(),
            user: "root".to_owned(),
            is_root: true,
            systemd: Some(252),
            clock: Timestamp(0),
            ..Facts::default()
        };
        let folders = FOLDERS.iter().map(|path| (PathBuf::from(path), Node::Directory(Access::root(0o755))));
        let unit =
            || Unit { enabled: "enabled".to_owned(), active: "active".to_owned(), loaded: None, starts: 0 };
        SimulatedHost {
            facts,
            packages: BTreeMap::new(),
            unknown: BTreeSet::new(),
            held: BTreeSet::new(),
            groups: BTreeSet::from(["root".to_owned()]),
            users: BTreeMap::new(),
            keys: BTreeMap::new(),
            paths: folders.collect(),
            releases: BTreeMap::new(),
            references: BTreeMap::new(),
            sysctl: BTreeMap::new(),
            satisfied: BTreeSet::new(),
            units: UNITS.iter().map(|name| ((*name).to_owned(), unit())).collect(),
            odd: BTreeMap::new(),
            manifest: Manifest::default(),
        }
    }

    /// What an observation brings home, for what is asked and what the manifest lists.
    pub(crate) fn observe(&self, host: &DesiredHost) -> Inventory {
        let wanted = host.resources.iter().map(|resource: &Resource| &resource.spec);
        let ours = self.manifest.entries.values().map(|entry| &entry.spec);
        // What is wanted decides how it is looked at; what we made adds the rest.
        let states = ours.chain(wanted).map(|spec| (spec.id(), self.state(spec))).collect();
        Inventory { facts: self.facts.clone(), states, manifest: self.manifest.clone(), open: None }
    }

    fn state(&self, spec: &Spec) -> State {
        let id = spec.id();
        if let Some(state) = self.odd.get(&id) {
            return state.clone();
        }
        let noted = self.manifest.entries.get(&id).and_then(|entry| entry.inputs);
        match spec {
            Spec::Packages(spec) => {
                let there = self.packages.iter().filter(|(name, _)| spec.names.contains(*name));
                State::Packages {
                    installed: there.map(|(name, version)| (name.clone(), version.clone())).collect(),
                    unknown: spec.names.intersection(&self.unknown).cloned().collect(),
                }
            }
            Spec::Holds(spec) => {
                let fits = |name: &&String| spec.patterns.iter().any(|pattern| pattern_fits(pattern, name));
                let found = self.packages.keys().filter(fits);
                State::Holds(found.map(|name| (name.clone(), self.held.contains(name))).collect())
            }
            Spec::Group(spec) if self.groups.contains(&spec.name) => State::Group { gid: 900 },
            Spec::User(spec) => self.users.get(&spec.name).map_or(State::Absent, user_state),
            Spec::Keys(spec) => {
                self.keys.get(&spec.user).map_or(State::Absent, |keys| State::Keys(keys.clone()))
            }
            Spec::Directory(spec) => self.at(&spec.path),
            Spec::File(spec) => self.at(&spec.path),
            Spec::Link(spec) => self.at(&spec.path),
            Spec::Release(spec) => {
                let commit = match &spec.source {
                    ReleaseSource::Git { reference, .. } => Some(self.commit(reference)),
                    ReleaseSource::Archive { .. } => None,
                };
                self.release_state(&spec.root, commit)
            }
            Spec::Switch(spec) => self.release_state(&spec.root, None),
            Spec::Sysctl(spec) => {
                let (value, at_boot) = self.sysctl.get(&spec.key).cloned().unwrap_or(("0".to_owned(), None));
                State::Sysctl { value, at_boot }
            }
            Spec::Command(spec) => {
                let satisfied = spec.unless.is_some().then(|| self.satisfied.contains(&spec.name));
                State::Command { satisfied, done: noted }
            }
            Spec::Unit(spec) => self.unit_state(&spec.name, noted),
            Spec::Health(_) => State::Health { proven: noted },
            Spec::Group(_) => State::Absent,
        }
    }

    fn commit(&self, reference: &str) -> Result<String, String> {
        if !self.packages.contains_key("git") {
            return Err("git: no such program".to_owned());
        }
        self.references.get(reference).cloned().ok_or_else(|| format!("there is no {reference}"))
    }

    fn release_state(&self, root: &Path, commit: Option<Result<String, String>>) -> State {
        let (complete, current) = self.releases.get(root).cloned().unwrap_or_default();
        State::Releases { commit, complete, current }
    }

    fn unit_state(&self, name: &str, inputs: Option<Fingerprint>) -> State {
        let file = self.unit_file(name);
        match self.units.get(name) {
            Some(unit) => State::Unit {
                enabled: unit.enabled.clone(),
                active: unit.active.clone(),
                inputs,
                needs_reload: unit.loaded.is_some() && unit.loaded != file,
                in_effect: None,
            },
            // systemd knows a unit as soon as its file is there.
            None if file.is_some() => State::Unit {
                enabled: "disabled".to_owned(),
                active: "inactive".to_owned(),
                inputs,
                needs_reload: false,
                in_effect: None,
            },
            None => State::Absent,
        }
    }

    fn unit_file(&self, name: &str) -> Option<Fingerprint> {
        match self.paths.get(&Path::new("/etc/systemd/system").join(name)) {
            Some(Node::File { hash, .. }) => Some(*hash),
            Some(Node::Directory(_) | Node::Link(_)) | None => None,
        }
    }

    fn at(&self, path: &Path) -> State {
        match self.paths.get(path) {
            None => State::Absent,
            Some(Node::Directory(access)) => {
                let children = self.paths.keys().filter(|child| child.parent() == Some(path)).count();
                let releases = self.releases.get(path).map_or(0, |(complete, current)| {
                    usize::from(!complete.is_empty()) + usize::from(current.is_some())
                });
                State::Directory {
                    access: access.clone(),
                    entries: u32::try_from(children + releases).unwrap(),
                }
            }
            Some(Node::File { text, hash, bytes, access, secret }) => State::File {
                hash: secret.is_none().then_some(*hash),
                bytes: *bytes,
                access: access.clone(),
                text: text.clone().filter(|_| secret.is_none()),
                secret: secret.clone(),
            },
            Some(Node::Link(target)) => State::Link(target.clone()),
        }
    }

    /// Carries a whole plan out, as an apply does.
    pub(crate) fn apply(&mut self, plan: &HostPlan) {
        self.apply_first(plan, plan.changes.len());
    }

    /// Carries out the first changes of a plan and is cut off then. Ports are noted before the first change.
    pub(crate) fn apply_first(&mut self, plan: &HostPlan, count: usize) {
        assert!(plan.blocked.is_empty() || plan.changes.is_empty(), "a blocked host has changes");
        if plan.blocked.is_empty() {
            self.manifest.ports.extend(plan.ports.clone());
        }
        for change in plan.changes.iter().take(count) {
            self.carry_out(change);
        }
    }

    fn carry_out(&mut self, change: &Change) {
        match change.act {
            ActKind::Create | ActKind::Update => {
                self.make(&change.spec);
                self.note(change);
            }
            ActKind::Remove => {
                let made = self.manifest.entries.get(&change.resource).is_some_and(|entry| entry.made);
                assert!(made, "{} is removed although we did not make it", change.resource);
                self.remove(&change.spec);
                self.manifest.entries.remove(&change.resource);
            }
            ActKind::Forget => {
                if let (Spec::Unit(spec), Some(_)) = (&change.spec, let_go_verb(&change.spec, &change.before))
                {
                    self.units.get_mut(&spec.name).expect("it runs").starts += 1;
                }
                self.manifest.entries.remove(&change.resource);
            }
        }
    }

    fn note(&mut self, change: &Change) {
        let inputs = match &change.spec {
            Spec::Unit(spec) => Some(spec.inputs),
            Spec::Command(spec) => Some(spec.inputs),
            Spec::Health(spec) => Some(spec.inputs),
            _ => None,
        };
        let before = self.manifest.entries.get(&change.resource);
        let made = before.map_or(change.act == ActKind::Create, |entry| entry.made);
        let entry = ManifestEntry { spec: change.spec.clone(), made, inputs };
        self.manifest.entries.insert(change.resource.clone(), entry);
    }

    fn make(&mut self, spec: &Spec) {
        match spec {
            Spec::Packages(packages) => {
                let state = self.state(spec);
                for name in packages_missing(packages, &state) {
                    self.install(&name);
                }
            }
            Spec::Holds(holds) => {
                let state = self.state(spec);
                self.held.extend(packages_to_hold(holds, &state));
            }
            Spec::Group(group) => drop(self.groups.insert(group.name.clone())),
            Spec::User(user) => {
                assert!(self.groups.contains(&user.group), "no group {} for {}", user.group, user.name);
                let mut user = user.clone();
                user.uid = user.uid.or(Some(900));
                if let Some(before) = self.users.get(&user.name) {
                    user.groups.extend(before.groups.clone());
                }
                user.groups = user.groups.difference(&std::mem::take(&mut user.leaves)).cloned().collect();
                self.users.insert(user.name.clone(), user);
            }
            Spec::Keys(keys) => {
                assert!(self.has_user(&keys.user), "no account {} for its keys", keys.user);
                self.keys.insert(keys.user.clone(), keys.keys.clone());
            }
            Spec::Directory(directory) => {
                self.place(&directory.path, &directory.access);
                self.paths.insert(directory.path.clone(), Node::Directory(directory.access.clone()));
            }
            Spec::File(file) => {
                self.place(&file.path, &file.access);
                self.paths.insert(file.path.clone(), file_node(file));
            }
            Spec::Link(link) => {
                self.place(&link.path, &Access::root(0o777));
                self.paths.insert(link.path.clone(), Node::Link(link.target.clone()));
            }
            Spec::Release(release) => {
                assert!(self.has_user(&release.user), "no account {} to build", release.user);
                assert!(
                    matches!(self.paths.get(&release.root), Some(Node::Directory(_))),
                    "no {:?}",
                    release.root
                );
                let id = release.release_id().expect("a release that is built is known");
                self.releases.entry(release.root.clone()).or_default().0.push(id);
            }
            Spec::Switch(switch) => {
                let known = self.releases.get_mut(&switch.root).expect("a switch has releases");
                let id = switch.release.clone().expect("a switch knows where it leads");
                assert!(known.0.contains(&id), "{id} is not built");
                known.1 = Some(id);
            }
            Spec::Sysctl(sysctl) => {
                let both = (sysctl.value.clone(), Some(sysctl.value.clone()));
                self.sysctl.insert(sysctl.key.clone(), both);
            }
            Spec::Command(command) => {
                assert!(self.has_user(&command.user), "no account {} to run {}", command.user, command.name);
                self.satisfied.insert(command.name.clone());
            }
            Spec::Unit(unit) => self.make_unit(unit),
            Spec::Health(_) => {}
        }
    }

    fn install(&mut self, name: &str) {
        assert!(!self.unknown.contains(name), "apt knows no {name}");
        self.packages.insert(name.to_owned(), "1.0-1".to_owned());
        for (_, folders, units) in BRINGS.iter().filter(|(package, _, _)| *package == name) {
            for folder in *folders {
                self.paths.entry(folder.into()).or_insert(Node::Directory(Access::root(0o755)));
            }
            for unit in *units {
                let enabled = "enabled".to_owned();
                let unit_state = Unit { enabled, active: "active".to_owned(), loaded: None, starts: 1 };
                self.units.entry((*unit).to_owned()).or_insert(unit_state);
            }
        }
    }

    fn make_unit(&mut self, spec: &UnitSpec) {
        let noted = self.manifest.entries.get(&Spec::Unit(spec.clone()).id()).and_then(|entry| entry.inputs);
        let file = self.unit_file(&spec.name);
        let (reload, verbs) = unit_verbs(spec, &self.unit_state(&spec.name, noted));
        if !self.units.contains_key(&spec.name) {
            let wants = spec.running == Some(true) || spec.enabled == Some(true);
            assert!(file.is_some() || !wants, "there is no unit {}", spec.name);
            if file.is_none() {
                return;
            }
        }
        let new = Unit { enabled: "disabled".into(), active: "inactive".into(), loaded: None, starts: 0 };
        let unit = self.units.entry(spec.name.clone()).or_insert(new);
        if reload {
            unit.loaded = file;
        }
        for verb in verbs {
            match verb {
                UnitVerb::Enable => unit.enabled = "enabled".to_owned(),
                UnitVerb::Disable => unit.enabled = "disabled".to_owned(),
                UnitVerb::Start => {
                    unit.active = "active".to_owned();
                    unit.starts += 1;
                }
                UnitVerb::Stop => unit.active = "inactive".to_owned(),
                UnitVerb::Restart | UnitVerb::Reload => unit.starts += 1,
                UnitVerb::ResetFailed => {}
            }
        }
    }

    fn remove(&mut self, spec: &Spec) {
        match spec {
            Spec::Packages(_) => panic!("packages are never removed"),
            Spec::Holds(_) => self.held.clear(),
            Spec::Group(group) => drop(self.groups.remove(&group.name)),
            Spec::User(user) => drop(self.users.remove(&user.name)),
            Spec::Keys(keys) => drop(self.keys.remove(&keys.user)),
            Spec::Directory(directory) => {
                let State::Directory { entries, .. } = self.at(&directory.path) else { return };
                assert_eq!(entries, 0, "{} is not empty", directory.path.display());
                self.paths.remove(&directory.path);
            }
            Spec::File(file) => {
                self.paths.remove(&file.path);
                let unit = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap();
                // systemd forgets a unit whose file is gone and that does not run.
                if file.path.starts_with("/etc/systemd/system")
                    && self.units.get(&unit).is_some_and(|unit| unit.active != "active")
                {
                    self.units.remove(&unit);
                }
            }
            Spec::Link(link) => drop(self.paths.remove(&link.path)),
            Spec::Release(release) => {
                if let Some(known) = self.releases.get_mut(&release.root) {
                    known.0.clear();
                }
            }
            Spec::Switch(switch) => {
                if let Some(known) = self.releases.get_mut(&switch.root) {
                    known.1 = None;
                }
            }
            Spec::Sysctl(sysctl) => {
                if let Some(known) = self.sysctl.get_mut(&sysctl.key) {
                    known.1 = None;
                }
            }
            Spec::Command(_) | Spec::Health(_) => panic!("there is nothing to remove"),
            Spec::Unit(unit) => {
                if let Some(known) = self.units.get_mut(&unit.name) {
                    known.active = "inactive".to_owned();
                    known.enabled = "disabled".to_owned();
                }
            }
        }
    }

    fn has_user(&self, name: &str) -> bool {
        name == "root" || self.users.contains_key(name)
    }

    /// What must be there before something gets a place.
    fn place(&self, path: &Path, access: &Access) {
        let parent = path.parent().expect("nothing takes the place of /");
        let there = matches!(self.paths.get(parent), Some(Node::Directory(_) | Node::Link(_)));
        assert!(there, "{} has no folder to stand in", path.display());
        assert!(self.has_user(&access.owner), "no account {} to own {}", access.owner, path.display());
        let has_group = self.groups.contains(&access.group);
        assert!(has_group, "no group {} to own {}", access.group, path.display());
    }
}

fn user_state(user: &UserSpec) -> State {
    State::User {
        uid: user.uid.unwrap_or(900),
        group: user.group.clone(),
        groups: user.groups.clone(),
        home: user.home.clone(),
        shell: user.shell.clone(),
    }
}

fn file_node(file: &FileSpec) -> Node {
    let (text, bytes, secret) = match &file.content {
        Content::Text(text) => (Some(text.clone()), text.len() as u64, None),
        Content::Blob { bytes, .. } => (None, *bytes, None),
        Content::Secret(secret) => (None, 0, Some(secret.clone())),
    };
    Node::File { text, hash: file.content.fingerprint(), bytes, access: file.access.clone(), secret }
}

/// A file with a text, for what is there before us.
pub(crate) fn text_file(text: &str, access: Access) -> Node {
    Node::File {
        text: Some(text.to_owned()),
        hash: Fingerprint::of(text.as_bytes()),
        bytes: text.len() as u64,
        access,
        secret: None,
    }
}
