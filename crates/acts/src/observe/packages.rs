//! Packages: one question to dpkg for everything that is installed, one to apt for what is not.

use super::Observer;
use crate::refusal::Result;
use crate::run::{Order, capture};
use haus_model::inventory::State;
use haus_model::operation::pattern_fits;
use haus_model::resource::{HoldsSpec, PackagesSpec, ResourceId, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);
const LISTS: &str = "/var/lib/apt/lists";
const FETCHING: &str = "/var/lib/apt/lists/partial";
/// Mirrors change several times a day.
const LISTS_FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    /// Its version.
    pub(crate) version: String,
    /// Whether upgrades leave it alone.
    pub(crate) held: bool,
}

/// Everything that dpkg has installed, by name and by name with architecture.
pub(crate) fn installed() -> Result<BTreeMap<String, Installed>> {
    let format = "${Package}\\t${Architecture}\\t${db:Status-Want}\\t${db:Status-Status}\\t${Version}\\n";
    let argv = ["dpkg-query", "--show", "--showformat", format].map(str::to_owned);
    let order = Order::new(&argv, WITHIN);
    let ran = capture(&order)?;
    // Without any package it ends with 1.
    if ran.stdout.is_empty() {
        ran.expect_good(&order, "see whether dpkg works on the host")?;
        return Ok(BTreeMap::new());
    }
    Ok(installed_of(&String::from_utf8_lossy(&ran.stdout)))
}

/// The plain names of installed packages.
pub(crate) fn names_installed() -> Result<BTreeSet<String>> {
    Ok(installed()?.into_keys().filter(|name| !name.contains(':')).collect())
}

fn installed_of(text: &str) -> BTreeMap<String, Installed> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [name, architecture, want, "installed", version] = parts.as_slice() else { continue };
        let package = Installed { version: (*version).to_owned(), held: *want == "hold" };
        found.insert(format!("{name}:{architecture}"), package.clone());
        found.insert((*name).to_owned(), package);
    }
    found
}

impl Observer<'_> {
    pub(super) fn packages(&self, specs: &[&Spec]) -> BTreeMap<ResourceId, State> {
        let mut states = BTreeMap::new();
        if !specs.iter().any(|spec| matches!(spec, Spec::Packages(_) | Spec::Holds(_))) {
            return states;
        }
        let installed = if self.machine.is_real() { installed() } else { Ok(BTreeMap::new()) };
        for spec in specs {
            let state = match (spec, &installed) {
                (Spec::Packages(_) | Spec::Holds(_), Err(refusal)) => State::Unknown(refusal.to_string()),
                (Spec::Packages(spec), Ok(installed)) => self.wanted(spec, installed),
                (Spec::Holds(spec), Ok(installed)) => holds(spec, installed),
                _ => continue,
            };
            states.insert(spec.id(), state);
        }
        states
    }

    fn wanted(&self, spec: &PackagesSpec, installed: &BTreeMap<String, Installed>) -> State {
        let (mut there, mut missing) = (BTreeMap::new(), BTreeSet::new());
        for name in &spec.names {
            match installed.get(name) {
                Some(package) => drop(there.insert(name.clone(), package.version.clone())),
                None => drop(missing.insert(name.clone())),
            }
        }
        State::Packages { installed: there, unknown: self.unknown(&missing) }
    }

    /// Names that apt does not know. Without package lists, or with old ones, that says nothing: the act
    /// fetches them before it gives up.
    fn unknown(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        if names.is_empty() || self.lists_age().is_none_or(|age| age > LISTS_FRESH) {
            return BTreeSet::new();
        }
        let lists = std::fs::read_dir(self.machine.at(LISTS.as_ref())).into_iter().flatten().flatten();
        let mut lists = lists.filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
        if !self.machine.is_real() || lists.next().is_none() {
            return BTreeSet::new();
        }
        let argv: Vec<String> = ["apt-cache", "policy", "--"]
            .map(str::to_owned)
            .into_iter()
            .chain(names.iter().cloned())
            .collect();
        let Ok(ran) = capture(&Order::new(&argv, WITHIN)) else { return BTreeSet::new() };
        if !ran.is_good() {
            return BTreeSet::new();
        }
        let known = candidates_of(&String::from_utf8_lossy(&ran.stdout));
        names.iter().filter(|name| !known.contains(*name)).cloned().collect()
    }

    /// How long ago apt fetched its lists: it works in this folder whenever it does. A clock that was put
    /// back makes them new.
    fn lists_age(&self) -> Option<Duration> {
        let folder = self.machine.at(FETCHING.as_ref());
        let fetched = std::fs::metadata(folder).and_then(|metadata| metadata.modified()).ok()?;
        Some(fetched.elapsed().unwrap_or_default())
    }
}

fn holds(spec: &HoldsSpec, installed: &BTreeMap<String, Installed>) -> State {
    let fits = |name: &str| spec.patterns.iter().any(|pattern| pattern_fits(pattern, name));
    let plain = installed.iter().filter(|(name, _)| !name.contains(':') && fits(name));
    State::Holds(plain.map(|(name, package)| (name.clone(), package.held)).collect())
}

/// Names for which apt has something to install.
fn candidates_of(text: &str) -> BTreeSet<String> {
    let mut name = None;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if !line.starts_with(' ') {
            name = line.strip_suffix(':').map(str::to_owned);
        } else if let Some(version) = line.trim_start().strip_prefix("Candidate:")
            && version.trim() != "(none)"
        {
            found.extend(name.take());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts_and_holds_are_seen() {
        let text = "git\tamd64\tinstall\tinstalled\t1:2.39\nvim\tamd64\tdeinstall\tconfig-files\t9\nnano\tamd64\thold\tinstalled\t7\n";
        let found = installed_of(text);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["git", "git:amd64", "nano", "nano:amd64"]);
        assert!(found["nano"].held && !found["git"].held);
        let patterns = BTreeSet::from(["na*".to_owned()]);
        assert_eq!(holds(&HoldsSpec { patterns }, &found), State::Holds([("nano".to_owned(), true)].into()));
    }

    #[test]
    fn a_package_without_a_candidate_is_unknown() {
        let text = "nginx:\n  Installed: (none)\n  Candidate: 1.22\n  Version table:\nvirtual:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(candidates_of(text), BTreeSet::from(["nginx".to_owned()]));
    }
}
