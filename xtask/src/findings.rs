//! Every finding code in the plan language has its page under `docs/findings/`, and every page its code.
//! Knows the shape of a code (`HP` and four digits), not the findings.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::TaskError;
use crate::fault::Fault;
use crate::tidy;
use crate::tree::Tree;

const SOURCES: &str = "crates/houseplan/src/";
const PAGES: &str = "docs/findings/";

/// The rule over the real tree.
#[allow(clippy::unnecessary_wraps, reason = "the shape that all rules share")]
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, TaskError> {
    let mut used: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    let mut pages: BTreeSet<&str> = BTreeSet::new();
    for (path, text) in tree.texts() {
        if path.starts_with(SOURCES) && path.ends_with(".rs") && !tidy::is_test_file(path) {
            // Tests may speak of codes that do not exist.
            for (number, line) in text.lines().take(tidy::lines_before_tests(text)).enumerate() {
                for code in codes(line) {
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
            format!("describes {code}, which nothing in {SOURCES} reports"),
        )
    });
    Ok(without_page.chain(without_code).collect())
}

/// All `HPnnnn` in this text that are words of their own.
fn codes(text: &str) -> Vec<&str> {
    let joined = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices("HP")
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
        assert_eq!(codes("HP0012, HP12 XHP0013 HP00145 (HP0105)"), ["HP0012", "HP0105"]);
        assert!(codes("HPü").is_empty());
    }
}
