//! What is there: facts of the machine and one state per resource, many at once.
//!
//! Nothing is changed and no lock is taken. What cannot be seen is a state that says why, never an error.
//! Programs are asked once for all resources of a kind, since starting them is what takes time.

mod commands;
mod facts;
mod listeners;
mod packages;
mod paths;
mod releases;
mod sysctl;
mod units;

use crate::account::Accounts;
use crate::machine::Machine;
use haus_model::inventory::{Manifest, State};
use haus_model::resource::{HealthSpec, ResourceId, Spec};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) use facts::{boot_id, facts, started_ticks};
pub(crate) use packages::names_installed;
use paths::at_path;
pub(crate) use paths::{fingerprint_of, salted};
pub(crate) use releases::{CURRENT, RELEASES, git_env};

/// What looking needs to know.
pub(crate) struct Observer<'a> {
    /// The machine.
    pub(crate) machine: &'a Machine,
    /// By which commands are known, see [`crate::machine::Layout::mark`].
    pub(crate) mark: &'a str,
    /// What we made there.
    pub(crate) manifest: &'a Manifest,
    /// Makes fingerprints of secrets worthless elsewhere.
    pub(crate) salt: &'a [u8],
}

impl Observer<'_> {
    /// The states of these, and nothing else.
    pub(crate) fn states<'s>(
        &self,
        specs: impl IntoIterator<Item = &'s Spec>,
    ) -> BTreeMap<ResourceId, State> {
        let specs: Vec<&Spec> = specs.into_iter().collect();
        let accounts = Accounts::read(self.machine);
        // dpkg and systemctl take most of the time, and it is their own: everything else is looked at
        // meanwhile.
        std::thread::scope(|scope| {
            let packages = scope.spawn(|| self.packages(&specs));
            let units = scope.spawn(|| self.units(&specs));
            let mut states = BTreeMap::new();
            self.releases(&specs, &accounts, &mut states);
            self.commands(&specs, &accounts, &mut states);
            for spec in &specs {
                if let Some(state) = self.alone(spec, &accounts) {
                    states.insert(spec.id(), state);
                }
            }
            for looked in [packages, units] {
                states.extend(looked.join().expect("nothing that looks panics"));
            }
            states
        })
    }

    /// The state of one.
    pub(crate) fn state(&self, spec: &Spec) -> State {
        let nothing = || State::Unknown("nobody looked".to_owned());
        self.states([spec]).remove(&spec.id()).unwrap_or_else(nothing)
    }

    /// Of those kinds that are not looked at together.
    fn alone(&self, spec: &Spec, accounts: &Accounts) -> Option<State> {
        match spec {
            Spec::Group(spec) => {
                Some(accounts.gid(&spec.name).map_or(State::Absent, |gid| State::Group { gid }))
            }
            Spec::User(spec) => Some(user(&spec.name, accounts)),
            Spec::Keys(spec) => Some(self.keys(&spec.user, accounts)),
            Spec::Directory(spec) => Some(at_path(self.machine, &spec.path, accounts)),
            Spec::Link(spec) => Some(at_path(self.machine, &spec.path, accounts)),
            Spec::File(spec) => Some(self.file(spec, accounts)),
            Spec::Sysctl(spec) => Some(sysctl::state(self.machine, &spec.key)),
            Spec::Health(spec) => Some(self.health(spec)),
            Spec::Packages(_)
            | Spec::Holds(_)
            | Spec::Release(_)
            | Spec::Switch(_)
            | Spec::Command(_)
            | Spec::Unit(_) => None,
        }
    }

    fn health(&self, spec: &HealthSpec) -> State {
        let id = Spec::Health(spec.clone()).id();
        State::Health { proven: self.manifest.entries.get(&id).and_then(|entry| entry.inputs) }
    }
}

fn user(name: &str, accounts: &Accounts) -> State {
    let Some(user) = accounts.user(name) else { return State::Absent };
    State::User {
        uid: user.uid,
        group: accounts.group_name(user.gid),
        groups: accounts.groups_of(name),
        home: user.home,
        shell: user.shell,
    }
}

/// Folders that a specification writes to.
fn folder_of(spec: &Spec) -> Option<PathBuf> {
    match spec {
        Spec::Directory(spec) => Some(spec.path.clone()),
        Spec::File(spec) => Some(spec.path.clone()),
        Spec::Link(spec) => Some(spec.path.clone()),
        Spec::Release(spec) => Some(spec.root.clone()),
        Spec::Switch(spec) => Some(spec.root.clone()),
        Spec::User(spec) => Some(spec.home.clone()),
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::Keys(_)
        | Spec::Sysctl(_)
        | Spec::Command(_)
        | Spec::Unit(_)
        | Spec::Health(_) => None,
    }
}
