//! Who may know whom: holds `layers.toml` against the tree that cargo resolved. Knows the rules file and
//! dependency names, not what any crate does; ARCHITECTURE.md says the same in words and is held by
//! `architecture`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::error::TaskError;
use crate::fault::Fault;
use crate::tree::Tree;
use crate::workspace::Workspace;

const FILE: &str = "layers.toml";

/// The contents of `layers.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layers {
    /// Groups from the outside in; a crate may know only later groups.
    pub(crate) order: Vec<Vec<String>>,
    pub(crate) dev_only: Vec<String>,
    /// Crates outside of the order that others outside of it may know.
    #[serde(default)]
    pub(crate) tools: Vec<String>,
    /// Crate to the crates of ours that it may know.
    pub(crate) crates: BTreeMap<String, Vec<String>>,
    pub(crate) forbidden: Vec<Forbidden>,
}

/// Packages that must not be reached, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forbidden {
    #[serde(default)]
    everywhere: bool,
    #[serde(default, rename = "in")]
    crates: Vec<String>,
    /// Only the crate's own manifest counts.
    #[serde(default)]
    direct: bool,
    names: Vec<String>,
    reason: String,
}

/// Reads the rules of this tree.
pub(crate) fn rules(tree: &Tree) -> Result<Layers, TaskError> {
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let text = tree.text(FILE).ok_or_else(|| TaskError::Read { path: FILE.into(), source: missing() })?;
    parse(text)
}

fn parse(text: &str) -> Result<Layers, TaskError> {
    toml::from_str(text).map_err(|source| TaskError::Parse { path: FILE, source: Box::new(source) })
}

/// The rule over the real tree.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, TaskError> {
    Ok(check_workspace(&rules(tree)?, &Workspace::load(&tree.root)?))
}

fn check_workspace(layers: &Layers, workspace: &Workspace) -> Vec<Fault> {
    let mut faults = check_rules(layers);
    faults.extend(check_members(layers, workspace));
    for member in workspace.members.keys() {
        faults.extend(check_member(layers, workspace, member));
    }
    for forbidden in &layers.forbidden {
        faults.extend(check_forbidden(forbidden, workspace));
    }
    faults
}

/// The rules themselves: every permission points inwards, and every name is known.
fn check_rules(layers: &Layers) -> Vec<Fault> {
    let depth: BTreeMap<&str, usize> = layers
        .order
        .iter()
        .enumerate()
        .flat_map(|(depth, group)| group.iter().map(move |name| (name.as_str(), depth)))
        .collect();
    let mut faults = Vec::new();
    for (name, may_know) in &layers.crates {
        // Tools and tests stand outside the order; they may look at any layer.
        let own = depth.get(name.as_str()).copied();
        for other in may_know {
            let fault = match (own, depth.get(other.as_str())) {
                (None, None) if layers.tools.contains(other) => None,
                (_, None) => {
                    Some(format!("`{name}` may know `{other}`, which stands in no group of `order`"))
                }
                (Some(own), Some(other_depth)) if *other_depth <= own => {
                    Some(format!("`{name}` may know `{other}`, which does not stand further in"))
                }
                (Some(_) | None, Some(_)) => None,
            };
            faults.extend(fault.map(|text| Fault::whole(FILE, text)));
        }
    }
    let named = layers.forbidden.iter().flat_map(|forbidden| &forbidden.crates);
    let unknown: BTreeSet<&String> = named
        .chain(layers.order.iter().flatten())
        .filter(|name| !layers.crates.contains_key(*name))
        .collect();
    faults.extend(
        unknown.iter().map(|name| Fault::whole(FILE, format!("`{name}` is named, but not under [crates]"))),
    );
    faults
}

/// The list is complete in both directions; a crate that nobody thought about may know nothing.
fn check_members(layers: &Layers, workspace: &Workspace) -> Vec<Fault> {
    let mut faults = Vec::new();
    for name in workspace.members.keys().filter(|name| !layers.crates.contains_key(*name)) {
        faults.push(Fault::whole(FILE, format!("crate `{name}` is missing under [crates]")));
    }
    for name in layers.crates.keys().filter(|name| !workspace.members.contains_key(*name)) {
        faults.push(Fault::whole(FILE, format!("crate `{name}` is not in the workspace (any more)")));
    }
    faults
}

/// The crate's own manifest against what it may know.
fn check_member(layers: &Layers, workspace: &Workspace, member: &str) -> Vec<Fault> {
    let nothing = Vec::new();
    let may_know = layers.crates.get(member).unwrap_or(&nothing);
    let mut faults = Vec::new();
    for tests in [false, true] {
        for other in workspace.direct(member, tests) {
            let ours = workspace.members.contains_key(other) && other != member;
            let allowed = may_know.iter().any(|name| name == other)
                || (tests && layers.dev_only.iter().any(|name| name == other));
            if ours && !allowed {
                let section = if tests { "in its tests " } else { "" };
                let known = if may_know.is_empty() { "none of ours".to_owned() } else { may_know.join(", ") };
                let text = format!("`{member}` {section}depends on `{other}`; it may know: {known}");
                faults.push(Fault::whole(&manifest(workspace, member), text));
            }
        }
    }
    faults
}

/// Names that must not be reached, with the way on which they were.
fn check_forbidden(forbidden: &Forbidden, workspace: &Workspace) -> Vec<Fault> {
    let mut faults = Vec::new();
    for name in &forbidden.names {
        if forbidden.everywhere && workspace.contains(name) {
            let ways: Vec<String> =
                workspace.members.keys().filter_map(|member| way(workspace, member, name)).collect();
            let how = ways.first().map_or("through tests only".to_owned(), Clone::clone);
            faults.push(Fault::whole("Cargo.lock", format!("`{name}` ({how}): {}", forbidden.reason)));
        }
        for member in &forbidden.crates {
            let reached = if forbidden.direct {
                workspace.direct(member, false).contains(name.as_str()).then(|| format!("{member} → {name}"))
            } else {
                way(workspace, member, name)
            };
            if let Some(how) = reached {
                faults
                    .push(Fault::whole(&manifest(workspace, member), format!("{how}: {}", forbidden.reason)));
            }
        }
    }
    faults
}

fn way(workspace: &Workspace, member: &str, name: &str) -> Option<String> {
    workspace.way(member, name).map(|way| way.join(" → "))
}

fn manifest(workspace: &Workspace, member: &str) -> String {
    workspace.members.get(member).map_or_else(|| FILE.to_owned(), |folder| format!("{folder}/Cargo.toml"))
}

#[cfg(test)]
mod tests;
