//! Holds ARCHITECTURE.md against the tree: its code map lists exactly the crates that exist, each with the
//! neighbours that `layers.toml` allows, and its picture shows the order of the layers. Whether the words are
//! true is for readers.

use std::collections::BTreeMap;

use crate::error::TaskError;
use crate::fault::Fault;
use crate::layers::{self, Layers};
use crate::tree::Tree;
use crate::workspace::Workspace;

const FILE: &str = "ARCHITECTURE.md";
// The two lines that every section of the code map has, word for word.
const KNOWS: &str = "Knows: ";
const MUST_NOT: &str = "Must not know: ";

/// The rule over the real tree.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, TaskError> {
    let members = Workspace::load(&tree.root)?.members;
    let Some(text) = tree.text(FILE) else { return Ok(vec![Fault::whole(FILE, "is missing")]) };
    Ok(check_text(text, &layers::rules(tree)?, &members))
}

/// One `### ` section of the code map.
#[derive(Default)]
struct Section {
    line: usize,
    knows: Option<String>,
    must_not: bool,
}

fn check_text(text: &str, layers: &Layers, members: &BTreeMap<String, String>) -> Vec<Fault> {
    let sections = sections(text);
    let mut faults = Vec::new();
    for (name, folder) in members {
        let Some(section) = sections.get(folder.as_str()) else {
            faults.push(Fault::whole(FILE, format!("the code map lacks a section \"### `{folder}`\"")));
            continue;
        };
        let expected = knows(layers, name);
        if section.knows.as_deref() != Some(expected.as_str()) {
            let text = format!("`{folder}` needs the line \"{KNOWS}{expected}\", as in layers.toml");
            faults.push(Fault::at(FILE, section.line, text));
        }
        if !section.must_not {
            faults.push(Fault::at(FILE, section.line, format!("`{folder}` lacks its line \"{MUST_NOT}…\"")));
        }
    }
    for (folder, section) in &sections {
        if !members.values().any(|known| known == folder) {
            faults.push(Fault::at(FILE, section.line, format!("there is no crate in `{folder}`")));
        }
    }
    let picture = picture(layers);
    if !text.lines().any(|line| line.trim() == picture) {
        faults.push(Fault::whole(FILE, format!("the picture of the layers must be \"{picture}\"")));
    }
    faults
}

/// A section reaches to the next heading of any level.
fn sections(text: &str) -> BTreeMap<&str, Section> {
    let mut sections: BTreeMap<&str, Section> = BTreeMap::new();
    let mut current = None;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('#') {
            current = line.strip_prefix("### `").and_then(|rest| rest.strip_suffix('`'));
            if let Some(folder) = current {
                sections.insert(folder, Section { line: number + 1, ..Section::default() });
            }
        }
        let Some(section) = current.and_then(|folder| sections.get_mut(folder)) else { continue };
        if let Some(knows) = line.strip_prefix(KNOWS) {
            section.knows = Some(knows.to_owned());
        }
        section.must_not |= line.starts_with(MUST_NOT);
    }
    sections
}

/// The neighbours in the order of `layers.toml`, as the document has to name them.
fn knows(layers: &Layers, name: &str) -> String {
    let names = layers.crates.get(name).map_or(&[][..], Vec::as_slice);
    if names.is_empty() {
        return "none of ours.".to_owned();
    }
    let marked: Vec<String> = names.iter().map(|name| format!("`{}`", short(name))).collect();
    format!("{}.", marked.join(", "))
}

/// `haus → [client] → … → model`, as in the design.
fn picture(layers: &Layers) -> String {
    let groups: Vec<String> = layers
        .order
        .iter()
        .map(|group| {
            let names: Vec<&str> = group.iter().map(|name| short(name)).collect();
            if names.len() == 1 { names[0].to_owned() } else { format!("[{}]", names.join(" ")) }
        })
        .collect();
    groups.join(" → ")
}

/// In words a crate is called by its folder.
fn short(name: &str) -> &str {
    name.strip_prefix("haus-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Architecture\n```\nhaus → [store gateway] → model\n```\n## Code map\n\
        ### `crates/haus`\nThe binary.\nKnows: `store`, `model`.\nMust not know: SQL.\n\
        ### `crates/model`\nThe nouns.\nKnows: none of ours.\nMust not know: any clock.\n";

    fn check(text: &str, expected: &[&str]) {
        let layers: Layers = toml::from_str(
            "order = [['haus'], ['haus-store', 'haus-gateway'], ['haus-model']]\ndev_only = []\nforbidden = []\n\
             [crates]\nhaus = ['haus-store', 'haus-model']\nhaus-model = []\n",
        )
        .unwrap();
        let member = |name: &str| (name.to_owned(), format!("crates/{}", short(name)));
        let members = BTreeMap::from([member("haus"), member("haus-model")]);
        let faults: Vec<String> =
            check_text(text, &layers, &members).iter().map(ToString::to_string).collect();
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_map_that_fits_the_tree_has_no_fault() {
        check(GOOD, &[]);
    }

    #[test]
    fn a_crate_without_a_section_is_missed() {
        let cut = &GOOD[..GOOD.find("### `crates/model`").unwrap()];
        check(cut, &["ARCHITECTURE.md: the code map lacks a section \"### `crates/model`\""]);
    }

    #[test]
    fn a_section_without_a_crate_is_named() {
        let more = format!("{GOOD}### `crates/vault`\n{KNOWS}none of ours.\n");
        check(&more, &["ARCHITECTURE.md:14: there is no crate in `crates/vault`"]);
    }

    #[test]
    fn a_wrong_neighbour_is_named() {
        check(
            &GOOD.replace("`store`, `model`.", "`model`."),
            &[
                "ARCHITECTURE.md:6: `crates/haus` needs the line \"Knows: `store`, `model`.\", as in layers.toml",
            ],
        );
    }

    #[test]
    fn a_section_says_what_it_must_not_know() {
        check(
            &GOOD.replace("Must not know: SQL.", ""),
            &["ARCHITECTURE.md:6: `crates/haus` lacks its line \"Must not know: …\""],
        );
    }

    #[test]
    fn the_picture_shows_the_order() {
        check(
            &GOOD.replace("[store gateway]", "[gateway store]"),
            &["ARCHITECTURE.md: the picture of the layers must be \"haus → [store gateway] → model\""],
        );
    }
}
