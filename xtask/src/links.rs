//! Relative links and anchors in the documents lead somewhere. Knows Markdown's links and how a forge names
//! its anchors; never opens a connection, so addresses outside the tree are not looked at.

mod markdown;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::TaskError;
use crate::fault::Fault;
use crate::tree::Tree;

/// The rule over the real tree.
#[allow(clippy::unnecessary_wraps, reason = "the shape that all rules share")]
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, TaskError> {
    let documents: BTreeMap<&str, &str> = tree.texts().filter(|(path, _)| path.ends_with(".md")).collect();
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        documents.iter().map(|(path, text)| (*path, markdown::anchors(text))).collect();
    let mut faults = Vec::new();
    for (path, text) in &documents {
        for (line, target) in markdown::links(text) {
            if let Some(problem) = problem(tree, &anchors, path, &target) {
                faults.push(Fault::at(path, line, problem));
            }
        }
    }
    Ok(faults)
}

fn problem(
    tree: &Tree,
    anchors: &BTreeMap<&str, BTreeSet<String>>,
    from: &str,
    target: &str,
) -> Option<String> {
    // `mailto:x`, `https://…`: a scheme stands before the first slash.
    if target.split(['/', '#']).next().is_some_and(|start| start.contains(':')) {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let resolved = if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) };
    let Some(resolved) = resolved else {
        return Some(format!("link to {target} leads out of the repository"));
    };
    if !tree.holds(&resolved) {
        return Some(format!("link to {target}: there is no {resolved}"));
    }
    let anchor = anchor?;
    // Anchors into sources (line numbers) are the forge's business.
    let known = anchors.get(resolved.as_str())?;
    (!known.contains(anchor)).then(|| format!("link to {target}: {resolved} has no heading #{anchor}"))
}

/// The path that a link in `from` means, or nothing when it leaves the tree.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let other = ("docs/other.md", "# Other page\n## Why `x` = 1?\n## Why `x` = 1?\n");
        let tree = Tree::of(&[("docs/guides/a.md", text), other, ("README.md", "# Readme\n"), ("x", "")]);
        let texts: Vec<String> = super::check(&tree).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn links_that_lead_somewhere_are_silent() {
        check(
            "# A\n[1](../other.md) [2](../other.md#why-x--1) [3](../../README.md#readme) [4](#a) [5](../../x)\n",
            &[],
        );
        check("[1](..) [2](../other.md#why-x--1-1) [r]\n\n[r]: ../other.md \"title\"\n", &[]);
    }

    #[test]
    fn addresses_elsewhere_are_not_looked_at() {
        check("[1](https://example.org/a#b) <https://example.org> [2](mailto:a@example.org)\n", &[]);
    }

    #[test]
    fn a_missing_file_is_named_with_its_line() {
        check("\n[1](gone.md)\n", &["docs/guides/a.md:2: link to gone.md: there is no docs/guides/gone.md"]);
        check("\n[r]: gone.md\n", &["docs/guides/a.md:2: link to gone.md: there is no docs/guides/gone.md"]);
        check("![i](p.png)\n", &["docs/guides/a.md:1: link to p.png: there is no docs/guides/p.png"]);
    }

    #[test]
    fn a_missing_heading_is_named() {
        check("[1](#b)\n", &["docs/guides/a.md:1: link to #b: docs/guides/a.md has no heading #b"]);
        check(
            "[1](../other.md#why)\n",
            &["docs/guides/a.md:1: link to ../other.md#why: docs/other.md has no heading #why"],
        );
    }

    #[test]
    fn links_out_of_the_tree_are_refused() {
        check("[1](../../../x)\n", &["docs/guides/a.md:1: link to ../../../x leads out of the repository"]);
        check("[1](/etc/passwd)\n", &["docs/guides/a.md:1: link to /etc/passwd leads out of the repository"]);
    }
}
