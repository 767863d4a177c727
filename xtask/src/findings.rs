//! Every finding code has its page under `docs/findings/`, and every page its code: those of the plan
//! language and those about hosts. Knows the shape of a code (`HP` or `HH` and four digits) and where it is
//! given, not the findings.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::TaskError;
use crate::fault::Fault;
use crate::tidy;
use crate::tree::Tree;

/// Beginnings of codes, and below which path they are given.
const FAMILIES: [(&str, &str); 2] =
    [("HP", "crates/houseplan/src/"), ("HH", "crates/model/src/host_code.rs")];
const PAGES: &str = "docs/findings/";

/// The rule over the real tree.
#[allow(clippy::unnecessary_wraps, reason = "the shape that all rules share")]
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, TaskError> {
    let mut used: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    let mut pages: BTreeSet<&str> = BTreeSet::new();
    for (path, text) in tree.texts() {
        let family = FAMILIES.iter().find(|(_, source)| path.starts_with(source));
        if let Some((family, _)) = family
            && path.ends_with(".rs")
            && !tidy::is_test_file(path)
        {
            // Tests may speak of codes that do not exist, and a crate of another's codes.
            for (number, line) in text.lines().take(tidy::lines_before_tests(text)).enumerate() {
                for code in codes(line).into_iter().filter(|code| code.starts_with(family)) {
                    used.entry(code).or_insert((path, number + 1));
                }
            }
        }
        if let Some(name) = path.strip_prefix(PAGES).and_then(|name| name.strip_suffix(".md")) {
            pages.extend(codes(name).into_iter().filter(|code| *code == name));
        }
    }
    let without_page = used
        .iter()
        .filter(|(code, _)| !pages.contains(*code))
        .map(|(code, (path, line))| Fault::at(path, *line, format!("{code} has no page {PAGES}{code}.md")));
    let without_code = pages.iter().filter(|code| !used.contains_key(*code)).map(|code| {
        Fault::whole(
            &format!("{PAGES}{code}.md"),
            format!("describes {code}, which nothing in {} reports", source_of(code)),
        )
    });
    Ok(without_page.chain(without_code).collect())
}

fn source_of(code: &str) -> &'static str {
    FAMILIES.iter().find(|(family, _)| code.starts_with(family)).map_or("the tree", |(_, source)| source)
}

/// All codes in this text that are words of their own.
fn codes(text: &str) -> Vec<&str> {
    let joined = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices('H')
        .filter(|(at, _)| FAMILIES.iter().any(|(family, _)| text[*at..].starts_with(family)))
        .filter_map(|(at, _)| {
            let code = text.get(at..at + 6)?;
            let digits = code[2..].bytes().all(|byte| byte.is_ascii_digit());
            let alone = !joined(text[..at].chars().next_back()) && !joined(text[at + 6..].chars().next());
            (digits && alone).then_some(code)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let faults = super::check(&Tree::of(files)).unwrap();
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn code_and_page_belong_together() {
        let code = ("crates/houseplan/src/codes.rs", "//! x\nconst A: &str = \"HP0012\";");
        let page = ("docs/findings/HP0012.md", "# HP0012");
        check(&[code, page], &[]);
        check(&[code], &["crates/houseplan/src/codes.rs:2: HP0012 has no page docs/findings/HP0012.md"]);
        let lonely =
            "docs/findings/HP0012.md: describes HP0012, which nothing in crates/houseplan/src/ reports";
        check(&[page], &[lonely]);
    }

    #[test]
    fn codes_about_hosts_stand_in_the_model() {
        let code = ("crates/model/src/host_code.rs", "//! x\nA \"HH0101\" Error;");
        let page = ("docs/findings/HH0101.md", "# HH0101");
        check(&[code, page], &[]);
        check(
            &[page],
            &[
                "docs/findings/HH0101.md: describes HH0101, which nothing in crates/model/src/host_code.rs reports",
            ],
        );
        // Whoever only speaks of one does not give it.
        check(&[("crates/houseplan/src/a.rs", "//! HH0999")], &[]);
    }

    #[test]
    fn tests_may_name_codes_that_do_not_exist() {
        check(
            &[(
                "crates/houseplan/src/a.rs",
                "//! x\n#[cfg(test)]\nmod tests { const A: &str = \"HP9999\"; }",
            )],
            &[],
        );
        check(&[("crates/houseplan/src/a/tests.rs", "HP9999")], &[]);
    }

    #[test]
    fn only_whole_codes_count() {
        assert_eq!(codes("HP0012, HP12 XHP0013 HP00145 (HP0105) HH0201"), ["HP0012", "HP0105", "HH0201"]);
        assert!(codes("HPü").is_empty());
    }
}
