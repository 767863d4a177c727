//! The workspace as cargo sees it, cut down to what the rules ask: which packages, and who depends on whom.
//! Knows no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use crate::error::TaskError;

/// All packages of the resolved tree.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Our own packages: name to folder, relative to the root.
    pub(crate) members: BTreeMap<String, String>,
    names: BTreeMap<PackageId, String>,
    /// Dependencies of the built program, build scripts included.
    built: BTreeMap<PackageId, BTreeSet<PackageId>>,
    /// Dependencies of tests only.
    tested: BTreeMap<PackageId, BTreeSet<PackageId>>,
}

impl Workspace {
    pub(crate) fn load(root: &Path) -> Result<Self, TaskError> {
        let host = host()?;
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            // Other platforms' packages are not downloaded, so that this works without a network.
            .other_options(vec!["--filter-platform".to_owned(), host])
            .exec()
            .map_err(|source| TaskError::Metadata { source: Box::new(source) })?;
        let mut workspace = Self::from_metadata(&metadata);
        workspace.keep_only(&built_names(root)?);
        Ok(workspace)
    }

    /// Forgets packages that stand in the lock file without being built: metadata follows weak optional
    /// features (`ring?/alloc`) that nobody switches on.
    fn keep_only(&mut self, built: &BTreeSet<String>) {
        self.names.retain(|_, name| built.contains(name));
    }

    pub(crate) fn from_metadata(metadata: &Metadata) -> Self {
        let mut workspace = Self::default();
        let root = metadata.workspace_root.as_str().trim_end_matches('/');
        for package in &metadata.packages {
            workspace.names.insert(package.id.clone(), package.name.to_string());
            if metadata.workspace_members.contains(&package.id) {
                let manifest = package.manifest_path.as_str();
                let folder =
                    manifest.trim_start_matches(root).trim_end_matches("Cargo.toml").trim_matches('/');
                workspace.members.insert(package.name.to_string(), folder.to_owned());
            }
        }
        for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
            for dependency in &node.deps {
                // A package may stand in several sections; each is an edge of its own.
                for section in &dependency.dep_kinds {
                    let tests_only = section.kind == DependencyKind::Development;
                    let edges = if tests_only { &mut workspace.tested } else { &mut workspace.built };
                    edges.entry(node.id.clone()).or_default().insert(dependency.pkg.clone());
                }
            }
        }
        workspace
    }

    /// Names of what this member's manifest asks for, in the built program or only in tests.
    pub(crate) fn direct(&self, member: &str, tests: bool) -> BTreeSet<&str> {
        let edges = if tests { &self.tested } else { &self.built };
        let Some(id) = self.id_of(member) else { return BTreeSet::new() };
        edges.get(id).into_iter().flatten().map(|id| self.name_of(id)).collect()
    }

    /// A shortest way from the member to the named package through built dependencies, both ends included.
    pub(crate) fn way(&self, member: &str, to: &str) -> Option<Vec<&str>> {
        let start = self.id_of(member)?;
        let mut came_from: BTreeMap<&PackageId, &PackageId> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(id) = queue.pop_front() {
            if self.name_of(id) == to {
                let mut way = vec![self.name_of(id)];
                let mut at = id;
                while let Some(before) = came_from.get(at) {
                    way.push(self.name_of(before));
                    at = before;
                }
                way.reverse();
                return Some(way);
            }
            for next in self.built.get(id).into_iter().flatten().filter(|next| self.names.contains_key(*next))
            {
                if next != start && !came_from.contains_key(next) {
                    came_from.insert(next, id);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// Whether any package of this name is in the resolved tree at all, tests included.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names.values().any(|known| known == name)
    }

    fn id_of(&self, member: &str) -> Option<&PackageId> {
        self.names.iter().find(|(_, name)| *name == member).map(|(id, _)| id)
    }

    fn name_of(&self, id: &PackageId) -> &str {
        self.names.get(id).map_or("", String::as_str)
    }
}

/// Names of everything that a build of the workspace with its tests compiles.
fn built_names(root: &Path) -> Result<BTreeSet<String>, TaskError> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(&cargo)
        .args(["tree", "--workspace", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"])
        .current_dir(root)
        .output()
        .map_err(|source| TaskError::Run { program: cargo.clone(), source })?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(TaskError::Ended {
            program: format!("{cargo} tree"),
            status: output.status,
            output: told,
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

fn host() -> Result<String, TaskError> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(&rustc)
        .arg("-vV")
        .output()
        .map_err(|source| TaskError::Run { program: rustc.clone(), source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
    host.ok_or(TaskError::Ended { program: rustc, status: output.status, output: text })
}

#[cfg(test)]
pub(crate) mod fake {
    //! Metadata as cargo would print it, for trees that do not exist.

    use serde_json::{Value, json};

    use super::*;

    /// Each entry: package name, and what it depends on (`dev:NAME` for tests). Names with `haus` are
    /// members.
    pub(crate) fn workspace(packages: &[(&str, &[&str])]) -> Workspace {
        let is_member = |name: &str| name.starts_with("haus");
        let id = |name: &str| format!("path+file:///clone/{name}#0.1.0");
        let listed: Vec<Value> = packages
            .iter()
            .map(|(name, _)| {
                json!({ "name": name, "version": "0.1.0", "id": id(name), "dependencies": [], "targets": [],
                    "features": {}, "manifest_path": format!("/clone/crates/{name}/Cargo.toml") })
            })
            .collect();
        let nodes: Vec<Value> = packages
            .iter()
            .map(|(name, dependencies)| {
                let deps: Vec<Value> = dependencies
                    .iter()
                    .map(|dependency| {
                        let plain = dependency.trim_start_matches("dev:");
                        let kind = if plain == *dependency { Value::Null } else { json!("dev") };
                        json!({ "name": plain, "pkg": id(plain), "dep_kinds": [{ "kind": kind, "target": null }] })
                    })
                    .collect();
                json!({ "id": id(name), "deps": deps, "dependencies": [], "features": [] })
            })
            .collect();
        let members: Vec<String> =
            packages.iter().map(|(name, _)| *name).filter(|name| is_member(name)).map(id).collect();
        let metadata = json!({ "packages": listed, "workspace_members": members, "version": 1,
            "workspace_default_members": members, "resolve": { "nodes": nodes, "root": null },
            "workspace_root": "/clone", "target_directory": "/clone/target", "metadata": null });
        Workspace::from_metadata(&serde_json::from_value::<Metadata>(metadata).unwrap())
    }

    #[test]
    fn what_is_locked_but_not_built_is_not_there() {
        let mut workspace = workspace(&[("haus-a", &["b"]), ("b", &["ring"]), ("ring", &[])]);
        assert!(workspace.contains("ring"));
        workspace.keep_only(&["haus-a", "b"].map(str::to_owned).into());
        assert!(!workspace.contains("ring"));
        assert_eq!(workspace.way("haus-a", "ring"), None);
    }

    #[test]
    fn the_way_to_a_package_names_every_step() {
        let workspace = workspace(&[("haus-a", &["b"]), ("b", &["c"]), ("c", &[])]);
        assert_eq!(workspace.way("haus-a", "c"), Some(vec!["haus-a", "b", "c"]));
        assert_eq!(workspace.way("haus-a", "d"), None);
        assert_eq!(workspace.members["haus-a"], "crates/haus-a");
    }
}
