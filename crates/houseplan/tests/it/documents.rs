//! The pages under `docs/` name everything that the code knows.

use haus_houseplan::{MemoryFiles, codes, explain, load, schema};
use serde_json::Value;
use std::path::Path;

const PLAN_PAGE: &str = include_str!("../../../../docs/formats/plan.md");
const TABLE: &str = include_str!("../../../../docs/findings/README.md");

#[test]
fn every_key_stands_in_the_page_about_the_plan() {
    fn keys(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::Object(properties)) = members.get("properties") {
                    found.extend(properties.keys().cloned());
                }
                members.values().for_each(|member| keys(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    keys(&schema(), &mut found);
    found.sort();
    found.dedup();
    assert!(found.len() > 50, "{found:?}");
    let missing: Vec<&String> = found.iter().filter(|key| !PLAN_PAGE.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/formats/plan.md does not name {missing:?}");
}

#[test]
fn every_code_stands_in_the_table_with_its_level() {
    for info in codes() {
        let accept = if info.acceptable { "yes" } else { "no" };
        let row = format!("| [{0}]({0}.md) | {1} | {2} | {accept} |", info.code, info.severity, info.title);
        assert!(TABLE.contains(&row), "docs/findings/README.md lacks the row {row}");
    }
    assert_eq!(TABLE.matches("\n| [HP").count(), codes().len());
}

#[test]
fn every_page_has_an_example_a_reason_and_a_remedy() {
    for info in codes() {
        let page = explain(info.code).unwrap();
        for part in ["```", "**Why it matters.**", "**What to do.**"] {
            assert!(page.contains(part), "the page of {} lacks {part}", info.code);
        }
        let lines = page.lines().count();
        assert!((8..=32).contains(&lines), "the page of {} has {lines} lines", info.code);
    }
}

/// Each page says in its first block what gives the finding; files that are no plan have none.
#[test]
fn the_example_of_every_page_gives_its_code() {
    for info in codes() {
        let page = explain(info.code).unwrap();
        let Some((_, rest)) = page.split_once("```yaml\n") else {
            assert!(page.contains("```text\n"), "the page of {} has an example", info.code);
            continue;
        };
        let (example, _) = rest.split_once("```").unwrap();
        let files = MemoryFiles::new()
            .with("house.yaml", example)
            .with("rooms.yaml", "services:\n  web: { run: serve }\n");
        let found = load(Path::new("house.yaml"), &files).findings;
        assert!(found.iter().any(|finding| finding.code == info.code), "{}: {found:?}", info.code);
    }
}
