//! The page on security says which test holds each claim; every one of them is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// `crates/x/tests/it/y.rs::name` in backticks.
fn claims(page: &str) -> BTreeSet<(&str, &str)> {
    page.split('`')
        .filter_map(|text| text.split_once("::"))
        .filter(|(file, _)| file.ends_with(".rs"))
        .collect()
}

#[test]
fn every_test_that_the_page_on_security_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/ops/security.md")).unwrap();
    let claims = claims(&page);
    assert!(claims.len() > 30, "only {} tests are named", claims.len());
    let is_there = |file: &str, test: &str| {
        let source = fs::read_to_string(root.join(file)).unwrap_or_default();
        let Some(at) = source.find(&format!("fn {test}(")) else { return false };
        let before: Vec<&str> = source[..at].lines().rev().take(4).collect();
        before.iter().any(|line| line.trim_start().starts_with("#[") && line.contains("test"))
            || source[..at].contains("proptest! {")
    };
    let missing: Vec<String> = claims
        .iter()
        .filter(|(file, test)| !is_there(file, test))
        .map(|(file, test)| format!("{file}::{test}"))
        .collect();
    assert!(missing.is_empty(), "these tests hold a claim and do not exist: {missing:#?}");
}
